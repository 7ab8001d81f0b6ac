//! The leases of instances, word by word. For the addresses that a lease covers, see [`Lease`].

use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering};

use vrrp_ebpf::map::Lease;
use vrrp_ebpf::time::Timestamp;

use super::Maps;
use crate::protocol::InstanceId;

impl Maps {
    /// Allows replies for the addresses of an instance until then; `None`: no longer. One store; only one thread may
    /// call it.
    pub fn set_lease(&self, slot: InstanceId, until: Option<Timestamp>) {
        if let Some(lease) = self.words(slot) {
            lease.until.store(until.map_or(0, Timestamp::as_nanos), Ordering::Release);
        }
    }

    /// Allows replies for all addresses: another daemon decides which ones now.
    pub fn open_fence(&self) {
        for lease in InstanceId::all().take(self.rules.len()).filter_map(|slot| self.words(slot)) {
            lease.until.store(Lease::OPEN, Ordering::Release);
        }
    }

    /// End of the lease; `None` if there is none.
    pub fn lease(&self, slot: InstanceId) -> Option<Timestamp> {
        let until = self.words(slot)?.until.load(Ordering::Acquire);
        (until != 0).then(|| Timestamp::from_nanos(until))
    }

    /// Whether the fence lets requests for the addresses of an instance pass.
    pub fn holds_lease(&self, slot: InstanceId, now: Timestamp) -> bool {
        self.leases.read(slot.index()).is_some_and(|lease| lease.holds(now.as_nanos()))
    }

    /// The daemon has processed the advert with this stamp: it no longer ends the lease. Only one thread may call it.
    pub fn settle_challenge(&self, slot: InstanceId, stamp: Timestamp) {
        if let Some(lease) = self.words(slot) {
            let judged = lease.judged.load(Ordering::Relaxed);
            // After the change of the lease.
            lease.judged.store(judged.max(stamp.as_nanos()), Ordering::Release);
        }
    }

    /// Lets the first ARP request or neighbour solicitation for an address of the instance after this time wake the
    /// daemon.
    pub fn heed_address_requests(&self, slot: InstanceId, from: Timestamp) {
        if let Some(lease) = self.words(slot) {
            lease.heed.store(from.as_nanos(), Ordering::Relaxed);
        }
    }

    fn words(&self, slot: InstanceId) -> Option<Words<'_>> {
        let word = |offset| self.leases.word(slot.index(), offset);
        Some(Words {
            until: word(offset_of!(Lease, until))?,
            judged: word(offset_of!(Lease, judged))?,
            heed: word(offset_of!(Lease, heed))?,
        })
    }
}

/// The words of a [`Lease`] that the daemon writes.
struct Words<'a> {
    until: &'a AtomicU64,
    judged: &'a AtomicU64,
    heed: &'a AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::maps::tests::{FIRST, SECOND};

    #[test]
    fn words_are_set_one_by_one() {
        let maps = Maps::anonymous(2).unwrap();
        let at = Timestamp::from_nanos;
        maps.set_lease(SECOND, Some(at(10)));
        maps.settle_challenge(SECOND, at(7));
        maps.settle_challenge(SECOND, at(5));
        maps.heed_address_requests(SECOND, at(3));
        let expected = Lease { until: 10, challenged: 0, judged: 7, heed: 3 };
        assert_eq!([at(9), at(10)].map(|now| maps.holds_lease(SECOND, now)), [true, false]);
        assert_eq!((maps.leases.read(1), maps.lease(SECOND)), (Some(expected), Some(at(10))));
        assert_eq!((maps.leases.read(0), maps.lease(FIRST)), (Some(Lease::default()), None));
        maps.open_fence();
        assert_eq!(maps.leases.read(0).map(|lease| lease.holds(u64::MAX)), Some(true));
        maps.set_lease(SECOND, None);
        assert_eq!(maps.leases.read(1), Some(Lease { until: 0, ..expected }));
    }
}
