//! Peers that differ and unknown routers, read from the maps.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::atomic::Ordering::Relaxed;

use nix::net::if_::if_indextoname;
use vrrp_ebpf::map::{InstanceKey, UnknownRouter as Entry};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::address::narrow;

use super::peer::is_heard;
use super::{DaemonContext, Differing, UnknownRouter, family};
use crate::config;
use crate::daemon::live::LiveInstance;
use crate::daemon::mismatch::differences;
use crate::driver::clock;
use crate::driver::maps::WatchedMessages;
use crate::driver::socket::ProbeMessage;

impl DaemonContext {
    /// Differences of the heard peers of every instance, by its name.
    pub fn differing(&self) -> Vec<(&str, Differing)> {
        self.still_differing(&mut WatchedMessages::default())
    }

    /// The same again and again, which reads the messages that have changed.
    pub(in crate::daemon) fn still_differing(
        &self,
        messages: &mut WatchedMessages,
    ) -> Vec<(&str, Differing)> {
        let now = clock::now();
        let of = |(config, live)| {
            let found = self.differing_from(config, live, messages, now);
            found.into_iter().map(|it| (&*config.settings.name, it))
        };
        self.instances().flat_map(of).collect()
    }

    pub(super) fn differing_from(
        &self,
        config: &config::Instance,
        live: &LiveInstance,
        messages: &mut WatchedMessages,
        now: Timestamp,
    ) -> Vec<Differing> {
        let settings = &config.settings;
        let watched = messages.of(&self.maps, config.id);
        let mut all = Vec::new();
        for (_, peer) in self.maps.peers(config.id).filter(|(_, peer)| is_heard(peer, now)) {
            let message = watched.filter(|(source, _)| *source == peer.source);
            let message = message.map(|(_, message)| &**message);
            let found = differences(settings, live.priority(), &peer, message);
            all.extend(found.iter().map(|difference| Differing {
                peer: narrow(settings.family, peer.source).to_string(),
                what: difference.as_str().to_owned(),
                detail: difference.to_string(),
            }));
        }
        all
    }

    /// Unknown routers: neither ours nor peers. Takes system calls if a program is loaded.
    pub fn unknown_routers(&self) -> Vec<UnknownRouter> {
        named(&self.unknown_entries(), clock::now())
    }

    /// The records of the maps, without probes of the wire, which no router sends, and without those of instances that
    /// were configured, or whose interface was found, after the program had begun to count.
    pub(super) fn unknown_entries(&self) -> UnknownRouters {
        let mut entries = self.maps.unknown_routers();
        if entries.is_empty() {
            return entries;
        }
        entries.retain(|key, entry| ProbeMessage::of_record(key, entry).is_none());
        for (config, live) in self.instances() {
            let (ifindex, settings) = (live.ifindex.load(Relaxed), &config.settings);
            entries.remove(&InstanceKey::new(ifindex, 0, settings.family, settings.vrid.number()));
        }
        entries
    }
}

/// The maps' records of unknown routers.
pub(super) type UnknownRouters = HashMap<InstanceKey, Entry>;

pub(super) fn named(unknown_routers: &UnknownRouters, now: Timestamp) -> Vec<UnknownRouter> {
    let mut all: Vec<UnknownRouter> =
        unknown_routers.iter().map(|(key, entry)| unknown_router(*key, entry, now)).collect();
    all.sort_by(|one, other| {
        let place = |it: &UnknownRouter| (it.interface.clone(), it.vrid, it.family.clone());
        place(one).cmp(&place(other))
    });
    all
}

fn unknown_router(key: InstanceKey, entry: &Entry, now: Timestamp) -> UnknownRouter {
    let of = if key.family == Family::V4 as u8 { Family::V4 } else { Family::V6 };
    let name = if_indextoname(key.ifindex).map_or_else(|_| CString::default(), Into::into);
    let name = name.to_string_lossy();
    UnknownRouter {
        interface: if name.is_empty() { format!("index {}", key.ifindex) } else { name.into_owned() },
        vlan: key.vlan,
        family: family(of).to_owned(),
        vrid: key.vrid,
        kind: kind(entry.version),
        source: narrow(of, entry.source).to_string(),
        adverts: entry.adverts,
        last_advert_seconds: now.since(Timestamp::from_nanos(entry.last_seen)).as_secs_f64(),
    }
}

/// Other protocols may use VRRP's protocol number, with any content.
fn kind(version: u8) -> String {
    match version {
        Entry::CARP => "carp".to_owned(),
        2 | 3 => format!("vrrp{version}"),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_version_is_not_called_carp() {
        assert_eq!(
            [0, 1, 2, 3, 15, Entry::CARP].map(kind),
            ["unknown", "unknown", "vrrp2", "vrrp3", "unknown", "carp"]
        );
    }
}
