//! ARP for IPv4 over Ethernet (RFC 826): writes gratuitous ARP, reads requests.

use core::fmt;
use core::net::Ipv4Addr;

use super::ethernet::{self, EthernetRepr, Mac};
use super::{ByteAccess, put};

/// Bytes behind the Ethernet header.
pub const PACKET_LEN: usize = 28;

/// Bytes of a whole untagged frame; the driver pads it.
pub const FRAME_LEN: usize = ethernet::HEADER_LEN + PACKET_LEN;

/// Ethernet, IPv4, and the lengths of their addresses.
const FORMAT: [u8; 6] = [0x00, ETHERNET, 0x08, 0x00, 6, 4];

/// Hardware types. Linux takes both on Ethernet, and answers both.
const ETHERNET: u8 = 1;
const IEEE_802: u8 = 6;

mod field {
    pub(super) const FORMAT: usize = 0;
    pub(super) const OPERATION: usize = 6;
    pub(super) const SENDER_MAC: usize = 8;
    pub(super) const SENDER_ADDRESS: usize = 14;
    pub(super) const TARGET_MAC: usize = 18;
    pub(super) const TARGET_ADDRESS: usize = 24;
}

/// Operation of a packet (RFC 826).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub enum Operation {
    /// Asks for the MAC address of the target.
    Request = 1,
    /// Gives the MAC address of the sender.
    Reply = 2,
}

/// A packet of ARP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ArpRepr {
    /// Request or reply.
    pub operation: Operation,
    /// MAC address of the sender.
    pub sender_mac: Mac,
    /// IP address of the sender.
    pub sender_address: Ipv4Addr,
    /// MAC address of the target.
    pub target_mac: Mac,
    /// IP address of the target.
    pub target_address: Ipv4Addr,
}

impl ArpRepr {
    /// Gratuitous ARP (RFC 9568 §6.4.1, L19) as keepalived sends it: a request of the address for itself.
    pub const fn announcement(mac: Mac, address: Ipv4Addr) -> Self {
        Self {
            operation: Operation::Request,
            sender_mac: mac,
            sender_address: address,
            target_mac: Mac::BROADCAST,
            target_address: address,
        }
    }

    /// Reads the packet at `at`, behind the Ethernet header. `None` for other operations and for addresses of other
    /// kinds.
    #[inline(always)]
    pub fn parse<O: ByteAccess + ?Sized>(octets: &O, at: usize) -> Option<Self> {
        let [operation_high, operation_low] = octets.get(at + field::OPERATION)?;
        let operation = match u16::from_be_bytes([operation_high, operation_low]) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return None,
        };
        let [first, hardware, rest @ ..] = octets.get::<6>(at + field::FORMAT)?;
        let has_format = [first, ETHERNET, rest[0], rest[1], rest[2], rest[3]] == FORMAT;
        if !has_format || !matches!(hardware, ETHERNET | IEEE_802) {
            return None;
        }
        Some(Self {
            operation,
            sender_mac: Mac(octets.get(at + field::SENDER_MAC)?),
            sender_address: Ipv4Addr::from(octets.get::<4>(at + field::SENDER_ADDRESS)?),
            target_mac: Mac(octets.get(at + field::TARGET_MAC)?),
            target_address: Ipv4Addr::from(octets.get::<4>(at + field::TARGET_ADDRESS)?),
        })
    }

    /// The address that a request asks for, also in gratuitous ARP and in probes for duplicates (RFC 5227 §2.1.1).
    #[inline(always)]
    pub const fn requested(&self) -> Option<Ipv4Addr> {
        match self.operation {
            Operation::Request => Some(self.target_address),
            Operation::Reply => None,
        }
    }

    /// Whether sender and target have the same IP address: gratuitous ARP.
    pub const fn is_announcement(&self) -> bool {
        self.sender_address.to_bits() == self.target_address.to_bits()
    }

    /// Writes the first [`PACKET_LEN`] bytes of `buffer`; `None` if it is shorter.
    pub fn emit(&self, buffer: &mut [u8]) -> Option<()> {
        let buffer = buffer.get_mut(..PACKET_LEN)?;
        put(buffer, field::FORMAT, FORMAT)?;
        put(buffer, field::OPERATION, (self.operation as u16).to_be_bytes())?;
        put(buffer, field::SENDER_MAC, self.sender_mac.0)?;
        put(buffer, field::SENDER_ADDRESS, self.sender_address.octets())?;
        put(buffer, field::TARGET_MAC, self.target_mac.0)?;
        put(buffer, field::TARGET_ADDRESS, self.target_address.octets())
    }

    /// Writes a whole broadcast frame; `None` if `buffer` is shorter than [`FRAME_LEN`].
    pub fn emit_frame(&self, buffer: &mut [u8]) -> Option<()> {
        let ethernet =
            EthernetRepr { destination: Mac::BROADCAST, source: self.sender_mac, ethertype: ethernet::ARP };
        let (header, packet) = buffer.split_at_mut_checked(ethernet::HEADER_LEN)?;
        self.emit(packet)?;
        ethernet.emit(header)
    }

    /// Reads an untagged frame; `None` also for another ethertype.
    pub fn parse_frame<O: ByteAccess + ?Sized>(octets: &O) -> Option<(EthernetRepr, Self)> {
        let ethernet = EthernetRepr::parse(octets)?;
        if ethernet.ethertype != ethernet::ARP {
            return None;
        }
        Some((ethernet, Self::parse(octets, ethernet::HEADER_LEN)?))
    }
}

impl fmt::Display for ArpRepr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sender_mac, sender_address, target_address, .. } = self;
        match self.operation {
            Operation::Request => {
                write!(f, "who has {target_address}, tell {sender_address} at {sender_mac}")
            }
            Operation::Reply => write!(f, "{sender_address} is at {sender_mac}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::vectors::GRATUITOUS_ARP;

    const MAC: Mac = Mac([0x02, 0x00, 0x00, 0x00, 0x00, 0x01]);

    fn repr() -> ArpRepr {
        ArpRepr::announcement(MAC, Ipv4Addr::new(10, 0, 9, 102))
    }

    #[test]
    fn parse() {
        let (ethernet, arp) = ArpRepr::parse_frame(GRATUITOUS_ARP.as_slice()).unwrap();
        assert_eq!(arp, repr());
        assert_eq!(ethernet.source, MAC);
        assert!(arp.is_announcement());
        for short in 0..GRATUITOUS_ARP.len() {
            assert_eq!(ArpRepr::parse_frame(&GRATUITOUS_ARP[..short]), None);
        }
    }

    #[test]
    fn emit() {
        let mut buffer = [0xa5; 43];
        repr().emit_frame(&mut buffer).unwrap();
        assert_eq!(buffer[..42], GRATUITOUS_ARP);
        assert_eq!(buffer[42], 0xa5);
        for short in 0..FRAME_LEN {
            assert_eq!(repr().emit_frame(&mut vec![0; short]), None);
        }
    }

    #[test]
    fn requests() {
        let request = ArpRepr { sender_address: Ipv4Addr::new(10, 0, 9, 7), ..repr() };
        assert_eq!(request.requested(), Some(Ipv4Addr::new(10, 0, 9, 102)));
        assert!(!request.is_announcement());
        assert_eq!(request.to_string(), "who has 10.0.9.102, tell 10.0.9.7 at 02:00:00:00:00:01");
        let reply = ArpRepr { operation: Operation::Reply, ..repr() };
        assert_eq!(reply.requested(), None);
        assert_eq!(reply.to_string(), "10.0.9.102 is at 02:00:00:00:00:01");
    }

    #[test]
    fn both_hardware_types_of_ethernet() {
        for (hardware, is_read) in [(0, false), (1, true), (2, false), (6, true), (7, false)] {
            let mut frame = GRATUITOUS_ARP;
            frame[15] = hardware;
            assert_eq!(ArpRepr::parse_frame(frame.as_slice()).is_some(), is_read, "{hardware}");
        }
    }

    #[test]
    fn other() {
        for (at, what) in
            [(12, "ethertype"), (14, "hardware"), (16, "protocol"), (18, "lengths"), (21, "operation")]
        {
            let mut frame = GRATUITOUS_ARP;
            frame[at] = 9;
            assert_eq!(ArpRepr::parse_frame(frame.as_slice()), None, "{what}");
        }
    }
}
