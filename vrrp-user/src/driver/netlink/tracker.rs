//! What links and addresses mean to the instances.
//!
//! Enters: a [`Table`]. Leaves: for each instance its interface, whether that can carry traffic, and the address to
//! send from; for each tracked interface whether it is up; each only when it has changed. Interfaces are known by name,
//! so that they may come late, be renamed, or be deleted and made again.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Family;

use super::debounce::Debounce;
use super::table::{Address, Table};
use crate::config::LinkDelays;
use crate::driver::clock;
use crate::protocol::{Event, InstanceId, InstanceSettings, Priority, TrackId};

/// What has changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// The instance's interface came, was made anew, or went away (`None`).
    Interface(InstanceId, Option<u32>),
    /// The interface with the virtual MAC address, which adverts leave from, came or went away.
    Sender(InstanceId, Option<u32>),
    /// [`Event::Link`], [`Event::Source`] or [`Event::Track`].
    Event(Event),
}

/// Tells changes, and remembers what it has told.
#[derive(Debug)]
pub struct Tracker {
    instances: Vec<Tracked>,
    interfaces: Vec<(TrackId, Arc<str>, Option<bool>)>,
    /// Virtual addresses of all instances; none is sent from.
    virtuals: HashSet<IpAddr>,
    links: Debounce,
}

#[derive(Debug)]
struct Tracked {
    id: InstanceId,
    interface: Arc<str>,
    /// Interfaces with virtual MAC addresses; the instance can do nothing without them.
    vmacs: Vec<Arc<str>>,
    /// Also where adverts leave from its parent, as another configuration may change that alone.
    sender: Option<Arc<str>>,
    family: Family,
    /// As configured.
    source: Option<IpAddr>,
    /// An owner's virtual addresses are its interface's own.
    own: HashSet<IpAddr>,
    told: Told,
}

/// `None` where nothing has been told yet.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    ifindex: Option<Option<u32>>,
    sender: Option<Option<u32>>,
    source: Option<Option<IpAddr>>,
    up: Option<bool>,
}

impl Tracker {
    pub fn new<'a>(
        settings: impl IntoIterator<Item = (InstanceId, &'a InstanceSettings)>,
        tracked_interfaces: &[(TrackId, Arc<str>)],
    ) -> Self {
        let mut virtuals = HashSet::new();
        let mut instances = Vec::new();
        for (id, settings) in settings {
            let addresses = settings.addresses.advertised.iter().chain(&settings.addresses.excluded);
            let addresses = addresses.map(|address| address.address);
            virtuals.extend(addresses.clone());
            let owner = settings.priority == Priority::OWNER;
            instances.push(Tracked {
                id,
                interface: Arc::clone(&settings.interface),
                vmacs: settings.vmacs.all().map(|vmac| Arc::clone(vmac.name.as_arc())).collect(),
                sender: settings.vmacs.own.as_ref().map(|vmac| Arc::clone(vmac.name.as_arc())),
                family: settings.family,
                source: settings.source,
                own: if owner { addresses.collect() } else { HashSet::new() },
                told: Told::default(),
            });
        }
        let interfaces = tracked_interfaces.iter().map(|(id, name)| (*id, Arc::clone(name), None)).collect();
        Self { instances, interfaces, virtuals, links: Debounce::default() }
    }

    /// Changes of these links count when they have lasted so long. An interface with a virtual MAC address bounces with
    /// the one that it stands on.
    #[must_use]
    pub fn with_delays<'a>(
        mut self,
        settings: impl IntoIterator<Item = &'a InstanceSettings>,
        delays: &[(Arc<str>, LinkDelays)],
    ) -> Self {
        let vmacs = settings.into_iter().flat_map(|settings| settings.vmacs.all());
        let above = vmacs.filter_map(|vmac| {
            let (_, delays) = delays.iter().find(|(name, _)| *name == vmac.parent)?;
            Some((Arc::clone(vmac.name.as_arc()), *delays))
        });
        self.links = Debounce::new(delays.iter().cloned().chain(above));
        self
    }

    /// Whether an interface with a virtual MAC address is not up while its instance's is: it may have been made just now.
    pub fn awaits_vmacs(&self, table: &Table) -> bool {
        let is_up = |name: &Arc<str>| table.link(name).is_some_and(|link| link.up);
        let mut above = self.instances.iter().filter(|instance| is_up(&instance.interface));
        above.any(|instance| !instance.vmacs.iter().all(is_up))
    }

    /// When a link that has changed will have come to rest.
    pub fn next(&self) -> Option<Timestamp> {
        self.links.next()
    }

    /// Goes on after an earlier one: the same instances and interfaces need not be told again what has not changed.
    #[must_use]
    pub fn continuing(mut self, before: &Self) -> Self {
        for instance in &mut self.instances {
            let same = |old: &&Tracked| old.id == instance.id && old.interface == instance.interface;
            if let Some(old) = before.instances.iter().find(same) {
                instance.told = old.told;
            }
        }
        self.links.carry(&before.links);
        for (id, name, told) in &mut self.interfaces {
            let old = before.interfaces.iter().find(|(old, other, _)| (old, other) == (id, name));
            *told = old.and_then(|(_, _, told)| *told);
        }
        self
    }

    /// Tells `tell` everything that has changed since it was told last; at first, everything. What `tell` does not
    /// take (false) is told again the next time. Returns whether all was taken.
    pub fn update(&mut self, table: &Table, mut tell: impl FnMut(Change) -> bool) -> bool {
        let mut taken = true;
        let (links, now) = (&mut self.links, clock::now());
        let mut is_up = |name: &str| links.settle(name, table.link(name).map(|link| link.up), now);
        for instance in &mut self.instances {
            let id = instance.id;
            let link = table.link(&instance.interface);
            let ifindex = link.map(|link| link.ifindex);
            let source = ifindex.and_then(|ifindex| instance.source(ifindex, table, &self.virtuals));
            let up = is_up(&instance.interface) && instance.vmacs.iter().all(|name| is_up(name));
            let sender = instance.sender.as_ref().and_then(|name| table.link(name)).map(|link| link.ifindex);
            // Bad news first when the interface goes, good news last when it comes.
            if !up {
                taken &= changed(&mut instance.told.up, up, || tell(Change::Event(Event::Link(id, up))));
            }
            taken &= changed(&mut instance.told.ifindex, ifindex, || tell(Change::Interface(id, ifindex)));
            if instance.sender.is_some() {
                taken &= changed(&mut instance.told.sender, sender, || tell(Change::Sender(id, sender)));
            }
            taken &=
                changed(&mut instance.told.source, source, || tell(Change::Event(Event::Source(id, source))));
            if up {
                taken &= changed(&mut instance.told.up, up, || tell(Change::Event(Event::Link(id, up))));
            }
        }
        for (id, name, told) in &mut self.interfaces {
            let up = is_up(name);
            taken &= changed(told, up, || tell(Change::Event(Event::Track(*id, up))));
        }
        taken
    }
}

impl Tracked {
    /// The address to send from: the configured one, if the machine has it; otherwise the interface's primary IPv4
    /// address, or its link-local IPv6 address (RFC 9568 §5.1.1.1, §5.1.2.1).
    fn source(&self, ifindex: u32, table: &Table, virtuals: &HashSet<IpAddr>) -> Option<IpAddr> {
        let ours = table.addresses(ifindex).iter().filter(|address| address.usable);
        if let Some(source) = self.source {
            // A link-local address means nothing on another link.
            let present = |address: &Address| address.address == source;
            let found = ours.clone().any(present)
                || !is_link_local(source)
                    && table.all_addresses().any(|address| address.usable && present(address));
            return found.then_some(source);
        }
        let ours = ours.filter(|address| match self.family {
            Family::V4 => address.address.is_ipv4(),
            Family::V6 => is_link_local(address.address),
        });
        let real = ours.clone().filter(|address| !address.marked && !virtuals.contains(&address.address));
        let mut primary = real.clone().filter(|address| !address.secondary);
        let mut own = ours.filter(|address| self.own.contains(&address.address));
        let source = primary.next().or_else(|| real.clone().next()).or_else(|| own.next());
        source.map(|address| address.address)
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if Ipv6Addr::is_unicast_link_local(&address))
}

fn changed<T: PartialEq>(told: &mut Option<T>, value: T, tell: impl FnOnce() -> bool) -> bool {
    if told.as_ref() == Some(&value) {
        return true;
    }
    let taken = tell();
    if taken {
        *told = Some(value);
    }
    taken
}
