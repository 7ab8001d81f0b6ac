//! Rejected adverts, by instance and failed check.

/// Entries per instance, indexed by [`crate::wire::Reject`] as a number.
pub const REJECTS_PER_SLOT: u32 = 32;

/// The latest advert of an instance that failed one check. The latest sender replaces the one before, so that forged
/// senders take no room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Rejected {
    /// When it arrived, ns of CLOCK_MONOTONIC; 0: there was none.
    pub last_seen: u64,
    /// Adverts that failed this check, of all senders.
    pub adverts: u64,
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
}

const _: () = assert!(size_of::<Rejected>() == 32 && crate::wire::Reject::COUNT <= REJECTS_PER_SLOT as usize);

impl Rejected {
    /// No advert failed this check.
    pub const NONE: Self = Self { last_seen: 0, adverts: 0, source: [0; 16] };

    /// Records an advert of `source` received at `now`, ns of CLOCK_MONOTONIC.
    #[inline(always)]
    pub fn note(&mut self, source: [u8; 16], now: u64) {
        self.last_seen = now;
        self.adverts = self.adverts.wrapping_add(1);
        self.source = source;
    }
}
