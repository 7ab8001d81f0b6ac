//! Reload: another configuration for a running daemon.
//!
//! Enters: SIGHUP, or a request on the control socket. Leaves: the new file in use as a whole, or not at all; then the
//! configuration is [`Stale`]. Absent: what the parts do with it; each changes over by itself: interfaces and programs
//! first, then the engine at one moment, then hooks and checks.

pub mod change;
mod reading;

pub use reading::{Outcome, Readings};

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{error, info, warn};

use self::reading::Ready;
use super::checks::Checks;
use super::host::interfaces::Order;
use super::notify::Notifier;
use super::process::options::RunOptions;
use super::process::systemd;
use super::report::{Reporter, ReporterEvent};
use super::status::{DaemonContext, SharedContext};
use super::steering;
use crate::config::{Config, ProcessSettings};

/// Longest time that the engine may take to change over.
const ENGINE_LIMIT: Duration = Duration::from_secs(5);

/// Why the configuration in use is not that of the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stale {
    pub since: SystemTime,
    /// One finding each.
    pub findings: Vec<String>,
}

/// A request to reload; the answer is the result of [`Reloader::end`].
pub type Request = oneshot::Sender<Result<(), Vec<String>>>;

/// Everything that a reload needs.
#[derive(Debug)]
pub struct Reloader {
    pub options: RunOptions,
    pub shared: SharedContext,
    pub orders: mpsc::Sender<Order>,
}

impl Reloader {
    /// Starts to read the file again, beside this thread.
    pub fn begin(&self, readings: &mut Readings) {
        systemd::tell(&[
            NotifyState::Reloading,
            NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Ready),
        ]);
        let sign = self.shared.now().config.globals.process.reload_file.clone();
        readings.begin(&self.options, sign);
    }

    /// Changes over to what was read.
    ///
    /// # Errors
    /// The findings of the configuration, one each; the daemon goes on as it was.
    pub async fn end(
        &self,
        read: Outcome,
        reporter: &mut Reporter,
        notifier: &mut Notifier,
        checks: &mut Checks,
    ) -> Result<(), Vec<String>> {
        let outcome = match read {
            Ok(ready) => self.change_over(ready, reporter, notifier, checks).await,
            Err(findings) => Err(findings),
        };
        systemd::tell(&[NotifyState::Ready]);
        let history = &self.shared.now().history;
        match &outcome {
            Ok(()) => {
                history.loaded(SystemTime::now());
                info!(config = %self.options.config.display(), "reloaded");
            }
            Err(findings) => {
                for finding in findings {
                    error!("{finding}");
                }
                warn!("configuration not reloaded; the previous one stays in use");
                history.stale(Stale { since: SystemTime::now(), findings: findings.clone() });
            }
        }
        outcome
    }

    async fn change_over(
        &self,
        Ready { config, warnings, notices }: Ready,
        reporter: &mut Reporter,
        notifier: &mut Notifier,
        checks: &mut Checks,
    ) -> Result<(), Vec<String>> {
        for warning in &warnings {
            warn!("{warning}");
        }
        for line in &notices {
            warn!("{line}");
        }
        checks.prepare(&config).await.map_err(|error| vec![error.to_string()])?;
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
        self.shared.replace(DaemonContext { config: Arc::clone(&config), ..(*now).clone() });
        steering::forget_removed(&self.shared.now(), &self.options.runtime_dir);
        reporter.settle(Arc::clone(&config));
        if let Err(error) = notifier.settle(&config) {
            warn!(%error, "some hooks are not run");
        }
        if config.globals.fifo_states_on_reload {
            notifier.repeat_states();
        }
        checks.settle(&config, &self.shared);
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
