//! The trailer that keepalived's `auth_hmac` appends to a message (2.4.2 and later).
//!
//! ```text
//! 0   type 1: HMAC-SHA256, its first 128 bits
//! 1   key id, 1 to 255
//! 2   reserved, 0
//! 4   sequence: seconds of UTC (32 bits), 1/65536 seconds (16 bits), a counter within them (16 bits)
//! 12  HMAC
//! ```
//! No field of the message announces it: only the length shows it. Keys and clocks are the daemon's.

/// Bytes of a trailer.
pub const TRAILER_LEN: usize = 28;

/// Bytes before the HMAC, which covers them.
const HEAD_LEN: usize = 12;

const HMAC_SHA256_128: u8 = 1;

/// A well-formed trailer; checking its HMAC takes the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Trailer {
    /// 1 to 255.
    pub key_id: u8,
    /// Seconds of UTC, 1/65536 seconds and a counter, see above.
    pub sequence: u64,
    /// The first 128 bits of the HMAC-SHA256.
    pub hmac: [u8; 16],
}

impl Trailer {
    /// `None` if the type is another one or reserved bits are set.
    pub fn parse(bytes: &[u8; TRAILER_LEN]) -> Option<Self> {
        let (head, hmac) = bytes.split_first_chunk::<HEAD_LEN>()?;
        let [HMAC_SHA256_128, key_id, 0, 0, sequence @ ..] = *head else { return None };
        Some(Self { key_id, sequence: u64::from_be_bytes(sequence), hmac: *hmac.first_chunk()? })
    }

    /// The bytes before the HMAC: type, key id and sequence.
    pub fn head(&self) -> [u8; HEAD_LEN] {
        let mut head = [0; HEAD_LEN];
        [head[0], head[1]] = [HMAC_SHA256_128, self.key_id];
        head[4..].copy_from_slice(&self.sequence.to_be_bytes());
        head
    }

    /// The bytes of the trailer.
    pub fn emit(&self) -> [u8; TRAILER_LEN] {
        let mut bytes = [0; TRAILER_LEN];
        let (head, hmac) = bytes.split_at_mut(HEAD_LEN);
        head.copy_from_slice(&self.head());
        hmac.copy_from_slice(&self.hmac);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let trailer = Trailer { key_id: 7, sequence: 0x6800_0000_8000_0003, hmac: *b"0123456789abcdef" };
        let bytes = trailer.emit();
        assert_eq!(bytes[..12], [1, 7, 0, 0, 0x68, 0, 0, 0, 0x80, 0, 0, 3]);
        assert_eq!(Trailer::parse(&bytes), Some(trailer));
    }

    #[test]
    fn malformed() {
        let right = Trailer { key_id: 1, sequence: 1, hmac: [0; 16] }.emit();
        for (at, value) in [(0, 0), (0, 2), (2, 1), (3, 1)] {
            let mut bytes = right;
            bytes[at] = value;
            assert_eq!(Trailer::parse(&bytes), None, "byte {at}");
        }
    }
}
