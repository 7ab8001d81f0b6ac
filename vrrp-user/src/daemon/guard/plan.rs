//! The guard's plan, from the configuration, what former ones have left, and the interfaces that are there.
//!
//! Fenced addresses stay until the new master has announced them: neighbours that know them go on sending until then,
//! and no neighbour resolves them here. Other addresses go when the lease ends, before a peer takes them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Config, InstanceSettings, VirtualAddress};
use crate::driver::cleanup_plan::Stage;
use crate::driver::netlink::address::{self, Placed};
use crate::driver::netlink::filter::{self, Filter};
use crate::driver::netlink::origin;
use crate::driver::netlink::socket::{Request, RouteSocket};
use crate::driver::netlink::table::{Address, Table};
use crate::driver::netlink::{route, rule, vmac};
use crate::protocol::{InstanceId, Priority, lease, skew};

/// Time for the new master to set and announce its addresses.
const SETTLE: Duration = Duration::from_millis(250);

/// Everything that the instances of a configuration may have set, and the addresses of former settings, by when it is
/// removed.
pub(super) fn stages(
    socket: &mut RouteSocket,
    config: &Config,
    former: &[&InstanceSettings],
    table: &Table,
    is_fenced: impl Fn(InstanceId) -> bool,
    filters: &[Filter],
) -> Vec<Stage> {
    let mut due: BTreeMap<Duration, Due<'_>> = BTreeMap::new();
    for instance in &config.instances {
        let settings = &instance.settings;
        let due = due.entry(moment(settings, is_fenced(instance.id))).or_default();
        due.requests.extend(rule::removals(&settings.rules));
        due.requests.extend(route::removals(socket, &settings.routes));
        due.addresses.extend(addresses(settings, table, |_| true));
    }
    for settings in former {
        let is_left = |address: &VirtualAddress| {
            !config.instances.iter().any(|it| has(&it.settings, settings, address))
        };
        due.entry(moment(settings, false)).or_default().addresses.extend(addresses(settings, table, is_left));
    }
    let mut due: BTreeMap<Duration, Vec<Request>> =
        due.into_iter().map(|(after, due)| (after, due.requests())).collect();
    let interfaces = config.instances.iter().flat_map(|instance| instance.settings.vmacs.all());
    let present = interfaces.filter_map(|vmac| table.link(vmac.name.as_arc()));
    let removals = present.map(|link| vmac::removal(link.ifindex)).collect::<Vec<_>>();
    if let Some(mut last) = due.last_entry() {
        last.get_mut().extend(removals);
        // After the addresses that they fence.
        last.get_mut().extend(filters.iter().copied().map(filter::removal));
    }
    due.into_iter().map(|(after, requests)| Stage { after, requests: socket.encoded(requests) }).collect()
}

/// What is removed at one time.
#[derive(Debug, Default)]
struct Due<'a> {
    requests: Vec<Request>,
    addresses: Vec<Placed<'a>>,
}

impl Due<'_> {
    /// The addresses go last, and together: their interfaces are looked at once.
    fn requests(mut self) -> Vec<Request> {
        self.requests.extend(address::removals(&self.addresses));
        self.requests
    }
}

/// How long after the daemon's death, which does not precede its last advert.
fn moment(settings: &InstanceSettings, is_fenced: bool) -> Duration {
    let lease = lease(settings.advert_interval, settings.down_timer_adverts);
    if !is_fenced {
        return lease;
    }
    let slowest = skew(settings.version, Priority(1), settings.advert_interval);
    lease.saturating_add(slowest).saturating_add(SETTLE)
}

/// Whether `settings` have this address of `other`, on the same interface.
fn has(settings: &InstanceSettings, other: &InstanceSettings, address: &VirtualAddress) -> bool {
    let device = other.device_of(address);
    settings.addresses.all().any(|it| it.address == address.address && settings.device_of(it) == device)
}

fn addresses<'a>(
    settings: &'a InstanceSettings,
    table: &Table,
    is_wanted: impl Fn(&VirtualAddress) -> bool,
) -> impl Iterator<Item = Placed<'a>> {
    let place = move |address| {
        let ifindex = table.link(settings.device_of(address))?.ifindex;
        (!is_own(settings, table, address)).then_some(Placed { ifindex, address, is_own: false })
    };
    settings.addresses.all().filter(move |it| is_wanted(it)).filter_map(place)
}

/// Whether the address is the host's own: one of an owner that VRRP has not set. Before Linux 5.18 the kernel does not
/// report that.
pub(super) fn is_own(settings: &InstanceSettings, table: &Table, address: &VirtualAddress) -> bool {
    let is_it = |it: &Address| it.address == address.address && !it.marked;
    let link = || table.link(settings.device_of(address));
    settings.priority == Priority::OWNER
        && origin::is_supported()
        && link().is_some_and(|link| table.addresses(link.ifindex).iter().any(is_it))
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::RouteNetlinkMessage;
    use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};

    use super::*;
    use crate::config::parse;

    /// The number of netlink messages, each of which begins with its length.
    fn count(mut requests: &[u8]) -> usize {
        let mut count = 0;
        while let Some((length, _)) = requests.split_first_chunk() {
            let length = usize::try_from(u32::from_ne_bytes(*length)).unwrap();
            requests = &requests[length.next_multiple_of(4).min(requests.len())..];
            count += 1;
        }
        count
    }

    #[test]
    fn addresses_that_go_together_have_their_interface_set_once() {
        let block = |vrid: usize| {
            let address = format!("virtual_ipaddress {{\n192.0.2.{vrid}/24\n}}");
            format!("vrrp_instance i{vrid} {{\ninterface lo\nvirtual_router_id {vrid}\n{address}\n}}\n")
        };
        let config = parse("t", &(1..=20).map(block).collect::<String>()).unwrap().config;
        let mut link = LinkMessage::default();
        link.header.index = 1;
        link.attributes.push(LinkAttribute::IfName("lo".to_owned()));
        let mut table = Table::default();
        table.apply(&RouteNetlinkMessage::NewLink(link));
        let stages = stages(&mut RouteSocket::open().unwrap(), &config, &[], &table, |_| false, &[]);
        let counts: Vec<usize> = stages.iter().map(|stage| count(&stage.requests)).collect();
        // Before the addresses and behind them, unless the host has `promote_secondaries` set.
        assert!(matches!(counts[..], [20 | 22]), "{counts:?}");
    }
}
