//! Screens of `vrrpx top`, drawn from recorded statuses of a node with three instances, and of one with 250.

use std::fs;
use std::path::{Path, PathBuf};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use vrrp_ebpf::time::Timestamp;
use vrrp_user::cli::top::{Board, Key, News};
use vrrp_user::daemon::control::StatusReading;
use vrrp_user::daemon::events::Event;
use vrrp_user::daemon::status::{Status, UnwrittenFile};

/// Two statuses a second apart, and the events between the start and the second one.
const RECORDED: [&str; 2] = ["first.json", "second.json"];
const EVENTS: &str = "events.jsonl";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("daemon/top").join(name)
}

fn statuses() -> [Status; 2] {
    RECORDED.map(|name| serde_json::from_str(&fs::read_to_string(path(name)).unwrap()).unwrap())
}

fn read(status: Status) -> News {
    let events = fs::read_to_string(path(EVENTS)).unwrap();
    let events = events.lines().map(|line| serde_json::from_str::<Event>(line).unwrap()).collect();
    News::Read(Box::new(StatusReading { status, events }))
}

fn board(colours: bool) -> Board {
    let mut board = Board::new(colours);
    statuses().into_iter().for_each(|status| board.hear(read(status)));
    (1..=30).for_each(|seconds| board.hear(read(later(seconds))));
    board
}

/// The second status so many seconds later, with an advert each 100 ms, and one that comes late.
fn later(seconds: u32) -> Status {
    let [_, mut status] = statuses();
    status.node.uptime_seconds += f64::from(seconds);
    for instance in &mut status.instances {
        instance.counters.adverts_sent += u64::from(seconds) * 10;
        let is_heard = instance.state != "MASTER";
        for peer in instance.peers.iter_mut().filter(|_| is_heard) {
            peer.adverts += u64::from(seconds) * 10;
            peer.gaps[0].count += seconds * 10;
            if seconds >= 20 && instance.name == "lb" {
                peer.gap_max_seconds = 0.241;
            }
        }
    }
    status
}

/// 250 instances with the states of the three recorded ones; one in fifty is in FAULT.
fn many(mut status: Status) -> Status {
    let [master, backup, fault] = [0, 1, 2].map(|place| status.instances[place].clone());
    status.instances = (1..=250)
        .map(|number| {
            let like = match number % 50 {
                7 => &fault,
                even if even % 2 == 0 => &master,
                _ => &backup,
            };
            let mut instance = like.clone();
            instance.name = format!("VI_{number}");
            instance
        })
        .collect();
    status
}

fn drawn(board: &mut Board, width: u16, height: u16) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| board.draw(frame)).unwrap();
    terminal.backend().clone()
}

/// Lines without the blanks at their ends. Times of day are those of a time zone, so they all read alike.
fn text(board: &mut Board, width: u16, height: u16) -> String {
    let backend = drawn(board, width, height);
    let buffer = backend.buffer();
    let mut text = String::new();
    for row in 0..height {
        let line: String = (0..width).map(|column| buffer[(column, row)].symbol()).collect();
        text.extend([line.trim_end(), "\n"]);
    }
    without_times(&text)
}

fn without_times(text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for at in 0..letters.len().saturating_sub(7) {
        let is_clock = |place: usize, letter: &char| match place {
            2 | 5 => *letter == ':',
            _ => letter.is_ascii_digit(),
        };
        if letters[at..at + 8].iter().enumerate().all(|(place, letter)| is_clock(place, letter)) {
            letters.splice(at..at + 8, "hh:mm:ss".chars());
        }
    }
    letters.into_iter().collect()
}

/// Compares a screen with the file of this name; `UPDATE_EXPECTED` writes it.
fn expect(name: &str, screen: &str) {
    let path = path(name);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, screen).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(screen, expected, "{name}");
}

#[test]
fn three_instances_at_80_and_at_200_columns() {
    let screen = text(&mut board(false), 80, 24);
    expect("three-80.txt", &screen);
    // The page has one row for those that are empty.
    let mut rows: Vec<&str> = screen.lines().collect();
    rows.dedup_by(|one, other| one.is_empty() && other.is_empty());
    let page = fs::read_to_string(path("../../../docs/operations.md")).unwrap();
    let rows = rows.join("\n");
    assert!(
        without_times(&page).contains(&format!("```\n{rows}\n```\n")),
        "docs/operations.md shows another {rows}"
    );
    expect("three-200.txt", &text(&mut board(false), 200, 40));
}

#[test]
fn of_250_instances_the_selected_one_is_in_sight() {
    let mut board = Board::new(false);
    statuses().into_iter().for_each(|status| board.hear(read(many(status))));
    expect("many-80.txt", &text(&mut board, 80, 24));
    (0..60).for_each(|_| assert!(!board.press(Key::Down)));
    expect("many-200.txt", &text(&mut board, 200, 40));
    board.press(Key::End);
    assert!(text(&mut board, 80, 24).contains("\n>VI_250 "));
    // The same one after another reading, and in another order.
    board.hear(read(many(statuses()[1].clone())));
    board.press(Key::Letter('s'));
    assert!(text(&mut board, 80, 24).contains("\n>VI_250 "));
}

#[test]
fn a_filter_and_an_order_choose_what_is_shown() {
    let mut board = Board::new(false);
    statuses().into_iter().for_each(|status| board.hear(read(many(status))));
    for letter in "/fault".chars() {
        assert!(!board.press(Key::Letter(letter)));
    }
    let screen = text(&mut board, 80, 24);
    assert!(screen.contains("filter: fault_") && screen.contains("\n>VI_7 "), "{screen}");
    let rows = screen.lines().filter(|line| line.get(1..).is_some_and(|it| it.starts_with("VI_")));
    assert_eq!(rows.filter(|line| line.contains(" FAULT ")).count(), 5, "{screen}");
    board.press(Key::Enter);
    // A letter is a command again.
    assert!(board.press(Key::Letter('q')));
    board.press(Key::Escape);
    board.press(Key::Letter('s'));
    let screen = text(&mut board, 80, 24);
    let first = screen.lines().nth(2).unwrap();
    assert!(first.contains("VI_7 ") && screen.contains("(by problem)"), "{screen}");
}

/// IPv6, whose link-local addresses are long, and names of which only the ends differ.
#[test]
fn long_addresses_and_names_have_the_room_that_there_is() {
    const PEER: &str = "fe80::a8bb:ccff:fedd:1234";
    let mut board = Board::new(false);
    for mut status in statuses() {
        status.node.router_id = "a-node-with-the-name-of-its-rack-and-of-its-row-in-the-hall".to_owned();
        for (instance, number) in status.instances.iter_mut().zip(1..) {
            instance.name = format!("front_end_of_the_big_shop_{number}");
            instance.master = instance.master.as_ref().map(|_| PEER.to_owned());
            instance.peers.iter_mut().for_each(|peer| PEER.clone_into(&mut peer.address));
        }
        board.hear(read(status));
    }
    board.press(Key::Down);
    let [usual, wide] = [(80, 24), (200, 40)].map(|(width, height)| text(&mut board, width, height));
    let row = |screen: &str| screen.lines().find(|line| line.starts_with('>')).unwrap().to_owned();
    assert!(
        row(&wide).starts_with(&format!(">front_end_of_the_big_shop_2  BACKUP   130  4s       {PEER}  "))
    );
    // The title and the table of peers have what the row lacks.
    assert!(usual.contains("── front_end_of_the_big_shop_2 ──"), "{usual}");
    assert!(usual.contains(&format!("\n {PEER}  120 ")), "{usual}");
    for screen in [&usual, &wide] {
        assert!(screen.lines().next().unwrap().ends_with("1 FAULT  2 problems"), "{screen}");
    }
    expect("long-80.txt", &usual);
    expect("long-200.txt", &wide);
}

#[test]
fn names_with_the_same_beginning_differ_in_their_rows() {
    let mut board = Board::new(false);
    for mut status in statuses() {
        for (instance, name) in status.instances.iter_mut().zip(["a-ipv4", "a-ipv6", "b-ipv6"]) {
            instance.name = format!("production-frontend-{name}");
        }
        for check in &mut status.checks {
            check.name = format!("production-database-{}", check.name);
        }
        for track in status.instances.iter_mut().flat_map(|it| &mut it.tracks) {
            track.name = format!("production-database-{}", track.name);
        }
        board.hear(read(status));
    }
    board.press(Key::Down);
    board.press(Key::Down);
    let whole = ["a-ipv4", "a-ipv6", "b-ipv6"].map(|end| format!("production-frontend-{end}"));
    for (width, shown) in [
        (80, ["a-ipv4", "a-ipv6", "b-ipv6"].map(|end| format!("production…end-{end}"))),
        (100, whole.clone()),
        (200, whole),
    ] {
        let screen = text(&mut board, width, 24);
        for name in shown {
            let has_row = screen.lines().any(|line| line.get(1..).is_some_and(|it| it.starts_with(&name)));
            assert!(has_row, "{name} at {width}:\n{screen}");
        }
        assert!(screen.contains("\n production-database-postgres down "), "{width}:\n{screen}");
    }
}

#[test]
fn the_list_moves_only_when_the_selected_one_leaves_it() {
    let mut board = Board::new(false);
    statuses().into_iter().for_each(|status| board.hear(read(many(status))));
    let first = |board: &mut Board| text(board, 80, 24).lines().nth(2).unwrap().to_owned();
    (0..60).for_each(|_| assert!(!board.press(Key::Down)));
    let before = first(&mut board);
    board.press(Key::Up);
    let after = first(&mut board);
    assert_eq!(before, after);
    assert!(before.contains("VI_5"), "{before}");
}

#[test]
fn a_filter_without_a_match_says_so() {
    let mut board = board(false);
    "/nothing".chars().for_each(|letter| assert!(!board.press(Key::Letter(letter))));
    let screen = text(&mut board, 80, 24);
    assert!(screen.contains("no instance has `nothing` in its name, state or interface"), "{screen}");
}

/// Of the configuration, interfaces and files: they stand above the table, and in few rows.
#[test]
fn problems_of_the_node_are_in_sight() {
    let mut board = Board::new(false);
    let [_, mut status] = statuses();
    status.configuration.stale_since = Some("2026-11-30T05:00:00Z".to_owned());
    status.configuration.findings = vec!["vrrpx.conf:7:5: error: unknown keyword `prioirty`".to_owned(); 3];
    status.unwritten =
        vec![UnwrittenFile { file: "events.jsonl".to_owned(), error: "No space left on device".to_owned() }];
    board.hear(read(status));
    let screen = text(&mut board, 80, 24);
    let lines: Vec<&str> = screen.lines().collect();
    assert!(lines[1].starts_with(" ! configuration: STALE"), "{screen}");
    assert!(lines[4].contains("vrrpx status has all of it") && lines[5].contains("INSTANCE"), "{screen}");
    assert!(screen.contains("\n!db ") && screen.contains("\n>web "), "marks of instances: {screen}");
}

#[test]
fn help_fits_a_terminal_of_80_columns() {
    let mut board = board(false);
    board.press(Key::Letter('?'));
    let [usual, wide] = [(80, 24), (200, 40)].map(|(width, height)| text(&mut board, width, height));
    let lines = |screen: &str| screen.lines().take(21).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&usual), lines(&wide));
    assert!(usual.contains("needs no root"), "{usual}");
}

#[test]
fn all_of_an_instance_is_scrolled() {
    let mut board = board(false);
    board.press(Key::Down);
    board.press(Key::Enter);
    let screen = text(&mut board, 100, 60);
    assert!(screen.contains("lb        BACKUP") && screen.contains("GAPS of 192.0.2.12"), "{screen}");
    assert!(!screen.contains("web  "), "{screen}");
    let first = text(&mut board, 80, 12);
    board.press(Key::Letter('G'));
    let last = text(&mut board, 80, 12);
    assert_ne!(first, last);
    // The end is known only when it is drawn.
    board.press(Key::Up);
    assert_ne!(text(&mut board, 80, 12), last);
    assert!(!board.press(Key::Letter('q')), "back, not out");
    assert!(text(&mut board, 80, 24).contains("INSTANCE"));
    board.press(Key::Letter('?'));
    assert!(text(&mut board, 100, 30).contains("select an instance"));
}

#[test]
fn a_daemon_that_is_gone_and_one_that_follows_are_shown() {
    let mut board = Board::new(false);
    board.hear(News::Lost("no vrrpx runs with runtime directory /run/vrrpx".to_owned()));
    let screen = text(&mut board, 80, 24);
    assert!(
        screen.contains("NO DAEMON: no vrrpx runs") && screen.contains("tried again each\n second"),
        "{screen}"
    );
    statuses().into_iter().for_each(|status| board.hear(read(status)));
    assert!(!text(&mut board, 80, 24).contains("NO DAEMON"));
    board.hear(News::Lost("no vrrpx runs with runtime directory /run/vrrpx".to_owned()));
    let screen = text(&mut board, 80, 24);
    assert!(screen.contains("NO DAEMON since hh:mm:ss: no vrrpx runs") && screen.contains("lb "), "{screen}");
    let mut next = statuses()[1].clone();
    next.node.pid += 1;
    board.hear(read(next.clone()));
    assert!(text(&mut board, 80, 24).contains("another daemon answers"));
    (0..10).for_each(|_| board.hear(read(next.clone())));
    assert!(!text(&mut board, 80, 24).contains("another daemon answers"));
}

/// A daemon that is stopped keeps its connection open: only time shows it.
#[test]
fn a_daemon_that_does_not_answer_is_named_on_every_page() {
    let at = |millis: u64| Timestamp::from_nanos(1_000_000_000 + millis * 1_000_000);
    let mut board = Board::new(false);
    assert!(!board.tick(at(0)));
    assert!(board.tick(at(2100)), "there was never an answer");
    board.hear(News::Silent);
    assert!(text(&mut board, 80, 24).contains(" NO ANSWER for 2 s: the daemon is stopped or hangs\n"));
    statuses().into_iter().for_each(|status| board.hear(read(status)));
    let screen = |board: &mut Board| text(board, 80, 24);
    assert!(!board.tick(at(3000)) && !board.tick(at(4900)));
    assert!(!screen(&mut board).contains("NO ANSWER"));
    assert!(board.tick(at(5000)) && !board.tick(at(5900)), "once a second");
    let shown = "NO ANSWER for 2 s: the daemon is stopped or hangs; all below is of hh:mm:ss";
    assert!(screen(&mut board).contains(shown), "{}", screen(&mut board));
    board.press(Key::Enter);
    assert!(screen(&mut board).contains(shown), "{}", screen(&mut board));
    board.press(Key::Enter);
    // It is found dead.
    board.hear(News::Lost("no vrrpx runs with runtime directory /run/vrrpx".to_owned()));
    assert!(board.tick(at(9000)));
    assert!(
        screen(&mut board).contains("NO DAEMON since hh:mm:ss") && !screen(&mut board).contains("NO ANSWER")
    );
    board.hear(read(statuses()[1].clone()));
    board.tick(at(9100));
    assert!(!screen(&mut board).contains(" NO "), "{}", screen(&mut board));
}

#[test]
fn colours_are_only_where_they_are_wanted() {
    let coloured = |colours: bool, width: u16, height: u16| {
        let backend = drawn(&mut board(colours), width, height);
        backend.buffer().content().iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(coloured(true, 80, 24) && coloured(true, 200, 40));
    assert!(!coloured(false, 80, 24) && !coloured(false, 200, 40));
}

#[test]
fn every_size_of_a_terminal_is_drawn() {
    for (width, height) in [(1, 1), (10, 3), (40, 8), (80, 5), (149, 10), (150, 10), (300, 100)] {
        let mut board = board(true);
        for key in [Key::Up, Key::Enter, Key::Escape, Key::Letter('?')] {
            assert!(!board.press(key));
            drawn(&mut board, width, height);
        }
    }
}
