//! Leftovers of an earlier daemon on the host, and their removal.
//!
//! Enters: a configuration. Leaves: a host without the addresses, routes, rules and programs of a killed daemon.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use tracing::{info, warn};

use super::dead;
use crate::config::{Config, Instance, InstanceSettings};
use crate::daemon::neighbours;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::netlink::{leftovers, route, rule};
use crate::driver::xdp::{PinError, Pins, Program, remove_filters};

/// Removes what an earlier run has left, before anything may be announced. Addresses of a configuration in use are not
/// touched. Nor are routes and rules while another daemon runs in this network namespace: they may be that one's.
pub(in crate::daemon) fn remove_residue(
    config: &Config,
    in_use: Option<&Config>,
    runtime_dir: &Path,
) -> io::Result<()> {
    let in_use = in_use.map_or(&[][..], |config| &config.instances);
    let is_used = |address: IpAddr| {
        in_use.iter().any(|instance| instance.settings.addresses.all().any(|it| it.address == address))
    };
    dead::bury(&is_used);
    let settings = config.instances.iter().map(|instance| &*instance.settings);
    for leftovers in leftovers::remove(settings, |address| !is_used(address))? {
        let address = leftovers.address.address;
        match leftovers.refusal {
            None if leftovers.is_kept => warn!(
                %address,
                "a virtual address is the only address of its interface and was not set by VRRP; it stays. If \
                 it is this host's own, write priority 255; if not, give the interface another address to send from"
            ),
            None => info!(%address, "removed an address that an earlier run has left"),
            Some(error) => {
                warn!(%address, %error, "cannot remove an address that an earlier run has left");
            }
        }
    }
    if !neighbours::find(runtime_dir).is_empty() {
        return Ok(());
    }
    // Only routes and rules that VRRP has set, by their protocol.
    let mut socket = RouteSocket::open()?;
    rule::remove(&mut socket, &left(config, in_use, |it| &it.rules), |_, _| {})?;
    route::remove(&mut socket, &left(config, in_use, |it| &it.routes), |_, _| {})?;
    Ok(())
}

/// Items of a configuration that no instance in use has.
fn left<T: Clone + PartialEq>(
    config: &Config,
    in_use: &[Instance],
    list: fn(&InstanceSettings) -> &[T],
) -> Vec<T> {
    let all = config.instances.iter().flat_map(|instance| list(&instance.settings));
    let is_used = |it: &T| in_use.iter().any(|instance| list(&instance.settings).contains(it));
    all.filter(|it| !is_used(it)).cloned().collect()
}

/// Removes the program and pins of a killed daemon, and pins ours, if there is one, so that it outlives this daemon.
pub(in crate::daemon) fn outlive(
    program: &mut Result<Program, String>,
    runtime_dir: &Path,
) -> Result<(), PinError> {
    let filters = remove_filters(runtime_dir, |_| true).unwrap_or_else(|error| {
        warn!(%error, "cannot remove the tc filter of a killed daemon: remove it with tc(8)");
        0
    });
    // If pins do not last here, there are none; interfaces that are worse off for it are logged when they are attached
    // to.
    let pins = match Pins::open(runtime_dir) {
        Err(PinError::Private) => None,
        opened => Some(opened?),
    };
    let orphans = filters + pins.as_ref().map_or(Ok(0), Pins::clear)?;
    if orphans > 0 {
        info!(interfaces = orphans, "detached the program of a killed daemon");
    }
    let others = pins.as_ref().map_or(0, Pins::remove_orphans);
    if others > 0 {
        info!(daemons = others, "removed the pins of killed daemons whose interfaces are gone");
    }
    match (program, pins) {
        (Ok(program), Some(pins)) => program.pin(pins),
        _ => Ok(()),
    }
}
