//! Reference sockets: adverts as received by any other program of this host.
//!
//! Enters: an interface and a family. Leaves: the adverts heard since the last call. Absent: validity, as only packets
//! that the program has passed arrive here; the authentication header of version 2, which is another protocol to the
//! kernel; packets that the program does not read, for example fragments and those to no address of this host, with
//! which any host could fake a program that hears less than sockets do. A raw socket costs other traffic nothing; a
//! packet socket would see each frame.

use std::collections::BTreeSet;
use std::io;
use std::mem::zeroed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::null_mut;

use libc::c_int;
use vrrp_ebpf::map::LocalKey;
use vrrp_ebpf::wire::address::widen;
use vrrp_ebpf::wire::{Family, PROTOCOL, ipv4};

use super::option::{set, set_buffer, socket};
use crate::driver::locals::Locals;

/// Room for some forty adverts, each charged for its whole buffer. They suffice to show that the socket receives.
const RECEIVE_BUFFER: c_int = 16 << 10;
/// Packets read at once, and how often: more in all than the buffer holds.
const BATCH: usize = 16;
const BATCHES: usize = 4;
/// Room for the longest IPv4 header and the first words of the message.
const HEAD: usize = 64;
/// SO_MEMINFO of socket(7) as an array of words (Linux 4.12), and the index of its drop counter.
const SO_MEMINFO: c_int = 55;
const MEMINFO_WORDS: usize = 9;
const MEMINFO_DROPS: usize = 8;
/// Options that report that a packet was fragmented (Linux 4.10), and the headers between IP and VRRP.
const REQUESTED_V4: [c_int; 1] = [IP_RECVFRAGSIZE];
const REQUESTED_V6: [c_int; 4] =
    [IPV6_RECVFRAGSIZE, libc::IPV6_RECVHOPOPTS, libc::IPV6_RECVRTHDR, libc::IPV6_RECVDSTOPTS];
const IP_RECVFRAGSIZE: c_int = 25;
const IPV6_RECVFRAGSIZE: c_int = 77;
/// Reports the destination of an IPv6 packet. Of the other reports only the presence matters, not the content.
const DESTINATION: c_int = libc::IPV6_RECVPKTINFO;
const CONTROL_WORDS: usize = 16;

#[derive(Debug)]
pub struct ReferenceSocket {
    socket: OwnedFd,
    family: Family,
    ifindex: u32,
    drops: u32,
}

/// Room for one packet.
struct Room {
    bytes: [u8; HEAD],
    /// The kernel fills that of either family.
    name: libc::sockaddr_in6,
    control: [u64; CONTROL_WORDS],
}

/// An advert received by a socket.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct HeardVrid {
    pub vrid: u8,
    pub source: IpAddr,
    pub destination: IpAddr,
}

impl HeardVrid {
    /// Whether the program judges it too: sockets also receive broadcasts to a subnet, packets to an anycast address,
    /// and those to an address that is only this host's by a route.
    fn is_to_us(&self, ifindex: u32, locals: &Locals) -> bool {
        let (family, destination) = (Family::of(self.destination), widen(self.destination));
        self.destination.is_multicast()
            || locals.contains(&LocalKey::of_address(ifindex, family, destination))
    }
}

/// The adverts that a reference socket has received since the last call.
#[derive(Debug, Default)]
pub struct HeardVrids {
    heard: BTreeSet<HeardVrid>,
    /// There were more than it could keep.
    pub is_partial: bool,
}

impl HeardVrids {
    /// Whether adverts of this VRID came from a source other than `own`.
    pub fn has_heard(&self, vrid: u8, own: Option<IpAddr>) -> bool {
        let lowest = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let from = HeardVrid { vrid, source: lowest, destination: lowest };
        let of_vrid = self.heard.range(from..).take_while(|heard| heard.vrid == vrid);
        of_vrid.map(|heard| Some(heard.source)).any(|source| source != own)
    }
}

impl ReferenceSocket {
    /// # Errors
    /// The interface is gone, the kernel lacks the family or binding to an index (Linux 5.0), or CAP_NET_RAW is
    /// missing.
    pub fn open(family: Family, ifindex: u32) -> io::Result<Self> {
        let (domain, level, requested): (_, _, &[c_int]) = match family {
            Family::V4 => (libc::AF_INET, libc::IPPROTO_IP, &REQUESTED_V4),
            Family::V6 => (libc::AF_INET6, libc::IPPROTO_IPV6, &REQUESTED_V6),
        };
        let socket = socket(domain, libc::SOCK_RAW, PROTOCOL.into())?;
        let index = c_int::try_from(ifindex).map_err(|_| io::ErrorKind::InvalidInput)?;
        set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, index)?;
        if family == Family::V6 {
            set(socket.as_fd(), level, DESTINATION, 1_i32)?;
        }
        requested.iter().try_for_each(|option| set(socket.as_fd(), level, *option, 1_i32))?;
        set_buffer(socket.as_fd(), libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER)?;
        let mut this = Self { socket, family, ifindex, drops: 0 };
        // Until it was bound, it received from all interfaces.
        this.take(&Locals::default())?;
        Ok(this)
    }

    /// Empties the queue without blocking. `locals` are the addresses of this host.
    ///
    /// # Errors
    /// Pending socket errors, each once: ENETDOWN.
    pub fn take(&mut self, locals: &Locals) -> io::Result<HeardVrids> {
        let mut heard = BTreeSet::new();
        let is_left = self.drain(locals, |advert| {
            heard.insert(advert);
        })?;
        let drops = self.drops()?;
        let is_partial = std::mem::replace(&mut self.drops, drops) != drops || is_left;
        Ok(HeardVrids { heard, is_partial })
    }

    /// Empties the queue without blocking and calls `report` for each advert that the program judges too. Returns
    /// whether more packets are queued: in a flood others arrive meanwhile.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn drain(&mut self, locals: &Locals, mut report: impl FnMut(HeardVrid)) -> io::Result<bool> {
        // SAFETY: numbers, and pointers that are null.
        let mut rooms: [Room; BATCH] = unsafe { zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        for _ in 0..BATCHES {
            let count = self.receive(&mut rooms, &mut headers)?;
            for (room, header) in rooms.iter().zip(&headers).take(count) {
                self.heard(room, header).filter(|it| it.is_to_us(self.ifindex, locals)).map(&mut report);
            }
            if count < BATCH {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The next packets; returns their number.
    fn receive(&self, rooms: &mut [Room; BATCH], headers: &mut [libc::mmsghdr; BATCH]) -> io::Result<usize> {
        let mut parts = [libc::iovec { iov_base: null_mut(), iov_len: HEAD }; BATCH];
        for ((room, header), part) in rooms.iter_mut().zip(&mut *headers).zip(&mut parts) {
            part.iov_base = room.bytes.as_mut_ptr().cast();
            let header = &mut header.msg_hdr;
            (header.msg_iov, header.msg_iovlen) = (&raw mut *part, 1);
            header.msg_name = (&raw mut room.name).cast();
            header.msg_namelen = libc::socklen_t::try_from(size_of_val(&room.name)).unwrap_or(0);
            header.msg_control = room.control.as_mut_ptr().cast();
            header.msg_controllen = size_of_val(&room.control);
        }
        let (socket, most) = (self.socket.as_raw_fd(), u32::try_from(BATCH).unwrap_or(0));
        // SAFETY: as many headers exist, and their buffers live across the call with the given lengths.
        let count =
            unsafe { libc::recvmmsg(socket, headers.as_mut_ptr(), most, libc::MSG_DONTWAIT, null_mut()) };
        usize::try_from(count).or_else(|_| match io::Error::last_os_error() {
            error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            error => Err(error),
        })
    }

    /// The advert of a packet, if it was not fragmented, and VRRP directly follows IP.
    fn heard(&self, room: &Room, header: &libc::mmsghdr) -> Option<HeardVrid> {
        let length = usize::try_from(header.msg_len).unwrap_or(HEAD).min(HEAD);
        let (source, destination, is_plain) = match self.family {
            Family::V4 => {
                let address = |at: usize| -> Option<IpAddr> {
                    let octets = room.bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
                    octets.map(|octets| Ipv4Addr::from(*octets).into())
                };
                (address(12)?, address(16)?, header.msg_hdr.msg_controllen == 0)
            }
            Family::V6 => {
                let (destination, is_plain) = ancillary_of_ipv6(&header.msg_hdr);
                (Ipv6Addr::from(room.name.sin6_addr.s6_addr).into(), destination?, is_plain)
            }
        };
        let vrid = vrid(self.family, room.bytes.get(..length)?)?;
        is_plain.then_some(HeardVrid { vrid, source, destination })
    }

    /// Number of packets dropped for lack of room.
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

/// The destination of the packet, and whether the kernel reported nothing else about it.
fn ancillary_of_ipv6(header: &libc::msghdr) -> (Option<IpAddr>, bool) {
    let (mut destination, mut is_plain) = (None, true);
    // SAFETY: the kernel has filled the header in; its control buffer is alive and aligned.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: as above; null at the end.
    while let Some(control) = unsafe { next.as_ref() } {
        let is_whole = control.cmsg_len >= size_of::<libc::cmsghdr>() + size_of::<libc::in6_pktinfo>();
        if (control.cmsg_level, control.cmsg_type) == (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) && is_whole {
            // SAFETY: a message of this type holds this structure, and its length agrees.
            let info = unsafe { libc::CMSG_DATA(control).cast::<libc::in6_pktinfo>().read_unaligned() };
            destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
        } else {
            is_plain = false;
        }
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(header, control) };
    }
    (destination, is_plain)
}

/// Raw sockets receive the IP header with IPv4, but not with IPv6 (raw(7), ipv6(7)).
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
    fn own_adverts_are_those_of_no_other_router() {
        let (own, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let destination = IpAddr::from([224, 0, 0, 18]);
        let heard = [(51, own), (52, other)].map(|(vrid, source)| HeardVrid { vrid, source, destination });
        let heard_vrids = HeardVrids { heard: heard.into(), is_partial: false };
        assert!(!heard_vrids.has_heard(51, Some(own)));
        assert!(heard_vrids.has_heard(51, None) && heard_vrids.has_heard(52, Some(own)));
        assert!(!heard_vrids.has_heard(53, None));
    }

    #[test]
    fn only_what_the_program_judges_too_counts() {
        let locals = Locals::default();
        let own: IpAddr = "fe80::1".parse().unwrap();
        locals.set([LocalKey::of_address(7, Family::V6, widen(own))].into());
        let heard = |ifindex, destination: &str| {
            let destination: IpAddr = destination.parse().unwrap();
            HeardVrid { vrid: 51, source: destination, destination }.is_to_us(ifindex, &locals)
        };
        assert!(heard(7, "224.0.0.18") && heard(7, "ff02::12") && heard(7, "fe80::1"));
        // On another link, a subnet broadcast, and an anycast address.
        assert!(!heard(8, "fe80::1") && !heard(7, "10.0.0.255") && !heard(7, "2001:db8::"));
    }
}
