//! keepalived's `auth_type AH`: adverts of version 2 behind an authentication header of IPsec, HMAC-MD5-96.
//!
//! It covers the IP header too, except for fields that routers change. Its sequence is a plain counter, which master
//! and backups share: a sender continues from the highest number that it has heard, so that a peer with one counter for
//! all senders, as keepalived, accepts the next master too. Here each sender has a mark of its own.

use core::net::{IpAddr, Ipv4Addr};

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use vrrp_ebpf::wire::Reject;
use vrrp_ebpf::wire::ah::{AhRepr, HEADER_LEN, ICV, ICV_LEN};

use super::{Admitted, Mark, Proof, SenderMarks, Sequence};

/// Bytes of the longest IPv4 header.
const IP_MAX: usize = 60;

/// Verifies adverts that are signed with the password, and signs ours.
#[derive(Clone)]
pub struct AhVerifier {
    keyed: Hmac<Md5>,
    /// Not by unicast: routers on the path decrement the TTL.
    covers_ttl: bool,
    marks: SenderMarks,
    /// The highest number sent or heard.
    counter: u32,
}

impl core::fmt::Debug for AhVerifier {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AhVerifier").field("counter", &self.counter).finish_non_exhaustive()
    }
}

impl AhVerifier {
    /// `room` is the number of senders with a mark. Never `None`: the hash takes keys of any length.
    pub fn new(password: &[u8; 8], unicast: bool, room: usize) -> Option<Self> {
        let keyed = Hmac::new_from_slice(password).ok()?;
        Some(Self { keyed, covers_ttl: !unicast, marks: SenderMarks::new(room), counter: 0 })
    }

    /// Restores the marks and the sequence sent, from other settings or another process.
    pub fn recall(&mut self, marks: impl Iterator<Item = Mark>, sent: Option<Sequence>) {
        for mark in marks {
            self.marks.recall(mark);
            self.raise(mark.sequence);
        }
        sent.into_iter().for_each(|sent| self.raise(sent));
    }

    /// Leaves this many sequences out: another process may have sent with them.
    pub fn skip(&mut self, sequences: u64) {
        self.raise(Sequence(u64::from(self.counter).saturating_add(sequences)));
    }

    pub fn marks(&self) -> impl Iterator<Item = Mark> + '_ {
        self.marks.iter()
    }

    /// Verifies a packet from its IP header on.
    ///
    /// # Errors
    /// [`Reject::AuthHmac`] if it is not signed with the password or not by its source, [`Reject::AuthReplay`] if its
    /// number is not above that source's latest; [`Reject::Truncated`] if it is not a packet with this header.
    pub fn admit<'a>(&mut self, packet: &'a [u8], source: IpAddr) -> Result<Admitted<'a>, Reject> {
        let at = ip_header_len(packet).ok_or(Reject::Truncated)?;
        let (_, behind) = packet.split_at_checked(at).ok_or(Reject::Truncated)?;
        let (header, message) = behind.split_at_checked(HEADER_LEN).ok_or(Reject::Truncated)?;
        let header = AhRepr::parse(header).ok_or(Reject::Truncated)?;
        if IpAddr::from(header.spi) != source {
            return Err(Reject::AuthHmac);
        }
        let sequence = Sequence(header.sequence.into());
        // Before the hash, which is more expensive.
        if self.marks.is_behind(source, sequence, |_| false) {
            return Err(Reject::AuthReplay);
        }
        let hmac = self.over(packet, at).ok_or(Reject::Truncated)?;
        hmac.verify_truncated_left(&header.icv).map_err(|_| Reject::AuthHmac)?;
        let place = self.marks.advance(source, sequence, |_| false).map_err(|_| Reject::AuthReplay)?;
        self.raise(sequence);
        Ok(Admitted { message, proof: Proof::Counted { mark: Mark { source, sequence }, place } })
    }

    /// The header of the next advert, for all its destinations. [`Self::seal`] computes its check value.
    pub fn next(&mut self, source: Ipv4Addr) -> AhRepr {
        self.counter = self.counter.saturating_add(1);
        AhRepr { spi: source.octets(), sequence: self.counter, icv: [0; ICV_LEN] }
    }

    pub fn sent(&self) -> Sequence {
        Sequence(self.counter.into())
    }

    /// Completes a packet, from its IP header on, that contains a header of [`Self::next`].
    pub fn seal(&self, packet: &mut [u8]) {
        let Some(at) = ip_header_len(packet) else { return };
        let Some(hmac) = self.over(packet, at) else { return };
        let digest = hmac.finalize().into_bytes();
        if let (Some(field), Some(icv)) = (packet.get_mut(at + ICV..at + HEADER_LEN), digest.get(..ICV_LEN)) {
            field.copy_from_slice(icv);
        }
    }

    fn raise(&mut self, sequence: Sequence) {
        self.counter = self.counter.max(u32::try_from(sequence.0).unwrap_or(0));
    }

    /// The hash over a packet whose IP header ends at `at`. Fields that routers change count as zeros
    /// (RFC 2402 §3.3.3), except for the TTL of multicast, which stays 255.
    fn over(&self, packet: &[u8], at: usize) -> Option<Hmac<Md5>> {
        let mut header = [0; IP_MAX];
        let header = header.get_mut(..at)?;
        header.copy_from_slice(packet.get(..at)?);
        // Class of service, fragment, checksum.
        for place in [1, 6, 7, 10, 11] {
            *header.get_mut(place)? = 0;
        }
        if !self.covers_ttl {
            *header.get_mut(8)? = 0;
        }
        let mut hmac = self.keyed.clone();
        hmac.update(header);
        hmac.update(packet.get(at..at + ICV)?);
        hmac.update(&[0; ICV_LEN]);
        hmac.update(packet.get(at + HEADER_LEN..)?);
        Some(hmac)
    }
}

/// Bytes of the IPv4 header; `None` if it claims less than the minimum.
fn ip_header_len(packet: &[u8]) -> Option<usize> {
    let length = usize::from(packet.first()? & 0x0f) * 4;
    (length >= 20).then_some(length)
}

#[cfg(test)]
mod tests {
    use vrrp_ebpf::wire::ah;
    use vrrp_ebpf::wire::ipv4::Ipv4Repr;

    use super::*;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const MESSAGE: [u8; 20] = [0x21, 51, 100, 1, 2, 1, 0, 0, 192, 0, 2, 100, 0, 0, 0, 0, 0, 0, 0, 0];

    fn verifier(password: &[u8; 8], unicast: bool) -> AhVerifier {
        AhVerifier::new(password, unicast, 4).unwrap()
    }

    fn packet(sender: &mut AhVerifier) -> Vec<u8> {
        let mut packet = vec![0; 20 + HEADER_LEN];
        let repr = Ipv4Repr {
            source: SOURCE,
            destination: Ipv4Addr::new(224, 0, 0, 18),
            protocol: ah::PROTOCOL,
            ttl: 255,
            tos: 0xc0,
            identification: 7,
            payload_len: HEADER_LEN + MESSAGE.len(),
        };
        repr.emit(&mut packet).unwrap();
        sender.next(SOURCE).emit(&mut packet[20..]).unwrap();
        packet.extend(MESSAGE);
        sender.seal(&mut packet);
        packet
    }

    fn judge(hearer: &mut AhVerifier, packet: &[u8]) -> Result<(), Reject> {
        hearer.admit(packet, SOURCE.into()).map(|admitted| assert_eq!(admitted.message, MESSAGE))
    }

    #[test]
    fn hears_what_a_peer_signs_and_nothing_twice() {
        let (mut sender, mut hearer) = (verifier(b"s3cret\0\0", false), verifier(b"s3cret\0\0", false));
        let (first, second) = (packet(&mut sender), packet(&mut sender));
        assert_eq!(judge(&mut hearer, &first), Ok(()));
        assert_eq!(judge(&mut hearer, &first), Err(Reject::AuthReplay));
        assert_eq!(judge(&mut hearer, &second), Ok(()));
        assert_eq!(judge(&mut verifier(b"s3creT\0\0", false), &second), Err(Reject::AuthHmac));
        assert_eq!(hearer.sent(), Sequence(2), "it goes on from there");
        assert_eq!(packet(&mut hearer)[20 + 8..20 + 12], [0, 0, 0, 3]);
    }

    /// Fields that routers change are not covered; everything else is.
    #[test]
    fn what_is_covered() {
        for unicast in [false, true] {
            let packet = packet(&mut verifier(b"s3cret\0\0", unicast));
            for at in 1..packet.len() {
                let mut changed = packet.clone();
                changed[at] ^= 1;
                let covered = !(matches!(at, 1 | 6 | 7 | 10 | 11) || unicast && at == 8);
                let outcome = verifier(b"s3cret\0\0", unicast).admit(&changed, SOURCE.into()).map(drop);
                assert_eq!(outcome.is_err(), covered, "byte {at}, unicast {unicast}");
            }
        }
    }

    #[test]
    fn another_s_address_is_not_signed() {
        let packet = packet(&mut verifier(b"s3cret\0\0", false));
        let other = [192, 0, 2, 9].into();
        assert_eq!(verifier(b"s3cret\0\0", false).admit(&packet, other).map(drop), Err(Reject::AuthHmac));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        let packet = packet(&mut verifier(b"s3cret\0\0", false));
        for length in 0..20 + HEADER_LEN {
            let outcome = verifier(b"s3cret\0\0", false).admit(&packet[..length], SOURCE.into()).map(drop);
            assert_eq!(outcome, Err(Reject::Truncated), "{length}");
        }
    }

    /// RFC 2202 §2, test case 2, cut to 96 bits.
    #[test]
    fn the_hash() {
        let mut hmac = Hmac::<Md5>::new_from_slice(b"Jefe").unwrap();
        hmac.update(b"what do ya want for nothing?");
        let wanted = [0x75, 0x0c, 0x78, 0x3e, 0x6a, 0xb0, 0xb5, 0x03, 0xea, 0xa8, 0x6e, 0x31];
        assert!(hmac.verify_truncated_left(&wanted).is_ok());
    }
}
