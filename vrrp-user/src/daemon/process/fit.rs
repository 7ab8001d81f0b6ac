//! Mismatches of a configuration and the host: missing interfaces, addresses outside of all subnets of their interface,
//! addresses of the host itself.
//!
//! Enters: a configuration. Leaves: lines for the operator. The daemon runs all the same: an interface may come later,
//! and a virtual address may have a subnet of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use vrrp_ebpf::wire::Family;

use crate::config::{Config, InstanceSettings, Route, Rule, VirtualAddress};
use crate::driver::netlink::address;
use crate::driver::netlink::link::Link;
use crate::driver::netlink::origin;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::netlink::table::Address;
use crate::driver::sysctl;
use crate::driver::xdp::Taker;
use crate::protocol::{Priority, TrackId, Weight};

/// Least MTU of an interface with IPv6 (RFC 8200 §5).
pub(crate) const MTU_V6: u32 = 1280;

/// Interfaces and addresses of this host.
#[derive(Debug, Default)]
pub struct Host {
    /// Names by index.
    pub links: Vec<(u32, String)>,
    pub addresses: Vec<Address>,
    /// Interfaces with an MTU that is too small for IPv6, and that MTU.
    pub small: BTreeMap<String, u32>,
    /// Ethernet interfaces on which ARP is turned off.
    pub arpless: BTreeSet<String>,
    /// Of the instances: ports, each with the device that takes its frames.
    pub ports: BTreeMap<String, Taker>,
    /// Of the instances: interfaces on which IPv6 is turned off.
    pub v6_off: BTreeSet<String>,
}

/// By interface and whether it is IPv4: the first address outside of its subnets, and the number of further ones.
type Outside = BTreeMap<(Arc<str>, bool), (String, usize)>;

/// One finding about a configuration on this host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostFinding {
    pub text: String,
    /// An instance whose own interface is missing: it is in Fault.
    pub is_lacking: bool,
}

/// Compares a configuration with the interfaces and addresses of this host.
pub fn findings(config: &Config) -> Vec<HostFinding> {
    let other = |text| HostFinding { text, is_lacking: false };
    match Host::read_for(config) {
        Ok(host) => {
            let lacking = host.lacks_interfaces_of(config).into_iter();
            let lacking = lacking.map(|text| HostFinding { text, is_lacking: true });
            let unfit = host.unfit(config).into_iter().map(|(text, fix)| format!("{text}; {fix}"));
            lacking.chain(unfit.chain(host.host_findings(config)).map(other)).collect()
        }
        Err(error) => vec![other(format!("cannot read the interfaces of this host: {error}"))],
    }
}

/// Kinds of devices that resolve neighbours, as cards do, unless ARP is turned off.
pub const RESOLVING: [&str; 7] = ["veth", "vlan", "bond", "bridge", "team", "macvlan", "hsr"];

impl Host {
    /// # Errors
    /// The kernel could not be queried.
    pub fn read() -> io::Result<Self> {
        let mut socket = RouteSocket::open()?;
        let links = Link::list(&mut socket)?;
        let small = links.iter().filter(|link| link.mtu < MTU_V6).map(|link| (link.name.clone(), link.mtu));
        let is_arpless = |link: &&Link| {
            let is_like_a_card = link.kind.as_deref().is_none_or(|kind| RESOLVING.contains(&kind));
            link.hardware.is_some() && link.mac.is_none() && is_like_a_card
        };
        let (small, arpless) = (small.collect(), links.iter().filter(is_arpless));
        let arpless = arpless.map(|link| link.name.clone()).collect();
        let links = links.into_iter().map(|link| (link.ifindex, link.name)).collect();
        let mut addresses = Vec::new();
        address::list(&mut socket, |address| addresses.push(address))?;
        Ok(Self { links, addresses, small, arpless, ..Self::default() })
    }

    /// As [`Self::read`], with the addresses of this configuration marked that VRRP has set, also on a kernel that does
    /// not report that.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_for(config: &Config) -> io::Result<Self> {
        let mut host = Self::read()?;
        let settings = config.instances.iter().map(|instance| &instance.settings);
        let virtual_ones = settings.filter(|it| it.priority != Priority::OWNER);
        let named: BTreeSet<IpAddr> =
            virtual_ones.flat_map(|it| it.addresses.all().map(|address| address.address)).collect();
        origin::infer(&mut host.addresses, |it| named.contains(&it.address));
        let used: BTreeSet<&str> = config.instances.iter().map(|it| &*it.settings.interface).collect();
        for (index, name) in host.links.iter().filter(|(_, name)| used.contains(&**name)) {
            // One that has gone meanwhile is no port.
            let taker = Taker::of(*index).ok().flatten();
            host.ports.extend(taker.map(|taker| (name.clone(), taker)));
            let is_off = sysctl::is_v6_off(name);
            host.v6_off.extend(is_off.then(|| name.clone()));
        }
        Ok(host)
    }

    /// Addresses on the interface of this name.
    pub fn of(&self, interface: &str) -> Vec<Address> {
        let index = self.index(interface);
        self.addresses.iter().filter(|it| Some(it.ifindex) == index).copied().collect()
    }

    /// Instances whose own interface is missing.
    pub fn lacks_interfaces_of(&self, config: &Config) -> Vec<String> {
        let settings = config.instances.iter().map(|instance| &instance.settings);
        let lacking = settings.filter(|it| !it.interface.is_empty() && self.index(&it.interface).is_none());
        lacking
            .map(|it| {
                format!(
                    "vrrp_instance {}: interface {} not found: the instance stays in FAULT until it appears{}",
                    it.name,
                    it.interface,
                    group_of(config, it)
                )
            })
            .collect()
    }

    /// Interfaces that an instance cannot work on as they are set, each with what to do.
    pub fn unfit(&self, config: &Config) -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        for settings in config.instances.iter().map(|instance| &instance.settings) {
            let InstanceSettings { name, interface, family, .. } = &**settings;
            if let Some(taker) = self.ports.get(&**interface) {
                let (what, fix) = taker.remedy(interface);
                let effect = "the stack of this host receives nothing on it";
                found.insert((format!("vrrp_instance {name}: {what}: {effect}"), fix));
            }
            if *family == Family::V6 && self.v6_off.contains(&**interface) {
                let text = format!(
                    "vrrp_instance {name}: IPv6 is off on {interface} (disable_ipv6), so that it stays in FAULT"
                );
                found.insert((text, sysctl::v6_on(interface)));
            }
            if let (Family::V6, Some(mtu)) = (family, self.small.get(&**interface)) {
                let text = format!(
                    "vrrp_instance {name}: {interface} has MTU {mtu}, and IPv6 needs {MTU_V6}: the kernel has no IPv6 \
                     there, so that it stays in FAULT"
                );
                found.insert((text, format!("ip link set {interface} mtu 1500")));
            }
            if *family == Family::V4 && self.arpless.contains(&**interface) {
                let text = format!(
                    "vrrp_instance {name}: ARP is off on {interface}: no request for its addresses is answered"
                );
                found.insert((text, format!("ip link set {interface} arp on")));
            }
        }
        found
    }

    /// All other findings, each once.
    pub fn host_findings(&self, config: &Config) -> Vec<String> {
        let mut lines = BTreeSet::new();
        lines.extend(self.lacks_tracked(config).map(|(_, line)| line));
        for (device, address) in
            config.statics.addresses.iter().filter(|(device, _)| self.index(device).is_none())
        {
            let address = address.address;
            lines.insert(format!("static_ipaddress {address}: interface {device} not found"));
        }
        let mut outside = Outside::new();
        for settings in config.instances.iter().map(|instance| &instance.settings) {
            for address in settings.addresses.all() {
                lines.extend(self.finding_of(settings, address, &mut outside));
            }
            lines.extend(self.lacks_source_of(settings));
        }
        lines.extend(outside.into_values().map(|(line, more)| match more {
            0 => line,
            more => format!("{line} (and {more} more)"),
        }));
        lines.extend(self.lacks_of_paths(config));
        lines.into_iter().collect()
    }

    /// Those of the findings that keep an instance in FAULT.
    pub fn faults(&self, config: &Config) -> BTreeSet<String> {
        let settings = || config.instances.iter().map(|it| &it.settings);
        let fails = |id: &TrackId| {
            let mut tracks = settings().flat_map(|it| &it.tracks);
            tracks.any(|track| track.id == *id && track.weight == Weight(0) && !track.reverse)
        };
        let tracked = self.lacks_tracked(config).filter(|(id, _)| fails(id)).map(|(_, line)| line);
        settings().filter_map(|it| self.lacks_source_of(it)).chain(tracked).collect()
    }

    /// Tracked interfaces that are missing, each with its line.
    fn lacks_tracked<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = (TrackId, String)> + 'a {
        let missing = config.tracked_interfaces.iter().filter(|(_, name)| self.index(name).is_none());
        missing.map(|(id, name)| {
            (*id, format!("track_interface: interface {name} not found: it counts as down"))
        })
    }

    /// Missing interfaces of routes and rules, apart from those that instances make, or are reported for.
    fn lacks_of_paths(&self, config: &Config) -> Vec<String> {
        let settings = || config.instances.iter().map(|instance| &instance.settings);
        let made = settings().flat_map(|it| it.vmacs.all()).map(|vmac| vmac.name.as_arc());
        let known: BTreeSet<&Arc<str>> = made.chain(settings().map(|it| &it.interface)).collect();
        let is_missing = |device: &&Arc<str>| self.index(device).is_none() && !known.contains(device);
        let of_routes = |place: &str, routes: &[Route]| -> Vec<String> {
            let hops = routes.iter().flat_map(|route| route.hops.iter().map(move |hop| (route, hop)));
            let devices =
                hops.filter_map(|(route, hop)| Some((route, hop.device.as_ref().filter(is_missing)?)));
            let line = |(route, device): (&Route, &Arc<str>)| {
                let (address, prefix) = route.destination;
                format!(
                    "{place}: interface {device} of the route to {address}/{prefix} not found: it is set when that appears"
                )
            };
            devices.map(line).collect()
        };
        let of_rules = |place: &str, rules: &[Rule]| -> Vec<String> {
            let devices = rules.iter().flat_map(|rule| {
                let both = rule.input.iter().chain(&rule.output).filter(is_missing);
                both.map(move |device| (rule.preference, device))
            });
            let line = |(preference, device): (u32, &Arc<str>)| {
                format!(
                    "{place}: interface {device} of rule {preference} not found: it matches nothing until that appears"
                )
            };
            devices.map(line).collect()
        };
        let of_instances = settings().flat_map(|it| {
            let place = format!("vrrp_instance {}", it.name);
            [of_routes(&place, &it.routes), of_rules(&place, &it.rules)].concat()
        });
        let statics = [
            of_routes("static_routes", &config.statics.routes),
            of_rules("static_rules", &config.statics.rules),
        ];
        of_instances.chain(statics.concat()).collect()
    }

    /// An instance without its interface is reported as that.
    fn lacks_source_of(&self, settings: &InstanceSettings) -> Option<String> {
        let source = settings.source?;
        let is_here = self.addresses.iter().any(|own| own.address == source);
        let is_known = settings.interface.is_empty() || self.index(&settings.interface).is_some();
        let has_vmacs = settings.vmacs.own.is_some();
        (!is_here && is_known && !has_vmacs).then(|| {
            format!(
                "vrrp_instance {}: its source address {source} is on no interface: it stays in FAULT until that appears",
                settings.name
            )
        })
    }

    /// The finding about one address; one outside of all subnets goes to `outside`.
    fn finding_of(
        &self,
        settings: &InstanceSettings,
        address: &VirtualAddress,
        outside: &mut Outside,
    ) -> Option<String> {
        let (name, it) = (&settings.name, address.address);
        let has_vmacs = settings.vmacs.own.is_some() || !settings.vmacs.further.is_empty();
        // Interfaces with virtual MAC addresses are made at the start.
        let device = if has_vmacs { &settings.interface } else { settings.device_of(address) };
        let Some(index) = self.index(device) else {
            return (device != &settings.interface && !device.is_empty())
                .then(|| format!("vrrp_instance {name}: interface {device} for {it} not found"));
        };
        let own = self.addresses.iter().find(|own| own.address == it && !own.marked);
        if let Some(own) = own.filter(|_| settings.priority != Priority::OWNER) {
            let holder = self.links.iter().find(|(index, _)| *index == own.ifindex);
            let holder = holder.map_or("an interface", |(_, name)| name);
            return Some(format!(
                "vrrp_instance {name}: {it} is on {holder} already, and VRRP has not set it: if it is this host's own, write \
                 priority 255; a backup removes it"
            ));
        }
        let subnets = || {
            let is_subnet = |own: &&Address| {
                own.ifindex == index
                    && !own.marked
                    && own.peer.is_none()
                    && own.address.is_ipv4() == it.is_ipv4()
            };
            self.addresses.iter().filter(is_subnet).filter(|own| !is_link_local(own.address))
        };
        let is_outside = subnets().next().is_some()
            && !is_link_local(it)
            && !it.is_multicast()
            && !subnets().any(|own| is_within(it, own.address, own.prefix));
        if is_outside {
            let first = outside.entry((Arc::clone(device), it.is_ipv4()));
            first.and_modify(|(_, more)| *more += 1).or_insert_with(|| {
                let subnets: Vec<String> =
                    subnets().map(|own| format!("{}/{}", own.address, own.prefix)).collect();
                let line = format!(
                    "vrrp_instance {name}: {it} is in no subnet of {device}, which has {}: clients there reach it only \
                     by a route",
                    subnets.join(", ")
                );
                (line, 0)
            });
        }
        None
    }

    fn index(&self, name: &str) -> Option<u32> {
        self.links.iter().find(|(_, other)| other == name).map(|(index, _)| *index)
    }
}

/// Text about the sync group of an instance in Fault.
fn group_of(config: &Config, settings: &InstanceSettings) -> String {
    let id = config.instances.iter().find(|it| it.settings.name == settings.name).map(|it| it.id);
    let group = config.groups.iter().find(|group| id.is_some_and(|id| group.settings.members.contains(&id)));
    group.map_or_else(String::new, |group| {
        format!(
            "; its sync group {} starts in FAULT with it, and after a reload goes on without it",
            group.settings.name
        )
    })
}

/// A virtual link-local address has, by rule, the subnet that every interface has.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn is_within(address: IpAddr, subnet: IpAddr, prefix: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(it) => u128::from(u32::from(it)) << 96,
        IpAddr::V6(it) => u128::from(it),
    };
    let prefix = u32::from(prefix);
    let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix)).unwrap_or(0);
    bits(address) & mask == bits(subnet) & mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn host() -> Host {
        let address = |ifindex, text: &str, marked| {
            let (address, prefix) = text.split_once('/').unwrap();
            let (address, prefix) = (address.parse().unwrap(), prefix.parse().unwrap());
            Address { ifindex, address, prefix, peer: None, secondary: false, usable: true, marked }
        };
        Host {
            links: vec![(1, "lo".into()), (2, "eth0".into()), (3, "eth1".into())],
            addresses: vec![
                address(1, "127.0.0.1/8", false),
                address(2, "192.0.2.10/24", false),
                address(2, "192.0.2.20/24", true),
                address(2, "2001:db8::10/64", false),
                address(2, "fe80::1/64", false),
            ],
            ..Host::default()
        }
    }

    fn instance(lines: &str, addresses: &str) -> Config {
        let text = format!(
            "vrrp_instance web {{\ninterface eth0\nvirtual_router_id 1\n{lines}\nvirtual_ipaddress {{\n{addresses}\n}}\n}}\n"
        );
        parse("t", &text).unwrap().config
    }

    #[test]
    fn what_fits_is_not_reported() {
        for (lines, addresses) in [
            ("", "192.0.2.20/24\n192.0.2.21/32\n198.51.100.1 dev eth1"),
            ("", "fe80::9/64\n2001:db8::9/64"),
            ("priority 255", "192.0.2.10/24"),
            ("use_vmac\ntrack_interface {\neth1\n}", "192.0.2.21/24"),
            ("use_vmac v9\nvirtual_routes {\n198.51.100.0/24 via 192.0.2.254 dev v9\n}", "192.0.2.21/24"),
            ("virtual_rules {\nfrom 192.0.2.21 iif eth1 table 100 preference 6\n}", "192.0.2.21/24"),
        ] {
            let config = instance(lines, addresses);
            assert_eq!(host().host_findings(&config), [""; 0], "{lines} {addresses}");
            assert_eq!(host().lacks_interfaces_of(&config), [""; 0]);
        }
    }

    #[test]
    fn a_small_mtu_and_arp_that_is_off_are_reported_for_the_family_that_needs_them() {
        let small = [("eth0".to_owned(), 1200)].into();
        let host = Host { small, arpless: ["eth0".to_owned()].into(), ..host() };
        let of = |addresses: &str| host.unfit(&instance("", addresses)).into_iter().collect::<Vec<_>>();
        let found = of("fe80::9/64");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0.contains("eth0 has MTU 1200, and IPv6 needs 1280"), "{found:?}");
        assert_eq!(found[0].1, "ip link set eth0 mtu 1500");
        let found = of("192.0.2.21/24");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0.contains("ARP is off on eth0"), "{found:?}");
        assert_eq!(found[0].1, "ip link set eth0 arp on");
        assert!(Host::default().unfit(&instance("", "fe80::9/64")).is_empty());
    }

    #[test]
    fn addresses_outside_of_the_subnets_are_one_line_for_an_interface() {
        let config = instance("", "192.0.3.1/24\n192.0.3.2/24\n192.0.2.21/24");
        let found = host().host_findings(&config);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("vrrp_instance web: 192.0.3.1 is in no subnet of eth0"), "{found:?}");
        assert!(found[0].ends_with(" (and 1 more)"), "{found:?}");
    }

    #[test]
    fn what_does_not_fit_is_reported() {
        let none = |what: &str| format!("vrrp_instance web: interface {what} not found");
        for (lines, addresses, expected) in [
            (
                "",
                "192.0.3.1/24",
                "vrrp_instance web: 192.0.3.1 is in no subnet of eth0, which has 192.0.2.10/24: clients there reach it only by \
                 a route"
                    .to_owned(),
            ),
            (
                "use_vmac",
                "2001:db8:1::1/64",
                "vrrp_instance web: 2001:db8:1::1 is in no subnet of eth0, which has 2001:db8::10/64: clients there reach \
                 it only by a route"
                    .to_owned(),
            ),
            (
                "",
                "192.0.2.10/24",
                "vrrp_instance web: 192.0.2.10 is on eth0 already, and VRRP has not set it: if it is this host's own, \
                 write priority 255; a backup removes it"
                    .to_owned(),
            ),
            ("", "192.0.2.30/24 dev eth7", none("eth7 for 192.0.2.30")),
            (
                "mcast_src_ip 192.0.2.99",
                "192.0.2.30/24",
                "vrrp_instance web: its source address 192.0.2.99 is on no interface: it stays in FAULT until that appears"
                    .to_owned(),
            ),
            (
                "virtual_routes {\n198.51.100.0/24 via 192.0.2.254 dev eth7\n}",
                "192.0.2.30/24",
                "vrrp_instance web: interface eth7 of the route to 198.51.100.0/24 not found: it is set when that appears"
                    .to_owned(),
            ),
            (
                "virtual_rules {\nfrom 192.0.2.30 iif eth7 table 100 preference 6\n}",
                "192.0.2.30/24",
                "vrrp_instance web: interface eth7 of rule 6 not found: it matches nothing until that appears".to_owned(),
            ),
            (
                "track_interface {\neth7\n}",
                "192.0.2.30/24",
                "track_interface: interface eth7 not found: it counts as down".to_owned(),
            ),
        ] {
            assert_eq!(host().host_findings(&instance(lines, addresses)), [expected]);
        }
        let bare = Host::default();
        let config = instance("", "192.0.3.1/24");
        assert_eq!(
            bare.lacks_interfaces_of(&config),
            [none("eth0") + ": the instance stays in FAULT until it appears"]
        );
        assert_eq!(bare.host_findings(&config), [""; 0], "the interface is reported alone");
    }
}
