//! A [`Status`] for the person on call, 80 columns wide or as wide as a narrower terminal: who is master, why, since
//! when, and what is wrong.
//!
//! Absent: how adverts arrive, timers, and whatever is as it should be; [`super::table`] has all of it.

use std::fmt::Write;

use super::problem::Problem;
use super::span::rough;
use super::{Address, Instance, Status};
use crate::config::{padded, width, wrapped_at};
use crate::daemon::wall::shown_of;

/// Columns of a terminal of the usual width.
pub const WIDTH: usize = 80;

/// Beyond so many instances only those with a problem are shown one by one.
const FEW: usize = 20;

/// Addresses of an instance that are shown one by one.
const ADDRESSES: usize = 3;

/// Problems that are shown one by one.
const PROBLEMS: usize = 20;

/// Names are padded to this width at most.
const NAME_MAX: usize = 20;

const STATE_WIDTH: usize = "MASTER".len();
const SINCE_WIDTH: usize = "23h 59m".len();

/// From this width on, the reason of a state stands beside it.
const BESIDE: usize = 60;

/// What the screen shows, and how.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Every instance, however many there are.
    pub all: bool,
    /// With colours of ECMA-48 (SGR).
    pub colours: bool,
    /// Columns of a line.
    pub width: usize,
}

impl Default for View {
    fn default() -> Self {
        Self { all: false, colours: false, width: WIDTH }
    }
}

/// Ends with a line feed.
pub fn overview(status: &Status, view: View) -> String {
    let problems: Vec<_> = status.problems().collect();
    let mut out = String::new();
    head(&mut out, status, problems.len(), view.width);
    if let Some(log) = &status.node.log {
        wrapped_at(view.width, &mut out, "", &log.to_string(), 2);
    }
    let is_many = status.instances.len() > FEW && !view.all;
    let shown: Vec<&Instance> = status.instances.iter().filter(|it| !is_many || !is_well(it)).collect();
    if is_many {
        counts(&mut out, &status.instances, view.width);
    }
    if !shown.is_empty() {
        rows(&mut out, &shown, view);
    }
    let rest = status.instances.len() - shown.len();
    if is_many {
        let _ = writeln!(out, "\n{rest} others are as they should be: vrrpx status --all");
    }
    if !problems.is_empty() {
        out.push('\n');
    }
    for problem in problems.iter().take(PROBLEMS) {
        remark(&mut out, problem, view);
    }
    if problems.len() > PROBLEMS {
        let _ = writeln!(out, "! {} more problems: vrrpx status --verbose", problems.len() - PROBLEMS);
    }
    out
}

fn head(out: &mut String, status: &Status, problems: usize, columns: usize) {
    let node = &status.node;
    let loaded = to_the_minute(&status.configuration.loaded);
    let problems = match problems {
        0 => "no problem".to_owned(),
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    let up = rough(node.uptime_seconds);
    let pieces = [
        format!("{}  vrrpx {}", node.router_id, node.version),
        format!("up {up}"),
        format!("configuration of {loaded}"),
        problems,
    ];
    // A long name does not push the rest out of sight.
    let mut taken = 0;
    for (index, piece) in pieces.iter().enumerate() {
        let length = width(piece);
        if index > 0 && taken + 2 + length > columns {
            out.push_str(",\n  ");
            taken = 2;
        } else if index > 0 {
            out.push_str(", ");
            taken += 2;
        }
        out.push_str(piece);
        taken += length;
    }
    out.push('\n');
}

/// A local time with its zone, without seconds.
fn to_the_minute(time: &str) -> String {
    let shown = shown_of(time);
    match (shown.get(..16), shown.get(19..)) {
        (Some(minute), Some(zone)) => format!("{minute}{zone}"),
        _ => shown,
    }
}

fn is_well(instance: &Instance) -> bool {
    matches!(instance.state.as_str(), "MASTER" | "BACKUP") && instance.problems().is_empty()
}

fn counts(out: &mut String, instances: &[Instance], columns: usize) {
    let count = |state: &str| {
        let count = instances.iter().filter(|instance| instance.state == state).count();
        (count > 0).then(|| format!("{count} {state}"))
    };
    let by_state: Vec<_> = ["MASTER", "BACKUP", "FAULT", "INIT"].into_iter().filter_map(count).collect();
    wrapped_at(columns, out, "", &format!("{} instances: {}", instances.len(), by_state.join(", ")), 2);
}

fn rows(out: &mut String, instances: &[&Instance], view: View) {
    let longest = instances.iter().map(|it| width(&it.name)).max().unwrap_or_default();
    let most = NAME_MAX.min(view.width.saturating_sub(STATE_WIDTH + SINCE_WIDTH + 4));
    let name_width = longest.min(most).max("INSTANCE".len());
    let row = |name: &str, state: &str, since: &str| {
        format!("{}  {state:<STATE_WIDTH$}  {since:<SINCE_WIDTH$}  ", padded(name, name_width))
    };
    let is_beside = view.width >= BESIDE;
    let below = if is_beside { name_width + 2 } else { 2 };
    let head = row("INSTANCE", "STATE", "SINCE");
    let indent = if is_beside { width(&head) } else { below };
    let _ = writeln!(out, "\n{}", if is_beside { head + "WHY" } else { head.trim_end().to_owned() });
    for instance in instances {
        let since = instance.since_seconds.map_or_else(|| "-".to_owned(), rough);
        let mut first = row(&instance.name, &instance.state, &since);
        let mut text = String::new();
        if width(&instance.name) > name_width {
            let _ = writeln!(text, "{}", instance.name);
            first = row("", &instance.state, &since);
        }
        if !is_beside {
            let _ = writeln!(text, "{}", first.trim_end());
            first = " ".repeat(below);
        }
        wrapped_at(view.width, &mut text, &first, &instance.why, indent);
        let mut add = |line: &str| wrapped_at(view.width, &mut text, &" ".repeat(below), line, below);
        add(&served(instance));
        instance.steering.iter().for_each(|order| add(&order.to_string()));
        if let (true, Some(colour)) = (view.colours, colour(&instance.state)) {
            let state = &instance.state;
            text = text.replacen(&format!("  {state}"), &format!("  {colour}{state}{RESET}"), 1);
        }
        out.push_str(&text);
    }
}

/// Where the addresses of an instance are, and how the election stands.
pub fn served(instance: &Instance) -> String {
    let interface = |it: &Address| it.interface.clone();
    let shown = instance.addresses.iter().take(ADDRESSES).map(|it| it.address.as_str());
    let mut addresses = shown.collect::<Vec<_>>().join(", ");
    if instance.addresses.len() > ADDRESSES {
        let _ = write!(addresses, " and {} more", instance.addresses.len() - ADDRESSES);
    }
    if addresses.is_empty() {
        "no virtual address".clone_into(&mut addresses);
    }
    let priority = instance.priority;
    let priority = match priority.configured {
        configured if configured == priority.effective => format!("priority {configured}"),
        configured => format!("priority {} instead of {configured}", priority.effective),
    };
    let is_set = instance.addresses.iter().all(|it| it.interface.is_some());
    match instance.state.as_str() {
        "MASTER" => {
            let on = instance.addresses.iter().find_map(interface);
            let on = on.filter(|_| is_set).map(|on| format!(" on {on}")).unwrap_or_default();
            let is_answered = is_set && instance.addresses.iter().all(|it| it.answered == Some(true));
            let answers = if is_answered && !on.is_empty() { ", would answer" } else { "" };
            format!("{addresses}{on}{answers}; {priority}")
        }
        _ => {
            let at = instance.heard_master().map(|peer| {
                format!(" at {}, last advert {} ago", peer.address, rough(peer.last_advert_seconds))
            });
            format!("{addresses}{}; {priority}", at.unwrap_or_default())
        }
    }
}

fn remark(out: &mut String, problem: &Problem<'_>, view: View) {
    let mark = if view.colours { format!("{YELLOW}!{RESET}") } else { "!".to_owned() };
    let mut text = String::new();
    wrapped_at(view.width, &mut text, &format!("! {}: ", problem.about), &problem.text, 4);
    out.push_str(&mark);
    out.push_str(text.strip_prefix('!').unwrap_or(&text));
}

const RESET: &str = "\x1b[0m";
const YELLOW: &str = "\x1b[33m";

fn colour(state: &str) -> Option<&'static str> {
    match state {
        "MASTER" => Some("\x1b[1;32m"),
        "FAULT" => Some("\x1b[31m"),
        _ => None,
    }
}
