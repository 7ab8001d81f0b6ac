//! Received messages in full; a [`crate::wire::AdvertInfo`] has only some of the fields.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::slice::ChunksExact;

use super::judge::{check_layout, check_version};
use super::{AdvertRepr, Auth, Dialect};
use crate::wire::vrrp::{AUTH_LEN, HEADER_LEN, Header};
use crate::wire::{ByteAccess, Family, Reject};

/// A well-formed message: it has passed every check that needs neither the IP header nor the instance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Advert<'a> {
    header: Header,
    family: Family,
    addresses: &'a [u8],
    auth_data: [u8; AUTH_LEN],
}

impl<'a> Advert<'a> {
    /// Reads a message. `family` is that of the IP header, which the addresses share (RFC 9568 §5.2.9; P23). The
    /// checksum is not verified.
    ///
    /// # Errors
    /// Those of [`super::judge()`], in its order, as far as the message alone shows them.
    pub fn parse(message: &'a [u8], family: Family) -> Result<Self, Reject> {
        let header = Header(ByteAccess::get(message, 0).ok_or(Reject::Truncated)?);
        check_version(header, family, message.len())?;
        // Whether it may have no address depends on the instance, which has been checked before.
        check_layout(header, family, message.len(), true)?;
        if header.interval() == 0 {
            return Err(Reject::IntervalZero);
        }
        let behind = message.get(HEADER_LEN..).ok_or(Reject::Truncated)?;
        let (addresses, auth_data) = match header.version() {
            2 => behind.split_last_chunk::<AUTH_LEN>().ok_or(Reject::Truncated)?,
            _ => (behind, &[0; AUTH_LEN]),
        };
        Ok(Self { header, family, addresses, auth_data: *auth_data })
    }

    /// 2 or 3.
    pub const fn version(&self) -> u8 {
        self.header.version()
    }

    /// Of the addresses, and of the IP header.
    pub const fn family(&self) -> Family {
        self.family
    }

    /// As advertised.
    pub const fn vrid(&self) -> u8 {
        self.header.vrid()
    }

    /// 0 releases the addresses.
    pub const fn priority(&self) -> u8 {
        self.header.priority()
    }

    /// As advertised: centiseconds in version 3, seconds in version 2. Never 0.
    pub const fn interval(&self) -> u16 {
        self.header.interval()
    }

    /// 0 if the sender advertises no address.
    pub const fn address_count(&self) -> u8 {
        self.header.address_count()
    }

    /// In the order of the message.
    pub fn addresses(&self) -> Addresses<'a> {
        match self.family {
            Family::V4 => Addresses(self.addresses.chunks_exact(4)),
            Family::V6 => Addresses(self.addresses.chunks_exact(16)),
        }
    }

    /// 0 in version 3.
    pub const fn auth_type(&self) -> u8 {
        match self.version() {
            2 => self.header.auth_type(),
            _ => 0,
        }
    }

    /// Zeros in version 3. Without authentication (`auth_type` 0) the receiver ignores it (RFC 3768 §5.3.10; V04).
    pub const fn auth_data(&self) -> [u8; AUTH_LEN] {
        self.auth_data
    }

    /// The same advert as we would write it; `addresses` must be its own. `None` if we do not write it: the VRID is 0,
    /// or the authentication has another type than 0 and 1.
    pub fn to_repr<'b>(&self, addresses: &'b [IpAddr]) -> Option<AdvertRepr<'b>> {
        let dialect = match (self.version(), self.auth_type()) {
            (2, 0) => Dialect::V2 { seconds: u8::try_from(self.interval()).ok()?, auth: Auth::None },
            (2, 1) => {
                Dialect::V2 { seconds: u8::try_from(self.interval()).ok()?, auth: Auth::Pass(self.auth_data) }
            }
            (3, _) => Dialect::V3 { family: self.family, centiseconds: self.interval() },
            _ => return None,
        };
        AdvertRepr::new(self.vrid(), self.priority(), dialect, addresses).ok()
    }
}

/// The addresses of an [`Advert`].
#[derive(Clone, Debug)]
pub struct Addresses<'a>(ChunksExact<'a, u8>);

impl Iterator for Addresses<'_> {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        let bytes = self.0.next()?;
        match bytes.first_chunk::<16>() {
            Some(bytes) => Some(IpAddr::V6(Ipv6Addr::from(*bytes))),
            None => bytes.first_chunk::<4>().map(|bytes| IpAddr::V4(Ipv4Addr::from(*bytes))),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Addresses<'_> {}

impl fmt::Display for Advert<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.version() == 2 { "s" } else { "cs" };
        write!(
            f,
            "VRRPv{} vrid {} priority {} interval {} {unit}, addresses",
            self.version(),
            self.vrid(),
            self.priority(),
            self.interval()
        )?;
        for (index, address) in self.addresses().enumerate() {
            f.write_str(if index == 0 { " " } else { ", " })?;
            write!(f, "{address}")?;
        }
        Ok(())
    }
}
