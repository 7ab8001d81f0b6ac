//! Hooks: the commands of `notify_*` and `notify`, in one queue per instance or group.
//!
//! Enters: the notifications that wait in the queue. Leaves: runs of commands, one after the other, noted in the
//! [`History`].

pub(crate) mod notification;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{oneshot, watch};
use tracing::field::{DisplayValue, display};
use tracing::{info, warn};

pub(crate) use self::notification::{LeftHooks, Notification, Subject};
use super::line::NotifyState;
use crate::config::{Globals, NotifyCommand, NotifySettings, words};
use crate::daemon::essential::unpanicked;
use crate::daemon::events::EventKind;
use crate::daemon::history::{History, HookRun, RunningHook};
use crate::daemon::process::preflight::Disabled;
use crate::daemon::tasks::Tasks;
use crate::driver::clock;
use crate::driver::output::Output;
use crate::driver::pidfd::{self, NamedProcess};
use crate::driver::process::{Identity, IdentityError, Job};

/// Longest time that a hook may run.
const HOOK_LIMIT: Duration = Duration::from_secs(60);

/// How long a hook that is still running may hold up the `STOP` of its instance.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// Notifications that wait in a queue, each with its number among all that the queue was given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    given: u64,
    state: Option<(u64, Notification)>,
    contest: Option<(u64, Notification)>,
    /// No command is started.
    is_held: bool,
    /// Number of the state whose specific command another daemon has started.
    half_reported: Option<u64>,
    /// A command of another daemon, which comes before all others.
    after: Option<NamedProcess>,
}

/// What a queue has begun.
#[derive(Debug, Default)]
struct Progress {
    /// Number of the latest notification.
    begun: AtomicU64,
    /// Its specific command, if any, has ended, and `notify` has been started, if any.
    is_general: AtomicBool,
    /// Pid of the command that runs; 0: none.
    running: AtomicI32,
}

impl Waiting {
    pub(crate) fn give_state(&mut self, notification: Notification) {
        self.given += 1;
        self.state = Some((self.given, notification));
        self.contest = None;
    }

    pub(crate) fn give_contest(&mut self, notification: Notification) {
        self.given += 1;
        self.contest = Some((self.given, notification));
    }

    /// Continues for another daemon.
    pub(crate) fn give_left(&mut self, left: &LeftHooks) {
        self.after = left.running;
        if let Some((notification, is_half)) = left.unreported {
            self.give_state(notification);
            self.half_reported = is_half.then_some(self.given);
        }
    }
}

/// The running hooks of one instance or group.
#[derive(Debug)]
pub(crate) struct HookQueue {
    reported: watch::Sender<Waiting>,
    progress: Arc<Progress>,
    has_general: bool,
    ended: Ended,
}

/// Resolves when a queue has ended.
#[derive(Debug)]
pub(crate) struct Ended(oneshot::Receiver<()>);

impl Ended {
    pub(crate) fn has_come(&mut self) -> bool {
        self.0.try_recv() == Err(TryRecvError::Closed)
    }
}

impl HookQueue {
    /// Must be called within a runtime.
    pub(crate) fn start(hooks: Hooks, before: Vec<Ended>, running: &mut Tasks) -> Self {
        let (reported, hears) = watch::channel(Waiting::default());
        let (ends, ended) = oneshot::channel();
        let (progress, has_general) = (Arc::<Progress>::default(), hooks.job(GENERAL).is_some());
        let begun = Arc::clone(&progress);
        running.spawn(unpanicked("the task of the hooks of an instance or group", async move {
            hooks.run(hears, before, &begun).await;
            drop(ends);
        }));
        Self { reported, progress, has_general, ended: Ended(ended) }
    }

    /// Starts no command from now on, until [`Self::release`].
    pub(crate) fn hold(&self, subject: Subject) -> LeftHooks {
        self.give(|waiting| waiting.is_held = true);
        let begun = self.progress.begun.load(Relaxed);
        let is_half = self.has_general && !self.progress.is_general.load(Relaxed);
        let Waiting { state, after, .. } = *self.reported.borrow();
        let unreported = state.and_then(|(number, notification)| {
            let is_left = number > begun || number == begun && is_half;
            is_left.then_some((notification, number == begun))
        });
        let running = Some(self.progress.running.load(Relaxed)).filter(|pid| *pid != 0);
        // A hook of an earlier daemon may still run.
        let after = after.filter(|process| pidfd::named(process.0) == Some(*process));
        LeftHooks { subject, running: running.and_then(pidfd::named).or(after), unreported }
    }

    pub(crate) fn release(&self) {
        self.give(|waiting| waiting.is_held = false);
    }

    /// Closes the queue: it ends after the notifications that wait.
    pub(crate) fn close(self) -> Ended {
        self.ended
    }

    pub(crate) fn give(&self, change: impl FnOnce(&mut Waiting)) {
        self.reported.send_modify(change);
    }
}

/// How far a notification has been reported.
#[derive(Clone, Copy)]
struct Stage<'a> {
    progress: &'a Progress,
    /// Another daemon has started its specific command.
    is_half: bool,
}

/// Runs after every state, and after its own hook.
const GENERAL: &str = "notify";

/// The hooks of one instance or group.
pub(crate) struct Hooks {
    subject: Subject,
    name: Arc<str>,
    node: Arc<str>,
    /// By keyword.
    jobs: Vec<(&'static str, Job)>,
    history: Arc<History>,
}

impl Hooks {
    /// `None` if there are none. A hook whose user cannot be resolved is added to `disabled`, and leaves the others as
    /// they are.
    pub(crate) fn new(
        subject: Subject,
        name: &Arc<str>,
        notify: &NotifySettings,
        globals: &Globals,
        node: &Arc<str>,
        history: &Arc<History>,
        disabled: &mut Vec<Disabled>,
    ) -> Option<Self> {
        let job = |(keyword, hook): (&'static str, &mut Option<NotifyCommand>)| {
            let NotifyCommand { command, user } = hook.take()?;
            let identity = Identity::resolve(user.as_ref(), globals.script_user.as_ref())
                .and_then(|identity| identity.with_groups(globals.process.supplementary_groups));
            let refused = |error: IdentityError| {
                disabled.push(Disabled { script: format!("{keyword} of {name}"), why: words(error) });
            };
            let identity = identity.map_err(refused).ok()?;
            Some((keyword, Job { command, identity, limit: HOOK_LIMIT, leashed: false }))
        };
        let jobs: Vec<_> = notify.clone().hooks().into_iter().filter_map(job).collect();
        let (name, node, history) = (Arc::clone(name), Arc::clone(node), Arc::clone(history));
        (!jobs.is_empty()).then_some(Self { subject, name, node, jobs, history })
    }

    fn job(&self, keyword: &str) -> Option<&Job> {
        self.jobs.iter().find(|(known, _)| *known == keyword).map(|(_, job)| job)
    }

    /// Handles one notification after the other, until the queue is closed and none is waiting. Begins when the queues
    /// of earlier configurations, and a command of another daemon, have ended.
    async fn run(self, mut reported: watch::Receiver<Waiting>, before: Vec<Ended>, progress: &Progress) {
        for Ended(before) in before {
            tokio::select! {
                _ = before => {}
                () = stop_overdue(reported.clone()) => {}
            }
        }
        let (mut done, mut has_waited) = (0, false);
        let mut output = match Output::surviving() {
            Ok(output) => Some(output),
            Err(error) => {
                warn!(%error, "cannot keep what hooks print");
                None
            }
        };
        while comes(&mut reported, output.as_mut()).await {
            let waiting = *reported.borrow_and_update();
            if waiting.is_held {
                continue;
            }
            for (number, notification) in [waiting.state, waiting.contest].into_iter().flatten() {
                // A contest is void if a transition has overtaken it meanwhile.
                let void =
                    notification.word == NotifyState::MasterRxLowerPri && reported.borrow().contest.is_none();
                if number <= done || void {
                    continue;
                }
                if let Some(process) = waiting.after.filter(|_| !has_waited) {
                    has_waited = true;
                    tokio::select! {
                        () = pidfd::end_of(process) => {}
                        () = tokio::time::sleep(HOOK_LIMIT) => {}
                        () = stop_overdue(reported.clone()) => {}
                    }
                    // A newer state replaces this one.
                    if reported.has_changed().unwrap_or(false) {
                        break;
                    }
                }
                done = number;
                progress.begun.store(number, Relaxed);
                progress.is_general.store(false, Relaxed);
                let stage = Stage { progress, is_half: waiting.half_reported == Some(number) };
                self.report_unless_ending(&notification, stage, &reported, output.as_mut()).await;
            }
        }
    }

    /// The end does not wait for a slow hook of an earlier state.
    async fn report_unless_ending(
        &self,
        notification: &Notification,
        stage: Stage<'_>,
        reported: &watch::Receiver<Waiting>,
        output: Option<&mut Output>,
    ) {
        tokio::select! {
            () = self.report(notification, stage, reported.clone(), output) => {}
            () = stop_overdue(reported.clone()), if notification.word != NotifyState::Stop => {
                let (instance, group) = self.labels();
                warn!(instance, group, "a hook is still running while the daemon stops; it is left running");
            }
        }
    }

    async fn report(
        &self,
        notification: &Notification,
        Stage { progress, is_half }: Stage<'_>,
        mut reported: watch::Receiver<Waiting>,
        mut output: Option<&mut Output>,
    ) {
        let keyword = match notification.word {
            NotifyState::Master => "notify_master",
            NotifyState::Backup => "notify_backup",
            NotifyState::Fault => "notify_fault",
            NotifyState::Stop => "notify_stop",
            NotifyState::Deleted => "notify_deleted",
            NotifyState::MasterRxLowerPri => "notify_master_rx_lower_pri",
            // For FIFOs only.
            NotifyState::MasterPriority | NotifyState::BackupPriority => return,
        };
        let environment = self.environment(notification);
        let running = &progress.running;
        if let Some(job) = self.job(keyword).filter(|_| !is_half) {
            let call = (keyword, job);
            self.call(call, notification, &[], &environment, output.as_deref_mut(), running).await;
        }
        // Another daemon goes on from here, unless it fails; then this one does.
        if reported.wait_for(|waiting| !waiting.is_held).await.is_err() {
            return;
        }
        progress.is_general.store(true, Relaxed);
        // As in keepalived, `notify` is called for states only.
        if let Some(job) = self.job(GENERAL).filter(|_| notification.word != NotifyState::MasterRxLowerPri) {
            let priority = notification.priority.to_string();
            let more = [self.subject.as_str(), &*self.name, notification.word.as_str(), &*priority];
            self.call((GENERAL, job), notification, &more, &environment, output, running).await;
        }
    }

    async fn call(
        &self,
        (keyword, job): (&'static str, &Job),
        notification: &Notification,
        more: &[&str],
        environment: &[(&str, String)],
        mut output: Option<&mut Output>,
        running: &AtomicI32,
    ) {
        let state = notification.word.as_str();
        let started = clock::now();
        let begun = RunningHook { keyword, state, started, due: started + job.limit };
        match self.subject {
            Subject::Instance(instance) => self.history.hook_begins(instance, begun),
            Subject::Group(group) => self.history.group_hook_begins(group, begun),
        }
        let run = job.run_printing(more, environment, output.as_deref_mut(), running).await;
        let printed = output.map(Output::tail).filter(|printed| !printed.is_empty());
        let ended = HookRun::ended(state, run, printed.clone());
        match self.subject {
            Subject::Instance(instance) => self.history.hook(instance, keyword, ended),
            Subject::Group(group) => self.history.group_hook(group, keyword, ended),
        }
        let (instance, group) = self.labels();
        let output = printed.as_deref();
        let (name, end) = (self.name.to_string(), run.end.to_string());
        let (keyword, state) = (keyword.to_owned(), state.to_owned());
        let what = if run.end.is_success() {
            info!(instance, group, keyword, state, lasted = ?run.lasted, output, "hook done");
            printed.map(|output| EventKind::HookPrinted { name, keyword, state, output })
        } else {
            warn!(instance, group, keyword, state, lasted = ?run.lasted, end, output, "hook failed");
            Some(EventKind::HookFailed { name, keyword, state, end, output: printed })
        };
        what.into_iter().for_each(|what| self.history.events.push(what));
    }

    /// Name of the instance, or of the group, for the log.
    fn labels(&self) -> (Option<DisplayValue<&str>>, Option<DisplayValue<&str>>) {
        let name = Some(display(&*self.name));
        match self.subject {
            Subject::Instance(_) => (name, None),
            Subject::Group(_) => (None, name),
        }
    }

    fn environment(&self, notification: &Notification) -> [(&'static str, String); 8] {
        [
            ("VRRPX_ROUTER_ID", self.node.to_string()),
            (
                match self.subject {
                    Subject::Instance(_) => "VRRPX_INSTANCE",
                    Subject::Group(_) => "VRRPX_GROUP",
                },
                self.name.to_string(),
            ),
            ("VRRPX_STATE", notification.word.as_str().to_owned()),
            ("VRRPX_PREVIOUS", notification.previous.as_str().to_owned()),
            ("VRRPX_PRIORITY", notification.priority.to_string()),
            ("VRRPX_REASON", notification.reason.as_str().to_owned()),
            ("VRRPX_EPOCH", notification.epoch.0.to_string()),
            ("VRRPX_PEER", notification.peer.map(|peer| peer.to_string()).unwrap_or_default()),
        ]
    }
}

/// Waits for a notification, and drains what background processes of earlier hooks print; false if none will come.
async fn comes(reported: &mut watch::Receiver<Waiting>, output: Option<&mut Output>) -> bool {
    let drained = async {
        match output {
            Some(output) => match output.follow().await {},
            None => std::future::pending::<()>().await,
        }
    };
    tokio::select! {
        changed = reported.changed() => changed.is_ok(),
        () = drained => true,
    }
}

/// Returns when a `STOP` has waited for too long.
async fn stop_overdue(mut reported: watch::Receiver<Waiting>) {
    let is_stop = |waiting: &Waiting| {
        waiting.state.is_some_and(|(_, notification)| notification.word == NotifyState::Stop)
    };
    let waits = reported.wait_for(is_stop).await.is_ok();
    if waits {
        tokio::time::sleep(STOP_PATIENCE).await;
    } else {
        // The queue is closed: none can come.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
