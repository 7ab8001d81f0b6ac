//! Frames for table-driven tests: valid by default, wrong in exactly the field that the row names.
//!
//! ```
//! use vrrp_tests::packet::{Frame, V3_IPV4, addresses};
//! use vrrp_ebpf::wire::{Family, advert::AdvertRepr};
//!
//! let addresses = addresses(Family::V4, 2);
//! let advert = AdvertRepr::new(51, 100, V3_IPV4, &addresses).unwrap();
//! let frame = Frame::to_group(Family::V4).vlan(5).ttl(64).advert(&advert).build();
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vrrp_ebpf::wire::advert::{AdvertRepr, Auth, Dialect, fill_checksum};
use vrrp_ebpf::wire::ah::{self, AhRepr};
use vrrp_ebpf::wire::arp::{self, ArpRepr, Operation};
use vrrp_ebpf::wire::ethernet::{self, EthernetRepr, Mac};
use vrrp_ebpf::wire::ipv4::{self, Ipv4Repr};
use vrrp_ebpf::wire::ipv6::{self, Ipv6Repr};
use vrrp_ebpf::wire::ndisc::ICMPV6;
use vrrp_ebpf::wire::{ChecksumForm, Family, PROTOCOL, TRAILER_LEN, Trailer, checksum};

/// Version 2 at 1 s without authentication.
pub const V2: Dialect = Dialect::V2 { seconds: 1, auth: Auth::None };
/// Version 2 at 1 s with the password `s3cret`.
pub const V2_PASS: Dialect = Dialect::V2 { seconds: 1, auth: Auth::Pass(*b"s3cret\0\0") };
/// Version 3 at 1 s.
pub const V3_IPV4: Dialect = Dialect::V3 { family: Family::V4, centiseconds: 100 };
/// Version 3 at 1 s.
pub const V3_IPV6: Dialect = Dialect::V3 { family: Family::V6, centiseconds: 100 };

/// VRID of every advert that [`advert`] makes.
pub const VRID: u8 = 51;

/// MAC address of the loopback device; BPF_PROG_TEST_RUN presents every frame as received there.
pub const OWN_MAC: Mac = Mac([0; 6]);

/// Shortest frame on a wire, without its check sequence.
const PADDED: usize = 60;

/// A frame with an IP packet, to be made by [`Frame::build`].
#[derive(Clone, Debug)]
pub struct Frame {
    source_mac: Mac,
    /// By default that of the group, or [`OWN_MAC`].
    destination_mac: Option<Mac>,
    tags: Vec<(u16, u16)>,
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    protocol: u8,
    option_words: u8,
    fragment: u16,
    extension: Option<u8>,
    authentication: Option<AhRepr>,
    payload: Vec<u8>,
    /// Bytes at the end of the payload that the checksum over IPv4 leaves out.
    unsummed: usize,
    checksum: Checksum,
    /// First byte of the IP header, if it is not the right one.
    version_ihl: Option<u8>,
    /// Error of its checksum over IPv4.
    header_flaw: u8,
    announced: Option<usize>,
    cut: Option<usize>,
    padded: bool,
}

#[derive(Clone, Copy, Debug)]
enum Checksum {
    AsGiven,
    Right(ChecksumForm),
    Wrong,
}

impl Frame {
    /// From 192.0.2.1 or fe80::1 to the VRRP group.
    pub fn to_group(family: Family) -> Self {
        match family {
            Family::V4 => Self::new(Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::from(ipv4::GROUP).into()),
            Family::V6 => Self::new(
                Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(),
                Ipv6Addr::from(ipv6::GROUP).into(),
            ),
        }
    }

    /// `source` and `destination` must be of one family when the frame is built.
    pub fn new(source: IpAddr, destination: IpAddr) -> Self {
        Self {
            source_mac: Mac([0x02, 0, 0, 0, 0, 1]),
            destination_mac: None,
            tags: Vec::new(),
            source,
            destination,
            ttl: 255,
            protocol: PROTOCOL,
            option_words: 0,
            fragment: 0,
            extension: None,
            authentication: None,
            payload: Vec::new(),
            unsummed: 0,
            checksum: Checksum::AsGiven,
            version_ihl: None,
            header_flaw: 0,
            announced: None,
            cut: None,
            padded: false,
        }
    }

    pub fn source_mac(self, mac: Mac) -> Self {
        Self { source_mac: mac, ..self }
    }

    pub fn destination_mac(self, mac: Mac) -> Self {
        Self { destination_mac: Some(mac), ..self }
    }

    pub fn source(self, source: IpAddr) -> Self {
        Self { source, ..self }
    }

    pub fn source_address(&self) -> IpAddr {
        self.source
    }

    pub fn destination(self, destination: IpAddr) -> Self {
        Self { destination, ..self }
    }

    /// Adds an 802.1Q tag, inside those before.
    pub fn vlan(self, id: u16) -> Self {
        self.tag(ethernet::VLAN, id)
    }

    /// Adds a tag of this ethertype, inside those before.
    pub fn tag(mut self, ethertype: u16, control: u16) -> Self {
        self.tags.push((ethertype, control));
        self
    }

    /// TTL or hop limit.
    pub fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    pub fn protocol(self, protocol: u8) -> Self {
        Self { protocol, ..self }
    }

    /// IPv4 options of this many 32-bit words, at most 10.
    pub fn options(self, words: u8) -> Self {
        assert!(words <= 10, "the header holds 10 words of options");
        Self { option_words: words, ..self }
    }

    /// IPv4 flags and fragment offset, as on the wire.
    pub fn fragment(self, bits: u16) -> Self {
        Self { fragment: bits, ..self }
    }

    /// IPv4: an IPsec authentication header (AH) before the message.
    pub fn authentication(self, header: AhRepr) -> Self {
        Self { authentication: Some(header), ..self }
    }

    /// An IPv6 extension header of 8 bytes before the message.
    pub fn extension(self, kind: u8) -> Self {
        Self { extension: Some(kind), ..self }
    }

    /// With the checksum that includes the pseudo-header, if the version permits both forms.
    pub fn advert(mut self, advert: &AdvertRepr<'_>) -> Self {
        self.payload = vec![0; advert.buffer_len()];
        assert!(advert.emit(&mut self.payload).is_some());
        self.checksum(ChecksumForm::Pseudo)
    }

    /// Any bytes behind the IP header, as they are.
    pub fn payload(self, bytes: impl Into<Vec<u8>>) -> Self {
        Self { payload: bytes.into(), checksum: Checksum::AsGiven, ..self }
    }

    /// Sets a byte of the message. The checksum is computed afterwards.
    pub fn byte(mut self, at: usize, value: u8) -> Self {
        self.payload[at] = value;
        self
    }

    /// Appends bytes to the message, within the length in the IP header.
    pub fn trailer(mut self, bytes: &[u8]) -> Self {
        self.payload.extend_from_slice(bytes);
        self
    }

    /// Appends the trailer of a signed advert to the message.
    pub fn signed(self, trailer: &Trailer) -> Self {
        Self { unsummed: TRAILER_LEN, ..self.trailer(&trailer.emit()) }
    }

    pub fn checksum(self, form: ChecksumForm) -> Self {
        Self { checksum: Checksum::Right(form), ..self }
    }

    /// A checksum that is wrong in every form.
    pub fn wrong_checksum(self) -> Self {
        Self { checksum: Checksum::Wrong, ..self }
    }

    /// A wrong checksum of the IPv4 header.
    pub fn wrong_header_checksum(self) -> Self {
        Self { header_flaw: 0x80, ..self }
    }

    /// First byte of the IP header. The header's checksum is computed with it.
    pub fn version_ihl(self, first: u8) -> Self {
        Self { version_ihl: Some(first), ..self }
    }

    /// Sets another length of the message in the IP header than it has.
    pub fn announced(self, length: usize) -> Self {
        Self { announced: Some(length), ..self }
    }

    /// Truncates the frame to this many bytes.
    pub fn cut(self, length: usize) -> Self {
        Self { cut: Some(length), ..self }
    }

    /// Pads the frame to 60 bytes, with bytes other than zero.
    pub fn padded(self) -> Self {
        Self { padded: true, ..self }
    }

    #[expect(clippy::panic, reason = "a mistake in a test ends that test")]
    pub fn build(&self) -> Vec<u8> {
        let mut frame = self.link_header();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.ipv4_header(&mut frame, source, destination);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.ipv6_header(&mut frame, source, destination);
            }
            _ => panic!("source and destination are of different families"),
        }
        frame.extend(self.sealed_payload());
        if self.padded && frame.len() < PADDED {
            frame.resize(PADDED, 0xa5);
        }
        frame.truncate(self.cut.unwrap_or(usize::MAX));
        frame
    }

    fn link_header(&self) -> Vec<u8> {
        let destination = match self.destination {
            IpAddr::V4(group) if group.is_multicast() => Mac::of_ipv4_group(group.octets()),
            IpAddr::V6(group) if group.is_multicast() => Mac::of_ipv6_group(group.octets()),
            _ => OWN_MAC,
        };
        let destination = self.destination_mac.unwrap_or(destination);
        let ethertype = match Family::of(self.source) {
            Family::V4 => ethernet::IPV4,
            Family::V6 => ethernet::IPV6,
        };
        let mut untagged = vec![0; ethernet::HEADER_LEN];
        let repr = EthernetRepr { destination, source: self.source_mac, ethertype };
        assert!(repr.emit(&mut untagged).is_some());
        let ethertype = untagged.split_off(12);
        let tags = self.tags.iter().flat_map(|(kind, control)| [kind.to_be_bytes(), control.to_be_bytes()]);
        untagged.into_iter().chain(tags.flatten()).chain(ethertype).collect()
    }

    fn ipv4_header(&self, frame: &mut Vec<u8>, source: Ipv4Addr, destination: Ipv4Addr) {
        let options = usize::from(self.option_words) * 4;
        let authentication = self.authentication.map_or_else(Vec::new, |header| {
            let mut bytes = vec![0; ah::HEADER_LEN];
            assert!(header.emit(&mut bytes).is_some());
            bytes
        });
        let repr = Ipv4Repr {
            source,
            destination,
            protocol: if self.authentication.is_some() { ah::PROTOCOL } else { self.protocol },
            ttl: self.ttl,
            tos: ipv4::INTERNETWORK_CONTROL,
            identification: 1,
            payload_len: options + authentication.len() + self.announced.unwrap_or(self.payload.len()),
        };
        let mut header = vec![0; ipv4::HEADER_LEN];
        assert!(repr.emit(&mut header).is_some(), "the packet is longer than IPv4 allows");
        header[0] += self.option_words;
        header[6..8].copy_from_slice(&self.fragment.to_be_bytes());
        header.resize(ipv4::HEADER_LEN + options, 1);
        header[0] = self.version_ihl.unwrap_or(header[0]);
        checksum::fill(&mut header, 10, 0);
        header[10] ^= self.header_flaw;
        frame.extend(header);
        frame.extend(authentication);
    }

    fn ipv6_header(&self, frame: &mut Vec<u8>, source: Ipv6Addr, destination: Ipv6Addr) {
        let extension = self.extension.map(|_| [self.protocol, 0, 1, 4, 0, 0, 0, 0]);
        let extension = extension.as_ref().map_or(&[][..], |bytes| bytes);
        let repr = Ipv6Repr {
            source,
            destination,
            next_header: self.extension.unwrap_or(self.protocol),
            hop_limit: self.ttl,
            traffic_class: ipv4::INTERNETWORK_CONTROL,
            payload_len: extension.len() + self.announced.unwrap_or(self.payload.len()),
        };
        let mut header = vec![0; ipv6::HEADER_LEN];
        assert!(repr.emit(&mut header).is_some(), "the packet is longer than IPv6 allows");
        header[0] = self.version_ihl.unwrap_or(header[0]);
        frame.extend(header);
        frame.extend(extension);
    }

    fn sealed_payload(&self) -> Vec<u8> {
        let sealed = |form| {
            let mut payload = self.payload.clone();
            let unsummed = if self.source.is_ipv4() { self.unsummed } else { 0 };
            let (summed, _) = payload.split_at_mut(self.payload.len().saturating_sub(unsummed));
            fill_checksum(summed, form, self.source, self.destination);
            payload
        };
        match self.checksum {
            Checksum::AsGiven => self.payload.clone(),
            Checksum::Right(form) => sealed(form),
            Checksum::Wrong => {
                let right = [sealed(ChecksumForm::Plain), sealed(ChecksumForm::Pseudo)];
                let mut payload = self.payload.clone();
                // One of the three differs from both correct checksums.
                for wrong in [[0x11; 2], [0x22; 2], [0x33; 2]] {
                    if right.iter().all(|right| right[6..8] != wrong) {
                        payload[6..8].copy_from_slice(&wrong);
                    }
                }
                payload
            }
        }
    }
}

/// A neighbour's request for an address, behind these tags (ethertype and control), padded: an ARP request from
/// 192.0.2.1, or a neighbour solicitation from fe80::1 with its link-layer option.
#[expect(clippy::panic, reason = "a mistake in a test ends that test")]
pub fn address_request(target: IpAddr, tags: &[(u16, u16)]) -> Vec<u8> {
    let asker = Frame::to_group(Family::of(target));
    let (mac, tagged) = (asker.source_mac, tags.iter().fold(asker, |frame, tag| frame.tag(tag.0, tag.1)));
    let mut frame = match (target, tagged.source) {
        (IpAddr::V4(target_address), IpAddr::V4(sender_address)) => {
            let target_mac = Mac([0; 6]);
            let operation = Operation::Request;
            let repr = ArpRepr { operation, sender_mac: mac, sender_address, target_mac, target_address };
            let mut packet = vec![0; arp::PACKET_LEN];
            assert!(repr.emit(&mut packet).is_some());
            let mut frame = tagged.link_header();
            let ethertype = frame.len() - 2;
            frame[ethertype..].copy_from_slice(&ethernet::ARP.to_be_bytes());
            frame.extend(packet);
            frame
        }
        (IpAddr::V6(target), IpAddr::V6(source)) => {
            let mut body = [&[135, 0, 0, 0, 0, 0, 0, 0], &target.octets()[..], &[1, 1], &mac.0].concat();
            let group = Ipv6Addr::from_bits(
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).to_bits() | target.to_bits() & 0xff_ffff,
            );
            let length = u16::try_from(body.len()).unwrap_or_default();
            let pseudo = checksum::pseudo(ICMPV6, &source.octets(), &group.octets(), length);
            assert!(checksum::fill(&mut body, 2, pseudo).is_some());
            tagged.destination(group.into()).protocol(ICMPV6).payload(body).build()
        }
        _ => panic!("asker and target are of different families"),
    };
    frame.resize(frame.len().max(PADDED), 0);
    frame
}

/// 192.0.2.100 and up, or fe80::100 and up.
pub fn addresses(family: Family, count: u8) -> Vec<IpAddr> {
    let one = |index: u8| match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, index.wrapping_add(100))),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100 + u16::from(index))),
    };
    (0..count).map(one).collect()
}

/// A valid advert with VRID 51 and priority 100 to the group.
#[expect(clippy::panic, reason = "a mistake in a test ends that test")]
pub fn advert(dialect: Dialect, address_count: u8) -> Frame {
    let addresses = addresses(dialect.family(), address_count);
    match AdvertRepr::new(VRID, 100, dialect, &addresses) {
        Ok(repr) => Frame::to_group(dialect.family()).advert(&repr),
        Err(illegal) => panic!("no such advert: {illegal}"),
    }
}

#[cfg(test)]
mod tests {
    use vrrp_ebpf::map::InstanceRules;
    use vrrp_ebpf::wire::advert::judge;
    use vrrp_ebpf::wire::frame::{self, NoMessage, dissect};
    use vrrp_ebpf::wire::{AdvertInfo, Reject};

    use super::*;

    fn slot(dialect: Dialect) -> InstanceRules {
        match dialect {
            Dialect::V2 { auth, .. } => {
                let (auth_type, auth_data) = auth.encode();
                InstanceRules { version: 2, auth_type, auth_data, ..InstanceRules::UNUSED }
            }
            Dialect::V3 { .. } => InstanceRules { version: 3, ..InstanceRules::UNUSED },
        }
    }

    fn judged(frame: &Frame, slot: &InstanceRules) -> Result<(AdvertInfo, ChecksumForm), Reject> {
        let bytes = frame.build();
        let dissected = dissect(bytes.as_slice(), 0).unwrap();
        judge(bytes.as_slice(), &dissected, slot, |length| {
            bytes.get(dissected.at..dissected.at + length).map(checksum::sum)
        })
    }

    #[test]
    fn frames_are_valid_by_default() {
        for dialect in [V2, V2_PASS, V3_IPV4, V3_IPV6] {
            let (info, _) = judged(&advert(dialect, 3), &slot(dialect)).unwrap();
            assert_eq!((info.vrid, info.priority, info.address_count), (51, 100, 3));
            assert_eq!(info.interval, if info.version == 2 { 1 } else { 100 });
        }
    }

    #[test]
    fn checksums_have_the_wanted_form() {
        for form in [ChecksumForm::Plain, ChecksumForm::Pseudo] {
            let (_, found) = judged(&advert(V3_IPV4, 1).checksum(form), &slot(V3_IPV4)).unwrap();
            assert_eq!(found, form);
        }
    }

    #[test]
    fn each_fault_has_its_own_reject() {
        let other: IpAddr = Ipv4Addr::new(192, 0, 2, 9).into();
        for (frame, reject) in [
            (advert(V3_IPV4, 1).cut(45), Reject::Truncated),
            (advert(V3_IPV4, 1).announced(7), Reject::Truncated),
            (advert(V3_IPV4, 1).ttl(254), Reject::Ttl),
            (advert(V3_IPV4, 1).destination(other), Reject::Destination),
            (advert(V3_IPV4, 1).source(Ipv4Addr::UNSPECIFIED.into()), Reject::Source),
            (advert(V2, 1), Reject::VersionMismatch),
            (advert(V3_IPV4, 1).byte(0, 0x32), Reject::Type),
            (advert(V3_IPV4, 1).byte(3, 0), Reject::CountZero),
            (advert(V3_IPV4, 1).trailer(&[0; 8]), Reject::Length),
            (advert(V3_IPV4, 1).wrong_checksum(), Reject::Checksum),
            (advert(V3_IPV4, 1).byte(5, 0), Reject::IntervalZero),
        ] {
            assert_eq!(judged(&frame, &slot(V3_IPV4)), Err(reject), "{frame:?}");
        }
    }

    #[test]
    fn headers() {
        let tagged = advert(V3_IPV6, 1).tag(ethernet::SERVICE_VLAN, 7).vlan(5).build();
        assert_eq!(tagged[12..20], [0x88, 0xa8, 0x00, 0x07, 0x81, 0x00, 0x00, 0x05]);
        assert_eq!(dissect(tagged.as_slice(), 0).map(|frame: frame::Frame| frame.vlan), Ok(5));
        for words in [1, 10] {
            let bytes = advert(V2, 1).options(words).build();
            let header = &bytes[14..34 + usize::from(words) * 4];
            assert!(checksum::is_right(checksum::sum(header)));
            assert_eq!(dissect(bytes.as_slice(), 0).unwrap().at, 14 + header.len());
        }
        let padded = advert(V3_IPV4, 1).padded().build();
        assert_eq!(padded.len(), 60);
        assert_eq!(dissect(padded.as_slice(), 0).unwrap().length, 12);
    }

    #[test]
    fn not_adverts() {
        for frame in [
            advert(V3_IPV4, 1).protocol(6),
            advert(V3_IPV4, 1).fragment(0x2000),
            advert(V3_IPV4, 1).fragment(1),
            advert(V3_IPV6, 1).extension(60),
            advert(V3_IPV4, 1).vlan(1).vlan(2).vlan(3),
        ] {
            assert_eq!(dissect(frame.build().as_slice(), 0), Err(NoMessage::Other), "{frame:?}");
        }
    }
}
