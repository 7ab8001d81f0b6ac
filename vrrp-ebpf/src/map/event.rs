//! Ring entries, which wake the daemon.

use super::PAYLOAD_MAX;
use crate::wire::ChecksumForm;

/// A valid advert that is not the watched one: a new sender, changed content, priority 0. Or an ARP request or
/// neighbour solicitation that the daemon has asked for ([`super::Lease::heed`]), without source and message.
///
/// An entry ends where its message does.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Event {
    /// What is known of the message.
    pub head: EventHead,
    /// The VRRP message; with an authentication header of IPsec, the packet from its IP header on.
    pub payload: [u8; PAYLOAD_MAX],
}

/// An event apart from its message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct EventHead {
    /// When the program saw it, ns of CLOCK_MONOTONIC.
    pub stamp: u64,
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
    /// Index of the instance.
    pub slot: u32,
    /// The source's index among the peers of the slot, or [`super::NO_PEER`].
    pub peer: u32,
    /// Bytes of the payload in use.
    pub length: u32,
    /// See [`ChecksumForm`].
    pub checksum: u8,
    /// 0.
    pub reserved: [u8; 3],
}

const _: () = assert!(size_of::<EventHead>() == 40 && size_of::<Event>() == 40 + PAYLOAD_MAX);

impl EventHead {
    /// The bytes of the payload in use; empty if `length` is more than it holds.
    pub fn message<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        payload.get(..self.length as usize).unwrap_or(&[])
    }

    /// Whether this is an ARP request or neighbour solicitation: no advert is empty.
    pub const fn is_address_request(&self) -> bool {
        self.length == 0
    }

    /// The form of the advert's checksum.
    pub const fn checksum_form(&self) -> ChecksumForm {
        ChecksumForm::of(self.checksum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ends_where_it_says() {
        let mut head = EventHead {
            stamp: 0,
            source: [0; 16],
            slot: 0,
            peer: super::super::NO_PEER,
            length: 3,
            checksum: 0,
            reserved: [0; 3],
        };
        let payload = [1, 2, 3, 4];
        assert_eq!((head.message(&payload), head.is_address_request()), (&[1, 2, 3][..], false));
        head.length = 4;
        assert_eq!(head.message(&payload), payload);
        head.length = 5;
        assert_eq!((head.message(&payload), head.is_address_request()), (&[][..], false));
        head.length = 0;
        assert!(head.is_address_request());
    }
}
