//! The checks that run, one task each.
//!
//! Enters: configurations. Leaves: results, for the record and as events for the engine. A check that is the same in
//! the next configuration goes on, with its result.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};

use super::events::What;
use super::queue::{Input, Queue};
use super::status::Live;
use crate::config::{CheckSettings, Config, ScriptUser};
use crate::driver::probe::Cause;
use crate::driver::probe::attempt::{Failure, Names};
use crate::driver::probe::check::{CheckProbe, Outcome, Round};
use crate::driver::process::{Identity, IdentityError};
use crate::protocol::{Event, TrackId};

#[derive(Debug)]
pub struct Checks {
    inputs: Queue<Input>,
    running: HashMap<TrackId, Running>,
    tasks: JoinSet<()>,
    names: Names,
}

#[derive(Debug, Error)]
pub enum CheckError {
    #[error("a check cannot run: {0}")]
    Identity(#[from] IdentityError),
    #[error("check `{0}` cannot run: {1}")]
    Probe(Arc<str>, Failure),
}

#[derive(Debug)]
struct Running {
    settings: CheckSettings,
    /// `script_user` of the configuration.
    user: Option<ScriptUser>,
    task: AbortHandle,
}

impl Checks {
    /// Must be called within a runtime.
    pub fn new(inputs: Queue<Input>) -> Self {
        Self { inputs, running: HashMap::new(), tasks: JoinSet::new(), names: Names::new() }
    }

    /// Finds out whether the checks of a configuration can be run.
    ///
    /// # Errors
    /// The user of a script does not exist, or what a check needs is not to be had.
    pub fn prepare(&self, config: &Config) -> Result<(), CheckError> {
        config.checks.iter().try_for_each(|script| self.probe(script, config).map(drop))
    }

    fn probe(&self, script: &CheckSettings, config: &Config) -> Result<CheckProbe, CheckError> {
        let identity = Identity::resolve(script.user.as_ref(), config.globals.script_user.as_ref())?
            .with_groups(config.globals.process.supplementary_groups)?;
        let probe = CheckProbe::new(script, identity, &self.names);
        probe.map_err(|failure| CheckError::Probe(Arc::clone(&script.name), failure))
    }

    /// Starts and ends checks so that those of the configuration run. Must be called within a runtime.
    pub fn settle(&mut self, config: &Config, live: &Live) {
        let user = &config.globals.script_user;
        let mut before = std::mem::take(&mut self.running);
        for script in &config.checks {
            let same = |old: &Running| old.settings == *script && old.user == *user;
            let running = match before.remove(&script.id) {
                Some(old) if same(&old) => old,
                old => {
                    if let Some(old) = old {
                        old.task.abort();
                    }
                    // Prepared before, it is to be had again.
                    let Ok(probe) = self.probe(script, config) else { continue };
                    let deliver = deliver(Arc::clone(&script.name), live.clone(), self.inputs.clone());
                    let task = self.tasks.spawn(probe.run(deliver));
                    Running { settings: script.clone(), user: user.clone(), task }
                }
            };
            self.running.insert(script.id, running);
        }
        // A run that is going on ends with its task.
        before.values().for_each(|old| old.task.abort());
        live.now().record.keep_checks(|track| self.running.contains_key(&track));
    }

    /// Ends checks that are running.
    pub async fn end(mut self) {
        self.tasks.shutdown().await;
    }
}

/// What becomes of the rounds of a check.
fn deliver(check: Arc<str>, live: Live, inputs: Queue<Input>) -> impl FnMut(&Round) -> bool + Send + use<> {
    let mut cause = None;
    move |round| {
        live.now().record.check(round.clone());
        let held = round.held.map(|held| held.cause);
        if std::mem::replace(&mut cause, held) != held {
            match held {
                Some(Cause::Flapping) => warn!(
                    check = &*check,
                    "the check changes too often; it counts as failed until it has been quiet"
                ),
                Some(Cause::MinHold) => {
                    info!(
                        check = &*check,
                        "the check is good again, and counts as failed until `min_hold` is over"
                    );
                }
                None => info!(check = &*check, "the check is held no longer"),
            }
        }
        if !round.news {
            return true;
        }
        live.now().record.events.push(What::Check {
            check: check.to_string(),
            up: round.up,
            outcome: round.outcome.to_string(),
        });
        if let Outcome::Number(number) = round.outcome {
            info!(check = &*check, number, "the number in the file");
        } else if round.up {
            info!(check = &*check, outcome = %round.outcome, "check is up");
        } else {
            let printed = round.printed.as_deref();
            warn!(check = &*check, outcome = %round.outcome, lasted = ?round.lasted, printed, "check is down");
        }
        inputs.push(Input::Event(match round.outcome {
            Outcome::Number(number) => Event::Value(round.track, number),
            _ => Event::Track(round.track, round.up),
        }))
    }
}
