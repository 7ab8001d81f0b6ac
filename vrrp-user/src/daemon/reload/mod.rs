//! Reload: another configuration for a running daemon.
//!
//! Enters: SIGHUP, or a request on the control socket. Leaves: the new file in use as a whole, or not at all; then the
//! configuration is [`StaleConfiguration`]. A reload that is not confirmed in time gives way to the configuration
//! before it. Absent: what the parts do with it; each changes over by itself: interfaces and programs first, then the
//! engine at one moment, then hooks and checks.

pub mod change;
mod outlook;
mod reading;
mod request;
mod stale;

pub use reading::{ConfigurationReadings, Ended, Outcome, ReadingPurpose};
pub use request::{Answer, AppliedReload, ReloadKind, Request};
pub use stale::{Cause, StaleConfiguration};

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

use self::reading::Ready;
use super::checks::Checks;
use super::essential::unpanicked;
use super::events::EventKind;
use super::history::sum;
use super::host::interfaces::Order;
use super::last_good::LastGoodSaver;
use super::load;
use super::neighbours::{self, Baton};
use super::notify::Notifier;
use super::process::options::RunOptions;
use super::process::{preflight, systemd};
use super::report::{Reporter, ReporterEvent};
use super::status::{DaemonContext, SharedContext};
use super::steering;
use crate::config::{Config, Loaded, ProcessSettings};

/// Longest time that the engine may take to change over.
const ENGINE_LIMIT: Duration = Duration::from_secs(5);

/// Longest time that the copy of the configuration may take when the daemon ends.
const SAVE_LIMIT: Duration = Duration::from_secs(3);

/// Longest time for which a reload may await its confirmation.
const CONFIRM_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Changes that are logged one by one, and findings that are passed to clients.
const LISTED: usize = 100;

/// A reload that was applied and awaits a confirmation.
#[derive(Debug)]
struct Awaiting {
    due: Instant,
    given: Duration,
    before: Arc<Loaded>,
    /// When that was read.
    read: Option<SystemTime>,
}

/// Why an applied reload is undone.
#[derive(Debug)]
enum Undoing {
    /// It was not kept within this time.
    NotKept(Duration),
    /// What another daemon has as well.
    Clashes(Vec<String>),
}

/// Everything that a reload needs.
#[derive(Debug)]
pub struct Reloader {
    pub options: RunOptions,
    pub shared: SharedContext,
    pub orders: mpsc::Sender<Order>,
    /// The configuration in use, as read; `None` before [`Self::running`].
    current: Option<Arc<Loaded>>,
    awaiting: Option<Awaiting>,
    /// Why a reload is undone, and when the configuration before it was read; on the way back.
    returning: Option<(Undoing, Option<SystemTime>)>,
    /// The configuration before a reload without the baton, and when that was read.
    unsure: Option<(Arc<Loaded>, Option<SystemTime>)>,
    /// Another look at the other daemons, for that, with the baton if it had it.
    looks: JoinSet<(Vec<String>, Option<Baton>)>,
    saver: Option<LastGoodSaver>,
}

impl Reloader {
    pub fn new(options: RunOptions, shared: SharedContext, orders: mpsc::Sender<Order>) -> Self {
        let saver = LastGoodSaver::of(&options, shared.now().history.unwritten.clone());
        let (current, awaiting, returning, unsure) = (None, None, None, None);
        Self { options, shared, orders, current, awaiting, returning, unsure, looks: JoinSet::new(), saver }
    }

    /// Notes the configuration in use.
    pub fn running(&mut self, loaded: Arc<Loaded>) {
        self.current = Some(loaded);
        self.save();
    }

    /// Must be called within a runtime.
    fn save(&self) {
        if let (Some(saver), Some(loaded)) = (&self.saver, &self.current) {
            saver.save(Arc::clone(loaded), self.awaiting.is_some());
        }
    }

    /// Completes the copy of the configuration in use before the daemon ends.
    pub async fn finish(&self) {
        let Some(saver) = self.saver.clone() else { return };
        if timeout(SAVE_LIMIT, spawn_blocking(move || saver.finish())).await.is_err() {
            warn!(
                "the copy of the configuration is not written within {SAVE_LIMIT:?}; the next start has an older one"
            );
        }
    }

    /// Starts to read the file again, beside this thread.
    pub fn begin(&self, readings: &mut ConfigurationReadings) {
        if readings.purpose() != ReadingPurpose::Try {
            systemd::notify(&[
                NotifyState::Reloading,
                NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Ready),
            ]);
        }
        let sign = self.shared.now().config.globals.process.reload_file.clone();
        readings.begin(&self.options, sign, self.current.clone());
    }

    /// Time at which a reload is undone, unless it is kept before.
    pub fn due(&self) -> Option<Instant> {
        self.awaiting.as_ref().map(|awaiting| awaiting.due)
    }

    /// Asks for the return to the configuration before, which is due.
    pub fn go_back(&mut self, readings: &mut ConfigurationReadings) {
        if let Some(Awaiting { before, given, read, .. }) = self.awaiting.take() {
            warn!("the reload was not kept within {given:?}; going back to the configuration before it");
            self.returning = Some((Undoing::NotKept(given), read));
            readings.ask_return(before, None);
        }
    }

    /// What another daemon has as well as a reload that was made without the baton: found by further looks, until one
    /// is certain; and the baton, if it was found with it. Never ends if no such reload was made.
    pub async fn clashes(&mut self) -> (Vec<String>, Option<Baton>) {
        match self.looks.join_next().await {
            Some(Ok(found)) => found,
            // It was replaced by another reload's.
            Some(Err(_)) => (Vec::new(), None),
            None => pending().await,
        }
    }

    /// Asks for the return to the configuration before a reload, if another daemon has the same as the reloaded one.
    /// The return keeps the baton, so that the other one does not find this one as well, and gives way too.
    pub fn give_way(
        &mut self,
        (clashes, baton): (Vec<String>, Option<Baton>),
        readings: &mut ConfigurationReadings,
    ) {
        let Some((before, read)) = self.unsure.take() else { return };
        if clashes.is_empty() {
            // That is certain: the reload stays.
            return;
        }
        warn!("another daemon has what the reload has brought; going back to the configuration before it");
        // To the one that was kept last, as after a reload that is not kept.
        let (before, read) = self.awaiting.take().map_or((before, read), |it| (it.before, it.read));
        self.returning = Some((Undoing::Clashes(clashes), read));
        readings.ask_return(before, baton);
    }

    /// A reload was made, with the baton or without it.
    fn look_again(&mut self, has_baton: bool, before: Option<Arc<Loaded>>, read: Option<SystemTime>) {
        if has_baton {
            (self.unsure, self.looks) = (None, JoinSet::new());
            return;
        }
        self.unsure = self.unsure.take().or_else(|| Some((before?, read)));
        let look = neighbours::look_again(self.shared.clone(), self.options.runtime_dir.clone());
        self.looks = JoinSet::new();
        let look = async {
            let (clashes, baton) = look.await;
            // Only a way back needs it, and a reading that begins before this is taken would wait for it.
            let baton = baton.filter(|_| !clashes.is_empty());
            (clashes, baton)
        };
        self.looks.spawn(unpanicked("the task of other daemons", look));
    }

    /// Keeps the reload that awaits it.
    ///
    /// # Errors
    /// None does.
    pub fn keep(&mut self) -> Answer {
        let none = || vec!["no reload waits to be kept; it may have been undone already".to_owned()];
        self.awaiting.take().ok_or_else(none)?;
        self.shared.now().history.kept();
        self.forget_removed();
        self.save();
        info!("the reload is kept");
        Ok(AppliedReload::default())
    }

    /// Says what would change, and answers the requests for that alone; returns the others.
    pub fn preview(&self, read: &Outcome, requests: Vec<Request>) -> Vec<Request> {
        let (tries, others): (Vec<_>, Vec<_>) =
            requests.into_iter().partition(|it| it.ask == ReloadKind::Try);
        if tries.is_empty() {
            return others;
        }
        let answer = match read {
            Ok(ready) => Ok(AppliedReload {
                changes: ready.changes.clone(),
                warnings: ready.warnings(),
                handovers: outlook::handovers(&self.shared.now(), &ready.config),
            }),
            Err(findings) => Err(findings.clone()),
        };
        for request in tries {
            // The client may have gone.
            let _ = request.answer.send(answer.clone());
        }
        others
    }

    /// Changes over to what was read, for these requests.
    ///
    /// # Errors
    /// The findings of the configuration, one each; the daemon goes on as it was.
    pub async fn end(
        &mut self,
        Ended { outcome: read, requests, purpose }: Ended,
        reporter: &mut Reporter,
        notifier: &mut Notifier,
        checks: &mut Checks,
    ) {
        let confirm = requests.iter().filter_map(|it| match it.ask {
            ReloadKind::Apply { confirm } => confirm,
            ReloadKind::Try | ReloadKind::Keep => None,
        });
        let confirm = confirm.min();
        let outcome = match read {
            Ok(ready) => {
                let applied = AppliedReload {
                    changes: ready.changes.clone(),
                    warnings: ready.warnings(),
                    handovers: Vec::new(),
                };
                let (loaded, has_baton) = (Arc::clone(&ready.loaded), ready.baton.is_some());
                let outcome = self.change_over(ready, reporter, notifier, checks).await;
                outcome.map(|()| (applied, loaded, has_baton))
            }
            Err(findings) => Err(findings),
        };
        systemd::notify(&[NotifyState::Ready]);
        let answer = match outcome {
            Ok((applied, loaded, has_baton)) => {
                self.applied(&applied, loaded, confirm, purpose, has_baton);
                Ok(applied)
            }
            Err(findings) => {
                match purpose {
                    ReadingPurpose::Return => self.stayed(&findings),
                    ReadingPurpose::Apply | ReadingPurpose::Try => self.refused(&findings),
                }
                Err(findings)
            }
        };
        for request in requests {
            // The client may have gone.
            let _ = request.answer.send(answer.clone());
        }
    }

    /// Notes that a configuration is in use.
    fn applied(
        &mut self,
        applied: &AppliedReload,
        loaded: Arc<Loaded>,
        confirm: Option<Duration>,
        purpose: ReadingPurpose,
        has_baton: bool,
    ) {
        let left_out = load::electing(&loaded);
        let before = self.current.replace(loaded);
        let history = &Arc::clone(&self.shared.now().history);
        for change in applied.changes.iter().take(LISTED) {
            info!("{change}");
        }
        if applied.changes.len() > LISTED {
            info!("and {} more changes", applied.changes.len() - LISTED);
        }
        if purpose == ReadingPurpose::Return {
            warn!("the configuration before the reload is in use again; the file differs from it");
            match self.returning.take() {
                Some((Undoing::NotKept(given), read)) => history.undone(read, given),
                Some((Undoing::Clashes(clashes), read)) => {
                    history.went_back(read);
                    self.refused(&clashes);
                }
                None => {}
            }
            (self.unsure, self.looks) = (None, JoinSet::new());
            history.leaves_out(left_out);
            self.forget_removed();
            self.save();
            return;
        }
        let read = history.read().loads.at;
        history.loaded(SystemTime::now(), &applied.changes);
        history.leaves_out(left_out);
        info!(config = %self.options.config.display(), "reloaded");
        // Of several reloads, the configuration before the first one is the one that was kept last.
        let awaited = self.awaiting.take().map(|it| (it.before, it.read));
        self.look_again(has_baton, before.clone(), read);
        let kept = awaited.or_else(|| Some((before?, read)));
        if let (Some(given), Some((before, read))) = (confirm, kept) {
            let given = given.min(CONFIRM_MAX);
            let due = Instant::now() + given;
            self.awaiting = Some(Awaiting { due, given, before, read });
            history.awaiting(SystemTime::now().checked_add(given));
            warn!("the reload is undone in {given:?} unless it is kept: vrrpx reload --keep");
        }
        self.forget_removed();
        self.save();
    }

    /// Forgets the orders for removed instances, unless the configuration that has them may come back.
    fn forget_removed(&self) {
        if self.awaiting.is_none() {
            steering::forget_removed(&self.shared.now(), &self.options.runtime_dir);
        }
    }

    /// Notes that the configuration before a reload cannot be used any more.
    fn stayed(&mut self, findings: &[String]) {
        self.returning = None;
        for finding in findings {
            error!("{finding}");
        }
        error!("cannot go back to the configuration before the reload; the reloaded one stays in use");
        let history = &self.shared.now().history;
        history.events.push(EventKind::refused(findings));
        history.awaiting(None);
        self.forget_removed();
        self.save();
    }

    fn refused(&self, findings: &[String]) {
        for finding in findings {
            error!("{finding}");
        }
        warn!("configuration not reloaded; the previous one stays in use");
        let (since, findings) = (SystemTime::now(), findings.to_owned());
        self.shared.now().history.stale(StaleConfiguration { since, cause: Cause::Refused, findings });
    }

    async fn change_over(
        &self,
        Ready { config, loaded, traps, notices, host_findings, .. }: Ready,
        reporter: &mut Reporter,
        notifier: &mut Notifier,
        checks: &mut Checks,
    ) -> Result<(), Vec<String>> {
        for warning in loaded.diagnostics.iter().chain(&traps) {
            warn!("{warning}");
        }
        notices.iter().for_each(|notice| warn!("{notice}"));
        host_findings.iter().for_each(|line| warn!("{line}"));
        let prepared = checks.prepare(&config).await.map_err(|error| vec![error.to_string()])?;
        let config = self.adopt(config).await.map_err(|error| vec![error])?;
        // Earlier reports of the engine are handled under the names of the earlier configuration.
        match timeout(ENGINE_LIMIT, reporter.run(notifier)).await {
            Ok(Ok(ReporterEvent::Reconfigured)) => {}
            Ok(Ok(ReporterEvent::Stopped)) => {
                return Err(vec!["the engine has stopped unexpectedly".to_owned()]);
            }
            Ok(Err(error)) => return Err(vec![error.to_string()]),
            Err(_) => warn!("the engine has not changed over within {ENGINE_LIMIT:?}"),
        }
        let now = self.shared.now();
        if now.config.globals.router_id != config.globals.router_id {
            warn!("router_id has changed; hooks and status use the new one after a restart");
        }
        if start_only(&now.config.globals.process) != start_only(&config.globals.process) {
            warn!("settings of the process have changed; they take effect after a restart");
        }
        let removed = now.instances().filter(|(it, _)| config.instance(it.id).is_none());
        let counts = removed.map(|(it, live)| live.summed(&now.maps.counters(Some(it.id))));
        let gone = counts.fold(now.gone, sum);
        self.shared.replace(DaemonContext { config: Arc::clone(&config), gone, ..(*now).clone() });
        steering::follow_names(&now, &now.config, &config, &self.options.runtime_dir);
        now.history.disabled(preflight::disabled(&notices));
        reporter.settle(Arc::clone(&config));
        notifier.settle(&config);
        if config.globals.fifo_states_on_reload {
            notifier.repeat_states();
        }
        checks.settle(prepared, &config, &self.shared);
        // Addresses on removed interfaces have gone before them, or go with them.
        let _ = self.orders.send(Order::Prune).await;
        Ok(())
    }

    async fn adopt(&self, config: Config) -> Result<Arc<Config>, String> {
        let (answer, answered) = oneshot::channel();
        let gone = || "interface monitoring has stopped".to_owned();
        self.orders.send(Order::Adopt(Box::new(config), answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?.map_err(|error| error.to_string())
    }
}

/// Settings that only take effect at a start.
fn start_only(settings: &ProcessSettings) -> ProcessSettings {
    ProcessSettings { reload_file: None, ..settings.clone() }
}
