//! A packet socket that shows every frame with VRRP on an interface, for a person who inspects the link.
//!
//! Enters: an interface. Leaves: frames, each with its VLAN tag, its direction and the time when the kernel saw it.
//! Unlike [`super::Listener`] it shows frames of all VLANs, those that this host sends, and those for other hosts that
//! reach the interface. Groups are joined, so that switches that snoop forward the adverts.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use libc::c_int;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use vrrp_ebpf::wire::{PROTOCOL, ah, ethernet, ipv4, ipv6};

use super::Membership;
use super::listen::{bind, nanos};
use super::option::{instruction, receive, set, set_buffer, set_filter, socket};

/// Room for a frame of a usual link, rounded up.
const FRAME: usize = 2048;
const RECEIVE_BUFFER: c_int = 1 << 20;
/// Room for a timestamp and auxiliary data.
const CONTROL_WORDS: usize = 16;

const FILTER_LEN: usize = 12;

/// The socket, and its memberships.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
    _memberships: Vec<Membership>,
}

/// A frame that was caught.
#[derive(Debug)]
pub struct CapturedFrame<'a> {
    pub frame: &'a [u8],
    /// VLAN id of the tag that the kernel has removed; 0 without one.
    pub vlan: u16,
    /// Sent by this host.
    pub is_outgoing: bool,
    /// Wall-clock time.
    pub at: Duration,
}

impl Tap {
    /// Joins `groups` too; a group of a family that the interface lacks is left out.
    ///
    /// # Errors
    /// The interface is gone, or CAP_NET_RAW is missing.
    pub fn open(ifindex: u32, groups: &[IpAddr]) -> io::Result<Self> {
        let socket = socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        let fd = socket.as_fd();
        set_filter(fd, &filter())?;
        set(fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, 1 as c_int)?;
        set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1 as c_int)?;
        set_buffer(fd, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER)?;
        bind(fd, ifindex)?;
        let usual = [ipv4::GROUP.into(), ipv6::GROUP.into()];
        let memberships =
            groups.iter().chain(&usual).filter_map(|group| Membership::join(*group, ifindex).ok());
        let memberships = memberships.collect();
        Ok(Self { socket, _memberships: memberships })
    }

    /// Waits for a frame, `patience` at most, and passes it to `f`. False: none has come.
    ///
    /// # Errors
    /// ENETDOWN: the interface went down or was removed.
    pub fn next(&self, patience: Duration, f: impl FnOnce(CapturedFrame<'_>)) -> io::Result<bool> {
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        // Rounded up, so that the last wait of a time is not a busy one.
        let millis = i32::try_from(patience.as_millis().saturating_add(1)).unwrap_or(i32::MAX);
        poll(&mut polled, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX))?;
        let mut frame = [0; FRAME];
        // SAFETY: an address of zeros is valid.
        let mut name: libc::sockaddr_ll = unsafe { zeroed() };
        let mut control = [0_u64; CONTROL_WORDS];
        // SAFETY: it is numbers only.
        let received = unsafe { receive(&self.socket, &mut frame, &mut name, &mut control) };
        let Some((length, header)) = received? else {
            return Ok(false);
        };
        let (vlan, at) = metadata(&header);
        f(CapturedFrame {
            frame: frame.get(..length).unwrap_or_default(),
            vlan,
            is_outgoing: name.sll_pkttype == libc::PACKET_OUTGOING,
            at: Duration::from_nanos(at.unwrap_or(0)),
        });
        Ok(true)
    }
}

/// VLAN id and stamp, ns of CLOCK_REALTIME, from the control messages of a received frame.
fn metadata(header: &libc::msghdr) -> (u16, Option<u64>) {
    let (mut vlan, mut stamp) = (0, None);
    // SAFETY: the kernel has filled the header in; its control buffer is alive and aligned.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: as above; null at the end.
    while let Some(control) = unsafe { next.as_ref() } {
        let holds = |bytes: usize| control.cmsg_len >= size_of::<libc::cmsghdr>() + bytes;
        // SAFETY: points behind the header of this message.
        let data = unsafe { libc::CMSG_DATA(control) };
        match (control.cmsg_level, control.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) if holds(size_of::<libc::timespec>()) => {
                // SAFETY: a message of this type holds this structure, and its length agrees.
                let time = unsafe { data.cast::<libc::timespec>().read_unaligned() };
                stamp = nanos(time.tv_sec, time.tv_nsec);
            }
            (libc::SOL_PACKET, libc::PACKET_AUXDATA) if holds(size_of::<libc::tpacket_auxdata>()) => {
                // SAFETY: as above.
                let auxiliary = unsafe { data.cast::<libc::tpacket_auxdata>().read_unaligned() };
                if auxiliary.tp_status & libc::TP_STATUS_VLAN_VALID != 0 {
                    vlan = auxiliary.tp_vlan_tci & ethernet::VLAN_ID;
                }
            }
            _ => {}
        }
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(header, control) };
    }
    (vlan, stamp)
}

/// Accepts frames with a tag inside, and IPv4 and IPv6 with protocol 112, or IPv4 with the IPsec header that may
/// precede it.
fn filter() -> [libc::sock_filter; FILTER_LEN] {
    use libc::{BPF_ABS, BPF_B, BPF_H, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET};
    const ETHERTYPE: u32 = 12;
    const IPV4_PROTOCOL: u32 = 14 + 9;
    const IPV6_NEXT_HEADER: u32 = 14 + 6;
    let load = |width, at| instruction(BPF_LD | width | BPF_ABS, 0, 0, at);
    let equals = |value: u32, jt, jf| instruction(BPF_JMP | BPF_JEQ | BPF_K, jt, jf, value);
    [
        load(BPF_H, ETHERTYPE),
        equals(ethernet::VLAN.into(), 8, 0),
        equals(ethernet::SERVICE_VLAN.into(), 7, 0),
        equals(ethernet::IPV4.into(), 0, 3),
        load(BPF_B, IPV4_PROTOCOL),
        equals(PROTOCOL.into(), 4, 0),
        equals(ah::PROTOCOL.into(), 3, 4),
        equals(ethernet::IPV6.into(), 0, 3),
        load(BPF_B, IPV6_NEXT_HEADER),
        equals(PROTOCOL.into(), 0, 1),
        instruction(BPF_RET | BPF_K, 0, 0, u32::MAX),
        instruction(BPF_RET | BPF_K, 0, 0, 0),
    ]
}
