//! The routers that may take over from an instance, and whether the one that an operator names would.
//!
//! Enters: records of senders, unicast peers. Leaves: a refusal, or the instances whose heir is to be that router.
//! Absent: a promise. A backup sends no adverts: the priority of another router is known from its latest advert as
//! master, and may have changed; one that was never master since this daemon started, and is no unicast peer, is not
//! known at all, and may win.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::{No, state};
use crate::config::Instance;
use crate::daemon::status::{self, DaemonContext, rough};
use crate::driver::clock;
use crate::protocol::State;

/// What is known of another router of an instance.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    address: IpAddr,
    /// Of its latest advert; `None` if it has sent none, or released its addresses with it.
    priority: Option<u8>,
    /// Time since its latest advert.
    ago: Option<Duration>,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        match (self.priority, self.ago) {
            (Some(priority), Some(ago)) => write!(f, " (priority {priority} {} ago)", ago_text(ago)),
            (None, Some(ago)) => write!(f, " (released its addresses {} ago)", ago_text(ago)),
            (_, None) => f.write_str(" (a unicast_peer that has sent no advert)"),
        }
    }
}

fn ago_text(ago: Duration) -> String {
    rough(ago.as_secs_f64())
}

/// The router that would win against `wanted`, as far as is known: of equal priorities the higher address.
fn winner(wanted: &Candidate, all: &[Candidate]) -> Option<Candidate> {
    let rank = |it: &Candidate| Some((it.priority?, it.address));
    let own = rank(wanted)?;
    let better = all.iter().filter(|it| rank(it).is_some_and(|rank| rank > own));
    better.max_by_key(|it| rank(it)).copied()
}

fn candidates(context: &DaemonContext, instance: &Instance) -> Vec<Candidate> {
    let (settings, now) = (&instance.settings, clock::now());
    let heard = context.maps.peers(instance.id).filter_map(|(_, peer)| {
        Some(Candidate {
            address: status::source(&peer, settings.family).parse().ok()?,
            priority: (peer.priority > 0).then_some(peer.priority),
            ago: Some(now.since(Timestamp::from_nanos(peer.last_seen))),
        })
    });
    let mut all: Vec<Candidate> = heard.collect();
    let configured = settings.unicast.iter().flat_map(|unicast| &unicast.peers).map(|peer| peer.address);
    for address in configured {
        if !all.iter().any(|it| it.address == address) {
            all.push(Candidate { address, priority: None, ago: None });
        }
    }
    all
}

/// The masters among `scope` whose heir is to have one of these addresses. One router may have another address on each
/// interface: of a sync group, those members count that know one of the addresses.
///
/// # Errors
/// No such router is known, or another one would win; not if the operator forces it.
pub(super) fn wanted<'a>(
    context: &DaemonContext,
    scope: &[&'a Instance],
    to: &[IpAddr],
    force: bool,
) -> Result<Vec<&'a Instance>, No> {
    let masters: Vec<&Instance> =
        scope.iter().copied().filter(|it| state(context, it) == Some(State::Master)).collect();
    let (mut found, mut refusals, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for instance in &masters {
        let name = &instance.settings.name;
        let all = candidates(context, instance);
        match all.iter().find(|it| to.contains(&it.address)) {
            Some(wanted) => {
                found.push(*instance);
                refusals.extend(winner(wanted, &all).map(|winner| {
                    format!("{name}: {winner} would become master, not {wanted}, if it is still there")
                }));
            }
            None => unknown.push(unknown_text(context, instance, to, &all)),
        }
    }
    if force {
        return Ok(if found.is_empty() { masters } else { found });
    }
    if found.is_empty() {
        refusals = unknown;
    }
    if refusals.is_empty() {
        return Ok(found);
    }
    refusals.push("nothing is changed; vrrpx failover --to PEER --force tries nevertheless".to_owned());
    Err(No::Refused(refusals))
}

fn unknown_text(context: &DaemonContext, instance: &Instance, to: &[IpAddr], all: &[Candidate]) -> String {
    let settings = &instance.settings;
    let (name, interface, vrid) = (&settings.name, &settings.interface, settings.vrid.number());
    let own = vrrp_ebpf::wire::address::narrow(settings.family, context.maps.slot(instance.id).source);
    if to.contains(&own) {
        return format!("{name}: {own} is this node, which is master");
    }
    let to = to.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let known = match all {
        [] => "no other router is known".to_owned(),
        all => format!("known: {}", all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    };
    format!(
        "{name}: no router {to} of VRID {vrid} is known: it has sent no advert on {interface} since this daemon \
         started, as a backup sends none, and is no unicast_peer; {known}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(last: u8, priority: Option<u8>) -> Candidate {
        Candidate { address: [192, 0, 2, last].into(), priority, ago: Some(Duration::from_secs(5)) }
    }

    #[test]
    fn the_highest_known_priority_wins_and_of_equal_ones_the_higher_address() {
        let wanted = router(2, Some(100));
        let wins = |others: &[Candidate]| winner(&wanted, &[others, &[wanted]].concat()).map(|it| it.address);
        assert_eq!(wins(&[]), None);
        assert_eq!(wins(&[router(3, Some(99)), router(1, Some(100))]), None);
        assert_eq!(wins(&[router(3, Some(100))]), Some([192, 0, 2, 3].into()));
        assert_eq!(wins(&[router(1, Some(101)), router(4, Some(150))]), Some([192, 0, 2, 4].into()));
        assert_eq!(wins(&[router(4, None)]), None, "its priority is not known");
        let unheard = router(2, None);
        assert_eq!(winner(&unheard, &[unheard, router(4, Some(150))]), None, "nor is that of the wanted one");
    }
}
