//! What wakes the daemon.

use super::PAYLOAD_MAX;

/// A valid advert that is not the watched one: a new sender, a changed content, priority 0.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Event {
    /// When the program saw it, ns of CLOCK_MONOTONIC.
    pub stamp: u64,
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
    pub slot: u32,
    /// The source's index among the peers of the slot, or [`super::NO_PEER`].
    pub peer: u32,
    /// Bytes of `payload` in use.
    pub length: u32,
    /// See [`crate::wire::ChecksumForm`].
    pub checksum: u8,
    pub reserved: [u8; 3],
    /// The VRRP message, from its first byte on.
    pub payload: [u8; PAYLOAD_MAX],
}

const _: () = assert!(size_of::<Event>() == 40 + PAYLOAD_MAX);

impl Event {
    pub fn message(&self) -> &[u8] {
        self.payload.get(..self.length as usize).unwrap_or(&[])
    }
}

impl core::fmt::Debug for Event {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Event")
            .field("stamp", &self.stamp)
            .field("slot", &self.slot)
            .field("peer", &self.peer)
            .field("source", &self.source)
            .field("message", &self.message())
            .finish_non_exhaustive()
    }
}
