//! Dissection of frames: from the first byte of Ethernet to the VRRP message.
//!
//! Enters: a frame, and the VLAN tag that the kernel has already removed from it. Leaves: the place of the message, and
//! the fields of the IP header. Absent: any check; [`super::advert::judge`] decides whether the frame is an advert for
//! an instance, and legal.
//!
//! Most frames are not VRRP. They leave once the ethertype and the protocol number are read.

mod address_request;
#[cfg(test)]
mod tests;

pub use address_request::{ADDRESS_REQUEST_LEN, asked_for};

use super::address::widen_ipv4;
use super::ipv4::field as ipv4_field;
use super::ipv6::field as ipv6_field;
use super::vrrp::field as vrrp_field;
use super::{ByteAccess, Family, PROTOCOL, ah, ethernet, ipv4, ipv6, ndisc};

/// The headers before a VRRP message. Lengths are those of the IP header: padding of the link does not count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame {
    /// Of the IP header.
    pub family: Family,
    /// TTL or hop limit.
    pub ttl: u8,
    /// VLAN id of the innermost tag that names one, 0 without.
    pub vlan: u16,
    /// First byte of the IP header: its version and, with IPv4, its length.
    pub version_ihl: u8,
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
    /// The same.
    pub destination: [u8; 16],
    /// Offset of the IP header in the frame.
    pub ip: usize,
    /// Offset of the message in the frame.
    pub at: usize,
    /// Bytes of the message; some may lie beyond the end of the frame. At least 2.
    pub length: usize,
    /// Bytes from the IP header to the message if an authentication header is between them; 0 without one.
    pub prefix: usize,
    /// As in the message.
    pub vrid: u8,
}

impl Frame {
    /// Whether it is addressed to the VRRP group of its family (RFC 9568 §5.1.1.2, §5.1.2.2).
    #[inline(always)]
    pub fn is_to_group(&self) -> bool {
        match self.family {
            Family::V4 => self.destination == widen_ipv4(ipv4::GROUP),
            Family::V6 => self.destination == ipv6::GROUP,
        }
    }

    /// Whether the IP header has the version that the ethertype says, and at least the minimum length.
    #[inline(always)]
    pub fn has_ip_header(&self) -> bool {
        match self.family {
            Family::V4 => self.version_ihl >> 4 == 4 && self.version_ihl & 0x0f >= MIN_IHL,
            Family::V6 => self.version_ihl >> 4 == 6,
        }
    }

    /// Bytes of the IP header.
    #[inline(always)]
    pub fn ip_len(&self) -> usize {
        match self.family {
            Family::V4 => ipv4_len(self.version_ihl),
            Family::V6 => ipv6::HEADER_LEN,
        }
    }

    /// Whether the stack of this host accepts the IP packet: its destination is multicast or broadcast, or `own`, or
    /// another address that this host `holds`. A router forwards all others, and a host drops them.
    #[inline(always)]
    pub fn is_to_us(&self, own: &[u8; 16], holds: impl FnOnce() -> bool) -> bool {
        !self.is_to_host() || self.destination == *own || holds()
    }

    /// Whether it is addressed to one host, as far as the address shows.
    #[inline(always)]
    pub fn is_to_host(&self) -> bool {
        is_host(self.family, &self.destination)
    }

    /// Whether a host can have sent it, as far as the address shows: the source is neither unspecified, nor multicast,
    /// nor broadcast, nor loopback.
    #[inline(always)]
    pub fn is_from_host(&self) -> bool {
        is_host(self.family, &self.source)
    }
}

/// Words of the shortest IPv4 header.
const MIN_IHL: u8 = 5;

/// Whether the link layer addresses the frame to a group or to this interface, whose MAC addresses `owns` knows. A
/// switch that does not know the port of another host sends frames for it to all ports.
#[inline(always)]
pub fn is_to_mac<O: ByteAccess + ?Sized>(octets: &O, owns: impl FnOnce([u8; 6]) -> bool) -> bool {
    let Some(destination) = octets.get::<6>(ethernet::field::DESTINATION) else { return false };
    destination[0] & 1 != 0 || owns(destination)
}

/// The MAC address that the frame comes from.
#[inline(always)]
pub fn source_mac<O: ByteAccess + ?Sized>(octets: &O) -> Option<[u8; 6]> {
    octets.get::<6>(ethernet::field::SOURCE)
}

/// The reason that a frame has no message to check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoMessage {
    /// Another protocol; also a fragment, an IPv6 extension header before VRRP, or more tags than are read.
    Other,
    /// More tags than are read, and none of them names a VLAN. The stack removes any number of those (Linux 5.3), and
    /// would deliver an advert that was not checked.
    Nested,
    /// ARP or ICMPv6: it may ask for an address; see [`asked_for`].
    Neighbour,
    /// VRRP, but cut off before the VRID, so that it counts for no instance.
    Truncated,
}

/// A frame whose bytes behind the IP header are not read yet: only the headers have to be in reach.
#[derive(Clone, Copy, Debug)]
pub struct Headers(Frame);

impl Headers {
    /// Offset of the end of the message, by the IP header.
    #[inline(always)]
    pub fn end(&self) -> usize {
        self.0.at + self.0.length
    }

    /// Reads the VRID as well.
    ///
    /// # Errors
    /// [`NoMessage::Truncated`].
    #[inline(always)]
    pub fn frame<O: ByteAccess + ?Sized>(self, octets: &O) -> Result<Frame, NoMessage> {
        // Within the length in the IP header: the bytes behind it are padding.
        if self.0.length <= vrrp_field::VRID {
            return Err(NoMessage::Truncated);
        }
        let [vrid] = octets.get::<1>(self.0.at + vrrp_field::VRID).ok_or(NoMessage::Truncated)?;
        Ok(Frame { vrid, ..self.0 })
    }
}

/// Walks Ethernet, tags and IP, as [`headers`] does, and reads the VRID.
///
/// # Errors
/// [`NoMessage`]: no message to check.
#[inline(always)]
pub fn dissect<O: ByteAccess + ?Sized>(octets: &O, stripped: u16) -> Result<Frame, NoMessage> {
    headers(octets, stripped)?.frame(octets)
}

/// Walks Ethernet, tags and IP. `stripped` is the VLAN id of the tag that the kernel has removed, 0 without; it was the
/// outer one.
///
/// Neither a fragment nor a message behind an IPv6 extension header is read: no VRRP router sends them, and the program
/// cannot reassemble fragments.
///
/// # Errors
/// [`NoMessage`]: no message to check.
#[inline(always)]
pub fn headers<O: ByteAccess + ?Sized>(octets: &O, stripped: u16) -> Result<Headers, NoMessage> {
    let (ethertype, at, vlan) = link(octets, stripped)?;
    match ethertype {
        ethernet::IPV4 => dissect_ipv4(octets, at, vlan),
        ethernet::IPV6 => dissect_ipv6(octets, at, vlan),
        ethernet::ARP => Err(NoMessage::Neighbour),
        _ => Err(NoMessage::Other),
    }
}

/// The ethertype behind all tags, the offset of its header, and the VLAN id.
#[inline(always)]
fn link<O: ByteAccess + ?Sized>(octets: &O, stripped: u16) -> Result<(u16, usize, u16), NoMessage> {
    let mut at = ethernet::field::ETHERTYPE;
    let mut vlan = stripped;
    let mut ethertype = read_u16(octets, at)?;
    if is_tag(ethertype) {
        (ethertype, vlan) = behind_tag(octets, at, vlan)?;
        at += ethernet::TAG_LEN;
        if is_tag(ethertype) && stripped == 0 {
            (ethertype, vlan) = behind_tag(octets, at, vlan)?;
            at += ethernet::TAG_LEN;
        }
        if is_tag(ethertype) && vlan == 0 {
            return Err(NoMessage::Nested);
        }
    }
    Ok((ethertype, at + 2, vlan))
}

#[inline(always)]
fn is_tag(ethertype: u16) -> bool {
    ethertype == ethernet::VLAN || ethertype == ethernet::SERVICE_VLAN
}

/// The ethertype behind the tag whose own ethertype is at `at`, and the VLAN it names. Id 0 names none (802.1Q §9.6):
/// the tag carries a priority only.
#[inline(always)]
fn behind_tag<O: ByteAccess + ?Sized>(octets: &O, at: usize, outer: u16) -> Result<(u16, u16), NoMessage> {
    let [control_high, control_low, type_high, type_low] = octets.get::<4>(at + 2).ok_or(NoMessage::Other)?;
    let id = u16::from_be_bytes([control_high, control_low]) & ethernet::VLAN_ID;
    Ok((u16::from_be_bytes([type_high, type_low]), if id == 0 { outer } else { id }))
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "halves are meant")]
fn dissect_ipv4<O: ByteAccess + ?Sized>(octets: &O, at: usize, vlan: u16) -> Result<Headers, NoMessage> {
    // Few reads of several fields each: the program pays for the bound of each read.
    let [fragment_high, fragment_low, ttl, protocol] =
        octets.get::<4>(at + ipv4_field::FRAGMENT).ok_or(NoMessage::Other)?;
    if protocol != PROTOCOL && protocol != ah::PROTOCOL {
        return Err(NoMessage::Other);
    }
    let [version_ihl, _, total_high, total_low] = octets.get::<4>(at).ok_or(NoMessage::Other)?;
    let header = ipv4_len(version_ihl);
    if u16::from_be_bytes([fragment_high, fragment_low]) & ipv4::IS_FRAGMENT != 0 {
        return Err(NoMessage::Other);
    }
    let mut prefix = 0;
    if protocol == ah::PROTOCOL {
        // Another protocol behind it, or another algorithm, which no VRRP router uses.
        if octets.get::<2>(at + header).ok_or(NoMessage::Other)? != ah::BEGINNING {
            return Err(NoMessage::Other);
        }
        prefix = header + ah::HEADER_LEN;
    }
    let header = header.max(prefix);
    let addresses = octets.get::<8>(at + ipv4_field::SOURCE).ok_or(NoMessage::Truncated)?;
    let addresses = u64::from_le_bytes(addresses);
    let [source, destination] = [addresses as u32, (addresses >> 32) as u32].map(u32::to_le_bytes);
    let total = usize::from(u16::from_be_bytes([total_high, total_low]));
    Ok(Headers(Frame {
        family: Family::V4,
        ttl,
        vlan,
        version_ihl,
        source: widen_ipv4(source),
        destination: widen_ipv4(destination),
        ip: at,
        at: at + header,
        length: total.saturating_sub(header),
        prefix,
        vrid: 0,
    }))
}

#[inline(always)]
fn dissect_ipv6<O: ByteAccess + ?Sized>(octets: &O, at: usize, vlan: u16) -> Result<Headers, NoMessage> {
    let [next_header, hop_limit] = octets.get::<2>(at + ipv6_field::NEXT_HEADER).ok_or(NoMessage::Other)?;
    if next_header != PROTOCOL {
        let is_icmpv6 = next_header == ndisc::ICMPV6;
        return Err(if is_icmpv6 { NoMessage::Neighbour } else { NoMessage::Other });
    }
    let [version_ihl] = octets.get::<1>(at).ok_or(NoMessage::Other)?;
    let source = octets.get::<16>(at + ipv6_field::SOURCE).ok_or(NoMessage::Truncated)?;
    let destination = octets.get::<16>(at + ipv6_field::DESTINATION).ok_or(NoMessage::Truncated)?;
    let length = usize::from(read_u16(octets, at + ipv6_field::PAYLOAD_LENGTH)?);
    Ok(Headers(Frame {
        family: Family::V6,
        ttl: hop_limit,
        vlan,
        version_ihl,
        source,
        destination,
        ip: at,
        at: at + ipv6::HEADER_LEN,
        length,
        prefix: 0,
        vrid: 0,
    }))
}

/// Bytes of an IPv4 header; the minimum if the header claims less.
#[inline(always)]
fn ipv4_len(version_ihl: u8) -> usize {
    usize::from((version_ihl & 0x0f).max(MIN_IHL)) * 4
}

#[inline(always)]
fn read_u16<O: ByteAccess + ?Sized>(octets: &O, at: usize) -> Result<u16, NoMessage> {
    octets.get::<2>(at).map(u16::from_be_bytes).ok_or(NoMessage::Other)
}

/// Whether it is the address of one host. Compares it as one number: LLVM would keep its bytes in a register each.
#[inline(always)]
fn is_host(family: Family, address: &[u8; 16]) -> bool {
    let number = u128::from_be_bytes(*address);
    let first = (number >> 120) as u8;
    match family {
        Family::V4 => {
            let number = (number >> 96) as u32;
            !(first == 127 || first & 0xf0 == 0xe0 || number == 0 || number == u32::MAX)
        }
        // :: and ::1 differ in the last bit only.
        Family::V6 => first != 0xff && number > 1,
    }
}
