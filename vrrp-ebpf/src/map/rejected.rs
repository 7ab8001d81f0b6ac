//! Rejected adverts, by instance and failed check.

/// Entries per instance, indexed by [`crate::wire::Reject`] as a number.
pub const REJECTS_PER_SLOT: u32 = 32;

/// The latest adverts of an instance that failed one check, of two senders. A third sender replaces the earlier one, so
/// that forged senders take no room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Rejected {
    /// When it arrived, ns of CLOCK_MONOTONIC; 0: there was none.
    pub last_seen: u64,
    /// Adverts that failed this check, of all senders.
    pub adverts: u64,
    /// Its sender, IPv4 in the first four bytes.
    pub source: [u8; 16],
    /// When the latest one of another sender arrived; 0: there was none.
    pub previous_seen: u64,
    /// That sender.
    pub previous: [u8; 16],
}

const _: () = assert!(size_of::<Rejected>() == 56 && crate::wire::Reject::COUNT <= REJECTS_PER_SLOT as usize);

impl Rejected {
    /// No advert failed this check.
    pub const NONE: Self =
        Self { last_seen: 0, adverts: 0, source: [0; 16], previous_seen: 0, previous: [0; 16] };

    /// The senders and the times of their latest adverts, the latest first.
    pub fn senders(&self) -> impl Iterator<Item = ([u8; 16], u64)> + use<> {
        // Two CPUs at the same time can write one sender to both places.
        let previous_seen = if self.previous == self.source { 0 } else { self.previous_seen };
        let both = [(self.source, self.last_seen), (self.previous, previous_seen)];
        both.into_iter().filter(|(_, seen)| *seen != 0)
    }

    /// Records an advert of `source` received at `now`, ns of CLOCK_MONOTONIC.
    #[inline(always)]
    pub fn note(&mut self, source: [u8; 16], now: u64) {
        // SAFETY: a record of the caller's own.
        unsafe { Self::note_at(self, source, now) }
    }

    /// [`Self::note`] for a record in a map, where another CPU may write to it at the same time: that can garble what
    /// it shows to people.
    ///
    /// # Safety
    /// `this` must point to a record, aligned and for as long as the call lasts.
    #[inline(always)]
    pub unsafe fn note_at(this: *mut Self, source: [u8; 16], now: u64) {
        // SAFETY: the caller's promise.
        unsafe {
            if (*this).source != source {
                (*this).previous = (*this).source;
                (*this).previous_seen = (*this).last_seen;
            }
            (*this).last_seen = now;
            (*this).adverts = (*this).adverts.wrapping_add(1);
            (*this).source = source;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_senders_are_known_side_by_side() {
        let mut rejected = Rejected::NONE;
        let mut note = |source: u8, now| {
            rejected.note([source; 16], now);
            (rejected.adverts, rejected.senders().map(|(source, seen)| (source[0], seen)).collect::<Vec<_>>())
        };
        assert_eq!(note(7, 10), (1, vec![(7, 10)]));
        assert_eq!(note(7, 20), (2, vec![(7, 20)]));
        assert_eq!(note(8, 30), (3, vec![(8, 30), (7, 20)]));
        assert_eq!(note(8, 40), (4, vec![(8, 40), (7, 20)]));
        assert_eq!(note(7, 50), (5, vec![(7, 50), (8, 40)]));
        assert_eq!(note(9, 60), (6, vec![(9, 60), (7, 50)]), "the third one replaces the earlier");
    }
}
