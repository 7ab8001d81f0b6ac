//! The watched advert: the unchanged advert of the master.

use super::PAYLOAD_MAX;

/// The advert that the master of an instance sends while nothing changes. An advert from `source` whose VRRP message
/// equals the first `length` bytes of `payload` refreshes `last_seen` and does not wake the daemon; the checksum was
/// verified with the first one.
///
/// The daemon disarms, writes, then arms again with another generation; an advert that meets a disarmed or half-written
/// watch becomes an event.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Watch {
    /// When the program saw the latest equal advert, ns of CLOCK_MONOTONIC.
    pub last_seen: u64,
    /// Adverts that were equal.
    pub hits: u64,
    /// The master's address, IPv4 in the first four bytes.
    pub source: [u8; 16],
    /// Lower half: bytes of `payload` in use, 0 while disarmed. Upper half: a generation, which shows the program
    /// whether the watch was armed again during its comparison.
    pub armed: u64,
    /// The source's index among the peers of the slot.
    pub peer: u32,
    /// 0.
    pub reserved: u32,
    /// For signed adverts: when the latest one was dropped unchecked, ns of CLOCK_MONOTONIC; 0: none was. First those
    /// of other sources, then those of `source`, whose silence proves nothing then.
    pub missed: [u64; 2],
    /// The VRRP message.
    pub payload: [u8; PAYLOAD_MAX],
}

const _: () = assert!(size_of::<Watch>() == 64 + PAYLOAD_MAX && PAYLOAD_MAX.is_multiple_of(8));

impl Watch {
    /// The value of `armed` for a generation and a length in bytes.
    pub const fn armed(generation: u32, length: u32) -> u64 {
        (generation as u64) << 32 | length as u64
    }

    /// Bytes of `payload` in use; 0 while disarmed.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub const fn length_of(armed: u64) -> u32 {
        armed as u32
    }

    /// The generation in `armed`.
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
