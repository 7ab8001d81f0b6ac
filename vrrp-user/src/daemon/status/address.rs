//! Virtual addresses of a [`Status`](super::Status): where each is set, when it was announced, whether this host
//! answers for it.
//!
//! Enters: the addresses, interfaces and settings of this host, the announcements, the lease. Leaves: an [`Address`]
//! each. Absent: probes: "answered" is what the kernel and the fence do with a request that arrives. Only a probe from
//! another host shows whether it arrives, and whether yet another host answers.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;

use nix::net::if_::InterfaceFlags;
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Family;

use super::{Address, DaemonContext};
use crate::config::{self, VirtualAddress};
use crate::daemon::live::LiveInstance;
use crate::daemon::process::fit::RESOLVING;
use crate::driver::addresses::{self, Present};
use crate::driver::clock;
use crate::driver::netlink::changes::Changes;
use crate::driver::sysctl;
use crate::driver::xdp::Card;
use crate::protocol::{InstanceId, State};

/// Scope of addresses that are valid on this host only (RT_SCOPE_HOST).
const SCOPE_HOST: u8 = 254;

/// What this host says about its addresses.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// `None`: the kernel did not say.
    present: Option<Present>,
    /// Those that duplicate address detection has not passed.
    unusable: HashSet<(IpAddr, String)>,
    /// By interface with an IPv4 address of an instance: the mode, and whose setting it is.
    arp_ignore: HashMap<String, (u32, String)>,
    /// Interfaces that would resolve neighbours if that were not switched off (`ip link set arp off`).
    arp_off: HashSet<String>,
}

/// What was read last, and whether it has changed since: looks each second read all links and addresses only then.
#[derive(Debug, Default)]
pub(in crate::daemon) struct HostWatch {
    changes: Option<Changes>,
    host: Option<Host>,
}

impl HostWatch {
    /// Forgets what was read if it has changed since.
    fn catch_up(&mut self) {
        // Subscribed before reading, so that no change falls between the two.
        let known = self.changes.is_some();
        let changes = self.changes.take().or_else(|| Changes::of_addresses().ok());
        self.changes = changes.map(|mut changes| {
            if changes.take() || !known {
                self.host = None;
            }
            changes
        });
        if self.changes.is_none() {
            self.host = None;
        }
    }

    /// Reads what is not known. The kernel says nothing of changed settings.
    fn look(&mut self, context: &DaemonContext) -> &Host {
        let host = match self.host.take().filter(|host| host.present.is_some()) {
            Some(host) => Host { arp_ignore: arp_ignore(context, host.present.as_ref()), ..host },
            None => Host::read(context),
        };
        self.host.insert(host)
    }
}

/// The modes of interfaces with an IPv4 address of an instance.
fn arp_ignore(context: &DaemonContext, present: Option<&Present>) -> HashMap<String, (u32, String)> {
    let mut modes = HashMap::new();
    let Some(present) = present else { return modes };
    let all = mode("all");
    let settings = context.config.instances.iter().map(|it| &it.settings);
    for (settings, entry) in settings.flat_map(|it| it.addresses.all().map(move |entry| (it, entry))) {
        let device = settings.device_of(entry);
        if !entry.address.is_ipv4() || modes.contains_key(&**device) {
            continue;
        }
        let place = (entry.address, device.to_string());
        if present.addresses.contains(&place) {
            modes.insert(place.1.clone(), effective(mode(&place.1), all, place.1));
        }
    }
    modes
}

impl Host {
    pub(super) fn read(context: &DaemonContext) -> Self {
        let Ok(present) = addresses::present() else { return Self::default() };
        let has_no_arp = |(_, flags): &(&String, &InterfaceFlags)| flags.contains(InterfaceFlags::IFF_NOARP);
        let without_arp = present.interfaces.iter().filter(has_no_arp).map(|(name, _)| name);
        let arp_off = without_arp.filter(|name| resolves_by_nature(name)).cloned().collect();
        let arp_ignore = arp_ignore(context, Some(&present));
        let unusable = addresses::unusable_v6().unwrap_or_default();
        Self { present: Some(present), unusable, arp_ignore, arp_off }
    }
}

/// Whether interfaces of this kind resolve neighbours, unlike tunnels and interfaces that lead nowhere: cards, and the
/// devices that take their place.
fn resolves_by_nature(interface: &str) -> bool {
    let card = nix::net::if_::if_nametoindex(interface).ok().and_then(|ifindex| Card::of(ifindex).ok());
    card.is_some_and(|card| {
        card.ethernet && card.kind.as_deref().map_or(!card.loopback, |kind| RESOLVING.contains(&kind))
    })
}

/// 0, the kernel's default, if it cannot be read.
fn mode(interface: &str) -> u32 {
    sysctl::read(Family::V4, interface, "arp_ignore").ok().and_then(|it| it.parse().ok()).unwrap_or_default()
}

/// The larger one counts.
fn effective(own: u32, all: u32, interface: String) -> (u32, String) {
    if all > own { (all, "all".to_owned()) } else { (own, interface) }
}

impl DaemonContext {
    /// Addresses that a master has set and that this host does not answer for, although there is a lease: the
    /// instance, the address and the reason.
    pub(in crate::daemon) fn unanswered(&self) -> Vec<(&str, IpAddr, String)> {
        self.unanswered_on(&mut HostWatch::default())
    }

    /// The same each second, which reads what has changed.
    pub(in crate::daemon) fn still_unanswered(&self, watch: &mut HostWatch) -> Vec<(&str, IpAddr, String)> {
        watch.catch_up();
        self.unanswered_on(watch)
    }

    fn unanswered_on(&self, watch: &mut HostWatch) -> Vec<(&str, IpAddr, String)> {
        let now = clock::now();
        let speaks = |id: InstanceId, live: &LiveInstance| {
            live.state() == State::Master && (!live.fenced.load(Relaxed) || self.maps.holds_lease(id, now))
        };
        let masters: Vec<_> = self.instances().filter(|(config, live)| speaks(config.id, live)).collect();
        if masters.is_empty() {
            return Vec::new();
        }
        let host = watch.look(self);
        let mut found = Vec::new();
        for (config, _) in masters {
            for entry in config.settings.addresses.all() {
                let place = (entry.address, config.settings.device_of(entry).to_string());
                let set = host.present.as_ref().map(|present| present.addresses.contains(&place));
                if let (Some(true), Err(Unanswered::No(why))) = (set, host.answers(entry, &place, set, false))
                {
                    found.push((&*config.settings.name, entry.address, why));
                }
            }
        }
        found
    }

    /// The addresses of an instance, the advertised ones first.
    pub(super) fn addresses(
        &self,
        config: &config::Instance,
        live: &LiveInstance,
        host: &Host,
        now: Timestamp,
    ) -> Vec<Address> {
        let settings = &config.settings;
        let is_silenced = live.fenced.load(Relaxed) && !self.maps.holds_lease(config.id, now);
        let announced = self.live.announcements.of(config.id);
        let address = |entry: &VirtualAddress| {
            // The same address on another interface is no virtual one: on `lo` a real server has it.
            let place = (entry.address, settings.device_of(entry).to_string());
            let set = host.present.as_ref().map(|present| present.addresses.contains(&place));
            let (answered, answered_why) = match host.answers(entry, &place, set, is_silenced) {
                Ok(()) => (Some(true), None),
                Err(Unanswered::No(why)) => (Some(false), Some(why)),
                Err(Unanswered::Unknown(why)) => (None, Some(why)),
            };
            let announced = announced.get(&entry.address);
            Address {
                address: format!("{}/{}", entry.address, entry.prefix),
                set,
                interface: (set == Some(true)).then_some(place.1),
                announcements: announced.map_or(0, |it| it.count),
                announced_seconds: announced.map(|it| now.since(it.at).as_secs_f64()),
                answered,
                answered_why,
            }
        };
        let addresses = &settings.addresses;
        addresses.advertised.iter().chain(&addresses.excluded).map(address).collect()
    }
}

/// Why a request for an address is not answered, or why that is not known.
#[derive(Debug, PartialEq)]
enum Unanswered {
    No(String),
    Unknown(String),
}

impl Host {
    fn answers(
        &self,
        entry: &VirtualAddress,
        place: &(IpAddr, String),
        set: Option<bool>,
        is_silenced: bool,
    ) -> Result<(), Unanswered> {
        let name = &place.1;
        let no = |why: String| Err(Unanswered::No(why));
        let unknown = |why: String| Err(Unanswered::Unknown(why));
        match set {
            Some(true) => {}
            Some(false) => return no("it is not set here".to_owned()),
            None => return unknown("the kernel did not list the addresses of this host".to_owned()),
        }
        if is_silenced {
            return no("there is no lease, so the fence drops requests".to_owned());
        }
        let flags = self.present.as_ref().and_then(|it| it.interfaces.get(name)).copied();
        let flags = flags.unwrap_or(InterfaceFlags::empty());
        if !flags.contains(InterfaceFlags::IFF_UP) {
            return no(format!("{name} is down"));
        }
        if flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            return unknown(format!("{name} is a loopback interface: requests arrive on others"));
        }
        if self.arp_off.contains(name) {
            return no(format!("ARP is off on {name}: ip link set dev {name} arp on"));
        }
        if flags.contains(InterfaceFlags::IFF_NOARP) {
            return unknown(format!("{name} resolves no neighbours"));
        }
        if !flags.contains(InterfaceFlags::IFF_RUNNING) {
            return no(format!("{name} has no carrier"));
        }
        if self.unusable.contains(place) {
            return no(format!("duplicate address detection on {name} is not over, or found a duplicate"));
        }
        let (mode, of) = self.arp_ignore.get(name).map_or((0, name), |(mode, of)| (*mode, of));
        match mode {
            _ if entry.address.is_ipv6() => Ok(()),
            // Of any address of the interface: that of the host covers a single one.
            2 => {
                unknown(format!("arp_ignore 2 of {of}: only hosts that share a subnet with it are answered"))
            }
            8 => no(format!("arp_ignore 8 of {of}: no request is answered")),
            3 if entry.scope >= SCOPE_HOST => {
                no(format!("arp_ignore 3 of {of}: not answered for an address of scope host"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: InterfaceFlags = InterfaceFlags::IFF_UP.union(InterfaceFlags::IFF_RUNNING);

    fn address(text: &str, prefix: u8) -> VirtualAddress {
        VirtualAddress::new(text.parse().unwrap(), prefix)
    }

    /// The answer for an address that is set on an interface with these flags and this mode.
    fn answer(entry: &VirtualAddress, flags: InterfaceFlags, mode: u32) -> Result<(), Unanswered> {
        let name = "eth0".to_owned();
        let host = Host {
            present: Some(Present { interfaces: [(name.clone(), flags)].into(), ..Present::default() }),
            arp_ignore: [(name.clone(), effective(mode, 0, name.clone()))].into(),
            ..Host::default()
        };
        host.answers(entry, &(entry.address, name), Some(true), false)
    }

    fn is_no(answer: &Result<(), Unanswered>, why: &str) -> bool {
        matches!(answer, Err(Unanswered::No(text)) if text.contains(why))
    }

    fn is_unknown(answer: &Result<(), Unanswered>, why: &str) -> bool {
        matches!(answer, Err(Unanswered::Unknown(text)) if text.contains(why))
    }

    #[test]
    fn arp_ignore_says_for_which_addresses_the_kernel_answers() {
        let (subnet, single) = (address("192.0.2.50", 24), address("192.0.2.50", 32));
        for mode in [0, 1, 3, 4] {
            assert_eq!(answer(&subnet, READY, mode), Ok(()), "{mode}");
        }
        for entry in [&subnet, &single] {
            assert!(is_unknown(&answer(entry, READY, 2), "only hosts that share a subnet"));
        }
        assert!(is_no(&answer(&subnet, READY, 8), "arp_ignore 8 of eth0"));
        assert_eq!(effective(1, 8, "eth0".to_owned()), (8, "all".to_owned()), "the setting to change");
        let of_host = VirtualAddress { scope: SCOPE_HOST, ..subnet };
        assert!(is_no(&answer(&of_host, READY, 3), "scope host"));
        assert_eq!(answer(&of_host, READY, 1), Ok(()));
        assert_eq!(answer(&address("2001:db8::50", 64), READY, 8), Ok(()), "it is a setting of IPv4");
    }

    #[test]
    fn an_interface_answers_only_if_it_can() {
        let entry = address("192.0.2.50", 24);
        assert!(is_no(&answer(&entry, InterfaceFlags::empty(), 0), "eth0 is down"));
        assert!(is_no(&answer(&entry, InterfaceFlags::IFF_UP, 0), "no carrier"));
        assert!(is_unknown(&answer(&entry, READY | InterfaceFlags::IFF_NOARP, 0), "resolves no"));
        assert!(is_unknown(&answer(&entry, READY | InterfaceFlags::IFF_LOOPBACK, 0), "loopback"));
        assert!(!resolves_by_nature("lo"));
    }

    #[test]
    fn the_fence_and_duplicates_silence_an_address_that_is_set() {
        let entry = address("2001:db8::50", 64);
        let place = (entry.address, "eth0".to_owned());
        let mut host = Host {
            present: Some(Present { interfaces: [("eth0".to_owned(), READY)].into(), ..Present::default() }),
            ..Host::default()
        };
        assert_eq!(host.answers(&entry, &place, Some(true), false), Ok(()));
        assert!(is_no(&host.answers(&entry, &place, Some(true), true), "the fence drops requests"));
        assert!(is_no(&host.answers(&entry, &place, Some(false), false), "not set here"));
        assert!(is_unknown(&host.answers(&entry, &place, None, false), "did not list"));
        host.unusable.insert(place.clone());
        assert!(is_no(&host.answers(&entry, &place, Some(true), false), "duplicate address detection"));
    }
}
