//! One frame with VRRP, as a person reads it.
//!
//! Enters: a frame of a [`Tap`](crate::driver::socket::Tap). Leaves: its sender and what it says.
//! The checks are those of the program ([`advert`]); the form of the sender's own adverts is taken for the configured
//! one, so that only damage counts.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::map::InstanceRules;
use vrrp_ebpf::wire::address::narrow;
use vrrp_ebpf::wire::advert::{self, Advert};
use vrrp_ebpf::wire::frame::{self, Frame};
use vrrp_ebpf::wire::vrrp::{AUTH_LEN, Header};
use vrrp_ebpf::wire::{ByteAccess, ChecksumForm, Family, Reject, TRAILER_LEN, checksum};

use crate::driver::socket::{CapturedFrame, ProbeMessage};
use crate::protocol::{Interval, Version};

/// An advert of a router, or CARP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sighting {
    /// Wall-clock time.
    pub at: Duration,
    /// 0 without a tag.
    pub vlan: u16,
    pub family: Family,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ttl: u8,
    pub vrid: u8,
    /// Sent by this host.
    pub is_own: bool,
    pub content: Content,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    Advert(Seen),
    Carp,
    /// Of `vrrpx doctor --probe`, or an answer to one.
    Probe(ProbeMessage),
    /// Damaged, or of an unknown version.
    Broken(Reject),
}

/// A well-formed advert.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    pub version: Version,
    pub priority: u8,
    pub interval: Interval,
    pub addresses: Vec<IpAddr>,
    pub auth: AuthSeen,
    pub checksum: ChecksumForm,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthSeen {
    None,
    /// A password in clear, of version 2.
    Pass,
    /// Behind an IPsec header.
    Ah,
    /// `auth_hmac`.
    Signed,
    /// Another type of version 2.
    Other(u8),
}

impl AuthSeen {
    pub fn word(self) -> String {
        match self {
            Self::None => "-".to_owned(),
            Self::Pass => "PASS".to_owned(),
            Self::Ah => "AH".to_owned(),
            Self::Signed => "HMAC".to_owned(),
            Self::Other(number) => format!("type {number}"),
        }
    }
}

impl Sighting {
    /// `None`: no VRRP, or a frame of several that does not show its VRID.
    pub fn read(caught: &CapturedFrame<'_>) -> Option<Self> {
        let frame = frame::dissect(caught.frame, caught.vlan).ok()?;
        let probe = message(caught.frame, &frame).and_then(|it| ProbeMessage::parse(it, frame.family));
        let content = match (probe, content(caught.frame, &frame)) {
            (Some(probe), _) => Content::Probe(probe),
            (None, Ok(seen)) => Content::Advert(seen),
            (None, Err(Reject::Carp)) => Content::Carp,
            (None, Err(reject)) => Content::Broken(reject),
        };
        Some(Self {
            at: caught.at,
            vlan: frame.vlan,
            family: frame.family,
            source: narrow(frame.family, frame.source),
            destination: narrow(frame.family, frame.destination),
            ttl: frame.ttl,
            vrid: frame.vrid,
            is_own: caught.is_outgoing,
            content,
        })
    }

    /// Whether a receiver refuses it for its TTL or hop limit (RFC 9568 §5.1.1.3).
    pub fn has_wrong_ttl(&self) -> bool {
        self.destination.is_multicast() && self.ttl != u8::MAX
    }
}

fn content(bytes: &[u8], frame: &Frame) -> Result<Seen, Reject> {
    advert::judge_header(frame, |at, length| advert::header_sum(bytes, at, length))?;
    let message = message(bytes, frame).ok_or(Reject::Truncated)?;
    let header = Header(message.first_chunk().copied().ok_or(Reject::Truncated)?);
    let sum = |length| message.get(..length).map(checksum::sum);
    let (_, checksum) = advert::judge_message(bytes, frame, &own_form(message, frame, header), sum)?;
    let is_signed = frame.length == header.message_len(frame.family) + TRAILER_LEN;
    let body = if is_signed { frame.length - TRAILER_LEN } else { frame.length };
    let advert = Advert::parse(message.get(..body).ok_or(Reject::Truncated)?, frame.family)?;
    let version = if advert.version() == 2 { Version::V2 } else { Version::V3 };
    let auth = match (frame.prefix, is_signed, advert.auth_type()) {
        (1.., ..) => AuthSeen::Ah,
        (_, true, _) => AuthSeen::Signed,
        (.., 0) => AuthSeen::None,
        (.., 1) => AuthSeen::Pass,
        (.., other) => AuthSeen::Other(other),
    };
    Ok(Seen {
        version,
        priority: advert.priority(),
        interval: Interval::from_wire(advert.interval(), version).ok_or(Reject::IntervalZero)?,
        addresses: advert.addresses().collect(),
        auth,
        checksum,
    })
}

/// The message, if the frame has all of it.
pub(super) fn message<'a>(bytes: &'a [u8], frame: &Frame) -> Option<&'a [u8]> {
    bytes.get(frame.at..)?.get(..frame.length)
}

/// The rules of an instance that sends adverts of this form.
fn own_form(message: &[u8], frame: &Frame, header: Header) -> InstanceRules {
    let is_v2 = header.version() == 2;
    let auth_data = message.len().checked_sub(AUTH_LEN).and_then(|at| ByteAccess::get(message, at));
    InstanceRules {
        auth_data: auth_data.unwrap_or_default(),
        auth_type: match frame.prefix {
            0 if is_v2 => header.auth_type(),
            0 => 0,
            _ => InstanceRules::AH,
        },
        version: header.version(),
        trailer: InstanceRules::MAYBE_SIGNED,
        no_addresses: 1,
        ..InstanceRules::UNUSED
    }
}

/// Frames for the tests of this module.
#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use vrrp_ebpf::wire::advert::{AdvertRepr, Auth, Dialect, fill_checksum};
    use vrrp_ebpf::wire::ethernet::{EthernetRepr, Mac};
    use vrrp_ebpf::wire::ipv4::{self, Ipv4Repr};
    use vrrp_ebpf::wire::{PROTOCOL, ethernet};

    use super::*;

    pub(in crate::daemon::inspect) const V3: Dialect = Dialect::V3 { family: Family::V4, centiseconds: 100 };

    /// An advert from 192.0.2.`host`, to the group.
    pub(in crate::daemon::inspect) fn advert(
        host: u8,
        vrid: u8,
        priority: u8,
        ttl: u8,
        dialect: Dialect,
        form: ChecksumForm,
    ) -> Vec<u8> {
        let addresses = [IpAddr::from([192, 0, 2, 100])];
        let advert = AdvertRepr::new(vrid, priority, dialect, &addresses).unwrap();
        let mut frame = vec![0; ethernet::HEADER_LEN + ipv4::HEADER_LEN + advert.buffer_len()];
        let (link, packet) = frame.split_at_mut(ethernet::HEADER_LEN);
        let (ip, message) = packet.split_at_mut(ipv4::HEADER_LEN);
        let (source, destination) = (Ipv4Addr::new(192, 0, 2, host), Ipv4Addr::from(ipv4::GROUP));
        let (tos, identification) = (ipv4::INTERNETWORK_CONTROL, 0);
        EthernetRepr { destination: Mac::BROADCAST, source: Mac::default(), ethertype: ethernet::IPV4 }
            .emit(link)
            .unwrap();
        let payload_len = message.len();
        Ipv4Repr { source, destination, protocol: PROTOCOL, ttl, tos, identification, payload_len }
            .emit(ip)
            .unwrap();
        fill_checksum(advert.emit(message).unwrap(), form, source.into(), destination.into());
        frame
    }

    pub(in crate::daemon::inspect) fn caught(frame: &[u8], vlan: u16, millis: u64) -> CapturedFrame<'_> {
        CapturedFrame { frame, vlan, is_outgoing: false, at: Duration::from_millis(millis) }
    }

    #[test]
    fn an_advert_is_read_whatever_its_form() {
        for (dialect, form, version, auth) in [
            (V3, ChecksumForm::Pseudo, Version::V3, AuthSeen::None),
            (V3, ChecksumForm::Plain, Version::V3, AuthSeen::None),
            (Dialect::V2 { seconds: 1, auth: Auth::None }, ChecksumForm::Plain, Version::V2, AuthSeen::None),
            (
                Dialect::V2 { seconds: 1, auth: Auth::Pass(*b"secret\0\0") },
                ChecksumForm::Plain,
                Version::V2,
                AuthSeen::Pass,
            ),
        ] {
            let frame = advert(9, 51, 110, 255, dialect, form);
            let sighting = Sighting::read(&caught(&frame, 7, 5)).unwrap();
            let Content::Advert(seen) = &sighting.content else { panic!("{sighting:?}") };
            assert_eq!((sighting.vlan, sighting.vrid, sighting.ttl), (7, 51, 255));
            assert_eq!((seen.version, seen.priority, seen.auth, seen.checksum), (version, 110, auth, form));
            assert_eq!(seen.interval.duration(), Duration::from_secs(1));
            assert_eq!(seen.addresses, [IpAddr::from([192, 0, 2, 100])]);
        }
    }

    #[test]
    fn what_is_damaged_is_reported_with_its_sender() {
        let mut frame = advert(9, 51, 110, 64, V3, ChecksumForm::Pseudo);
        assert!(Sighting::read(&caught(&frame, 0, 0)).unwrap().has_wrong_ttl());
        *frame.last_mut().unwrap() ^= 1;
        let sighting = Sighting::read(&caught(&frame, 0, 0)).unwrap();
        assert_eq!(sighting.content, Content::Broken(Reject::Checksum));
        assert_eq!(sighting.source, IpAddr::from([192, 0, 2, 9]));
        frame.truncate(40);
        let sighting = Sighting::read(&caught(&frame, 0, 0)).unwrap();
        assert_eq!(sighting.content, Content::Broken(Reject::Truncated));
        assert_eq!(Sighting::read(&caught(&frame[..30], 0, 0)), None);
    }
}
