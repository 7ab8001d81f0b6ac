//! Settings of instances and groups. Legal by construction: the configuration has checked them.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use vrrp_ebpf::wire::{ChecksumForm, Family};

use super::auth::HmacSettings;
use super::event::TrackId;
use super::timing;
use super::units::{InstanceId, Interval, Priority, Version, Weight};

/// Settings of one instance, as far as the state machine reads them.
///
/// Names, interfaces and what is set on them are the caller's. Of the form of adverts it has what distinguishes two.
#[derive(Clone, Debug, PartialEq)]
pub struct ElectionSettings {
    pub family: Family,
    pub version: Version,
    /// Send and accept version 2 in addition to version 3, for a migration (RFC 9568 §8.4).
    pub also_v2: bool,
    pub priority: Priority,
    pub advert_interval: Interval,
    pub preempt: bool,
    /// How long a lower master is obeyed, counted from its first advert.
    pub preempt_delay: Duration,
    pub auth: Auth,
    /// The virtual addresses in the adverts, in this order.
    pub advertised: Vec<IpAddr>,
    /// Number of virtual addresses that are set but not in the adverts.
    pub excluded: usize,
    /// Frames to the addresses have a virtual MAC address as their destination.
    pub has_virtual_mac: bool,
    /// The configured source of adverts. The one in use comes with [`super::Event::Source`].
    pub source: Option<IpAddr>,
    pub unicast: Option<Unicast>,
    /// Destination of multicast adverts; `None`: the VRRP group of the family.
    pub group: Option<IpAddr>,
    /// Form of the checksum that we send.
    pub checksum: ChecksumForm,
    /// The 3 in master_down_interval = 3 × advert_interval + skew.
    pub down_timer_adverts: u8,
    pub announce: AnnounceSettings,
    /// Do not answer a lower master's advert at once.
    pub lower_prio_no_advert: bool,
    /// Send one advert before yielding to a higher master.
    pub higher_prio_send_advert: bool,
    /// The order of steps when a master leaves.
    pub handover: Order,
    /// Ignore the link state of the instance's own interface.
    pub ignore_own_link: bool,
    /// As an owner, ignore other masters.
    pub owner_ignores: bool,
    pub tracks: Vec<TrackSettings>,
}

impl ElectionSettings {
    /// An instance of version 3 without addresses: priority 100, an advert a second, multicast.
    pub fn new(family: Family) -> Self {
        Self {
            family,
            version: Version::V3,
            also_v2: false,
            priority: Priority::DEFAULT,
            advert_interval: Interval::SECOND,
            preempt: true,
            preempt_delay: Duration::ZERO,
            auth: Auth::None,
            advertised: Vec::new(),
            excluded: 0,
            has_virtual_mac: false,
            source: None,
            unicast: None,
            group: None,
            checksum: ChecksumForm::default(),
            down_timer_adverts: 3,
            announce: AnnounceSettings::default(),
            lower_prio_no_advert: false,
            higher_prio_send_advert: true,
            handover: Order::default(),
            ignore_own_link: false,
            owner_ignores: false,
            tracks: Vec::new(),
        }
    }

    /// Whether both settings accept the same adverts of other routers.
    pub(super) fn judges_like(&self, other: &Self) -> bool {
        let senders = |it: &Self| it.unicast.as_ref().map(|unicast| unicast.checks_source);
        let form = |it: &Self| (it.version, it.also_v2, it.group, senders(it));
        form(self) == form(other) && self.auth.judges_like(&other.auth)
    }

    /// Whether both settings send the same adverts, but for the priority.
    pub(super) fn speaks_like(&self, other: &Self) -> bool {
        let form = |it: &Self| (it.version, it.advert_interval, it.source, it.group, it.checksum);
        form(self) == form(other)
            && self.also_v2 == other.also_v2
            && self.auth == other.auth
            && self.unicast == other.unicast
            && self.advertised == other.advertised
    }

    /// The lease that one of our adverts gives.
    pub fn lease(&self) -> Duration {
        timing::lease(self.advert_interval, self.down_timer_adverts)
    }
}

/// The order of steps when a master leaves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Order {
    /// The heir takes the addresses, then they are removed.
    #[default]
    Overlap,
    /// The addresses are removed, then the heir takes them.
    Strict,
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

/// When and how often addresses are announced: by gratuitous ARP, or by unsolicited NA.
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
        }
    }
}

/// A tracked object of an instance, and its effect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrackSettings {
    pub id: TrackId,
    pub object: TrackedObject,
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
pub enum TrackedObject {
    Script(Arc<str>),
    Interface(Arc<str>),
    Process(Arc<str>),
    /// Adds the number in it, times the weight.
    File(Arc<str>),
}

impl TrackedObject {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Script(_) => "script",
            Self::Interface(_) => "interface",
            Self::Process(_) => "process",
            Self::File(_) => "file",
        }
    }

    pub fn name(&self) -> &Arc<str> {
        let (Self::Script(name) | Self::Interface(name) | Self::Process(name) | Self::File(name)) = self;
        name
    }
}
