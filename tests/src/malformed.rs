//! Faulty adverts, which every daemon must reject, for an instance that exists.

use std::os::fd::OwnedFd;

use anyhow::Result;

use crate::lab::{INTERFACE, index_of};
use crate::netns::Namespace;
use crate::observe::{send, sending_socket};

/// Fault of an advert.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flaw {
    Checksum,
    /// TTL 64: the advert may come from another network.
    Ttl,
    Version,
    Type,
    /// Version 2 with an authentication type, which an instance of version 3 does not accept.
    Auth,
    /// Ends before its last address.
    Length,
    /// Wrong checksum of the IPv4 header: the kernel's IP stack drops it.
    HeaderChecksum,
}

impl Flaw {
    pub const ALL: [Self; 7] = [
        Self::Checksum,
        Self::Ttl,
        Self::Version,
        Self::Type,
        Self::Auth,
        Self::Length,
        Self::HeaderChecksum,
    ];
}

/// Sends faulty adverts from a namespace of the lab.
#[derive(Debug)]
pub struct Forger {
    socket: OwnedFd,
    interface: u32,
    vrid: u8,
}

impl Forger {
    pub fn new(client: &Namespace, vrid: u8) -> Result<Self> {
        client.enter(|| Ok(Self { socket: sending_socket()?, interface: index_of(INTERFACE)?, vrid }))
    }

    /// Sends one.
    pub fn send(&self, flaw: Flaw) -> Result<()> {
        self.send_frame(&frame(self.vrid, flaw))
    }

    /// Sends a frame as it is.
    pub fn send_frame(&self, frame: &[u8]) -> Result<()> {
        send(&self.socket, self.interface, frame)
    }
}

/// A frame from the lab's client to the IPv4 group, valid but for its fault.
pub(crate) fn frame(vrid: u8, flaw: Flaw) -> Vec<u8> {
    const SOURCE: [u8; 4] = [10, 77, 0, 100];
    const GROUP: [u8; 4] = [224, 0, 0, 18];
    let (version, kind, form) = match flaw {
        Flaw::Version => (7, 1, [0, 10]),
        Flaw::Type => (3, 9, [0, 10]),
        Flaw::Auth => (2, 1, [9, 1]),
        Flaw::Checksum | Flaw::Ttl | Flaw::Length | Flaw::HeaderChecksum => (3, 1, [0, 10]),
    };
    let mut message = vec![version << 4 | kind, vrid, 250, 1, form[0], form[1], 0, 0, 10, 77, 0, 200];
    if flaw == Flaw::Auth {
        message.extend([0; 8]);
    }
    if flaw == Flaw::Length {
        message.truncate(8);
    }
    let length = u16::try_from(message.len()).unwrap_or(0).to_be_bytes();
    let pseudo = [&SOURCE[..], &GROUP, &[0, 112], &length].concat();
    let covered = if version == 2 { message.clone() } else { [&pseudo[..], &message].concat() };
    let mut sum = checksum(&covered);
    if flaw == Flaw::Checksum {
        sum = !sum;
    }
    message.splice(6..8, sum.to_be_bytes());

    let ttl = if flaw == Flaw::Ttl { 64 } else { 255 };
    let total = u16::try_from(20 + message.len()).unwrap_or(0).to_be_bytes();
    let mut header = [&[0x45, 0xc0][..], &total, &[0, 0, 0, 0, ttl, 112, 0, 0], &SOURCE, &GROUP].concat();
    let sum = checksum(&header) ^ if flaw == Flaw::HeaderChecksum { 0x0100 } else { 0 };
    header.splice(10..12, sum.to_be_bytes());
    let ethernet = [1, 0, 0x5e, 0, 0, 18, 2, 0, 0, 0, 0, 0x64, 8, 0];
    [&ethernet[..], &header, &message].concat()
}

fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
    let sum: u32 = bytes.chunks(2).map(word).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_flaws_of_a_checksum_have_a_wrong_one() {
        for flaw in Flaw::ALL {
            let frame = frame(51, flaw);
            assert_eq!(checksum(&frame[14..34]) == 0, flaw != Flaw::HeaderChecksum, "{flaw:?}: IP header");
            let message = &frame[34..];
            let length = u8::try_from(message.len()).unwrap();
            let pseudo = [&frame[26..34], &[0, 112, 0, length]].concat();
            let covered = if flaw == Flaw::Auth { message.to_vec() } else { [&pseudo[..], message].concat() };
            assert_eq!(checksum(&covered) == 0, flaw != Flaw::Checksum, "{flaw:?}");
        }
    }
}
