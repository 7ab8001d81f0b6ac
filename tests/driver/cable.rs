//! Two namespaces connected by a cable, and observation of its right end.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;
use vrrp_ebpf::wire::Family;
use vrrp_tests::clock::until;
use vrrp_tests::netns::Namespace;
use vrrp_user::config::{Addresses, InstanceSettings, VirtualAddress};
use vrrp_user::protocol::Vrid;

pub(crate) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Longer than any step here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Long enough to show that nothing arrives.
pub(crate) const SILENCE: Duration = Duration::from_millis(200);

pub(crate) struct Cable {
    pub(crate) left: Namespace,
    pub(crate) right: Namespace,
}

impl Cable {
    /// `eth0` in both namespaces, up, with link-local addresses only.
    pub(crate) fn new() -> Self {
        let left = Namespace::new("left").unwrap();
        let right = Namespace::new("right").unwrap();
        left.ip(&format!(
            "link add eth0 address 02:00:00:00:00:01 type veth peer name eth0 address 02:00:00:00:00:02 netns {}\n\
             link set eth0 up",
            right.name()
        ))
        .unwrap();
        right.ip("link set eth0 up").unwrap();
        let cable = Self { left, right };
        cable.settle();
        cable
    }

    /// Waits for both ends: a link comes up a moment after its other end, and drops frames until then.
    pub(crate) fn settle(&self) {
        eventually(|| [&self.left, &self.right].iter().all(|namespace| is_ready(namespace)));
    }

    /// Addresses at the left end, as `ip` prints them.
    pub(crate) fn addresses(&self, interface: &str) -> Vec<Value> {
        let shown = self.left.run("ip", &["-j", "addr", "show", "dev", interface]).unwrap();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown[0]["addr_info"].as_array().unwrap().clone()
    }

    pub(crate) fn has(&self, interface: &str, address: &str) -> bool {
        self.addresses(interface).iter().any(|shown| shown["local"] == address)
    }

    /// Index of `eth0` at the left end.
    pub(crate) fn ifindex(&self) -> u32 {
        self.left.enter(ifindex).unwrap()
    }
}

fn is_ready(namespace: &Namespace) -> bool {
    let link = namespace.run("ip", &["-j", "link", "show", "dev", "eth0"]).unwrap();
    let link: Value = serde_json::from_str(&link).unwrap();
    link[0]["operstate"] == "UP" && link[0]["qdisc"] != "noop"
}

/// Index of `eth0` in the namespace of the calling thread.
pub(crate) fn ifindex() -> Result<u32> {
    Ok(nix::net::if_::if_nametoindex("eth0")?)
}

/// Receives every frame that arrives at `eth0` of a namespace.
pub(crate) struct Tap(OwnedFd);

impl Tap {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        namespace.enter(|| Ok(Self(packet_socket(true)?))).unwrap()
    }

    /// The next frame for which `wanted` returns a value.
    pub(crate) fn next<T>(&self, wanted: impl Fn(&[u8]) -> Option<T>) -> T {
        self.next_within(PATIENCE, wanted).expect("the frame has arrived")
    }

    pub(crate) fn next_within<T>(&self, span: Duration, wanted: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        #[expect(clippy::disallowed_methods, reason = "the test's own time limit")]
        let end = Instant::now() + span;
        loop {
            #[expect(clippy::disallowed_methods, reason = "as above")]
            let left = end.saturating_duration_since(Instant::now());
            if !readable(&self.0, left) {
                return None;
            }
            let mut frame = [0; 2048];
            let length = nix::unistd::read(&self.0, &mut frame).unwrap();
            if let Some(found) = wanted(&frame[..length]) {
                return Some(found);
            }
        }
    }
}

/// Sends frames as they are.
pub(crate) fn inject(namespace: &Namespace, frames: &[Vec<u8>]) {
    namespace
        .enter(|| {
            let socket = packet_socket(false)?;
            for frame in frames {
                nix::unistd::write(&socket, frame)?;
            }
            Ok(())
        })
        .unwrap();
}

/// Whether `fd` becomes readable within the span.
pub(crate) fn readable(fd: impl AsFd, span: Duration) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::try_from(span).unwrap()).unwrap() > 0
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn eventually(condition: impl Fn() -> bool) {
    until("the condition", PATIENCE, condition).unwrap();
}

pub(crate) fn packet_socket(receive: bool) -> io::Result<OwnedFd> {
    let protocol = if receive { u16::try_from(libc::ETH_P_ALL).unwrap().to_be() } else { 0 };
    // SAFETY: takes numbers only; the descriptor has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)) };
    // SAFETY: an address of zeros is valid, and it lives across the call.
    let bound = unsafe {
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
        address.sll_protocol = protocol;
        address.sll_ifindex = i32::try_from(ifindex().unwrap()).unwrap();
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            u32::try_from(size_of_val(&address)).unwrap(),
        )
    };
    if bound == 0 { Ok(socket) } else { Err(io::Error::last_os_error()) }
}

/// Version 3, VRID 51, one advert per second, these addresses.
pub(crate) fn settings(addresses: &[&str]) -> InstanceSettings {
    let advertised: Vec<_> = addresses.iter().map(|address| virtual_address(address)).collect();
    let v4 = advertised.first().is_none_or(|address| address.address.is_ipv4());
    InstanceSettings {
        addresses: Arc::new(Addresses { advertised, excluded: Vec::new() }),
        higher_prio_send_advert: Some(false),
        ..InstanceSettings::new(
            "one",
            "eth0",
            Vrid::new(51).unwrap(),
            if v4 { Family::V4 } else { Family::V6 },
        )
    }
}

/// A virtual address as the configuration makes it of `ADDRESS[/PREFIX]`.
pub(crate) fn virtual_address(text: &str) -> VirtualAddress {
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().unwrap();
    let whole = if address.is_ipv4() { 32 } else { 128 };
    VirtualAddress::new(address, prefix.parse().unwrap_or(whole))
}
