//! Events for instances from the table of links and addresses.
//!
//! Enters: a [`Table`]. Leaves: for each instance its interface, whether that can carry traffic, its source address,
//! and that clients have to learn its MAC address again; for each tracked interface whether it is up; each only on a
//! change. Interfaces are identified by name, so that they may appear late, be renamed, or be deleted and made again.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Family;

use super::debounce::Debounce;
use super::link::Link;
use super::source_hold::SourceHold;
use super::table::{Address, Table};
use crate::config::{InstanceSettings, LinkDelays};
use crate::driver::clock;
use crate::protocol::{Event, InstanceId, Priority, TrackId};

/// A change for an instance or a tracked interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// The instance's interface was added, created again, or removed (`None`).
    Interface(InstanceId, Option<u32>),
    /// The interface with the virtual MAC address, which sends the adverts, was added or removed.
    Sender(InstanceId, Option<u32>),
    /// [`Event::Link`], [`Event::Source`], [`Event::Track`] or [`Event::Announce`].
    Event(Event),
}

/// Reports changes, and remembers the last reported values.
#[derive(Debug)]
pub struct Tracker {
    instances: Vec<Tracked>,
    interfaces: Vec<(TrackId, Arc<str>, Option<bool>)>,
    /// Virtual addresses of all instances; never used as source.
    virtuals: HashSet<IpAddr>,
    links: Debounce,
}

#[derive(Debug)]
struct Tracked {
    id: InstanceId,
    interface: Arc<str>,
    /// Interfaces with virtual MAC addresses; the instance needs all of them.
    vmacs: Vec<Arc<str>>,
    /// Interfaces of its addresses, which clients know by their MAC addresses.
    announced: Vec<Announced>,
    /// Set even if the parent sends the adverts, as another configuration may change only that.
    sender: Option<Arc<str>>,
    family: Family,
    /// As configured.
    source: Option<IpAddr>,
    /// Virtual addresses of an owner, which are the interface's own.
    own: HashSet<IpAddr>,
    reported: Reported,
    hold: SourceHold,
}

/// An interface with virtual addresses.
#[derive(Debug)]
struct Announced {
    interface: Arc<str>,
    known: Option<Known>,
}

/// What clients know of an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Known {
    ifindex: u32,
    /// When it was last up.
    mac: Option<[u8; 6]>,
    /// When it came up last, if it has been down: its addresses may have been set meanwhile.
    risen: Option<Timestamp>,
}

/// Last reported values; `None`: not reported yet.
#[derive(Clone, Copy, Debug, Default)]
struct Reported {
    ifindex: Option<Option<u32>>,
    birth: Option<u64>,
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
                announced: Announced::of(settings),
                sender: settings.vmacs.own.as_ref().map(|vmac| Arc::clone(vmac.name.as_arc())),
                family: settings.family,
                source: settings.source,
                own: if owner { addresses.collect() } else { HashSet::new() },
                reported: Reported::default(),
                hold: SourceHold::default(),
            });
        }
        let interfaces = tracked_interfaces.iter().map(|(id, name)| (*id, Arc::clone(name), None)).collect();
        Self { instances, interfaces, virtuals, links: Debounce::default() }
    }

    /// Sets how long changes of these links must last to count. An interface with a virtual MAC address has the delays
    /// of its parent.
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

    /// Whether an interface with a virtual MAC address is down while its instance's is up: it may have just been
    /// created.
    pub fn awaits_vmacs(&self, table: &Table) -> bool {
        let is_up = |name: &Arc<str>| table.link(name).is_some_and(|link| link.up);
        let mut above = self.instances.iter().filter(|instance| is_up(&instance.interface));
        above.any(|instance| !instance.vmacs.iter().all(is_up))
    }

    /// When a pending change of a link or a source will count.
    pub fn next(&self) -> Option<Timestamp> {
        let sources = self.instances.iter().filter_map(|instance| instance.hold.next());
        sources.chain(self.links.next()).min()
    }

    /// Continues after an earlier tracker: does not report unchanged values of the same instances and interfaces again.
    #[must_use]
    pub fn continuing(mut self, before: &Self) -> Self {
        for instance in &mut self.instances {
            let same = |old: &&Tracked| old.id == instance.id && old.interface == instance.interface;
            if let Some(old) = before.instances.iter().find(same) {
                instance.reported = old.reported;
                for announced in &mut instance.announced {
                    let same = |old: &&Announced| old.interface == announced.interface;
                    announced.known = old.announced.iter().find(same).and_then(|old| old.known);
                }
                if old.source == instance.source {
                    instance.hold = old.hold;
                } else {
                    instance.reported.source = None;
                }
            }
        }
        self.links.carry(&before.links);
        for (id, name, reported) in &mut self.interfaces {
            let old = before.interfaces.iter().find(|(old, other, _)| (old, other) == (id, name));
            *reported = old.and_then(|(_, _, reported)| *reported);
        }
        self
    }

    /// The engine uses this source now, another process's: it counts like one that was found here.
    pub fn use_source(&mut self, id: InstanceId, source: IpAddr) {
        if let Some(instance) = self.instances.iter_mut().find(|instance| instance.id == id) {
            instance.reported.source = Some(Some(source));
        }
    }

    /// Passes everything that has changed since the last call to `report`; at first, everything. Repeats the next time
    /// what `report` refuses (false). Returns whether `report` accepted everything.
    pub fn update(&mut self, table: &Table, mut report: impl FnMut(Change) -> bool) -> bool {
        let mut taken = true;
        for instance in &mut self.instances {
            taken &= instance.leave_replaced(table, &mut report);
        }
        if !taken {
            return false;
        }
        let (links, now) = (&mut self.links, clock::now());
        let mut is_up = |name: &str| links.settle(name, table.link(name).map(|link| link.up), now);
        for instance in &mut self.instances {
            let id = instance.id;
            let link = table.link(&instance.interface);
            let ifindex = link.map(|link| link.ifindex);
            let up = is_up(&instance.interface) && instance.vmacs.iter().all(|name| is_up(name));
            let offered = ifindex.and_then(|ifindex| instance.source(ifindex, table, &self.virtuals));
            let used = instance.missing_source(ifindex, table).filter(|_| link.is_some_and(|link| link.up));
            let source = instance.hold.settle(used, offered, now);
            let sender = instance.sender.as_ref().and_then(|name| table.link(name)).map(|link| link.ifindex);
            // Bad news first when the interface is removed, good news last when it appears.
            if !up {
                taken &=
                    changed(&mut instance.reported.up, up, || report(Change::Event(Event::Link(id, up))));
            }
            taken &=
                changed(&mut instance.reported.ifindex, ifindex, || report(Change::Interface(id, ifindex)));
            instance.reported.birth = instance.reported.ifindex.flatten().and_then(|it| table.birth(it));
            if instance.sender.is_some() {
                taken &=
                    changed(&mut instance.reported.sender, sender, || report(Change::Sender(id, sender)));
            }
            taken &= changed(&mut instance.reported.source, source, || {
                report(Change::Event(Event::Source(id, source)))
            });
            if up {
                taken &=
                    changed(&mut instance.reported.up, up, || report(Change::Event(Event::Link(id, up))));
            }
            taken &= instance.report_unknown(table, || report(Change::Event(Event::Announce(id))));
        }
        for (id, name, reported) in &mut self.interfaces {
            let up = is_up(name);
            taken &= changed(reported, up, || report(Change::Event(Event::Track(*id, up))));
        }
        taken
    }
}

impl Announced {
    fn of(settings: &InstanceSettings) -> Vec<Self> {
        let addresses = settings.addresses.all();
        let interfaces: BTreeSet<&Arc<str>> = addresses.map(|address| settings.device_of(address)).collect();
        interfaces
            .into_iter()
            .map(|interface| Self { interface: Arc::clone(interface), known: None })
            .collect()
    }

    /// Whether clients are to learn of it again. A new interface gets its addresses, and is announced with them.
    fn is_unknown(&self, now: &Known) -> bool {
        self.known.is_some_and(|known| known.ifindex == now.ifindex && known != *now)
    }
}

impl Tracked {
    /// Reports an interface as removed if another one has its name by now, or if it was removed and added again. Its
    /// addresses are set on the former one, or are gone, and sockets are bound to that; they must leave first, of all
    /// instances. False if `report` refuses.
    fn leave_replaced(&mut self, table: &Table, mut report: impl FnMut(Change) -> bool) -> bool {
        let Some(Some(before)) = self.reported.ifindex else { return true };
        let Some(now) = table.link(&self.interface).map(|link| link.ifindex) else { return true };
        if now == before && self.reported.birth == table.birth(now) {
            return true;
        }
        changed(&mut self.reported.up, false, || report(Change::Event(Event::Link(self.id, false))))
            && changed(&mut self.reported.source, None, || {
                report(Change::Event(Event::Source(self.id, None)))
            })
            && changed(&mut self.reported.ifindex, None, || report(Change::Interface(self.id, None)))
    }

    /// Calls `report` if clients may know an outdated MAC address: the kernel announces another one, and addresses of a
    /// link that has come up, only with `arp_notify`. False if it refuses.
    fn report_unknown(&mut self, table: &Table, report: impl FnOnce() -> bool) -> bool {
        let now = |announced: &Announced| {
            let link = table.link(&announced.interface)?;
            let Link { ifindex, mac, up, .. } = *link;
            Some((Known { ifindex, mac, risen: table.risen(ifindex) }, up))
        };
        let is_unknown =
            |announced: &Announced| now(announced).is_some_and(|(now, up)| up && announced.is_unknown(&now));
        if self.announced.iter().any(is_unknown) && !report() {
            return false;
        }
        for announced in &mut self.announced {
            // One that was made while it is down is known from then on: it is announced when it comes up.
            let is_known = |ifindex| announced.known.is_some_and(|known| known.ifindex == ifindex);
            let now = now(announced).filter(|(now, up)| *up || !is_known(now.ifindex));
            announced.known = now.map(|(now, _)| now).or(announced.known);
        }
        true
    }

    /// The source in use, if the interface is still the same one and does not have that address.
    fn missing_source(&self, ifindex: Option<u32>, table: &Table) -> Option<IpAddr> {
        let source = self.reported.source.flatten()?;
        let ifindex = ifindex.filter(|_| self.reported.ifindex == Some(ifindex))?;
        (!self.has(source, ifindex, table)).then_some(source)
    }

    /// Whether this can be the source: a configured one may be on any interface.
    fn has(&self, source: IpAddr, ifindex: u32, table: &Table) -> bool {
        let is_it = |address: &Address| address.usable && address.address == source;
        // A link-local address is not valid on another link.
        table.addresses(ifindex).iter().any(is_it)
            || self.source == Some(source) && !is_link_local(source) && table.all_addresses().any(is_it)
    }

    /// The source address: the configured one if the machine has it; otherwise the one in use as long as the interface
    /// has it, then the interface's primary IPv4 address, or its link-local IPv6 address (RFC 9568 §5.1.1.1, §5.1.2.1).
    /// An address is no primary one while a virtual address is before it in its subnet; peers would take adverts from
    /// another one for those of another router.
    fn source(&self, ifindex: u32, table: &Table, virtuals: &HashSet<IpAddr>) -> Option<IpAddr> {
        if let Some(source) = self.source {
            return self.has(source, ifindex, table).then_some(source);
        }
        let ours = table.addresses(ifindex).iter().filter(|address| address.usable);
        let ours = ours.filter(|address| match self.family {
            Family::V4 => address.address.is_ipv4(),
            Family::V6 => is_link_local(address.address),
        });
        let real = ours.clone().filter(|address| !address.marked && !virtuals.contains(&address.address));
        let used = self.reported.source.flatten().filter(|_| self.reported.ifindex == Some(Some(ifindex)));
        let mut used = real.clone().filter(|address| Some(address.address) == used);
        let mut primary = real.clone().filter(|address| !address.secondary);
        let mut own = ours.filter(|address| self.own.contains(&address.address));
        let source = used.next().or_else(|| primary.next()).or_else(|| real.clone().next());
        let source = source.or_else(|| own.next());
        source.map(|address| address.address)
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if Ipv6Addr::is_unicast_link_local(&address))
}

fn changed<T: PartialEq>(reported: &mut Option<T>, value: T, report: impl FnOnce() -> bool) -> bool {
    if reported.as_ref() == Some(&value) {
        return true;
    }
    let taken = report();
    if taken {
        *reported = Some(value);
    }
    taken
}
