//! Ring entries, which wake the daemon.

use super::PAYLOAD_MAX;
use crate::wire::ChecksumForm;

/// A valid advert that is not the watched one: a new sender, changed content, priority 0. Or an ARP request or
/// neighbour solicitation that the daemon has asked for ([`super::Lease::heed`]), without source and message.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Event {
    /// When the program saw it, ns of CLOCK_MONOTONIC.
    pub stamp: u64,
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
    /// Index of the instance.
    pub slot: u32,
    /// The source's index among the peers of the slot, or [`super::NO_PEER`].
    pub peer: u32,
    /// Bytes of `payload` in use.
    pub length: u32,
    /// See [`ChecksumForm`].
    pub checksum: u8,
    /// 0.
    pub reserved: [u8; 3],
    /// The VRRP message; with an authentication header of IPsec, the packet from its IP header on.
    pub payload: [u8; PAYLOAD_MAX],
}

const _: () = assert!(size_of::<Event>() == 40 + PAYLOAD_MAX);

impl Event {
    /// The bytes of `payload` in use; empty if `length` is more than it holds.
    pub fn message(&self) -> &[u8] {
        self.payload.get(..self.length as usize).unwrap_or(&[])
    }

    /// Whether this is an ARP request or neighbour solicitation: no advert is empty.
    pub const fn is_question(&self) -> bool {
        self.length == 0
    }

    /// The form of the advert's checksum.
    pub const fn checksum_form(&self) -> ChecksumForm {
        ChecksumForm::of(self.checksum)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ends_where_it_says() {
        let mut event = Event {
            stamp: 0,
            source: [0; 16],
            slot: 0,
            peer: super::super::NO_PEER,
            length: 3,
            checksum: 0,
            reserved: [0; 3],
            payload: [0; PAYLOAD_MAX],
        };
        event.payload[..4].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!((event.message(), event.is_question()), (&[1, 2, 3][..], false));
        event.length = 1480;
        assert_eq!(event.message().len(), PAYLOAD_MAX);
        event.length = 1481;
        assert_eq!((event.message(), event.is_question()), (&[][..], false));
        event.length = 0;
        assert!(event.is_question());
    }
}
