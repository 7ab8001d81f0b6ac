//! The watched advert: the unchanged advert of the master.

use super::PAYLOAD_MAX;

/// The advert that the master of an instance sends while nothing changes. An advert from `source` whose VRRP message
/// equals the first `length` bytes of the [`WatchedMessage`] refreshes `last_seen` and does not wake the daemon; the
/// checksum was verified with the first one.
///
/// The daemon disarms, writes, then arms again with another generation; an advert that meets a disarmed or half-written
/// watch becomes an event.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Watch {
    /// When the program saw the latest equal advert, ns of CLOCK_MONOTONIC.
    pub last_seen: u64,
    /// Adverts that were equal.
    pub hits: u64,
    /// The master's address, IPv4 in the first four bytes.
    pub source: [u8; 16],
    /// Lower half: bytes of the message in use, 0 while disarmed. Upper half: a generation, which shows the program
    /// whether the watch was armed again during its comparison.
    pub armed: u64,
    /// The source's index among the peers of the slot.
    pub peer: u32,
    /// 0.
    pub reserved: u32,
    /// For signed adverts: when the latest one was dropped unchecked, ns of CLOCK_MONOTONIC; 0: none was. First those
    /// of other sources, then those of `source`, whose silence proves nothing then.
    pub missed: [u64; 2],
}

/// The VRRP message of a watched advert. Apart from the watch, as it is most of it, and the daemon writes it once for
/// each master.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct WatchedMessage {
    /// Its bytes; those beyond the length in the watch mean nothing.
    pub payload: [u8; PAYLOAD_MAX],
}

const _: () = assert!(size_of::<Watch>() == 64 && size_of::<WatchedMessage>() == PAYLOAD_MAX);

impl Watch {
    /// The value of `armed` for a generation and a length in bytes.
    pub const fn armed(generation: u32, length: u32) -> u64 {
        (generation as u64) << 32 | length as u64
    }

    /// Bytes of the message in use; 0 while disarmed.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub const fn length_of(armed: u64) -> u32 {
        armed as u32
    }

    /// The generation in `armed`.
    pub const fn generation_of(armed: u64) -> u32 {
        (armed >> 32) as u32
    }
}
