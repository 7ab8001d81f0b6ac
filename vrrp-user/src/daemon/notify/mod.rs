//! Notification of changes: the commands of `notify_*` and `notify`, FIFOs, mail, and webhooks.
//!
//! Enters: transitions, contests, priorities. Leaves: lines in FIFOs, mails, posts, and runs of commands, noted in the
//! [`History`]. Absent: any influence on the router.
//!
//! Every instance and every sync group has a queue of its own: one command at a time, the specific one before the
//! general one. While a command runs, only the latest transition waits, so a slow hook gets the present state; a
//! contest waits behind its transition, and is void with the next one. When a reload changes the hooks, or brings an
//! instance or group back, the earlier queue ends first. At the end of the daemon, every queue gets `STOP`.

#[cfg(not(all(feature = "mail", feature = "webhook")))]
mod absent;
pub mod fifo;
pub mod hooks;
pub(crate) mod lifecycle_script;
pub(crate) mod line;
#[cfg(feature = "mail")]
pub mod mail;
#[cfg(feature = "webhook")]
pub mod webhook;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use tracing::warn;

#[cfg(not(feature = "mail"))]
use self::absent::Mailer;
#[cfg(not(feature = "webhook"))]
use self::absent::Webhooks;
use self::fifo::Fifos;
use self::hooks::{Ended, HookQueue, Hooks, LeftHooks, Notification, Subject};
use self::line::{Line, NotifyState};
#[cfg(feature = "mail")]
use self::mail::Mailer;
#[cfg(feature = "webhook")]
use self::webhook::Webhooks;
use super::history::History;
use super::process::preflight::{Disabled, Notice};
use super::tasks::Tasks;
use super::wall::rfc3339;
use super::wire_warnings::PeerNews;
use crate::config::{Config, Globals, NotifySettings, ScriptUser, WebhookEvent, WebhookPayload};
use crate::protocol::{
    Epoch, GroupId, GroupTransition, InstanceId, InstanceSnapshot, Priority, Reason, State, Transition,
};

/// Longest time that the end of the daemon waits for hooks, all together.
pub const STOP_LIMIT: Duration = Duration::from_secs(1);

/// The priority reported for a group, as by keepalived: its members may have different ones.
const GROUP_PRIORITY: Priority = Priority(0);

/// The hooks of all instances and groups, the FIFOs, mail, and webhooks.
#[derive(Debug)]
pub struct Notifier {
    instances: BTreeMap<InstanceId, SubjectNotifier>,
    groups: Vec<SubjectNotifier>,
    /// Queues of instances and groups that reloads removed, while their last hooks run.
    departed: Vec<Departed>,
    sinks: Sinks,
    running: Tasks,
    node: Arc<str>,
    history: Arc<History>,
}

/// The queue of an instance or a group that a reload removed.
#[derive(Debug)]
struct Departed {
    /// `INSTANCE` or `GROUP`.
    kind: &'static str,
    name: Arc<str>,
    ended: Ended,
}

/// Receivers of lines, which are served without waiting.
#[derive(Debug)]
struct Sinks {
    fifos: Fifos,
    mailer: Mailer,
    webhooks: Webhooks,
}

/// The word of a transition. Init has none, except at the end of the daemon.
fn word_of(to: State, reason: Reason) -> Option<NotifyState> {
    match to {
        State::Master => Some(NotifyState::Master),
        State::Backup => Some(NotifyState::Backup),
        State::Fault => Some(NotifyState::Fault),
        State::Init => (reason == Reason::Shutdown).then_some(NotifyState::Stop),
    }
}

/// Notification of one instance or group, and what was reported last.
#[derive(Debug)]
struct SubjectNotifier {
    subject: Subject,
    name: Arc<str>,
    /// The constant fields for webhooks; `None` without webhooks.
    profile: Option<Box<WebhookPayload>>,
    notify: Arc<NotifySettings>,
    /// `script_user` of the configuration.
    user: Option<ScriptUser>,
    latest: Option<Notification>,
    /// How a reload has removed it; reported when the reload is done.
    removed: Option<(Reason, Epoch)>,
    /// The word mailed last: it is not mailed twice in a row.
    mailed: Option<NotifyState>,
    priority: Priority,
    /// `None` without hooks.
    hook_queue: Option<HookQueue>,
    /// Hooks whose user cannot be resolved.
    disabled: Vec<Disabled>,
}

impl Notifier {
    /// Opens the FIFOs and starts a queue for every instance with hooks. Must be called within a runtime.
    pub fn new(config: &Config, node: &Arc<str>, history: &Arc<History>) -> Self {
        let (node, history) = (Arc::clone(node), Arc::clone(history));
        let sinks = Sinks {
            fifos: Fifos::new(&history),
            mailer: Mailer::new(&node, &history),
            webhooks: Webhooks::new(&history),
        };
        let (instances, groups, departed) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut this = Self { instances, groups, departed, sinks, running: Tasks::default(), node, history };
        this.settle(config);
        this
    }

    /// Changes over to another configuration: subjects in both go on, removed ones are reported as deleted. FIFOs stay
    /// open for their readers. Hooks whose user cannot be resolved are disabled, which the [`History`] notes, and tried
    /// again here.
    pub fn settle(&mut self, config: &Config) {
        let deleted = self.instances.keys().copied().filter(|id| config.instance(*id).is_none());
        for id in deleted.collect::<Vec<_>>() {
            self.deleted(id);
            if let Some(notifier) = self.instances.remove(&id) {
                self.depart(notifier);
            }
        }
        self.history.keep_groups(config.groups.iter().map(|it| Arc::clone(&it.settings.name)).collect());
        self.sinks.fifos.settle(&config.globals);
        self.sinks.mailer.settle(config.globals.mail.as_ref());
        self.sinks.webhooks.settle(config);
        for instance in &config.instances {
            let (id, settings) = (instance.id, &instance.settings);
            let old = self.instances.remove(&id);
            let notifier =
                self.notifier(Subject::Instance(id), &settings.name, &instance.notify, &config.globals, old);
            let priority = if notifier.latest.is_some() { notifier.priority } else { settings.priority };
            let profile = notifier.profile.map(|profile| {
                Box::new(WebhookPayload {
                    kind: "instance",
                    interface: Arc::clone(&settings.interface),
                    vrid: Some(settings.vrid.number()),
                    addresses: settings
                        .addresses
                        .all()
                        .map(|it| format!("{}/{}", it.address, it.prefix))
                        .collect(),
                    ..*profile
                })
            });
            self.instances.insert(id, SubjectNotifier { priority, profile, ..notifier });
        }
        // Built at once: nodes of a tree that grows at its end stay half empty.
        self.instances = std::mem::take(&mut self.instances).into_iter().collect();
        let mut before = std::mem::take(&mut self.groups);
        for (group, id) in config.groups.iter().zip((0..).map(GroupId)) {
            let name = &group.settings.name;
            let old = before.iter().position(|old| old.name == *name).map(|index| before.swap_remove(index));
            let notifier = self.notifier(Subject::Group(id), name, &group.notify, &config.globals, old);
            self.groups.push(notifier);
        }
        before.into_iter().for_each(|notifier| self.depart(notifier));
        self.departed.retain_mut(|departed| !departed.ended.has_come());
        let notifiers = self.instances.values().chain(&self.groups);
        let disabled: Vec<Disabled> = notifiers.flat_map(|it| it.disabled.iter().cloned()).collect();
        for hook in &disabled {
            warn!("{}", Notice::Disabled(hook.clone()));
        }
        self.history.disabled_too(disabled);
    }

    fn depart(&mut self, notifier: SubjectNotifier) {
        let (kind, name) = (notifier.subject.as_str(), notifier.name);
        let departed =
            notifier.hook_queue.map(|hook_queue| Departed { kind, name, ended: hook_queue.close() });
        self.departed.extend(departed);
    }

    /// Makes the notifier of a subject, which continues an earlier one; its queue does too, unless its hooks changed.
    fn notifier(
        &mut self,
        subject: Subject,
        name: &Arc<str>,
        notify: &Arc<NotifySettings>,
        globals: &Globals,
        old: Option<SubjectNotifier>,
    ) -> SubjectNotifier {
        let mut disabled = Vec::new();
        let user = globals.script_user.clone();
        let (latest, mailed, priority) =
            old.as_ref().map_or((None, None, GROUP_PRIORITY), |old| (old.latest, old.mailed, old.priority));
        let is_same = |old: &SubjectNotifier| {
            old.disabled.is_empty()
                && (&old.notify, &old.user, &old.name, old.subject) == (notify, &user, name, subject)
        };
        let hook_queue = match old {
            Some(old) if is_same(&old) => old.hook_queue,
            old => {
                if let Some(old) = old {
                    self.depart(SubjectNotifier { name: Arc::clone(name), ..old });
                }
                let (node, history) = (&self.node, &self.history);
                let hooks = Hooks::new(subject, name, notify, globals, node, history, &mut disabled);
                hooks.map(|hooks| {
                    let is_same = |it: &mut Departed| it.kind == subject.as_str() && it.name == *name;
                    let before = self.departed.extract_if(.., is_same).map(|departed| departed.ended);
                    HookQueue::start(hooks, before.collect(), &mut self.running)
                })
            }
        };
        SubjectNotifier {
            subject,
            name: Arc::clone(name),
            profile: (!notify.webhooks.is_empty()).then(|| {
                Box::new(WebhookPayload {
                    kind: "group",
                    router_id: Arc::clone(&self.node),
                    name: Arc::clone(name),
                    ..WebhookPayload::default()
                })
            }),
            notify: Arc::clone(notify),
            user,
            latest,
            removed: None,
            mailed,
            priority,
            hook_queue,
            disabled,
        }
    }

    /// Writes the state of every instance and group to the FIFOs.
    pub fn repeat_states(&mut self) {
        let Self { instances, groups, sinks, .. } = self;
        for notifier in instances.values().chain(groups.iter()) {
            if let Some(latest) = notifier.latest {
                sinks.fifos.report(notifier.line(latest.word));
            }
        }
    }

    /// Never waits.
    pub fn transition(&mut self, instance: InstanceId, transition: &Transition) {
        let Self { instances, sinks, .. } = self;
        let Some(notifier) = instances.get_mut(&instance) else { return };
        let Some(word) = word_of(transition.to, transition.reason) else {
            notifier.removed = Some((transition.reason, transition.epoch));
            return;
        };
        let notification = Notification {
            word,
            previous: transition.from,
            reason: transition.reason,
            epoch: transition.epoch,
            priority: transition.priority,
            peer: transition.peer,
        };
        notifier.report(notification, sinks);
    }

    /// Never waits.
    pub fn group_transition(&mut self, group: GroupId, transition: &GroupTransition) {
        let Some(word) = word_of(transition.to, transition.reason) else { return };
        let Self { groups, sinks, .. } = self;
        let Some(notifier) = groups.get_mut(group.index()) else { return };
        let notification = Notification {
            word,
            previous: transition.from,
            reason: transition.reason,
            epoch: transition.epoch,
            priority: GROUP_PRIORITY,
            peer: None,
        };
        notifier.report(notification, sinks);
    }

    /// A lower master was heard while master. Never waits.
    pub fn contest(&mut self, instance: InstanceId, peer: IpAddr) {
        let Self { instances, sinks, .. } = self;
        let Some(notifier) = instances.get_mut(&instance) else { return };
        let Some(latest) = notifier.latest.filter(|latest| latest.word == NotifyState::Master) else {
            return;
        };
        let word = NotifyState::MasterRxLowerPri;
        sinks.fifos.report(notifier.line(word));
        let peer = Some(peer);
        let notification =
            Notification { word, previous: State::Master, priority: notifier.priority, peer, ..latest };
        if let Some(hook_queue) = &notifier.hook_queue {
            hook_queue.give(|waiting| waiting.give_contest(notification));
        }
    }

    /// A router that should be a peer is refused, or no longer is. Never waits.
    pub fn peer_news(&self, news: &PeerNews) {
        let Some(notifier) = self.instances.values().find(|notifier| *notifier.name == *news.instance) else {
            return;
        };
        if notifier.notify.mail {
            self.sinks.mailer.report_rejection(&news.instance, &news.peer, news.detail.as_deref());
        }
        let mut webhooks = notifier.notify.webhooks.clone();
        webhooks.retain(|webhook| webhook.rejections);
        if !webhooks.is_empty() {
            self.sinks.webhooks.report(&webhooks, &notifier.payload_of_peer(news));
        }
    }

    /// The effective priority has changed.
    pub fn priority(&mut self, instance: InstanceId, priority: Priority) {
        let Self { instances, sinks, .. } = self;
        let Some(notifier) = instances.get_mut(&instance) else { return };
        notifier.priority = priority;
        if notifier.notify.priority_changes {
            let is_master = notifier.latest.is_some_and(|latest| latest.word == NotifyState::Master);
            sinks.fifos.report(notifier.line(if is_master {
                NotifyState::MasterPriority
            } else {
                NotifyState::BackupPriority
            }));
        }
    }

    /// A reload has removed the instance: `DELETED` where `notify_deleted` is set, else `FAULT`.
    fn deleted(&mut self, instance: InstanceId) {
        let Self { instances, sinks, .. } = self;
        let Some(notifier) = instances.get_mut(&instance) else { return };
        let word = if notifier.notify.reports_deleted { NotifyState::Deleted } else { NotifyState::Fault };
        notifier.report(notifier.last_occasion(word), sinks);
    }

    /// Adopts the state of an earlier process, whose hooks have run for it, unless [`Self::continue_hooks`] follows.
    pub fn restore(&mut self, instance: InstanceId, snapshot: &InstanceSnapshot) {
        let reason = snapshot.reason.unwrap_or(Reason::Startup);
        if let (Some(notifier), Some(word)) =
            (self.instances.get_mut(&instance), word_of(snapshot.state, reason))
        {
            let (epoch, priority) = (snapshot.epoch, notifier.priority);
            notifier.latest =
                Some(Notification { word, previous: State::Init, reason, epoch, priority, peer: None });
            notifier.mailed = Some(word);
        }
    }

    /// Starts no hook from now on: another daemon is about to replace this one, and starts those that are left.
    pub(crate) fn hold(&self) -> Vec<LeftHooks> {
        let queues = self.queues();
        queues.map(|(subject, hook_queue)| hook_queue.hold(subject)).filter(|it| !it.is_empty()).collect()
    }

    /// No daemon has replaced this one.
    pub(crate) fn release(&self) {
        self.queues().for_each(|(_, hook_queue)| hook_queue.release());
    }

    fn queues(&self) -> impl Iterator<Item = (Subject, &HookQueue)> {
        let all = self.instances.values().chain(&self.groups);
        all.filter_map(|notifier| Some((notifier.subject, notifier.hook_queue.as_ref()?)))
    }

    /// Starts the hooks that an earlier process has left.
    pub(crate) fn continue_hooks(&mut self, left: &LeftHooks) {
        let notifier = match left.subject {
            Subject::Instance(id) => self.instances.get_mut(&id),
            Subject::Group(id) => self.groups.get_mut(id.index()),
        };
        let Some(notifier) = notifier else { return };
        notifier.latest = left.unreported.map(|(notification, _)| notification).or(notifier.latest);
        if let Some(hook_queue) = &notifier.hook_queue {
            hook_queue.give(|waiting| waiting.give_left(left));
        }
    }

    /// Ends without notification: another daemon replaces this one. Hooks that still run are left running.
    pub async fn leave(mut self) {
        self.instances.clear();
        self.groups.clear();
        self.sinks.fifos.close().await;
        self.running.detach_all();
    }

    /// Reports `STOP` for every subject that has not had it, and waits [`STOP_LIMIT`] at most. Hooks that still run
    /// then are left running; scripts of FIFOs are ended; unsent mails and posts are lost.
    pub async fn stop(mut self) {
        for notifier in self.instances.values_mut().chain(&mut self.groups) {
            if let Some(notification) = notifier.stop() {
                notifier.report(notification, &mut self.sinks);
            }
        }
        // Without its sender a queue ends after the notifications that wait.
        self.instances.clear();
        self.groups.clear();
        let finished = self.running.finish();
        let Sinks { fifos, mailer, webhooks } = self.sinks;
        let mailed = timeout(STOP_LIMIT, mailer.stop());
        let posted = timeout(STOP_LIMIT, webhooks.stop());
        let (finished, (), ..) = tokio::join!(timeout(STOP_LIMIT, finished), fifos.close(), mailed, posted);
        if finished.is_err() {
            warn!("some hooks have not ended after {STOP_LIMIT:?}; they are left running");
        }
        self.running.detach_all();
    }
}

impl SubjectNotifier {
    fn report(&mut self, notification: Notification, sinks: &mut Sinks) {
        self.latest = Some(notification);
        self.priority = notification.priority;
        let line = self.line(notification.word);
        sinks.fifos.report(line);
        let mailer = &sinks.mailer;
        if self.notify.mail && self.mailed != Some(line.word) && mailer.report(line.subject, line.word) {
            self.mailed = Some(notification.word);
        }
        if !self.notify.webhooks.is_empty() {
            sinks.webhooks.report(&self.notify.webhooks, &self.reported(&notification));
        }
        if let Some(hook_queue) = &self.hook_queue {
            hook_queue.give(|waiting| waiting.give_state(notification));
        }
    }

    fn line(&self, word: NotifyState) -> Line<'_> {
        let subject = match self.subject {
            Subject::Instance(_) => line::Subject::Instance(&self.name),
            Subject::Group(_) => line::Subject::Group(&self.name),
        };
        Line { subject, word, priority: self.priority }
    }

    fn reported(&self, notification: &Notification) -> WebhookPayload {
        WebhookPayload {
            time: rfc3339(SystemTime::now()),
            state: notification.word.as_str(),
            previous: notification.previous.as_str(),
            reason: notification.reason.as_str().into(),
            priority: notification.priority.0,
            epoch: notification.epoch.0,
            peer: notification.peer.map(|peer| peer.to_string()).unwrap_or_default(),
            ..self.profile.as_deref().cloned().unwrap_or_default()
        }
    }

    fn payload_of_peer(&self, news: &PeerNews) -> WebhookPayload {
        let state = self.latest.map_or("", |latest| latest.word.as_str());
        let event =
            if news.detail.is_some() { WebhookEvent::PeerRejected } else { WebhookEvent::PeerRejectionOver };
        WebhookPayload {
            event,
            time: rfc3339(SystemTime::now()),
            state,
            previous: state,
            reason: news.reason.clone().into(),
            detail: news.detail.clone().unwrap_or_default().into(),
            priority: self.priority.0,
            epoch: self.latest.map_or(0, |latest| latest.epoch.0),
            peer: news.peer.clone(),
            ..self.profile.as_deref().cloned().unwrap_or_default()
        }
    }

    /// `STOP`, if it has not been reported.
    fn stop(&self) -> Option<Notification> {
        let reported = self.latest.is_some_and(|latest| latest.word == NotifyState::Stop);
        (!reported).then(|| self.last_occasion(NotifyState::Stop))
    }

    /// The notification of an end for which the router has no transition.
    fn last_occasion(&self, word: NotifyState) -> Notification {
        let (previous, epoch) = self.latest.map_or((State::Init, Epoch::default()), |latest| {
            let previous = match latest.word {
                NotifyState::Master => State::Master,
                NotifyState::Backup => State::Backup,
                NotifyState::Fault => State::Fault,
                _ => State::Init,
            };
            (previous, latest.epoch)
        });
        let (reason, epoch) = self.removed.unwrap_or((Reason::Shutdown, epoch));
        Notification { word, previous, reason, epoch, priority: self.priority, peer: None }
    }
}
