//! Who has the XDP hook of an interface: one RTM_GETLINK, for the message that says why the rung was not taken.

use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

const IFLA_XDP: u16 = 43;
const IFLA_XDP_PROG_ID: u16 = 4;
const NLA_TYPE_MASK: u16 = 0x3fff;
const NLMSG_HEADER: usize = 16;
const IFINFO_HEADER: usize = 16;

/// The id of the XDP program of an interface, if one is attached and the kernel tells.
pub(super) fn xdp_program(ifindex: u32) -> Option<u32> {
    let netlink =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
            .ok()?;
    send(netlink.as_raw_fd(), &request(ifindex), MsgFlags::empty()).ok()?;
    let mut reply = vec![0; 32 * 1024];
    let length = recv(netlink.as_raw_fd(), &mut reply, MsgFlags::empty()).ok()?;
    let attributes = reply.get(NLMSG_HEADER + IFINFO_HEADER..length)?;
    let id = attribute(attribute(attributes, IFLA_XDP)?, IFLA_XDP_PROG_ID)?;
    Some(u32::from_ne_bytes(*id.first_chunk()?))
}

/// RTM_GETLINK for one interface (rtnetlink(7)).
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

/// The payload of the first attribute of a type.
fn attribute(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_attribute_behind_an_odd_one() {
        let mut bytes = Vec::new();
        for (kind, payload) in [(1_u16, &b"abc"[..]), (IFLA_XDP, &b"wxyz"[..])] {
            let length = u16::try_from(4 + payload.len()).unwrap();
            bytes.extend_from_slice(&length.to_ne_bytes());
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(payload);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        assert_eq!(attribute(&bytes, IFLA_XDP), Some(&b"wxyz"[..]));
        assert_eq!(attribute(&bytes, 9), None);
        assert_eq!(attribute(&bytes[..10], IFLA_XDP), None);
    }

    #[test]
    fn an_interface_that_is_not_there_has_none() {
        assert_eq!(xdp_program(u32::MAX >> 1), None);
    }
}
