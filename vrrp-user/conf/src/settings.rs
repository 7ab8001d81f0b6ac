//! Settings of an instance: the election, its adverts, and what is set on the host. Legal by construction.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vrrp_ebpf::wire::{ChecksumForm, Family, ipv4, ipv6};
use vrrp_proto::{
    AnnounceSettings, Auth, ElectionSettings, Interval, Order, Priority, TrackSettings, Unicast, Version,
    Vrid,
};

use super::route::Route;
use super::rule::Rule;
use super::vmac::VmacSettings;

/// All settings of one instance. The protocol reads a part of them, [`ElectionSettings`].
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceSettings {
    pub name: Arc<str>,
    /// If the file names none: empty until the daemon has found the interface with the source address.
    pub interface: Arc<str>,
    pub vrid: Vrid,
    pub family: Family,
    pub version: Version,
    /// Send and accept version 2 in addition to version 3, for a migration (RFC 9568 §8.4).
    pub also_v2: bool,
    pub priority: Priority,
    pub advert_interval: Interval,
    /// keepalived's `state MASTER`: with priority 255 it starts as master, otherwise it changes nothing.
    pub initial_master: bool,
    pub preempt: bool,
    /// How long a lower master is obeyed, counted from its first advert.
    pub preempt_delay: Duration,
    pub auth: Auth,
    /// Shared with the effects, which outlive a reload.
    pub addresses: Arc<Addresses>,
    /// Set after the addresses and removed before them.
    pub routes: Arc<Vec<Route>>,
    /// Set after the routes and removed before them.
    pub rules: Arc<Vec<Rule>>,
    /// `unicast_src_ip` or `mcast_src_ip`; without it the primary address of the interface is taken (link-local for
    /// IPv6).
    pub source: Option<IpAddr>,
    pub unicast: Option<Unicast>,
    /// Destination of multicast adverts; `None`: the VRRP group of the family.
    pub group: Option<IpAddr>,
    /// Form of the checksum that we send; received ones may have either.
    pub checksum: ChecksumForm,
    /// Send the form of the latest advert received instead, once one was received.
    pub answers_checksum: bool,
    /// The 3 in master_down_interval = 3 × advert_interval + skew.
    pub down_timer_adverts: u8,
    pub announce: AnnounceSettings,
    pub announce_pauses: AnnouncePauses,
    /// Announce addresses that adverts do not keep in the tables of switches.
    pub extra_announce: Option<ExtraAnnounce>,
    /// Do not answer a lower master's advert at once.
    pub lower_prio_no_advert: bool,
    /// Send one advert before yielding to a higher master. `None`: not configured; we send it, and keepalived does not.
    pub higher_prio_send_advert: Option<bool>,
    /// The order of steps when a master leaves.
    pub handover: Order,
    /// Ignore the link state of the instance's own interface (`dont_track_primary`).
    pub ignore_own_link: bool,
    /// Accept packets for the addresses without owning them (Accept_Mode, RFC 9568 §6.1). An owner does in any case.
    pub accept: bool,
    /// As an owner, ignore other masters.
    pub owner_ignores: bool,
    pub tracks: Vec<TrackSettings>,
    pub vmacs: VmacSettings,
}

impl InstanceSettings {
    /// An instance of version 3 without addresses: priority 100, an advert a second, multicast.
    pub fn new(name: &str, interface: &str, vrid: Vrid, family: Family) -> Self {
        Self {
            name: name.into(),
            interface: interface.into(),
            vrid,
            family,
            version: Version::V3,
            also_v2: false,
            priority: Priority::DEFAULT,
            advert_interval: Interval::SECOND,
            initial_master: false,
            preempt: true,
            preempt_delay: Duration::ZERO,
            auth: Auth::None,
            addresses: Arc::default(),
            routes: Arc::default(),
            rules: Arc::default(),
            source: None,
            unicast: None,
            group: None,
            checksum: ChecksumForm::default(),
            answers_checksum: false,
            down_timer_adverts: 3,
            announce: AnnounceSettings::default(),
            announce_pauses: AnnouncePauses::default(),
            extra_announce: None,
            lower_prio_no_advert: false,
            higher_prio_send_advert: None,
            handover: Order::default(),
            ignore_own_link: false,
            accept: true,
            owner_ignores: false,
            tracks: Vec::new(),
            vmacs: VmacSettings::default(),
        }
    }

    /// Whether a master sends an advert before it yields.
    pub fn yields_with_advert(&self) -> bool {
        self.higher_prio_send_advert.unwrap_or(true)
    }

    /// The interface of addresses that name none.
    pub fn address_interface(&self) -> &Arc<str> {
        self.vmacs.own.as_ref().map_or(&self.interface, |vmac| vmac.name.as_arc())
    }

    /// The interface of this address.
    pub fn device_of<'a>(&'a self, address: &'a VirtualAddress) -> &'a Arc<str> {
        address.device.as_ref().unwrap_or_else(|| self.address_interface())
    }

    /// Whether an address is on an interface whose addresses [`ExtraAnnounce`] announces.
    pub fn is_elsewhere(&self, address: &VirtualAddress, extra_announce: ExtraAnnounce) -> bool {
        let carrier = self.device_of(address);
        let sender = self.vmacs.sender().unwrap_or(&self.interface);
        carrier != sender
            && (extra_announce.all || self.vmacs.all().any(|vmac| vmac.name.as_arc() == carrier))
    }

    /// Whether an address of these settings is new, or has other options, so that it is set once more.
    pub fn has_new_addresses(&self, old: &Self) -> bool {
        !self.addresses.all().all(|address| old.addresses.all().any(|it| it == address))
    }

    /// Destination of multicast adverts.
    pub fn group(&self) -> IpAddr {
        self.group.unwrap_or_else(|| match self.family {
            Family::V4 => ipv4::GROUP.into(),
            Family::V6 => ipv6::GROUP.into(),
        })
    }

    /// Whether the kernel delivers its adverts to sockets of protocol VRRP. Behind an IPsec header they have another
    /// protocol number.
    pub fn reaches_sockets(&self) -> bool {
        !matches!(self.auth, Auth::Ah(_))
    }
}

impl From<&InstanceSettings> for ElectionSettings {
    fn from(settings: &InstanceSettings) -> Self {
        let Addresses { advertised, excluded } = &*settings.addresses;
        Self {
            family: settings.family,
            version: settings.version,
            also_v2: settings.also_v2,
            priority: settings.priority,
            advert_interval: settings.advert_interval,
            preempt: settings.preempt,
            preempt_delay: settings.preempt_delay,
            auth: settings.auth.clone(),
            advertised: advertised.iter().map(|address| address.address).collect(),
            excluded: excluded.len(),
            has_virtual_mac: settings.vmacs.all().next().is_some(),
            source: settings.source,
            unicast: settings.unicast.clone(),
            group: settings.group,
            checksum: settings.checksum,
            down_timer_adverts: settings.down_timer_adverts,
            announce: settings.announce,
            lower_prio_no_advert: settings.lower_prio_no_advert,
            higher_prio_send_advert: settings.yields_with_advert(),
            handover: settings.handover,
            ignore_own_link: settings.ignore_own_link,
            owner_ignores: settings.owner_ignores,
            tracks: settings.tracks.clone(),
        }
    }
}

/// The virtual addresses of an instance.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Addresses {
    /// In the adverts, in this order.
    pub advertised: Vec<VirtualAddress>,
    /// Set and announced, but not in the adverts.
    pub excluded: Vec<VirtualAddress>,
}

impl Addresses {
    pub fn all(&self) -> impl Iterator<Item = &VirtualAddress> + Clone {
        self.advertised.iter().chain(&self.excluded)
    }
}

/// A virtual address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VirtualAddress {
    pub address: IpAddr,
    pub prefix: u8,
    /// Interface that carries it; `None`: [`InstanceSettings::address_interface`].
    pub device: Option<Arc<str>>,
    /// IPv4 alias name such as `eth0:1`, at most 15 bytes.
    pub label: Option<Arc<str>>,
    /// rtnetlink scope: 0 global, 200 site, 253 link, 254 host, 255 nowhere.
    pub scope: u8,
    /// `None`: no broadcast address is set.
    pub broadcast: Option<IpAddr>,
    /// IPv6: let the kernel probe for duplicates. Off by default, as a takeover cannot wait for it.
    pub dad: bool,
    /// `noprefixroute`: the kernel adds no route for the prefix.
    pub no_prefix_route: bool,
    /// The other end of a point-to-point link, which the prefix then belongs to.
    pub peer: Option<IpAddr>,
    /// IPv6: seconds until the kernel stops choosing it as a source address; `None`: never.
    pub preferred: Option<u32>,
    /// IPv6: `home`, for mobile hosts (RFC 6275).
    pub home: bool,
    /// IPv6: `mngtmpaddr`, the kernel derives temporary addresses from it (RFC 8981).
    pub temporary: bool,
    /// The kernel joins a multicast address on its interface.
    pub autojoin: bool,
    /// Put back if another process removes it.
    pub tracked: bool,
}

impl VirtualAddress {
    /// An address without options. An IPv6 address with prefix length 128 is not to be chosen as the source of other
    /// traffic, as with keepalived.
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        Self {
            address,
            prefix,
            device: None,
            label: None,
            scope: 0,
            broadcast: None,
            dad: false,
            no_prefix_route: false,
            peer: None,
            preferred: (address.is_ipv6() && prefix == 128).then_some(0),
            home: false,
            temporary: false,
            autojoin: false,
            tracked: true,
        }
    }
}

/// Pauses between two announcements on one interface.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AnnouncePauses {
    /// Gratuitous ARP.
    pub garp: Duration,
    /// Unsolicited neighbour advertisements.
    pub gna: Duration,
}

/// Periodic announcements of addresses on interfaces that adverts do not leave from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ExtraAnnounce {
    pub period: Duration,
    /// On every interface of that kind, not only on those with a virtual MAC address.
    pub all: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(addresses: &[VirtualAddress]) -> InstanceSettings {
        let addresses = Addresses { advertised: addresses.to_vec(), excluded: Vec::new() };
        let plain = InstanceSettings::new("web", "eth0", Vrid::new(51).unwrap(), Family::V4);
        InstanceSettings { addresses: Arc::new(addresses), ..plain }
    }

    #[test]
    fn an_address_with_other_options_is_new() {
        let [one, two] = [1, 2].map(|last| VirtualAddress::new([192, 0, 2, last].into(), 24));
        let both = settings(&[one.clone(), two.clone()]);
        assert!(!both.has_new_addresses(&settings(&[two.clone(), one.clone()])));
        assert!(!settings(std::slice::from_ref(&one)).has_new_addresses(&both));
        assert!(both.has_new_addresses(&settings(std::slice::from_ref(&one))));
        let labelled = VirtualAddress { label: Some("eth0:1".into()), ..one };
        assert!(settings(&[labelled, two]).has_new_addresses(&both));
    }

    #[test]
    fn the_protocol_knows_addresses_by_number() {
        let one = VirtualAddress::new([192, 0, 2, 1].into(), 24);
        let addresses = Addresses { advertised: vec![one.clone()], excluded: vec![one.clone(), one] };
        let election =
            ElectionSettings::from(&InstanceSettings { addresses: Arc::new(addresses), ..settings(&[]) });
        assert_eq!((election.advertised.len(), election.excluded, election.has_virtual_mac), (1, 2, false));
    }
}
