//! A node of higher priority with many addresses joins a running pair.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{ARP, HEIR, MASTER, cells};
use crate::arp::ArpProber;
use crate::bench::{Cell, Figure, Plan, Row, Sheet};
use crate::clock::{elapse, nanos, realtime, watch};
use crate::daemon::{Config, Daemon, Instance, many};
use crate::pair::{Pair, Role, SETTLE};

const ADDRESSES: u16 = 1000;
const INTERVAL: u64 = 10;
/// The second backup, which is not involved.
const THIRD: usize = 2;

pub(super) fn measure(plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let values = cells(plan, "join", join);
    let measure = format!(
        "a node of higher priority with {ADDRESSES} addresses joins a pair, {INTERVAL} ms adverts: other takeovers / \
         two answered ARP, the longer of first and last address"
    );
    sheet.add(&Row::new(measure, "0 / ≤ 20 ms", values))
}

fn join(daemon: Daemon) -> Result<Cell> {
    let role = |priority| {
        let instance = Instance::v3(priority).interval(INTERVAL).many_addresses(ADDRESSES);
        Role::new(daemon, Config::of(instance))
    };
    Pair::idle([role(200), role(100), role(50)])?.check(|pair| {
        let (first, last) = (many(0), many(ADDRESSES - 1));
        pair.start(HEIR)?;
        pair.wait_for_master(HEIR)?;
        pair.wait_for_address(HEIR, last.into(), true)?;
        pair.start(THIRD)?;
        let probers = [ArpProber::new(&pair.lab, first, ARP)?, ArpProber::new(&pair.lab, last, ARP)?];
        elapse(Duration::from_secs(2));
        pair.observer.clear();
        let start = realtime();
        pair.start(MASTER)?;
        pair.observer.wait_for_advert(MASTER, start, SETTLE)?;
        pair.wait_for_address(MASTER, last.into(), true)?;
        watch(Duration::from_secs(2));
        let adverts = pair.observer.adverts();
        let joined = adverts.iter().find(|advert| advert.1 == MASTER).context("no advert")?.0;
        // The old master may send one more advert as it yields.
        let yielding = joined..joined + nanos(Duration::from_millis(INTERVAL));
        let counts = |&(at, node, _): &(u64, usize, _)| node != HEIR || !yielding.contains(&at);
        let nodes: Vec<usize> =
            adverts.iter().filter(|advert| counts(advert)).map(|advert| advert.1).collect();
        let begun = nodes.iter().zip(nodes.iter().skip(1)).filter(|(before, now)| before != now).count();
        let twice = probers.iter().map(|prober| prober.answered_twice(start)).max().unwrap_or_default();
        let others = begun.saturating_sub(1);
        Ok(Cell::new(format!("{others} / {} ms", twice.as_millis()))
            .with(Figure::count("takeovers", others).at_most(0.0))
            .with(Figure::millis("both answered", twice).at_most(200.0)))
    })
}
