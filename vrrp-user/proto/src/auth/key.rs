//! Shared keys: signing and verifying adverts.

use core::fmt;
use core::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use vrrp_ebpf::wire::address::widen;
use vrrp_ebpf::wire::{Family, Trailer};

/// Least bytes of a key.
pub const KEY_MIN: usize = 32;
/// Most bytes of a key.
pub const KEY_MAX: usize = 64;

/// Bytes of the checksum in a message. They count as zeros: it is computed after the signature, per destination.
const CHECKSUM: core::ops::Range<usize> = 6..8;

/// A key, which gives out nothing but signatures. It is kept as the state of the hash after the key's bytes, and wiped
/// with it.
#[derive(Clone)]
pub struct Key {
    id: u8,
    keyed: Hmac<Sha256>,
    /// The HMAC of no bytes: equal for equal keys.
    fingerprint: [u8; 32],
}

impl Key {
    /// `None` if the id is 0 or there are fewer than [`KEY_MIN`] bytes or more than [`KEY_MAX`].
    pub fn new(id: u8, secret: &[u8]) -> Option<Self> {
        if id == 0 || !(KEY_MIN..=KEY_MAX).contains(&secret.len()) {
            return None;
        }
        let keyed = Hmac::new_from_slice(secret).ok()?;
        let fingerprint = Hmac::clone(&keyed).finalize().into_bytes().into();
        Some(Self { id, keyed, fingerprint })
    }

    pub fn id(&self) -> u8 {
        self.id
    }

    /// Signs `message`, sent from `source`: writes the HMAC of `trailer`, whose other fields it covers.
    pub fn sign(&self, message: &[u8], source: IpAddr, trailer: &mut Trailer) {
        let hmac = self.over(message, source, trailer).finalize().into_bytes();
        if let Some(half) = hmac.first_chunk() {
            trailer.hmac = *half;
        }
    }

    /// Whether `trailer` has the HMAC that [`Self::sign`] writes. Takes the same time for every wrong one.
    pub fn verifies(&self, message: &[u8], source: IpAddr, trailer: &Trailer) -> bool {
        self.over(message, source, trailer).verify_truncated_left(&trailer.hmac).is_ok()
    }

    /// The hash over all fields but the destination, so that one signature serves all unicast peers.
    fn over(&self, message: &[u8], source: IpAddr, trailer: &Trailer) -> Hmac<Sha256> {
        let byte = |at: usize| message.get(at).copied().unwrap_or(0);
        let (before, rest) = message.split_at(CHECKSUM.start.min(message.len()));
        let mut hmac = self.keyed.clone();
        hmac.update(&[Family::of(source) as u8, byte(0) >> 4, byte(1), 0]);
        hmac.update(&widen(source));
        hmac.update(before);
        hmac.update(&[0; CHECKSUM.end - CHECKSUM.start]);
        hmac.update(rest.get(CHECKSUM.len()..).unwrap_or_default());
        hmac.update(&trailer.head());
        hmac.update(&[0; 16]);
        hmac
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.fingerprint) == (other.id, other.fingerprint)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = {
        let mut bytes = [0; 32];
        let mut at = 0;
        while at < bytes.len() {
            #[expect(clippy::cast_possible_truncation, reason = "at most 31")]
            {
                bytes[at] = at as u8;
            }
            at += 1;
        }
        bytes
    };

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn check(message: &str, source: &str, hmac: &str) {
        let (message, source) = (bytes(message), source.parse().unwrap());
        let key = Key::new(1, &SECRET).unwrap();
        let mut trailer = Trailer { key_id: 1, sequence: 0x6800_0000_8000_0000, hmac: [0; 16] };
        key.sign(&message, source, &mut trailer);
        assert_eq!(trailer.hmac.as_slice(), bytes(hmac));
        assert!(key.verifies(&message, source, &trailer));
        for at in 0..message.len() {
            let mut changed = message.clone();
            changed[at] ^= 1;
            assert_eq!(key.verifies(&changed, source, &trailer), CHECKSUM.contains(&at), "byte {at}");
        }
        for bit in 0..128 {
            let mut changed = trailer;
            changed.hmac[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verifies(&message, source, &changed), "bit {bit}");
        }
        assert!(!key.verifies(&message, source, &Trailer { sequence: trailer.sequence + 1, ..trailer }));
        assert!(!key.verifies(&message, source, &Trailer { key_id: 2, ..trailer }));
        assert!(!key.verifies(&message, "192.0.2.1".parse().unwrap(), &trailer));
        assert!(!Key::new(1, &[7; 32]).unwrap().verifies(&message, source, &trailer));
    }

    /// test/auth_hmac_test.c of keepalived 2.4.3.
    #[test]
    fn known_answer_ipv4() {
        check("3133c80100644402c0000264", "198.51.100.10", "1b84bc4e8e43892dc6d98448f8ee2265");
    }

    /// As above.
    #[test]
    fn known_answer_ipv6() {
        let message = "3133c8010064a2e9fe800000000000000000000000000100";
        check(message, "fe80::10", "c8c56146ebfd66ee10ec4d8186461b78");
    }

    #[test]
    fn lengths() {
        assert!(
            Key::new(0, &SECRET).is_none()
                && Key::new(1, &[0; 31]).is_none()
                && Key::new(1, &[0; 65]).is_none()
        );
        assert!(Key::new(255, &[0; 64]).is_some());
    }

    #[test]
    fn shows_nothing() {
        let key = Key::new(7, b"0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(format!("{key:?}"), "Key { id: 7, .. }");
        assert!(key == key.clone() && key != Key::new(7, &SECRET).unwrap());
    }

    #[test]
    fn short_messages_do_no_harm() {
        let key = Key::new(1, &SECRET).unwrap();
        let trailer = Trailer { key_id: 1, sequence: 0, hmac: [0; 16] };
        for length in 0..8 {
            assert!(!key.verifies(&[0; 8][..length], "fe80::1".parse().unwrap(), &trailer));
        }
    }
}
