//! Two daemons of ours in network namespaces: what happens on the wire and on the interfaces.
//!
//! `VRRPX_SUBJECT` takes another daemon or rung instead: `keepalived` (which shows that a test asks for what the field
//! does), `native`, `tcx`, `generic`, `socket`. Times here are generous; `cargo xtask bench failover` measures.

mod addresses;
mod authentication;
mod bounds;
mod deafness;
mod election;
mod events;
mod faults;
mod fence;
mod groups;
mod handover;
mod hold;
mod interfaces;
mod lifecycle;
mod mail;
mod oddities;
mod paths;
mod policy;
mod process;
mod reload;
mod repair;
mod rungs;
mod services;
mod starved;
mod takeover;
mod tracks;
mod vmac;
mod webhook;

use anyhow::Result;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::pair::{Pair, Role};
use vrrp_tests::require;

/// The daemon under test, if this machine can run it.
fn subject() -> Option<Daemon> {
    let daemon = match std::env::var("VRRPX_SUBJECT").as_deref() {
        Ok("keepalived") => Daemon::Keepalived,
        Ok("native") => Daemon::Vrrpx(Mode::Native),
        Ok("tcx") => Daemon::Vrrpx(Mode::Tcx),
        Ok("generic") => Daemon::Vrrpx(Mode::Generic),
        Ok("socket") => Daemon::Vrrpx(Mode::Socket),
        _ => Daemon::Vrrpx(Mode::Auto),
    };
    able(daemon).then_some(daemon)
}

/// For tests of what only ours does.
fn ours() -> bool {
    std::env::var_os("VRRPX_SUBJECT").is_none() && able(Daemon::Vrrpx(Mode::Auto))
}

fn able(daemon: Daemon) -> bool {
    ["root", "ip", daemon.need()].into_iter().all(require)
}

/// One daemon in both roles.
fn roles(daemon: Daemon, master: Instance, heir: Instance) -> [Role; 2] {
    [master, heir].map(|instance| Role::new(daemon, Config::of(instance)))
}

/// A settled pair of priorities 200 and 100, version 3, adverts each 100 ms.
fn pair(daemon: Daemon) -> Result<Pair> {
    Pair::settled(roles(daemon, Instance::v3(200), Instance::v3(100)))
}
