//! Leftovers of an earlier daemon on the host, and their removal.
//!
//! Enters: a configuration. Leaves: a host without the addresses, routes, rules and programs of a killed daemon.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use tracing::{info, warn};

use super::dead;
use super::interfaces::{AdoptError, Interfaces};
use crate::config::{Config, Instance, InstanceSettings, succeed};
use crate::daemon::host_faults::{Finder, HostFault, HostFaults, RETRY};
use crate::daemon::neighbours;
use crate::driver::clock;
use crate::driver::netlink::filter::Filter;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::netlink::{leftovers, route, rule};
use crate::driver::xdp::{PinError, Pins, Program, remove_filters};

/// Removes what an earlier run has left, before anything may be announced. Addresses of a configuration in use are not
/// touched. Nor are routes and rules while another daemon runs in this network namespace: they may be that one's.
pub(in crate::daemon) fn remove_leftovers(
    config: &Config,
    in_use: Option<&Config>,
    runtime_dir: &Path,
    faults: &HostFaults,
) -> io::Result<()> {
    let in_use = in_use.map_or(&[][..], |config| &config.instances);
    let is_used = |address: IpAddr| uses(in_use, address);
    dead::bury(&is_used, faults);
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

/// Removes the tc filters of an earlier run, apart from `own` ones. Returns their number. A filter that stays is
/// tried again while it is among the `faults`.
pub(in crate::daemon) fn detach_filters(runtime_dir: &Path, own: &[Filter], faults: &HostFaults) -> usize {
    let outcome = remove_filters(runtime_dir, |filter| !own.contains(filter));
    let fault = outcome.as_ref().err().map(|error| HostFault {
        about: "tc".to_owned(),
        text: format!(
            "cannot remove the filter of an earlier run, so that adverts are judged twice: {error}; remove the one \
             whose name begins with vrrpx: (tc filter show dev INTERFACE ingress, tc filter del)"
        ),
    });
    for HostFault { about, text } in faults.set(Finder::Filters, fault.into_iter().collect()) {
        warn!("{about}: {text}");
    }
    outcome.unwrap_or(0)
}

impl Interfaces<'_> {
    /// Gives the instances their numbers, and clears what an earlier run has left in the way of new ones.
    pub(super) fn make_room(&self, config: &mut Config) -> Result<(), AdoptError> {
        succeed(&self.config, config, self.context.live.instances.len(), |id| !self.has_left(id))?;
        let slots = config.instances.iter().map(|instance| instance.id.index() + 1).max();
        self.context.maps.reach(slots.unwrap_or(0)).map_err(AdoptError::Maps)?;
        let faults = &self.context.history.host_faults;
        remove_leftovers(config, Some(&self.config), &self.runtime_dir, faults).map_err(AdoptError::Leftovers)
    }

    /// Tries again to mend the faults of the host, if it is time. Returns when to look again.
    pub(super) fn retry_host_faults(&mut self) -> Option<Duration> {
        let faults = self.context.history.host_faults.clone();
        if faults.is_empty() {
            return None;
        }
        let left = RETRY.checked_sub(clock::now().since(self.retried)).filter(|left| !left.is_zero());
        if left.is_none() {
            self.retried = clock::now();
            if faults.has(Finder::DeadDaemons) {
                dead::bury(&|address| uses(&self.config.instances, address), &faults);
            }
            if faults.has(Finder::Filters) {
                detach_filters(&self.runtime_dir, &self.attachments.filters(), &faults);
            }
            if faults.has(Finder::Firewall) {
                self.firewall.retry(&self.config);
            }
        }
        left.or_else(|| (!faults.is_empty()).then_some(RETRY))
    }
}

fn uses(instances: &[Instance], address: IpAddr) -> bool {
    instances.iter().any(|instance| instance.settings.addresses.all().any(|it| it.address == address))
}

/// Removes the program and pins of a killed daemon, and pins ours, if there is one, so that it outlives this daemon.
pub(in crate::daemon) fn outlive(
    program: &mut Result<Program, String>,
    runtime_dir: &Path,
    faults: &HostFaults,
) -> Result<(), PinError> {
    let filters = detach_filters(runtime_dir, &[], faults);
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
