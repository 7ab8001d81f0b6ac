//! A socket for VRRP as any other program of this host would have: it hears what comes through to the host's own stack.
//!
//! Enters: an interface and a family. Leaves: who was heard since the last time. Absent: validity, as only what the
//! program has let through comes here; the authentication header of version 2, which is another protocol to the kernel.
//! A raw socket costs other traffic nothing, where a packet socket is asked about each frame.

use std::collections::BTreeSet;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use libc::c_int;
use vrrp_ebpf::wire::{Family, PROTOCOL, ipv4};

use super::option::{set, set_buffer, socket};

/// Of some forty adverts, each for as much as its buffer takes: who hears these hears the rest.
const RECEIVE_BUFFER: c_int = 16 << 10;
/// The longest IPv4 header, and the first words of the message.
const HEAD: usize = 64;
/// SO_MEMINFO of socket(7) as an array of words (Linux 4.12), and the place of the losses in it.
const SO_MEMINFO: c_int = 55;
const MEMINFO_WORDS: usize = 9;
const MEMINFO_DROPS: usize = 8;

#[derive(Debug)]
pub struct Witness {
    socket: OwnedFd,
    family: Family,
    drops: u32,
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
        let domain = match family {
            Family::V4 => libc::AF_INET,
            Family::V6 => libc::AF_INET6,
        };
        let socket = socket(domain, libc::SOCK_RAW, PROTOCOL.into())?;
        let index = c_int::try_from(ifindex).map_err(|_| io::ErrorKind::InvalidInput)?;
        set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, index)?;
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
        let mut bytes = [0; HEAD];
        while let Some((length, source)) = self.receive(&mut bytes)? {
            let packet = bytes.get(..length.min(HEAD)).unwrap_or_default();
            let vrid = vrid(self.family, packet);
            heard.extend(vrid.zip(source));
        }
        let drops = self.drops()?;
        let is_partial = std::mem::replace(&mut self.drops, drops) != drops;
        Ok(Testimony { heard, is_partial })
    }

    /// The next packet's length and its source. `None`: there is none.
    fn receive(&self, bytes: &mut [u8; HEAD]) -> io::Result<Option<(usize, Option<IpAddr>)>> {
        // SAFETY: an address of zeros is valid.
        let mut name: libc::sockaddr_in6 = unsafe { zeroed() };
        let mut length = libc::socklen_t::try_from(size_of::<libc::sockaddr_in6>()).unwrap_or(0);
        // SAFETY: both buffers live across the call with the lengths told; that of the name holds either family.
        let received = unsafe {
            libc::recvfrom(
                self.socket.as_raw_fd(),
                bytes.as_mut_ptr().cast(),
                HEAD,
                libc::MSG_DONTWAIT,
                (&raw mut name).cast(),
                &raw mut length,
            )
        };
        let Ok(received) = usize::try_from(received) else {
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
        Ok(Some((received, source)))
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
