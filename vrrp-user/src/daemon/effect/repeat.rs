//! Repeats of announcements, and the time of each.
//!
//! Enters: how often an instance's addresses are to be announced again. Leaves: the addresses that are due, and the
//! time of the next one. Absent: sending, clocks. One set is handed out at a time, so that the caller can handle new
//! commands between two sets.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use crate::driver::socket::Station;
use crate::protocol::InstanceId;

/// Shortest time from the end of one set to the next. If the old master's host is busy, frames from its queues (such as
/// an ARP reply with the virtual MAC address as its source) reach the switch or a neighbour after the first set; a
/// later set corrects that.
const BETWEEN_SETS: Duration = Duration::from_millis(20);

/// An address, where to announce it, and the pause before the next one of its family on that interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) address: IpAddr,
    pub(super) station: Station,
    pub(super) pause: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Repeats {
    queue: VecDeque<Repeat>,
    /// When an interface may carry the next announcement, by index and whether IPv4.
    free: HashMap<(u32, bool), Timestamp>,
}

#[derive(Debug)]
struct Repeat {
    instance: InstanceId,
    targets: Vec<Target>,
    sets: u32,
    next: usize,
    /// When the present set may begin; `None`: at once, for the first.
    begins: Option<Timestamp>,
}

impl Repeats {
    pub(super) fn push(&mut self, instance: InstanceId, targets: Vec<Target>, sets: u32) {
        if sets > 0 && !targets.is_empty() {
            self.queue.push_back(Repeat { instance, targets, sets, next: 0, begins: None });
        }
    }

    pub(super) fn void(&mut self, instance: InstanceId) {
        self.retain(|other| other != instance);
    }

    /// Voids the repeats of all other instances.
    pub(super) fn retain(&mut self, is_kept: impl Fn(InstanceId) -> bool) {
        self.queue.retain(|repeat| is_kept(repeat.instance));
    }

    /// Hands out what is due, at most one set of each repeat, and returns when to call again.
    pub(super) fn step(
        &mut self,
        now: Timestamp,
        mut send: impl FnMut(InstanceId, &Target),
    ) -> Option<Timestamp> {
        let Self { queue, free } = self;
        // Interfaces come and go: forgets those whose pause is over.
        free.retain(|_, at| *at > now);
        let mut wake = None;
        queue.retain_mut(|repeat| {
            let next = repeat.step(now, free, &mut send);
            if let Some(at) = next {
                wake = Some(wake.map_or(at, |wake: Timestamp| wake.min(at)));
            }
            next.is_some()
        });
        wake
    }
}

impl Repeat {
    /// `None` once all sets are handed out.
    fn step(
        &mut self,
        now: Timestamp,
        free: &mut HashMap<(u32, bool), Timestamp>,
        send: &mut impl FnMut(InstanceId, &Target),
    ) -> Option<Timestamp> {
        if let Some(at) = self.begins.filter(|at| *at > now) {
            return Some(at);
        }
        while let Some(target) = self.targets.get(self.next) {
            let key = (target.station.ifindex, target.address.is_ipv4());
            if !target.pause.is_zero() {
                let at = free.get(&key).copied().unwrap_or(now);
                if at > now {
                    return Some(at);
                }
                free.insert(key, now + target.pause);
            }
            send(self.instance, target);
            self.next += 1;
        }
        self.next = 0;
        self.sets -= 1;
        self.begins = Some(now + BETWEEN_SETS);
        self.begins.filter(|_| self.sets > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(ifindex: u32, host: u8, pause_ms: u64) -> Target {
        Target {
            address: [192, 0, 2, host].into(),
            station: Station { ifindex, mac: [2, 0, 0, 0, 0, 1], router: false },
            pause: Duration::from_millis(pause_ms),
        }
    }

    /// What is handed out at `at` ms, as last bytes of addresses, and the ms to call again at.
    fn step(repeats: &mut Repeats, at: u64) -> (Vec<u8>, Option<u64>) {
        let mut sent = Vec::new();
        let next = repeats.step(Timestamp::from_nanos(at * 1_000_000), |_, target| {
            let IpAddr::V4(address) = target.address else { panic!() };
            sent.push(address.octets()[3]);
        });
        (sent, next.map(|next| next.as_nanos() / 1_000_000))
    }

    #[test]
    fn every_address_comes_once_before_any_comes_again() {
        let mut repeats = Repeats::default();
        repeats.push(InstanceId(0), vec![target(1, 1, 0), target(1, 2, 0)], 2);
        assert_eq!(step(&mut repeats, 5), (vec![1, 2], Some(25)));
        assert_eq!(step(&mut repeats, 25), (vec![1, 2], None));
        assert_eq!(step(&mut repeats, 25), (vec![], None));
    }

    #[test]
    fn a_set_follows_the_one_before_at_a_distance() {
        let mut repeats = Repeats::default();
        repeats.push(InstanceId(0), vec![target(1, 1, 0)], 3);
        repeats.push(InstanceId(1), vec![target(1, 2, 0)], 1);
        assert_eq!(step(&mut repeats, 5), (vec![1, 2], Some(25)));
        assert_eq!(step(&mut repeats, 24), (vec![], Some(25)));
        assert_eq!(step(&mut repeats, 25), (vec![1], Some(45)));
        assert_eq!(step(&mut repeats, 60), (vec![1], None));
    }

    #[test]
    fn an_interface_pauses_between_two_also_of_different_instances() {
        let mut repeats = Repeats::default();
        repeats.push(InstanceId(0), vec![target(1, 1, 10), target(1, 2, 10)], 1);
        repeats.push(InstanceId(1), vec![target(1, 3, 10)], 1);
        repeats.push(InstanceId(2), vec![target(2, 4, 10)], 1);
        assert_eq!(step(&mut repeats, 100), (vec![1, 4], Some(110)));
        assert_eq!(step(&mut repeats, 109), (vec![], Some(110)));
        assert_eq!(step(&mut repeats, 110), (vec![2], Some(120)));
        assert_eq!(step(&mut repeats, 120), (vec![3], None));
    }

    #[test]
    fn a_voided_repeat_is_silent() {
        let mut repeats = Repeats::default();
        repeats.push(InstanceId(0), vec![target(1, 1, 0)], 3);
        repeats.push(InstanceId(1), vec![target(1, 2, 0)], 1);
        repeats.void(InstanceId(0));
        assert_eq!(step(&mut repeats, 0), (vec![2], None));
    }
}
