//! Another configuration for a running daemon.
//!
//! Enters: SIGHUP, or a request on the control socket. Leaves: the file read aside and taken over as a whole, or not at
//! all, and then a configuration that is [`Stale`]. Absent: what the parts do with it; each settles by itself:
//! interfaces and programs first, then the engine at one moment, then hooks and checks.

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
use super::report::{Passed, Reporter};
use super::status::{Live, Sources};
use crate::config::{Config, ProcessSettings};

/// Longest time that the engine may take to change over.
const ENGINE_LIMIT: Duration = Duration::from_secs(5);

/// Why the file in use is not the one on the disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stale {
    pub since: SystemTime,
    /// One finding each.
    pub findings: Vec<String>,
}

/// A request to reload; the answer is what [`Reloader::end`] returns.
pub type Request = oneshot::Sender<Result<(), Vec<String>>>;

/// What it takes.
#[derive(Debug)]
pub struct Reloader {
    pub options: RunOptions,
    pub live: Live,
    pub orders: mpsc::Sender<Order>,
}

impl Reloader {
    /// Has the file read again, beside this thread.
    pub fn begin(&self, readings: &mut Readings) {
        systemd::tell(&[
            NotifyState::Reloading,
            NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Ready),
        ]);
        let sign = self.live.now().config.globals.process.reload_file.clone();
        readings.begin(&self.options, sign);
    }

    /// Changes over to what was read.
    ///
    /// # Errors
    /// What is wrong with it, one finding each; the daemon goes on as it was.
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
        let record = &self.live.now().record;
        match &outcome {
            Ok(()) => {
                record.loaded(SystemTime::now());
                info!(config = %self.options.config.display(), "reloaded");
            }
            Err(findings) => {
                for finding in findings {
                    error!("{finding}");
                }
                warn!("the configuration is not reloaded; the daemon goes on with the one before");
                record.stale(Stale { since: SystemTime::now(), findings: findings.clone() });
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
        // What the engine told before is told under the names of before.
        match timeout(ENGINE_LIMIT, reporter.run(notifier)).await {
            Ok(Ok(Passed::Reconfigured)) => {}
            Ok(Ok(Passed::Stopped)) => return Err(vec!["the engine has stopped by itself".to_owned()]),
            Ok(Err(error)) => return Err(vec![error.to_string()]),
            Err(_) => warn!("the engine has not changed over within {ENGINE_LIMIT:?}"),
        }
        let now = self.live.now();
        if now.config.globals.router_id != config.globals.router_id {
            warn!("router_id has changed; hooks and status tell the new one after a restart");
        }
        if start_only(&now.config.globals.process) != start_only(&config.globals.process) {
            warn!("settings of the process have changed; they count after a restart");
        }
        self.live.replace(Sources { config: Arc::clone(&config), ..(*now).clone() });
        reporter.settle(Arc::clone(&config));
        if let Err(error) = notifier.settle(&config) {
            warn!(%error, "some hooks are not run");
        }
        if config.globals.fifo_states_on_reload {
            notifier.repeat_states();
        }
        checks.settle(&config, &self.live);
        // Addresses on them have gone before them, or go with them.
        let _ = self.orders.send(Order::Prune).await;
        Ok(())
    }

    async fn adopt(&self, config: Config) -> Result<Arc<Config>, String> {
        let (answer, answered) = oneshot::channel();
        let gone = || "interfaces are not followed any more".to_owned();
        self.orders.send(Order::Adopt(Box::new(config), answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?.map_err(|error| error.to_string())
    }
}

/// What counts from the start on.
fn start_only(settings: &ProcessSettings) -> ProcessSettings {
    ProcessSettings { reload_file: None, ..settings.clone() }
}
