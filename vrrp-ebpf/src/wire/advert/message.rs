//! Whole messages: read by their meaning, written as we send them.

use core::net::IpAddr;

use super::super::vrrp::{self, Header, field};
use super::super::{ChecksumForm, Family, Octets, PROTOCOL, Reject, checksum, put};

/// A message whose form was judged.
#[derive(Clone, Copy, Debug)]
pub struct Advert<'a> {
    header: Header,
    family: Family,
    message: &'a [u8],
}

impl<'a> Advert<'a> {
    /// # Errors
    /// [`Reject::Truncated`] below eight bytes, [`Reject::Length`] where the address count says another length.
    pub fn parse(message: &'a [u8], family: Family) -> Result<Self, Reject> {
        let header = Header(Octets::get(message, 0).ok_or(Reject::Truncated)?);
        if header.message_len(family) != message.len() {
            return Err(Reject::Length);
        }
        Ok(Self { header, family, message })
    }

    pub fn version(&self) -> u8 {
        self.header.version()
    }

    pub fn vrid(&self) -> u8 {
        self.header.vrid()
    }

    pub fn priority(&self) -> u8 {
        self.header.priority()
    }

    /// Centiseconds in version 3, seconds in version 2.
    pub fn interval(&self) -> u16 {
        self.header.interval()
    }

    pub fn address_count(&self) -> u8 {
        self.header.address_count()
    }

    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let (message, family) = (self.message, self.family);
        (0..usize::from(self.address_count())).filter_map(move |index| match family {
            Family::V4 => Octets::get::<4>(message, vrrp::HEADER_LEN + 4 * index).map(IpAddr::from),
            Family::V6 => Octets::get::<16>(message, vrrp::HEADER_LEN + 16 * index).map(IpAddr::from),
        })
    }
}

/// Changes the priority of a message. Its checksum is to be filled in afterwards.
pub fn set_priority(message: &mut [u8], priority: u8) {
    let _ = put(message, field::PRIORITY, [priority]);
}

/// Fills in the checksum that a message needs between two addresses. Version 2 has the plain form whatever is asked
/// for, and IPv6 that with the pseudo-header.
pub fn fill_checksum(message: &mut [u8], form: ChecksumForm, source: IpAddr, destination: IpAddr) {
    let version = message.first().map_or(0, |byte| byte >> 4);
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let pseudo = || checksum::pseudo(PROTOCOL, &octets(source), &octets(destination), length);
    let extra = match (source, version, form) {
        (IpAddr::V4(_), 2, _) | (IpAddr::V4(_), _, ChecksumForm::Plain) => 0,
        _ => pseudo(),
    };
    let _ = checksum::fill(message, field::CHECKSUM, extra);
}

/// IPv4 in the first four bytes.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// keepalived's message for VRID 51, priority 200, from 198.51.100.10: the sum covers the message alone.
    const KEEPALIVED: [u8; 12] = [0x31, 0x33, 0xc8, 0x01, 0x00, 0x64, 0x44, 0x02, 0xc0, 0x00, 0x02, 0x64];

    #[test]
    fn parse() {
        let advert = Advert::parse(&KEEPALIVED, Family::V4).unwrap();
        assert_eq!(
            (advert.version(), advert.vrid(), advert.priority(), advert.interval()),
            (3, 51, 200, 100)
        );
        assert_eq!(advert.addresses().collect::<Vec<_>>(), [IpAddr::from([192, 0, 2, 100])]);
        assert_eq!(Advert::parse(&KEEPALIVED[..11], Family::V4).err(), Some(Reject::Length));
        assert_eq!(Advert::parse(&KEEPALIVED[..7], Family::V4).err(), Some(Reject::Truncated));
    }

    #[test]
    fn the_checksum_follows_the_form_and_the_addresses() {
        let (source, group) = (IpAddr::from([198, 51, 100, 10]), IpAddr::from([224, 0, 0, 18]));
        let mut message = KEEPALIVED;
        fill_checksum(&mut message, ChecksumForm::Plain, source, group);
        let plain = message;
        fill_checksum(&mut message, ChecksumForm::Pseudo, source, group);
        assert_ne!(plain, message);
        assert!(plain == KEEPALIVED || message == KEEPALIVED, "{plain:02x?} {message:02x?}");
        set_priority(&mut message, 0);
        assert_eq!(Advert::parse(&message, Family::V4).map(|advert| advert.priority()), Ok(0));
    }
}
