//! Ping checks: ICMP echo, which needs CAP_NET_RAW or a group of `net.ipv4.ping_group_range`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use futures_util::future::select_ok;
use libc::sock_filter;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use thiserror::Error;
use tokio::net::UdpSocket;
use vrrp_ebpf::wire::checksum;

use super::{Failure, Resolver};
use crate::config::Host;
use crate::driver::socket::option::{instruction, set_filter};
use crate::protocol::TrackId;

/// Bytes after the ICMP header, as many as `ping` sends.
const PAYLOAD: usize = 56;
const HEADER: usize = 8;

/// Room for a reply and the longest IP header.
const REPLY: usize = HEADER + PAYLOAD + 60;

const FILTER_LEN: usize = 9;

/// Why no answer can come.
#[derive(Debug, Error)]
enum EchoError {
    #[error("no ICMP socket ({0}); this needs CAP_NET_RAW, or a group of net.ipv4.ping_group_range")]
    NotPermitted(io::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl EchoError {
    /// Of the errors of both kinds of sockets, one that is no refusal.
    fn of(errors: [io::Error; 2]) -> Self {
        let is_refusal = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        match errors {
            [refused, error] if is_refusal(&refused) && is_refusal(&error) => Self::NotPermitted(refused),
            [refused, error] if is_refusal(&refused) => Self::Io(error),
            [error, _] => Self::Io(error),
        }
    }
}

/// Echo requests to one host.
#[derive(Clone, Debug)]
pub struct Ping {
    host: Host,
    names: Resolver,
    /// Distinguishes the replies of this check from those of others on a raw socket.
    identifier: u16,
}

/// The kernel delivers each reply to every ICMP socket.
fn identifier(id: TrackId) -> u16 {
    u16::try_from(id.0 & 0xffff).unwrap_or_default()
}

impl Ping {
    pub fn new(host: Host, names: Resolver, id: TrackId) -> Self {
        Self { host, names, identifier: identifier(id) }
    }

    pub fn number(&mut self, id: TrackId) {
        self.identifier = identifier(id);
    }

    /// # Errors
    /// The socket is refused, or the host is unreachable; for a name, at all of its addresses.
    pub async fn attempt(&self, sequence: u16) -> Result<(), Failure> {
        let addresses = self.names.addresses(&self.host).await?;
        // All at once: a silent address would leave no time for the others.
        let attempts = addresses.into_iter().map(|address| Box::pin(self.at(address, sequence)));
        select_ok(attempts).await.map(drop)
    }

    async fn at(&self, address: IpAddr, sequence: u16) -> Result<(), Failure> {
        let answered = self.echo(address, sequence).await;
        answered.map_err(|error| Failure::of(address, &error))
    }

    /// Waits without a limit.
    async fn echo(&self, address: IpAddr, sequence: u16) -> Result<(), EchoError> {
        let (socket, kind) = open(address)?;
        let echo = Echo { address, kind, identifier: self.identifier, sequence };
        set_filter(socket.as_fd(), &echo.filter())?;
        echo.exchange(&socket).await.map_err(EchoError::from)
    }
}

/// How the kernel treats an ICMP socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// The kernel chooses the identifier, and delivers the replies to it without IP headers.
    Datagram,
    /// The kernel delivers all ICMP messages of this host, for IPv4 with their IP headers.
    Raw,
}

/// A raw socket needs CAP_NET_RAW, a datagram socket the group; the latter receives less.
fn open(address: IpAddr) -> Result<(UdpSocket, Kind), EchoError> {
    let (family, protocol) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let opened = match socket(family, SockType::Datagram, flags, protocol) {
        Ok(datagram) => (datagram, Kind::Datagram),
        Err(refused) => match socket(family, SockType::Raw, flags, protocol) {
            Ok(raw) => (raw, Kind::Raw),
            // The kernel refuses a datagram socket before it looks for a descriptor.
            Err(error) => return Err(EchoError::of([refused, error].map(io::Error::from))),
        },
    };
    // The calls of a UDP socket are those of any datagrams.
    Ok((UdpSocket::from_std(opened.0.into())?, opened.1))
}

/// One request and its reply.
#[derive(Debug)]
struct Echo {
    address: IpAddr,
    kind: Kind,
    identifier: u16,
    sequence: u16,
}

impl Echo {
    fn request(&self) -> [u8; HEADER + PAYLOAD] {
        const CHECKSUM: usize = 2;
        let mut message = [0; HEADER + PAYLOAD];
        let [id0, id1] = self.identifier.to_be_bytes();
        let [seq0, seq1] = self.sequence.to_be_bytes();
        let kind = if self.address.is_ipv4() { 8 } else { 128 };
        message[..HEADER].copy_from_slice(&[kind, 0, 0, 0, id0, id1, seq0, seq1]);
        // The kernel writes the checksum of ICMPv6, and that of a datagram socket.
        if self.address.is_ipv4() {
            // Cannot fail: the field fits.
            let _ = checksum::fill(&mut message, CHECKSUM, 0);
        }
        message
    }

    /// Sends the request and waits for the reply without a limit.
    async fn exchange(&self, socket: &UdpSocket) -> io::Result<()> {
        socket.send_to(&self.request(), SocketAddr::new(self.address, 0)).await?;
        let mut received = [0; REPLY];
        loop {
            let (length, source) = socket.recv_from(&mut received).await?;
            let packet = received.get(..length).unwrap_or_default();
            if source.ip() == self.address && self.is_answered_by(packet) {
                return Ok(());
            }
        }
    }

    /// Type of the reply, whose code is 0.
    fn reply(&self) -> u8 {
        if self.address.is_ipv4() { 0 } else { 129 }
    }

    fn has_ip_header(&self) -> bool {
        self.kind == Kind::Raw && self.address.is_ipv4()
    }

    /// Accepts replies to the request: other ICMP messages of this host, as in a flood, would leave them no room in the
    /// socket's queue.
    fn filter(&self) -> [sock_filter; FILTER_LEN] {
        use libc::{
            BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_LDX, BPF_MSH, BPF_RET,
        };
        let load = |at| instruction(BPF_LD | BPF_H | BPF_IND, 0, 0, at);
        let equals = |value: u16, jt, jf| instruction(BPF_JMP | BPF_JEQ | BPF_K, jt, jf, value.into());
        // The kernel delivers to a datagram socket what has its identifier, which is not ours.
        let skips = u8::from(self.kind == Kind::Datagram);
        [
            // The length of the IP header.
            instruction(BPF_LDX | if self.has_ip_header() { BPF_B | BPF_MSH } else { BPF_IMM }, 0, 0, 0),
            load(0),
            equals(u16::from_be_bytes([self.reply(), 0]), 0, 5),
            load(6),
            equals(self.sequence, 2 * skips, 3),
            load(4),
            equals(self.identifier, 0, 1),
            instruction(BPF_RET | BPF_K, 0, 0, u32::MAX),
            instruction(BPF_RET | BPF_K, 0, 0, 0),
        ]
    }

    /// An error message of a router is not an answer.
    fn is_answered_by(&self, packet: &[u8]) -> bool {
        let length = match self.has_ip_header() {
            true => packet.first().map_or(0, |byte| usize::from(byte & 0xf) * 4),
            false => 0,
        };
        let Some(&[kind, code, _, _, id0, id1, seq0, seq1]) =
            packet.get(length..).and_then(|message| message.first_chunk())
        else {
            return false;
        };
        let is_ours = self.kind == Kind::Datagram || [id0, id1] == self.identifier.to_be_bytes();
        (kind, code) == (self.reply(), 0) && is_ours && [seq0, seq1] == self.sequence.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;
    use std::time::Duration;

    use nix::sched::{CloneFlags, unshare};
    use tokio::time::timeout;

    use super::*;

    fn echo(address: &str, kind: Kind) -> Echo {
        Echo { address: address.parse().unwrap(), kind, identifier: 0x0102, sequence: 0x0304 }
    }

    #[test]
    fn requests_have_a_checksum_where_the_kernel_writes_none() {
        let request = echo("192.0.2.1", Kind::Raw).request();
        assert_eq!(request[..8], [8, 0, 0xf3, 0xf9, 1, 2, 3, 4]);
        assert!(checksum::is_right(checksum::sum(&request)));
        assert_eq!(echo("2001:db8::1", Kind::Raw).request()[..8], [128, 0, 0, 0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_shortage_is_reported_beside_a_refusal() {
        let reported = |errors: [i32; 2]| match EchoError::of(errors.map(io::Error::from_raw_os_error)) {
            EchoError::NotPermitted(_) => None,
            EchoError::Io(error) => error.raw_os_error(),
        };
        assert_eq!(reported([libc::EACCES, libc::EPERM]), None);
        assert_eq!(reported([libc::EACCES, libc::EMFILE]), Some(libc::EMFILE));
        assert_eq!(reported([libc::EMFILE, libc::EPERM]), Some(libc::EMFILE));
    }

    #[test]
    fn only_the_reply_to_the_request_is_an_answer() {
        let v4 = |kind, body: &[u8]| echo("192.0.2.1", kind).is_answered_by(body);
        let v6 = |kind, body: &[u8]| echo("2001:db8::1", kind).is_answered_by(body);
        let behind = |length: u8, body: &[u8]| {
            let mut packet = vec![0; usize::from(length) * 4];
            packet[0] = 0x40 | length;
            packet.extend(body);
            packet
        };
        let reply = [0, 0, 9, 9, 1, 2, 3, 4];
        assert!(v4(Kind::Datagram, &reply));
        assert!(v4(Kind::Datagram, &[0, 0, 9, 9, 7, 7, 3, 4]), "the kernel's identifier");
        assert!(v4(Kind::Raw, &behind(5, &reply)) && v4(Kind::Raw, &behind(6, &reply)));
        assert!(v6(Kind::Raw, &[129, 0, 9, 9, 1, 2, 3, 4]));
        for (what, other) in [
            ("a request", [8, 0, 9, 9, 1, 2, 3, 4]),
            ("an error", [3, 1, 9, 9, 1, 2, 3, 4]),
            ("another identifier", [0, 0, 9, 9, 1, 3, 3, 4]),
            ("another sequence", [0, 0, 9, 9, 1, 2, 3, 5]),
        ] {
            assert!(!v4(Kind::Raw, &behind(5, &other)), "{what}");
        }
        for short in [&[][..], &[0x4f], &reply[..7], &behind(5, &reply[..7])] {
            assert!(!v4(Kind::Raw, short) && !v6(Kind::Raw, short), "{short:?}");
        }
    }

    /// In a namespace of its own, whose loopback interface answers. Before the socket is read once, another process
    /// sends more ICMP messages than its queue has room for.
    #[test]
    fn a_flood_leaves_room_for_the_reply() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let flood_and_ping = |address: &str, kinds: [u8; 2]| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
            let address: IpAddr = address.parse().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (socket, kind) = open(address).unwrap();
                assert_eq!(kind, Kind::Raw, "this namespace permits no group");
                let echo = Echo { address, kind, identifier: 0x0102, sequence: 0x0304 };
                set_filter(socket.as_fd(), &echo.filter()).unwrap();
                let (flooder, _) = open(address).unwrap();
                for number in 0..10_000_u16 {
                    let [high, low] = number.to_be_bytes();
                    let mut message = [0; 64];
                    // Requests, and replies to others.
                    message[0] = kinds[usize::from(number % 2)];
                    message[4..8].copy_from_slice(&[1, 2, high, low | 0x80]);
                    if address.is_ipv4() {
                        checksum::fill(&mut message, 2, 0).unwrap();
                    }
                    flooder.send_to(&message, SocketAddr::new(address, 0)).await.unwrap();
                }
                timeout(Duration::from_secs(5), echo.exchange(&socket)).await.unwrap().unwrap();
            });
        };
        thread::scope(|scope| {
            for (address, kinds) in [("127.0.0.1", [8, 0]), ("::1", [128, 129])] {
                scope.spawn(move || flood_and_ping(address, kinds));
            }
        });
    }
}
