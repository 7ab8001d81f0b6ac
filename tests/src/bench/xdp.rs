//! Cost of the BPF program by BPF_PROG_TEST_RUN: each kind of frame beside an empty program in the same run.
//!
//! Only differences count: the time of an empty run depends on the machine. A cell has the difference of the medians,
//! and best/median of the empty program's times and of ours.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use vrrp_ebpf::map::{Counter, InstanceKey, InstanceRules, LeaseKey};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::address::widen;
use vrrp_user::driver::clock;
use vrrp_user::driver::xdp::{Entry, Program};
use vrrp_user::protocol::InstanceId;

use super::{Cell, Figure, Plan, Row, Sheet, millis};
use crate::packet::{self, Frame, V3_IPV4, V3_IPV6};
use crate::{FIRST, SECOND};

/// Runs of the program per measurement, and measurements per case.
const REPEAT: u32 = 500_000;
const ROUNDS: usize = 7;

/// Nanoseconds that a frame may cost more than with an empty program: other traffic, and a steady advert.
const OTHER: Option<f64> = Some(2.0);
const STEADY: Option<f64> = Some(60.0);
const STEADY_OF_MANY: Option<f64> = Some(90.0);

/// BPF_PROG_TEST_RUN presents frames as those of the loopback device.
const LOOPBACK: u32 = 1;
/// Longer than a row takes.
const LEASE: Duration = Duration::from_secs(3600);
/// TCP, as an example of other traffic.
const TCP: u8 = 6;

/// Addresses of the instances, one per family.
const OURS: [&str; 2] = ["192.0.2.100", "fe80::100"];

struct Case {
    name: &'static str,
    frame: Vec<u8>,
    state: State,
    goal: Option<f64>,
}

/// State of the maps when the frame arrives.
#[derive(Clone, Copy)]
enum State {
    Plain,
    /// The message at this offset is the watched one.
    Watched(usize),
    /// The instance may answer for its address.
    Leased,
    /// Its lease has expired.
    Lapsed,
}

/// Measures the load of the program, and then each frame at each entry.
pub fn measure(plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let started = clock::now();
    let mut program = Program::load(2)?;
    let load = clock::now().since(started);
    program.maps().reach(2)?;
    for (slot, family) in [(FIRST, Family::V4), (SECOND, Family::V6)] {
        program.maps().set_slot(slot, &InstanceRules { version: 3, ..InstanceRules::UNUSED });
        program.insert(InstanceKey::new(LOOPBACK, 0, family, packet::VRID), slot)?;
    }
    for (slot, address) in [FIRST, SECOND].into_iter().zip(OURS) {
        let address: IpAddr = address.parse()?;
        let family = Family::of(address) as u32;
        program.fence(LeaseKey { ifindex: LOOPBACK, family, address: widen(address) }, slot)?;
    }
    let cell = Cell::new(format!("{} ms", millis(load))).with(Figure::millis("load", load));
    sheet.add(&Row::new("load of all maps and both entries", "–", vec![cell]))?;
    for entry in Entry::ALL {
        let verified = program.verification(entry).map_err(|error| anyhow!("{entry:?}: {error}"))?;
        let count = verified.instructions.context("the kernel does not count (Linux 5.16)")?;
        let cell = Cell::new(format!("{count} in {} ms", millis(verified.duration)))
            .with(Figure::new("instructions", f64::from(count), ""))
            .with(Figure::millis("verification", verified.duration));
        sheet.add(&Row::new(format!("{}: instructions verified", word(entry)), "–", vec![cell]))?;
    }
    let repeat = if plan.quick { REPEAT / 10 } else { REPEAT };
    for case in cases()? {
        for entry in Entry::ALL {
            let cell = cost(&mut program, entry, &case, repeat)?;
            let goal = case.goal.map_or("–".to_owned(), |goal| format!("≤ {goal} ns more"));
            sheet.add(&Row::new(format!("{}, {}", case.name, word(entry)), goal, vec![cell]))?;
        }
    }
    Ok(())
}

fn word(entry: Entry) -> String {
    format!("{entry:?}").to_lowercase()
}

fn cases() -> Result<Vec<Case>> {
    let plain = |name, frame: Frame| Case { name, frame: frame.build(), state: State::Plain, goal: None };
    let other = |name, frame| Case { goal: OTHER, ..plain(name, frame) };
    let steady = |name, frame, at, goal| Case { state: State::Watched(at), goal, ..plain(name, frame) };
    let asks = |name, target: IpAddr, state| Case {
        name,
        frame: packet::address_request(target, &[]),
        state,
        goal: None,
    };
    let [v4, v6] = [OURS[0].parse()?, OURS[1].parse()?];
    Ok(vec![
        other("TCP over IPv4", packet::advert(V3_IPV4, 1).protocol(TCP)),
        other("TCP over IPv6", packet::advert(V3_IPV6, 1).protocol(TCP)),
        steady("steady, 1 address", packet::advert(V3_IPV4, 1), 34, STEADY),
        steady("steady, 20 addresses", packet::advert(V3_IPV4, 20), 34, STEADY_OF_MANY),
        steady("steady, IPv6, 20 addresses", packet::advert(V3_IPV6, 20), 54, STEADY_OF_MANY),
        plain("TTL 64", packet::advert(V3_IPV4, 1).ttl(64)),
        plain("wrong checksum", packet::advert(V3_IPV4, 1).wrong_checksum()),
        plain("unknown VRID", packet::advert(V3_IPV4, 1).byte(1, packet::VRID + 1)),
        asks("ARP for another address", "192.0.2.101".parse()?, State::Plain),
        asks("ARP, live lease", v4, State::Leased),
        asks("ARP, ended lease: drop", v4, State::Lapsed),
        asks("solicitation, live lease", v6, State::Leased),
        asks("solicitation, ended: drop", v6, State::Lapsed),
    ])
}

fn cost(program: &mut Program, entry: Entry, case: &Case, repeat: u32) -> Result<Cell> {
    let maps = program.maps();
    let slot = if case.frame.get(12..14) == Some(&[0x86, 0xdd]) { SECOND } else { FIRST };
    let expected = match case.state {
        State::Plain => None,
        State::Watched(at) => {
            // The first run records the peer.
            program.run(entry, &case.frame, 1)?;
            let message = case.frame.get(at..).context("no message")?;
            let source = source(&case.frame, slot)?;
            let (index, _) = maps
                .peers(slot)
                .find(|(_, peer)| peer.source == source)
                .context("the program has not recorded the sender")?;
            maps.arm(slot, source, index, message, Timestamp::ZERO);
            Some(Counter::Steady)
        }
        State::Leased => {
            maps.set_lease(slot, Some(clock::now() + LEASE));
            None
        }
        State::Lapsed => {
            maps.set_lease(slot, Some(clock::now()));
            Some(Counter::Fenced)
        }
    };
    // Adverts of the rows before have suspended the lease until the daemon would have judged them.
    maps.settle_challenge(slot, clock::now());
    let counted = || {
        let counters = maps.counters(Some(slot));
        [Counter::Steady, Counter::Fenced].map(|counter| counters.counter(counter))
    };
    let before = counted();
    let (mut empty, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        empty.push(program.run_empty(entry, &case.frame, repeat)?.duration);
        ours.push(program.run(entry, &case.frame, repeat)?.duration);
    }
    let raised = counted().iter().zip(before).map(|(after, before)| *after > before).collect::<Vec<_>>();
    let meant = [Counter::Steady, Counter::Fenced].map(|counter| Some(counter) == expected);
    ensure!(raised == meant, "{}: unexpected counters", case.name);
    maps.disarm(slot);
    let (empty, ours) = (spread(empty), spread(ours));
    let text = |(best, median): (Duration, Duration)| format!("{}/{}", best.as_nanos(), median.as_nanos());
    let more = figure("more", ours.1.saturating_sub(empty.1));
    let more = case.goal.map_or(more, |goal| more.at_most(goal * 10.0));
    let difference = ours.1.saturating_sub(empty.1).as_nanos();
    Ok(Cell::new(format!("+{difference} ns; empty {}, ours {} ns", text(empty), text(ours)))
        .with(figure("empty best", empty.0))
        .with(figure("empty median", empty.1))
        .with(figure("best", ours.0))
        .with(figure("median", ours.1))
        .with(more))
}

fn figure(name: &'static str, span: Duration) -> Figure {
    Figure::new(name, span.as_secs_f64() * 1e9, "ns")
}

/// Best and median.
fn spread(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    let at = |index: usize| times.get(index).copied().unwrap_or_default();
    (at(0), at(times.len() / 2))
}

fn source(frame: &[u8], slot: InstanceId) -> Result<[u8; 16]> {
    let mut source = [0; 16];
    let bytes = if slot == FIRST { frame.get(26..30) } else { frame.get(22..38) }.context("no source")?;
    source.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    ensure!(source != [0; 16], "no sender: {:?}", IpAddr::from(source));
    Ok(source)
}
