//! The router that takes over when instances leave: whether one is known beforehand, and which it was.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::map::Peer;
use vrrp_ebpf::time::Timestamp;

use super::{No, state, until};
use crate::config::Instance;
use crate::daemon::status::{self, DaemonContext};
use crate::driver::clock;
use crate::protocol::{self, NoHeir, Standing, State};

/// The router that was heard as master after a handover.
pub(super) struct Heir {
    pub(super) name: String,
    pub(super) address: IpAddr,
    after: Duration,
}

impl Heir {
    pub(super) fn text(&self) -> String {
        format!("{} is master after {} ms", self.address, self.after.as_millis())
    }
}

pub(super) fn heir(context: &DaemonContext, instance: &Instance, began: Timestamp) -> Option<Heir> {
    let family = instance.settings.family;
    let peers = context.maps.peers(instance.id).map(|(_, peer)| peer);
    let is_heir = |peer: &Peer| peer.priority > 0 && Timestamp::from_nanos(peer.last_seen) > began;
    let peer = peers.filter(is_heir).max_by_key(|peer| peer.priority)?;
    let address = status::source(&peer, family).parse().ok()?;
    let after = Timestamp::from_nanos(peer.last_seen).since(began);
    Some(Heir { name: instance.settings.name.to_string(), address, after })
}

/// What is known of other routers of an instance.
pub(super) fn standing(context: &DaemonContext, instance: &Instance, state: State) -> Standing {
    let settings = &instance.settings;
    let peers: Vec<Peer> = context.maps.peers(instance.id).map(|(_, peer)| peer).collect();
    let address = |peer: &Peer| status::source(peer, settings.family).parse().ok();
    Standing {
        state,
        master: status::master(&peers, clock::now()).and_then(address),
        heard: peers.iter().max_by_key(|peer| peer.last_seen).and_then(address),
        peer: settings.unicast.as_ref().and_then(|unicast| unicast.peers.first()).map(|peer| peer.address),
    }
}

/// Refuses what would leave the addresses of an instance without a router that serves them.
pub(super) fn refuse_without_heir(
    context: &DaemonContext,
    scope: &[&Instance],
    command: &str,
) -> Result<(), No> {
    let mut lines = Vec::new();
    for instance in scope {
        let Some(state) = state(context, instance) else { continue };
        let (name, interface) = (&instance.settings.name, &instance.settings.interface);
        let vrid = instance.settings.vrid.number();
        match protocol::may_leave(&standing(context, instance, state)) {
            Ok(()) => {}
            Err(NoHeir::Alone) => lines.push(format!(
                "{name} is master, and no router is known that would serve its addresses: no other router of VRID {vrid} \
                 has sent an advert on {interface} since this daemon started, and it has no unicast_peer; a backup \
                 sends none, so one may be there: vrrpx failover {name} --force tries, and stays master if none is"
            )),
            Err(NoHeir::NoMaster) => lines.push(format!(
                "{name} is a backup that hears no master of VRID {vrid} on {interface}: no router would serve its addresses"
            )),
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    lines.push(format!("nothing is changed; vrrpx {command} --force does it nevertheless"));
    Err(No::Refused(lines))
}

pub(super) fn refuse_in_maintenance(context: &DaemonContext, scope: &[&Instance]) -> Result<(), No> {
    let inner = context.history.read();
    for name in scope.iter().map(|it| &it.settings.name) {
        if let Some(order) = inner.steerings.of(name).and_then(|steered| steered.maintenance.as_ref()) {
            let (until, by) = (until(order), &order.by);
            return Err(No::Refused(vec![format!(
                "{name} is in maintenance {until}, by {by}; end that first: vrrpx maintenance off {name}"
            )]));
        }
    }
    Ok(())
}

pub(super) fn refuse_owners(scope: &[&Instance], why: &str) -> Result<(), No> {
    let owner = scope.iter().find(|it| it.settings.priority.is_owner());
    owner.map_or(Ok(()), |owner| {
        let name = &owner.settings.name;
        Err(No::Refused(vec![format!("{name} owns its addresses (priority 255): {why}")]))
    })
}

pub(super) fn not_taken(names: &[String], outcome: &str, command: &str) -> Vec<String> {
    let line = |name: &String| format!("{name}: no other router took over in time, and it is {outcome}");
    let mut lines: Vec<String> = names.iter().map(line).collect();
    if command == "maintenance on" {
        lines.push(
            "vrrpx maintenance on --force takes it out although no router serves its addresses then"
                .to_owned(),
        );
    }
    lines
}
