//! Leftovers of dead daemons of this network namespace whose guards have died with them.
//!
//! A fence that stays keeps neighbours from its addresses, although this daemon, with another runtime directory, or
//! keepalived may serve them.
//!
//! Enters: tc filters and pins, whose names have the runtime directories. Leaves: a host without those fences, and
//! without the addresses, routes and rules in the plans of those guards; where a plan is gone, as with a container,
//! without the addresses that the fence has. Absent: daemons that are alive, or whose guards are; and fences of
//! addresses that cannot be removed, as another router may serve them.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tracing::{info, warn};

use crate::daemon::guard;
use crate::daemon::host_faults::{Finder, HostFault, HostFaults};
use crate::daemon::neighbours;
use crate::daemon::process::runtime_dir;
use crate::driver::netlink::address::{self, PROTOCOL};
use crate::driver::netlink::filter::{self, Filter, Name};
use crate::driver::netlink::leftovers;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::netlink::table::Address;
use crate::driver::xdp::{PinError, Pins, fenced_by};

/// Why something of a dead daemon stays.
#[derive(Debug, Error)]
pub enum BuryError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Pins(#[from] PinError),
    #[error(
        "the addresses behind its fence are unknown ({0}), so the fence stays: remove those that this host must not \
         have (ip address), then run vrrpx cleanup --force"
    )]
    Unknown(#[source] io::Error),
    #[error(
        "its fence stays, as this host has the address {0} behind it and it is not known to be set by that daemon: \
         remove the address if it must not answer here (ip address), then run vrrpx cleanup --force"
    )]
    Fenced(IpAddr),
}

/// What was removed of a daemon: all, or all but its routes and rules, which are among those that VRRP has set here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Removed {
    routes: usize,
    rules: usize,
}

impl Removed {
    /// All of it.
    pub const ALL: Self = Self { routes: 0, rules: 0 };
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { routes, rules } = self;
        write!(
            f,
            "its routes and rules are unknown, as the file that names them is gone: of the {routes} routes and {rules} \
             rules that VRRP has set on this host, remove those that no running daemon has (ip route show table all \
             proto {PROTOCOL}; ip rule show)"
        )
    }
}

/// What a daemon, dead or alive, has on the host.
#[derive(Debug)]
struct DeadDaemon<'a> {
    runtime_dir: &'a Path,
    filters: Vec<Filter>,
    pins: Vec<&'a Pins>,
}

/// Removes what dead daemons have left, and logs it. Addresses that are `in_use` here stay. The rest is tried
/// again while it is among the `faults`.
pub(in crate::daemon) fn bury(in_use: &dyn Fn(IpAddr) -> bool, faults: &HostFaults) {
    let mut found = Vec::new();
    for (runtime_dir, outcome) in bury_with(None, false, in_use) {
        let runtime_dir = runtime_dir.display();
        match outcome {
            Ok(removed) => {
                info!(%runtime_dir, "removed what another killed daemon has left");
                if removed != Removed::ALL {
                    warn!(%runtime_dir, "{removed}");
                }
            }
            Err(error) => {
                let about = format!("killed daemon of {runtime_dir}");
                found.push(HostFault { about, text: format!("cannot remove what it has left: {error}") });
            }
        }
    }
    for HostFault { about, text } in faults.set(Finder::DeadDaemons, found) {
        warn!("{about}: {text}");
    }
}

/// The same for a command; `named` has been given by its caller. `is_forced`: also fences of addresses that stay.
/// Returns the runtime directories of dead daemons.
pub fn bury_with(
    named: Option<&Path>,
    is_forced: bool,
    in_use: &dyn Fn(IpAddr) -> bool,
) -> Vec<(PathBuf, Result<Removed, BuryError>)> {
    let found = RouteSocket::open().and_then(|mut socket| filter::find_of_every_daemon(&mut socket));
    // Without tc in this kernel there are none.
    let filters: Vec<(Name, Filter)> = found.unwrap_or_default();
    let pins = Pins::of_every_daemon();
    let of_filters = filters.iter().map(|(name, _)| name.end());
    let folders: BTreeSet<&Path> =
        of_filters.chain(pins.iter().map(|(folder, _)| &**folder)).chain(named).collect();
    let mut living = None;
    let mut outcomes = Vec::new();
    for runtime_dir in folders {
        // That of a living daemon, such as this one, is taken.
        let Ok(lock) = runtime_dir::lock_unused(runtime_dir) else { continue };
        let living = living.get_or_insert_with(neighbours::directories);
        match living {
            Ok(living) if living.iter().any(|other| is_same(other, runtime_dir)) => continue,
            Ok(_) => {}
            Err(error) => {
                outcomes.push((runtime_dir.to_owned(), Err(io::Error::from(error.kind()).into())));
                continue;
            }
        }
        let daemon = DeadDaemon {
            runtime_dir,
            filters: filters
                .iter()
                .filter(|(name, _)| name.end() == runtime_dir)
                .map(|(_, it)| *it)
                .collect(),
            pins: pins.iter().filter(|(folder, _)| folder == runtime_dir).map(|(_, pins)| pins).collect(),
        };
        match daemon.remove(is_forced, in_use) {
            Ok(None) => {}
            Ok(Some(removed)) => outcomes.push((runtime_dir.to_owned(), Ok(removed))),
            Err(error) => outcomes.push((runtime_dir.to_owned(), Err(error))),
        }
        drop(lock);
    }
    outcomes
}

impl DeadDaemon<'_> {
    /// `None` if there was nothing, or it is left to a guard or a living daemon.
    fn remove(&self, is_forced: bool, in_use: &dyn Fn(IpAddr) -> bool) -> Result<Option<Removed>, BuryError> {
        // One of another mount namespace, with a directory of the same name.
        if self.pins.iter().any(|pins| pins.is_claimed()) {
            return Ok(None);
        }
        // Addresses first: this host must not answer for them without a fence.
        let has_plan = match guard::carry_out_left_plan(self.runtime_dir) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            outcome => outcome?,
        };
        let mut socket = RouteSocket::open()?;
        // A plan may lack addresses that a reload has added, if it could not be written then.
        if !is_forced {
            match self.remove_fenced(&mut socket, in_use) {
                Err(BuryError::Unknown(_) | BuryError::Fenced(_)) if has_plan => {}
                outcome => outcome?,
            }
        }
        for filter in &self.filters {
            filter::remove(&mut socket, *filter)?;
        }
        let mut has_pins = false;
        for pins in &self.pins {
            has_pins |= pins.clear_dead()?;
        }
        if has_plan {
            return Ok(Some(Removed::ALL));
        }
        let has_fence = has_pins || !self.filters.is_empty();
        // Its plan would name them.
        let (routes, rules) = leftovers::paths(&mut socket).unwrap_or_default();
        Ok(has_fence.then_some(Removed { routes, rules }))
    }

    /// Removes the addresses that the programs fence and VRRP has set, on the same interface. None may stay.
    fn remove_fenced(
        &self,
        socket: &mut RouteSocket,
        in_use: &dyn Fn(IpAddr) -> bool,
    ) -> Result<(), BuryError> {
        let by_pins = self.pins.iter().map(|pins| pins.fenced());
        let by_filters = self.filters.iter().map(|filter| fenced_by(filter.program));
        let fenced = by_pins.chain(by_filters).collect::<io::Result<Vec<_>>>().map_err(BuryError::Unknown)?;
        let fenced: BTreeSet<(u32, IpAddr)> = fenced.into_iter().flatten().collect();
        let mut there = Vec::new();
        address::list(socket, |it| there.push(it))?;
        there.retain(|it| !in_use(it.address));
        let is_its = |it: &Address| it.marked && fenced.contains(&(it.ifindex, it.address));
        let (its, others): (Vec<Address>, Vec<Address>) = there.into_iter().partition(is_its);
        let is_fenced = |it: &&Address| fenced.iter().any(|(_, address)| *address == it.address);
        if let Some(other) = others.iter().find(is_fenced) {
            return Err(BuryError::Fenced(other.address));
        }
        let mut refused = None;
        address::clear(socket, &its, |index, _| refused = its.get(index))?;
        refused.map_or(Ok(()), |it| Err(BuryError::Fenced(it.address)))
    }
}

/// Whether both name one directory. Names have only the end of a long path; in doubt, it is the same.
fn is_same(one: &Path, other: &Path) -> bool {
    let (one, other) = (one.as_os_str().as_encoded_bytes(), other.as_os_str().as_encoded_bytes());
    one.ends_with(other) || other.ends_with(one)
}
