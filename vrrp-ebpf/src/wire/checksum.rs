//! The internet checksum (RFC 1071).
//!
//! Sums are in the byte order of the machine and folded at the end: the one's complement sum is independent of byte
//! order (RFC 1071 §2 B), and so is the test for a correct one, all bits set.

use super::put;

/// The one's complement sum of a pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1), not folded. IPv4 addresses fill the
/// first four bytes; the zeros behind them do not change the sum, so that both families share this.
#[inline(always)]
pub const fn pseudo(protocol: u8, source: &[u8; 16], destination: &[u8; 16], length: u16) -> u64 {
    address(source) + address(destination) + length.to_be() as u64 + (protocol as u16).to_be() as u64
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "halves are meant")]
const fn address(address: &[u8; 16]) -> u64 {
    let number = u128::from_ne_bytes(*address);
    let (low, high) = (number as u64, (number >> 64) as u64);
    (low & 0xffff_ffff) + (low >> 32) + (high & 0xffff_ffff) + (high >> 32)
}

/// Folds a sum to 16 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "nothing is left above the lower half")]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    // At most 33 bits, then 18, then 17.
    let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// Whether the sum of bytes that include their checksum is correct: whether it folds to all bits.
#[inline(always)]
pub const fn is_right(sum: u64) -> bool {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    // At most 0x2fffe. The sums that fold to all bits are the multiples of 0xffff but 0.
    let sum = (sum & 0xffff) + (sum >> 16);
    matches!(sum, 0xffff | 0x1_fffe | 0x2_fffd)
}

/// The one's complement sum of `bytes`, not folded. Cannot overflow below 2^32 words.
pub fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(2);
    let odd = words.remainder().first().map_or(0, |byte| u64::from(u16::from_ne_bytes([*byte, 0])));
    words.fold(odd, |sum, word| match *word {
        [first, second] => sum + u64::from(u16::from_ne_bytes([first, second])),
        _ => sum,
    })
}

/// Writes the checksum of `bytes` to its field at `at`. `extra` is the sum of other bytes that it covers. `None` if the
/// field does not fit.
pub fn fill(bytes: &mut [u8], at: usize, extra: u64) -> Option<()> {
    put(bytes, at, [0; 2])?;
    let sum = fold(sum(bytes) + extra);
    put(bytes, at, (!sum).to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::address::widen_ipv4;

    /// RFC 1071 §3.
    #[test]
    fn example() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&bytes)), 0xddf2_u16.to_be());
    }

    #[test]
    fn odd_length() {
        assert_eq!(fold(sum(&[0x12])), fold(sum(&[0x12, 0x00])));
        assert_eq!(fold(sum(&[0x12, 0x34, 0x56])), fold(sum(&[0x12, 0x34, 0x56, 0x00])));
        assert_eq!(sum(&[]), 0);
    }

    /// No carry is lost.
    #[test]
    fn carries() {
        for (sum, folded) in [
            (0, 0),
            (0xffff, 0xffff),
            (0x1_0000, 1),
            (0x1_ffff, 1),
            (0xffff_ffff, 0xffff),
            (0xffff_0001, 1),
            (0x1_ffff_ffff, 1),
            (u64::MAX, 0xffff),
            (0xfffe_ffff_ffff_ffff, 0xfffe),
        ] {
            assert_eq!(fold(sum), folded, "{sum:#x}");
        }
    }

    /// It agrees with the folded sum, whose steps it leaves out.
    #[test]
    fn right_is_what_folds_to_all_bits() {
        let near = |sum: u64| (sum.saturating_sub(3)..=sum.saturating_add(3)).chain([sum]);
        let multiples = (0..64).map(|bit| 0xffff_u64 << bit);
        let powers = (0..64).map(|bit| 1 << bit);
        for sum in multiples.chain(powers).chain([0, u64::MAX, 0x1_ffff_fffe]).flat_map(near) {
            assert_eq!(is_right(sum), fold(sum) == 0xffff, "{sum:#x}");
        }
    }

    /// If the other bytes sum up to all bits, a checksum of 0 and one of all bits are both correct.
    #[test]
    fn two_zeros() {
        assert!(is_right(sum(&[0xff, 0xff, 0x00, 0x00])));
        assert!(is_right(sum(&[0xff, 0xff, 0xff, 0xff])));
        assert!(!is_right(sum(&[0x00, 0x00, 0x00, 0x00])));
    }

    #[test]
    fn fills() {
        let mut bytes = [0x45, 0x00, 0xa5, 0xa5, 0x12, 0x34];
        fill(&mut bytes, 2, 0).unwrap();
        assert_eq!(bytes, [0x45, 0x00, 0xa8, 0xcb, 0x12, 0x34]);
        assert!(is_right(sum(&bytes)));
        assert_eq!(fill(&mut bytes, 5, 0), None);
        assert_eq!(fill(&mut bytes, usize::MAX, 0), None);
    }

    /// RFC 9568 §5.2.8: over IPv6 the checksum covers a pseudo-header too (P20). From fe80::10 to fe80::20, with the
    /// trailer of keepalived's auth_hmac.
    #[test]
    fn ipv6() {
        let message = [
            0x31, 0x33, 0xc8, 0x01, 0x00, 0x64, 0xa2, 0xe9, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0x01, 0x00, 0x01, 0x01, 0x00, 0x00, 0x68, 0x00, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0xc8, 0xc5,
            0x61, 0x46, 0xeb, 0xfd, 0x66, 0xee, 0x10, 0xec, 0x4d, 0x81, 0x86, 0x46, 0x1b, 0x78,
        ];
        let mut source = [0; 16];
        [source[0], source[1], source[15]] = [0xfe, 0x80, 0x10];
        let mut destination = source;
        destination[15] = 0x20;
        assert!(is_right(sum(&message) + pseudo(112, &source, &destination, 52)));
        assert!(!is_right(sum(&message)));
    }

    #[test]
    fn ipv4_pseudo_header() {
        let header = [198, 51, 100, 10, 224, 0, 0, 18, 0, 112, 0, 12];
        let pseudo = pseudo(112, &widen_ipv4([198, 51, 100, 10]), &widen_ipv4([224, 0, 0, 18]), 12);
        assert_eq!(fold(pseudo), fold(sum(&header)));
    }
}
