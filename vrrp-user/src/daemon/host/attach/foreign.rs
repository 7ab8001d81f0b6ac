//! XDP programs of others that keep adverts from this node.
//!
//! Enters: once a second, the interfaces whose XDP hook is not ours. Leaves: the programs that do not pass an advert,
//! in log and history. The program is asked by a test run with an advert of the instance, when it is new and then every
//! few seconds, as its maps may have changed. Absent: a remedy, as the hook is its owner's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::narrow;

use super::Attachments;
use crate::driver::socket::advert_of_peer;
use crate::driver::xdp::Foreign;
use crate::driver::{RxPath, clock};

/// Between two questions to the same program.
const AGAIN: Duration = Duration::from_secs(5);

/// Interfaces that are looked at each second; further ones take turns. A look is a netlink request.
const LOOKS: usize = 32;

/// The latest answers, by interface index.
#[derive(Debug, Default)]
pub(super) struct Answers {
    known: HashMap<u32, (Foreign, Timestamp)>,
    /// Number of looks, for the turns.
    turn: usize,
}

impl Attachments {
    /// Looks at the XDP hooks of others.
    pub(super) fn ask_foreign(&mut self) {
        let is_free = |rx_path: &RxPath| !matches!(rx_path, RxPath::Native | RxPath::Generic);
        let mut all: Vec<u32> = self
            .rx_paths
            .iter()
            .filter(|(_, rx_path)| is_free(rx_path))
            .map(|(ifindex, _)| *ifindex)
            .collect();
        all.sort_unstable();
        self.foreign.known.retain(|ifindex, _| all.binary_search(ifindex).is_ok());
        let first = self.foreign.turn.checked_rem(all.len()).unwrap_or_default();
        let looked: Vec<u32> = all.iter().cycle().skip(first).take(LOOKS.min(all.len())).copied().collect();
        self.foreign.turn = if all.len() > LOOKS { first + LOOKS } else { 0 };
        let now = clock::now();
        for ifindex in looked {
            let id = Foreign::id_on(ifindex);
            let known = self.foreign.known.get(&ifindex);
            let is_fresh =
                known.is_some_and(|(program, at)| Some(program.id) == id && now.since(*at) < AGAIN);
            if is_fresh || (id.is_none() && known.is_none()) {
                continue;
            }
            match id.and_then(|id| self.judged(id, ifindex)) {
                Some(program) => {
                    self.note_foreign(ifindex, Some(&program));
                    self.foreign.known.insert(ifindex, (program, now));
                }
                None => {
                    self.note_foreign(ifindex, None);
                    self.foreign.known.remove(&ifindex);
                }
            }
        }
        self.forget_foreign();
    }

    /// Forgets programs on interfaces that are gone or were made again.
    fn forget_foreign(&mut self) {
        let is_hidden = |name: &str| {
            let mut hiding =
                self.foreign.known.iter().filter(|(_, (program, _))| program.passes == Some(false));
            hiding.any(|(ifindex, _)| {
                let mut here = self.places.iter().filter(|(_, place)| place.ifindex == Some(*ifindex));
                here.any(|(id, _)| self.instances.get(id).is_some_and(|it| *it.interface == *name))
            })
        };
        let past: Vec<Arc<str>> =
            self.history.read().hidden_by.keys().filter(|name| !is_hidden(name)).cloned().collect();
        past.iter().for_each(|name| drop(self.history.hidden_by(name, None)));
    }

    /// `None` if no instance there has an advert to ask with.
    fn judged(&self, id: u32, ifindex: u32) -> Option<Foreign> {
        let here = self.places.iter().filter(|(_, place)| place.ifindex == Some(ifindex));
        let mut frames = here.filter_map(|(instance, place)| {
            let settings = self.instances.get(instance)?;
            let own = place.source?;
            let latest = self.maps.peers(*instance).map(|(_, peer)| peer).max_by_key(|peer| peer.last_seen);
            let heard = latest.map(|peer| narrow(settings.family, peer.source));
            let configured = settings.unicast.as_ref().and_then(|it| it.peers.first()).map(|it| it.address);
            let peer: IpAddr = heard.or(configured).unwrap_or(own);
            advert_of_peer(settings, peer, own)
        });
        frames.next().map(|frame| Foreign::judge(id, ifindex, &frame))
    }

    fn note_foreign(&self, ifindex: u32, program: Option<&Foreign>) {
        let mut here = self.places.iter().filter(|(_, place)| place.ifindex == Some(ifindex));
        let settings = here.next().and_then(|(instance, _)| self.instances.get(instance));
        let Some(interface) = settings.map(|settings| Arc::clone(&settings.interface)) else { return };
        let hides = program.filter(|program| program.passes == Some(false));
        let before = self.history.hidden_by(&interface, hides.cloned());
        match (hides, before) {
            (Some(now), before) if before.as_ref() != Some(now) => {
                let Foreign { id, name, .. } = now;
                warn!(
                    %interface, program = name, id,
                    "another XDP program keeps adverts from this node: it hears no other router there"
                );
            }
            (None, Some(_)) => {
                info!(%interface, "no other XDP program keeps adverts from this node any more");
            }
            _ => {}
        }
    }
}
