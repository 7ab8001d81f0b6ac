//! Answers to probes of the wire, which `vrrpx doctor --probe` sends on another host.
//!
//! Enters: the program's records of VRID 0, which no router has. Leaves: for each interface and family at most one
//! answer a look, by protocol 112 where adverts would leave, and by an echo reply to its sender. Absent: a wake-up.
//! Probes wait in the records for the look at the wire that the daemon makes each second anyway.
//!
//! An answer is as long as a probe, and says which probe was heard and whether this host refuses protocol 112, nothing
//! else. The echo reply stays on the link unless a configured peer asks, so that a forged source gains nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tracing::debug;
use vrrp_ebpf::map::{InstanceKey, UnknownRouter};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::address::narrow;

use super::status::DaemonContext;
use crate::driver::socket::{AdvertSender, EchoSocket, HeardProbe, ProbeMessage};

/// A probe older than this is of a run that has ended.
const FRESH: Duration = Duration::from_secs(2);

/// A probe to answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Asked {
    ifindex: u32,
    family: Family,
    source: IpAddr,
    at: Timestamp,
    message: ProbeMessage,
}

/// The answers given.
#[derive(Debug, Default)]
pub(super) struct ProbeAnswers {
    /// Time of the probe that was answered last, by interface and family.
    latest: BTreeMap<(u32, bool), Timestamp>,
}

impl ProbeAnswers {
    /// Answers the probes that have come since the last look. Takes system calls if a program is loaded.
    pub(super) fn update(&mut self, context: &DaemonContext, now: Timestamp) {
        let records = context.maps.unknown_routers();
        let asked: Vec<Asked> = records.iter().filter_map(|(key, record)| asked(*key, record)).collect();
        for it in asked {
            if !self.is_due(&it, now) {
                continue;
            }
            let paths = paths(context, &it);
            // A frame that comes back, or a forged one, has our own source.
            if paths.is_empty() || paths.iter().any(|(own, _)| *own == it.source) {
                continue;
            }
            if let Err(error) = answer(&it, &paths) {
                debug!(source = %it.source, %error, "a probe of the wire is not answered");
            }
        }
    }

    /// Whether it has not been answered, and its run still waits.
    fn is_due(&mut self, it: &Asked, now: Timestamp) -> bool {
        let is_fresh = now.since(it.at) < FRESH;
        let latest = self.latest.entry((it.ifindex, it.family == Family::V6)).or_default();
        is_fresh && std::mem::replace(latest, it.at) != it.at
    }
}

/// The probe of a record, if it asks for an answer.
fn asked(key: InstanceKey, record: &UnknownRouter) -> Option<Asked> {
    let family = if key.family == Family::V4 as u8 { Family::V4 } else { Family::V6 };
    let message = ProbeMessage::of_record(&key, record)?;
    let source = narrow(family, record.source);
    let is_of_host = !source.is_multicast() && !source.is_unspecified() && !source.is_loopback();
    (key.vlan == 0 && message.asks && is_of_host).then(|| Asked {
        ifindex: key.ifindex,
        family,
        source,
        at: Timestamp::from_nanos(record.last_seen),
        message,
    })
}

/// Sources and destinations of the adverts that the asking host would receive.
fn paths(context: &DaemonContext, it: &Asked) -> BTreeSet<(IpAddr, IpAddr)> {
    let here = context.instances().filter(|(config, live)| {
        live.ifindex.load(Relaxed) == it.ifindex && config.settings.family == it.family
    });
    let of = |(config, _): (&crate::config::Instance, _)| {
        let source = context.maps.slot(config.id).source;
        let to = match &config.settings.unicast {
            None => config.settings.group(),
            Some(unicast) => unicast.peers.iter().map(|peer| peer.address).find(|peer| *peer == it.source)?,
        };
        (source != [0; 16]).then(|| (narrow(it.family, source), to))
    };
    here.filter_map(of).collect()
}

fn answer(it: &Asked, paths: &BTreeSet<(IpAddr, IpAddr)>) -> io::Result<()> {
    let heard = Some(HeardProbe { source: it.source, run: it.message.run });
    let said = ProbeMessage { heard, ..ProbeMessage::default() };
    let (mut sender, mut is_refused) = (AdvertSender::new()?, false);
    for (source, to) in paths {
        sender.queue_probe(&said, it.ifindex, *source, *to);
    }
    sender.flush(|_, _, result| is_refused |= result.is_err());
    let is_peer = paths.iter().any(|(_, to)| *to == it.source);
    let echo = EchoSocket::open(it.family, it.ifindex, 0)?;
    paths.first().map_or(Ok(()), |(source, _)| echo.bind(*source))?;
    echo.answer(it.source, &it.message, &ProbeMessage { is_refused, ..said }, !is_peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::socket::PROBE_VRID;

    fn record(message: &ProbeMessage, millis: u64) -> UnknownRouter {
        let source = vrrp_ebpf::wire::address::widen([192, 0, 2, 12].into());
        UnknownRouter {
            last_seen: Timestamp::from_nanos(millis * 1_000_000).as_nanos(),
            source,
            version: 3,
            addresses: message.body(),
            ..UnknownRouter::NONE
        }
    }

    fn key(vrid: u8, vlan: u16) -> InstanceKey {
        InstanceKey::new(7, vlan, Family::V4, vrid)
    }

    #[test]
    fn only_a_probe_that_asks_is_answered() {
        let asks = ProbeMessage { asks: true, run: 9, ..ProbeMessage::default() };
        let it = asked(key(PROBE_VRID, 0), &record(&asks, 5)).unwrap();
        assert_eq!((it.ifindex, it.source, it.message), (7, [192, 0, 2, 12].into(), asks));
        assert_eq!(asked(key(51, 0), &record(&asks, 5)), None, "a virtual router");
        assert_eq!(asked(key(PROBE_VRID, 3), &record(&asks, 5)), None, "another link");
        for forged in ["224.0.0.18", "0.0.0.0", "127.0.0.1"] {
            let source = vrrp_ebpf::wire::address::widen(forged.parse().unwrap());
            let record = UnknownRouter { source, ..record(&asks, 5) };
            assert_eq!(asked(key(PROBE_VRID, 0), &record), None, "{forged} is no host");
        }
        let answers = ProbeMessage { asks: false, ..asks };
        assert_eq!(asked(key(PROBE_VRID, 0), &record(&answers, 5)), None, "two daemons would go on for ever");
        assert_eq!(asked(key(PROBE_VRID, 0), &UnknownRouter::NONE), None);
    }

    #[test]
    fn a_probe_is_answered_once_and_while_its_run_waits() {
        let asks = ProbeMessage { asks: true, run: 9, ..ProbeMessage::default() };
        let at = |millis| asked(key(PROBE_VRID, 0), &record(&asks, millis)).unwrap();
        let now = |millis: u64| Timestamp::from_nanos(millis * 1_000_000);
        let mut answers = ProbeAnswers::default();
        assert!(answers.is_due(&at(1000), now(1500)));
        assert!(!answers.is_due(&at(1000), now(1600)), "the same");
        assert!(answers.is_due(&at(1300), now(2500)), "a later one");
        assert!(!answers.is_due(&at(2600), now(5000)), "of a run that has ended");
        let v6 = Asked { family: Family::V6, ..at(1300) };
        assert!(answers.is_due(&v6, now(2500)), "another family");
    }
}
