//! Hooks: the commands of `notify_*` and `notify`, told about transitions.
//!
//! Enters: transitions. Leaves: runs of commands, noted in the [`Record`]. Absent: any influence on the router.
//!
//! Every instance and every sync group has a lane of its own: one command at a time, the specific one before the general one. While a
//! command runs, only the latest transition waits, so a slow hook learns where things stand and not the whole way
//! there. At the end of the daemon everyone with a hook is told `STOP`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::field::{DisplayValue, display};
use tracing::{info, warn};

use super::record::Record;
use crate::config::{Config, Globals, NotifyCommand, NotifySettings};
use crate::driver::process::{Identity, IdentityError, Job};
use crate::protocol::{Epoch, GroupId, GroupTransition, InstanceId, Priority, Reason, State, Transition};

/// Longest time that a hook may run.
pub const HOOK_LIMIT: Duration = Duration::from_secs(60);

/// Longest time that the end of the daemon waits for hooks, all together.
pub const STOP_LIMIT: Duration = Duration::from_secs(1);

/// How long a hook that is still running may hold up the `STOP` of its instance.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// What the hooks of a group are told, as by keepalived: its members may have different ones.
const GROUP_PRIORITY: Priority = Priority(0);

/// The lanes of all instances and groups that have hooks.
#[derive(Debug)]
pub struct Notifier {
    lanes: Vec<Option<Lane>>,
    groups: Vec<Option<Lane>>,
    running: JoinSet<()>,
}

/// One thing to tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Occasion {
    state: Told,
    previous: State,
    reason: Reason,
    epoch: Epoch,
    priority: Priority,
    peer: Option<IpAddr>,
}

/// What a hook is told: a state, or that there will be none any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    Master,
    Backup,
    Fault,
    Stop,
}

impl Told {
    /// As keepalived writes it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
        }
    }

    /// Nothing is told of Init, except that it is the end.
    fn of(to: State, reason: Reason) -> Option<Self> {
        match to {
            State::Master => Some(Self::Master),
            State::Backup => Some(Self::Backup),
            State::Fault => Some(Self::Fault),
            State::Init => (reason == Reason::Shutdown).then_some(Self::Stop),
        }
    }
}

#[derive(Debug)]
struct Lane {
    waiting: watch::Sender<Option<Occasion>>,
    latest: Option<Occasion>,
    priority: Priority,
}

impl Notifier {
    /// Starts a lane for everyone with hooks. Must be called within a runtime.
    ///
    /// # Errors
    /// The user of a hook does not exist.
    pub fn new(config: &Config, node: &Arc<str>, record: &Arc<Record>) -> Result<Self, IdentityError> {
        let mut running = JoinSet::new();
        let mut lane = |subject, name, notify, priority| {
            let hooks = Hooks::new(subject, name, notify, &config.globals, node, record)?;
            Ok(hooks.map(|hooks| {
                let (waiting, told) = watch::channel(None);
                running.spawn(hooks.run(told));
                Lane { waiting, latest: None, priority }
            }))
        };
        let instances = config.instances.iter().zip((0..).map(InstanceId));
        let lanes = instances.map(|(instance, id)| {
            let settings = &instance.settings;
            lane(Subject::Instance(id), &settings.name, &instance.notify, settings.priority)
        });
        let lanes = lanes.collect::<Result<_, _>>()?;
        let groups = config.groups.iter().zip((0..).map(GroupId));
        let groups = groups
            .map(|(group, id)| lane(Subject::Group(id), &group.settings.name, &group.notify, GROUP_PRIORITY));
        let groups = groups.collect::<Result<_, _>>()?;
        Ok(Self { lanes, groups, running })
    }

    /// Never waits.
    pub fn transition(&mut self, instance: InstanceId, transition: &Transition) {
        if let (Some(lane), Some(state)) = (self.lane(instance), Told::of(transition.to, transition.reason)) {
            lane.tell(Occasion {
                state,
                previous: transition.from,
                reason: transition.reason,
                epoch: transition.epoch,
                priority: transition.priority,
                peer: transition.peer,
            });
        }
    }

    /// Never waits.
    pub fn group_transition(&mut self, group: GroupId, transition: &GroupTransition) {
        let lane = self.groups.get_mut(group.index()).and_then(Option::as_mut);
        if let (Some(lane), Some(state)) = (lane, Told::of(transition.to, transition.reason)) {
            lane.tell(Occasion {
                state,
                previous: transition.from,
                reason: transition.reason,
                epoch: transition.epoch,
                priority: GROUP_PRIORITY,
                peer: None,
            });
        }
    }

    /// The priority that a `STOP` without a transition of its own tells.
    pub fn priority(&mut self, instance: InstanceId, priority: Priority) {
        if let Some(lane) = self.lane(instance) {
            lane.priority = priority;
        }
    }

    /// Tells `STOP` to those that have not heard it and waits [`STOP_LIMIT`] at most. Hooks that still run then are
    /// left to themselves.
    pub async fn stop(mut self) {
        for lane in self.lanes.iter_mut().chain(&mut self.groups).flatten() {
            lane.stop();
        }
        // Without its sender a lane ends after what waits.
        self.lanes.clear();
        self.groups.clear();
        let finished = async { while self.running.join_next().await.is_some() {} };
        if timeout(STOP_LIMIT, finished).await.is_err() {
            warn!("some hooks have not ended after {STOP_LIMIT:?}; they go on alone");
        }
        self.running.detach_all();
    }

    fn lane(&mut self, instance: InstanceId) -> Option<&mut Lane> {
        self.lanes.get_mut(instance.index())?.as_mut()
    }
}

impl Lane {
    fn tell(&mut self, occasion: Occasion) {
        self.latest = Some(occasion);
        self.priority = occasion.priority;
        self.waiting.send_replace(Some(occasion));
    }

    fn stop(&mut self) {
        if self.latest.is_some_and(|latest| latest.state == Told::Stop) {
            return;
        }
        let (previous, epoch) = self.latest.map_or((State::Init, Epoch::default()), |latest| {
            let previous = match latest.state {
                Told::Master => State::Master,
                Told::Backup => State::Backup,
                Told::Fault => State::Fault,
                Told::Stop => State::Init,
            };
            (previous, latest.epoch)
        });
        let (state, reason, priority) = (Told::Stop, Reason::Shutdown, self.priority);
        self.tell(Occasion { state, previous, reason, epoch, priority, peer: None });
    }
}

/// Whose hooks they are.
#[derive(Clone, Copy, Debug)]
enum Subject {
    Instance(InstanceId),
    Group(GroupId),
}

impl Subject {
    /// As keepalived writes it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Instance(_) => "INSTANCE",
            Self::Group(_) => "GROUP",
        }
    }
}

/// The hooks of one instance or group.
struct Hooks {
    subject: Subject,
    name: Arc<str>,
    node: Arc<str>,
    master: Option<Job>,
    backup: Option<Job>,
    fault: Option<Job>,
    stop: Option<Job>,
    any: Option<Job>,
    record: Arc<Record>,
}

impl Hooks {
    /// `None` where there are none.
    fn new(
        subject: Subject,
        name: &Arc<str>,
        notify: &NotifySettings,
        globals: &Globals,
        node: &Arc<str>,
        record: &Arc<Record>,
    ) -> Result<Option<Self>, IdentityError> {
        let job = |hook: &Option<NotifyCommand>| -> Result<Option<Job>, IdentityError> {
            let Some(hook) = hook else { return Ok(None) };
            let identity = Identity::resolve(hook.user.as_ref(), globals.script_user.as_ref())?;
            let command = hook.command.clone();
            Ok(Some(Job { command, identity, limit: HOOK_LIMIT, leashed: false }))
        };
        let hooks = Self {
            subject,
            name: Arc::clone(name),
            node: Arc::clone(node),
            master: job(&notify.master)?,
            backup: job(&notify.backup)?,
            fault: job(&notify.fault)?,
            stop: job(&notify.stop)?,
            any: job(&notify.any)?,
            record: Arc::clone(record),
        };
        let some = [&hooks.master, &hooks.backup, &hooks.fault, &hooks.stop, &hooks.any];
        Ok(some.iter().any(|job| job.is_some()).then_some(hooks))
    }

    /// One occasion after the other, until nobody can bring a further one and none is waiting.
    async fn run(self, mut told: watch::Receiver<Option<Occasion>>) {
        while told.changed().await.is_ok() {
            let Some(occasion) = *told.borrow_and_update() else { continue };
            tokio::select! {
                () = self.tell(&occasion) => {}
                // The end does not wait for a slow hook of an earlier state.
                () = stop_overdue(told.clone()), if occasion.state != Told::Stop => {
                    let (instance, group) = self.labels();
                    warn!(instance, group, "a hook is still running at the end; it goes on alone");
                }
            }
        }
    }

    async fn tell(&self, occasion: &Occasion) {
        let (keyword, specific) = match occasion.state {
            Told::Master => ("notify_master", &self.master),
            Told::Backup => ("notify_backup", &self.backup),
            Told::Fault => ("notify_fault", &self.fault),
            Told::Stop => ("notify_stop", &self.stop),
        };
        let environment = self.environment(occasion);
        if let Some(job) = specific {
            self.call(keyword, job, occasion, &[], &environment).await;
        }
        if let Some(job) = &self.any {
            let priority = occasion.priority.to_string();
            let more = [self.subject.as_str(), &*self.name, occasion.state.as_str(), &*priority];
            self.call("notify", job, occasion, &more, &environment).await;
        }
    }

    async fn call(
        &self,
        keyword: &'static str,
        job: &Job,
        occasion: &Occasion,
        more: &[&str],
        environment: &[(&str, String)],
    ) {
        let state = occasion.state.as_str();
        let run = job.run(more, environment).await;
        match self.subject {
            Subject::Instance(instance) => self.record.hook(instance, keyword, state, run),
            Subject::Group(group) => self.record.group_hook(group, keyword, state, run),
        }
        let (instance, group) = self.labels();
        if run.end.is_success() {
            info!(instance, group, keyword, state, lasted = ?run.lasted, "hook done");
        } else {
            warn!(instance, group, keyword, state, lasted = ?run.lasted, end = %run.end, "hook failed");
        }
    }

    /// Name of the instance, or of the group, for the log.
    fn labels(&self) -> (Option<DisplayValue<&str>>, Option<DisplayValue<&str>>) {
        let name = Some(display(&*self.name));
        match self.subject {
            Subject::Instance(_) => (name, None),
            Subject::Group(_) => (None, name),
        }
    }

    fn environment(&self, occasion: &Occasion) -> [(&'static str, String); 8] {
        [
            ("VRRPX_ROUTER_ID", self.node.to_string()),
            (
                match self.subject {
                    Subject::Instance(_) => "VRRPX_INSTANCE",
                    Subject::Group(_) => "VRRPX_GROUP",
                },
                self.name.to_string(),
            ),
            ("VRRPX_STATE", occasion.state.as_str().to_owned()),
            ("VRRPX_PREVIOUS", occasion.previous.as_str().to_owned()),
            ("VRRPX_PRIORITY", occasion.priority.to_string()),
            ("VRRPX_REASON", occasion.reason.as_str().to_owned()),
            ("VRRPX_EPOCH", occasion.epoch.0.to_string()),
            ("VRRPX_PEER", occasion.peer.map(|peer| peer.to_string()).unwrap_or_default()),
        ]
    }
}

/// Ends when a `STOP` has waited for too long.
async fn stop_overdue(mut told: watch::Receiver<Option<Occasion>>) {
    let is_stop = |occasion: &Option<Occasion>| occasion.is_some_and(|next| next.state == Told::Stop);
    let waits = told.wait_for(is_stop).await.is_ok();
    if waits {
        tokio::time::sleep(STOP_PATIENCE).await;
    } else {
        // Nobody is left who could bring one.
        std::future::pending::<()>().await;
    }
}
