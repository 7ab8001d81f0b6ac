//! Two of our daemons in network namespaces: their effects on the wire and on the interfaces.
//!
//! `VRRPX_SUBJECT` selects another daemon or receive path: `keepalived` (which shows that a test asks for the field's
//! behaviour), `native`, `tcx`, `tc`, `generic`, `socket`. Bounds on times add how
//! long threads were kept from running; `promises` has those of the bench.

mod addresses;
mod alerts;
mod answered;
mod authentication;
mod bounds;
mod causes;
mod clocks;
mod containers;
mod crowd;
mod duplicates;
mod election;
mod events;
mod faults;
mod fence;
mod filters;
mod frames;
mod groups;
mod growth;
mod handover;
mod hanging;
mod hold;
mod hot_restart;
mod http;
mod idle;
mod inspect;
mod interface_lock;
mod interfaces;
mod lacking;
mod leftovers;
mod lifecycle;
mod mail;
mod memory;
mod named;
mod named_links;
mod narrow;
mod neighbours;
mod oddities;
mod orphans;
mod own_addresses;
mod packages;
mod paths;
mod peers;
mod policy;
mod priorities;
mod process;
mod promises;
mod receive_paths;
mod reception;
mod regroup;
mod reload;
mod repair;
mod replaced;
mod screen;
mod services;
mod shortage;
mod splits;
mod stalled;
mod starved;
mod steady;
mod steering;
mod successor;
mod survive;
mod systemd;
mod top;
mod tracks;
mod tunnels;
mod vmac;
mod webhook;
mod wire_probe;

use std::time::Duration;

use anyhow::{Result, ensure};
use vrrp_tests::clock::{Deadline, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, subject};
use vrrp_tests::pair::{Pair, Role};
use vrrp_tests::starvation::Starvation;

/// Whether ours is the daemon under test, on the path that it chooses.
fn ours() -> bool {
    std::env::var_os("VRRPX_SUBJECT").is_none()
}

/// The same daemon in both roles.
fn roles(daemon: Daemon, master: Instance, heir: Instance) -> [Role; 2] {
    [master, heir].map(|instance| Role::new(daemon, Config::of(instance)))
}

/// A settled pair of priorities 200 and 100, version 3, adverts each 100 ms.
fn pair(daemon: Daemon) -> Result<Pair> {
    Pair::settled(roles(daemon, Instance::v3(200), Instance::v3(100)))
}

/// State and epoch of a node's only instance.
fn standing(pair: &mut Pair, node: usize) -> Result<(String, u64)> {
    pair.running(node)?.standing()
}

/// State and epoch of both nodes' only instance.
fn standings(pair: &mut Pair) -> Result<[(String, u64); 2]> {
    Ok([standing(pair, 0)?, standing(pair, 1)?])
}

/// Checks that neither node has changed its state since `before`.
fn ensure_unmoved(pair: &mut Pair, before: &[(String, u64); 2]) -> Result<()> {
    let now = standings(pair)?;
    ensure!(now == *before, "states or epochs have changed: {before:?} has become {now:?}");
    Ok(())
}

/// A master with a hanging receiver of notifications: neither its adverts nor its end wait for it.
fn goes_on_and_ends_soon(pair: &mut Pair) -> Result<()> {
    let (machine, since) = (Starvation::of_machine()?, pair.mark());
    watch(Duration::from_secs(3));
    let silence = pair.observer.longest_silence(since);
    let bound = Duration::from_millis(200) + machine.longest();
    ensure!(silence.is_some_and(|it| it < bound), "adverts are {silence:?} apart");
    let soon = Deadline::after(Duration::from_secs(3));
    pair.stop(0)?;
    ensure!(!soon.passed(), "the daemon's end waits for the receiver");
    pair.wait_for_master(1)
}
