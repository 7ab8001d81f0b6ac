//! The socket receive path: adverts from a packet socket, for interfaces without an attached program.
//!
//! Enters: an interface. Leaves: whole frames that carry VRRP, each with the time when the kernel received it. A filter
//! in the kernel drops everything else without waking the engine. Packets of an interface without Ethernet, such as a
//! tunnel, get an Ethernet header. Absent: frames with the tag of a VLAN, which belong to the VLAN's own interface. A
//! priority tag names no VLAN (802.1Q §9.6).

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libc::{c_int, iovec, mmsghdr, sock_filter};
use nix::time::{ClockId, clock_gettime};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::{PROTOCOL, ah, ethernet};

use super::option::{PACKET_IGNORE_OUTGOING, instruction, read, set, set_buffer, set_filter, socket};
use crate::driver::clock;
use crate::driver::netlink::link::has_ethernet;

/// Frames read by one system call.
const FRAMES: usize = 32;
/// Room for Ethernet, IPv6 and the longest message that fits the maps, rounded up.
const FRAME: usize = 2048;
/// Room for one timestamp.
const CONTROL: usize = 64;
/// Room for 1000 adverts, so that a burst survives a pause of the engine.
const RECEIVE_BUFFER: c_int = 1 << 20;

/// Instructions of the filter.
const FILTER_LEN: usize = 32;
const PACKET_FILTER_LEN: usize = 12;

/// A packet socket on one interface.
pub struct Listener {
    socket: OwnedFd,
    frames: Box<[[u8; FRAME]; FRAMES]>,
    controls: Box<[Aligned; FRAMES]>,
    vectors: Box<[iovec; FRAMES]>,
    headers: Box<[mmsghdr; FRAMES]>,
    /// Bytes before each packet for the Ethernet header that the interface lacks; 0 if it has one.
    lacking: usize,
    /// Lower bound for later stamps: when the queue was last seen empty, or the last stamp returned.
    floor: Timestamp,
}

// SAFETY: the pointers in `vectors` and `headers` point into the boxes of the same struct and move with it.
unsafe impl Send for Listener {}

/// Aligned for control messages.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Aligned([u8; CONTROL]);

impl Listener {
    /// # Errors
    /// The interface is gone, or CAP_NET_RAW is missing.
    pub fn open(ifindex: u32) -> io::Result<Self> {
        let listener = Self::open_as(libc::SOCK_RAW, ifindex)?;
        if has_ethernet(link_type(listener.as_fd())?) {
            return Ok(listener);
        }
        Self::open_as(libc::SOCK_DGRAM, ifindex)
    }

    /// SOCK_DGRAM receives packets from the IP header on.
    fn open_as(kind: c_int, ifindex: u32) -> io::Result<Self> {
        // Protocol 0 receives nothing until bound, so that no frame arrives before the filter is set.
        let socket = socket(libc::AF_PACKET, kind, 0)?;
        let fd = socket.as_fd();
        let is_packet = kind == libc::SOCK_DGRAM;
        if is_packet { set_filter(fd, &packet_filter()) } else { set_filter(fd, &filter()) }?;
        set(fd, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1 as c_int).or_else(unless_unknown)?;
        set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1 as c_int)?;
        set_buffer(fd, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER)?;
        bind(fd, ifindex)?;
        // SAFETY: vectors and headers of zeros name nothing; `receive` fills them in.
        let (vectors, headers) = unsafe { (Box::new(zeroed()), Box::new(zeroed())) };
        Ok(Self {
            socket,
            frames: Box::new([[0; FRAME]; FRAMES]),
            controls: Box::new([Aligned([0; CONTROL]); FRAMES]),
            vectors,
            headers,
            lacking: if is_packet { ethernet::HEADER_LEN } else { 0 },
            floor: clock::now(),
        })
    }

    /// Passes up to `max` frames, oldest first, to `f`, and returns their number; fewer than `max` means that the queue
    /// is empty. Frames longer than any advert are truncated.
    ///
    /// # Errors
    /// ENETDOWN, once, when the interface went down or was removed. The listener works again when the interface is up
    /// again; a recreated interface needs a new listener.
    pub fn drain(&mut self, max: usize, mut f: impl FnMut(&[u8], Timestamp)) -> io::Result<usize> {
        let mut taken = 0;
        while taken < max {
            let wanted = FRAMES.min(max - taken);
            let before = clock::now();
            let count = self.receive(wanted)?;
            let offset = Offset::now();
            let mut floor = self.floor.min(offset.monotonic);
            for index in 0..count {
                self.complete(index);
                if let Some((frame, stamp)) = self.frame(index) {
                    let stamp = stamp.map_or(offset.monotonic, |stamp| offset.apply(stamp));
                    floor = stamp.clamp(floor, offset.monotonic);
                    f(frame, floor);
                }
            }
            taken += count;
            self.floor = floor;
            if count < wanted {
                self.floor = floor.max(before);
                break;
            }
        }
        Ok(taken)
    }

    /// Whether frames were lost since the last call because the queue was full. Makes a system call.
    pub fn has_lost(&self) -> bool {
        read::<Statistics>(self.socket.as_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS)
            .is_some_and(|statistics| statistics.lost != 0)
    }

    /// A duplicate descriptor that keeps the socket open.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn keep(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone()
    }

    fn receive(&mut self, wanted: usize) -> io::Result<usize> {
        let buffers = self.frames.iter_mut().zip(self.controls.iter_mut());
        for ((vector, header), (frame, control)) in
            self.vectors.iter_mut().zip(self.headers.iter_mut()).zip(buffers)
        {
            let room = frame.get_mut(self.lacking..).unwrap_or_default();
            *vector = iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL;
        }
        let wanted = u32::try_from(wanted.min(FRAMES)).unwrap_or(0);
        // SAFETY: `wanted` headers exist, each pointing at buffers of self with their lengths.
        let count = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                wanted,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        usize::try_from(count).or_else(|_| match io::Error::last_os_error() {
            error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            error => Err(error),
        })
    }

    /// Gives a packet without Ethernet an Ethernet header.
    fn complete(&mut self, index: usize) {
        if self.lacking == 0 {
            return;
        }
        let Some((header, packet)) = self
            .frames
            .get_mut(index)
            .and_then(|frame| frame.split_first_chunk_mut::<{ ethernet::HEADER_LEN }>())
        else {
            return;
        };
        // The filter has compared the protocol with the kernel's.
        let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
        let ethertype = if is_v6 { ethernet::IPV6 } else { ethernet::IPV4 };
        let addresses = header.len() - size_of_val(&ethertype);
        if let Some(place) = header.get_mut(addresses..) {
            place.copy_from_slice(&ethertype.to_be_bytes());
        }
    }

    /// A received frame and its stamp, ns of CLOCK_REALTIME.
    fn frame(&self, index: usize) -> Option<(&[u8], Option<u64>)> {
        let header = self.headers.get(index)?;
        let length = usize::try_from(header.msg_len).unwrap_or(FRAME).saturating_add(self.lacking).min(FRAME);
        // SAFETY: the kernel has filled the header in; its control buffer lies in `controls`.
        let control = unsafe { libc::CMSG_FIRSTHDR(&raw const header.msg_hdr).as_ref() };
        let stamp = control.filter(|control| {
            control.cmsg_level == libc::SOL_SOCKET
                && control.cmsg_type == libc::SCM_TIMESTAMPNS
                && control.cmsg_len >= size_of::<libc::cmsghdr>() + size_of::<libc::timespec>()
        });
        let stamp = stamp.map(|control| {
            // SAFETY: a message of this type holds a timespec, and its length agrees.
            unsafe { libc::CMSG_DATA(control).cast::<libc::timespec>().read_unaligned() }
        });
        let nanos = stamp.and_then(|stamp| nanos(stamp.tv_sec, stamp.tv_nsec));
        Some((self.frames.get(index)?.get(..length)?, nanos))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// `struct tpacket_stats`; reading it resets the counters.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Statistics {
    _frames: u32,
    lost: u32,
}

/// Both clocks at one moment. The kernel stamps packets with the wall clock, which administrators and NTP may set.
#[derive(Clone, Copy)]
struct Offset {
    monotonic: Timestamp,
    realtime: u64,
}

impl Offset {
    fn now() -> Self {
        let realtime = clock_gettime(ClockId::CLOCK_REALTIME).ok();
        let realtime = realtime.and_then(|time| nanos(time.tv_sec(), time.tv_nsec())).unwrap_or(0);
        Self { monotonic: clock::now(), realtime }
    }

    fn apply(self, stamp: u64) -> Timestamp {
        let age = self.realtime.saturating_sub(stamp);
        Timestamp::from_nanos(self.monotonic.as_nanos().saturating_sub(age))
    }
}

pub(super) fn nanos(seconds: i64, nanos: i64) -> Option<u64> {
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(u64::try_from(nanos).ok()?)
}

pub(super) fn bind(socket: BorrowedFd<'_>, ifindex: u32) -> io::Result<()> {
    // SAFETY: an address of zeros is valid.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or(0);
    address.sll_protocol = u16::try_from(libc::ETH_P_ALL).unwrap_or(0).to_be();
    address.sll_ifindex = i32::try_from(ifindex).map_err(|_| io::ErrorKind::InvalidInput)?;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or(0);
    // SAFETY: the address lives across the call and is `length` bytes long.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// ARPHRD_* of the interface to which a packet socket is bound.
fn link_type(socket: BorrowedFd<'_>) -> io::Result<u16> {
    // SAFETY: an address of zeros is valid.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    let mut length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or(0);
    // SAFETY: the address lives across the call and is `length` bytes long.
    let result = unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &raw mut length) };
    if result == 0 { Ok(address.sll_hatype) } else { Err(io::Error::last_os_error()) }
}

/// Before Linux 4.20 only the filter keeps out our own packets.
fn unless_unknown(error: io::Error) -> io::Result<()> {
    if error.raw_os_error() == Some(libc::ENOPROTOOPT) { Ok(()) } else { Err(error) }
}

/// Accepts packets to this host or to a group, without the tag of a VLAN (priority tags pass), that are IPv4 or IPv6
/// with protocol 112, or IPv4 with the IPsec header that may precede it. The kernel has removed the outer tag from the
/// frame; the filter skips as many inner tags as the BPF program does.
#[expect(clippy::cast_sign_loss, reason = "the kernel names its own fields by negative offsets")]
fn filter() -> [sock_filter; FILTER_LEN] {
    use libc::{
        BPF_ABS, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD,
        BPF_LDX, BPF_RET, BPF_W,
    };
    const VLAN_PRESENT: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_VLAN_TAG_PRESENT) as u32;
    const VLAN_CONTROL: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_VLAN_TAG) as u32;
    const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;
    const ETHERTYPE: u32 = 12;
    const CONTROL: u32 = ETHERTYPE + 2;
    const TAG: u32 = 4;
    const _: () = assert!(TAG as usize == ethernet::TAG_LEN);
    const IPV4_PROTOCOL: u32 = 14 + 9;
    const IPV6_NEXT_HEADER: u32 = 14 + 6;
    let (protocol, other_host) = (u32::from(PROTOCOL), u32::from(libc::PACKET_OTHERHOST));
    let (tag, service_tag) = (u32::from(ethernet::VLAN), u32::from(ethernet::SERVICE_VLAN));
    let load = |width, at| instruction(BPF_LD | width | BPF_ABS, 0, 0, at);
    let load_behind = |width, at| instruction(BPF_LD | width | BPF_IND, 0, 0, at);
    let id_only = instruction(BPF_ALU | BPF_AND | BPF_K, 0, 0, u32::from(ethernet::VLAN_ID));
    let behind = |bytes| instruction(BPF_LDX | BPF_IMM, 0, 0, bytes);
    let equals = |value: u32, jt, jf| instruction(BPF_JMP | BPF_JEQ | BPF_K, jt, jf, value);
    [
        load(BPF_W, VLAN_PRESENT),
        equals(0, 3, 0),
        load(BPF_W, VLAN_CONTROL),
        id_only,
        equals(0, 0, 26),
        load(BPF_W, PACKET_TYPE),
        instruction(BPF_JMP | BPF_JGE | BPF_K, 24, 0, other_host),
        // Bytes of tags before the ethertype.
        behind(0),
        load(BPF_H, ETHERTYPE),
        equals(tag, 1, 0),
        equals(service_tag, 0, 11),
        load(BPF_H, CONTROL),
        id_only,
        equals(0, 0, 17),
        behind(TAG),
        load(BPF_H, ETHERTYPE + TAG),
        equals(tag, 1, 0),
        equals(service_tag, 0, 4),
        load(BPF_H, CONTROL + TAG),
        id_only,
        equals(0, 0, 10),
        behind(2 * TAG),
        load_behind(BPF_H, ETHERTYPE),
        equals(ethernet::IPV4.into(), 0, 3),
        load_behind(BPF_B, IPV4_PROTOCOL),
        equals(protocol, 4, 0),
        equals(ah::PROTOCOL.into(), 3, 4),
        equals(ethernet::IPV6.into(), 0, 3),
        load_behind(BPF_B, IPV6_NEXT_HEADER),
        equals(protocol, 0, 1),
        instruction(BPF_RET | BPF_K, 0, 0, u32::MAX),
        instruction(BPF_RET | BPF_K, 0, 0, 0),
    ]
}

/// The same for packets without a link-layer header: those to this host or to a group.
#[expect(clippy::cast_sign_loss, reason = "the kernel names its own fields by negative offsets")]
fn packet_filter() -> [sock_filter; PACKET_FILTER_LEN] {
    use libc::{BPF_ABS, BPF_B, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
    const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;
    const ETHERTYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL) as u32;
    const IPV4_PROTOCOL: u32 = 9;
    const IPV6_NEXT_HEADER: u32 = 6;
    let protocol = u32::from(PROTOCOL);
    let load = |width, at| instruction(BPF_LD | width | BPF_ABS, 0, 0, at);
    let equals = |value: u32, jt, jf| instruction(BPF_JMP | BPF_JEQ | BPF_K, jt, jf, value);
    [
        load(BPF_W, PACKET_TYPE),
        instruction(BPF_JMP | BPF_JGE | BPF_K, 9, 0, u32::from(libc::PACKET_OTHERHOST)),
        load(BPF_W, ETHERTYPE),
        equals(ethernet::IPV4.into(), 0, 3),
        load(BPF_B, IPV4_PROTOCOL),
        equals(protocol, 4, 0),
        equals(ah::PROTOCOL.into(), 3, 4),
        equals(ethernet::IPV6.into(), 0, 3),
        load(BPF_B, IPV6_NEXT_HEADER),
        equals(protocol, 0, 1),
        instruction(BPF_RET | BPF_K, 0, 0, u32::MAX),
        instruction(BPF_RET | BPF_K, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_of_the_wall_clock_become_ours() {
        let offset = Offset { monotonic: Timestamp::from_nanos(1_000_000), realtime: 50_000_000 };
        assert_eq!(offset.apply(49_999_000), Timestamp::from_nanos(999_000));
        // The wall clock was set back after the stamp, or far ahead.
        assert_eq!(offset.apply(60_000_000), Timestamp::from_nanos(1_000_000));
        assert_eq!(offset.apply(0), Timestamp::ZERO);
    }
}
