//! Reception monitor: compares the adverts that the program sees with those that the host's own sockets receive.
//!
//! Enters: what the maps and a reference socket per interface have received since the last round. Leaves: the
//! [`ReceptionFault`] of each instance. Absent: remedies, apart from their words. It runs on the main thread, each
//! [`PAUSE`] and more often while something differs; nothing waits for it.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::map::LocalKey;
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::address::narrow;

use crate::config::InstanceSettings;
use crate::driver::causes;
use crate::driver::locals::Locals;
use crate::driver::maps::Maps;
use crate::driver::socket::{HeardVrids, ReferenceSocket, is_member};
use crate::protocol::InstanceId;

/// From one round to the next; with many interfaces more, at [`COST`] for each, up to [`PAUSE_MAX`].
pub const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(2);
const COST: Duration = Duration::from_millis(4);
/// The same while something differs: with adverts each second, a fault has a finding after 1.7 s at the latest.
const PAUSE_SUSPICIOUS: Duration = Duration::from_millis(100);

/// Rounds until a difference counts. In one round an advert may still be on its way from the program to the socket.
const PROGRAM_MISSES_ROUNDS: u8 = 2;
const UNHEARD_ROUNDS: u8 = 3;

/// Time without any advert after which a finding expires. Longer than any advert interval of version 3.
const QUIET: Duration = Duration::from_secs(60);

/// A reception fault: which receiver misses adverts that the other one receives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReceptionFault {
    /// Sockets receive adverts that the program did not see.
    Program,
    /// The program receives adverts that no socket does, because no socket is a member of the group.
    Membership,
    /// The same, because they come from an address that this host has too.
    OwnAddress(IpAddr),
    /// The program receives adverts that no socket does.
    Host,
}

impl ReceptionFault {
    pub const RECEIVERS: [&'static str; 2] = ["program", "host"];

    /// The receiver that misses adverts, as status and metrics name it.
    pub const fn receiver(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Membership | Self::OwnAddress(_) | Self::Host => "host",
        }
    }
}

impl ReceptionFault {
    /// For people, with the cause if the kernel shows one.
    pub fn described(self, settings: &InstanceSettings, ifindex: u32) -> String {
        match self {
            Self::Host => causes::unheard(settings, ifindex).map_or_else(
                || self.to_string(),
                |cause| {
                    format!(
                        "adverts reach the program and no socket of this host: {cause}. Elections are not affected; other \
                         programs receive nothing"
                    )
                },
            ),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for ReceptionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnAddress(address) => {
                return write!(
                    f,
                    "adverts of {address} reach the program and no socket of this host, which has {address} too: remove \
                     it here (ip address del), or give the other router its own"
                );
            }
            Self::Program => {
                "adverts reach the sockets of this host and not the program: another BPF program runs before it"
            }
            Self::Membership => {
                "adverts reach the program and no socket of this host: no socket is a member of the group, and a \
                 switch may stop forwarding it"
            }
            Self::Host => {
                "adverts reach the program and no socket of this host: look for a firewall or rp_filter. Elections \
                 are not affected; other programs receive nothing"
            }
        })
    }
}

/// An instance whose interface has the program attached.
#[derive(Clone, Copy, Debug)]
pub struct ReceptionPlace<'a> {
    pub id: InstanceId,
    pub settings: &'a InstanceSettings,
    pub ifindex: u32,
    /// The instance's own source address.
    pub source: Option<IpAddr>,
}

#[derive(Debug, Default)]
pub struct ReceptionMonitor {
    references: HashMap<(u32, Family), ReferenceSocket>,
    marks: HashMap<InstanceId, Mark>,
}

/// Findings of earlier rounds.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// Stamp of the latest advert in the maps.
    seen: Timestamp,
    /// Rounds in which sockets received adverts and the program did not.
    program_misses: u8,
    /// Adverts that the program had counted at the latest of those rounds.
    counted: u64,
    /// Rounds since the program has received an advert that no socket did.
    unheard: u8,
    /// Since when neither has received any.
    quiet_since: Option<Timestamp>,
}

impl ReceptionMonitor {
    /// Time until the next round.
    pub fn pause(&self) -> Duration {
        let interfaces = u32::try_from(self.references.len()).unwrap_or(u32::MAX);
        let cost = COST.saturating_mul(interfaces).min(PAUSE_MAX);
        if self.is_suspicious() { PAUSE_SUSPICIOUS.max(cost / 2) } else { PAUSE.max(cost) }
    }

    /// Whether something differs that does not count yet.
    pub fn is_suspicious(&self) -> bool {
        self.marks.values().any(|mark| {
            (1..PROGRAM_MISSES_ROUNDS).contains(&mark.program_misses)
                || (1..UNHEARD_ROUNDS).contains(&mark.unheard)
        })
    }

    /// The fault of each instance that has one. Takes a few system calls per interface, and one per instance that
    /// watches no master and whose adverts reach sockets.
    pub fn check(
        &mut self,
        places: &[ReceptionPlace<'_>],
        maps: &Maps,
        now: Timestamp,
    ) -> HashMap<InstanceId, ReceptionFault> {
        // Before the sockets: adverts that the program has seen by now have reached them, or soon will.
        let before: Vec<Timestamp> = places.iter().map(|place| seen(maps, place.id)).collect();
        let answers = self.ask(places, maps.locals());
        let mut marks = HashMap::with_capacity(places.len());
        let mut found = HashMap::new();
        for (place, before) in places.iter().zip(before) {
            let ReceptionPlace { id, settings, ifindex, source } = *place;
            // The answer may be for another instance of the interface. After a reload without this, there is no mark.
            if !settings.reaches_sockets() {
                continue;
            }
            let mut mark = self.marks.get(&id).copied().unwrap_or(Mark { seen: before, ..Mark::default() });
            if let Some(heard_vrids) = answers.get(&(ifindex, settings.family)) {
                let has_heard = heard_vrids.has_heard(settings.vrid.number(), source);
                // An advert that came in between has reached the program before the sockets.
                let seen = if has_heard { seen(maps, id) } else { before };
                let is_new = std::mem::replace(&mut mark.seen, seen) < seen;
                if has_heard {
                    (mark.unheard, mark.quiet_since) = (0, None);
                    mark.heard_by_sockets(is_new, || maps.counters(Some(id)).adverts());
                } else if is_new
                    && !heard_vrids.is_partial
                    && !settings.vmacs.keep_from_sockets(&settings.interface)
                {
                    (mark.unheard, mark.quiet_since) = (mark.unheard.saturating_add(1), None);
                } else if !is_new {
                    mark.neither_heard(now);
                }
            }
            let fault = match mark.reception_fault(settings, ifindex) {
                // The kernel drops packets from the wire that claim to come from this host.
                Some(ReceptionFault::Host) => own_address(maps, id, settings.family, ifindex)
                    .map_or(Some(ReceptionFault::Host), |own| Some(ReceptionFault::OwnAddress(own))),
                other => other,
            };
            found.extend(fault.map(|fault| (id, fault)));
            marks.insert(id, mark);
        }
        self.marks = marks;
        found
    }

    /// Forgets the findings of instances whose program has another position in the chain now.
    pub fn forget(&mut self, ids: &[InstanceId]) {
        self.marks.retain(|id, _| !ids.contains(id));
    }

    fn ask(&mut self, places: &[ReceptionPlace<'_>], locals: &Locals) -> HashMap<(u32, Family), HeardVrids> {
        let mut answers = HashMap::new();
        for ReceptionPlace { settings, ifindex, .. } in
            places.iter().filter(|place| place.settings.reaches_sockets())
        {
            let (ifindex, place) = (*ifindex, (*ifindex, settings.family));
            if answers.contains_key(&place) {
                continue;
            }
            // A socket that cannot be opened now, as for an interface that goes, is tried again in the next round.
            let reference = self
                .references
                .remove(&place)
                .map_or_else(|| ReferenceSocket::open(settings.family, ifindex), Ok);
            let asked = reference.and_then(|mut reference| Ok((reference.take(locals)?, reference)));
            if let Ok((heard_vrids, reference)) = asked {
                answers.insert(place, (heard_vrids, reference));
            }
        }
        let (mut reported, mut references) = (HashMap::new(), HashMap::new());
        for (place, (heard_vrids, reference)) in answers {
            reported.insert(place, heard_vrids);
            references.insert(place, reference);
        }
        self.references = references;
        reported
    }
}

impl Mark {
    fn heard_by_sockets(&mut self, is_new: bool, counted: impl FnOnce() -> u64) {
        if is_new {
            self.program_misses = 0;
            return;
        }
        // Unverified senders, and senders without room for a record, are only counted.
        let counted = counted();
        let stands_still = self.program_misses > 0 && self.counted == counted;
        self.program_misses = if stands_still { self.program_misses.saturating_add(1) } else { 1 };
        self.counted = counted;
    }

    /// An advert that no socket had received in the last round has not come since: it is not on its way.
    fn neither_heard(&mut self, now: Timestamp) {
        if self.unheard > 0 {
            self.unheard = self.unheard.saturating_add(1);
        }
        let since = *self.quiet_since.get_or_insert(now);
        if now.since(since) >= QUIET {
            (self.program_misses, self.unheard) = (0, 0);
        }
    }

    fn reception_fault(self, settings: &InstanceSettings, ifindex: u32) -> Option<ReceptionFault> {
        let is_member = || settings.unicast.is_some() || is_member(settings.group(), ifindex);
        match self {
            Self { program_misses: PROGRAM_MISSES_ROUNDS.., .. } => Some(ReceptionFault::Program),
            Self { unheard: UNHEARD_ROUNDS.., .. } if is_member() => Some(ReceptionFault::Host),
            Self { unheard: UNHEARD_ROUNDS.., .. } => Some(ReceptionFault::Membership),
            _ => None,
        }
    }
}

/// The source of the latest advert, if that is an address of this interface.
fn own_address(maps: &Maps, id: InstanceId, family: Family, ifindex: u32) -> Option<IpAddr> {
    let (_, latest) = maps.peers(id).max_by_key(|(_, peer)| peer.last_seen)?;
    let key = LocalKey::of_address(ifindex, family, latest.source);
    maps.locals().contains(&key).then(|| narrow(family, latest.source))
}

/// When the program, or the daemon for signed adverts, last received an advert of any sender.
fn seen(maps: &Maps, id: InstanceId) -> Timestamp {
    maps.last_seen(id).unwrap_or_else(|| {
        let peers = maps.peers(id).map(|(_, peer)| Timestamp::from_nanos(peer.last_seen));
        peers.max().unwrap_or(Timestamp::ZERO)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WATCHED: bool = true;

    fn program_misses(rounds: &[(bool, u64)]) -> u8 {
        let mut mark = Mark::default();
        rounds.iter().for_each(|(is_new, counted)| mark.heard_by_sockets(*is_new, || *counted));
        mark.program_misses
    }

    #[test]
    fn the_program_is_deaf_when_nothing_is_counted_between_two_rounds() {
        assert_eq!(program_misses(&[(!WATCHED, 7)]), 1);
        assert_eq!(program_misses(&[(!WATCHED, 7), (!WATCHED, 7)]), PROGRAM_MISSES_ROUNDS);
        // Senders that are not recorded are counted.
        assert_eq!(program_misses(&[(!WATCHED, 7), (!WATCHED, 8), (!WATCHED, 9)]), 1);
        assert_eq!(program_misses(&[(!WATCHED, 7), (WATCHED, 7), (!WATCHED, 7)]), 1);
    }

    #[test]
    fn a_finding_expires_when_neither_side_hears_anything() {
        let mut mark = Mark { unheard: UNHEARD_ROUNDS, ..Mark::default() };
        let at = |seconds: u64| Timestamp::from_nanos((100 + seconds) * 1_000_000_000);
        (0..QUIET.as_secs()).for_each(|second| mark.neither_heard(at(second)));
        assert!(mark.unheard >= UNHEARD_ROUNDS);
        mark.neither_heard(at(QUIET.as_secs()));
        assert_eq!(mark.unheard, 0);
    }

    /// With one advert a second there are rounds without a further one.
    #[test]
    fn an_advert_that_no_socket_receives_is_found_without_a_further_one() {
        let mut mark = Mark { unheard: 1, ..Mark::default() };
        let at = |look: u64| Timestamp::from_nanos(look * 100_000_000);
        (1..u64::from(UNHEARD_ROUNDS)).for_each(|look| mark.neither_heard(at(look)));
        assert!(mark.unheard >= UNHEARD_ROUNDS);
        let mut quiet = Mark::default();
        (1..9).for_each(|round| quiet.neither_heard(at(round)));
        assert_eq!(quiet.unheard, 0);
    }
}
