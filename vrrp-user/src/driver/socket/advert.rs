//! Sending of adverts.
//!
//! Enters: the contents of each instance's adverts, and its current priority. Leaves: one `sendmmsg` per family for all
//! adverts that are due together. Each message carries its interface and source address, so that one socket serves all
//! instances, and multicast needs no route.

use std::io;
use std::mem::zeroed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};

use libc::{c_int, in_pktinfo, in6_pktinfo, sockaddr_in, sockaddr_in6};
use vrrp_ebpf::wire::advert::{AdvertRepr, Auth, Dialect, Illegal, fill_checksum};
use vrrp_ebpf::wire::ah::{self, AhRepr};
use vrrp_ebpf::wire::ipv4::{self, Ipv4Repr};
use vrrp_ebpf::wire::{ChecksumForm, PROTOCOL, TRAILER_LEN};

use super::batch::{Batch, Control};
use super::option::{IPV6_MULTICAST_ALL, instruction, set, set_buffer, set_filter, socket};
use super::probe::ProbeMessage;
use crate::config::InstanceSettings;
use crate::protocol::{self, InstanceId, Priority, Version, Vrid};

/// TTL and hop limit of multicast adverts (RFC 9568 §5.1.1.3, §5.1.2.3).
const TTL: u8 = 255;
/// Sent before other traffic by a queue with bands. The highest value that needs no privilege.
const QUEUE_PRIORITY: c_int = 6;
/// Room for the adverts of 4096 instances sent at once.
const SEND_BUFFER: c_int = 4 << 20;

/// The adverts of one instance, except the priority. Must be created again when its interface or source changes.
#[derive(Clone, Debug)]
pub struct Outgoing {
    vrid: Vrid,
    dialect: Dialect,
    /// Second version, for routers that do not speak the first yet (RFC 9568 §8.4).
    second: Option<Dialect>,
    addresses: Vec<IpAddr>,
    checksum: ChecksumForm,
    ifindex: u32,
    source: IpAddr,
    destinations: Vec<Destination>,
}

#[derive(Clone, Copy, Debug)]
struct Destination {
    address: IpAddr,
    ttl: u8,
}

impl Outgoing {
    /// Destination: the group, or each unicast peer of the source's family.
    ///
    /// # Errors
    /// No legal advert exists: it would hold no address, or one of another family. The configuration rules this out.
    pub fn new(settings: &InstanceSettings, ifindex: u32, source: IpAddr) -> Result<Self, Illegal> {
        let destinations = match (&settings.unicast, source) {
            (Some(unicast), _) => {
                let peers = unicast.peers.iter().filter(|peer| peer.address.is_ipv4() == source.is_ipv4());
                peers.map(|peer| Destination { address: peer.address, ttl: unicast.ttl }).collect()
            }
            (None, _) => vec![Destination { address: settings.group(), ttl: TTL }],
        };
        let dialect = dialect(settings, settings.version)?;
        let second = settings.also_v2.then(|| self::dialect(settings, Version::V2)).transpose()?;
        let addresses = settings.addresses.advertised.iter().map(|address| address.address);
        // RFC 9568 §5.2.9: a link-local address comes first. Otherwise the order has no meaning.
        let (mut addresses, others): (Vec<_>, Vec<_>) =
            addresses.partition(|address| is_link_local(*address));
        addresses.extend(others);
        let (vrid, checksum) = (settings.vrid, settings.checksum);
        let outgoing = Self { vrid, dialect, second, addresses, checksum, ifindex, source, destinations };
        outgoing.advert(dialect, settings.priority)?;
        Ok(outgoing)
    }

    /// Uses this form of the checksum from now on. Only version 3 over IPv4 has a choice; no effect otherwise.
    pub fn set_checksum(&mut self, form: ChecksumForm) {
        if self.source.is_ipv4() && matches!(self.dialect, Dialect::V3 { .. }) {
            self.checksum = form;
        }
    }

    /// These adverts, to some of their destinations.
    #[must_use]
    pub fn only(&self, to: &[IpAddr]) -> Self {
        let mut fewer = self.clone();
        fewer.destinations.retain(|destination| to.contains(&destination.address));
        fewer
    }

    /// Source address of the adverts.
    pub fn source(&self) -> IpAddr {
        self.source
    }

    fn advert(&self, dialect: Dialect, priority: Priority) -> Result<AdvertRepr<'_>, Illegal> {
        AdvertRepr::new(self.vrid.number(), priority.0, dialect, &self.addresses)
    }
}

/// Computes the trailer of a message with this source address.
type Sign<'a> = dyn FnMut(&[u8], IpAddr) -> [u8; TRAILER_LEN] + 'a;

pub(super) fn dialect(settings: &InstanceSettings, version: Version) -> Result<Dialect, Illegal> {
    Ok(match version {
        Version::V2 => {
            // Rounded up for receivers that count whole seconds: their timeout is then longer than needed.
            let seconds = settings.advert_interval.duration().as_millis().div_ceil(1000);
            Dialect::V2 {
                seconds: u8::try_from(seconds).map_err(|_| Illegal::Interval)?,
                auth: match settings.auth {
                    protocol::Auth::None | protocol::Auth::Hmac(_) => Auth::None,
                    protocol::Auth::Ah(_) => Auth::Ah,
                    protocol::Auth::Pass(password) => Auth::Pass(password),
                },
            }
        }
        Version::V3 => {
            let centiseconds = settings.advert_interval.to_wire(version);
            Dialect::V3 { family: settings.family, centiseconds }
        }
    })
}

#[derive(Debug)]
pub struct AdvertSender {
    v4: BatchSocket<sockaddr_in, ControlV4>,
    /// Whole IPv4 packets with an IPsec authentication header.
    sealed: BatchSocket<sockaddr_in, ControlV4>,
    v6: BatchSocket<sockaddr_in6, ControlV6>,
}

#[derive(Debug)]
struct BatchSocket<N, C> {
    /// `None` if the kernel lacks the family.
    socket: Option<OwnedFd>,
    batch: Batch<(InstanceId, IpAddr), N, C>,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct ControlV4 {
    info: Control<in_pktinfo>,
    ttl: Control<c_int>,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct ControlV6 {
    info: Control<in6_pktinfo>,
    ttl: Control<c_int>,
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

impl AdvertSender {
    /// Sends in the network namespace of the calling thread.
    ///
    /// # Errors
    /// CAP_NET_RAW is missing. A family that the kernel lacks is not an error; its adverts fail with EAFNOSUPPORT.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            v4: BatchSocket { socket: present(open_v4())?, batch: Batch::new() },
            sealed: BatchSocket { socket: present(open_sealed())?, batch: Batch::new() },
            v6: BatchSocket { socket: present(open_v6())?, batch: Batch::new() },
        })
    }

    /// Queues the adverts of an instance, one for each of its destinations and dialects.
    pub fn queue(&mut self, outgoing: &Outgoing, instance: InstanceId, priority: Priority) {
        self.queue_with(outgoing, instance, priority, None);
    }

    /// As [`Self::queue`], with a trailer after each advert. `sign` computes it, once for all destinations of a
    /// dialect, from the source and the message with its checksum field not yet filled in.
    pub fn queue_signed(
        &mut self,
        outgoing: &Outgoing,
        instance: InstanceId,
        priority: Priority,
        mut sign: impl FnMut(&[u8], IpAddr) -> [u8; TRAILER_LEN],
    ) {
        self.queue_with(outgoing, instance, priority, Some(&mut sign));
    }

    /// As [`Self::queue`], behind `header` and over IPv4 only. `seal` completes each packet, from its IP header on.
    pub fn queue_sealed(
        &mut self,
        outgoing: &Outgoing,
        instance: InstanceId,
        priority: Priority,
        header: &AhRepr,
        seal: impl Fn(&mut [u8]),
    ) {
        let Ok(advert) = outgoing.advert(outgoing.dialect, priority) else { return };
        let IpAddr::V4(source) = outgoing.source else { return };
        let payload_len = ah::HEADER_LEN + advert.buffer_len();
        // Not 0: the kernel would replace it, and the authentication covers it.
        let identification = u16::try_from(header.sequence & 0xffff).unwrap_or(1);
        for destination in &outgoing.destinations {
            let IpAddr::V4(address) = destination.address else { continue };
            let control = control_v4(outgoing.ifindex, source, destination.ttl);
            let length = ipv4::HEADER_LEN + payload_len;
            let packet =
                self.sealed.batch.push((instance, destination.address), name_v4(address), control, length);
            let ip = Ipv4Repr {
                source,
                destination: address,
                protocol: ah::PROTOCOL,
                ttl: destination.ttl,
                tos: ipv4::INTERNETWORK_CONTROL,
                identification: identification.max(1),
                payload_len,
            };
            let (head, behind) = packet.split_at_mut(ipv4::HEADER_LEN);
            let (middle, message) = behind.split_at_mut(ah::HEADER_LEN);
            let written = ip.emit(head).and(header.emit(middle)).and(advert.emit(message));
            if let Some(message) = written {
                fill_checksum(message, outgoing.checksum, outgoing.source, destination.address);
                seal(packet);
            }
        }
    }

    fn queue_with(
        &mut self,
        outgoing: &Outgoing,
        instance: InstanceId,
        priority: Priority,
        mut sign: Option<&mut Sign<'_>>,
    ) {
        for dialect in [Some(outgoing.dialect), outgoing.second].into_iter().flatten() {
            // `new` has checked it, and legality does not depend on the priority.
            if let Ok(advert) = outgoing.advert(dialect, priority) {
                let checksum = match dialect {
                    Dialect::V2 { .. } => ChecksumForm::Plain,
                    Dialect::V3 { .. } => outgoing.checksum,
                };
                self.queue_advert(&advert, checksum, outgoing, instance, sign.as_deref_mut());
            }
        }
    }

    fn queue_advert(
        &mut self,
        advert: &AdvertRepr<'_>,
        checksum: ChecksumForm,
        outgoing: &Outgoing,
        instance: InstanceId,
        mut sign: Option<&mut Sign<'_>>,
    ) {
        let body_len = advert.buffer_len();
        let length = body_len + if sign.is_some() { TRAILER_LEN } else { 0 };
        let mut trailer = None;
        for destination in &outgoing.destinations {
            let Some(room) = self.room(instance, outgoing.ifindex, outgoing.source, *destination, length)
            else {
                continue;
            };
            if advert.emit(room).is_none() {
                continue;
            }
            let (message, behind) = room.split_at_mut(body_len);
            if let Some(sign) = &mut sign {
                let trailer = trailer.get_or_insert_with(|| sign(message, outgoing.source));
                behind.copy_from_slice(trailer);
            }
            // Over IPv6 the checksum includes the trailer, as it does if the kernel computes it.
            let summed = if outgoing.source.is_ipv6() { room } else { message };
            fill_checksum(summed, checksum, outgoing.source, destination.address);
        }
    }

    /// Room for a message of this length in the queue; `None` for addresses of two families.
    fn room(
        &mut self,
        instance: InstanceId,
        ifindex: u32,
        source: IpAddr,
        Destination { address, ttl }: Destination,
        length: usize,
    ) -> Option<&mut [u8]> {
        let tag = (instance, address);
        match (source, address) {
            (IpAddr::V4(source), IpAddr::V4(address)) => {
                let control = control_v4(ifindex, source, ttl);
                Some(self.v4.batch.push(tag, name_v4(address), control, length))
            }
            (IpAddr::V6(source), IpAddr::V6(address)) => {
                let control = control_v6(ifindex, source, ttl);
                Some(self.v6.batch.push(tag, name_v6(address, ifindex), control, length))
            }
            _ => None,
        }
    }

    /// Queues a probe, which leaves as an advert of an interface does.
    pub fn queue_probe(&mut self, probe: &ProbeMessage, ifindex: u32, source: IpAddr, to: IpAddr) {
        let (mut message, destination) = (probe.message(), Destination { address: to, ttl: TTL });
        fill_checksum(&mut message, ChecksumForm::Pseudo, source, to);
        if let Some(room) = self.room(InstanceId(0), ifindex, source, destination, message.len()) {
            room.copy_from_slice(&message);
        }
    }

    /// Sends the queue and returns how many packets left. Calls `outcome` for each, with its destination, and the errno
    /// of a failure: a full queue (EAGAIN), a drop by the interface (ENOBUFS), a missing interface (ENODEV), a firewall
    /// (EPERM), a missing source or a unicast peer without a route (ENETUNREACH, for IPv6 EINVAL or EADDRNOTAVAIL). The
    /// next advert serves as a retry.
    pub fn flush(&mut self, mut outcome: impl FnMut(InstanceId, IpAddr, Result<(), i32>)) -> usize {
        self.v4.flush(&mut outcome) + self.sealed.flush(&mut outcome) + self.v6.flush(&mut outcome)
    }
}

impl<N, C> BatchSocket<N, C> {
    fn flush(&mut self, outcome: &mut impl FnMut(InstanceId, IpAddr, Result<(), i32>)) -> usize {
        let mut sent = 0;
        match &self.socket {
            _ if self.batch.is_empty() => {}
            Some(socket) => self.batch.flush(socket.as_fd(), |(instance, to), result| {
                sent += usize::from(result.is_ok());
                outcome(instance, to, result);
            }),
            None => self.batch.refuse(|(instance, to)| outcome(instance, to, Err(libc::EAFNOSUPPORT))),
        }
        sent
    }
}

fn present(opened: io::Result<OwnedFd>) -> io::Result<Option<OwnedFd>> {
    match opened {
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => Ok(None),
        opened => opened.map(Some),
    }
}

fn open_v4() -> io::Result<OwnedFd> {
    let socket = socket(libc::AF_INET, libc::SOCK_RAW, PROTOCOL.into())?;
    let option = |name, value: c_int| set(socket.as_fd(), libc::IPPROTO_IP, name, value);
    option(libc::IP_TOS, ipv4::INTERNETWORK_CONTROL.into())?;
    option(libc::IP_TTL, TTL.into())?;
    option(libc::IP_MULTICAST_TTL, TTL.into())?;
    option(libc::IP_MULTICAST_LOOP, 0)?;
    option(libc::IP_MULTICAST_ALL, 0)?;
    // A long advert to a peer behind a small MTU is fragmented rather than lost.
    option(libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)?;
    // The source may be missing for a moment, while the interface is configured again.
    option(libc::IP_TRANSPARENT, 1)?;
    option(libc::IP_RECVERR, 1)?;
    finish(socket)
}

/// Packets include the IP header, as the authentication covers it.
fn open_sealed() -> io::Result<OwnedFd> {
    let socket = socket(libc::AF_INET, libc::SOCK_RAW, ah::PROTOCOL.into())?;
    let option = |name, value: c_int| set(socket.as_fd(), libc::IPPROTO_IP, name, value);
    option(libc::IP_HDRINCL, 1)?;
    option(libc::IP_MULTICAST_LOOP, 0)?;
    option(libc::IP_MULTICAST_ALL, 0)?;
    option(libc::IP_RECVERR, 1)?;
    finish(socket)
}

fn open_v6() -> io::Result<OwnedFd> {
    let socket = socket(libc::AF_INET6, libc::SOCK_RAW, PROTOCOL.into())?;
    let option = |name, value: c_int| set(socket.as_fd(), libc::IPPROTO_IPV6, name, value);
    option(libc::IPV6_TCLASS, ipv4::INTERNETWORK_CONTROL.into())?;
    option(libc::IPV6_UNICAST_HOPS, TTL.into())?;
    option(libc::IPV6_MULTICAST_HOPS, TTL.into())?;
    option(libc::IPV6_MULTICAST_LOOP, 0)?;
    option(libc::IPV6_CHECKSUM, -1)?;
    // The parent's link-local source is sent through a macvlan that does not have it: if it had, both would answer for
    // it (Linux 4.15). A source that is missing for a moment is sent, too.
    option(libc::IPV6_FREEBIND, 1)?;
    option(libc::IPV6_RECVERR, 1)?;
    // Linux 4.20. On older kernels the socket only receives more packets, which its filter drops.
    let _ = option(IPV6_MULTICAST_ALL, 0);
    finish(socket)
}

/// Finishes a socket. With the option for errors, the kernel reports adverts that the interface's queue or a filter on
/// it (nftables' `netdev` egress, tc) drops. ICMP errors of peers come with it; here they have no room.
///
/// The socket matches the unicast adverts of peers, so that the kernel does not answer them with ICMP
/// "protocol unreachable"; its filter drops them all.
fn finish(socket: OwnedFd) -> io::Result<OwnedFd> {
    set_filter(socket.as_fd(), &[instruction(libc::BPF_RET | libc::BPF_K, 0, 0, 0)])?;
    set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, 1)?;
    // Must follow the traffic class, which sets it too.
    set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_PRIORITY, QUEUE_PRIORITY)?;
    set_buffer(socket.as_fd(), libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, SEND_BUFFER)?;
    Ok(socket)
}

fn name_v4(address: Ipv4Addr) -> sockaddr_in {
    // SAFETY: an address of zeros is valid.
    let mut name: sockaddr_in = unsafe { zeroed() };
    name.sin_family = u16::try_from(libc::AF_INET).unwrap_or(0);
    name.sin_addr = in_addr(address);
    name
}

fn name_v6(address: Ipv6Addr, ifindex: u32) -> sockaddr_in6 {
    // SAFETY: as above.
    let mut name: sockaddr_in6 = unsafe { zeroed() };
    name.sin6_family = u16::try_from(libc::AF_INET6).unwrap_or(0);
    name.sin6_addr = libc::in6_addr { s6_addr: address.octets() };
    name.sin6_scope_id = ifindex;
    name
}

fn control_v4(ifindex: u32, source: Ipv4Addr, ttl: u8) -> ControlV4 {
    let info = in_pktinfo {
        ipi_ifindex: i32::try_from(ifindex).unwrap_or(0),
        ipi_spec_dst: in_addr(source),
        ipi_addr: in_addr(Ipv4Addr::UNSPECIFIED),
    };
    ControlV4 {
        info: Control::new(libc::IPPROTO_IP, libc::IP_PKTINFO, info),
        ttl: Control::new(libc::IPPROTO_IP, libc::IP_TTL, ttl.into()),
    }
}

fn control_v6(ifindex: u32, source: Ipv6Addr, hop_limit: u8) -> ControlV6 {
    let info = in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: source.octets() }, ipi6_ifindex: ifindex };
    ControlV6 {
        info: Control::new(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info),
        ttl: Control::new(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, hop_limit.into()),
    }
}

fn in_addr(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) }
}
