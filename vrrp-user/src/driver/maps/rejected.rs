//! Rejected adverts: the program's records, and those of the daemon for adverts that it refuses itself.
//!
//! The program's are mapped only while they are read, which people and metrics ask for: they are a third of all that an
//! instance has in the maps.

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use vrrp_ebpf::map::{REJECTS_PER_SLOT, Rejected};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Reject;

use super::mapped::Mapped;
use crate::protocol::InstanceId;

#[derive(Debug)]
pub(super) struct Records {
    own: Mapped<Rejected>,
    /// The program's array; `None` without a program.
    program: Option<OwnedFd>,
    slots: u32,
    /// Slots in use.
    ready: AtomicU32,
}

/// The records as they are now; readable as long as it lives.
#[derive(Debug)]
pub struct Rejections<'a> {
    own: &'a Mapped<Rejected>,
    program: Option<Mapped<Rejected>>,
}

impl Records {
    pub(super) fn new(slots: u32, program: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        Ok(Self {
            own: Mapped::anonymous(slots.saturating_mul(REJECTS_PER_SLOT))?,
            program: program.map(|map| map.try_clone_to_owned()).transpose()?,
            slots,
            ready: AtomicU32::new(0),
        })
    }

    pub(super) fn reach(&self, slots: usize) {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX).min(self.slots);
        self.ready.fetch_max(slots, Ordering::Relaxed);
    }

    /// Records the sender of an advert that the daemon itself refused. Makes no system call.
    pub(super) fn note(&self, slot: InstanceId, reject: Reject, source: [u8; 16], stamp: Timestamp) {
        let place = place_of(slot, reject);
        if let Some(mut rejected) = self.own.read(place) {
            rejected.note(source, stamp.as_nanos());
            self.own.write(place, &rejected);
        }
    }

    /// Without those of the program if it cannot be mapped.
    pub(super) fn read(&self) -> Rejections<'_> {
        let entries = self.ready.load(Ordering::Relaxed).saturating_mul(REJECTS_PER_SLOT);
        let program = self.program.as_ref().and_then(|map| Mapped::of_first(map.as_fd(), entries).ok());
        Rejections { own: &self.own, program }
    }

    pub(super) fn forget(&self, slot: InstanceId) {
        let Rejections { own, program } = self.read();
        for place in Reject::ALL.map(|reject| place_of(slot, reject)) {
            let arrays = [Some(own), program.as_ref()].into_iter().flatten();
            arrays.for_each(|array| array.write(place, &Rejected::NONE));
        }
    }
}

impl Rejections<'_> {
    /// The last rejected adverts of an instance for each reason that has occurred.
    pub fn of(&self, slot: InstanceId) -> impl Iterator<Item = (Reject, Rejected)> + '_ {
        let read = |array: &Mapped<Rejected>, place| array.read(place).unwrap_or(Rejected::NONE);
        // Most have none: one word shows it.
        let is_seen = |array: &Mapped<Rejected>, place| {
            let last_seen = array.word(place, offset_of!(Rejected, last_seen));
            last_seen.is_some_and(|word| word.load(Ordering::Relaxed) != 0)
        };
        let has_any = move |reject: &Reject| {
            let place = place_of(slot, *reject);
            is_seen(self.own, place) || self.program.as_ref().is_some_and(|array| is_seen(array, place))
        };
        let entry = move |reject| {
            let place = place_of(slot, reject);
            let program = self.program.as_ref().map_or(Rejected::NONE, |array| read(array, place));
            (reject, joined(&read(self.own, place), &program))
        };
        let found = Reject::ALL.into_iter().filter(has_any).map(entry);
        // One may have been cleared meanwhile.
        found.filter(|(_, rejected)| rejected.last_seen != 0)
    }
}

/// Place of a slot's entry for this reason.
fn place_of(slot: InstanceId, reject: Reject) -> usize {
    slot.index().saturating_mul(REJECTS_PER_SLOT as usize).saturating_add(reject as usize)
}

/// One record of all adverts of two.
fn joined(one: &Rejected, other: &Rejected) -> Rejected {
    let latest = if one.last_seen < other.last_seen { other } else { one };
    let others = one.senders().chain(other.senders()).filter(|(source, _)| *source != latest.source);
    let (previous, previous_seen) = others.max_by_key(|(_, seen)| *seen).unwrap_or_default();
    Rejected { adverts: one.adverts.wrapping_add(other.adverts), previous, previous_seen, ..*latest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_program_and_daemon_are_one() {
        let record = |notes: &[(u8, u64)]| {
            let mut record = Rejected::NONE;
            notes.iter().for_each(|(source, at)| record.note([*source; 16], *at));
            record
        };
        let all = record(&[(1, 10), (2, 20), (2, 30)]);
        for (one, other) in [(&[][..], &[(1, 10), (2, 20), (2, 30)][..]), (&[(1, 10), (2, 30)], &[(2, 20)])] {
            let (one, other) = (record(one), record(other));
            assert_eq!((joined(&one, &other), joined(&other, &one)), (all, all));
        }
        assert_eq!(joined(&record(&[(1, 10)]), &record(&[(2, 20)])), record(&[(1, 10), (2, 20)]));
        assert_eq!(joined(&Rejected::NONE, &Rejected::NONE), Rejected::NONE);
    }
}
