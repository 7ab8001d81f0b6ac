//! The screen of one instance, and what it says of takeovers, addresses and peers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use vrrp_ebpf::wire::address::widen;
use vrrp_tests::FIRST;
use vrrp_user::daemon::history::HookRun;
use vrrp_user::daemon::status::{Address, Hook, Instance, Tracked, WIDTH, detailed};
use vrrp_user::driver::clock;
use vrrp_user::driver::process::{End, Run};
use vrrp_user::protocol::{Faults, InstanceId, Priority};

use crate::setup::filled;

#[test]
fn a_backup_says_when_it_would_become_master() {
    let context = filled();
    let (live, now) = (&context.live.instances[0], clock::now());
    let shown = || context.status().instances.remove(0);
    live.set_master_down(Some(now + Duration::from_millis(500)));
    let (why, left) = (shown().why, shown().takes_over_seconds.unwrap());
    assert!(why.starts_with("10.0.0.2 is master: 150 against our 80; takes over in "), "{why}");
    assert!(why.ends_with("ms if it falls silent") && (0.2..=0.5).contains(&left), "{why} {left}");

    // The program has seen the master since the engine moved the timer: 3 intervals and the skew of 80 count from then.
    let seen = now + Duration::from_secs(5);
    context.maps.arm(FIRST, widen([10, 0, 0, 2].into()), 0, &[0x31, 51, 150, 1], seen);
    let left = shown().takes_over_seconds.unwrap();
    assert!((5.0..=5.369).contains(&left), "{left}");
    context.maps.disarm(FIRST);

    live.set_priority(Priority(200));
    live.set_obstacles(Faults::default(), Some(now + Duration::from_secs(60)));
    let instance = shown();
    let expected = "10.0.0.2 is master with 150; ours is 200: preempt_delay, would move in 5";
    assert!(instance.why.starts_with(expected), "{}", instance.why);
    assert!((55.0..=60.0).contains(&instance.preempts_seconds.unwrap()), "{instance:?}");
    live.set_obstacles(Faults::default(), None);
    assert_eq!(shown().preempts_seconds, None);

    context.maps.forget(FIRST);
    assert!(shown().why.starts_with("no master is heard; takes over in "), "{}", shown().why);
    // The timer fired, and the group waits.
    live.set_master_down(Some(now));
    assert_eq!(shown().why, "no master is heard; waits for the others of its sync group both");
    assert_eq!(shown().takes_over_seconds, None);
}

#[test]
fn all_of_an_instance_has_80_columns() {
    let context = filled();
    context.maps.count_near_miss(FIRST, widen([10, 0, 0, 2].into()));
    let sent = clock::now() - Duration::from_secs(3);
    context.live.announcements.add(&mut vec![(InstanceId(0), [192, 0, 2, 51].into(), sent); 2]);
    let run = Run { end: End::Exited(3), lasted: Duration::from_millis(36) };
    let printed = Some("no route\nto host".to_owned());
    context.history.hook(InstanceId(0), "notify_backup", HookRun::ended("BACKUP", run, printed));
    let status = context.status();
    let instance = &status.instances[0];
    assert_eq!((instance.peers[0].near_misses, instance.addresses[0].announcements), (1, 2));
    let mut status = status.of("VI_1");
    status.interfaces[0].why = Some("a reason of many words ".repeat(8));
    let text = detailed(&status, WIDTH);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "VI_1 VRID 51, v3 ipv4 on eth0, an advert each 100.000ms; BACKUP since ",
        " (higher_priority), epoch 3",
        "ADDRESS 192.0.2.51/24 not set here; announced 2 times, the latest 3s ago; not answered ",
        "PEER 10.0.0.2 priority 150, last advert ",
        "4 adverts; gaps: mean 100.000ms, longest 100.000ms of 368.750ms allowed, jitter 0µs; near misses: 1",
        "HOOK notify_backup for BACKUP at 20",
        " UTC: exit 3 after 36.000ms; it printed: no route; to host",
        "realtime no memory locked yes",
        "CHECK RESULT",
    ] {
        assert!(words.contains(expected), "{expected}:\n{text}");
    }
}

#[test]
fn an_address_that_is_not_answered_is_a_problem_of_its_master() {
    let mut master = filled().status().instances.remove(0);
    (master.state, master.lease_seconds) = ("MASTER".to_owned(), Some(0.3));
    master.addresses[0].set = Some(true);
    master.addresses[0].answered_why = Some("arp_ignore 8 of eth0: no request is answered".to_owned());
    let expected = "192.0.2.51/24 is not answered, although this node is MASTER: arp_ignore 8 of eth0: no request \
                    is answered";
    let has = |instance: &Instance| instance.problem_texts().iter().any(|it| it == expected);
    assert!(has(&master));
    // Without a lease, that is named.
    (master.lease_seconds, master.fenced) = (None, true);
    assert!(!has(&master));
    master.lease_seconds = Some(0.3);
    master.addresses[0].answered = None;
    assert!(!has(&master), "it is not known");
}

/// A check without a weight, a file of 0, or an interface with a weight.
fn tracked(name: &str) -> Tracked {
    let (kind, weight, adds) = match name {
        "maintenance" => ("file", -1, 0),
        "eth1" => ("interface", 10, 10),
        _ => ("script", 0, 0),
    };
    Tracked {
        name: name.to_owned(),
        kind: kind.to_owned(),
        weight,
        reverse: false,
        up: Some(true),
        adds: Some(adds),
    }
}

#[test]
fn what_is_tracked_has_its_present_effect() {
    let shown = |change: fn(&mut Tracked)| {
        let mut status = filled().status().of("VI_1");
        let mut track = tracked("eth1");
        change(&mut track);
        status.instances[0].tracks = vec![track];
        let text = detailed(&status, WIDTH);
        let rest = text.split_once("TRACK\n  eth1  ").unwrap().1;
        let is_problem = status.instances[0].problem_texts().iter().any(|it| it.contains("eth1"));
        (rest.lines().next().unwrap().to_owned(), is_problem)
    };
    for (change, expected, is_problem) in [
        ((|_| {}) as fn(&mut Tracked), "interface, up; weight 10: adds 10 now", false),
        (
            |it| (it.up, it.adds) = (Some(false), Some(0)),
            "interface, down; weight 10: adds nothing now",
            true,
        ),
        (
            |it| (it.up, it.adds, it.reverse) = (Some(true), Some(-10), true),
            "interface, up; weight 10 reverse: takes 10 now",
            true,
        ),
        (|it| (it.up, it.adds) = (None, None), "interface, pending; weight 10", false),
        (|it| it.weight = 0, "interface, up; FAULT while down", false),
        (|it| (it.weight, it.reverse) = (0, true), "interface, up; keeps it in FAULT", true),
        (
            |it| (it.weight, it.reverse, it.up) = (0, true, Some(false)),
            "interface, down; FAULT while up",
            false,
        ),
        // A file is up while it is no Fault, reversed or not.
        (
            |it| (it.kind, it.weight, it.reverse) = ("file".to_owned(), 0, true),
            "file, up; FAULT while it holds 0",
            false,
        ),
        (
            |it| (it.kind, it.weight, it.reverse, it.up) = ("file".to_owned(), 0, true, Some(false)),
            "file, down; keeps it in FAULT",
            true,
        ),
        (
            |it| (it.kind, it.weight) = ("file".to_owned(), 0),
            "file, up; FAULT while it holds another number than 0",
            false,
        ),
    ] {
        assert_eq!(shown(change), (expected.to_owned(), is_problem));
    }
}

/// The screen of the page about one instance.
#[test]
fn the_page_shows_one_instance() {
    let mut status = filled().status().of("VI_1");
    let web = &mut status.instances[0];
    (web.name, web.vrid, web.state, web.reason) =
        ("web".to_owned(), 80, "MASTER".to_owned(), "preempted".to_owned());
    (web.since, web.epoch, web.lease_seconds) = (Some("2026-11-29T06:00:01.120Z".to_owned()), 2, Some(0.268));
    (web.priority.configured, web.priority.effective) = (110, 110);
    web.addresses = vec![Address {
        address: "192.0.2.80/24".to_owned(),
        set: Some(true),
        interface: Some("eth0".to_owned()),
        announcements: 5,
        announced_seconds: Some(3.2),
        answered: Some(true),
        answered_why: None,
    }];
    let peer = &mut web.peers[0];
    (peer.address, peer.priority, peer.adverts) = ("192.0.2.12".to_owned(), 100, 42);
    (peer.last_advert_seconds, peer.jitter_seconds) = (3.1, 0.000_042);
    (peer.gap_mean_seconds, peer.gap_max_seconds) = (Some(0.100_012), 0.100_31);
    web.tracks = ["nginx_answers", "maintenance", "eth1"].map(tracked).into();
    let [mut first, mut second] = [(); 2].map(|()| web.history[0].clone());
    (first.at, first.from, first.to) =
        ("2026-11-29T05:59:57.510Z".to_owned(), "INIT".to_owned(), "BACKUP".to_owned());
    (first.reason, first.priority, first.peer) = ("startup".to_owned(), 110, None);
    (second.at, second.from, second.to) =
        (web.since.clone().unwrap(), "BACKUP".to_owned(), "MASTER".to_owned());
    (second.reason, second.priority, second.peer) =
        ("preempted".to_owned(), 110, Some("192.0.2.12".to_owned()));
    web.history = vec![first, second];
    web.hooks = vec![Hook {
        keyword: "notify_master".to_owned(),
        state: "MASTER".to_owned(),
        ended: "exit 0".to_owned(),
        success: true,
        lasted_seconds: 0.036_102,
        started: "2026-11-29T06:00:01.170Z".to_owned(),
        output: None,
        is_past: false,
    }];
    let text = detailed(&status, WIDTH);
    let (of_instance, _) = text.split_once("\n\n").unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    assert!(fs::read_to_string(page).unwrap().contains(&format!("```\n{of_instance}\n```\n")), "{text}");
}
