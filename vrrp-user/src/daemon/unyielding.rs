//! Lower masters that do not yield to ours: our adverts do not reach them, or they refuse them.
//!
//! Enters: for how long lower masters were heard while an instance is master, round after round. Leaves: the one that
//! has had the time to yield, in the history, the log and the events. Absent: masters whose adverts are refused here,
//! which have a reason of their own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tracing::{info, warn};
use vrrp_ebpf::time::Timestamp;

use super::events::EventKind;
use super::history::History;
use super::status::{DaemonContext, lasts, why_unyielding};
use crate::config::Config;
use crate::protocol::{InstanceId, State};

/// Intervals in which a lower master has heard one of our adverts, if they arrive.
const YIELDS: u32 = 3;

/// What was seen of a lower master beside one instance.
#[derive(Debug)]
struct Contest {
    /// Of the instance, which a reload may remove.
    name: Arc<str>,
    /// Time that lower masters were heard in all, ns: when this one began, and at the latest round.
    began: u64,
    counted: u64,
    /// When that time grew last.
    latest: Option<Timestamp>,
    named: Option<IpAddr>,
}

/// By instance.
#[derive(Debug, Default)]
pub(super) struct Contests(BTreeMap<InstanceId, Contest>);

impl Contests {
    pub(super) fn update(&mut self, context: &DaemonContext, now: Timestamp) {
        self.forget_removed(&context.config, &context.history);
        for (config, live) in context.instances() {
            let (id, settings) = (config.id, &config.settings);
            let total = live.rivalled_nanos.load(Relaxed);
            let contest = self.0.entry(id).or_insert_with(|| Contest::new(&settings.name, total));
            let is_master = live.state() == State::Master;
            let grows = contest.grows(total, now, lasts(settings));
            if !is_master || contest.latest.is_none() {
                if let Some(peer) = contest.named {
                    let text = match is_master {
                        true => "the other master has yielded, or is no longer heard",
                        false => "this node is no longer master beside the other one",
                    };
                    report_over(&context.history, id, &settings.name, peer, text);
                }
                *contest = Contest::new(&settings.name, total);
                continue;
            }
            // One is named until the contest is over: the sources of adverts can be made up.
            let lower = if grows && contest.named.is_none() { context.lower_master(id) } else { None };
            let Some((peer, interval)) = lower else { continue };
            if contest.has_lasted(YIELDS * interval.max(settings.advert_interval.duration())) {
                contest.named = Some(peer);
                context.history.unyielding(id, Some(peer));
                let why = why_unyielding(settings, peer);
                warn!(instance = %settings.name, %peer, "another router is master too, and does not yield: {why}");
                let (instance, peer) = (settings.name.to_string(), peer.to_string());
                context.history.events.push(EventKind::Unyielding { instance, peer, detail: why.to_owned() });
            }
        }
    }

    /// Ends what was reported of instances that a reload has removed. A renamed one counts as removed: the event of the
    /// end has the name that the event of the beginning has.
    fn forget_removed(&mut self, config: &Config, history: &History) {
        self.0.retain(|id, contest| {
            let stays = config.instance(*id).is_some_and(|it| it.settings.name == contest.name);
            if let Some(peer) = contest.named.filter(|_| !stays) {
                let text =
                    "a reload has removed or renamed the instance that was master beside the other one";
                report_over(history, *id, &contest.name, peer, text);
            }
            stays
        });
    }
}

fn report_over(history: &History, id: InstanceId, name: &str, peer: IpAddr, text: &str) {
    history.unyielding(id, None);
    info!(instance = name, %peer, "{text}");
    let (instance, peer) = (name.to_owned(), peer.to_string());
    history.events.push(EventKind::UnyieldingOver { instance, peer });
}

impl Contest {
    fn new(name: &Arc<str>, total: u64) -> Self {
        Self { name: Arc::clone(name), began: total, counted: total, latest: None, named: None }
    }

    /// Whether a lower master was heard since the latest round. After a silence of this length it is none any more.
    fn grows(&mut self, total: u64, now: Timestamp, silence: Duration) -> bool {
        let grows = total > self.counted;
        if grows {
            if self.latest.is_none() {
                self.began = self.counted;
            }
            self.latest = Some(now);
        } else if self.latest.is_some_and(|latest| now.since(latest) > silence) {
            self.latest = None;
        }
        self.counted = total;
        grows
    }

    fn has_lasted(&self, patience: Duration) -> bool {
        Duration::from_nanos(self.counted.saturating_sub(self.began)) >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const SILENCE: Duration = Duration::from_secs(8);
    const SECOND: u64 = 1_000_000_000;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_nanos(second * SECOND)
    }

    #[test]
    fn a_contest_lasts_while_a_lower_master_is_heard_and_ends_with_a_silence() {
        let mut contest = Contest::new(&"VI_1".into(), 0);
        let patience = Duration::from_secs(3);
        for (second, total, grows, lasted) in [
            (1, 0, false, false),
            (2, 1, true, false),
            (3, 2, true, false),
            (4, 2, false, false),
            (5, 3, true, true),
            (12, 3, false, true),
        ] {
            assert_eq!(contest.grows(total * SECOND, at(second), SILENCE), grows, "{second}");
            assert_eq!(contest.has_lasted(patience), lasted, "{second}");
        }
        assert!(contest.latest.is_some());
        contest.grows(3 * SECOND, at(14), SILENCE);
        assert!(contest.latest.is_none(), "silent for more than eight seconds");
        // The next one counts from its own beginning.
        assert!(contest.grows(4 * SECOND, at(20), SILENCE) && !contest.has_lasted(patience));
    }

    #[test]
    fn a_reload_that_removes_or_renames_the_instance_ends_what_was_reported() {
        let config = |names: &[&str]| {
            let blocks = names.iter().zip(51..).map(|(name, vrid)| {
                format!(
                    "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\n\
                     virtual_ipaddress {{\n192.0.2.{vrid}/24\n}}\n}}\n"
                )
            });
            parse("t", &blocks.collect::<String>()).unwrap().config
        };
        let (mut contests, history) = (Contests::default(), History::new(4));
        let peer = IpAddr::from([192, 0, 2, 2]);
        for (id, name, named) in
            [(0, "kept", Some(peer)), (1, "old", Some(peer)), (2, "gone", Some(peer)), (3, "quiet", None)]
        {
            let contest = Contest { named, ..Contest::new(&name.into(), 0) };
            contests.0.insert(InstanceId(id), contest);
        }
        for _ in 0..2 {
            contests.forget_removed(&config(&["kept", "new"]), &history);
        }
        assert_eq!(contests.0.keys().collect::<Vec<_>>(), [&InstanceId(0)]);
        let over =
            |name: &str| EventKind::UnyieldingOver { instance: name.to_owned(), peer: peer.to_string() };
        let events = history.events.after(None, usize::MAX).events;
        let shown = events.iter().map(|event| event.what.to_string()).collect::<Vec<_>>();
        assert_eq!(shown, ["old", "gone"].map(|name| over(name).to_string()));
    }
}
