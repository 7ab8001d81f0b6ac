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
    /// Its sender, IPv4 in the first four bytes; or [`Self::duplicate`].
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

    /// In place of the sender, in the record of [`crate::wire::Reject::OwnSource`]: another host that sends from our
    /// own `address`, in map form, by its MAC address.
    #[inline(always)]
    pub const fn duplicate(address: [u8; 16], [a, b, c, d, e, f]: [u8; 6]) -> [u8; 16] {
        let mac = u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]);
        ((folded(address) as u128) << 64 | mac as u128).to_ne_bytes()
    }

    /// The MAC address in such a `sender`; `None` for a plain address, and for another host with another `address`.
    #[expect(clippy::cast_possible_truncation, reason = "the half is meant")]
    pub fn mac_of_duplicate(sender: [u8; 16], address: [u8; 16]) -> Option<[u8; 6]> {
        let [a, b, c, d, e, f, ..] = (u128::from_ne_bytes(sender) as u64).to_ne_bytes();
        let mac = [a, b, c, d, e, f];
        (sender != address && sender == Self::duplicate(address, mac)).then_some(mac)
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

/// Half as long as the address: a MAC address has room beside it.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "halves are meant")]
const fn folded(address: [u8; 16]) -> u64 {
    let address = u128::from_ne_bytes(address);
    address as u64 ^ (address >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::address::widen;

    #[test]
    fn another_host_is_known_by_its_mac_address_and_ours() {
        let mac = [2, 0, 0, 0, 0, 1];
        for [own, other] in [["192.0.2.1", "192.0.2.2"], ["fe80::1", "fe80::2"], ["2001:db8::1", "fe80::1"]] {
            let [own, other] = [own, other].map(|it| widen(it.parse().unwrap()));
            let sender = Rejected::duplicate(own, mac);
            assert_eq!(Rejected::mac_of_duplicate(sender, own), Some(mac));
            for (sender, address) in [(sender, other), (own, own), (other, own), ([0; 16], own)] {
                assert_eq!(Rejected::mac_of_duplicate(sender, address), None);
            }
        }
    }

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
