//! Rows of requirements, and the script of each: one input to a line, and behind `->` the actions that it must cause.
//!
//! ```text
//! B06: the master's silence ends after master_down_interval
//!     given patience 2
//!     startup
//!     hear 150 from 120        -> watch
//!     wait down - 1ns
//!     wait 1ns                 -> advert 100, add, unwatch, MASTER master_silent
//!     is MASTER
//! ```
//! A blank line ends a row. `for version 2|3` restricts it to some variants; `given SETTING` changes the settings
//! before the start, as `configure SETTING` does later; [`change`] has the settings.
//!
//! Inputs: `startup`, `master` (`startup`, and the wait until it is master), `shutdown`, `restart [[unsent] in T]` (hot
//! restart), `link up|down`, `source N|none`, `track N up|down`, `value N NUMBER` (of a tracked file), `hear P from N
//! [every Ncs]`, `lost address [N...]`, `lost path|flushed|shared`, `lapsed`, `refused`, `sends`, `renew` (a reload),
//! `deaf`, `hear P from N sent T ago`, `seen` (the watched advert, now), `seen T ago`, `steer
//! maintenance|away|priority P|nothing` (an operator's orders; `away` is a failover), `announce`, `ask` (an ARP
//! request, which reaches the router if it has asked for that). Time: `wait T` wakes at every timeout, `sleep T` lets
//! time pass unhandled, `freeze T` does so and then handles what was due, `call` handles what is due now. Assertions:
//! `is STATE`, `epoch N`, `suspensions N`, `rivalled T`, `effective P`. T is a sum of terms: `down` and `skew` (for
//! the interval known), `A` (own interval), and numbers with `ns`, `us`, `ms`, `cs` or `s`.

use std::time::Duration;

use vrrp_user::protocol::{
    ElectionSettings, Event, InstanceId, Interval, Loss, Order, Priority, Steering, SteeringOrder, TrackId,
    TrackSettings, Version,
};

use super::setup::{Bench, ID, Variant, centiseconds, file, tracked};

const MASTER: &str = "
    startup         -> BACKUP startup
    wait down       -> advert 100, add, MASTER master_silent";

/// Each row of the text as its header and its script.
pub(crate) fn rows(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    text.trim().split("\n\n").map(|row| row.split_once('\n').unwrap())
}

/// Runs the script in each variant that it is for; panics at the first line with other actions.
pub(crate) fn run(header: &str, script: &str) {
    let version = settings_of(script, "for").next().map(|words| match *words {
        ["version", "2"] => Version::V2,
        ["version", "3"] => Version::V3,
        _ => panic!("{header}: no such version: {words:?}"),
    });
    for variant in Variant::ALL {
        if version.is_some_and(|version| version != variant.version()) {
            continue;
        }
        let mut settings = variant.settings();
        for words in settings_of(script, "given") {
            change(&mut settings, &words);
        }
        let mut bench = Bench::new(variant, settings);
        perform(&format!("{header}, {variant:?}"), script, |words| step(&mut bench, words));
    }
}

/// The words of each line that begins with this one, without it.
pub(crate) fn settings_of<'a>(script: &'a str, keyword: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    script
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(move |words| words.first() == Some(&keyword))
        .map(|words| words[1..].to_vec())
}

/// Handles the lines one by one; panics at the first one with other actions.
pub(crate) fn perform(what: &str, script: &str, mut step: impl FnMut(&[&str]) -> Vec<String>) {
    for (number, line) in (1..).zip(script.lines()) {
        let (input, expected) = line.split_once("->").unwrap_or((line, ""));
        let words: Vec<_> = input.split_whitespace().collect();
        if let [] | ["for" | "given", ..] = *words {
            continue;
        }
        let actions = step(&words).join(", ");
        assert_eq!(actions, expected.trim(), "{what}, line {number}: {}", line.trim());
    }
}

fn lose(bench: &mut Bench, loss: Loss, numbers: &[&str]) -> Vec<String> {
    let variant = bench.variant;
    let addresses = numbers.iter().map(|number| variant.address(number.parse().unwrap()));
    bench.handle(&Event::Lost(ID, loss, addresses.collect()))
}

fn step(bench: &mut Bench, words: &[&str]) -> Vec<String> {
    match *words {
        ["startup"] => bench.handle(&Event::Startup),
        ["master"] => {
            perform("master", MASTER, |words| step(bench, words));
            Vec::new()
        }
        ["restart"] => bench.restart(Duration::ZERO, false),
        ["restart", "in", ref terms @ ..] => {
            let after = span(bench, terms);
            bench.restart(after, true)
        }
        ["restart", "unsent", "in", ref terms @ ..] => {
            let after = span(bench, terms);
            bench.restart(after, false)
        }
        ["epoch", epoch] => {
            assert_eq!(bench.instance().epoch().0, epoch.parse::<u64>().unwrap());
            Vec::new()
        }
        ["shutdown"] => bench.handle(&Event::Shutdown),
        ["link", state] => bench.handle(&Event::Link(ID, state == "up")),
        ["source", "none"] => bench.handle(&Event::Source(ID, None)),
        ["source", from] => {
            let source = bench.variant.address(from.parse().unwrap());
            bench.handle(&Event::Source(ID, Some(source)))
        }
        ["track", id, state] => bench.handle(&Event::Track(TrackId(id.parse().unwrap()), state == "up")),
        ["value", id, value] => {
            bench.handle(&Event::Value(TrackId(id.parse().unwrap()), value.parse().unwrap()))
        }
        ["lost", "address"] => lose(bench, Loss::Address, &["200"]),
        ["lost", "address", ref numbers @ ..] => lose(bench, Loss::Address, numbers),
        ["deaf"] => bench.handle(&Event::NotReceiving(ID)),
        ["ask"] => bench.ask(),
        ["announce"] => bench.handle(&Event::Announce(ID)),
        ["steer", ref order @ ..] => bench.handle(&steer(&[ID], order)),
        ["lapsed"] => bench.handle(&Event::Lapsed(ID)),
        ["sends"] => bench.handle(&Event::SendsAgain(ID)),
        ["refused"] => bench.handle(&Event::Refused(ID)),
        ["lost", "shared"] => lose(bench, Loss::Shared, &[]),
        ["lost", "flushed"] => lose(bench, Loss::Flushed, &[]),
        ["renew"] => bench.renew(),
        ["lost", "path"] => lose(bench, Loss::Path, &[]),
        ["configure", ref change @ ..] => configure(bench, change),
        ["hear", priority, "from", from, "in", "version", "2"] => {
            let (priority, from) = (priority.parse().unwrap(), from.parse().unwrap());
            bench.hear_in(Version::V2, priority, from, Interval::SECOND, Duration::ZERO)
        }
        ["hear", priority, "from", from, ref how @ ..] => {
            let (interval, age) = match how {
                ["sent", age @ .., "ago"] => (Interval::SECOND, span(bench, age)),
                every => (heard_interval(bench.variant.version(), every), Duration::ZERO),
            };
            bench.hear(priority.parse().unwrap(), from.parse().unwrap(), interval, age)
        }
        ["seen"] => bench.handle(&Event::Seen(ID, bench.now)),
        ["seen", ref age @ .., "ago"] => {
            let stamp = bench.now - span(bench, age);
            bench.handle(&Event::Seen(ID, stamp))
        }
        ["call"] => bench.freeze(Duration::ZERO),
        ["wait", ref terms @ ..] => bench.wait(span(bench, terms)),
        ["freeze", ref terms @ ..] => bench.freeze(span(bench, terms)),
        ["sleep", ref terms @ ..] => {
            bench.now = bench.now + span(bench, terms);
            Vec::new()
        }
        ["is", state] => {
            assert_eq!(bench.state().as_str(), state);
            Vec::new()
        }
        ["suspensions", count] => {
            assert_eq!(bench.instance().stats().suspensions, count.parse::<u64>().unwrap());
            Vec::new()
        }
        ["rivalled", ref terms @ ..] => {
            assert_eq!(bench.instance().stats().rivalled, span(bench, terms));
            Vec::new()
        }
        ["effective", priority] => {
            assert_eq!(bench.instance().priority().0, priority.parse::<u8>().unwrap());
            Vec::new()
        }
        _ => panic!("not an input: {words:?}"),
    }
}

/// Orders of an operator for these instances, in place of those before.
pub(crate) fn steer(instances: &[InstanceId], words: &[&str]) -> Event {
    let none = Steering::default();
    let steering = match *words {
        ["nothing"] => none,
        ["maintenance"] => Steering { maintenance: true, ..none },
        ["away"] => Steering { steps_back: true, ..none },
        ["priority", priority] => Steering { priority: Some(Priority(priority.parse().unwrap())), ..none },
        _ => panic!("not an order: {words:?}"),
    };
    let hands_over = steering.steps_back;
    let order = |instance: &InstanceId| SteeringOrder { instance: *instance, steering, hands_over };
    Event::Steer(instances.iter().map(order).collect())
}

/// Applies changed settings.
fn configure(bench: &mut Bench, words: &[&str]) -> Vec<String> {
    let mut settings = bench.instance().settings().clone();
    match *words {
        ["nothing"] => {}
        ["away"] => return bench.remove(),
        ["one", "address", "more"] => settings.advertised.push(bench.variant.address(77)),
        _ => change(&mut settings, words),
    }
    bench.configure(settings)
}

/// Changes one setting; `unknown` is a track without a result yet.
pub(crate) fn change(settings: &mut ElectionSettings, words: &[&str]) {
    match *words {
        ["priority", priority] => settings.priority = Priority(priority.parse().unwrap()),
        ["interval", interval] => {
            settings.advert_interval = Interval::new(constant(interval), settings.version).unwrap();
        }
        ["preempt", "off"] => settings.preempt = false,
        ["preempt_delay", delay] => settings.preempt_delay = constant(delay),
        ["patience", adverts] => settings.down_timer_adverts = adverts.parse().unwrap(),
        ["also_v2"] => settings.also_v2 = true,
        ["handover", "overlap"] => settings.handover = Order::Overlap,
        ["virtual_mac"] => settings.has_virtual_mac = true,
        ["ignore_own_link"] => settings.ignore_own_link = true,
        ["owner_ignores"] => settings.owner_ignores = true,
        ["lower_prio_no_advert"] => settings.lower_prio_no_advert = true,
        ["higher_prio_send_advert", state] => settings.higher_prio_send_advert = state == "on",
        ["announce", "repeat", count] => settings.announce.repeat = count.parse().unwrap(),
        ["announce", "delay", delay] => settings.announce.delay = constant(delay),
        ["announce", "refresh", interval] => settings.announce.refresh = constant(interval),
        ["announce", "refresh_repeat", count] => settings.announce.refresh_repeat = count.parse().unwrap(),
        ["announce", "lower_prio_repeat", count] => {
            settings.announce.lower_prio_repeat = count.parse().unwrap();
        }
        ["announce", "lower_prio_delay", delay] => settings.announce.lower_prio_delay = constant(delay),
        ["track", id, "weight", weight, ref how @ ..] => {
            let track = tracked(id.parse().unwrap(), weight.parse().unwrap());
            settings.tracks.push(match *how {
                [] => track,
                ["reverse"] => TrackSettings { reverse: true, ..track },
                ["unknown"] => TrackSettings { initial: None, ..track },
                _ => panic!("not a track: {how:?}"),
            });
        }
        ["file", id, "weight", weight] => {
            settings.tracks.push(file(id.parse().unwrap(), weight.parse().unwrap()));
        }
        ["tracks", "off"] => settings.tracks.clear(),
        _ => panic!("not a setting: {words:?}"),
    }
}

fn heard_interval(version: Version, words: &[&str]) -> Interval {
    match (words, version) {
        ([], _) => Interval::SECOND,
        (["every", count], Version::V3) => centiseconds(count.trim_end_matches("cs").parse().unwrap()),
        (["every", count], Version::V2) => {
            Interval::from_wire(count.trim_end_matches('s').parse().unwrap(), version).unwrap()
        }
        _ => panic!("no such interval: {words:?}"),
    }
}

fn span(bench: &Bench, terms: &[&str]) -> Duration {
    sum(terms, |term| match term {
        "down" => bench.instance().master_down_interval(),
        "skew" => bench.instance().skew(),
        "A" => bench.instance().settings().advert_interval.duration(),
        _ => constant(term),
    })
}

/// Terms with `+` and `-` between them.
pub(crate) fn sum(terms: &[&str], length: impl Fn(&str) -> Duration) -> Duration {
    let mut sum = Duration::ZERO;
    let mut is_negative = false;
    for term in terms {
        match *term {
            "+" => is_negative = false,
            "-" => is_negative = true,
            _ if is_negative => sum -= length(term),
            _ => sum += length(term),
        }
    }
    sum
}

/// A number with its unit.
pub(crate) fn constant(term: &str) -> Duration {
    let unit = term.trim_start_matches(|c: char| c.is_ascii_digit());
    let count: u64 = term.trim_end_matches(unit).parse().unwrap();
    match unit {
        "ns" => Duration::from_nanos(count),
        "us" => Duration::from_micros(count),
        "ms" => Duration::from_millis(count),
        "cs" => Duration::from_millis(10 * count),
        "s" => Duration::from_secs(count),
        _ => panic!("no such length: {term}"),
    }
}
