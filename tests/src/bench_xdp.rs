//! Cost of the BPF program by BPF_PROG_TEST_RUN: each kind of frame beside an empty program in the same run.
//!
//! Only differences count: the time of an empty run depends on the machine.

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

use crate::packet::{self, Frame, V3_IPV4, V3_IPV6};
use crate::{FIRST, SECOND};

/// Runs of the program per measurement, and measurements per row.
const REPEAT: u32 = 500_000;
const ROUNDS: usize = 7;

/// BPF_PROG_TEST_RUN presents frames as those of the loopback device.
const LOOPBACK: u32 = 1;
/// Longer than a row takes.
const LEASE: Duration = Duration::from_secs(3600);
/// TCP, as an example of other traffic.
const TCP: u8 = 6;

/// Addresses of the instances, one per family.
const OURS: [&str; 2] = ["192.0.2.100", "fe80::100"];

struct Row {
    name: &'static str,
    frame: Vec<u8>,
    state: State,
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

/// Prints the table.
pub fn run() -> Result<()> {
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
    println!("all maps and both entries: {:.1} ms", load.as_secs_f64() * 1e3);
    for entry in Entry::ALL {
        let verified = program.verification(entry).map_err(|error| anyhow!("{entry:?}: {error}"))?;
        let count = verified.instructions.context("the kernel does not count (Linux 5.16)")?;
        println!(
            "{entry:?}: {count} instructions verified in {:.1} ms",
            verified.duration.as_secs_f64() * 1e3
        );
    }
    println!("{:<26} {:>5} {:>16} {:>16} {:>10}", "frame", "hook", "empty ns", "ours ns", "more ns");
    for row in rows()? {
        for entry in Entry::ALL {
            measure(&mut program, entry, &row)?;
        }
    }
    println!("ns: best and median of {ROUNDS} measurements of {REPEAT} runs; more: by the medians");
    Ok(())
}

fn rows() -> Result<Vec<Row>> {
    let plain = |name, frame: Frame| Row { name, frame: frame.build(), state: State::Plain };
    let steady = |name, frame: Frame, at| Row { name, frame: frame.build(), state: State::Watched(at) };
    let asks = |name, target: IpAddr, state| Row { name, frame: packet::address_request(target, &[]), state };
    let [v4, v6] = [OURS[0].parse()?, OURS[1].parse()?];
    Ok(vec![
        plain("TCP over IPv4", packet::advert(V3_IPV4, 1).protocol(TCP)),
        plain("TCP over IPv6", packet::advert(V3_IPV6, 1).protocol(TCP)),
        steady("steady, 1 address", packet::advert(V3_IPV4, 1), 34),
        steady("steady, 20 addresses", packet::advert(V3_IPV4, 20), 34),
        steady("steady, IPv6, 20 addresses", packet::advert(V3_IPV6, 20), 54),
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

fn measure(program: &mut Program, entry: Entry, row: &Row) -> Result<()> {
    let maps = program.maps();
    let slot = if row.frame.get(12..14) == Some(&[0x86, 0xdd]) { SECOND } else { FIRST };
    let expected = match row.state {
        State::Plain => None,
        State::Watched(at) => {
            // The first run records the peer.
            program.run(entry, &row.frame, 1)?;
            let message = row.frame.get(at..).context("no message")?;
            let source = source(&row.frame, slot)?;
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
        empty.push(program.run_empty(entry, &row.frame, REPEAT)?.duration);
        ours.push(program.run(entry, &row.frame, REPEAT)?.duration);
    }
    let raised = counted().iter().zip(before).map(|(after, before)| *after > before).collect::<Vec<_>>();
    let meant = [Counter::Steady, Counter::Fenced].map(|counter| Some(counter) == expected);
    ensure!(raised == meant, "{}: unexpected counters", row.name);
    maps.disarm(slot);
    let (empty, ours) = (spread(empty), spread(ours));
    let hook = format!("{entry:?}").to_lowercase();
    let cell = |(best, median): (Duration, Duration)| format!("{}/{}", best.as_nanos(), median.as_nanos());
    let more = ours.1.saturating_sub(empty.1).as_nanos();
    println!("{:<26} {hook:>5} {:>16} {:>16} {more:>10}", row.name, cell(empty), cell(ours));
    Ok(())
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
