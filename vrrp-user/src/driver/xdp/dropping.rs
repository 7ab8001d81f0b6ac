//! tc filters that drop adverts: those with the action `drop`, and BPF programs that do.
//!
//! Enters: an instance, an interface and a hook of it. Leaves: the filters that match an advert, or may. Their match is
//! computed for flower, matchall and u32. A BPF program is run on a damaged advert (BPF_PROG_TEST_RUN, Linux 4.12).
//! Another kind may match anything. Queries the network namespace of the thread.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use vrrp_ebpf::wire::{Family, PROTOCOL, ethernet, ipv4, ipv6};

use super::getlink::attribute;
use super::syscall::{open_program, test_run};
use crate::config::InstanceSettings;
use crate::driver::netlink::filter::PREFIX;
use crate::driver::socket::advert_of_peer;

const NLMSG_HEADER: usize = 16;
/// `struct tcmsg`.
const TC_HEADER: usize = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// NLM_F_REQUEST and NLM_F_DUMP.
const DUMP: u16 = 0x301;
/// The kernel's longest datagram.
const BUFFER: usize = 64 * 1024;

const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TCA_GACT_PARMS: u16 = 2;
/// `action` in `struct tc_gact`, and its value for drop.
const GACT_ACTION: usize = 8;
const TC_ACT_SHOT: u32 = 2;
/// Actions of one filter (TCA_ACT_MAX_PRIO).
const ACTIONS: u16 = 32;
const ETH_P_ALL: u16 = 3;

/// Offset of the checksum in a VRRP message.
const CHECKSUM: usize = 6;

/// Filters of one hook that are looked at: a switch in software has many thousands, and status must not wait for them.
const FILTERS: usize = 1024;

/// Kind of filters with programs.
const BPF: &str = "bpf";

const TCA_FLOWER_KEY_IP_PROTO: u16 = 9;
/// Attributes of flower that are no condition, or one that is judged: class, actions, ethertype, protocol, flags, count
/// of offloads.
const FLOWER_JUDGED: [u16; 6] = [1, 3, 8, TCA_FLOWER_KEY_IP_PROTO, 22, 86];
const FLOWER_LAST: u16 = 128;

const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_ID: u16 = 11;
/// The program's result is the verdict.
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;

const TCA_U32_SEL: u16 = 5;
/// `struct tc_u32_sel`, with the place of the number of keys, and `struct tc_u32_key`.
const SELECTOR: usize = 16;
const SELECTOR_KEYS: usize = 2;
const KEY: usize = 16;

/// Where on an interface a filter is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TcHook {
    Ingress,
    Egress,
}

impl TcHook {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// TC_H_CLSACT with its minor number, which a qdisc `ingress` takes too.
    const fn parent(self) -> u32 {
        match self {
            Self::Ingress => 0xffff_fff2,
            Self::Egress => 0xffff_fff3,
        }
    }
}

/// A filter that drops adverts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DroppingFilter {
    pub hook: TcHook,
    /// `flower`, `u32`, `matchall`, …
    pub kind: String,
    pub preference: u16,
    pub handle: u32,
    /// It matches every advert; otherwise it depends on something that is not known here.
    pub is_certain: bool,
}

impl fmt::Display for DroppingFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tc filter at {} ({}, pref {})", self.hook.as_str(), self.kind, self.preference)
    }
}

/// An advert, as far as it is known to filters.
#[derive(Debug)]
struct Sample {
    family: Family,
    /// The IP header.
    header: [Option<u8>; 40],
    /// A whole one.
    frame: Option<Vec<u8>>,
}

impl Sample {
    fn of(settings: &InstanceSettings) -> Self {
        let family = settings.family;
        let group = settings.unicast.is_none().then(|| settings.group());
        let host = |last: u8| match family {
            Family::V4 => IpAddr::from([192, 0, 2, last]),
            Family::V6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, last.into()]),
        };
        let peer = settings.unicast.as_ref().and_then(|unicast| unicast.peers.first());
        let peer = peer.map_or(host(1), |peer| peer.address);
        let mut frame = advert_of_peer(settings, peer, settings.source.unwrap_or(host(2)));
        // A program may send copies (`bpf_clone_redirect`), in a test run too: no router accepts one of these.
        let checksum = ethernet::HEADER_LEN + header_len(family) + CHECKSUM;
        if let Some(byte) = frame.as_mut().and_then(|frame| frame.get_mut(checksum)) {
            *byte = !*byte;
        }
        Self { family, header: known(family, group), frame }
    }
}

impl DroppingFilter {
    /// Those at one hook of an interface, for adverts of an instance, in their order: of many the first.
    ///
    /// # Errors
    /// ENODEV: no such interface. EOPNOTSUPP: the kernel has no tc.
    pub fn list(settings: &InstanceSettings, ifindex: u32, hook: TcHook) -> io::Result<Vec<Self>> {
        let netlink = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        send(netlink.as_raw_fd(), &request(ifindex, hook), MsgFlags::empty())?;
        let (mut found, mut bytes, mut is_over) = (Vec::new(), vec![0; BUFFER], false);
        let mut looks = 0;
        let sample = Sample::of(settings);
        while !is_over {
            let length = recv(netlink.as_raw_fd(), &mut bytes, MsgFlags::empty())?;
            for message in messages(bytes.get(..length).unwrap_or_default()) {
                match kind_of(message) {
                    Some(NLMSG_DONE) => is_over = true,
                    Some(NLMSG_ERROR) => {
                        let code = message.get(NLMSG_HEADER..).and_then(word).unwrap_or(0).cast_signed();
                        return Err(io::Error::from_raw_os_error(code.saturating_neg()));
                    }
                    _ if looks == FILTERS => is_over = true,
                    _ => {
                        looks += 1;
                        found.extend(Self::parse(message, hook, &sample));
                    }
                }
            }
        }
        Ok(found)
    }

    /// The command that removes it, and no other one.
    pub fn removal(&self, interface: &str) -> String {
        let Self { hook, preference, handle, .. } = self;
        let of_place = format!("tc filter del dev {interface} {} pref {preference}", hook.as_str());
        if self.kind == BPF { format!("{of_place} handle {handle:#x} bpf") } else { of_place }
    }

    fn parse(message: &[u8], hook: TcHook, sample: &Sample) -> Option<Self> {
        let handle = word(message.get(NLMSG_HEADER + 8..)?)?;
        let info = word(message.get(NLMSG_HEADER + 16..)?)?;
        let [high, low, first, second] = info.to_be_bytes();
        let preference = u16::from_be_bytes([high, low]);
        // In network byte order.
        let protocol = u16::from_be_bytes(u16::from_be_bytes([first, second]).to_ne_bytes());
        let ethertype = match sample.family {
            Family::V4 => ethernet::IPV4,
            Family::V6 => ethernet::IPV6,
        };
        if protocol != ETH_P_ALL && protocol != ethertype {
            return None;
        }
        let attributes = message.get(NLMSG_HEADER + TC_HEADER..)?;
        let kind = attribute(attributes, TCA_KIND)?;
        let kind = String::from_utf8_lossy(kind.strip_suffix(b"\0").unwrap_or(kind)).into_owned();
        let options = attribute(attributes, TCA_OPTIONS)?;
        let has_drop = || {
            let actions = actions_of(&kind).and_then(|actions| attribute(options, actions));
            actions.is_some_and(|all| (1..=ACTIONS).any(|at| attribute(all, at).is_some_and(drops)))
        };
        let is_certain = match &*kind {
            BPF if is_direct(options) => program_drops(options, sample).then_some(true)?,
            _ if !has_drop() => return None,
            "matchall" => true,
            "flower" => flower(options)?,
            "u32" => attribute(options, TCA_U32_SEL).map_or(Some(false), |it| selects(it, &sample.header))?,
            _ => false,
        };
        Some(Self { hook, kind, preference, handle, is_certain })
    }
}

/// Whether the program of a filter is its action too.
fn is_direct(options: &[u8]) -> bool {
    attribute(options, TCA_BPF_FLAGS).and_then(word).is_some_and(|it| it & TCA_BPF_FLAG_ACT_DIRECT != 0)
}

/// Whether a program of others drops the advert; not if the kernel gives no verdict.
fn program_drops(options: &[u8], sample: &Sample) -> bool {
    let is_ours = attribute(options, TCA_BPF_NAME).is_some_and(|name| name.starts_with(PREFIX.as_bytes()));
    let verdict = || {
        let program = open_program(attribute(options, TCA_BPF_ID).and_then(word)?).ok()?;
        test_run(&program, sample.frame.as_ref()?, None::<&()>).ok()
    };
    !is_ours && verdict() == Some(TC_ACT_SHOT)
}

/// The attribute of a kind that has its actions.
fn actions_of(kind: &str) -> Option<u16> {
    Some(match kind {
        BPF => 1,
        "matchall" => 2,
        "basic" | "flower" => 3,
        "fw" => 4,
        "u32" => 7,
        _ => return None,
    })
}

/// Whether an action drops.
fn drops(action: &[u8]) -> bool {
    let verdict = || {
        let options = attribute(action, TCA_ACT_OPTIONS)?;
        word(attribute(options, TCA_GACT_PARMS)?.get(GACT_ACTION..)?)
    };
    attribute(action, TCA_ACT_KIND) == Some(b"gact\0") && verdict() == Some(TC_ACT_SHOT)
}

/// Whether a flower matches each advert; `None`: it matches none.
fn flower(options: &[u8]) -> Option<bool> {
    let protocol = attribute(options, TCA_FLOWER_KEY_IP_PROTO);
    if protocol.is_some_and(|it| it.first() != Some(&PROTOCOL)) {
        return None;
    }
    let is_other = |kind: u16| !FLOWER_JUDGED.contains(&kind) && attribute(options, kind).is_some();
    Some(!(1..=FLOWER_LAST).any(is_other))
}

/// Whether a selector of u32 matches each advert; `None`: it matches none.
fn selects(selector: &[u8], advert: &[Option<u8>]) -> Option<bool> {
    let count = usize::from(*selector.get(SELECTOR_KEYS)?);
    let mut is_certain = true;
    for key in selector.get(SELECTOR..)?.as_chunks::<KEY>().0.iter().take(count) {
        let (mask, value) = (key.get(..4)?, key.get(4..8)?);
        let (at, moving) = (word(key.get(8..)?)?, word(key.get(12..)?)?);
        for (place, (mask, value)) in (usize::try_from(at).ok()?..).zip(mask.iter().zip(value)) {
            match advert.get(place).copied().flatten().filter(|_| moving == 0) {
                _ if *mask == 0 => {}
                Some(byte) if byte & mask != value & mask => return None,
                Some(_) => {}
                None => is_certain = false,
            }
        }
    }
    Some(is_certain)
}

/// The bytes of the IP header that all adverts to a group share.
fn known(family: Family, group: Option<IpAddr>) -> [Option<u8>; 40] {
    let mut header = [None; 40];
    let destination = match group {
        Some(IpAddr::V4(group)) => group.octets().to_vec(),
        Some(IpAddr::V6(group)) => group.octets().to_vec(),
        None => Vec::new(),
    };
    let (fixed, at) = match family {
        Family::V4 => ([(0, 0x45), (9, PROTOCOL)], 16),
        Family::V6 => ([(0, 0x60), (6, PROTOCOL)], 24),
    };
    let bytes = fixed.into_iter().chain((at..).zip(destination));
    for (place, byte) in bytes {
        if let Some(known) = header.get_mut(place) {
            *known = Some(byte);
        }
    }
    header
}

const fn header_len(family: Family) -> usize {
    match family {
        Family::V4 => ipv4::HEADER_LEN,
        Family::V6 => ipv6::HEADER_LEN,
    }
}

fn word(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.first_chunk()?))
}

fn kind_of(message: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(*message.get(4..)?.first_chunk()?))
}

/// The messages of a datagram.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::try_from(word(rest)?).ok().filter(|length| *length >= NLMSG_HEADER)?;
        let message = rest.get(..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

fn request(ifindex: u32, hook: TcHook) -> Vec<u8> {
    const LENGTH: u32 = 36;
    const _: () = assert!(LENGTH as usize == NLMSG_HEADER + TC_HEADER);
    let parts: [&[u8]; 9] = [
        &LENGTH.to_ne_bytes(),
        &libc::RTM_GETTFILTER.to_ne_bytes(),
        &DUMP.to_ne_bytes(),
        &[0; 8],
        &[0; 4],
        &ifindex.to_ne_bytes(),
        &[0; 4],
        &hook.parent().to_ne_bytes(),
        &[0; 4],
    ];
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::super::getlink::written;
    use super::*;
    use crate::protocol::Vrid;

    const GROUP: [u8; 4] = [224, 0, 0, 18];

    fn drop_action() -> Vec<u8> {
        let mut parms = vec![0; 20];
        parms[GACT_ACTION..GACT_ACTION + 4].copy_from_slice(&TC_ACT_SHOT.to_ne_bytes());
        let options = written(TCA_ACT_OPTIONS, &written(TCA_GACT_PARMS, &parms));
        written(1, &[written(TCA_ACT_KIND, b"gact\0"), options].concat())
    }

    fn filter(kind: &str, protocol: u16, options: &[Vec<u8>]) -> Vec<u8> {
        let mut message = vec![0; NLMSG_HEADER + TC_HEADER];
        let info = u32::from(10_u16) << 16 | u32::from(protocol.to_be());
        message[NLMSG_HEADER + 16..NLMSG_HEADER + 20].copy_from_slice(&info.to_ne_bytes());
        message.extend(written(TCA_KIND, format!("{kind}\0").as_bytes()));
        message.extend(written(TCA_OPTIONS, &options.concat()));
        message
    }

    /// Whether the filter drops an advert, and each.
    fn judged(message: &[u8]) -> Option<bool> {
        let sample =
            Sample { family: Family::V4, header: known(Family::V4, Some(GROUP.into())), frame: None };
        let found = DroppingFilter::parse(message, TcHook::Ingress, &sample)?;
        assert_eq!(found.removal("eth0"), "tc filter del dev eth0 ingress pref 10");
        Some(found.is_certain)
    }

    fn key(mask: u32, value: u32, at: u32) -> Vec<u8> {
        [mask.to_be_bytes(), value.to_be_bytes(), at.to_ne_bytes(), [0; 4]].concat()
    }

    #[test]
    fn a_filter_that_matches_adverts_is_found_whatever_its_kind() {
        let flower = |keys: &[Vec<u8>]| {
            let options = [&[written(3, &drop_action())], keys].concat();
            judged(&filter("flower", ethernet::IPV4, &options))
        };
        let protocol = |number: u8| written(TCA_FLOWER_KEY_IP_PROTO, &[number]);
        assert_eq!(flower(&[protocol(PROTOCOL)]), Some(true));
        assert_eq!(flower(&[protocol(6)]), None);
        assert_eq!(flower(&[protocol(PROTOCOL), written(10, &[192, 0, 2, 9])]), Some(false), "of a source");

        let u32_of = |keys: &[Vec<u8>]| {
            let mut selector = vec![0; SELECTOR];
            selector[SELECTOR_KEYS] = u8::try_from(keys.len()).unwrap();
            selector.extend(keys.concat());
            let options = [written(TCA_U32_SEL, &selector), written(7, &drop_action())];
            judged(&filter("u32", ETH_P_ALL, &options))
        };
        let of_protocol = |number: u32| key(0x00ff_0000, number << 16, 8);
        assert_eq!(u32_of(&[of_protocol(112)]), Some(true));
        assert_eq!(u32_of(&[of_protocol(112), key(u32::MAX, u32::from_be_bytes(GROUP), 16)]), Some(true));
        assert_eq!(u32_of(&[of_protocol(6)]), None);
        assert_eq!(u32_of(&[of_protocol(112), key(u32::MAX, 0xc000_0209, 12)]), Some(false), "of a source");

        let matchall = |protocol| judged(&filter("matchall", protocol, &[written(2, &drop_action())]));
        assert_eq!((matchall(ETH_P_ALL), matchall(ethernet::IPV4)), (Some(true), Some(true)));
        assert_eq!(matchall(ethernet::IPV6), None, "another family");
        assert_eq!(judged(&filter("basic", ETH_P_ALL, &[written(3, &drop_action())])), Some(false));
    }

    #[test]
    fn programs_are_run_on_an_advert_with_a_wrong_checksum() {
        for (family, at) in [(Family::V4, 14 + 20 + 6), (Family::V6, 14 + 40 + 6)] {
            let settings = InstanceSettings::new("web", "eth0", Vrid::new(51).unwrap(), family);
            let [peer, own] = match family {
                Family::V4 => ["192.0.2.1", "192.0.2.2"],
                Family::V6 => ["fe80::1", "fe80::2"],
            };
            let whole = advert_of_peer(&settings, peer.parse().unwrap(), own.parse().unwrap()).unwrap();
            let frame = Sample::of(&settings).frame.unwrap();
            let differ: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != frame[*at]).collect();
            assert_eq!((frame.len(), differ), (whole.len(), vec![at]));
        }
    }

    #[test]
    fn a_filter_without_that_action_drops_nothing() {
        let mut passes = drop_action();
        let at = passes.len() - 20 + GACT_ACTION;
        passes[at..at + 4].copy_from_slice(&0_u32.to_ne_bytes());
        assert_eq!(judged(&filter("matchall", ETH_P_ALL, &[written(2, &passes)])), None);
        assert_eq!(judged(&filter("matchall", ETH_P_ALL, &[])), None);
        let whole = filter("matchall", ETH_P_ALL, &[written(2, &drop_action())]);
        for length in 0..whole.len() {
            assert_eq!(judged(&whole[..length]), None, "{length}");
        }
    }
}
