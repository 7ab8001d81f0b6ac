//! XDP in the driver of an interface: the generic netlink family `netdev` (Linux 6.3).
//!
//! Queries the network namespace of the thread, and needs no capability.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use super::getlink::{attribute, number};

/// `linux/genetlink.h`: the family that names the others.
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// `linux/netdev.h`.
const FAMILY: &[u8] = b"netdev\0";
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
const NETDEV_XDP_ACT_BASIC: u64 = 1;
const NETDEV_XDP_ACT_RX_SG: u64 = 1 << 5;

const NLMSG_HEADER: usize = 16;
const GENL_HEADER: usize = 4;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;

/// XDP in the driver of an interface.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DriverXdp {
    /// The driver runs programs itself: native XDP.
    pub is_native: bool,
    /// Also for frames of several buffers, which a large MTU needs.
    pub has_frags: bool,
}

impl DriverXdp {
    /// `None`: the kernel does not report it, before Linux 6.3.
    ///
    /// # Errors
    /// ENODEV: no such interface.
    pub fn of(ifindex: u32) -> io::Result<Option<Self>> {
        let name = written(CTRL_ATTR_FAMILY_NAME, FAMILY);
        let family = match query(&request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &name)) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            answer => family(&answer?).ok_or(io::ErrorKind::InvalidData)?,
        };
        let index = written(NETDEV_A_DEV_IFINDEX, &ifindex.to_ne_bytes());
        Ok(Self::parse(&query(&request(family, NETDEV_CMD_DEV_GET, &index))?))
    }

    fn parse(answer: &[u8]) -> Option<Self> {
        let features = attribute(attributes(answer)?, NETDEV_A_DEV_XDP_FEATURES)?;
        let features = u64::from_ne_bytes(*features.first_chunk()?);
        let has = |feature| features & feature != 0;
        Some(Self { is_native: has(NETDEV_XDP_ACT_BASIC), has_frags: has(NETDEV_XDP_ACT_RX_SG) })
    }
}

/// The number of a family, from the answer that names it.
fn family(answer: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(*attribute(attributes(answer)?, CTRL_ATTR_FAMILY_ID)?.first_chunk()?))
}

fn attributes(answer: &[u8]) -> Option<&[u8]> {
    answer.get(NLMSG_HEADER + GENL_HEADER..)
}

/// Sends one request and reads its answer.
fn query(request: &[u8]) -> io::Result<Vec<u8>> {
    let netlink =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkGeneric)?;
    send(netlink.as_raw_fd(), request, MsgFlags::empty())?;
    let mut bytes = vec![0; 32 * 1024];
    let length = recv(netlink.as_raw_fd(), &mut bytes, MsgFlags::empty())?;
    bytes.truncate(length);
    whole(bytes)
}

/// The answer, unless it is an error.
fn whole(answer: Vec<u8>) -> io::Result<Vec<u8>> {
    let kind = answer.get(4..).and_then(|rest| rest.first_chunk()).map(|it| u16::from_ne_bytes(*it));
    if kind != Some(NLMSG_ERROR) {
        return Ok(answer);
    }
    let code = answer.get(NLMSG_HEADER..).and_then(number).unwrap_or(0).cast_signed();
    Err(io::Error::from_raw_os_error(code.saturating_neg()))
}

fn request(family: u16, command: u8, attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(NLMSG_HEADER + GENL_HEADER + attributes.len()).unwrap_or(0);
    // Length, type, flags, sequence and port; then command, version and two reserved bytes.
    let parts: [&[u8]; 6] = [
        &length.to_ne_bytes(),
        &family.to_ne_bytes(),
        &NLM_F_REQUEST.to_ne_bytes(),
        &[0; 8],
        &[command, 1, 0, 0],
        attributes,
    ];
    parts.concat()
}

/// An attribute as the kernel reads it.
fn written(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + payload.len()).unwrap_or(0);
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), payload].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(attributes: &[Vec<u8>]) -> Vec<u8> {
        request(27, NETDEV_CMD_DEV_GET, &attributes.concat())
    }

    #[test]
    fn native_xdp_is_a_bit_of_the_features() {
        let of = |features: u64| {
            let index = written(NETDEV_A_DEV_IFINDEX, &7_u32.to_ne_bytes());
            DriverXdp::parse(&answer(&[index, written(NETDEV_A_DEV_XDP_FEATURES, &features.to_ne_bytes())]))
        };
        assert_eq!(of(0), Some(DriverXdp::default()));
        assert_eq!(of(0b1), Some(DriverXdp { is_native: true, has_frags: false }));
        assert_eq!(of(0b10_0111), Some(DriverXdp { is_native: true, has_frags: true }));
        assert_eq!(of(0b10), Some(DriverXdp::default()), "redirection alone runs no program");
    }

    #[test]
    fn an_answer_that_is_cut_or_without_features_says_nothing() {
        let whole = answer(&[written(NETDEV_A_DEV_XDP_FEATURES, &1_u64.to_ne_bytes())]);
        for length in 0..whole.len() {
            assert_eq!(DriverXdp::parse(&whole[..length]), None, "{length}");
        }
        assert_eq!(DriverXdp::parse(&answer(&[])), None);
    }

    #[test]
    fn the_family_has_the_number_of_its_answer_and_an_error_is_one() {
        let named = answer(&[
            written(CTRL_ATTR_FAMILY_NAME, FAMILY),
            written(CTRL_ATTR_FAMILY_ID, &33_u16.to_ne_bytes()),
        ]);
        assert_eq!(family(&named), Some(33));
        let mut refused = vec![0; 36];
        refused[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        refused[16..20].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
        assert_eq!(whole(refused).unwrap_err().raw_os_error(), Some(libc::ENOENT));
        assert_eq!(whole(named.clone()).unwrap(), named);
    }
}
