//! The screen of all instances, with what matters of the selected one, and the latest events.

use std::ops::Range;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::board::{Board, Past};
use super::columns::{MASTER, PRIORITY, SHARE, SINCE, STATE, WIDE, Widths, fitted, plot, shortened};
use crate::config::{self, wrapped_at};
use crate::daemon::status::{Check, Instance, Peer, Status, rough, served};
use crate::daemon::wall;

/// Rows that events have at least, with their title.
const EVENTS_MIN: usize = 4;

/// Rows that instances have at least.
const INSTANCES_MIN: usize = 3;

/// Rows of each kind that the selected instance has at most.
const ROWS: usize = 3;

/// Rows of problems that are of no instance.
const OF_NODE_MAX: usize = 4;

/// Columns of a row of a peer behind its address.
const PEER_REST: usize = " PRIO  LAST ADVERT     MEDIAN    LONGEST     MARGIN".len();
/// Columns of a row of a check behind its name, up to how its last run ended.
const CHECK_REST: usize = " RESULT   ".len();

const KEYS: &str = "Enter detail  / filter  s sort  ? help  q quit";

const HELP: [&str; 21] = [
    "vrrpx top: the instances of the daemon on this node, each second",
    "",
    "  j k, arrows, PgUp PgDn, g G   select an instance",
    "  Enter                         all of it, and back",
    "  /                             show only what has a text in its name, state or",
    "                                interface; Esc shows all again",
    "  s                             sort: file, problem, name, latest change",
    "  ?                             this help, and back",
    "  q                             quit",
    "",
    "  ! before a name has a problem; that of the selected one is below the table.",
    "  GAP / ALLOWED   the longest gap between adverts of the master in each second,",
    "                  as a share of master_down_interval: at 100% this node takes",
    "                  over. Others than the longest are known to a factor of two.",
    "  sends           adverts of this node in the last second",
    "  LAST ADVERT     how long ago it came; only masters send adverts",
    "  MEDIAN          bound of the middle one of all gaps",
    "  MARGIN          what the longest gap left of the allowed time",
    "",
    "  Nothing here changes the daemon; vrrpx maintenance, failover, priority and",
    "  announce do. It reads status.sock, so that it needs no root.",
];

/// Writes lines from the top of an area downwards.
pub(super) struct Pen<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    row: u16,
    colours: bool,
}

impl<'a> Pen<'a> {
    pub(super) fn new(board: &Board, buffer: &'a mut Buffer, area: Rect) -> Self {
        Self { buffer, area, row: 0, colours: board.colours }
    }

    /// Beyond the last row a line is lost.
    pub(super) fn line(&mut self, line: Line<'_>) {
        if self.row < self.area.height {
            let (x, y) = (self.area.x, self.area.y.saturating_add(self.row));
            self.buffer.set_line(x, y, &line, self.area.width);
            self.row += 1;
        }
    }

    fn styled(&mut self, text: &str, style: Style) {
        self.line(Line::styled(text.to_owned(), style));
    }

    /// As many lines as a text takes that must be read to its end.
    fn wrapped(&mut self, text: &str, style: Style) {
        let mut out = String::new();
        wrapped_at(self.width().saturating_sub(1), &mut out, " ", text, 1);
        out.lines().for_each(|line| self.styled(line, style));
    }

    /// A line across, with a title in it.
    fn title(&mut self, title: &str) {
        let rule = "─".repeat(self.width().saturating_sub(config::width(title) + 4));
        self.styled(&format!("── {title} {rule}"), Style::new().add_modifier(Modifier::DIM));
    }

    fn colour(&self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    /// Rows that are drawn.
    pub(super) fn used(&self) -> usize {
        usize::from(self.row)
    }

    fn rest(&self) -> usize {
        usize::from(self.area.height.saturating_sub(self.row))
    }

    fn width(&self) -> usize {
        usize::from(self.area.width)
    }
}

/// Draws with the instance of this place in the first row, as long as the selected one is then in sight. Returns the
/// place that is in the first row.
pub(super) fn draw(board: &Board, frame: &mut Frame<'_>, first: usize) -> usize {
    let area = frame.area();
    let mut pen = Pen::new(board, frame.buffer_mut(), area);
    head(&mut pen, board);
    problems_of_node(&mut pen, board);
    let shown = board.shown();
    let selected = board.selected(&shown);
    let is_wide = pen.width() >= WIDE;
    let panel = match (board.status.as_ref(), shown.get(selected)) {
        (Some(status), Some(instance)) => {
            let width = if is_wide { usize::from(area.width) / 2 } else { usize::from(area.width) };
            self::panel(&pen, status, instance, width)
        }
        _ => Vec::new(),
    };
    let below = panel.len() + 1 + if is_wide { 0 } else { EVENTS_MIN };
    // The heading, and the keys.
    let room = pen.rest().saturating_sub(2);
    let rows = shown.len().min(room.saturating_sub(below).max(INSTANCES_MIN).min(room));
    let first =
        first.min(selected).max((selected + 1).saturating_sub(rows)).min(shown.len().saturating_sub(rows));
    instances(&mut pen, board, &shown, selected, first..first + rows);
    if shown.is_empty() && board.status.is_some() {
        let none = match board.filter.as_str() {
            "" => " no instance is configured".to_owned(),
            filter => format!(" no instance has `{filter}` in its name, state or interface; Esc shows all"),
        };
        pen.line(Line::raw(none));
    }
    let name = shown.get(selected).map(|it| it.name.as_str()).unwrap_or_default();
    let Rect { x, width, .. } = area;
    let y = area.y + pen.row;
    let height = area.height.saturating_sub(pen.row + 1);
    let (left, right) = if is_wide {
        let half = width / 2;
        (Rect::new(x, y, half, height), Rect::new(x + half, y, width - half, height))
    } else {
        let panel = u16::try_from(panel.len() + 1).unwrap_or(u16::MAX).min(height);
        (Rect::new(x, y, width, panel), Rect::new(x, y + panel, width, height - panel))
    };
    let mut pen = Pen::new(board, frame.buffer_mut(), left);
    if !name.is_empty() {
        pen.title(name);
        panel.into_iter().for_each(|line| pen.line(line));
    }
    events(&mut Pen::new(board, frame.buffer_mut(), right), board);
    let mut pen = Pen::new(board, frame.buffer_mut(), area);
    if board.is_filtering {
        foot(&mut pen, &format!("filter: {}_   Enter done  Esc all", board.filter));
    } else {
        let filter = match board.filter.as_str() {
            "" => String::new(),
            filter => format!("  filter: {filter}"),
        };
        foot(&mut pen, &format!("{KEYS}  (by {}){filter}", board.order.as_str()));
    }
    first
}

/// Problems of the configuration, interfaces, files and scripts; those of instances are below the table.
fn problems_of_node(pen: &mut Pen<'_>, board: &Board) {
    let Some(status) = &board.status else { return };
    let is_of_other = |about: &str| {
        let is_instance = status.instances.iter().any(|it| it.name == about);
        is_instance || status.checks.iter().any(|it| it.name == about)
    };
    let mut lines = Vec::new();
    for (about, text) in status.problem_lines().into_iter().filter(|(about, _)| !is_of_other(about)) {
        let mut out = String::new();
        wrapped_at(pen.width().saturating_sub(1), &mut out, &format!(" ! {about}: "), &text, 3);
        lines.extend(out.lines().map(str::to_owned));
    }
    let rest = lines.len().saturating_sub(OF_NODE_MAX);
    if rest > 0 {
        lines.truncate(OF_NODE_MAX - 1);
        lines.push("   …: vrrpx status has all of it".to_owned());
    }
    let style = pen.colour(Color::Yellow);
    lines.iter().for_each(|line| pen.styled(line, style));
}

pub(super) fn help(board: &Board, frame: &mut Frame<'_>) {
    let area = frame.area();
    let mut pen = Pen::new(board, frame.buffer_mut(), area);
    HELP.iter().for_each(|line| pen.line(Line::raw(*line)));
    foot(&mut pen, "any key: back");
}

/// The last row of the area.
pub(super) fn foot(pen: &mut Pen<'_>, text: &str) {
    pen.row = pen.area.height.saturating_sub(1);
    let text = fitted(&format!(" {text}"), pen.width());
    pen.styled(&text, Style::new().add_modifier(Modifier::DIM));
}

fn head(pen: &mut Pen<'_>, board: &Board) {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let Some(status) = &board.status else {
        pen.styled(" vrrpx top", bold);
        presence(pen, board);
        return;
    };
    let count = |state: &str| {
        let count = status.instances.iter().filter(|it| it.state == state).count();
        (count > 0).then(|| format!("{count} {state}"))
    };
    let states: Vec<_> = ["MASTER", "BACKUP", "FAULT", "INIT"].into_iter().filter_map(count).collect();
    let problems = match status.problem_lines().len() {
        0 => "no problem".to_owned(),
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    let node = &status.node;
    let count = match status.instances.len() {
        1 => "1 instance".to_owned(),
        count => format!("{count} instances"),
    };
    let (router, time, states) = (node.router_id.as_str(), clock(&node.time), states.join(", "));
    let up = rough(node.uptime_seconds);
    // From the longest to the shortest; the first that there is room for is shown.
    let texts = [
        format!(" {router}  {time}  up {up}  {count}: {states}  "),
        format!(" {router}  {time}  {count}: {states}  "),
        format!(" {router}  {states}  "),
    ];
    let room = pen.width().saturating_sub(problems.len());
    let fits = |text: &&String| config::width(text) <= room;
    let text = texts.iter().find(fits).cloned().unwrap_or_else(|| {
        let short = room.saturating_sub(states.len() + " ".len() + 2 * "  ".len());
        format!(" {}  {states}  ", fitted(router, short))
    });
    let colour = if problems == "no problem" { Style::new() } else { pen.colour(Color::Yellow) };
    pen.line(Line::from(vec![Span::styled(text, bold), Span::styled(problems, colour)]));
    presence(pen, board);
}

/// A line about a daemon that does not answer, is not there, or is another one than before.
pub(super) fn presence(pen: &mut Pen<'_>, board: &Board) {
    let red = pen.colour(Color::Red).add_modifier(Modifier::BOLD);
    let shown = board.status.as_ref().map(|status| clock(&status.node.time));
    match (&board.lost, board.silence, &board.status) {
        (Some((why, last)), ..) => {
            let since = last.as_deref().map(|last| format!(" since {}", clock(last))).unwrap_or_default();
            pen.wrapped(&format!("NO DAEMON{since}: {why}; tried again each second"), red);
        }
        (None, Some(silence), _) => {
            let of = shown.map(|time| format!("; all below is of {time}")).unwrap_or_default();
            let silence = silence.as_secs();
            pen.wrapped(&format!("NO ANSWER for {silence} s: the daemon is stopped or hangs{of}"), red);
        }
        (None, None, Some(status)) if board.restarted.is_some() => {
            let text = format!("another daemon answers, pid {}: it was restarted", status.node.pid);
            pen.wrapped(&text, pen.colour(Color::Yellow));
        }
        _ => {}
    }
}

/// The time of day of a time of the status, as clocks here show it.
fn clock(time: &str) -> String {
    wall::shown_of(time).get(11..19).unwrap_or("-").to_owned()
}

fn instances(pen: &mut Pen<'_>, board: &Board, shown: &[&Instance], selected: usize, rows: Range<usize>) {
    let widths = Widths::of(shown, pen.width());
    let Widths { name, master, plot, why } = widths;
    let heading = format!(
        " {:<name$}  {:<STATE$}  PRIO  {:<SINCE$}  {:<master$}  {:<plot$}  {:SHARE$}  {}",
        "INSTANCE",
        "STATE",
        "SINCE",
        "MASTER",
        "GAP / ALLOWED",
        "",
        if why > 0 { "WHY" } else { "" }
    );
    let dim = Style::new().add_modifier(Modifier::DIM);
    pen.styled(heading.trim_end(), dim);
    for (place, instance) in shown.iter().enumerate().skip(rows.start).take(rows.len()) {
        let line = row(pen, board, instance, &widths, place == selected);
        pen.line(line);
    }
}

fn row(
    pen: &Pen<'_>,
    board: &Board,
    instance: &Instance,
    widths: &Widths,
    is_selected: bool,
) -> Line<'static> {
    let Widths { name, master: master_width, plot, why } = *widths;
    let state = match instance.state.as_str() {
        "MASTER" => pen.colour(Color::Green).add_modifier(Modifier::BOLD),
        "FAULT" => pen.colour(Color::Red).add_modifier(Modifier::BOLD),
        _ => Style::new(),
    };
    let has_problem = !instance.problem_texts().is_empty();
    let mark = match (is_selected, has_problem) {
        (true, _) => '>',
        (false, true) => '!',
        (false, false) => ' ',
    };
    let (about, share) = adverts(board.past(&instance.name), instance, plot);
    let since = instance.since_seconds.map_or_else(|| "-".to_owned(), rough);
    let master = match (instance.state.as_str(), instance.heard_master()) {
        ("MASTER", _) => "this node",
        (_, Some(peer)) => &peer.address,
        (_, None) => "-",
    };
    let near = share.is_some_and(|share| share > 2.0 / 3.0);
    let share = share.map_or(String::new(), |share| format!("{:.0}%", share * 100.0));
    let own = format!("{mark}{}  ", shortened(&instance.name, name));
    let rest = format!(
        "  {:>PRIORITY$}  {since:<SINCE$}  {}  ",
        instance.priority.effective,
        shortened(master, master_width)
    );
    let mut spans = vec![
        Span::styled(own, if has_problem { pen.colour(Color::Yellow) } else { Style::new() }),
        Span::styled(fitted(&instance.state, STATE), state),
        Span::raw(rest),
        Span::raw(fitted(&about, plot)),
        Span::styled(
            format!("  {share:>SHARE$}"),
            if near { pen.colour(Color::Yellow) } else { Style::new() },
        ),
    ];
    if why > 0 {
        spans.push(Span::raw(format!("  {}", fitted(&instance.why, why))));
    }
    let line = Line::from(spans);
    if is_selected { line.patch_style(Style::new().add_modifier(Modifier::BOLD)) } else { line }
}

/// The plot of an instance, and the longest gap in it as a share of what is allowed.
fn adverts(past: Option<&Past>, instance: &Instance, width: usize) -> (String, Option<f64>) {
    let Some(past) = past else { return (String::new(), None) };
    if instance.state == "MASTER" {
        let sent = past.sent.map_or_else(String::new, |sent| {
            let whole = format!("sends {sent:.1} a second");
            if whole.len() <= width { whole } else { format!("{sent:.1}/s") }
        });
        return (sent, None);
    }
    let skipped = past.gaps.len().saturating_sub(width);
    let longest = past.gaps.iter().skip(skipped).flatten().copied().reduce(f64::max);
    (plot(&past.gaps, width), longest)
}

/// What matters of one instance.
fn panel(pen: &Pen<'_>, status: &Status, instance: &Instance, width: usize) -> Vec<Line<'static>> {
    let text_width = width.saturating_sub(1);
    let mut lines = Vec::new();
    let mut add = |text: &str, indent: usize, style: Style| {
        let mut out = String::new();
        wrapped_at(text_width, &mut out, " ", text, indent);
        lines.extend(out.lines().take(ROWS).map(|line| Line::styled(line.to_owned(), style)));
    };
    add(&instance.why, 1, Style::new());
    add(&served(instance), 1, Style::new());
    for order in &instance.steering {
        add(&order.to_string(), 1, Style::new());
    }
    let problems = instance.problem_texts();
    for problem in problems.iter().take(ROWS) {
        add(&format!("! {problem}"), 3, pen.colour(Color::Yellow));
    }
    if problems.len() > ROWS {
        add(&format!("! and {} more", problems.len() - ROWS), 3, pen.colour(Color::Yellow));
    }
    let dim = Style::new().add_modifier(Modifier::DIM);
    let mut peers: Vec<&Peer> = instance.peers.iter().collect();
    peers.sort_by(|one, other| one.last_advert_seconds.total_cmp(&other.last_advert_seconds));
    if !peers.is_empty() {
        peers.truncate(ROWS);
        let longest = peers.iter().map(|peer| peer.address.len()).max().unwrap_or_default();
        let most = text_width.saturating_sub(PEER_REST).max(MASTER + 1);
        let address = longest.clamp(MASTER + 1, most);
        let head = format!(" {:<address$} PRIO  LAST ADVERT     MEDIAN    LONGEST     MARGIN", "PEER");
        lines.push(Line::styled(head, dim));
        lines.extend(peers.iter().map(|peer| Line::raw(peer_row(instance, peer, address))));
    }
    let is_tracked =
        |check: &&Check| instance.tracks.iter().any(|it| it.kind != "interface" && it.name == check.name);
    let checks: Vec<&Check> = status.checks.iter().filter(is_tracked).collect();
    if !checks.is_empty() {
        let longest = checks.iter().take(ROWS).map(|check| config::width(&check.name)).max();
        let name = longest.unwrap_or_default().clamp(MASTER + 1, (text_width / 2).max(MASTER + 1));
        lines.push(Line::styled(format!(" {:<name$} RESULT   LAST RUN", "CHECK"), dim));
        lines.extend(checks.iter().take(ROWS).map(|check| check_row(pen, check, name, text_width)));
    }
    if checks.len() > ROWS {
        lines.push(Line::raw(format!(" and {} more", checks.len() - ROWS)));
    }
    lines
}

fn peer_row(instance: &Instance, peer: &Peer, address: usize) -> String {
    let some = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), rough);
    let longest = Some(peer.gap_max_seconds).filter(|longest| *longest > 0.0);
    let margin = longest.and_then(|longest| Some(instance.allowed_seconds()? - longest));
    format!(
        " {} {:>4}  {:>11} {:>10} {:>10} {:>10}",
        shortened(&peer.address, address),
        peer.priority,
        rough(peer.last_advert_seconds),
        some(peer.median_gap()).replacen("", if peer.median_gap().is_some() { "<" } else { "" }, 1),
        some(longest),
        match margin {
            Some(margin) if margin < 0.0 => "none".to_owned(),
            margin => some(margin),
        }
    )
}

fn check_row(pen: &Pen<'_>, check: &Check, name: usize, width: usize) -> Line<'static> {
    let (word, style) = match check.up {
        Some(true) => ("up", Style::new()),
        Some(false) => ("down", pen.colour(Color::Red)),
        None => ("pending", Style::new()),
    };
    let ended = check.ended.clone().unwrap_or_else(|| "-".to_owned());
    Line::from(vec![
        Span::raw(format!(" {} ", shortened(&check.name, name))),
        Span::styled(format!("{word:<7}"), style),
        Span::raw(format!("  {}", fitted(&ended, width.saturating_sub(1 + name + CHECK_REST)).trim_end())),
    ])
}

fn events(pen: &mut Pen<'_>, board: &Board) {
    pen.title("events");
    let (rows, width) = (pen.rest(), pen.width());
    // The latest ones that fit, each broken between words.
    let mut lines: Vec<String> = Vec::new();
    for event in board.events.iter().rev() {
        let mut out = String::new();
        let text = event.what.to_string().replace('\n', "; ");
        let time = wall::shown_millis(event.time);
        let head = format!(" {}  ", time.get(11..19).unwrap_or("-"));
        wrapped_at(width.saturating_sub(1), &mut out, &head, &text, 11);
        let mut texts: Vec<String> = out.lines().map(str::to_owned).collect();
        texts.truncate(ROWS);
        if lines.len() + texts.len() > rows {
            break;
        }
        lines.splice(0..0, texts);
    }
    lines.into_iter().for_each(|line| pen.line(Line::raw(line)));
}
