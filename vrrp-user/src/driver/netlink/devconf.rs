//! IPv4 settings of an interface by netlink (IFLA_INET_CONF).
//!
//! They work even if `/proc/sys` is read-only, as in containers.

use std::io;

use rtnetlink::packet_core::DefaultNla;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{AfSpecUnspec, LinkAttribute, LinkMessage};

use super::socket::{Request, RouteSocket};

/// IPV4_DEVCONF_* of `linux/ip.h`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub enum DevconfSetting {
    RpFilter = 8,
    ArpFilter = 13,
    ArpIgnore = 19,
    PromoteSecondaries = 20,
    AcceptLocal = 23,
}

const IFLA_INET_CONF: u16 = 1;
const AF_INET: u16 = 2;
/// Type and length before a value.
const HEAD: u16 = 4;

/// Sets these values on an interface.
///
/// # Errors
/// ENODEV: the interface is gone. EPERM without CAP_NET_ADMIN.
pub fn set(socket: &mut RouteSocket, ifindex: u32, settings: &[(DevconfSetting, u32)]) -> io::Result<()> {
    let mut refused = Ok(());
    socket.perform(vec![request(ifindex, settings)], |_, refusal| refused = Err(refusal.into()))?;
    refused
}

/// The request of [`set`].
pub fn request(ifindex: u32, settings: &[(DevconfSetting, u32)]) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = ifindex;
    let family = AfSpecUnspec::Other(DefaultNla::new(AF_INET, nested(settings)));
    message.attributes.push(LinkAttribute::AfSpecUnspec(vec![family]));
    Request { message: RouteNetlinkMessage::SetLink(message), flags: 0 }
}

/// IFLA_INET_CONF around one attribute per setting.
fn nested(settings: &[(DevconfSetting, u32)]) -> Vec<u8> {
    const ENTRY: u16 = HEAD + 4;
    let mut bytes = Vec::new();
    let head = |length: u16, kind: u16, bytes: &mut Vec<u8>| {
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
    };
    let count = u16::try_from(settings.len()).unwrap_or(0);
    head(HEAD + count.saturating_mul(ENTRY), IFLA_INET_CONF, &mut bytes);
    for (setting, value) in settings {
        head(ENTRY, *setting as u16, &mut bytes);
        bytes.extend(value.to_ne_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_laid_out_as_the_kernel_reads_them() {
        let words: Vec<u16> = nested(&[(DevconfSetting::ArpIgnore, 1), (DevconfSetting::RpFilter, 0)])
            .chunks(2)
            .map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
            .collect();
        let value = |value: u32| [value.to_ne_bytes()[..2].try_into(), value.to_ne_bytes()[2..].try_into()];
        let value = |number| value(number).map(|half| u16::from_ne_bytes(half.unwrap()));
        let expected = [&[20, 1, 8, 19][..], &value(1), &[8, 8], &value(0)].concat();
        assert_eq!(words, expected);
    }
}
