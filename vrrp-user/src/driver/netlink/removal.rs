//! Detection of addresses, routes and rules that instances have lost.
//!
//! Enters: the addresses, routes and rules of instances, and the kernel's notifications. Leaves: the instances that
//! have lost something, and whether another process removed it. The kernel's own removals, along with an interface or
//! another address, and those of this process do not count as another's. Absent: whether the instances are masters.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::packet_route::{RouteNetlinkMessage, route, rule};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::address;
use super::socket::{self, RouteSocket};
use super::table::{Address, Gone, Removed, Stir, Table};
use crate::config::{Hop, InstanceSettings, Route, Rule};
use crate::protocol::{InstanceId, Loss};

/// RTMGRP_IPV4_ROUTE, RTMGRP_IPV4_RULE, RTMGRP_IPV6_ROUTE, and the bit of RTNLGRP_IPV6_RULE.
const GROUPS: u32 = 0x40 | 0x80 | 0x400 | 1 << 18;

/// IP6_RT_PRIO_USER: metric of an IPv6 route added without one.
const METRIC_V6: u32 = 1024;

/// Losses found at one time.
#[derive(Debug, Default)]
pub struct Lost {
    /// Each pair of instance and kind at most once.
    pub instances: HashSet<(InstanceId, Loss)>,
    /// The netlink port that removed the last of them, if the kernel names it.
    pub by: Option<u32>,
    /// Loss of a static route or rule; the worse of two.
    pub statics: Option<Loss>,
    /// A route was added; another one may depend on it.
    pub grown: bool,
    /// The netlink port of another process that has set a route by VRRP's mark.
    pub setter: Option<u32>,
}

impl Lost {
    fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.statics.is_none() && !self.grown && self.setter.is_none()
    }

    fn lose_static(&mut self, loss: Loss) {
        if self.statics != Some(Loss::Path) {
            self.statics = Some(loss);
        }
    }
}

/// Addresses by the instances that have lost them, and how.
pub type LostAddresses = HashMap<(InstanceId, Loss), Vec<IpAddr>>;

/// The instance, and the interface.
type InstanceInterface = (InstanceId, Arc<str>);

/// Everything whose loss is to be detected.
#[derive(Debug, Default)]
pub struct Owned {
    /// By address and prefix.
    addresses: HashMap<(IpAddr, u8), Vec<InstanceInterface>>,
    /// All of them, tracked or not.
    virtuals: HashSet<IpAddr>,
    /// Instances whose addresses are the host's own.
    owners: HashSet<InstanceId>,
    routes: Vec<(InstanceId, Arc<Vec<Route>>)>,
    rules: Vec<(InstanceId, Arc<Vec<Rule>>)>,
    static_routes: Vec<Route>,
    static_rules: Vec<Rule>,
}

impl Owned {
    pub fn new<'a>(
        settings: impl IntoIterator<Item = (InstanceId, &'a InstanceSettings)>,
        static_routes: &[Route],
        static_rules: &[Rule],
    ) -> Self {
        let mut this = Self {
            static_routes: static_routes.iter().filter(|route| route.tracked).cloned().collect(),
            static_rules: static_rules.iter().filter(|rule| rule.tracked).cloned().collect(),
            ..Self::default()
        };
        for (id, settings) in settings {
            this.virtuals.extend(settings.addresses.all().map(|address| address.address));
            this.owners.extend(settings.priority.is_owner().then_some(id));
            for address in settings.addresses.all().filter(|address| address.tracked) {
                let device = address.device.as_ref().unwrap_or_else(|| settings.address_interface());
                let place = (id, Arc::clone(device));
                this.addresses.entry((address.address, address.prefix)).or_default().push(place);
            }
            if settings.routes.iter().any(|route| route.tracked) {
                this.routes.push((id, Arc::clone(&settings.routes)));
            }
            if settings.rules.iter().any(|rule| rule.tracked) {
                this.rules.push((id, Arc::clone(&settings.rules)));
            }
        }
        this
    }

    pub fn of_addresses(&self, removed: &Removed, table: &Table) -> LostAddresses {
        if removed.unknown {
            return unnamed(self.addresses.values().flatten().map(|(id, _)| (*id, Loss::Flushed)));
        }
        let mut lost = LostAddresses::new();
        for Gone { address, loss } in &removed.addresses {
            let places = self.addresses.get(&(address.address, address.prefix)).into_iter().flatten();
            let is_there = |device: &str| table.link(device).is_some_and(|it| it.ifindex == address.ifindex);
            for (id, _) in places.filter(|(_, device)| is_there(device)) {
                lost.entry((*id, *loss)).or_default().push(address.address);
            }
        }
        lost
    }

    /// Losses implied by changed links: an interface that was removed has no addresses, and the kernel removes IPv4
    /// routes without a notification when their interface goes down or loses its addresses.
    pub fn of_stirred(&self, stirred: &BTreeMap<String, Stir>, table: &Table) -> Lost {
        let mut lost = Lost::default();
        for (name, stir) in stirred {
            let present = table.link(name).map_or(&[][..], |link| table.addresses(link.ifindex));
            let addresses = || present.iter().chain(&stir.removed);
            let is_over = |route: &Route| {
                let is_source = |source: IpAddr| stir.removed.iter().any(|removed| removed.address == source);
                route.source.is_some_and(is_source)
                    || route.hops.iter().any(|hop| leads_over(hop, name, addresses()))
            };
            let has_any = |routes: &[Route]| routes.iter().any(|route| route.tracked && is_over(route));
            let routed = self.routes.iter().filter(|(_, routes)| has_any(routes)).map(|(id, _)| *id);
            lost.instances.extend(routed.map(|id| (id, Loss::Flushed)));
            if stir.link {
                let places = self.addresses.values().flatten().filter(|(_, device)| **device == **name);
                lost.instances.extend(places.map(|(id, _)| (*id, Loss::Flushed)));
            }
            if has_any(&self.static_routes) {
                lost.lose_static(Loss::Flushed);
            }
        }
        lost
    }

    /// Instances with an address before one of the host's own in a subnet: the kernel would remove both together. Only
    /// where addresses have marks (Linux 5.18): another daemon's are not the host's own, and would move behind in turn.
    pub fn before_host(&self, table: &Table) -> HashSet<InstanceId> {
        let is_host = |it: &&Address| it.secondary && !it.marked && !self.virtuals.contains(&it.address);
        let hosts: Vec<&Address> = table.all_addresses().filter(is_host).collect();
        if hosts.is_empty() {
            return HashSet::new();
        }
        let is_before = |address: IpAddr, prefix: u8, device: &str| {
            let present = table.link(device).map_or(&[][..], |link| table.addresses(link.ifindex));
            let is_it =
                |it: &&Address| it.address == address && it.prefix == prefix && it.marked && !it.secondary;
            present.iter().find(is_it).is_some_and(|found| {
                let is_behind = |host: &&Address| (host.ifindex, host.prefix) == (found.ifindex, prefix);
                hosts.iter().copied().filter(is_behind).any(|host| host.is_near(address))
            })
        };
        let owned = self.addresses.iter().filter(|((address, _), _)| address.is_ipv4());
        let before = owned.flat_map(|((address, prefix), places)| {
            let places = places.iter().filter(|(id, _)| !self.owners.contains(id));
            let here = places.filter(|(_, device)| is_before(*address, *prefix, device));
            here.map(|(id, _)| *id)
        });
        before.collect()
    }

    /// Handles a notification about a route or a rule.
    fn of_path(&self, message: &RouteNetlinkMessage, port: u32, lost: &mut Lost) {
        // Port 0: removed by the kernel itself.
        let loss = if port == 0 || socket::is_own(port) { Loss::Flushed } else { Loss::Path };
        let before = lost.instances.len();
        match message {
            RouteNetlinkMessage::NewRoute(message) if !socket::is_own(port) => {
                lost.grown = true;
                let is_marked = u8::from(message.header.protocol) == address::PROTOCOL;
                lost.setter = Some(port).filter(|port| is_marked && *port != 0).or(lost.setter);
            }
            RouteNetlinkMessage::DelRoute(message) => {
                let has_it = |routes: &[Route]| routes.iter().any(|it| it.tracked && is_route(it, message));
                let owners = self.routes.iter().filter(|(_, routes)| has_it(routes));
                lost.instances.extend(owners.map(|(id, _)| (*id, loss)));
                if has_it(&self.static_routes) {
                    lost.lose_static(loss);
                }
            }
            RouteNetlinkMessage::DelRule(message) => {
                let has_it = |rules: &[Rule]| rules.iter().any(|it| it.tracked && is_rule(it, message));
                let owners = self.rules.iter().filter(|(_, rules)| has_it(rules));
                lost.instances.extend(owners.map(|(id, _)| (*id, loss)));
                if has_it(&self.static_rules) {
                    lost.lose_static(loss);
                }
            }
            _ => {}
        }
        if lost.instances.len() > before && loss == Loss::Path {
            lost.by = Some(port);
        }
    }

    fn all_paths(&self) -> Lost {
        let routes = self.routes.iter().map(|(id, _)| *id);
        let rules = self.rules.iter().map(|(id, _)| *id);
        let instances = routes.chain(rules).map(|id| (id, Loss::Flushed)).collect();
        let statics = self.has_static_paths().then_some(Loss::Flushed);
        Lost { instances, by: None, statics, grown: true, setter: None }
    }

    fn has_static_paths(&self) -> bool {
        !self.static_routes.is_empty() || !self.static_rules.is_empty()
    }

    fn has_paths(&self) -> bool {
        !self.routes.is_empty() || !self.rules.is_empty() || self.has_static_paths()
    }
}

/// Losses of which it does not matter what was lost.
pub fn unnamed(lost: impl IntoIterator<Item = (InstanceId, Loss)>) -> LostAddresses {
    lost.into_iter().map(|it| (it, Vec::new())).collect()
}

/// Whether a hop uses the interface: by its name, or by a gateway reachable there.
fn leads_over<'a>(hop: &Hop, name: &str, mut addresses: impl Iterator<Item = &'a Address>) -> bool {
    match (&hop.device, hop.gateway) {
        (Some(device), _) => **device == *name,
        (None, Some(gateway)) => addresses.any(|address| address.is_near(gateway)),
        (None, None) => false,
    }
}

fn is_route(wanted: &Route, message: &RouteMessage) -> bool {
    use route::RouteAttribute::{Destination, Gateway, Priority, Table};
    let header = &message.header;
    let (address, prefix) = wanted.destination;
    let standard = if address.is_ipv6() { METRIC_V6 } else { 0 };
    let (mut table, mut metric, mut destination, mut gateway) = (u32::from(header.table), 0, None, None);
    for attribute in &message.attributes {
        match attribute {
            Table(number) => table = *number,
            Priority(number) => metric = *number,
            Destination(value) => destination = Some(value),
            Gateway(value) => gateway = Some(value),
            _ => {}
        }
    }
    let is_there = match destination {
        Some(destination) => *destination == address.into(),
        None => prefix == 0 && u8::from(header.address_family) == family(address),
    };
    let leads_there = match wanted.hops.as_slice() {
        [hop] => hop.gateway.is_none_or(|wanted| gateway.is_none_or(|found| *found == wanted.into())),
        _ => true,
    };
    let same = (header.destination_prefix_length, header.tos, table, u8::from(header.protocol))
        == (prefix, wanted.tos, wanted.table, wanted.protocol);
    is_there && leads_there && same && metric == wanted.metric.unwrap_or(standard)
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    u8::try_from(family).unwrap_or(0)
}

fn is_rule(wanted: &Rule, message: &RuleMessage) -> bool {
    use rule::RuleAttribute::{Destination, Priority, Protocol, Source};
    let (mut preference, mut protocol, mut from, mut to) = (0, 0, None, None);
    for attribute in &message.attributes {
        match attribute {
            Priority(number) => preference = *number,
            Protocol(number) => protocol = u8::from(*number),
            Source(address) => from = Some((*address, message.header.src_len)),
            Destination(address) => to = Some((*address, message.header.dst_len)),
            _ => {}
        }
    }
    u8::from(message.header.family) == family_of(wanted)
        && (preference, protocol) == (wanted.preference, wanted.protocol)
        && (from, to) == (wanted.from, wanted.to)
}

fn family_of(rule: &Rule) -> u8 {
    let family = match rule.family {
        vrrp_ebpf::wire::Family::V4 => libc::AF_INET,
        vrrp_ebpf::wire::Family::V6 => libc::AF_INET6,
    };
    u8::try_from(family).unwrap_or(0)
}

/// Monitors routes and rules. Active only if some instance has any: a host may have a million routes.
#[derive(Debug)]
pub struct PathMonitor {
    changes: Option<AsyncFd<RouteSocket>>,
    is_wanted: bool,
    /// Kept by a caller that waits for other events as well, and begins to wait again after each.
    retry_at: Option<Instant>,
}

/// Between two attempts to open a socket at a reload, when no descriptor is left.
const RETRY: Duration = Duration::from_secs(1);

impl PathMonitor {
    /// Opens in the network namespace of the calling thread. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn open(belongings: &Owned) -> io::Result<Self> {
        let mut this = Self { changes: None, is_wanted: belongings.has_paths(), retry_at: None };
        this.provide()?;
        Ok(this)
    }

    /// Monitors those of another configuration. If no descriptor is left, it tries again.
    pub fn adopt(&mut self, belongings: &Owned) {
        self.is_wanted = belongings.has_paths();
        if let Err(error) = self.provide() {
            warn!(%error, "cannot see yet whether routes and rules are removed");
        }
    }

    fn provide(&mut self) -> io::Result<()> {
        if !self.is_wanted {
            self.changes = None;
        } else if self.changes.is_none() {
            let changes = RouteSocket::subscribe(GROUPS)?;
            // SAFETY: the socket owns its descriptor and keeps it for life.
            self.changes = Some(unsafe { AsyncFd::register_with_interest(changes, Interest::READABLE)? });
        }
        Ok(())
    }

    /// Waits until something is lost or, if that `matters`, a route is added; for ever if there is nothing to lose.
    ///
    /// # Errors
    /// Reading failed.
    pub async fn lost(&mut self, belongings: &Owned, matters: bool) -> io::Result<Lost> {
        while self.changes.is_none() && self.is_wanted {
            sleep_until(*self.retry_at.get_or_insert_with(|| Instant::now() + RETRY)).await;
            self.retry_at = None;
            if self.provide().is_ok() {
                // Any of them may have been removed meanwhile.
                return Ok(belongings.all_paths());
            }
        }
        let Some(changes) = &mut self.changes else { return std::future::pending().await };
        loop {
            let mut ready = changes.readable_mut().await?;
            let mut lost = Lost::default();
            loop {
                match ready
                    .get_inner_mut()
                    .receive(|message, port| belongings.of_path(&message, port, &mut lost))
                {
                    Ok(true) => {}
                    Ok(false) => break,
                    // The lost notifications may have been about any of them.
                    Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                        lost = belongings.all_paths();
                    }
                    Err(error) => return Err(error),
                }
            }
            ready.clear_ready();
            lost.grown &= matters;
            if !lost.is_empty() {
                return Ok(lost);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// The caller waits for other events as well, which come more often.
    #[tokio::test]
    async fn a_socket_is_opened_again_beside_other_events() {
        let mut monitor = PathMonitor { changes: None, is_wanted: true, retry_at: None };
        for _ in 0..100 {
            if timeout(RETRY / 10, monitor.lost(&Owned::default(), false)).await.is_ok() {
                return;
            }
        }
        panic!("it was never tried again");
    }
}
