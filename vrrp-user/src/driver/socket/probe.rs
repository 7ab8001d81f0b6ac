//! Probes of the wire between two hosts: messages that leave as adverts do, and that no router takes for one.
//!
//! Enters: what a host has to say. Leaves: the bytes of a message, and the reverse. Absent: sockets; decisions.
//!
//! A probe has protocol number, group, TTL and source of an advert, so that it passes where adverts pass. It has VRID
//! 0, which no router has (RFC 9568 §5.2.3), and a type that is not assigned: each router ignores it, as it ignores
//! adverts of other virtual routers. The program records it like those, with the first 32 bytes behind the header
//! ([`UnknownRouter`](vrrp_ebpf::map::UnknownRouter)), so that a daemon finds it there and is not woken.
//!
//! ```text
//! 0   version 3 │ type 15, VRID 0, then zeros and the checksum
//! 8   mark
//! 12  flags        13  0        14  sequence of echo replies
//! 16  run of its sender
//! 20  run of the probe that its sender has heard, 0: none
//! 24  source of that one; IPv4 in the first four bytes
//! ```

use std::net::IpAddr;

use vrrp_ebpf::map::{InstanceKey, UnknownRouter};
use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::address::{narrow, widen};
use vrrp_ebpf::wire::vrrp::{HEADER_LEN, Header};

/// Bytes behind the header: what a record of the program keeps.
pub(super) const PROBE_BODY: usize = 32;
pub(super) const PROBE_LEN: usize = HEADER_LEN + PROBE_BODY;

/// VRID of probes.
pub const PROBE_VRID: u8 = 0;

/// Version 3, type 15.
const VERSION_TYPE: u8 = 0x3f;
const VERSION: u8 = 3;
const MARK: [u8; 4] = *b"vrx\x01";

const ASKS: u8 = 1;
const REFUSED: u8 = 1 << 1;

/// What a probe says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ProbeMessage {
    /// Its sender wants an answer.
    pub asks: bool,
    /// Its sender's host refuses to send protocol 112; of a message that came another way.
    pub is_refused: bool,
    /// Number of the sender's run; the lower half is the identifier of echo replies that it reads.
    pub run: u32,
    /// The sequence number of those.
    pub sequence: u16,
    /// The probe that its sender has heard.
    pub heard: Option<HeardProbe>,
}

/// A probe that was heard.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct HeardProbe {
    pub source: IpAddr,
    pub run: u32,
}

impl ProbeMessage {
    /// The identifier of echo replies that its sender reads.
    pub const fn identifier(&self) -> u16 {
        let [_, _, high, low] = self.run.to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// The message, with a checksum of 0.
    pub fn message(&self) -> [u8; PROBE_LEN] {
        let mut bytes = [0; PROBE_LEN];
        let (header, body) = bytes.split_at_mut(HEADER_LEN);
        if let Some(first) = header.first_mut() {
            *first = VERSION_TYPE;
        }
        body.copy_from_slice(&self.body());
        bytes
    }

    /// What is behind the header.
    pub fn body(&self) -> [u8; PROBE_BODY] {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let (source, heard) = self.heard.map_or(([0; 16], 0), |heard| (widen(heard.source), heard.run));
        let mut bytes = [0; PROBE_BODY];
        let parts: [&[u8]; 6] = [
            &MARK,
            &[flag(self.asks, ASKS) | flag(self.is_refused, REFUSED), 0],
            &self.sequence.to_be_bytes(),
            &self.run.to_be_bytes(),
            &heard.to_be_bytes(),
            &source,
        ];
        for (place, byte) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *place = *byte;
        }
        bytes
    }

    /// `None`: no probe.
    pub fn parse(message: &[u8], family: Family) -> Option<Self> {
        let (header, body) = message.split_first_chunk()?;
        let header = Header(*header);
        let is_probe = header.0.first() == Some(&VERSION_TYPE) && header.vrid() == PROBE_VRID;
        is_probe.then(|| Self::parse_body(body, family)).flatten()
    }

    /// The probe of a record of the program; `None`: a router's. A short message leaves the body of the one before it
    /// there, so the header counts too.
    pub fn of_record(key: &InstanceKey, record: &UnknownRouter) -> Option<Self> {
        let family = if key.family == Family::V4 as u8 { Family::V4 } else { Family::V6 };
        let is_probe = key.vrid == PROBE_VRID && (record.version, record.count) == (VERSION, 0);
        is_probe.then(|| Self::parse_body(&record.addresses, family)).flatten()
    }

    /// `None`: not what is behind the header of a probe.
    pub fn parse_body(body: &[u8], family: Family) -> Option<Self> {
        let rest = body.strip_prefix(&MARK)?;
        let ([flags, _], rest) = rest.split_first_chunk::<2>()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (run, rest) = rest.split_first_chunk()?;
        let (heard, rest) = rest.split_first_chunk()?;
        let source = narrow(family, *rest.first_chunk()?);
        let heard = u32::from_be_bytes(*heard);
        Some(Self {
            asks: flags & ASKS != 0,
            is_refused: flags & REFUSED != 0,
            run: u32::from_be_bytes(*run),
            sequence: u16::from_be_bytes(*sequence),
            heard: (heard != 0).then_some(HeardProbe { source, run: heard }),
        })
    }
}

#[cfg(test)]
mod tests {
    use vrrp_ebpf::map::UNKNOWN_ROUTER_ADDRESSES;
    use vrrp_ebpf::wire::Reject;
    use vrrp_ebpf::wire::advert::Advert;

    use super::*;

    const _: () = assert!(PROBE_BODY == UNKNOWN_ROUTER_ADDRESSES);

    fn probe(source: &str) -> ProbeMessage {
        let heard = Some(HeardProbe { source: source.parse().unwrap(), run: 9 });
        ProbeMessage { asks: true, is_refused: false, run: 0x0102_0304, sequence: 7, heard }
    }

    #[test]
    fn a_probe_is_read_as_it_was_written() {
        for (family, source) in [(Family::V4, "192.0.2.12"), (Family::V6, "fe80::12")] {
            let written = probe(source);
            let message = written.message();
            assert_eq!(ProbeMessage::parse(&message, family), Some(written));
            for length in 0..PROBE_LEN {
                assert_eq!(ProbeMessage::parse(&message[..length], family), None, "{length}");
            }
        }
        let nothing = ProbeMessage { heard: None, is_refused: true, asks: false, ..probe("192.0.2.1") };
        assert_eq!(ProbeMessage::parse(&nothing.message(), Family::V4), Some(nothing));
        assert_eq!(nothing.identifier(), 0x0304);
    }

    #[test]
    fn a_record_is_a_probe_by_its_header_too() {
        let record =
            UnknownRouter { version: VERSION, addresses: probe("192.0.2.12").body(), ..UnknownRouter::NONE };
        let of = |vrid, record: &UnknownRouter| {
            ProbeMessage::of_record(&InstanceKey::new(7, 0, Family::V4, vrid), record)
        };
        assert_eq!(of(PROBE_VRID, &record), Some(probe("192.0.2.12")));
        assert_eq!(of(51, &record), None, "a virtual router");
        for other in [UnknownRouter { count: 1, ..record }, UnknownRouter { version: 2, ..record }] {
            assert_eq!(of(PROBE_VRID, &other), None, "a short message after a probe");
        }
    }

    #[test]
    fn no_advert_is_a_probe_and_no_probe_an_advert() {
        let message = probe("192.0.2.12").message();
        for at in [0, 1, 8] {
            let mut other = message;
            other[at] ^= 1;
            assert_eq!(ProbeMessage::parse(&other, Family::V4), None, "{at}");
        }
        for family in [Family::V4, Family::V6] {
            assert_eq!(Advert::parse(&message, family), Err(Reject::Type));
        }
    }
}
