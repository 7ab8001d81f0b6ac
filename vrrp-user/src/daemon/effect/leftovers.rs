//! Addresses that an instance has left, and that the kernel has not removed.
//!
//! Enters: the addresses to remove, and those that a replaced daemon has left. Leaves: a list of those that are still
//! set, each with the reason, for the operator; and further attempts, which become rarer, until they are gone, or a
//! master has them again. Absent: attempts while another daemon has the state of this one.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::lacks::{Attempt, Lacks};
use super::last_interfaces::LastInterfaces;
use super::place::AddressPlace;
use super::{Effect, Instance, InstanceEffects};
use crate::config::VirtualAddress;
use crate::daemon::queue::{Lack, Object, Queue, Report};
use crate::driver::netlink::address::{self, Placed};
use crate::driver::netlink::origin;
use crate::driver::netlink::refusal::NetlinkError;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::netlink::table::Address;
use crate::driver::{clock, ownership};
use crate::protocol::InstanceId;

/// Between two of the first attempts. Meanwhile, an heir may have the same addresses.
const PAUSE: Duration = Duration::from_millis(200);

/// Attempts with [`PAUSE`] between them. Then each pause is twice as long as the one before, up to [`PAUSE_MAX`].
const QUICK_ATTEMPTS: u32 = 10;
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// Attempts at the end of the daemon.
const LAST_ATTEMPTS: usize = 5;

/// The addresses that an instance has left behind.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    list: Vec<Leftover>,
    /// Attempts since the instance last left addresses.
    attempts: u32,
    /// When to try again.
    due: Timestamp,
    shown: Lacks,
}

impl Leftovers {
    /// Adds what is left after an attempt.
    fn keep(&mut self, left: Vec<Leftover>) {
        self.list.retain(|it| !left.iter().any(|again| again.is_one_with(it)));
        self.list.extend(left);
    }

    fn tried(&mut self, now: Timestamp) {
        self.attempts = self.attempts.saturating_add(1);
        self.due = now + pause(self.attempts);
    }

    /// Reports the list, unless the last one that was taken is the same.
    fn show(&mut self, id: InstanceId, reports: &Queue<Report>) {
        let lack =
            |it: &Leftover| Lack { object: Object::Address(it.address.address), refusal: it.refusal.clone() };
        self.shown.take(Attempt { set: Vec::new(), refused: self.list.iter().map(lack).collect() });
        self.shown.report(|left| reports.push(Report::Leftovers { instance: id, left }));
    }

    fn is_due(&self, now: Timestamp) -> bool {
        !self.list.is_empty() && now >= self.due
    }

    /// When there is something to do, if anything.
    fn next(&self, now: Timestamp) -> Option<Timestamp> {
        if self.list.is_empty() { self.shown.has_news().then(|| now + PAUSE) } else { Some(self.due) }
    }
}

/// After so many attempts.
fn pause(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(QUICK_ATTEMPTS);
    PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(PAUSE_MAX)
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
        let left = remove(&mut self.netlink, leaving.map(|it| (id, it)).collect());
        if let Some(instance) = self.instances.get_mut(id.index()) {
            instance.leftovers.attempts = 0;
        }
        self.keep_leftovers(&[id], left);
    }

    /// Tries again what is due. Returns when to look again.
    pub(super) fn remove_leftovers(&mut self, now: Timestamp) -> Option<Timestamp> {
        let is_pending = self.is_heir || self.next_leftovers(now).is_some();
        // The other daemon may have set the same addresses since it has the state. If it fails, this one goes on.
        if is_pending && (!ownership::is_ours() || ownership::is_leaving()) {
            return Some(now + PAUSE);
        }
        self.forget_held();
        if self.is_heir {
            self.find_leftovers(now);
        }
        let due = self.instances.iter().any(|it| it.leftovers.is_due(now));
        // A takeover does not wait for an attempt that may fail again.
        if due && !self.commands.is_empty() {
            return Some(now);
        }
        if due {
            self.try_leftovers(|it| it.is_due(now));
        }
        let reports = &self.reports;
        for (instance, id) in self.instances.iter_mut().zip(InstanceId::all()) {
            if instance.leftovers.shown.has_news() {
                instance.leftovers.show(id, reports);
            }
            instance.report_lacks(id, reports);
        }
        let is_untold = self.is_heir || self.instances.iter().any(|it| it.lacks.has_news());
        let again = is_untold.then(|| now + PAUSE);
        again.into_iter().chain(self.next_leftovers(now)).min()
    }

    fn next_leftovers(&self, now: Timestamp) -> Option<Timestamp> {
        self.instances.iter().filter_map(|it| it.leftovers.next(now)).min()
    }

    /// Finds what the replaced daemon could not remove: addresses that VRRP has set, of instances that are not master.
    fn find_leftovers(&mut self, now: Timestamp) {
        let mut present = Vec::new();
        if address::list(&mut self.netlink, |it| present.push(it)).is_err() {
            return;
        }
        self.is_heir = false;
        let is_reported = origin::is_reported(&present);
        let may_leave = |it: &&Instance| is_reported || !it.effects.is_owner;
        let addresses = |it: &Instance| -> Vec<IpAddr> {
            it.effects.addresses.all().map(|address| address.address).collect()
        };
        let named: HashSet<IpAddr> = self.instances.iter().filter(may_leave).flat_map(addresses).collect();
        origin::infer(&mut present, |it| named.contains(&it.address));
        let left = self.instances.iter().filter(may_leave).filter(|it| it.held.is_none());
        let left: HashSet<IpAddr> = left.flat_map(addresses).collect();
        present.retain(|it| it.marked && left.contains(&it.address));
        if present.is_empty() {
            return;
        }
        let held = self.instances.iter().filter(|it| it.held.is_some());
        let held: Vec<InstanceEffects> = held.map(|it| it.effects.clone()).collect();
        let left = self.instances.iter_mut().filter(|it| it.held.is_none() && may_leave(&&**it));
        for instance in left {
            let places = instance.effects.places(&mut self.netlink);
            let free =
                places.iter().filter(|it| !held.iter().any(|effects| effects.has(it.name, it.address)));
            let found = free.filter_map(|place| {
                let ifindex = place.device.as_ref()?.link.ifindex;
                let is_it = |it: &Address| {
                    (it.ifindex, it.address, it.prefix)
                        == (ifindex, place.address.address, place.address.prefix)
                };
                let (name, address) = (Arc::clone(place.name), place.address.clone());
                present.iter().any(is_it).then(|| Leftover { name, ifindex, address, refusal: 0.into() })
            });
            let found = found.collect();
            instance.leftovers.keep(found);
            instance.leftovers.due = now;
        }
    }

    /// Drops leftovers that a master has again.
    fn forget_held(&mut self) {
        if self.instances.iter().all(|it| it.leftovers.list.is_empty()) {
            return;
        }
        for id in InstanceId::all().take(self.instances.len()) {
            let Some(instance) = self.instances.get_mut(id.index()) else { continue };
            let mut list = std::mem::take(&mut instance.leftovers.list);
            let before = list.len();
            let held = self.instances.iter().filter(|it| it.held.is_some()).map(|it| &it.effects);
            list.retain(|it| !held.clone().any(|effects| effects.has(&it.name, &it.address)));
            let has_changed = list.len() != before;
            if let Some(instance) = self.instances.get_mut(id.index()) {
                instance.leftovers.list = list;
            }
            if has_changed {
                self.note_leftovers(id);
            }
        }
    }

    /// Tries those of the chosen instances again, all by one send.
    fn try_leftovers(&mut self, is_chosen: impl Fn(&Leftovers) -> bool) {
        let mut tried = Vec::new();
        let mut leaving = Vec::new();
        for (instance, id) in self.instances.iter_mut().zip(InstanceId::all()) {
            if is_chosen(&instance.leftovers) {
                tried.push(id);
                leaving.extend(std::mem::take(&mut instance.leftovers.list).into_iter().map(|it| (id, it)));
            }
        }
        let left = remove(&mut self.netlink, leaving);
        self.keep_leftovers(&tried, left);
    }

    /// Tries again at the end of the daemon, unless another one goes on with the addresses.
    pub(super) fn remove_last_leftovers(&mut self) {
        for _ in 0..LAST_ATTEMPTS {
            self.forget_held();
            if self.instances.iter().all(|it| it.leftovers.list.is_empty()) {
                return;
            }
            sleep(PAUSE);
            if !ownership::is_ours() {
                return;
            }
            self.try_leftovers(|it| !it.list.is_empty());
        }
    }

    /// Notes what is left after an attempt of these instances, and reports changes.
    fn keep_leftovers(&mut self, tried: &[InstanceId], left: Vec<(InstanceId, Leftover)>) {
        self.live.effect_errors.fetch_add(count(left.len()), Relaxed);
        let mut left_by: BTreeMap<InstanceId, Vec<Leftover>> = BTreeMap::new();
        for (id, it) in left {
            left_by.entry(id).or_default().push(it);
        }
        let now = clock::now();
        for id in tried {
            if let Some(instance) = self.instances.get_mut(id.index()) {
                instance.leftovers.keep(left_by.remove(id).unwrap_or_default());
                instance.leftovers.tried(now);
            }
            self.note_leftovers(*id);
        }
    }

    fn note_leftovers(&mut self, id: InstanceId) {
        if let (Some(instance), Some(live)) =
            (self.instances.get_mut(id.index()), self.live.instances.get(id.index()))
        {
            live.leftovers.store(count(instance.leftovers.list.len()), Relaxed);
            instance.leftovers.show(id, &self.reports);
        }
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Removes the addresses by one send, and returns those that are still there.
fn remove(netlink: &mut RouteSocket, leaving: Vec<(InstanceId, Leftover)>) -> Vec<(InstanceId, Leftover)> {
    let placed: Vec<Placed<'_>> = leaving.iter().map(|(_, it)| it.placed()).collect();
    let mut refusals = vec![None; placed.len()];
    let done = address::remove(netlink, &placed, |index, refusal| {
        if let Some(known) = refusals.get_mut(index) {
            *known = Some(refusal);
        }
    });
    if let Err(error) = done {
        // The outcome of each is unknown.
        refusals.fill(Some(NetlinkError::from(&error)));
    }
    if refusals.iter().all(Option::is_none) {
        return Vec::new();
    }
    let present = present(netlink);
    // In doubt they are there.
    let is_there =
        |it: &Leftover| present.as_ref().map_or(true, |all| all.contains(&(it.ifindex, it.address.address)));
    let refused = leaving.into_iter().zip(refusals).filter_map(|((id, it), refusal)| {
        let refusal = refusal?;
        is_there(&it).then_some((id, Leftover { refusal, ..it }))
    });
    refused.collect()
}

fn present(netlink: &mut RouteSocket) -> io::Result<HashSet<(u32, IpAddr)>> {
    let mut present = HashSet::new();
    address::list(netlink, |it| {
        present.insert((it.ifindex, it.address));
    })?;
    Ok(present)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_is_reported_again_where_it_was_not_taken() {
        let now = clock::now();
        let (id, reports) = (InstanceId(0), Queue::new(1).unwrap());
        let refused = Lack { object: Object::Address([192, 0, 2, 1].into()), refusal: libc::EPERM.into() };
        let mut leftovers = Leftovers::default();
        leftovers.shown.take(Attempt { set: Vec::new(), refused: vec![refused] });
        leftovers.shown.report(|_| true);
        assert!(reports.push(Report::Stopped));
        leftovers.show(id, &reports);
        assert!(leftovers.next(now).is_some_and(|next| next > now));
        assert_eq!(reports.pop(), Some(Report::Stopped));
        leftovers.show(id, &reports);
        assert_eq!(reports.pop(), Some(Report::Leftovers { instance: id, left: Box::default() }));
        assert_eq!(leftovers.next(now), None);
    }

    #[test]
    fn attempts_become_rarer() {
        assert_eq!([1, QUICK_ATTEMPTS].map(pause), [PAUSE; 2]);
        assert_eq!(pause(QUICK_ATTEMPTS + 1), 2 * PAUSE);
        assert_eq!([QUICK_ATTEMPTS + 4, u32::MAX].map(pause), [PAUSE_MAX; 2]);
    }
}
