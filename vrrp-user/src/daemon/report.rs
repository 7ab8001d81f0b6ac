//! The reporter: drains the engine's reports into log, hooks, events and the [`History`].

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::{debug, info, warn};
use vrrp_ebpf::time::Timestamp;

use super::events::EventKind;
use super::history::History;
use super::notify::Notifier;
use super::queue::{Lack, Queue, Report};
use crate::config::Config;
use crate::driver::clock;
use crate::protocol::{GroupId, GroupTransition, InstanceId, Loss, Reason, Transition};

/// Shortest time between two warnings of one kind and instance.
const QUIET: Duration = Duration::from_secs(10);

/// Objects that are logged one by one when they cannot be set.
const SINGLE: usize = 16;

/// Why [`Reporter::run`] has returned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReporterEvent {
    Stopped,
    Reconfigured,
}

/// Reads the engine's reports.
#[derive(Debug)]
pub struct Reporter {
    reports: AsyncFd<Queue<Report>>,
    config: Arc<Config>,
    /// Names of removed instances, which may have left something.
    former: BTreeMap<InstanceId, Arc<str>>,
    history: Arc<History>,
    sends: Quieting,
    contests: Quieting,
    effects: Quieting,
}

impl Reporter {
    /// Must be called within a runtime.
    ///
    /// # Errors
    /// The queue's descriptor could not be registered.
    pub fn new(reports: Queue<Report>, config: Arc<Config>, history: Arc<History>) -> io::Result<Self> {
        // SAFETY: a queue keeps its eventfd open and the same for as long as it lives.
        let reports = unsafe { AsyncFd::register_with_interest(reports, Interest::READABLE)? };
        Ok(Self {
            reports,
            config,
            former: BTreeMap::new(),
            history,
            sends: Quieting::default(),
            contests: Quieting::default(),
            effects: Quieting::default(),
        })
    }

    /// Uses the names and settings of another configuration.
    pub fn settle(&mut self, config: Arc<Config>) {
        let names = self.config.instances.iter().map(|it| (it.id, Arc::clone(&it.settings.name)));
        self.former.extend(names);
        self.former.retain(|id, _| config.instance(*id).is_none());
        self.config = config;
    }

    /// Passes reports on until the engine has stopped or has changed over to another configuration. May be dropped and
    /// called again at any time: a report is taken from the queue only when it is passed on.
    ///
    /// # Errors
    /// The descriptor of the queue failed.
    pub async fn run(&mut self, notifier: &mut Notifier) -> io::Result<ReporterEvent> {
        loop {
            let mut ready = self.reports.readable().await?;
            self.reports.get_ref().acknowledge();
            ready.clear_ready();
            while let Some(report) = self.reports.get_ref().pop() {
                match report {
                    Report::Stopped => return Ok(ReporterEvent::Stopped),
                    Report::Reconfigured => {
                        // More may be waiting.
                        self.reports.get_ref().wake();
                        return Ok(ReporterEvent::Reconfigured);
                    }
                    _ => self.pass(&report, notifier),
                }
            }
        }
    }

    /// Passes on everything that an engine has reported that has paused.
    pub fn drain(&mut self, notifier: &mut Notifier) {
        while let Some(report) = self.reports.get_ref().pop() {
            self.pass(&report, notifier);
        }
    }

    fn pass(&mut self, report: &Report, notifier: &mut Notifier) {
        match *report {
            Report::Transition(instance, transition) => {
                self.history.transition(instance, transition);
                self.report(instance, &transition);
                notifier.transition(instance, &transition);
            }
            Report::Group(group, transition) => {
                self.history.group_transition(group, &transition);
                self.report_group(group, &transition);
                notifier.group_transition(group, &transition);
            }
            Report::Priority(instance, priority) => {
                notifier.priority(instance, priority);
                info!(instance = self.name(instance), %priority, "priority changed");
                self.event(instance, |instance| EventKind::Priority { instance, priority: priority.0 });
            }
            Report::Contest(instance, peer) => {
                self.history.contest(instance, peer);
                notifier.contest(instance, peer);
                if let Some(more) = self.contests.admit(instance, clock::now()) {
                    let name = self.name(instance);
                    warn!(instance = name, %peer, more, "another router with lower priority is also master");
                    let peer = peer.to_string();
                    self.event(instance, |instance| EventKind::Contest { instance, peer, more });
                }
            }
            Report::SendFailed(instance, errno) => {
                self.history.send_failed(instance, errno);
                if let Some(more) = self.sends.admit(instance, clock::now()) {
                    let (name, interface) = (self.name(instance), self.interface(instance));
                    let error = Errno::from_raw(errno);
                    warn!(instance = name, interface, %error, more, "cannot send an advert");
                    let (interface, error) = (interface.to_owned(), error.desc().to_owned());
                    self.event(instance, |instance| EventKind::SendFailed {
                        instance,
                        interface,
                        error,
                        more,
                    });
                }
            }
            Report::EffectFailed { instance, object, ref refusal } => {
                if let Some(more) = self.effects.admit(instance, clock::now()) {
                    let name = self.name(instance);
                    warn!(instance = name, %object, error = %refusal, more, "cannot be removed or announced");
                    let (object, error) = (object.to_string(), refusal.plain());
                    self.event(instance, |instance| EventKind::EffectFailed {
                        instance,
                        object,
                        error,
                        more,
                    });
                }
            }
            Report::PutBack { instance, object, more, loss } => {
                let name = self.name(instance);
                match loss {
                    Loss::Address | Loss::Path => {
                        let (by, why) =
                            (self.removed_by(instance), "was removed by another process; it is set again");
                        warn!(instance = name, %object, more, by, "{why}");
                    }
                    // Its log line names the other daemon.
                    Loss::Shared => debug!(instance = name, %object, more, "is set again"),
                    Loss::Flushed | Loss::Order => {
                        let why = "was lost with an interface or another address; it is set again";
                        info!(instance = name, %object, more, "{why}");
                    }
                }
                let object = object.to_string();
                self.event(instance, |instance| EventKind::PutBack { instance, object, more });
            }
            Report::Lacks { instance, ref lacks, is_master } => self.report_lacks(instance, lacks, is_master),
            Report::Leftovers { instance, ref left } => self.report_leftovers(instance, left),
            Report::Abandoned(instance) => {
                let (name, by) = (self.name(instance), self.removed_by(instance));
                self.history.abandoned(instance);
                warn!(
                    instance = name,
                    by,
                    "another process keeps removing routes and rules; they are not set again until \
                     the next takeover or reload"
                );
                self.event(instance, |instance| EventKind::Abandoned { instance });
            }
            Report::Reconfigured | Report::Stopped => debug!("Reconfigured or Stopped was passed on"),
        }
    }

    fn report(&self, instance: InstanceId, transition: &Transition) {
        // In keepalived's words, which log watchers know.
        let (name, state) = (self.name(instance), transition.to.as_str());
        info!(
            instance = name,
            from = transition.from.as_str(),
            reason = transition.reason.as_str(),
            peer = transition.peer.map(tracing::field::display),
            priority = %transition.priority,
            epoch = transition.epoch.0,
            "({name}) Entering {state} STATE",
        );
        if transition.reason == Reason::TakenAway {
            let by = self.removed_by(instance);
            warn!(instance = name, by, "another process keeps removing addresses");
        }
        self.event(instance, |instance| EventKind::Transition {
            instance,
            from: transition.from.as_str().into(),
            to: transition.to.as_str().into(),
            reason: transition.reason.as_str().into(),
            priority: transition.priority.0,
            epoch: transition.epoch.0,
            peer: transition.peer.map(|peer| peer.to_string()),
        });
    }

    /// Logs each object once when it cannot be set, and once when it is set.
    fn report_lacks(&self, instance: InstanceId, lacks: &[Lack], is_master: bool) {
        let before = self.history.lacks(instance, lacks.into());
        let name = self.name(instance);
        let fresh: Vec<&Lack> = lacks.iter().filter(|lack| !among(&before, lack)).collect();
        let healed: Vec<&Lack> = before.iter().filter(|lack| is_master && !among(lacks, lack)).collect();
        for (lack, more) in first(&fresh) {
            let object = lack.object.to_string();
            warn!(
                instance = name,
                object,
                error = %lack.refusal,
                more,
                "cannot be set; retrying every second, and when links, addresses or routes change"
            );
            let error = lack.refusal.plain();
            self.event(instance, |instance| EventKind::EffectFailed { instance, object, error, more });
        }
        for (lack, more) in first(&healed) {
            let object = lack.object.to_string();
            info!(instance = name, object, more, "is set now");
            self.event(instance, |instance| EventKind::Restored { instance, object, more });
        }
    }

    /// Logs each address once when it cannot be removed, and once when that is over.
    fn report_leftovers(&self, instance: InstanceId, left: &[Lack]) {
        let name = self.name(instance);
        let before = self.history.leftovers(instance, name, left.into());
        let fresh: Vec<&Lack> = left.iter().filter(|lack| !among(&before, lack)).collect();
        let gone: Vec<&Lack> = before.iter().filter(|lack| !among(left, lack)).collect();
        for (lack, more) in first(&fresh) {
            let object = lack.object.to_string();
            warn!(instance = name, object, error = %lack.refusal, more, "cannot be removed; retrying until it is gone");
            let error = lack.refusal.plain();
            self.event(instance, |instance| EventKind::EffectFailed { instance, object, error, more });
        }
        for (lack, more) in first(&gone) {
            info!(instance = name, object = %lack.object, more, "is removed now, or a master has it again");
        }
    }

    fn removed_by(&self, instance: InstanceId) -> String {
        let history = self.history.read();
        let removed_by = history.instance(instance).and_then(|history| history.removed.as_ref());
        removed_by.map_or_else(|| "a process that has ended".to_owned(), |(_, by)| by.to_string())
    }

    fn report_group(&self, group: GroupId, transition: &GroupTransition) {
        let group = self.config.groups.get(group.index()).map_or("?", |group| &*group.settings.name);
        info!(
            group,
            from = transition.from.as_str(),
            reason = transition.reason.as_str(),
            member = self.name(transition.member),
            epoch = transition.epoch.0,
            "VRRP_Group({group}) Syncing instances to {} state",
            transition.to.as_str(),
        );
        self.history.events.push(EventKind::GroupTransition {
            group: group.to_owned(),
            from: transition.from.as_str().into(),
            to: transition.to.as_str().into(),
            reason: transition.reason.as_str().into(),
            member: self.name(transition.member).to_owned(),
            epoch: transition.epoch.0,
        });
    }

    fn event(&self, instance: InstanceId, what: impl FnOnce(String) -> EventKind) {
        self.history.events.push(what(self.name(instance).to_owned()));
    }

    fn name(&self, instance: InstanceId) -> &str {
        let present = self.config.instance(instance).map(|instance| &instance.settings.name);
        present.or_else(|| self.former.get(&instance)).map_or("?", |name| name)
    }

    fn interface(&self, instance: InstanceId) -> &str {
        self.config.instance(instance).map_or("?", |instance| &instance.settings.interface)
    }
}

fn among(list: &[Lack], lack: &Lack) -> bool {
    list.iter().any(|known| known.object == lack.object)
}

/// The objects that are logged one by one; with the last, the number of the others.
pub(super) fn first<'a>(all: &'a [&'a Lack]) -> impl Iterator<Item = (&'a Lack, u64)> {
    let reported = all.len().min(SINGLE);
    let more = u64::try_from(all.len() - reported).unwrap_or(u64::MAX);
    let last = move |index| if index + 1 == reported { more } else { 0 };
    all.iter().take(SINGLE).enumerate().map(move |(index, lack)| (*lack, last(index)))
}

/// Holds back repetitions.
#[derive(Debug, Default)]
struct Quieting {
    reported: BTreeMap<InstanceId, (Timestamp, u64)>,
}

impl Quieting {
    /// The number of repetitions held back since the last one, if it is time to report again.
    fn admit(&mut self, instance: InstanceId, now: Timestamp) -> Option<u64> {
        match self.reported.get_mut(&instance) {
            Some((at, held)) if now.since(*at) < QUIET => {
                *held += 1;
                None
            }
            Some((at, held)) => {
                *at = now;
                Some(std::mem::take(held))
            }
            None => {
                self.reported.insert(instance, (now, 0));
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_held_back_and_counted_per_instance() {
        let mut quieting = Quieting::default();
        let at = |seconds: u64| Timestamp::from_nanos(seconds * 1_000_000_000);
        let (a, b) = (InstanceId(0), InstanceId(1));
        assert_eq!(quieting.admit(a, at(100)), Some(0));
        assert_eq!(quieting.admit(a, at(101)), None);
        assert_eq!(quieting.admit(b, at(101)), Some(0));
        assert_eq!(quieting.admit(a, at(109)), None);
        assert_eq!(quieting.admit(a, at(110)), Some(2));
        assert_eq!(quieting.admit(a, at(111)), None);
    }
}
