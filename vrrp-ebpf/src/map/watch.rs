//! The advert that needs nobody's attention.

use super::PAYLOAD_MAX;

/// What the master of an instance sends while nothing changes. An advert from `source` whose VRRP message equals
/// the first `length` bytes of `payload` refreshes `last_seen` and wakes nobody; it was verified when it was first
/// seen, so its checksum needs no second look.
///
/// The daemon disarms, writes, then arms again with another generation; an advert that meets a disarmed or half-written
/// watch merely becomes an event.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Watch {
    /// When the program saw such an advert last, ns of CLOCK_MONOTONIC.
    pub last_seen: u64,
    /// Adverts that were the same.
    pub hits: u64,
    pub source: [u8; 16],
    /// Bytes of `payload` in use in the lower half, 0 while disarmed; a generation in the upper half, by which the
    /// program tells that it was armed anew while it compared.
    pub armed: u64,
    /// The source's index among the peers of the slot.
    pub peer: u32,
    pub reserved: u32,
    /// Where adverts are signed: when the latest one was dropped unjudged, ns of CLOCK_MONOTONIC; 0: none was. First
    /// those of other sources, then those of `source`, whose silence proves nothing then.
    pub missed: [u64; 2],
    pub payload: [u8; PAYLOAD_MAX],
}

const _: () = assert!(size_of::<Watch>() == 64 + PAYLOAD_MAX && PAYLOAD_MAX.is_multiple_of(8));

impl Watch {
    pub const fn armed(generation: u32, length: u32) -> u64 {
        (generation as u64) << 32 | length as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub const fn length_of(armed: u64) -> u32 {
        armed as u32
    }

    pub const fn generation_of(armed: u64) -> u32 {
        (armed >> 32) as u32
    }
}

impl core::fmt::Debug for Watch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Watch")
            .field("last_seen", &self.last_seen)
            .field("hits", &self.hits)
            .field("source", &self.source)
            .field("length", &Self::length_of(self.armed))
            .field("peer", &self.peer)
            .field("missed", &self.missed)
            .finish_non_exhaustive()
    }
}
