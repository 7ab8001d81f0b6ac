//! Adverts to send.

use core::fmt;
use core::net::IpAddr;

use crate::wire::address::widen;
use crate::wire::vrrp::{ADVERTISEMENT, AUTH_LEN, HEADER_LEN, INTERVAL_MAX, field, message_len};
use crate::wire::{ChecksumForm, Family, PROTOCOL, checksum, put};

/// The fields that differ between the versions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// Version 2 (RFC 3768); IPv4 only.
    V2 {
        /// The interval, 1 to 255.
        seconds: u8,
        /// Authentication.
        auth: Auth,
    },
    /// Version 3 (RFC 9568).
    V3 {
        /// Of the addresses.
        family: Family,
        /// The interval, 1 to 4095.
        centiseconds: u16,
    },
}

/// Authentication in version 2 (RFC 2338 §5.3.6).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Auth {
    /// Type 0.
    #[default]
    None,
    /// Type 1: the password in clear, padded with zeros.
    Pass([u8; AUTH_LEN]),
    /// Type 2: by the header of IPsec before the message; see [`crate::wire::ah`].
    Ah,
}

/// A legal advert, by construction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AdvertRepr<'a> {
    vrid: u8,
    priority: u8,
    dialect: Dialect,
    addresses: &'a [IpAddr],
    address_count: u8,
}

/// The rule that an advert would break.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Illegal {
    /// VRID 0; it must be 1 to 255 (RFC 9568 §5.2.3; P11).
    Vrid,
    /// Interval 0, or more than 4095 centiseconds, 12 bits (RFC 9568 §5.2.7; P18).
    Interval,
    /// More than 255 addresses, which the count cannot say (RFC 9568 §5.2.5; P16).
    AddressCount,
    /// An address of another family than the IP header (RFC 9568 §5.2.9; P23).
    AddressFamily,
}

impl<'a> AdvertRepr<'a> {
    /// Checks and makes an advert.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn new(vrid: u8, priority: u8, dialect: Dialect, addresses: &'a [IpAddr]) -> Result<Self, Illegal> {
        if vrid == 0 {
            return Err(Illegal::Vrid);
        }
        let interval = match dialect {
            Dialect::V2 { seconds, .. } => u16::from(seconds),
            Dialect::V3 { centiseconds, .. } => centiseconds,
        };
        if interval == 0 || interval > INTERVAL_MAX {
            return Err(Illegal::Interval);
        }
        let address_count = u8::try_from(addresses.len()).map_err(|_| Illegal::AddressCount)?;
        if addresses.iter().any(|address| Family::of(*address) != dialect.family()) {
            return Err(Illegal::AddressFamily);
        }
        Ok(Self { vrid, priority, dialect, addresses, address_count })
    }

    /// 1 to 255.
    pub const fn vrid(&self) -> u8 {
        self.vrid
    }

    /// 0 releases the addresses (RFC 9568 §5.2.4; P14).
    pub const fn priority(&self) -> u8 {
        self.priority
    }

    /// The fields that differ between the versions.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// In the order of the message.
    pub const fn addresses(&self) -> &'a [IpAddr] {
        self.addresses
    }

    /// Bytes of the message. May be more than a link carries: 90 IPv6 addresses fill one of 1500 bytes.
    pub const fn buffer_len(&self) -> usize {
        message_len(self.dialect.version(), self.dialect.family(), self.address_count)
    }

    /// Writes the message at the head of `buffer` and returns it; `None` if it does not fit. Its checksum is 0 until
    /// [`fill_checksum`].
    pub fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let message = buffer.get_mut(..self.buffer_len())?;
        put(message, field::VERSION_TYPE, [self.dialect.version() << 4 | ADVERTISEMENT])?;
        put(message, field::VRID, [self.vrid])?;
        put(message, field::PRIORITY, [self.priority])?;
        put(message, field::ADDRESS_COUNT, [self.address_count])?;
        put(message, field::CHECKSUM, [0; 2])?;
        let mut at = HEADER_LEN;
        for address in self.addresses {
            match address {
                IpAddr::V4(address) => put(message, at, address.octets())?,
                IpAddr::V6(address) => put(message, at, address.octets())?,
            }
            at += self.dialect.family().address_len();
        }
        match self.dialect {
            Dialect::V2 { seconds, auth } => {
                let (auth_type, auth_data) = auth.encode();
                put(message, field::AUTH_TYPE, [auth_type])?;
                put(message, field::ADVERT_INT, [seconds])?;
                put(message, at, auth_data)?;
            }
            // RFC 9568 §5.2.6: the reserved bits are 0 when sent (P17), as the interval has at most 12 bits.
            Dialect::V3 { centiseconds, .. } => {
                put(message, field::INTERVAL, centiseconds.to_be_bytes())?;
            }
        }
        Some(message)
    }
}

/// Completes an emitted message for one destination. `form` counts in version 3 over IPv4 only: version 2 has no
/// pseudo-header (RFC 3768 §5.3.8; V06), IPv6 always has one (RFC 9568 §5.2.8; P20). Without effect on a message
/// shorter than its header.
pub fn fill_checksum(message: &mut [u8], form: ChecksumForm, source: IpAddr, destination: IpAddr) {
    let is_version_2 = message.first().is_some_and(|first| first >> 4 == 2);
    let plain = is_version_2 || form == ChecksumForm::Plain && source.is_ipv4();
    let pseudo = match u16::try_from(message.len()) {
        Ok(length) if !plain => checksum::pseudo(PROTOCOL, &widen(source), &widen(destination), length),
        _ => 0,
    };
    if message.len() >= HEADER_LEN {
        checksum::fill(message, field::CHECKSUM, pseudo);
    }
}

impl Dialect {
    /// 2 or 3.
    pub const fn version(self) -> u8 {
        match self {
            Self::V2 { .. } => 2,
            Self::V3 { .. } => 3,
        }
    }

    /// Of the addresses.
    pub const fn family(self) -> Family {
        match self {
            Self::V2 { .. } => Family::V4,
            Self::V3 { family, .. } => family,
        }
    }
}

impl Auth {
    /// Type and data on the wire: zeros without authentication (RFC 3768 §5.3.10; V03, V04), for type 1 the password
    /// (RFC 2338 §5.3.10; W02).
    pub const fn encode(self) -> (u8, [u8; AUTH_LEN]) {
        match self {
            Self::None => (0, [0; AUTH_LEN]),
            Self::Pass(password) => (1, password),
            Self::Ah => (2, [0; AUTH_LEN]),
        }
    }
}

impl fmt::Display for AdvertRepr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (interval, unit) = match self.dialect {
            Dialect::V2 { seconds, .. } => (u16::from(seconds), "s"),
            Dialect::V3 { centiseconds, .. } => (centiseconds, "cs"),
        };
        let (version, count) = (self.dialect.version(), self.address_count);
        let Self { vrid, priority, .. } = self;
        write!(
            f,
            "VRRPv{version} vrid {vrid} priority {priority} interval {interval} {unit}, {count} addresses"
        )
    }
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vrid => "the VRID is 0",
            Self::Interval => "the interval is 0 or more than 4095 centiseconds",
            Self::AddressCount => "there are more than 255 addresses",
            Self::AddressFamily => "an address is of the other family",
        })
    }
}

impl core::error::Error for Illegal {}
