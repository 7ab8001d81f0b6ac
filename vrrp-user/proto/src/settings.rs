//! Settings of instances and groups. Legal by construction: the configuration has checked them.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use vrrp_ebpf::wire::{ChecksumForm, Family, ipv4, ipv6};

use super::auth::HmacSettings;
use super::event::TrackId;
use super::handover::Order;
use super::route::Route;
use super::rule::Rule;
use super::timing;
use super::units::{InstanceId, Interval, Priority, Version, Vrid, Weight};
use super::vmac::VmacSettings;

/// Settings of one instance.
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

    /// Whether both settings accept the same adverts of other routers.
    pub fn judges_like(&self, other: &Self) -> bool {
        let senders = |it: &Self| it.unicast.as_ref().map(|unicast| unicast.checks_source);
        let form = |it: &Self| (it.version, it.also_v2, it.group, senders(it));
        form(self) == form(other) && self.auth.judges_like(&other.auth)
    }

    /// Whether both settings send the same adverts, but for the priority.
    pub fn speaks_like(&self, other: &Self) -> bool {
        let list = |it: &Self| -> Vec<IpAddr> {
            it.addresses.advertised.iter().map(|address| address.address).collect()
        };
        let form = |it: &Self| (it.version, it.advert_interval, it.source, it.group, it.checksum);
        form(self) == form(other)
            && self.also_v2 == other.also_v2
            && self.auth == other.auth
            && self.unicast == other.unicast
            && list(self) == list(other)
    }

    /// The lease that one of our adverts gives.
    pub fn lease(&self) -> Duration {
        timing::lease(self.advert_interval, self.down_timer_adverts)
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

/// A sync group: instances that are masters together or not at all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupSettings {
    pub name: Arc<str>,
    /// At least one, and none that is in another group. The first one decides a tie of two nodes; see [`super::Group`].
    pub members: Vec<InstanceId>,
}

/// Authentication of adverts.
#[derive(Clone, Debug, PartialEq)]
pub enum Auth {
    None,
    /// Simple password of version 2 (RFC 2338 §5.3.6), padded with zeros.
    Pass([u8; 8]),
    /// Signed adverts.
    Hmac(Arc<HmacSettings>),
    /// Version 2 behind an authentication header of IPsec (RFC 2338 §5.3.6); the password, padded with zeros.
    Ah([u8; 8]),
}

impl Auth {
    /// Whether both accept the same adverts. Keys do not count: a master need not be heard again for new ones.
    fn judges_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Hmac(one), Self::Hmac(other)) => one.demands() == other.demands(),
            (Self::Hmac(_), _) | (_, Self::Hmac(_)) => false,
            _ => self == other,
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

/// Adverts by unicast.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unicast {
    /// Empty: the instance is in Fault.
    pub peers: Vec<UnicastPeer>,
    /// TTL or hop limit sent.
    pub ttl: u8,
    /// Refuse adverts of other senders than the peers.
    pub checks_source: bool,
}

/// A unicast peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnicastPeer {
    pub address: IpAddr,
    /// Bounds of the TTL or hop limit of its adverts, if the source is checked.
    pub min_ttl: u8,
    pub max_ttl: u8,
}

impl UnicastPeer {
    /// A peer with any TTL.
    pub fn new(address: IpAddr) -> Self {
        Self { address, min_ttl: 0, max_ttl: u8::MAX }
    }
}

/// keepalived's `garp_*` options; they apply to gratuitous ARP and unsolicited NA.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AnnounceSettings {
    /// From becoming master to the second set; zero: none.
    pub delay: Duration,
    /// Messages per address and set.
    pub repeat: u32,
    /// Period of further sets while master; zero: none.
    pub refresh: Duration,
    pub refresh_repeat: u32,
    /// From hearing a lower master to the second set.
    pub lower_prio_delay: Duration,
    pub lower_prio_repeat: u32,
    /// Pause between two gratuitous ARPs on one interface.
    pub garp_interval: Duration,
    /// Pause between two unsolicited neighbour advertisements on one interface.
    pub gna_interval: Duration,
    /// Announce addresses that adverts do not keep in the tables of switches.
    pub extra_announce: Option<ExtraAnnounce>,
}

/// Periodic announcements of addresses on interfaces that adverts do not leave from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ExtraAnnounce {
    pub period: Duration,
    /// On every interface of that kind, not only on those with a virtual MAC address.
    pub all: bool,
}

impl Default for AnnounceSettings {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(5),
            repeat: 5,
            refresh: Duration::ZERO,
            refresh_repeat: 1,
            lower_prio_delay: Duration::from_secs(5),
            lower_prio_repeat: 5,
            garp_interval: Duration::ZERO,
            gna_interval: Duration::ZERO,
            extra_announce: None,
        }
    }
}

/// A tracked object of an instance, and its effect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrackSettings {
    pub id: TrackId,
    pub track: Track,
    /// 0: Fault while down, or while a file holds another number than 0. Positive: added while up. Negative: added
    /// while down.
    pub weight: Weight,
    /// The weight counts with the other sign; 0: Fault while up.
    pub reverse: bool,
    /// The result before the first one. `None` keeps the instance out of the election until there is one.
    pub initial: Option<bool>,
}

/// The kind and name of a [`TrackId`], for people to read.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Track {
    Script(Arc<str>),
    Interface(Arc<str>),
    Process(Arc<str>),
    /// Adds the number in it, times the weight.
    File(Arc<str>),
}
