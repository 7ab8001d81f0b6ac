//! Rows m and n: the first moments of a takeover, from the new master's first advert.
//!
//! Announcements have the kernel's stamp at the bridge. The kernel notifies of an address in the call that sets it; a
//! thread of high real-time priority in the node's namespace reads the notification, for all daemons alike.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

use super::{Cell, Figure, Plan, Row, Samples};
use crate::clock::{elapse, poll, realtime};
use crate::daemon::{Config, Daemon, Instance, many};
use crate::lab::{INTERFACE, Node};
use crate::observe::{What, v4};
use crate::pair::{Pair, Role};
use crate::worker::{Workers, lock};

const MASTER: usize = 0;
const HEIR: usize = 1;
const INTERVAL: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two takeovers: announcements are repeated, and a daemon that was started settles.
const QUIET: Duration = Duration::from_millis(300);
/// Above the daemons, and asleep but for the notification.
const PRIORITY: i32 = 60;

/// How the heir becomes master.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Death,
    Stop,
    Return,
}

/// Times of one cause, from the first advert.
#[derive(Debug, Default)]
struct Times {
    announced: Samples,
    set: Samples,
    /// The last of all addresses.
    all_announced: Samples,
}

#[derive(Debug)]
struct Bench {
    pair: Pair,
    monitors: Vec<AddressMonitor>,
    addresses: u16,
    death: Times,
    stop: Times,
    back: Times,
}

/// One address: silence, release, preemption.
pub fn one(plan: &Plan) -> Result<Vec<Row>> {
    let benches = measure(plan, 1, if plan.quick { 5 } else { 60 })?;
    let row = |what: &str, times: &dyn Fn(&Bench) -> &Times| {
        let cell = |bench: &Bench| {
            let Times { announced, set, .. } = times(bench);
            Cell::new(format!("{}; {} (n={})", announced.micros(), set.micros(), set.len()))
                .with(Figure::new("median to the announcement", announced.millis(50), "ms").at_most(0.8))
                .with(Figure::new("median to the address", set.millis(50), "ms").at_most(2.0))
        };
        let measure = format!("m: first advert to first announcement; to the address; {what}, median / p95");
        Row::new(measure, "≤ 80 µs; ≤ 200 µs", benches.iter().map(cell).collect())
    };
    Ok(vec![
        row("master silent", &|bench| &bench.death),
        row("master released", &|bench| &bench.stop),
        row("lower master preempted", &|bench| &bench.back),
    ])
}

/// Many addresses: silence and preemption.
pub fn many_addresses(plan: &Plan) -> Result<Vec<Row>> {
    const MANY: u16 = 1000;
    let benches = measure(plan, MANY, if plan.quick { 2 } else { 15 })?;
    let row = |what: &str, times: &dyn Fn(&Bench) -> &Times| {
        let cell = |bench: &Bench| {
            let Times { announced, all_announced, .. } = times(bench);
            Cell::new(format!("{}; {}", announced.summary(), all_announced.summary()))
                .with(Figure::new("median to the first", announced.millis(50), "ms").at_most(30.0))
                .with(Figure::new("median to the last", all_announced.millis(50), "ms").at_most(120.0))
        };
        let measure = format!(
            "n: {MANY} addresses, first advert to the first and to the last first announcement; {what}, median / p95"
        );
        Row::new(measure, "–; ≤ 12 ms", benches.iter().map(cell).collect())
    };
    Ok(vec![row("master silent", &|bench| &bench.death), row("lower master preempted", &|bench| &bench.back)])
}

fn measure(plan: &Plan, addresses: u16, rounds: usize) -> Result<Vec<Bench>> {
    let benches = plan.daemons.iter().map(|&daemon| Bench::new(daemon, addresses));
    let mut benches = benches.collect::<Result<Vec<_>>>()?;
    for round in 1..=rounds {
        for bench in &mut benches {
            let done = bench.round();
            done.map_err(|error| bench.pair.with_logs(&error.context(format!("round {round}"))))?;
        }
        eprintln!("takeover, {addresses} addresses: round {round} of {rounds}");
    }
    Ok(benches)
}

impl Bench {
    fn new(daemon: Daemon, addresses: u16) -> Result<Self> {
        let role = |priority| {
            let instance = Instance::v3(priority).interval(INTERVAL).many_addresses(addresses);
            Role::new(daemon, Config::of(instance))
        };
        let pair = Pair::settled([role(200), role(100)])?;
        let monitors = pair.lab.nodes.iter().map(AddressMonitor::new).collect::<Result<_>>()?;
        let [death, stop, back] = [Times::default(), Times::default(), Times::default()];
        Ok(Self { pair, monitors, addresses, death, stop, back })
    }

    fn round(&mut self) -> Result<()> {
        self.take(Cause::Death, HEIR, |pair| pair.die(MASTER))?;
        self.come_back()?;
        if self.addresses == 1 {
            self.take(Cause::Stop, HEIR, |pair| pair.stop(MASTER).map(drop))?;
            self.come_back()?;
        }
        Ok(())
    }

    fn come_back(&mut self) -> Result<()> {
        let host = self.pair.node(MASTER)?;
        // Removes the leftovers of a killed daemon, as a boot does.
        host.namespace.ip(&format!("address flush dev {INTERFACE} to 10.77.128.0/17"))?;
        self.take(Cause::Return, MASTER, |pair| pair.revive(MASTER))
    }

    fn take(&mut self, cause: Cause, node: usize, event: impl FnOnce(&mut Pair) -> Result<()>) -> Result<()> {
        elapse(QUIET);
        self.pair.observer.clear();
        let monitor = self.monitors.get(node).context("no such node")?;
        monitor.clear();
        let since = realtime();
        event(&mut self.pair)?;
        let advert = self.pair.observer.wait_for_advert(node, since, PATIENCE)?;
        let (first, last) = (many(0), many(self.addresses - 1));
        let announced = self.announced(node, first.into(), since)?;
        let all = self.announced(node, last.into(), since)?;
        let set = poll("the address", PATIENCE, || Ok(monitor.when(first)))?;
        let times = match cause {
            Cause::Death => &mut self.death,
            Cause::Stop => &mut self.stop,
            Cause::Return => &mut self.back,
        };
        let seconds = |at: u64| Duration::from_nanos(at.saturating_sub(advert)).as_secs_f64();
        times.announced.push(seconds(announced));
        times.all_announced.push(seconds(all));
        times.set.push(seconds(set));
        self.pair.wait_for_master(node)
    }

    fn announced(&self, node: usize, address: IpAddr, since: u64) -> Result<u64> {
        poll(&format!("an announcement of {address} by node {node}"), PATIENCE, || {
            let seen = self.pair.observer.seen();
            let first = seen
                .iter()
                .find(|it| it.node == node && it.at >= since && it.what == What::Announce(address));
            Ok(first.map(|it| it.at))
        })
    }
}

/// The time of each address that the kernel sets in a node.
#[derive(Debug)]
struct AddressMonitor {
    set: Arc<Mutex<Vec<(Ipv4Addr, u64)>>>,
    _reading: Workers,
}

impl AddressMonitor {
    fn new(node: &Node) -> Result<Self> {
        let socket = node.namespace.enter(notifications)?;
        let set = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&set);
        let reading = Workers::default().with(move |stop| {
            let _refused = crate::worker::real_time_at(PRIORITY);
            let mut datagram = [0; 4096];
            while !stop.is_set() {
                let Ok(length) = recv(socket.as_raw_fd(), &mut datagram, MsgFlags::empty()) else { continue };
                let at = realtime();
                if let Some(address) = datagram.get(..length).and_then(address_of) {
                    lock(&noted).push((address, at));
                }
            }
        });
        Ok(Self { set, _reading: reading })
    }

    fn clear(&self) {
        lock(&self.set).clear();
    }

    fn when(&self, address: Ipv4Addr) -> Option<u64> {
        lock(&self.set).iter().find(|(it, _)| *it == address).map(|(_, at)| *at)
    }
}

/// A socket for notifications of IPv4 addresses in this thread's namespace. A read waits for up to 20 ms.
fn notifications() -> Result<OwnedFd> {
    let socket =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    let groups = u32::try_from(libc::RTMGRP_IPV4_IFADDR)?;
    setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20))?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 20_000))?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

/// The local address of an RTM_NEWADDR notification: `nlmsghdr`, `ifaddrmsg`, attributes.
fn address_of(datagram: &[u8]) -> Option<Ipv4Addr> {
    const ATTRIBUTES: usize = 16 + 8;
    let word = |at: usize| Some(u16::from_ne_bytes(datagram.get(at..at + 2)?.try_into().ok()?));
    if word(4)? != libc::RTM_NEWADDR {
        return None;
    }
    let mut at = ATTRIBUTES;
    loop {
        let (length, kind) = (usize::from(word(at)?), word(at + 2)?);
        if kind == libc::IFA_LOCAL {
            let IpAddr::V4(address) = v4(datagram, at + 4)? else { return None };
            return Some(address);
        }
        at += length.next_multiple_of(4).max(4);
    }
}
