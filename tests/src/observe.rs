//! The frames that the nodes send, with the kernel's time stamps.
//!
//! A packet socket on the bridge takes every frame as it leaves a node's cable. The kernel stamps it in the sender's
//! own transmit call (veth hands it over there), so neither a busy processor nor the observer's own lateness blurs
//! the times. The bridge port identifies the sender, whatever the frame claims.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::clock::{nanos, poll, realtime};
use crate::lab::Lab;
use crate::worker::{Workers, lock};

/// Longer than between two announcements of one takeover.
const QUIET: Duration = Duration::from_millis(200);

/// Watches the nodes of a lab until dropped.
#[derive(Debug)]
pub struct Observer {
    log: Arc<Mutex<Log>>,
    _watching: Workers,
}

/// The frames since a time. The observer reads a frame a moment after it was sent.
#[derive(Debug, Default)]
struct Log {
    since: u64,
    seen: Vec<Seen>,
}

/// A frame of interest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Nanoseconds of CLOCK_REALTIME.
    pub at: u64,
    pub node: usize,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    Advert(Advert),
    /// Gratuitous ARP or unsolicited neighbour advertisement for this address.
    Announce(IpAddr),
    /// Reply to an ARP request for this address.
    Answer(IpAddr),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Advert {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub version: u8,
    pub vrid: u8,
    pub priority: u8,
    /// Number of addresses it lists.
    pub addresses: u8,
}

impl Observer {
    /// Starts to watch `lab`.
    pub fn new(lab: &Lab) -> Result<Self> {
        let ports = lab.ports()?;
        let socket = lab.lan.enter(packet_socket)?;
        only_from(&socket, &ports)?;
        let log = Arc::new(Mutex::new(Log::default()));
        let noted = Arc::clone(&log);
        let watching = Workers::default().with_frames(socket, move |got, frame| {
            if let Some(node) = ports.iter().position(|&port| port == got.interface)
                && let Some(what) = read(frame)
            {
                let mut log = lock(&noted);
                if got.at >= log.since {
                    log.seen.push(Seen { at: got.at, node, what });
                }
            }
        });
        Ok(Self { log, _watching: watching })
    }

    /// All frames so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.log).seen.clone()
    }

    /// Forgets all frames sent so far, also those that have not been read yet.
    pub fn clear(&self) {
        *lock(&self.log) = Log { since: realtime(), seen: Vec::new() };
    }

    /// Adverts so far, including those of priority 0.
    pub fn adverts(&self) -> Vec<(u64, usize, Advert)> {
        let advert = |seen: &Seen| match seen.what {
            What::Advert(advert) => Some((seen.at, seen.node, advert)),
            What::Announce(_) | What::Answer(_) => None,
        };
        lock(&self.log).seen.iter().filter_map(advert).collect()
    }

    /// Checks that no other node has sent an advert so far.
    pub fn ensure_only(&self, node: usize) -> Result<()> {
        let others = self.adverts().into_iter().filter(|advert| advert.1 != node);
        let others: Vec<usize> = others.map(|advert| advert.1).collect();
        ensure!(others.is_empty(), "others than node {node} have sent adverts: {others:?}");
        Ok(())
    }

    /// Longest time between two adverts of any node sent since `since`; `None` if there are fewer than two.
    pub fn longest_silence(&self, since: u64) -> Option<Duration> {
        let adverts = self.adverts();
        let sent = || adverts.iter().map(|advert| advert.0).filter(|&at| at > since);
        sent().zip(sent().skip(1)).map(|(one, next)| Duration::from_nanos(next.saturating_sub(one))).max()
    }

    /// Node of the latest advert whose priority is not 0.
    pub fn master(&self) -> Option<usize> {
        let adverts = self.adverts();
        adverts.iter().rev().find(|(_, _, advert)| advert.priority != 0).map(|&(_, node, _)| node)
    }

    /// Senders of the latest `count` adverts, the latest first.
    pub fn latest(&self, count: usize) -> Vec<usize> {
        self.adverts().iter().rev().take(count).map(|advert| advert.1).collect()
    }

    /// Waits for the first advert of `node` after `since` whose priority is not 0, and returns its time.
    pub fn wait_for_advert(&self, node: usize, since: u64, within: Duration) -> Result<u64> {
        poll(&format!("an advert of node {node}"), within, || {
            let first = |&&(at, from, advert): &&(u64, usize, Advert)| {
                from == node && at > since && advert.priority != 0
            };
            Ok(self.adverts().iter().find(first).map(|advert| advert.0))
        })
    }

    /// From the last ARP reply of node `loser` about `address` since `since` to the next announcement of node `winner`,
    /// which corrects every client's cache; `None` if there was no reply.
    pub fn wait_until_mended(
        &self,
        [loser, winner]: [usize; 2],
        address: IpAddr,
        since: u64,
        within: Duration,
    ) -> Result<Option<Duration>> {
        poll(
            &format!("an announcement of node {winner} after the last answer of node {loser}"),
            within,
            || {
                let seen = self.seen();
                let of = |node: usize, what: What| {
                    seen.iter().filter(move |it| it.node == node && it.what == what && it.at >= since)
                };
                let Some(last) = of(loser, What::Answer(address)).map(|it| it.at).max() else {
                    return Ok(Some(None));
                };
                let next = of(winner, What::Announce(address)).find(|it| it.at > last);
                Ok(next.map(|it| Some(Duration::from_nanos(it.at - last))))
            },
        )
    }

    /// Waits until no node has announced an address for [`QUIET`]: announcements of a takeover are repeated for some
    /// milliseconds.
    pub fn wait_for_quiet(&self, within: Duration) -> Result<()> {
        poll("the end of announcements", within, || {
            let log = lock(&self.log);
            let latest = log.seen.iter().rev().find(|seen| matches!(seen.what, What::Announce(_)));
            let since = latest.map_or(log.since, |seen| seen.at);
            Ok((realtime().saturating_sub(since) > nanos(QUIET)).then_some(()))
        })
    }

    /// Nodes that have announced `address` so far, in order of time.
    pub fn announcers(&self, address: IpAddr) -> Vec<usize> {
        let seen = self.seen();
        seen.iter().filter(|seen| seen.what == What::Announce(address)).map(|seen| seen.node).collect()
    }
}

/// A frame as a packet socket gives it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) len: usize,
    /// Nanoseconds of CLOCK_REALTIME.
    pub(crate) at: u64,
    pub(crate) interface: u32,
    /// Sent by this namespace.
    pub(crate) outgoing: bool,
}

/// A packet socket for all frames of this thread's namespace, stamped by the kernel. A read waits for up to 20 ms.
pub(crate) fn packet_socket() -> Result<OwnedFd> {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
    setsockopt(&socket, sockopt::RcvBufForce, &(32 << 20))?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 20_000))?;
    Ok(socket)
}

/// Restricts the socket to frames received on these interfaces, so that a flood on another one, or frames sent, do not
/// fill it.
fn only_from(socket: &OwnedFd, interfaces: &[u32]) -> Result<()> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUALS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const GIVE: u32 = libc::BPF_RET | libc::BPF_K;
    /// Not an offset in the frame, but the ancillary offset for the interface's index (linux/filter.h).
    const INTERFACE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_IFINDEX).cast_unsigned();
    let mut program = Vec::new();
    let mut push = |code, jt, k| -> Result<()> {
        program.push(libc::sock_filter { code: u16::try_from(code)?, jt, jf: 0, k });
        Ok(())
    };
    push(LOAD, 0, INTERFACE)?;
    for (interface, left) in interfaces.iter().zip((1..=u8::try_from(interfaces.len())?).rev()) {
        push(EQUALS, left, *interface)?;
    }
    push(GIVE, 0, 0)?;
    push(GIVE, 0, u32::MAX)?;
    let filter = libc::sock_fprog { len: u16::try_from(program.len())?, filter: program.as_mut_ptr() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)?;
    set(socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32)
}

fn set<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> Result<()> {
    let length = u32::try_from(size_of::<T>())?;
    // SAFETY: the value and what it points to outlive the call, and its length is passed.
    Errno::result(unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), length)
    })?;
    Ok(())
}

/// A packet socket that sends frames in this thread's namespace, and receives none.
pub(crate) fn sending_socket() -> Result<OwnedFd> {
    Ok(socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?)
}

/// The next frame, or `None` when the wait has ended.
pub(crate) fn receive(socket: &OwnedFd, frame: &mut [u8]) -> Result<Option<Received>> {
    let mut control = nix::cmsg_space!(libc::timespec);
    let mut parts = [std::io::IoSliceMut::new(frame)];
    let message =
        match recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty()) {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(errno) => bail!("packet socket: {errno}"),
        };
    let Some(from) = message.address else { return Ok(None) };
    let stamp = message.cmsgs()?.find_map(|control| match control {
        nix::sys::socket::ControlMessageOwned::ScmTimestampns(time) => Some(nanos(Duration::from(time))),
        _ => None,
    });
    Ok(Some(Received {
        len: message.bytes,
        at: stamp.unwrap_or_else(realtime),
        interface: u32::try_from(from.ifindex())?,
        outgoing: from.pkttype() == libc::PACKET_OUTGOING,
    }))
}

/// Sends a frame as it is.
///
/// # Errors
/// With the errno of the packet socket; EAGAIN if it would block.
pub(crate) fn send(socket: &OwnedFd, interface: u32, frame: &[u8]) -> Result<()> {
    let to = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET)?,
        sll_protocol: 0,
        sll_ifindex: i32::try_from(interface)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    };
    let len = u32::try_from(size_of_val(&to))?;
    // SAFETY: frame and address live through the call, with their own lengths.
    Errno::result(unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            libc::MSG_DONTWAIT,
            (&raw const to).cast(),
            len,
        )
    })?;
    Ok(())
}

/// Classifies an untagged frame, if it is of interest.
fn read(frame: &[u8]) -> Option<What> {
    let packet = frame.get(14..)?;
    match frame.get(12..14)? {
        [0x08, 0x00] if packet.get(9) == Some(&112) => {
            let header = usize::from(packet.first()? & 0xf) * 4;
            advert(v4(packet, 12)?, v4(packet, 16)?, packet.get(header..)?)
        }
        // Behind an IPsec authentication header (RFC 2402 §2).
        [0x08, 0x00] if packet.get(9) == Some(&51) && packet.get(20) == Some(&112) => {
            advert(v4(packet, 12)?, v4(packet, 16)?, packet.get(20 + 24..)?)
        }
        [0x86, 0xdd] if packet.get(6) == Some(&112) => {
            advert(v6(packet, 8)?, v6(packet, 24)?, packet.get(40..)?)
        }
        // Unsolicited neighbour advertisement (RFC 4861 §4.4).
        [0x86, 0xdd] if packet.get(6) == Some(&58) && packet.get(40) == Some(&136) => {
            (packet.get(44)? & 0x40 == 0).then_some(What::Announce(v6(packet, 48)?))
        }
        // ARP with the same sender and target address (RFC 5227 §3).
        [0x08, 0x06] => {
            let (sender, target) = (v4(packet, 14)?, v4(packet, 24)?);
            let is_reply = packet.get(6..8)? == [0, 2];
            match sender == target {
                true => Some(What::Announce(sender)),
                false => is_reply.then_some(What::Answer(sender)),
            }
        }
        _ => None,
    }
}

fn advert(source: IpAddr, destination: IpAddr, message: &[u8]) -> Option<What> {
    let [first, vrid, priority, addresses, ..] = *message else { return None };
    Some(What::Advert(Advert { source, destination, version: first >> 4, vrid, priority, addresses }))
}

pub(crate) fn v4(bytes: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(Ipv4Addr::from(octets).into())
}

pub(crate) fn v6(bytes: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(Ipv6Addr::from(octets).into())
}
