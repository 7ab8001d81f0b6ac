//! The internet checksum (RFC 1071).
//!
//! A sum is taken in the byte order of the machine and folded at the end: the one's complement sum does not care
//! (RFC 1071 §2 B), and neither does the test for a right one, all bits set.

use super::PROTOCOL;

/// The one's complement sum of a VRRP message's pseudo-header, not folded. IPv4 addresses fill the first four bytes;
/// the zeros behind them count for nothing, so that both families share this.
#[inline(always)]
pub const fn pseudo(source: &[u8; 16], destination: &[u8; 16], length: u16) -> u64 {
    addresses(source) + addresses(destination) + (length.to_be() as u64) + ((PROTOCOL as u16).to_be() as u64)
}

#[inline(always)]
const fn addresses(address: &[u8; 16]) -> u64 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *address;
    u32::from_ne_bytes([a, b, c, d]) as u64
        + u32::from_ne_bytes([e, f, g, h]) as u64
        + u32::from_ne_bytes([i, j, k, l]) as u64
        + u32::from_ne_bytes([m, n, o, p]) as u64
}

/// The 16-bit sum.
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

/// Whether bytes that hold their own checksum sum up rightly.
#[inline(always)]
pub const fn is_right(sum: u64) -> bool {
    fold(sum) == 0xffff
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
