//! Whose adverts an instance refuses, and why.

/// Entries of an instance, by [`crate::wire::Reject`] as a number.
pub const REJECTS_PER_SLOT: u32 = 32;

/// The latest advert that an instance refused for one reason. A further sender takes the place of the one before, so that
/// senders that are made up take no room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Rejected {
    /// ns of CLOCK_MONOTONIC; 0 where none was.
    pub last_seen: u64,
    /// Refused for this reason, whoever has sent them.
    pub adverts: u64,
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
}

const _: () = assert!(size_of::<Rejected>() == 32 && crate::wire::Reject::COUNT <= REJECTS_PER_SLOT as usize);

impl Rejected {
    pub const NONE: Self = Self { last_seen: 0, adverts: 0, source: [0; 16] };

    #[inline(always)]
    pub fn note(&mut self, source: [u8; 16], now: u64) {
        self.last_seen = now;
        self.adverts = self.adverts.wrapping_add(1);
        self.source = source;
    }
}
