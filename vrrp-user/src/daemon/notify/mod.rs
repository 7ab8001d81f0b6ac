//! Notification of changes: the commands of `notify_*` and `notify`, FIFOs, mail, and webhooks.
//!
//! Enters: transitions, contests, priorities. Leaves: lines in FIFOs, mails and posts to be sent at once, and runs of
//! commands, noted in the [`Record`]. Absent: any influence on the router.
//!
//! Every instance and every sync group has a lane of its own: one command at a time, the specific one before the
//! general one. While a command runs, only the latest transition waits, so a slow hook gets the present state and not
//! every step to it; a contest waits behind the transition that it follows, and is void with the next one. When a
//! reload changes the hooks, the earlier lane ends first; so it does when an instance or a group that an earlier reload
//! removed returns. At the end of the daemon, every lane gets `STOP`.

pub(crate) mod errand;
pub mod fifo;
pub mod hooks;
pub mod mail;
pub mod webhook;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use tracing::warn;

use self::fifo::{Fifos, Line, Word};
use self::hooks::{Ended, Hooks, Lane, Occasion, Subject};
use self::mail::Mailer;
use self::webhook::Webhooks;
use super::notice::PeerNews;
use super::record::Record;
use super::tasks::Tasks;
use super::wall::rfc3339;
use crate::config::{Config, Globals, NotifySettings, Occurrence, ScriptUser, Told};
use crate::driver::process::IdentityError;
use crate::protocol::{
    Epoch, GroupId, GroupTransition, InstanceId, Priority, Reason, Stance, State, Transition,
};

/// Longest time that the end of the daemon waits for hooks, all together.
pub const STOP_LIMIT: Duration = Duration::from_secs(1);

/// The priority reported for a group, as by keepalived: its members may have different ones.
const GROUP_PRIORITY: Priority = Priority(0);

/// The lanes of all instances and groups, the FIFOs, mail, and webhooks.
#[derive(Debug)]
pub struct Notifier {
    instances: BTreeMap<InstanceId, Voice>,
    groups: Vec<Voice>,
    /// Lanes of instances and groups that reloads removed, while their last hooks run.
    departed: Vec<Departed>,
    outlets: Outlets,
    running: Tasks,
    node: Arc<str>,
    record: Arc<Record>,
}

/// The lane of an instance or a group that a reload removed.
#[derive(Debug)]
struct Departed {
    /// `INSTANCE` or `GROUP`.
    kind: &'static str,
    name: Arc<str>,
    ended: Ended,
}

/// Receivers of lines, which are served without waiting.
#[derive(Debug)]
struct Outlets {
    fifos: Fifos,
    mailer: Mailer,
    webhooks: Webhooks,
}

/// The word of a transition. Init has none, except at the end of the daemon.
fn word_of(to: State, reason: Reason) -> Option<Word> {
    match to {
        State::Master => Some(Word::Master),
        State::Backup => Some(Word::Backup),
        State::Fault => Some(Word::Fault),
        State::Init => (reason == Reason::Shutdown).then_some(Word::Stop),
    }
}

/// Notification of one instance or group, and what was reported last.
#[derive(Debug)]
struct Voice {
    subject: Subject,
    name: Arc<str>,
    /// The constant fields for webhooks.
    profile: Told,
    notify: NotifySettings,
    /// `script_user` of the configuration.
    user: Option<ScriptUser>,
    latest: Option<Occasion>,
    /// How a reload has removed it; reported when the reload is done.
    removed: Option<(Reason, Epoch)>,
    /// The word mailed last: it is not mailed twice in a row.
    mailed: Option<Word>,
    priority: Priority,
    /// `None` without hooks.
    lane: Option<Lane>,
}

impl Notifier {
    /// Opens the FIFOs and starts a lane for every instance with hooks. Must be called within a runtime.
    ///
    /// # Errors
    /// The user of a hook does not exist.
    pub fn new(config: &Config, node: &Arc<str>, record: &Arc<Record>) -> Result<Self, IdentityError> {
        let (node, record) = (Arc::clone(node), Arc::clone(record));
        let outlets = Outlets {
            fifos: Fifos::open(&config.globals),
            mailer: Mailer::new(&node, &record),
            webhooks: Webhooks::new(&record),
        };
        let (instances, groups, running) = (BTreeMap::new(), Vec::new(), Tasks::default());
        let mut this = Self { instances, groups, departed: Vec::new(), outlets, running, node, record };
        this.settle(config)?;
        Ok(this)
    }

    /// Changes over to another configuration: subjects in both go on, removed ones are reported as deleted. FIFOs stay
    /// open for their readers.
    ///
    /// # Errors
    /// The user of a hook does not exist.
    pub fn settle(&mut self, config: &Config) -> Result<(), IdentityError> {
        let deleted: Vec<InstanceId> =
            self.instances.keys().copied().filter(|id| config.instance(*id).is_none()).collect();
        for id in deleted {
            self.deleted(id);
            if let Some(voice) = self.instances.remove(&id) {
                self.depart(voice);
            }
        }
        let groups = config.groups.iter().map(|group| Arc::clone(&group.settings.name));
        self.record.keep_groups(groups.collect());
        self.outlets.fifos.settle(&config.globals);
        self.outlets.mailer.settle(config.globals.mail.as_ref());
        self.outlets.webhooks.settle(config);
        for instance in &config.instances {
            let (id, settings) = (instance.id, &instance.settings);
            let old = self.instances.remove(&id);
            let voice =
                self.voice(Subject::Instance(id), &settings.name, &instance.notify, &config.globals, old)?;
            let priority = if voice.latest.is_some() { voice.priority } else { settings.priority };
            let profile = Told {
                kind: "instance",
                interface: Arc::clone(&settings.interface),
                vrid: Some(settings.vrid.number()),
                addresses: settings
                    .addresses
                    .all()
                    .map(|it| format!("{}/{}", it.address, it.prefix))
                    .collect(),
                ..voice.profile
            };
            self.instances.insert(id, Voice { priority, profile, ..voice });
        }
        let mut before = std::mem::take(&mut self.groups);
        for (group, id) in config.groups.iter().zip((0..).map(GroupId)) {
            let name = &group.settings.name;
            let old = before.iter().position(|old| old.name == *name).map(|index| before.swap_remove(index));
            let voice = self.voice(Subject::Group(id), name, &group.notify, &config.globals, old)?;
            self.groups.push(voice);
        }
        before.into_iter().for_each(|voice| self.depart(voice));
        self.departed.retain_mut(|departed| !departed.ended.has_come());
        Ok(())
    }

    fn depart(&mut self, voice: Voice) {
        let (kind, name) = (voice.subject.as_str(), voice.name);
        let departed = voice.lane.map(|lane| Departed { kind, name, ended: lane.close() });
        self.departed.extend(departed);
    }

    /// Makes the voice of a subject, which continues an earlier one; its lane too, unless its hooks have changed.
    fn voice(
        &mut self,
        subject: Subject,
        name: &Arc<str>,
        notify: &NotifySettings,
        globals: &Globals,
        old: Option<Voice>,
    ) -> Result<Voice, IdentityError> {
        let user = globals.script_user.clone();
        let (latest, mailed, priority) =
            old.as_ref().map_or((None, None, GROUP_PRIORITY), |old| (old.latest, old.mailed, old.priority));
        let is_same =
            |old: &Voice| (&old.notify, &old.user, &old.name, old.subject) == (notify, &user, name, subject);
        let lane = match old {
            Some(old) if is_same(&old) => old.lane,
            old => {
                if let Some(old) = old {
                    self.depart(Voice { name: Arc::clone(name), ..old });
                }
                let hooks = Hooks::new(subject, name, notify, globals, &self.node, &self.record)?;
                hooks.map(|hooks| {
                    let is_same = |it: &mut Departed| it.kind == subject.as_str() && it.name == *name;
                    let before = self.departed.extract_if(.., is_same).map(|departed| departed.ended);
                    Lane::start(hooks, before.collect(), &mut self.running)
                })
            }
        };
        Ok(Voice {
            subject,
            name: Arc::clone(name),
            profile: Told {
                kind: "group",
                router_id: Arc::clone(&self.node),
                name: Arc::clone(name),
                ..Told::default()
            },
            notify: notify.clone(),
            user,
            latest,
            removed: None,
            mailed,
            priority,
            lane,
        })
    }

    /// Writes the state of every instance and group to the FIFOs.
    pub fn repeat_states(&mut self) {
        let Self { instances, groups, outlets, .. } = self;
        for voice in instances.values().chain(groups.iter()) {
            if let Some(latest) = voice.latest {
                outlets.fifos.tell(voice.line(latest.word));
            }
        }
    }

    /// Never waits.
    pub fn transition(&mut self, instance: InstanceId, transition: &Transition) {
        let Self { instances, outlets, .. } = self;
        let Some(voice) = instances.get_mut(&instance) else { return };
        let Some(word) = word_of(transition.to, transition.reason) else {
            voice.removed = Some((transition.reason, transition.epoch));
            return;
        };
        let occasion = Occasion {
            word,
            previous: transition.from,
            reason: transition.reason,
            epoch: transition.epoch,
            priority: transition.priority,
            peer: transition.peer,
        };
        voice.tell(occasion, outlets);
    }

    /// Never waits.
    pub fn group_transition(&mut self, group: GroupId, transition: &GroupTransition) {
        let Some(word) = word_of(transition.to, transition.reason) else { return };
        let Self { groups, outlets, .. } = self;
        let Some(voice) = groups.get_mut(group.index()) else { return };
        let occasion = Occasion {
            word,
            previous: transition.from,
            reason: transition.reason,
            epoch: transition.epoch,
            priority: GROUP_PRIORITY,
            peer: None,
        };
        voice.tell(occasion, outlets);
    }

    /// A lower master was heard while master. Never waits.
    pub fn contest(&mut self, instance: InstanceId, peer: IpAddr) {
        let Self { instances, outlets, .. } = self;
        let Some(voice) = instances.get_mut(&instance) else { return };
        let Some(latest) = voice.latest.filter(|latest| latest.word == Word::Master) else { return };
        let word = Word::MasterRxLowerPri;
        outlets.fifos.tell(voice.line(word));
        let peer = Some(peer);
        let occasion = Occasion { word, previous: State::Master, priority: voice.priority, peer, ..latest };
        if let Some(lane) = &voice.lane {
            lane.give(|waiting| waiting.give_contest(occasion));
        }
    }

    /// A router that should be a peer is refused, or no longer is. Never waits.
    pub fn peer_news(&self, news: &PeerNews) {
        let Some(voice) = self.instances.values().find(|voice| *voice.name == *news.instance) else { return };
        if voice.notify.mail {
            self.outlets.mailer.tell_rejection(&news.instance, &news.peer, news.detail.as_deref());
        }
        let mut webhooks = voice.notify.webhooks.clone();
        webhooks.retain(|webhook| webhook.rejections);
        if !webhooks.is_empty() {
            self.outlets.webhooks.tell(&webhooks, &voice.told_of_peer(news));
        }
    }

    /// The effective priority has changed.
    pub fn priority(&mut self, instance: InstanceId, priority: Priority) {
        let Self { instances, outlets, .. } = self;
        let Some(voice) = instances.get_mut(&instance) else { return };
        voice.priority = priority;
        if voice.notify.priority_changes {
            let is_master = voice.latest.is_some_and(|latest| latest.word == Word::Master);
            outlets.fifos.tell(voice.line(if is_master {
                Word::MasterPriority
            } else {
                Word::BackupPriority
            }));
        }
    }

    /// A reload has removed the instance: `DELETED` where `notify_deleted` is set, else `FAULT`.
    fn deleted(&mut self, instance: InstanceId) {
        let Self { instances, outlets, .. } = self;
        let Some(voice) = instances.get_mut(&instance) else { return };
        let word = if voice.notify.tell_deleted { Word::Deleted } else { Word::Fault };
        voice.tell(voice.last_occasion(word), outlets);
    }

    /// Takes over the state of an earlier process, whose hooks have run for it.
    pub fn resume(&mut self, instance: InstanceId, stance: &Stance) {
        let reason = stance.reason.unwrap_or(Reason::Startup);
        if let (Some(voice), Some(word)) = (self.instances.get_mut(&instance), word_of(stance.state, reason))
        {
            let (epoch, priority) = (stance.epoch, voice.priority);
            voice.latest =
                Some(Occasion { word, previous: State::Init, reason, epoch, priority, peer: None });
            voice.mailed = Some(word);
        }
    }

    /// Ends without notification: another daemon takes over. Hooks that still run are left running.
    pub async fn leave(mut self) {
        self.instances.clear();
        self.groups.clear();
        self.outlets.fifos.close().await;
        self.running.detach_all();
    }

    /// Reports `STOP` for every subject that has not had it, and waits [`STOP_LIMIT`] at most. Hooks that still run
    /// then are left running; scripts of FIFOs are ended; unsent mails and posts are lost.
    pub async fn stop(mut self) {
        for voice in self.instances.values_mut().chain(&mut self.groups) {
            if let Some(occasion) = voice.stop() {
                voice.tell(occasion, &mut self.outlets);
            }
        }
        // Without its sender a lane ends after the occasions that wait.
        self.instances.clear();
        self.groups.clear();
        let finished = self.running.finish();
        let Outlets { fifos, mailer, webhooks } = self.outlets;
        let mailed = timeout(STOP_LIMIT, mailer.stop());
        let posted = timeout(STOP_LIMIT, webhooks.stop());
        let (finished, (), ..) = tokio::join!(timeout(STOP_LIMIT, finished), fifos.close(), mailed, posted);
        if finished.is_err() {
            warn!("some hooks have not ended after {STOP_LIMIT:?}; they are left running");
        }
        self.running.detach_all();
    }
}

impl Voice {
    fn tell(&mut self, occasion: Occasion, outlets: &mut Outlets) {
        self.latest = Some(occasion);
        self.priority = occasion.priority;
        let line = self.line(occasion.word);
        outlets.fifos.tell(line);
        let mailer = &outlets.mailer;
        if self.notify.mail && self.mailed != Some(line.word) && mailer.tell(line.subject, line.word) {
            self.mailed = Some(occasion.word);
        }
        if !self.notify.webhooks.is_empty() {
            outlets.webhooks.tell(&self.notify.webhooks, &self.told(&occasion));
        }
        if let Some(lane) = &self.lane {
            lane.give(|waiting| waiting.give_state(occasion));
        }
    }

    fn line(&self, word: Word) -> Line<'_> {
        let subject = match self.subject {
            Subject::Instance(_) => fifo::Subject::Instance(&self.name),
            Subject::Group(_) => fifo::Subject::Group(&self.name),
        };
        Line { subject, word, priority: self.priority }
    }

    fn told(&self, occasion: &Occasion) -> Told {
        Told {
            time: rfc3339(SystemTime::now()),
            state: occasion.word.as_str(),
            previous: occasion.previous.as_str(),
            reason: occasion.reason.as_str().into(),
            priority: occasion.priority.0,
            epoch: occasion.epoch.0,
            peer: occasion.peer.map(|peer| peer.to_string()).unwrap_or_default(),
            ..self.profile.clone()
        }
    }

    fn told_of_peer(&self, news: &PeerNews) -> Told {
        let state = self.latest.map_or("", |latest| latest.word.as_str());
        let event =
            if news.detail.is_some() { Occurrence::PeerRejected } else { Occurrence::PeerRejectionOver };
        Told {
            event,
            time: rfc3339(SystemTime::now()),
            state,
            previous: state,
            reason: news.reason.clone().into(),
            detail: news.detail.clone().unwrap_or_default().into(),
            priority: self.priority.0,
            epoch: self.latest.map_or(0, |latest| latest.epoch.0),
            peer: news.peer.clone(),
            ..self.profile.clone()
        }
    }

    /// `STOP`, if it has not been reported.
    fn stop(&self) -> Option<Occasion> {
        let told = self.latest.is_some_and(|latest| latest.word == Word::Stop);
        (!told).then(|| self.last_occasion(Word::Stop))
    }

    /// The occasion of an end for which the router has no transition.
    fn last_occasion(&self, word: Word) -> Occasion {
        let (previous, epoch) = self.latest.map_or((State::Init, Epoch::default()), |latest| {
            let previous = match latest.word {
                Word::Master => State::Master,
                Word::Backup => State::Backup,
                Word::Fault => State::Fault,
                _ => State::Init,
            };
            (previous, latest.epoch)
        });
        let (reason, epoch) = self.removed.unwrap_or((Reason::Shutdown, epoch));
        Occasion { word, previous, reason, epoch, priority: self.priority, peer: None }
    }
}
