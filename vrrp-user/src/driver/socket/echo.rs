//! Echo requests to hosts and groups, for a person who inspects the link.
//!
//! Enters: addresses. Leaves: the addresses that answer. Requests leave by one interface, as adverts do, and replies
//! count that arrive there. A request to a group is answered by its members, each from its own address; it reaches the
//! link only, and does not come back. A reply may carry a [`ProbeMessage`] where the wire takes no protocol 112.

use std::collections::BTreeSet;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use libc::c_int;
use vrrp_ebpf::wire::{Family, checksum};

use super::option::{receive, set, socket};
use super::probe::{PROBE_BODY, ProbeMessage};

const LENGTH: usize = 8;

/// Room for a reply and the longest IP header.
const REPLY: usize = LENGTH + PROBE_BODY + 60;

/// Messages that are read in search of a reply: a flood must not hold up the trial.
pub(super) const MESSAGES: usize = 256;

/// What has arrived.
#[derive(Debug, Default)]
pub struct EchoAnswers {
    /// The hosts that have answered a request.
    pub hosts: BTreeSet<IpAddr>,
    /// What replies carry that no request of this socket has asked for.
    pub probes: Vec<(IpAddr, ProbeMessage)>,
}

/// A raw socket, which needs CAP_NET_RAW.
#[derive(Debug)]
pub struct EchoSocket {
    socket: OwnedFd,
    family: Family,
    ifindex: u32,
    /// Replies with another one are those of other programs.
    identifier: u16,
}

impl EchoSocket {
    /// # Errors
    /// CAP_NET_RAW is missing, or the family.
    pub fn open(family: Family, ifindex: u32, identifier: u16) -> io::Result<Self> {
        let index = c_int::try_from(ifindex).map_err(|_| io::ErrorKind::InvalidInput)?;
        let socket = match family {
            Family::V4 => {
                let socket = socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)?;
                let fd = socket.as_fd();
                set(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_TTL, 1 as c_int)?;
                set(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP, 0 as c_int)?;
                socket
            }
            Family::V6 => {
                let socket = socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)?;
                let fd = socket.as_fd();
                set(fd, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS, 1 as c_int)?;
                set(fd, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP, 0 as c_int)?;
                socket
            }
        };
        set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, index)?;
        Ok(Self { socket, family, ifindex, identifier })
    }

    /// Sends from this address from now on, and receives what is for it: the kernel may prefer a virtual address, by
    /// which no peer knows this host.
    ///
    /// # Errors
    /// It is not on this host.
    pub fn bind(&self, source: IpAddr) -> io::Result<()> {
        let bound = match source {
            IpAddr::V4(address) => self.bind_to(&inet(address)),
            IpAddr::V6(address) => self.bind_to(&inet6(address, self.ifindex)),
        };
        if bound < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn bind_to<N>(&self, name: &N) -> c_int {
        let length = libc::socklen_t::try_from(size_of::<N>()).unwrap_or(0);
        // SAFETY: the name lives across the call with the given length.
        unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const *name).cast(), length) }
    }

    /// Sends one request.
    ///
    /// # Errors
    /// There is no route, or this host refuses it.
    pub fn ask(&self, address: IpAddr) -> io::Result<()> {
        let message = message(self.family, Kind::Request, self.identifier, self.sequence(), &[]);
        self.send_to(&message, address)
    }

    /// Sends a reply that carries a probe, to the run that has asked for it. A host that `stays` on the link does not
    /// get it through a router.
    ///
    /// # Errors
    /// There is no route, or this host refuses it.
    pub fn answer(
        &self,
        to: IpAddr,
        asked: &ProbeMessage,
        probe: &ProbeMessage,
        stays: bool,
    ) -> io::Result<()> {
        let fd = self.socket.as_fd();
        if stays {
            match self.family {
                Family::V4 => set(fd, libc::IPPROTO_IP, libc::IP_TTL, 1 as c_int)?,
                Family::V6 => set(fd, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 1 as c_int)?,
            }
        }
        let message = message(self.family, Kind::Reply, asked.identifier(), asked.sequence, &probe.body());
        self.send_to(&message, to)
    }

    fn send_to(&self, message: &[u8], address: IpAddr) -> io::Result<()> {
        let length = match address {
            IpAddr::V4(address) => self.send(message, &inet(address)),
            IpAddr::V6(address) => self.send(message, &inet6(address, self.ifindex)),
        };
        if length < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// A reply echoes it: which interface was asked on. Each raw socket receives the replies to all.
    pub fn sequence(&self) -> u16 {
        let [.., low, high] = self.ifindex.to_be_bytes();
        u16::from_be_bytes([low, high])
    }

    fn send<N>(&self, message: &[u8], name: &N) -> isize {
        let length = libc::socklen_t::try_from(size_of::<N>()).unwrap_or(0);
        let fd = self.socket.as_raw_fd();
        let (bytes, name) = (message.as_ptr().cast(), (&raw const *name).cast());
        // SAFETY: both buffers live across the call with the given lengths.
        unsafe { libc::sendto(fd, bytes, message.len(), libc::MSG_DONTWAIT, name, length) }
    }

    /// The replies that have arrived; of many messages the first ones.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn answers(&self) -> io::Result<EchoAnswers> {
        let mut answers = EchoAnswers::default();
        for _ in 0..MESSAGES {
            let mut packet = [0; REPLY];
            // SAFETY: an address of zeros is valid.
            let mut name: libc::sockaddr_in6 = unsafe { zeroed() };
            // SAFETY: it is numbers only.
            let received = unsafe { receive(&self.socket, &mut packet, &mut name, &mut []) };
            let Some((length, _)) = received? else { break };
            let packet = packet.get(..length).unwrap_or_default();
            let Some(body) = reply(self.family, self.identifier, self.sequence(), packet) else { continue };
            let source = sender(self.family, &name);
            match ProbeMessage::parse_body(body, self.family) {
                Some(probe) => answers.probes.push((source, probe)),
                None => drop(answers.hosts.insert(source)),
            }
        }
        Ok(answers)
    }
}

/// The address in a name of either family; they share their beginning.
fn sender(family: Family, name: &libc::sockaddr_in6) -> IpAddr {
    match family {
        Family::V6 => Ipv6Addr::from(name.sin6_addr.s6_addr).into(),
        // The address is where the flow label of the other family is.
        Family::V4 => Ipv4Addr::from(name.sin6_flowinfo.to_ne_bytes()).into(),
    }
}

fn inet(address: Ipv4Addr) -> libc::sockaddr_in {
    // SAFETY: an address of zeros is valid.
    let mut name: libc::sockaddr_in = unsafe { zeroed() };
    name.sin_family = u16::try_from(libc::AF_INET).unwrap_or(0);
    name.sin_addr.s_addr = u32::from_ne_bytes(address.octets());
    name
}

/// Addresses of the link have no meaning without their interface.
fn inet6(address: Ipv6Addr, ifindex: u32) -> libc::sockaddr_in6 {
    // SAFETY: an address of zeros is valid.
    let mut name: libc::sockaddr_in6 = unsafe { zeroed() };
    name.sin6_family = u16::try_from(libc::AF_INET6).unwrap_or(0);
    name.sin6_addr.s6_addr = address.octets();
    let is_of_link = address.is_unicast_link_local() || address.is_multicast();
    name.sin6_scope_id = if is_of_link { ifindex } else { 0 };
    name
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Request,
    Reply,
}

impl Kind {
    const fn number(self, family: Family) -> u8 {
        match (family, self) {
            (Family::V4, Self::Request) => 8,
            (Family::V4, Self::Reply) => 0,
            (Family::V6, Self::Request) => 128,
            (Family::V6, Self::Reply) => 129,
        }
    }
}

/// The kernel writes the checksum of ICMPv6.
fn message(family: Family, kind: Kind, identifier: u16, sequence: u16, body: &[u8]) -> Vec<u8> {
    let ([id0, id1], [seq0, seq1]) = (identifier.to_be_bytes(), sequence.to_be_bytes());
    let head = [kind.number(family), 0, 0, 0, id0, id1, seq0, seq1];
    let mut message = [&head[..], body].concat();
    if family == Family::V4 {
        // Cannot fail: the field fits.
        let _ = checksum::fill(&mut message, 2, 0);
    }
    message
}

/// What a reply echoes, behind its header.
fn reply(family: Family, identifier: u16, sequence: u16, packet: &[u8]) -> Option<&[u8]> {
    let header = match family {
        Family::V4 => packet.first().map_or(0, |byte| usize::from(byte & 0xf) * 4),
        Family::V6 => 0,
    };
    let (message, body) = packet.get(header..)?.split_first_chunk::<LENGTH>()?;
    let &[first, code, _, _, id0, id1, seq0, seq1] = message;
    let is_ours = (first, code) == (Kind::Reply.number(family), 0)
        && [id0, id1] == identifier.to_be_bytes()
        && [seq0, seq1] == sequence.to_be_bytes();
    is_ours.then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reply_with_its_identifier_counts() {
        let behind = |body: [u8; 8]| [&[0x45][..], &[0; 19], &body].concat();
        let is_reply = |family, identifier, sequence, packet: &[u8]| {
            reply(family, identifier, sequence, packet).is_some()
        };
        let is_v4 = |identifier, sequence, body| is_reply(Family::V4, identifier, sequence, &behind(body));
        assert!(is_v4(0x0102, 1, [0, 0, 9, 9, 1, 2, 0, 1]));
        assert!(!is_v4(0x0102, 1, [8, 0, 9, 9, 1, 2, 0, 1]), "a request");
        assert!(!is_v4(0x0103, 1, [0, 0, 9, 9, 1, 2, 0, 1]));
        assert!(!is_v4(0x0102, 2, [0, 0, 9, 9, 1, 2, 0, 1]), "asked on another interface");
        assert!(is_reply(Family::V6, 7, 1, &[129, 0, 9, 9, 0, 7, 0, 1]));
        assert!(!is_reply(Family::V6, 7, 1, &[129, 0, 9]) && !is_reply(Family::V4, 7, 1, &[]));
        let request = message(Family::V4, Kind::Request, 0x0102, 7, &[]);
        assert!(checksum::is_right(checksum::sum(&request)));
    }

    #[test]
    fn a_reply_carries_a_probe_to_the_run_that_asked() {
        let asked = ProbeMessage { run: 0xabcd_0102, sequence: 7, ..ProbeMessage::default() };
        let said = ProbeMessage { is_refused: true, run: 3, ..ProbeMessage::default() };
        for (family, header) in [(Family::V4, vec![0x45; 20]), (Family::V6, vec![])] {
            let sent = message(family, Kind::Reply, asked.identifier(), asked.sequence, &said.body());
            let packet = [header, sent].concat();
            let body = reply(family, 0x0102, 7, &packet).unwrap();
            assert_eq!(ProbeMessage::parse_body(body, family), Some(said));
        }
    }

    #[test]
    fn the_sender_is_read_from_either_form() {
        let own = inet(Ipv4Addr::new(192, 0, 2, 7));
        // SAFETY: the larger one of two names of the kernel, of numbers only.
        let mut name: libc::sockaddr_in6 = unsafe { zeroed() };
        name.sin6_flowinfo = own.sin_addr.s_addr;
        assert_eq!(sender(Family::V4, &name), IpAddr::from([192, 0, 2, 7]));
        let link = inet6("fe80::1".parse().unwrap(), 7);
        assert_eq!((link.sin6_scope_id, sender(Family::V6, &link)), (7, "fe80::1".parse().unwrap()));
        assert_eq!(inet6("2001:db8::1".parse().unwrap(), 7).sin6_scope_id, 0);
    }
}
