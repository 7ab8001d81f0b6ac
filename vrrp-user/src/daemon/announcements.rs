//! Announcements of each address: how many have left, and when the latest one did.
//!
//! The effect thread adds, status reads. The effect thread never waits for a reader, which may not run for long: it
//! keeps what it could not add, and tries again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError, TryLockError};

use vrrp_ebpf::time::Timestamp;

use crate::protocol::InstanceId;

#[derive(Debug, Default)]
pub struct Announcements(Mutex<HashMap<InstanceId, HashMap<IpAddr, AnnouncedAddress>>>);

/// The announcements of an address since the start of the daemon.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AnnouncedAddress {
    pub count: u64,
    /// Time of the latest one.
    pub at: Timestamp,
}

impl Announcements {
    /// Moves these into the record, unless it is being read: then all of them stay in `sent`.
    pub fn add(&self, sent: &mut Vec<(InstanceId, IpAddr, Timestamp)>) {
        let mut all = match self.0.try_lock() {
            Ok(all) => all,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        for (instance, address, at) in sent.drain(..) {
            let announced = all.entry(instance).or_default().entry(address).or_default();
            *announced = AnnouncedAddress { count: announced.count + 1, at };
        }
    }

    /// Those of an instance, by address.
    pub fn of(&self, instance: InstanceId) -> HashMap<IpAddr, AnnouncedAddress> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&instance).cloned().unwrap_or_default()
    }

    /// Forgets an instance, for another one under its number.
    pub fn forget(&self, instance: InstanceId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&instance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(instance: u32, last: u8, at: u64) -> (InstanceId, IpAddr, Timestamp) {
        (InstanceId(instance), [192, 0, 2, last].into(), Timestamp::from_nanos(at))
    }

    #[test]
    fn each_address_of_each_instance_is_counted_by_itself() {
        let announcements = Announcements::default();
        let mut all = vec![sent(0, 1, 10), sent(0, 2, 11), sent(1, 1, 12), sent(0, 1, 20)];
        announcements.add(&mut all);
        assert_eq!(all, []);
        let of = |instance| {
            let mut all: Vec<_> = announcements.of(InstanceId(instance)).into_iter().collect();
            all.sort_by_key(|(address, _)| *address);
            all.into_iter().map(|(_, it)| (it.count, it.at.as_nanos())).collect::<Vec<_>>()
        };
        assert_eq!((of(0), of(1), of(2)), (vec![(2, 20), (1, 11)], vec![(1, 12)], vec![]));
        announcements.forget(InstanceId(0));
        assert_eq!((of(0), of(1)), (vec![], vec![(1, 12)]));
    }

    #[test]
    fn a_reader_delays_no_announcement_and_loses_none() {
        let announcements = Announcements::default();
        let mut late = vec![sent(0, 1, 10)];
        let reading = announcements.0.lock().unwrap();
        announcements.add(&mut late);
        assert_eq!(late.len(), 1);
        drop(reading);
        announcements.add(&mut late);
        assert_eq!((late.len(), announcements.of(InstanceId(0)).len()), (0, 1));
    }
}
