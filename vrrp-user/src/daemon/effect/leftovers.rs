//! Addresses that an instance has left, and that the kernel has not removed.
//!
//! Enters: the addresses to remove. Leaves: a list of those that are still set, each with the reason, for the operator;
//! and another attempt at them every [`PAUSE`], until they are gone, or a master has them again.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::Effect;
use super::lacks::{Attempt, Lacks};
use super::last_interfaces::LastInterfaces;
use super::place::AddressPlace;
use crate::config::VirtualAddress;
use crate::daemon::queue::{Lack, Object, Report};
use crate::driver::netlink::address::{self, Placed};
use crate::driver::netlink::refusal::NetlinkError;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::{clock, ownership};
use crate::protocol::InstanceId;

/// Between two attempts. Meanwhile, an heir may have the same addresses.
const PAUSE: Duration = Duration::from_millis(200);

/// Attempts at the end of the daemon.
const LAST_ATTEMPTS: usize = 5;

/// The addresses that an instance has left behind.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    list: Vec<Leftover>,
    /// When to try again.
    due: Timestamp,
    shown: Lacks,
}

#[derive(Clone, Debug)]
struct Leftover {
    name: Arc<str>,
    ifindex: u32,
    address: VirtualAddress,
    refusal: NetlinkError,
}

impl Leftover {
    fn placed(&self) -> Placed<'_> {
        Placed { ifindex: self.ifindex, address: &self.address, is_own: false }
    }

    fn is_one_with(&self, other: &Self) -> bool {
        (self.ifindex, &self.address) == (other.ifindex, &other.address)
    }
}

impl Effect {
    /// Removes addresses from every interface that they may be on.
    pub(super) fn remove_addresses(
        &mut self,
        id: InstanceId,
        last_interfaces: &LastInterfaces,
        places: &[AddressPlace<'_>],
    ) {
        let placed = last_interfaces.all(places).into_iter();
        let leaving = placed.filter_map(|(number, placed)| {
            let (name, address) = (Arc::clone(places.get(number)?.name), placed.address.clone());
            Some(Leftover { name, ifindex: placed.ifindex, address, refusal: 0.into() })
        });
        let left = remove(&mut self.netlink, &leaving.collect::<Vec<_>>());
        self.keep_leftovers(id, left);
    }

    /// Tries again what is due. Returns when the next attempt is.
    pub(super) fn remove_leftovers(&mut self, now: Timestamp) -> Option<Timestamp> {
        for id in (0..).map(InstanceId).take(self.instances.len()) {
            let Some(instance) = self.instances.get_mut(id.index()) else { continue };
            if instance.leftovers.list.is_empty() || now < instance.leftovers.due {
                continue;
            }
            let mut list = std::mem::take(&mut instance.leftovers.list);
            let held = self.instances.iter().filter(|it| it.held.is_some()).map(|it| &it.effects);
            list.retain(|it| !held.clone().any(|effects| effects.has(&it.name, &it.address)));
            let left = remove(&mut self.netlink, &list);
            self.keep_leftovers(id, left);
        }
        let leftovers = self.instances.iter().map(|instance| &instance.leftovers);
        leftovers.filter(|it| !it.list.is_empty()).map(|it| it.due).min()
    }

    /// Tries again at the end of the daemon, unless another one goes on with the addresses.
    pub(super) fn remove_last_leftovers(&mut self) {
        for _ in 0..LAST_ATTEMPTS {
            let is_ours = ownership::is_ours();
            let Some(due) = is_ours.then(|| self.remove_leftovers(clock::now())).flatten() else { return };
            sleep(due.since(clock::now()));
        }
    }

    /// Notes what is left after an attempt, and reports changes.
    fn keep_leftovers(&mut self, id: InstanceId, left: Vec<Leftover>) {
        let (Some(instance), Some(live)) =
            (self.instances.get_mut(id.index()), self.live.instances.get(id.index()))
        else {
            return;
        };
        let count = |count| u64::try_from(count).unwrap_or(u64::MAX);
        self.live.effect_errors.fetch_add(count(left.len()), Relaxed);
        let Leftovers { list, due, shown } = &mut instance.leftovers;
        list.retain(|it| !left.iter().any(|again| again.is_one_with(it)));
        list.extend(left);
        *due = clock::now() + PAUSE;
        live.leftovers.store(count(list.len()), Relaxed);
        let lack =
            |it: &Leftover| Lack { object: Object::Address(it.address.address), refusal: it.refusal.clone() };
        shown.take(Attempt { set: Vec::new(), refused: list.iter().map(lack).collect() });
        let reports = &self.reports;
        shown.report(|left| reports.push(Report::Leftovers { instance: id, left }));
    }
}

/// Removes the addresses by one send, and returns those that are still there.
fn remove(netlink: &mut RouteSocket, leaving: &[Leftover]) -> Vec<Leftover> {
    let placed: Vec<Placed<'_>> = leaving.iter().map(Leftover::placed).collect();
    let mut refused = Vec::new();
    let done = address::remove(netlink, &placed, |index, refusal| refused.push((index, refusal)));
    if let Err(error) = done {
        // The outcome of each is unknown.
        refused = (0..placed.len()).map(|index| (index, NetlinkError::from(&error))).collect();
    }
    if refused.is_empty() {
        return Vec::new();
    }
    let present = present(netlink);
    // In doubt they are there.
    let is_there =
        |it: &Leftover| present.as_ref().map_or(true, |all| all.contains(&(it.ifindex, it.address.address)));
    let left = refused.into_iter().filter_map(|(index, refusal)| {
        Some(Leftover { refusal, ..leaving.get(index)?.clone() }).filter(is_there)
    });
    left.collect()
}

fn present(netlink: &mut RouteSocket) -> io::Result<Vec<(u32, IpAddr)>> {
    let mut present = Vec::new();
    address::list(netlink, |it| present.push((it.ifindex, it.address)))?;
    Ok(present)
}
