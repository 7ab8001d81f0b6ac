//! Properties of an interface: hardware or software device, its lower interface, and whether VLAN tags reach XDP.
//!
//! Queries the kernel by netlink and ioctl, in the network namespace of the thread. sysfs shows the namespace in which
//! it was mounted: there a veth with the name of a card of the host would pass for that card.

use std::ffi::CStr;
use std::fs;
use std::io;

use super::ethtool::{self, Feature};
use super::getlink::{Description, attribute, number};
use crate::driver::netlink::link::has_ethernet;

const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;

/// Features of a card that removes the tag from a frame, of 802.1Q and of 802.1ad, and passes it on as metadata.
const STRIPS: [&str; 2] = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"];

/// Devices in pairs: IFLA_LINK is the other end, not a lower interface.
const PAIRS: [&str; 3] = ["netkit", "veth", "vxcan"];

/// Drivers that come back from a sleep of the machine without their native program, while the kernel reports it as
/// attached.
const FORGETFUL: &str = "virtio_net";

/// Whether the driver of an interface loses its native program over a sleep of the machine.
pub fn forgets_program(interface: &str) -> bool {
    let driver = fs::read_link(format!("/sys/class/net/{interface}/device/driver"));
    driver.is_ok_and(|driver| driver.file_name().is_some_and(|name| name == FORGETFUL))
}

/// Devices that take the frames which arrive at their ports (`rx_handler` of the kernel): the port itself receives none
/// behind them.
const TAKERS: [&str; 4] = ["bond", "bridge", OPENVSWITCH, "team"];
const OPENVSWITCH: &str = "openvswitch";

/// The device that takes the frames of a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Taker {
    pub name: String,
    /// `bridge`, `bond`, …
    pub kind: String,
}

impl Taker {
    /// For a device of this name and kind; `None` if a device of its kind leaves its ports their frames.
    pub fn new(name: &str, kind: &str) -> Option<Self> {
        TAKERS.contains(&kind).then(|| Self { name: name.to_owned(), kind: kind.to_owned() })
    }

    /// The taker of an interface.
    ///
    /// # Errors
    /// ENODEV: no such interface.
    pub fn of(ifindex: u32) -> io::Result<Option<Self>> {
        let Some(master) = Card::of(ifindex)?.master else { return Ok(None) };
        let description = Description::of(master)?;
        let name = description.attribute(IFLA_IFNAME).and_then(text).unwrap_or_default();
        Ok(Card::parse(master, &description).kind.and_then(|kind| Self::new(&name, &kind)))
    }

    /// What that means for an instance on the port, and what to do.
    pub fn remedy(&self, port: &str) -> (String, String) {
        let Self { name, kind } = self;
        // The device of Open vSwitch is its datapath, which has no addresses.
        let fix = if kind == OPENVSWITCH {
            format!(
                "write `interface` with the bridge that ovs-vsctl port-to-br {port} names, and give it the addresses of \
                 {port}"
            )
        } else {
            format!("write `interface {name}`, and give {name} the addresses of {port}")
        };
        (format!("{port} is a port of the {kind} {name}, which takes the frames that arrive there"), fix)
    }
}

/// An interface of this network namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Card {
    /// Kind of a software device: `veth`, `bridge`, `vlan`, `bond`, …; `None` for hardware and a hypervisor's cards.
    pub kind: Option<String>,
    pub loopback: bool,
    /// Frames begin with an Ethernet header.
    pub ethernet: bool,
    /// Sends and receives multicast frames (IFF_MULTICAST).
    pub multicast: bool,
    /// The other end of a pair, or the lower interface, is in another network namespace.
    pub leads_elsewhere: bool,
    /// The lower interface of a VLAN, a macvlan and the like, if it is in this namespace too.
    pub parent: Option<u32>,
    /// The bridge or bond that this is a port of.
    pub master: Option<u32>,
    /// VLAN tags may be stripped from frames before XDP.
    pub strips_tags: bool,
}

impl Card {
    /// # Errors
    /// ENODEV: no such interface.
    pub fn of(ifindex: u32) -> io::Result<Self> {
        let description = Description::of(ifindex)?;
        let mut card = Self::parse(ifindex, &description);
        if card.is_hardware() {
            let interface = description.attribute(IFLA_IFNAME).and_then(text).unwrap_or_default();
            // A device that does not report it may do so.
            card.strips_tags = ethtool::features(&interface, STRIPS)
                .map_or(true, |features| features.iter().any(|feature| *feature != Feature::Never));
        }
        Ok(card)
    }

    /// Hardware, or a card that a hypervisor shows as hardware.
    pub fn is_hardware(&self) -> bool {
        self.kind.is_none() && !self.loopback
    }

    /// Software devices receive frames from the stack, with the tag as metadata, whatever their features say.
    fn parse(ifindex: u32, description: &Description) -> Self {
        let info = description.attribute(IFLA_LINKINFO);
        let kind = info.and_then(|info| attribute(info, IFLA_INFO_KIND)).and_then(text);
        let is_pair = kind.as_deref().is_some_and(|kind| PAIRS.contains(&kind));
        let leads_elsewhere = description.attribute(IFLA_LINK_NETNSID).is_some();
        let is_here = !is_pair && !leads_elsewhere;
        let below = description.attribute(IFLA_LINK).and_then(number);
        let has = |flag: libc::c_int| description.flags() & flag.cast_unsigned() != 0;
        Self {
            kind,
            loopback: has(libc::IFF_LOOPBACK),
            ethernet: has_ethernet(description.kind()),
            multicast: has(libc::IFF_MULTICAST),
            leads_elsewhere,
            parent: below.filter(|below| is_here && *below != 0 && *below != ifindex),
            master: description.number(IFLA_MASTER),
            strips_tags: true,
        }
    }
}

fn text(payload: &[u8]) -> Option<String> {
    Some(CStr::from_bytes_until_nul(payload).ok()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::getlink::written;
    use super::*;

    const IFINDEX: u32 = 7;

    fn card(flags: i32, attributes: &[Vec<u8>]) -> Card {
        let mut bytes = vec![0; 32];
        bytes[4..6].copy_from_slice(&libc::RTM_NEWLINK.to_ne_bytes());
        bytes[24..28].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend(attributes.concat());
        Card::parse(IFINDEX, &Description::parse(bytes).unwrap())
    }

    fn kind(name: &str) -> Vec<u8> {
        written(IFLA_LINKINFO, &written(IFLA_INFO_KIND, format!("{name}\0").as_bytes()))
    }

    fn link(ifindex: u32) -> Vec<u8> {
        written(IFLA_LINK, &ifindex.to_ne_bytes())
    }

    #[test]
    fn hardware_has_no_kind_and_is_not_the_loopback() {
        let hardware = card(libc::IFF_UP, &[written(IFLA_IFNAME, b"eth0\0")]);
        assert!(hardware.is_hardware());
        assert_eq!((hardware.kind, hardware.parent, hardware.master), (None, None, None));
        assert!(!card(libc::IFF_UP | libc::IFF_LOOPBACK, &[]).is_hardware());
        assert!(!card(libc::IFF_UP, &[kind("bond")]).is_hardware());
    }

    #[test]
    fn tunnels_have_no_ethernet_header() {
        for (kind, ethernet) in [
            (libc::ARPHRD_ETHER, true),
            (libc::ARPHRD_LOOPBACK, true),
            (libc::ARPHRD_NONE, false),
            (libc::ARPHRD_PPP, false),
            (libc::ARPHRD_TUNNEL, false),
            (libc::ARPHRD_IPGRE, false),
            (libc::ARPHRD_INFINIBAND, false),
        ] {
            let mut bytes = vec![0; 32];
            bytes[4..6].copy_from_slice(&libc::RTM_NEWLINK.to_ne_bytes());
            bytes[18..20].copy_from_slice(&kind.to_ne_bytes());
            let card = Card::parse(IFINDEX, &Description::parse(bytes).unwrap());
            assert_eq!(card.ethernet, ethernet, "{kind}");
        }
    }

    #[test]
    fn only_a_parent_of_this_namespace_is_one() {
        let elsewhere = written(IFLA_LINK_NETNSID, &0_i32.to_ne_bytes());
        for (name, attributes, parent) in [
            ("vlan", vec![link(3)], Some(3)),
            ("macvlan", vec![link(3), elsewhere.clone()], None),
            ("veth", vec![link(3)], None),
            ("veth", vec![link(3), elsewhere], None),
            ("gre", vec![link(0)], None),
            ("bridge", vec![link(IFINDEX)], None),
        ] {
            let card = card(0, &[attributes, vec![kind(name)]].concat());
            assert_eq!((card.kind.as_deref(), card.parent), (Some(name), parent));
        }
        assert_eq!(card(0, &[written(IFLA_MASTER, &9_u32.to_ne_bytes())]).master, Some(9));
    }

    #[test]
    fn a_bridge_takes_the_frames_of_its_ports_and_a_vrf_does_not() {
        assert_eq!(Taker::new("vrf1", "vrf"), None);
        let (text, fix) = Taker::new("br0", "bridge").unwrap().remedy("eth0");
        assert_eq!(text, "eth0 is a port of the bridge br0, which takes the frames that arrive there");
        assert_eq!(fix, "write `interface br0`, and give br0 the addresses of eth0");
        let (_, fix) = Taker::new("ovs-system", "openvswitch").unwrap().remedy("eth0");
        assert!(fix.contains("ovs-vsctl port-to-br eth0") && !fix.contains("ovs-system"), "{fix}");
    }

    #[test]
    fn an_interface_that_is_not_there_is_reported() {
        assert_eq!(Card::of(u32::MAX >> 1).unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }
}
