//! The last day of each instance as a bar: who was master when.
//!
//! Enters: the events that are kept, and the status of this moment. Leaves: HTML without a script, a row for each
//! instance. A stretch is a time in one state; those too short to be seen become one mark. Absent: what other routers
//! did while this node was not running.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::FEW;
use super::html::Escaped;
use crate::daemon::events::{Event, EventKind, KEPT};
use crate::daemon::status::{Instance, Status, rough};
use crate::daemon::wall::{clock_millis, shown};

/// The time that is shown.
const DAY: Duration = Duration::from_secs(86_400);

/// A shorter stretch is less than three of a thousand pixels.
const SHORT: Duration = Duration::from_secs(240);

/// Stretches that the text of a mark names.
const NAMED: usize = 4;

/// A transition, as its event has it.
#[derive(Clone, Copy, Debug)]
struct Move<'a> {
    at: SystemTime,
    from: &'a str,
    to: &'a str,
    reason: &'a str,
    peer: Option<&'a str>,
}

/// The state of this moment.
#[derive(Clone, Copy, Debug)]
struct Present<'a> {
    state: &'a str,
    since: Option<SystemTime>,
    reason: &'a str,
    master: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch<'a> {
    begin: SystemTime,
    end: SystemTime,
    /// Empty: not known.
    state: &'a str,
    /// The master at its begin, if it is another router and the transition names it.
    master: Option<&'a str>,
    /// The master of this moment, in the present stretch of a backup.
    now: Option<&'a str>,
    reason: &'a str,
    /// The daemon ended within it, at a time that is not known.
    is_doubtful: bool,
}

#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Stretch(Stretch<'a>),
    Mark(Vec<Stretch<'a>>),
}

pub(super) fn chart(
    out: &mut String,
    status: &Status,
    events: &[Arc<Event>],
    now: SystemTime,
) -> fmt::Result {
    if status.instances.is_empty() {
        return Ok(());
    }
    let start = now.checked_sub(DAY).unwrap_or(SystemTime::UNIX_EPOCH);
    // Older events may be gone.
    let oldest = events.first().filter(|_| events.len() >= KEPT).map(|it| it.time);
    let known = oldest.map_or(start, |oldest| oldest.max(start));
    let moves = moves(events);
    let none = Vec::new();
    let of = |instance: &Instance| moves.get(instance.name.as_str()).unwrap_or(&none);
    let recent = |instance: &Instance| of(instance).iter().filter(|it| it.at >= start).count();
    let mut shown: Vec<&Instance> = status.instances.iter().collect();
    if shown.len() > FEW {
        // Stable: equal ones stay in the order of the file.
        shown.sort_by_key(|instance| std::cmp::Reverse(recent(instance)));
    }
    writeln!(out, "<h2>Last 24 hours</h2>")?;
    legend(out)?;
    let (first, rest) = shown.split_at(shown.len().min(FEW));
    let rows = |out: &mut String, instances: &[&Instance]| {
        writeln!(out, "<div class=\"day\">")?;
        for instance in instances {
            let stretches = stretches(&present(instance, now), of(instance), known, now);
            row(out, &instance.name, &status.node.router_id, &clipped(stretches, start))?;
        }
        axis(out, start)?;
        writeln!(out, "</div>")
    };
    rows(out, first)?;
    if rest.is_empty() {
        return Ok(());
    }
    let (count, most) = (rest.len(), rest.first().map_or(0, |instance| recent(instance)));
    let transitions = match most {
        0 => "no transition".to_owned(),
        1 => "1 transition at most".to_owned(),
        most => format!("{most} transitions at most"),
    };
    writeln!(out, "<details id=\"day-rest\"><summary>{count} more instances, {transitions} each</summary>")?;
    rows(out, rest)?;
    writeln!(out, "</details>")
}

/// The transitions of each instance, in their order.
fn moves(events: &[Arc<Event>]) -> HashMap<&str, Vec<Move<'_>>> {
    let mut all: HashMap<&str, Vec<Move<'_>>> = HashMap::new();
    for event in events {
        let EventKind::Transition { instance, from, to, reason, peer, .. } = &event.what else { continue };
        let at = event.time;
        all.entry(instance).or_default().push(Move { at, from, to, reason, peer: peer.as_deref() });
    }
    all
}

fn present(instance: &Instance, now: SystemTime) -> Present<'_> {
    let ago = instance.since_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Present {
        state: &instance.state,
        since: ago.and_then(|ago| now.checked_sub(ago)),
        reason: &instance.reason,
        master: instance.master.as_deref(),
    }
}

/// What is known of an instance from `known` to now, without holes.
fn stretches<'a>(
    present: &Present<'a>,
    moves: &[Move<'a>],
    known: SystemTime,
    now: SystemTime,
) -> Vec<Stretch<'a>> {
    let mut all: Vec<Stretch<'a>> = Vec::new();
    let mut push = |stretch: Stretch<'a>| {
        let begin = all.last().map_or(stretch.begin, |last| last.end.max(stretch.begin));
        let end = stretch.end.clamp(begin.min(now), now);
        if end > begin {
            all.push(Stretch { begin, end, ..stretch });
        }
    };
    // The clock may have been set back in between: no transition is later than the one after it.
    let mut times: Vec<SystemTime> = moves.iter().map(|it| it.at).collect();
    let mut next = now;
    for at in times.iter_mut().rev() {
        next = next.min(*at);
        *at = next;
    }
    // A daemon that began without any may have run before.
    let first = moves.first().map_or("", |first| first.from);
    let mut latest = Stretch {
        begin: known,
        end: now,
        state: if first == "INIT" { "" } else { first },
        master: None,
        now: None,
        reason: "",
        is_doubtful: false,
    };
    for (it, at) in moves.iter().zip(times) {
        push(Stretch { end: at, is_doubtful: !latest.state.is_empty() && it.from != latest.state, ..latest });
        let master = it.peer.filter(|_| it.to == "BACKUP");
        latest = Stretch { begin: at, state: it.to, master, reason: it.reason, ..latest };
    }
    if latest.state != present.state {
        // Of its last transition no event is kept.
        let begin = if present.state == "INIT" { now } else { present.since.unwrap_or(known) };
        push(Stretch { end: begin, is_doubtful: !latest.state.is_empty(), ..latest });
        latest = Stretch { begin, state: present.state, master: None, reason: present.reason, ..latest };
    }
    let begin = all.last().map_or(latest.begin, |last| last.end.max(latest.begin)).min(now);
    if begin < now || present.state != "INIT" {
        all.push(Stretch { begin, end: now, now: present.master, ..latest });
    }
    all
}

/// The stretches from `start` on; what comes before them is not known.
fn clipped(stretches: Vec<Stretch<'_>>, start: SystemTime) -> Vec<Stretch<'_>> {
    let mut clipped: Vec<_> = stretches.into_iter().filter(|it| it.end > start).collect();
    if let Some(first) = clipped.first_mut() {
        first.begin = first.begin.max(start);
        let unknown = Stretch {
            begin: start,
            end: first.begin,
            state: "",
            master: None,
            now: None,
            reason: "",
            is_doubtful: false,
        };
        if unknown.end > start {
            clipped.insert(0, unknown);
        }
    }
    clipped
}

impl Stretch<'_> {
    fn length(&self) -> Duration {
        self.end.duration_since(self.begin).unwrap_or_default()
    }

    /// The state, for people.
    fn word(&self) -> &str {
        match self.state {
            "" => "not known",
            "INIT" => "not running",
            state => state,
        }
    }

    /// The rest of its description.
    fn detail(&self) -> String {
        let master = self.master.filter(|_| self.state == "BACKUP");
        let master = master.map(|master| format!(" of {master}")).unwrap_or_default();
        let now = self.now.filter(|now| self.state == "BACKUP" && self.master != Some(now));
        let now = now.map(|now| format!(", master now {now}")).unwrap_or_default();
        let reason = if self.reason.is_empty() { String::new() } else { format!(" ({})", self.reason) };
        let doubt = if self.is_doubtful { "; the daemon ended in between" } else { "" };
        format!("{}{master}{reason}{now}{doubt}", self.word())
    }
}

/// Stretches that are long enough to be seen, the present one in any case, and marks between them.
fn pieces<'a>(stretches: &[Stretch<'a>]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let Some((present, earlier)) = stretches.split_last() else { return pieces };
    for stretch in earlier {
        match pieces.last_mut() {
            Some(Piece::Mark(mark)) if stretch.length() < SHORT => mark.push(*stretch),
            _ if stretch.length() < SHORT => pieces.push(Piece::Mark(vec![*stretch])),
            _ => pieces.push(Piece::Stretch(*stretch)),
        }
    }
    pieces.push(Piece::Stretch(*present));
    pieces
}

/// The name of an instance, and its bar.
fn row(out: &mut String, name: &str, node: &str, stretches: &[Stretch<'_>]) -> fmt::Result {
    writeln!(
        out,
        "<b>{}</b><div class=\"bar\" role=\"img\" aria-label=\"{}\">",
        Escaped(name),
        Escaped(&summary(stretches))
    )?;
    for piece in pieces(stretches) {
        match piece {
            Piece::Stretch(it) => {
                let text = match it.state {
                    "MASTER" => node,
                    "BACKUP" => it.master.unwrap_or("BACKUP"),
                    "FAULT" => "FAULT",
                    _ => "",
                };
                let class =
                    if it.is_doubtful { format!("{} doubtful", it.state) } else { it.state.to_owned() };
                let title = format!("{}, {}: {}", shown(it.begin), span(it.length()), it.detail());
                element(out, &class, it.length(), &title, text)?;
            }
            Piece::Mark(all) => {
                let lasts = all.iter().map(Stretch::length).sum();
                let begin = all.first().map_or(SystemTime::UNIX_EPOCH, |it| it.begin);
                let named = all.iter().take(NAMED).map(|it| format!("{} {}", it.detail(), span(it.length())));
                let mut title = format!("{}: {}", shown(begin), named.collect::<Vec<_>>().join(", "));
                if all.len() > NAMED {
                    let _ = write!(title, ", and {} more", all.len() - NAMED);
                }
                element(out, "mark", lasts, &title, "")?;
            }
        }
    }
    writeln!(out, "</div>")
}

fn element(out: &mut String, class: &str, lasts: Duration, title: &str, text: &str) -> fmt::Result {
    let (class, title, text) = (Escaped(class), Escaped(title), Escaped(text));
    writeln!(out, "<i class=\"{class}\" style=\"flex-grow:{}\" title=\"{title}\">{text}</i>", lasts.as_secs())
}

/// For those who do not see the bar.
fn summary(stretches: &[Stretch<'_>]) -> String {
    let of = |state: &str| -> Option<String> {
        let all = stretches.iter().filter(|it| it.word() == state);
        let lasts: Duration = all.map(Stretch::length).sum();
        (lasts > Duration::ZERO).then(|| format!("{state} for {}", span(lasts)))
    };
    let states = ["MASTER", "BACKUP", "FAULT", "not running", "not known"];
    states.into_iter().filter_map(of).collect::<Vec<_>>().join(", ")
}

fn span(lasts: Duration) -> String {
    rough(lasts.as_secs_f64())
}

/// Every quarter of the day by the clock.
fn axis(out: &mut String, start: SystemTime) -> fmt::Result {
    write!(out, "<span></span><div class=\"axis\">")?;
    for quarter in 0..4_u32 {
        let at = start.checked_add(DAY / 4 * quarter).unwrap_or(start);
        write!(out, "<span>{}</span>", clock_millis(at).get(..5).unwrap_or_default())?;
    }
    writeln!(out, "<span>now</span></div>")
}

fn legend(out: &mut String) -> fmt::Result {
    let signs = [
        ("MASTER", "MASTER: this node"),
        ("BACKUP", "BACKUP, with the master if it is known"),
        ("FAULT", "FAULT"),
        ("mark", "short changes"),
        ("MASTER doubtful", "the daemon ended in between"),
        ("", "not running, or not known"),
    ];
    write!(out, "<p class=\"legend soft\">")?;
    for (class, what) in signs {
        writeln!(out, "<span><i class=\"{class}\"></i>{what}</span>")?;
    }
    writeln!(out, "</p>")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment of the day, in minutes.
    fn at(minute: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 * 60 + minute * 60)
    }

    fn step<'a>(minute: u64, from: &'a str, to: &'a str, reason: &'a str, peer: Option<&'a str>) -> Move<'a> {
        Move { at: at(minute), from, to, reason, peer }
    }

    fn now(state: &str) -> Present<'_> {
        Present { state, since: None, reason: "startup", master: None }
    }

    /// Begin and end in minutes, the state, the master, and whether it is doubtful.
    type Row<'a> = (u64, u64, &'a str, Option<&'a str>, bool);

    fn rows<'a>(stretches: &[Stretch<'a>]) -> Vec<Row<'a>> {
        let minute = |time: SystemTime| time.duration_since(at(0)).unwrap().as_secs() / 60;
        let row = |it: &Stretch<'a>| (minute(it.begin), minute(it.end), it.state, it.master, it.is_doubtful);
        stretches.iter().map(row).collect()
    }

    #[test]
    fn transitions_become_stretches_without_holes() {
        let moves = [
            step(10, "INIT", "BACKUP", "startup", None),
            step(20, "BACKUP", "MASTER", "master_silent", Some("192.0.2.2")),
            step(500, "MASTER", "BACKUP", "higher_priority", Some("192.0.2.2")),
        ];
        let all = stretches(&now("BACKUP"), &moves, at(0), at(1440));
        assert_eq!(
            rows(&all),
            [
                (0, 10, "", None, false),
                (10, 20, "BACKUP", None, false),
                (20, 500, "MASTER", None, false),
                (500, 1440, "BACKUP", Some("192.0.2.2"), false),
            ]
        );
        // Another router is master since: no transition of this node says when.
        let other = Present { master: Some("192.0.2.3"), ..now("BACKUP") };
        let present = stretches(&other, &moves, at(0), at(1440)).pop().unwrap();
        assert_eq!((present.master, present.now), (Some("192.0.2.2"), Some("192.0.2.3")));
        assert_eq!(present.detail(), "BACKUP of 192.0.2.2 (higher_priority), master now 192.0.2.3");
        let later = clipped(all, at(100));
        assert_eq!(rows(&later)[0], (100, 500, "MASTER", None, false));
    }

    #[test]
    fn a_daemon_that_was_killed_leaves_a_doubt() {
        let moves = [
            step(10, "BACKUP", "MASTER", "master_silent", None),
            step(300, "INIT", "BACKUP", "startup", None),
        ];
        let all = stretches(&now("BACKUP"), &moves, at(0), at(400));
        let expected = [
            (0, 10, "BACKUP", None, false),
            (10, 300, "MASTER", None, true),
            (300, 400, "BACKUP", None, false),
        ];
        assert_eq!(rows(&all), expected);
    }

    #[test]
    fn without_events_the_present_state_counts_from_its_begin() {
        let since = Some(at(30));
        let all = clipped(stretches(&Present { since, ..now("MASTER") }, &[], at(0), at(60)), at(0));
        assert_eq!(rows(&all), [(0, 30, "", None, false), (30, 60, "MASTER", None, false)]);
        let all = clipped(stretches(&Present { since, ..now("MASTER") }, &[], at(40), at(60)), at(20));
        assert_eq!(rows(&all), [(20, 30, "", None, false), (30, 60, "MASTER", None, false)]);
        let all = stretches(&now("INIT"), &[], at(0), at(60));
        assert_eq!(rows(&all), [(0, 60, "", None, false)]);
    }

    /// A clock that was set back gives no stretch that ends before it begins.
    #[test]
    fn time_does_not_run_backwards() {
        let moves = [
            step(50, "INIT", "BACKUP", "startup", None),
            step(20, "BACKUP", "MASTER", "master_silent", None),
            step(2000, "MASTER", "FAULT", "link_down", None),
        ];
        let all = stretches(&now("FAULT"), &moves, at(0), at(60));
        let expected =
            [(0, 20, "", None, false), (20, 60, "MASTER", None, false), (60, 60, "FAULT", None, false)];
        assert_eq!(rows(&all), expected);
    }

    #[test]
    fn short_stretches_are_one_mark_and_the_present_one_is_none() {
        let mut moves = vec![step(10, "INIT", "BACKUP", "startup", None)];
        for minute in 600..620 {
            let (from, to) = if minute % 2 == 0 { ("BACKUP", "MASTER") } else { ("MASTER", "BACKUP") };
            moves.push(step(minute, from, to, "preempted", None));
        }
        moves.push(step(1439, "BACKUP", "MASTER", "preempted", None));
        let all = stretches(&now("MASTER"), &moves, at(0), at(1440));
        let pieces = pieces(&all);
        let marks: Vec<usize> =
            pieces.iter().map(|it| if let Piece::Mark(all) = it { all.len() } else { 0 }).collect();
        assert_eq!(marks, [0, 0, 19, 0, 0], "{pieces:?}");
        let mut out = String::new();
        row(&mut out, "web <1>", "node", &all).unwrap();
        assert!(out.contains("web &lt;1&gt;") && out.contains("and 15 more"), "{out}");
        assert!(
            out.contains("aria-label=\"MASTER for 11m 0s, BACKUP for 23h 39m, not known for 10m 0s\""),
            "{out}"
        );
    }
}
