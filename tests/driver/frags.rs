//! Frames whose headers are not in the first buffer: drivers with `napi_gro_frags` put no more than Ethernet there, and
//! so does a packet socket that sends a long frame.

use std::net::IpAddr;
use std::os::fd::AsRawFd;

use vrrp_ebpf::map::{Counter, InstanceKey, InstanceRules, LeaseKey};
use vrrp_ebpf::wire::address::widen;
use vrrp_ebpf::wire::{Family, ethernet};
use vrrp_tests::packet::{V3_IPV4, V3_IPV6, VRID, address_request, advert};
use vrrp_tests::{FIRST, SECOND, needs};
use vrrp_user::driver::xdp::{Mode, Program};
use vrrp_user::protocol::InstanceId;

use crate::cable::{Cable, eventually, packet_socket};

/// Longer than a page: shorter frames are sent in one buffer.
const LENGTH: usize = 5000;

/// `struct virtio_net_hdr`, which precedes each frame and says how much of it is in the first buffer.
fn header(in_first: usize) -> [u8; 10] {
    let mut header = [0; 10];
    header[2..4].copy_from_slice(&u16::try_from(in_first).unwrap().to_ne_bytes());
    header
}

/// The release of the kernel.
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Sends frames from the right end.
fn send(cable: &Cable, frames: &[Vec<u8>]) {
    let work = || {
        let socket = packet_socket(false)?;
        let on: libc::c_int = 1;
        // SAFETY: the value lives across the call and has the given length.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_VNET_HDR,
                (&raw const on).cast(),
                u32::try_from(size_of_val(&on))?,
            )
        };
        anyhow::ensure!(result == 0, "PACKET_VNET_HDR: {}", std::io::Error::last_os_error());
        for frame in frames {
            let mut bytes = [&header(ethernet::HEADER_LEN), &frame[..]].concat();
            bytes.resize(header(0).len() + LENGTH, 0);
            nix::unistd::write(&socket, &bytes)?;
        }
        Ok(())
    };
    cable.right.enter(work).unwrap();
}

#[test]
#[needs("root", "ip")]
fn headers_beyond_the_first_buffer_are_read() {
    let cable = Cable::new();
    for end in [&cable.left, &cable.right] {
        end.ip("link set eth0 mtu 9000").unwrap();
    }
    let ifindex = cable.ifindex();
    let target: IpAddr = "fe80::100".parse().unwrap();
    let mut program = Program::load(3).unwrap();
    program.reach(3).unwrap();
    for (slot, (dialect, own)) in InstanceId::all().zip([(V3_IPV4, "192.0.2.7"), (V3_IPV6, "fe80::7")]) {
        let source = widen(own.parse::<IpAddr>().unwrap());
        let rules = InstanceRules { version: 3, source, ..InstanceRules::UNUSED };
        program.maps().set_slot(slot, &rules);
        program.insert(InstanceKey::new(ifindex, 0, dialect.family(), VRID), slot).unwrap();
    }
    let key = LeaseKey { ifindex, family: Family::V6 as u32, address: widen(target) };
    program.fence(key, InstanceId(2)).unwrap();
    for mode in [Mode::Tcx, Mode::Tc] {
        let attached = cable.left.enter(|| Ok(program.attach(ifindex, "eth0", mode).map(drop))).unwrap();
        if let Err(error) = attached {
            // tcx: Linux 6.6.
            assert!(mode == Mode::Tcx && kernel() < (6, 6), "{mode:?}: {error}");
            continue;
        }
        let counted = |slot, counter| program.maps().counters(Some(slot)).counter(counter);
        let before = [FIRST, SECOND].map(|slot| counted(slot, Counter::Event));
        let fenced = counted(InstanceId(2), Counter::Fenced);
        let frames = [advert(V3_IPV4, 1).build(), advert(V3_IPV6, 20).build(), address_request(target, &[])];
        send(&cable, &frames);
        eventually(|| counted(InstanceId(2), Counter::Fenced) == fenced + 1);
        for (slot, before) in InstanceId::all().zip(before) {
            assert_eq!(counted(slot, Counter::Event), before + 1, "{mode:?}, {slot:?}");
        }
        let detach = || {
            program.detach(ifindex);
            Ok(())
        };
        cable.left.enter(detach).unwrap();
    }
}
