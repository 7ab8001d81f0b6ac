//! Adverts apart from their bytes: protocol number, family, form of the checksum, and the fields that the maps keep.

/// Longest VRRP message that the maps hold, bytes. 255 IPv4 addresses need 1036 bytes; more than 90 IPv6 addresses do
/// not fit a 1500-byte link.
pub const PAYLOAD_MAX: usize = 1480;

/// IP protocol number of VRRP.
pub const PROTOCOL: u8 = 112;

/// Family of an instance's addresses, and of the IP header of its adverts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Family {
    /// IPv4.
    V4 = 4,
    /// IPv6.
    V6 = 6,
}

/// Coverage of an advert's checksum (RFC 9568 §5.2.8).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
pub enum ChecksumForm {
    /// Pseudo-header and message: RFC 5798, keepalived and FRR by default; the only form over IPv6.
    #[default]
    Pseudo = 0,
    /// The message alone: version 2, and version 3 over IPv4 according to RFC 9568.
    Plain = 1,
}

impl ChecksumForm {
    /// From the number in map records.
    pub const fn of(number: u8) -> Self {
        if number == Self::Plain as u8 { Self::Plain } else { Self::Pseudo }
    }
}

/// The fields of a valid advert that the maps keep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AdvertInfo {
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
    /// As advertised: centiseconds in version 3, seconds in version 2.
    pub interval: u16,
    /// 2 or 3.
    pub version: u8,
    /// 1 to 255.
    pub vrid: u8,
    /// 0 releases the addresses.
    pub priority: u8,
    /// As advertised.
    pub address_count: u8,
}

impl AdvertInfo {
    /// The fields but source and VRID, which the headers contain, and the form of the checksum: one word, which a BPF
    /// function can pass to the next. Never 0, because the interval of a valid advert is not 0.
    #[inline(always)]
    pub const fn to_bits(self, checksum: ChecksumForm) -> u64 {
        let [high, low] = self.interval.to_be_bytes();
        let (version, priority, count) = (self.version, self.priority, self.address_count);
        u64::from_be_bytes([0, 0, checksum as u8, version, priority, count, high, low])
    }

    /// The reverse of [`Self::to_bits`].
    #[inline(always)]
    pub const fn of_bits(bits: u64, source: [u8; 16], vrid: u8) -> (Self, ChecksumForm) {
        let [_, _, checksum, version, priority, address_count, high, low] = bits.to_be_bytes();
        let interval = u16::from_be_bytes([high, low]);
        let info = Self { source, interval, version, vrid, priority, address_count };
        (info, ChecksumForm::of(checksum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sighting_is_what_its_bits_say() {
        let info = AdvertInfo {
            source: [7; 16],
            interval: 0x0102,
            version: 3,
            vrid: 51,
            priority: 254,
            address_count: 20,
        };
        for form in [ChecksumForm::Pseudo, ChecksumForm::Plain] {
            let bits = info.to_bits(form);
            assert_eq!(AdvertInfo::of_bits(bits, info.source, info.vrid), (info, form));
        }
        let least = AdvertInfo { interval: 1, version: 0, priority: 0, address_count: 0, ..info };
        assert_ne!(least.to_bits(ChecksumForm::Pseudo), 0);
    }
}
