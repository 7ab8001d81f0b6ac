//! Hooks: the commands of `notify_*` and `notify`, in one queue per instance or group.
//!
//! Enters: the notifications that wait in the queue. Leaves: runs of commands, one after the other, noted in the
//! [`History`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{oneshot, watch};
use tracing::field::{DisplayValue, display};
use tracing::{info, warn};

use super::fifo::NotifyState;
use crate::config::{Globals, NotifyCommand, NotifySettings};
use crate::daemon::events::What;
use crate::daemon::history::{History, HookRun};
use crate::daemon::tasks::Tasks;
use crate::driver::output::Output;
use crate::driver::process::{Identity, IdentityError, Job};
use crate::protocol::{Epoch, GroupId, InstanceId, Priority, Reason, State};

/// Longest time that a hook may run.
const HOOK_LIMIT: Duration = Duration::from_secs(60);

/// How long a hook that is still running may hold up the `STOP` of its instance.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// One change to report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Notification {
    pub(crate) word: NotifyState,
    pub(crate) previous: State,
    pub(crate) reason: Reason,
    pub(crate) epoch: Epoch,
    pub(crate) priority: Priority,
    pub(crate) peer: Option<IpAddr>,
}

/// The subject of a notification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Subject {
    Instance(InstanceId),
    Group(GroupId),
}

impl Subject {
    /// The word that keepalived writes.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Instance(_) => "INSTANCE",
            Self::Group(_) => "GROUP",
        }
    }
}

/// Notifications that wait in a queue, each with its number among all that the queue was given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    given: u64,
    state: Option<(u64, Notification)>,
    contest: Option<(u64, Notification)>,
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
}

/// The running hooks of one instance or group.
#[derive(Debug)]
pub(crate) struct HookQueue {
    reported: watch::Sender<Waiting>,
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
        running.spawn(async move {
            hooks.run(hears, before).await;
            drop(ends);
        });
        Self { reported, ended: Ended(ended) }
    }

    /// Closes the queue: it ends after the notifications that wait.
    pub(crate) fn close(self) -> Ended {
        self.ended
    }

    pub(crate) fn give(&self, change: impl FnOnce(&mut Waiting)) {
        self.reported.send_modify(change);
    }
}

/// The hooks of one instance or group.
pub(crate) struct Hooks {
    subject: Subject,
    name: Arc<str>,
    node: Arc<str>,
    master: Option<Job>,
    backup: Option<Job>,
    fault: Option<Job>,
    stop: Option<Job>,
    deleted: Option<Job>,
    lower: Option<Job>,
    any: Option<Job>,
    history: Arc<History>,
}

impl Hooks {
    /// `None` if there are none.
    pub(crate) fn new(
        subject: Subject,
        name: &Arc<str>,
        notify: &NotifySettings,
        globals: &Globals,
        node: &Arc<str>,
        history: &Arc<History>,
    ) -> Result<Option<Self>, IdentityError> {
        let job = |hook: &Option<NotifyCommand>| -> Result<Option<Job>, IdentityError> {
            let Some(hook) = hook else { return Ok(None) };
            let identity = Identity::resolve(hook.user.as_ref(), globals.script_user.as_ref())?
                .with_groups(globals.process.supplementary_groups)?;
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
            deleted: job(&notify.deleted)?,
            lower: job(&notify.lower)?,
            any: job(&notify.any)?,
            history: Arc::clone(history),
        };
        let Self { master, backup, fault, stop, deleted, lower, any, .. } = &hooks;
        let some = [master, backup, fault, stop, deleted, lower, any];
        Ok(some.iter().any(|job| job.is_some()).then_some(hooks))
    }

    /// Handles one notification after the other, until the queue is closed and none is waiting. Begins when the queues
    /// of earlier configurations have ended.
    pub(crate) async fn run(self, mut reported: watch::Receiver<Waiting>, before: Vec<Ended>) {
        for Ended(before) in before {
            tokio::select! {
                _ = before => {}
                () = stop_overdue(reported.clone()) => {}
            }
        }
        let mut done = 0;
        let mut output = match Output::surviving() {
            Ok(output) => Some(output),
            Err(error) => {
                warn!(%error, "cannot keep what hooks print");
                None
            }
        };
        while comes(&mut reported, output.as_mut()).await {
            let waiting = *reported.borrow_and_update();
            for (number, notification) in [waiting.state, waiting.contest].into_iter().flatten() {
                // A contest is void if a transition has overtaken it meanwhile.
                let void =
                    notification.word == NotifyState::MasterRxLowerPri && reported.borrow().contest.is_none();
                if number <= done || void {
                    continue;
                }
                done = number;
                self.report_unless_ending(&notification, &reported, output.as_mut()).await;
            }
        }
    }

    /// The end does not wait for a slow hook of an earlier state.
    async fn report_unless_ending(
        &self,
        notification: &Notification,
        reported: &watch::Receiver<Waiting>,
        output: Option<&mut Output>,
    ) {
        tokio::select! {
            () = self.report(notification, output) => {}
            () = stop_overdue(reported.clone()), if notification.word != NotifyState::Stop => {
                let (instance, group) = self.labels();
                warn!(instance, group, "a hook is still running while the daemon stops; it is left running");
            }
        }
    }

    async fn report(&self, notification: &Notification, mut output: Option<&mut Output>) {
        let (keyword, specific) = match notification.word {
            NotifyState::Master => ("notify_master", &self.master),
            NotifyState::Backup => ("notify_backup", &self.backup),
            NotifyState::Fault => ("notify_fault", &self.fault),
            NotifyState::Stop => ("notify_stop", &self.stop),
            NotifyState::Deleted => ("notify_deleted", &self.deleted),
            NotifyState::MasterRxLowerPri => ("notify_master_rx_lower_pri", &self.lower),
            // For FIFOs only.
            NotifyState::MasterPriority | NotifyState::BackupPriority => return,
        };
        let environment = self.environment(notification);
        if let Some(job) = specific {
            self.call((keyword, job), notification, &[], &environment, output.as_deref_mut()).await;
        }
        // As in keepalived, `notify` is called for states only.
        if let Some(job) = self.any.as_ref().filter(|_| notification.word != NotifyState::MasterRxLowerPri) {
            let priority = notification.priority.to_string();
            let more = [self.subject.as_str(), &*self.name, notification.word.as_str(), &*priority];
            self.call(("notify", job), notification, &more, &environment, output).await;
        }
    }

    async fn call(
        &self,
        (keyword, job): (&'static str, &Job),
        notification: &Notification,
        more: &[&str],
        environment: &[(&str, String)],
        mut output: Option<&mut Output>,
    ) {
        let state = notification.word.as_str();
        let run = match output.as_deref_mut() {
            Some(output) => job.run_printing(more, environment, output).await,
            None => job.run(more, environment).await,
        };
        let printed = output.filter(|_| !run.end.is_success()).map(Output::tail);
        let printed = printed.filter(|printed| !printed.is_empty());
        let ended = HookRun::ended(state, run, printed.clone());
        match self.subject {
            Subject::Instance(instance) => self.history.hook(instance, keyword, ended),
            Subject::Group(group) => self.history.group_hook(group, keyword, ended),
        }
        let (instance, group) = self.labels();
        if run.end.is_success() {
            info!(instance, group, keyword, state, lasted = ?run.lasted, "hook done");
        } else {
            let output = printed.as_deref();
            warn!(instance, group, keyword, state, lasted = ?run.lasted, end = %run.end, output, "hook failed");
            self.history.events.push(What::HookFailed {
                name: self.name.to_string(),
                keyword: keyword.to_owned(),
                state: state.to_owned(),
                end: run.end.to_string(),
                output: printed,
            });
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
