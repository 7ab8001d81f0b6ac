//! From the first byte of an Ethernet frame to its VRRP message.
//!
//! Enters: a frame, and the VLAN tag that the kernel has taken out of it already. Leaves: where the message lies, and
//! what the IP header says of it. Absent: any judgement; whether the frame is an advert of ours, or legal, is decided
//! by [`super::advert::judge`].
//!
//! Most frames are not VRRP. Those leave after the ethertype and the protocol number were read.

use super::address::widen_ipv4;
use super::arp::ArpRepr;
use super::ipv4::field as ipv4_field;
use super::ipv6::field as ipv6_field;
use super::vrrp::field as vrrp_field;
use super::{Family, Octets, PROTOCOL, ah, ethernet, ipv4, ipv6, ndisc};

/// What leads to a VRRP message. Lengths are those of the IP header: padding of the link does not count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame {
    pub family: Family,
    /// TTL or hop limit.
    pub ttl: u8,
    /// VLAN id of the innermost tag that names one, 0 without.
    pub vlan: u16,
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
    pub destination: [u8; 16],
    /// Where the message begins in the frame.
    pub at: usize,
    /// Bytes of the message; some may lie beyond the end of the frame. At least 2.
    pub length: usize,
    /// Bytes from the IP header to the message where an authentication header is between them; 0 without one.
    pub prefix: usize,
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

    /// Whether it is addressed to one host, as far as that shows.
    #[inline(always)]
    pub fn is_to_host(&self) -> bool {
        is_host(self.family, &self.destination)
    }

    /// Whether one host can have sent it, as far as that shows: the source is neither unspecified, nor multicast, nor
    /// broadcast, nor loopback.
    #[inline(always)]
    pub fn is_from_host(&self) -> bool {
        is_host(self.family, &self.source)
    }
}

/// Why a frame leads to no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotAdvert {
    /// Another protocol; also a fragment, an IPv6 extension header before VRRP, or more than two tags.
    Other,
    /// It may ask who has an address; see [`asked_for`].
    Neighbour,
    /// VRRP, but cut off before the VRID, so that it can be counted for no instance.
    Truncated,
}

/// A frame of which no byte behind the IP header was looked at yet: only that much has to be in reach.
#[derive(Clone, Copy, Debug)]
pub struct Headers(Frame);

impl Headers {
    /// Where the message ends, as the IP header says.
    #[inline(always)]
    pub fn end(&self) -> usize {
        self.0.at + self.0.length
    }

    /// Reads the VRID as well.
    ///
    /// # Errors
    /// [`NotAdvert::Truncated`].
    #[inline(always)]
    pub fn frame<O: Octets + ?Sized>(self, octets: &O) -> Result<Frame, NotAdvert> {
        // Within the length of the IP header: what lies behind it is padding.
        if self.0.length <= vrrp_field::VRID {
            return Err(NotAdvert::Truncated);
        }
        let [vrid] = octets.get::<1>(self.0.at + vrrp_field::VRID).ok_or(NotAdvert::Truncated)?;
        Ok(Frame { vrid, ..self.0 })
    }
}

/// Walks Ethernet, tags and IP, as [`headers`] does, and reads the VRID.
///
/// # Errors
/// [`NotAdvert`]: nothing here to judge.
#[inline(always)]
pub fn dissect<O: Octets + ?Sized>(octets: &O, stripped: u16) -> Result<Frame, NotAdvert> {
    headers(octets, stripped)?.frame(octets)
}

/// Walks Ethernet, tags and IP. `stripped` is the VLAN id of the tag that is no longer in the frame, 0 without; it was
/// the outer one.
///
/// Neither a fragment nor a message behind an IPv6 extension header is read: no VRRP router sends such, and the program
/// can not put fragments together.
///
/// # Errors
/// [`NotAdvert`]: nothing here to judge.
#[inline(always)]
pub fn headers<O: Octets + ?Sized>(octets: &O, stripped: u16) -> Result<Headers, NotAdvert> {
    let (ethertype, at, vlan) = link(octets, stripped)?;
    match ethertype {
        ethernet::IPV4 => dissect_ipv4(octets, at, vlan),
        ethernet::IPV6 => dissect_ipv6(octets, at, vlan),
        ethernet::ARP => Err(NotAdvert::Neighbour),
        _ => Err(NotAdvert::Other),
    }
}

/// Longest frame that [`asked_for`] looks at.
pub const QUESTION_LEN: usize = ethernet::HEADER_LEN + 2 * ethernet::TAG_LEN + ndisc::SOLICITATION_LEN;

/// The address that a neighbour asks for, by ARP or by a solicitation right behind the IPv6 header, as maps hold it.
///
/// An announcement by ARP asks for its own address, and wants no answer. A tag that names a VLAN leads to another
/// interface.
#[inline(always)]
pub fn asked_for<O: Octets + ?Sized>(octets: &O, stripped: u16) -> Option<(Family, [u8; 16])> {
    let (ethertype, at, vlan) = link(octets, stripped).ok()?;
    if vlan != 0 {
        return None;
    }
    match ethertype {
        ethernet::ARP => {
            let arp = ArpRepr::parse(octets, at).filter(|arp| !arp.is_announcement())?;
            Some((Family::V4, widen_ipv4(arp.requested()?.octets())))
        }
        ethernet::IPV6 => Some((Family::V6, ndisc::solicited(octets, at)?)),
        _ => None,
    }
}

/// The ethertype behind all tags, where what it names begins, and the VLAN.
#[inline(always)]
fn link<O: Octets + ?Sized>(octets: &O, stripped: u16) -> Result<(u16, usize, u16), NotAdvert> {
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
    }
    Ok((ethertype, at + 2, vlan))
}

#[inline(always)]
fn is_tag(ethertype: u16) -> bool {
    ethertype == ethernet::VLAN || ethertype == ethernet::SERVICE_VLAN
}

/// The ethertype behind the tag whose own ethertype is at `at`, and the VLAN it names. Id 0 names none (802.1Q §9.6):
/// such a tag carries a priority only.
#[inline(always)]
fn behind_tag<O: Octets + ?Sized>(octets: &O, at: usize, outer: u16) -> Result<(u16, u16), NotAdvert> {
    let [control_high, control_low, type_high, type_low] = octets.get::<4>(at + 2).ok_or(NotAdvert::Other)?;
    let id = u16::from_be_bytes([control_high, control_low]) & ethernet::VLAN_ID;
    Ok((u16::from_be_bytes([type_high, type_low]), if id == 0 { outer } else { id }))
}

#[inline(always)]
fn dissect_ipv4<O: Octets + ?Sized>(octets: &O, at: usize, vlan: u16) -> Result<Headers, NotAdvert> {
    let [ttl, protocol] = octets.get::<2>(at + ipv4_field::TTL).ok_or(NotAdvert::Other)?;
    if protocol != PROTOCOL && protocol != ah::PROTOCOL {
        return Err(NotAdvert::Other);
    }
    let [version_ihl, _, total_high, total_low] = octets.get::<4>(at).ok_or(NotAdvert::Other)?;
    let header = usize::from(version_ihl & 0x0f) * 4;
    let fragment = read_u16(octets, at + ipv4_field::FRAGMENT)?;
    if version_ihl >> 4 != 4 || header < ipv4::HEADER_LEN || fragment & ipv4::IS_FRAGMENT != 0 {
        return Err(NotAdvert::Other);
    }
    let mut prefix = 0;
    if protocol == ah::PROTOCOL {
        // Of another protocol, or of an algorithm that nobody uses with VRRP.
        if octets.get::<2>(at + header).ok_or(NotAdvert::Other)? != ah::BEGINNING {
            return Err(NotAdvert::Other);
        }
        prefix = header + ah::HEADER_LEN;
    }
    let header = header.max(prefix);
    let source = octets.get::<4>(at + ipv4_field::SOURCE).ok_or(NotAdvert::Truncated)?;
    let destination = octets.get::<4>(at + ipv4_field::DESTINATION).ok_or(NotAdvert::Truncated)?;
    let total = usize::from(u16::from_be_bytes([total_high, total_low]));
    Ok(Headers(Frame {
        family: Family::V4,
        ttl,
        vlan,
        source: widen_ipv4(source),
        destination: widen_ipv4(destination),
        at: at + header,
        length: total.saturating_sub(header),
        prefix,
        vrid: 0,
    }))
}

#[inline(always)]
fn dissect_ipv6<O: Octets + ?Sized>(octets: &O, at: usize, vlan: u16) -> Result<Headers, NotAdvert> {
    let [next_header, hop_limit] = octets.get::<2>(at + ipv6_field::NEXT_HEADER).ok_or(NotAdvert::Other)?;
    if next_header != PROTOCOL {
        let is_icmpv6 = next_header == ndisc::ICMPV6;
        return Err(if is_icmpv6 { NotAdvert::Neighbour } else { NotAdvert::Other });
    }
    let [version_class] = octets.get::<1>(at).ok_or(NotAdvert::Other)?;
    if version_class >> 4 != 6 {
        return Err(NotAdvert::Other);
    }
    let source = octets.get::<16>(at + ipv6_field::SOURCE).ok_or(NotAdvert::Truncated)?;
    let destination = octets.get::<16>(at + ipv6_field::DESTINATION).ok_or(NotAdvert::Truncated)?;
    let length = usize::from(read_u16(octets, at + ipv6_field::PAYLOAD_LENGTH)?);
    Ok(Headers(Frame {
        family: Family::V6,
        ttl: hop_limit,
        vlan,
        source,
        destination,
        at: at + ipv6::HEADER_LEN,
        length,
        prefix: 0,
        vrid: 0,
    }))
}

#[inline(always)]
fn read_u16<O: Octets + ?Sized>(octets: &O, at: usize) -> Result<u16, NotAdvert> {
    octets.get::<2>(at).map(u16::from_be_bytes).ok_or(NotAdvert::Other)
}

/// Compares the address as one number: taken apart into bytes, it would be kept in as many registers.
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

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::vectors::{GRATUITOUS_ARP, NEIGHBOR_ADVERTISEMENT, V2_PASS, V3_IPV4, V3_IPV6};

    const TAG_5: [u8; 4] = [0x81, 0x00, 0xe0, 0x05];
    const SERVICE_TAG_7: [u8; 4] = [0x88, 0xa8, 0x00, 0x07];
    const PRIORITY_TAG: [u8; 4] = [0x81, 0x00, 0xe0, 0x00];

    fn tagged(frame: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
        [&frame[..12], tags.concat().as_slice(), &frame[12..]].concat()
    }

    /// With `words` words of no-operation options.
    fn with_options(frame: &[u8], words: u8) -> Vec<u8> {
        let mut bytes = [&frame[..34], vec![1; usize::from(words) * 4].as_slice(), &frame[34..]].concat();
        bytes[14] += words;
        bytes[17] += words * 4;
        bytes
    }

    #[test]
    fn ipv4() {
        let frame = dissect(V2_PASS.as_slice(), 0).unwrap();
        assert_eq!(
            frame,
            Frame {
                family: Family::V4,
                ttl: 255,
                vlan: 0,
                source: widen_ipv4([10, 0, 9, 1]),
                destination: widen_ipv4([224, 0, 0, 18]),
                at: 34,
                length: 24,
                prefix: 0,
                vrid: 51,
            }
        );
        assert!(frame.is_to_group() && !frame.is_to_host() && frame.is_from_host());
    }

    #[test]
    fn ipv6() {
        let frame = dissect(V3_IPV6.as_slice(), 0).unwrap();
        assert_eq!((frame.family, frame.ttl, frame.at, frame.length), (Family::V6, 255, 54, 40));
        assert_eq!((frame.vrid, frame.vlan), (53, 0));
        assert_eq!(frame.source, [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 1]);
        assert!(frame.is_to_group() && !frame.is_to_host() && frame.is_from_host());
    }

    /// P28.
    #[test]
    fn tags() {
        for (tags, stripped, vlan) in [
            (vec![TAG_5], 0, 5),
            (vec![SERVICE_TAG_7], 0, 7),
            (vec![SERVICE_TAG_7, TAG_5], 0, 5),
            (vec![TAG_5, TAG_5], 0, 5),
            (vec![PRIORITY_TAG], 0, 0),
            (vec![SERVICE_TAG_7, PRIORITY_TAG], 0, 7),
            (vec![PRIORITY_TAG, TAG_5], 0, 5),
            (vec![], 7, 7),
            (vec![TAG_5], 7, 5),
            (vec![PRIORITY_TAG], 7, 7),
        ] {
            for bytes in [V2_PASS.as_slice(), V3_IPV6.as_slice()] {
                let plain = dissect(bytes, 0).unwrap();
                let frame = dissect(tagged(bytes, &tags).as_slice(), stripped).unwrap();
                let at = plain.at + 4 * tags.len();
                assert_eq!(frame, Frame { vlan, at, ..plain }, "{tags:x?} after {stripped}");
            }
        }
    }

    #[test]
    fn too_many_tags() {
        let bytes = tagged(&V2_PASS, &[SERVICE_TAG_7, TAG_5, TAG_5]);
        assert_eq!(dissect(bytes.as_slice(), 0), Err(NotAdvert::Other));
        assert_eq!(dissect(&tagged(&V2_PASS, &[TAG_5, TAG_5])[..], 7), Err(NotAdvert::Other));
    }

    /// P28, N4.
    #[test]
    fn options() {
        for words in 0..=10 {
            let frame = dissect(with_options(&V2_PASS, words).as_slice(), 0).unwrap();
            assert_eq!((frame.at, frame.length), (34 + usize::from(words) * 4, 24), "IHL {}", 5 + words);
            assert_eq!(frame.vrid, 51);
        }
        let mut short = V2_PASS;
        short[14] = 0x44;
        assert_eq!(dissect(short.as_slice(), 0), Err(NotAdvert::Other));
    }

    /// P27.
    #[test]
    fn fragments() {
        for (high, low) in [(0x20, 0x00), (0x00, 0x01), (0x1f, 0xff), (0x20, 0xb9)] {
            let mut bytes = V2_PASS;
            [bytes[20], bytes[21]] = [high, low];
            assert_eq!(dissect(bytes.as_slice(), 0), Err(NotAdvert::Other), "{high:02x}{low:02x}");
        }
        let mut unfragmented = V2_PASS;
        unfragmented[20] = 0x40;
        assert!(dissect(unfragmented.as_slice(), 0).is_ok(), "don't fragment");
    }

    /// P08, P27: hop-by-hop, routing, fragment, authentication, destination options.
    #[test]
    fn extension_headers() {
        for next_header in [0, 43, 44, 51, 60] {
            let mut bytes = V3_IPV6;
            bytes[20] = next_header;
            assert_eq!(dissect(bytes.as_slice(), 0), Err(NotAdvert::Other), "{next_header}");
        }
    }

    /// P28: the IP length decides.
    #[test]
    fn padding() {
        let mut bytes = V3_IPV4.to_vec();
        bytes.resize(60, 0xa5);
        assert_eq!(dissect(bytes.as_slice(), 0), dissect(V3_IPV4.as_slice(), 0));
        // No message at all: the VRID is not to be found in the padding.
        bytes[17] = 20;
        assert_eq!(dissect(bytes.as_slice(), 0), Err(NotAdvert::Truncated));
        bytes[17] = 21;
        assert_eq!(dissect(bytes.as_slice(), 0), Err(NotAdvert::Truncated));
        bytes[17] = 22;
        assert_eq!(dissect(bytes.as_slice(), 0).unwrap().length, 2);
        bytes[17] = 3;
        assert_eq!(dissect(bytes.as_slice(), 0), Err(NotAdvert::Truncated));
    }

    /// R05.
    #[test]
    fn every_length() {
        for (bytes, protocol, vrid) in [(V2_PASS.as_slice(), 22..24, 35), (V3_IPV6.as_slice(), 20..22, 55)] {
            let whole = dissect(bytes, 0).unwrap();
            for length in 0..bytes.len() {
                let frame = dissect(&bytes[..length], 0);
                if length < protocol.end {
                    assert_eq!(frame, Err(NotAdvert::Other), "{length}");
                } else if length <= vrid {
                    assert_eq!(frame, Err(NotAdvert::Truncated), "{length}");
                } else {
                    assert_eq!(frame, Ok(whole), "{length}");
                }
            }
        }
    }

    struct Reads<'a>(&'a [u8], Cell<usize>);

    impl Octets for Reads<'_> {
        fn get<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
            self.1.set(self.1.get() + 1);
            Octets::get(self.0, at)
        }
    }

    /// What other traffic pays.
    #[test]
    fn others_leave_early() {
        let mut tcp = V2_PASS;
        tcp[23] = 6;
        let mut tcp6 = V3_IPV6;
        tcp6[20] = 6;
        for (bytes, reads, kind) in [
            (tcp.as_slice(), 2, NotAdvert::Other),
            (tcp6.as_slice(), 2, NotAdvert::Other),
            (NEIGHBOR_ADVERTISEMENT.as_slice(), 2, NotAdvert::Neighbour),
            (GRATUITOUS_ARP.as_slice(), 1, NotAdvert::Neighbour),
        ] {
            let octets = Reads(bytes, Cell::new(0));
            assert_eq!(dissect(&octets, 0), Err(kind));
            assert_eq!(octets.1.get(), reads);
        }
    }

    #[test]
    fn questions() {
        let mut request = GRATUITOUS_ARP;
        assert_eq!(asked_for(request.as_slice(), 0), None, "an announcement");
        request[31] ^= 1;
        let mut solicitation = NEIGHBOR_ADVERTISEMENT;
        assert_eq!(asked_for(solicitation.as_slice(), 0), None, "an advertisement");
        solicitation[54] = 135;
        let target = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        for (bytes, length, asked) in [
            (request.as_slice(), 42, (Family::V4, widen_ipv4([10, 0, 9, 102]))),
            (solicitation.as_slice(), 78, (Family::V6, target)),
        ] {
            for tags in [vec![], vec![PRIORITY_TAG], vec![PRIORITY_TAG, PRIORITY_TAG]] {
                let tagged = tagged(bytes, &tags);
                assert_eq!(dissect(tagged.as_slice(), 0), Err(NotAdvert::Neighbour));
                let length = length + 4 * tags.len();
                assert!(length <= QUESTION_LEN);
                assert_eq!(asked_for(&tagged[..length], 0), Some(asked), "{tags:x?}");
                assert_eq!(asked_for(&tagged[..length - 1], 0), None, "{tags:x?}");
                assert_eq!(asked_for(&tagged[..length], 5), None, "{tags:x?}");
            }
            assert_eq!(asked_for(tagged(bytes, &[TAG_5]).as_slice(), 0), None);
        }
        request[21] = 2;
        assert_eq!(asked_for(request.as_slice(), 0), None, "a reply");
    }

    /// R17.
    #[test]
    fn hosts() {
        for (address, host) in [
            ([0, 0, 0, 0], false),
            ([127, 0, 0, 1], false),
            ([224, 0, 0, 18], false),
            ([239, 255, 255, 255], false),
            ([255, 255, 255, 255], false),
            ([10, 0, 0, 255], true),
            ([1, 0, 0, 0], true),
            ([223, 255, 255, 254], true),
        ] {
            assert_eq!(is_host(Family::V4, &widen_ipv4(address)), host, "{address:?}");
        }
        for (address, host) in [
            ("::", false),
            ("::1", false),
            ("ff02::12", false),
            ("::2", true),
            ("fe80::1", true),
            ("2001:db8::1", true),
        ] {
            let octets = address.parse::<core::net::Ipv6Addr>().unwrap().octets();
            assert_eq!(is_host(Family::V6, &octets), host, "{address}");
        }
    }

    proptest! {
        /// Whatever comes, and the message lies behind the headers.
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..120), stripped in 0u16..4096) {
            if let Ok(frame) = dissect(bytes.as_slice(), stripped) {
                prop_assert!((34..=102).contains(&frame.at) && frame.length >= 2 && frame.vlan < 4096);
                prop_assert_eq!(bytes[frame.at + 1], frame.vrid);
            }
        }

        /// The same from frames that are nearly right.
        #[test]
        fn any_change(
            at in 0usize..V3_IPV6.len(),
            value in any::<u8>(),
            which in 0usize..3,
            length in 0usize..=V3_IPV6.len(),
        ) {
            let mut bytes = [V2_PASS.as_slice(), V3_IPV4.as_slice(), V3_IPV6.as_slice()][which].to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            bytes.truncate(length);
            if let Ok(frame) = dissect(bytes.as_slice(), 0) {
                prop_assert_eq!(bytes[frame.at + 1], frame.vrid);
            }
        }
    }
}
