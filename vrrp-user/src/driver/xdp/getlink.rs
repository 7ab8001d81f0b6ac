//! The kernel's description of one interface: the answer to RTM_GETLINK (rtnetlink(7)).
//!
//! Queries the network namespace of the thread, whatever `/sys` shows.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

const NLA_TYPE_MASK: u16 = 0x3fff;
const NLMSG_HEADER: usize = 16;
const IFINFO_HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;

/// A message about an interface.
#[derive(Debug)]
pub(super) struct Description {
    bytes: Vec<u8>,
}

impl Description {
    /// # Errors
    /// ENODEV: no such interface.
    pub(super) fn of(ifindex: u32) -> io::Result<Self> {
        let netlink = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        send(netlink.as_raw_fd(), &request(ifindex), MsgFlags::empty())?;
        let mut bytes = vec![0; 32 * 1024];
        let length = recv(netlink.as_raw_fd(), &mut bytes, MsgFlags::empty())?;
        bytes.truncate(length);
        Self::parse(bytes)
    }

    pub(super) fn parse(bytes: Vec<u8>) -> io::Result<Self> {
        let kind = bytes.get(4..).and_then(|rest| rest.first_chunk()).map(|it| u16::from_ne_bytes(*it));
        match kind {
            Some(libc::RTM_NEWLINK) if bytes.len() >= NLMSG_HEADER + IFINFO_HEADER => Ok(Self { bytes }),
            Some(NLMSG_ERROR) => {
                let code = bytes.get(NLMSG_HEADER..).and_then(|rest| rest.first_chunk());
                let code = code.map_or(0, |code| i32::from_ne_bytes(*code));
                Err(io::Error::from_raw_os_error(code.saturating_neg()))
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// `ARPHRD_*`.
    pub(super) fn kind(&self) -> u16 {
        let kind = self.bytes.get(NLMSG_HEADER + 2..).and_then(|rest| rest.first_chunk());
        kind.map_or(0, |kind| u16::from_ne_bytes(*kind))
    }

    /// `IFF_*`.
    pub(super) fn flags(&self) -> u32 {
        let flags = self.bytes.get(NLMSG_HEADER + 8..).and_then(|rest| rest.first_chunk());
        flags.map_or(0, |flags| u32::from_ne_bytes(*flags))
    }

    pub(super) fn attribute(&self, kind: u16) -> Option<&[u8]> {
        attribute(self.bytes.get(NLMSG_HEADER + IFINFO_HEADER..)?, kind)
    }

    pub(super) fn number(&self, kind: u16) -> Option<u32> {
        number(self.attribute(kind)?)
    }
}

/// The payload of the first attribute of a type.
pub(super) fn attribute(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        let payload = rest.get(4..length)?;
        if kind & NLA_TYPE_MASK == wanted {
            return Some(payload);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

pub(super) fn number(payload: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*payload.first_chunk()?))
}

fn request(ifindex: u32) -> [u8; NLMSG_HEADER + IFINFO_HEADER] {
    const LENGTH: u32 = 32;
    const _: () = assert!(LENGTH as usize == NLMSG_HEADER + IFINFO_HEADER);
    const NLM_F_REQUEST: u16 = 1;
    let mut bytes = [0; NLMSG_HEADER + IFINFO_HEADER];
    let fields: [(usize, &[u8]); 4] = [
        (0, &LENGTH.to_ne_bytes()),
        (4, &libc::RTM_GETLINK.to_ne_bytes()),
        (6, &NLM_F_REQUEST.to_ne_bytes()),
        (NLMSG_HEADER + 4, &ifindex.to_ne_bytes()),
    ];
    for (at, field) in fields {
        if let Some(place) = bytes.get_mut(at..at + field.len()) {
            place.copy_from_slice(field);
        }
    }
    bytes
}

/// An attribute as the kernel writes it.
#[cfg(test)]
pub(super) fn written(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + payload.len()).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_attribute_behind_an_odd_one() {
        let bytes = [written(1, b"abc"), written(43, b"wxyz")].concat();
        assert_eq!(attribute(&bytes, 43), Some(&b"wxyz"[..]));
        assert_eq!(attribute(&bytes, 9), None);
        assert_eq!(attribute(&bytes[..10], 43), None);
    }

    #[test]
    fn an_interface_that_is_not_there_is_reported() {
        let error = Description::of(u32::MAX >> 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn what_is_no_description_is_none() {
        for bytes in [vec![], vec![0; 15], vec![0; 32]] {
            assert_eq!(Description::parse(bytes).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
