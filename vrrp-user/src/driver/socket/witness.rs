//! A socket for VRRP as any other program of this host would have: it hears what comes through to the host's own stack.
//!
//! Enters: an interface and a family. Leaves: who was heard since the last time. Absent: validity, as only what the
//! program has let through comes here; the authentication header of version 2, which is another protocol to the kernel;
//! what the program does not read, such as fragments, by which anybody could say that it hears less than sockets do.
//! A raw socket costs other traffic nothing, where a packet socket is asked about each frame.

use std::collections::BTreeSet;
use std::io;
use std::mem::zeroed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use libc::c_int;
use vrrp_ebpf::wire::{Family, PROTOCOL, ipv4};

use super::option::{set, set_buffer, socket};

/// Of some forty adverts, each for as much as its buffer takes: who hears these hears the rest.
const RECEIVE_BUFFER: c_int = 16 << 10;
/// Packets read at once: more than the buffer holds.
const DRAIN_MAX: usize = 64;
/// The longest IPv4 header, and the first words of the message.
const HEAD: usize = 64;
/// SO_MEMINFO of socket(7) as an array of words (Linux 4.12), and the place of the losses in it.
const SO_MEMINFO: c_int = 55;
const MEMINFO_WORDS: usize = 9;
const MEMINFO_DROPS: usize = 8;
/// Tell of a packet that it came in fragments (Linux 4.10), and what stood between IP and VRRP.
const TELLING_V4: [c_int; 1] = [IP_RECVFRAGSIZE];
const TELLING_V6: [c_int; 4] =
    [IPV6_RECVFRAGSIZE, libc::IPV6_RECVHOPOPTS, libc::IPV6_RECVRTHDR, libc::IPV6_RECVDSTOPTS];
const IP_RECVFRAGSIZE: c_int = 25;
const IPV6_RECVFRAGSIZE: c_int = 77;
/// That something was told counts, and not what.
const CONTROL_WORDS: usize = 8;

#[derive(Debug)]
pub struct Witness {
    socket: OwnedFd,
    family: Family,
    drops: u32,
}

#[derive(Debug)]
struct Received {
    /// Of what is in the buffer.
    length: usize,
    source: Option<IpAddr>,
    /// In one piece, and VRRP follows IP.
    is_plain: bool,
}

/// What a witness has heard since it was asked last.
#[derive(Debug, Default)]
pub struct Testimony {
    heard: BTreeSet<(u8, IpAddr)>,
    /// There was more than it could keep.
    pub is_partial: bool,
}

impl Testimony {
    /// Whether adverts of this VRID came from anybody but `own`.
    pub fn has_heard(&self, vrid: u8, own: Option<IpAddr>) -> bool {
        self.heard.iter().any(|(heard, source)| *heard == vrid && Some(*source) != own)
    }
}

impl Witness {
    /// # Errors
    /// The interface is gone, the kernel lacks the family or binding to an index (Linux 5.0), or CAP_NET_RAW is
    /// missing.
    pub fn open(family: Family, ifindex: u32) -> io::Result<Self> {
        let (domain, level, telling): (_, _, &[c_int]) = match family {
            Family::V4 => (libc::AF_INET, libc::IPPROTO_IP, &TELLING_V4),
            Family::V6 => (libc::AF_INET6, libc::IPPROTO_IPV6, &TELLING_V6),
        };
        let socket = socket(domain, libc::SOCK_RAW, PROTOCOL.into())?;
        let index = c_int::try_from(ifindex).map_err(|_| io::ErrorKind::InvalidInput)?;
        set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, index)?;
        telling.iter().try_for_each(|option| set(socket.as_fd(), level, *option, 1_i32))?;
        set_buffer(socket.as_fd(), libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER)?;
        let mut this = Self { socket, family, drops: 0 };
        // Until it was bound it heard all interfaces.
        this.take()?;
        Ok(this)
    }

    /// Empties the queue, without waiting.
    ///
    /// # Errors
    /// The kernel's, once for each: ENETDOWN.
    pub fn take(&mut self) -> io::Result<Testimony> {
        let mut heard = BTreeSet::new();
        let is_left = self.drain(|vrid, source| {
            heard.insert((vrid, source));
        })?;
        let drops = self.drops()?;
        let is_partial = std::mem::replace(&mut self.drops, drops) != drops || is_left;
        Ok(Testimony { heard, is_partial })
    }

    /// Empties the queue, without waiting, and tells VRID and source of each advert. Returns whether there is more: in
    /// a flood others come while it reads.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn drain(&mut self, mut tell: impl FnMut(u8, IpAddr)) -> io::Result<bool> {
        let mut bytes = [0; HEAD];
        for _ in 0..DRAIN_MAX {
            let Some(Received { length, source, is_plain }) = self.receive(&mut bytes)? else {
                return Ok(false);
            };
            let packet = bytes.get(..length).unwrap_or_default();
            if let (true, Some(vrid), Some(source)) = (is_plain, vrid(self.family, packet), source) {
                tell(vrid, source);
            }
        }
        Ok(true)
    }

    /// The next packet. `None`: there is none.
    fn receive(&self, bytes: &mut [u8; HEAD]) -> io::Result<Option<Received>> {
        // SAFETY: an address of zeros is valid, and so is a header without buffers.
        let (mut name, mut header): (libc::sockaddr_in6, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
        let mut control = [0_u64; CONTROL_WORDS];
        let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: HEAD };
        (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
        header.msg_name = (&raw mut name).cast();
        header.msg_namelen = libc::socklen_t::try_from(size_of_val(&name)).unwrap_or(0);
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control);
        // SAFETY: all buffers live across the call with the lengths told; that of the name holds either family.
        let received = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
        let Ok(length) = usize::try_from(received) else {
            let error = io::Error::last_os_error();
            let is_empty = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
            return if is_empty { Ok(None) } else { Err(error) };
        };
        let source = match self.family {
            Family::V4 => {
                let source = bytes.get(12..).and_then(|rest| rest.first_chunk::<4>());
                source.map(|source| Ipv4Addr::from(*source).into())
            }
            Family::V6 => Some(Ipv6Addr::from(name.sin6_addr.s6_addr).into()),
        };
        Ok(Some(Received { length: length.min(HEAD), source, is_plain: header.msg_controllen == 0 }))
    }

    /// Packets for which there was no room.
    fn drops(&self) -> io::Result<u32> {
        let mut words = [0_u32; MEMINFO_WORDS];
        let mut length = libc::socklen_t::try_from(size_of_val(&words)).unwrap_or(0);
        // SAFETY: the words live across the call and are `length` bytes long.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_MEMINFO,
                words.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if result == 0 {
            Ok(words.get(MEMINFO_DROPS).copied().unwrap_or(0))
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

/// Raw sockets get the IP header with IPv4, and without it with IPv6 (raw(7), ipv6(7)).
fn vrid(family: Family, packet: &[u8]) -> Option<u8> {
    let at = match family {
        Family::V4 => usize::from(packet.first()? & 0x0f) * 4,
        Family::V6 => 0,
    };
    if family == Family::V4 && at < ipv4::HEADER_LEN {
        return None;
    }
    packet.get(at + 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vrid_stands_behind_the_header() {
        let mut packet = [0; 64];
        (packet[0], packet[21], packet[25]) = (0x45, 51, 52);
        assert_eq!(vrid(Family::V4, &packet), Some(51));
        packet[0] = 0x46;
        assert_eq!(vrid(Family::V4, &packet), Some(52));
        packet[0] = 0x41;
        assert_eq!(vrid(Family::V4, &packet), None);
        assert_eq!(vrid(Family::V4, &[0x45]), None);
        assert_eq!(vrid(Family::V6, &[0x31, 53]), Some(53));
    }

    #[test]
    fn own_adverts_are_nobody_elses() {
        let (own, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let testimony = Testimony { heard: [(51, own), (52, other)].into(), is_partial: false };
        assert!(!testimony.has_heard(51, Some(own)));
        assert!(testimony.has_heard(51, None) && testimony.has_heard(52, Some(own)));
        assert!(!testimony.has_heard(53, None));
    }
}
