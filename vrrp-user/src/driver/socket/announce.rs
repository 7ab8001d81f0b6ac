//! Gratuitous ARP and unsolicited neighbour advertisements.
//!
//! Enters: an address, and the interface and MAC where it is now reachable. Leaves: one frame to all hosts on the link,
//! all frames of a batch by one `sendmmsg`.

use std::io;
use std::mem::zeroed;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use libc::{c_int, sockaddr_ll};
use vrrp_ebpf::wire::arp::{self, ArpRepr};
use vrrp_ebpf::wire::ethernet::Mac;
use vrrp_ebpf::wire::ndisc::{self, AnnouncementRepr};

use super::batch::Batch;
use super::option::{set_buffer, socket};
use crate::protocol::InstanceId;

/// Room for 2000 frames sent at once.
const SEND_BUFFER: c_int = 4 << 20;

/// Frames of a send: more of them take memory, and save little.
const BATCH: usize = 128;

/// The interface and MAC of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Station {
    pub ifindex: u32,
    pub mac: [u8; 6],
    /// Forwards IPv6 (the R flag of neighbour advertisements).
    pub router: bool,
}

#[derive(Debug)]
pub struct Announcer {
    socket: OwnedFd,
    batch: Batch<(InstanceId, IpAddr), sockaddr_ll, ()>,
}

impl Announcer {
    /// Sends in the network namespace of the calling thread, and receives nothing.
    ///
    /// # Errors
    /// CAP_NET_RAW is missing.
    pub fn open() -> io::Result<Self> {
        let socket = socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        set_buffer(socket.as_fd(), libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, SEND_BUFFER)?;
        Ok(Self { socket, batch: Batch::new() })
    }

    /// Queues one announcement of an address: an ARP request for the address itself (RFC 5227 §3), or an unsolicited
    /// neighbour advertisement with the override flag (RFC 4861 §7.2.6).
    pub fn queue(&mut self, instance: InstanceId, station: Station, address: IpAddr) {
        let tag = (instance, address);
        let mac = Mac(station.mac);
        // Both frames fit the room allocated for them.
        match address {
            IpAddr::V4(address) => {
                let room = self.batch.push(tag, name(station, libc::ETH_P_ARP), (), arp::FRAME_LEN);
                let _ = ArpRepr::announcement(mac, address).emit_frame(room);
            }
            IpAddr::V6(target) => {
                // RFC 4861 §4.4 requires an address of the interface; keepalived chooses the same.
                let source = target;
                let announcement = AnnouncementRepr { mac, source, target, router: station.router };
                let room = self.batch.push(tag, name(station, libc::ETH_P_IPV6), (), ndisc::FRAME_LEN);
                let _ = announcement.emit_frame(room);
            }
        }
    }

    /// Whether the queue is long enough to be sent.
    pub fn is_full(&self) -> bool {
        self.batch.len() >= BATCH
    }

    /// Sends the queue and reports the outcome of each frame: an interface that is down (ENETDOWN) or gone (ENXIO), a
    /// full queue (EAGAIN, ENOBUFS).
    pub fn flush(&mut self, mut outcome: impl FnMut(InstanceId, IpAddr, Result<(), i32>)) {
        self.batch
            .flush(self.socket.as_fd(), |(instance, address), result| outcome(instance, address, result));
    }
}

fn name(station: Station, protocol: c_int) -> sockaddr_ll {
    // SAFETY: an address of zeros is valid.
    let mut name: sockaddr_ll = unsafe { zeroed() };
    name.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or(0);
    name.sll_protocol = u16::try_from(protocol).unwrap_or(0).to_be();
    name.sll_ifindex = i32::try_from(station.ifindex).unwrap_or(0);
    // The frame carries its own Ethernet header.
    name.sll_halen = 6;
    name
}
