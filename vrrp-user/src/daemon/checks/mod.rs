//! The running checks, one task each.
//!
//! Enters: configurations. Leaves: results, for the history and as events for the engine. A check that is the same in
//! the next configuration goes on, with its result; after a hot restart, so does the previous daemon's check of the
//! same name.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use thiserror::Error;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};
use vrrp_ebpf::time::Timestamp;

use super::events::EventKind;
use super::hot_restart::RouterSnapshot;
use super::queue::{Input, Queue};
use super::status::SharedContext;
use super::tasks::Tasks;
use crate::config::{CheckSettings, CheckTarget, Config, FileTarget, ScriptUser};
use crate::daemon::probe::Cause;
use crate::daemon::probe::attempt::{Failure, Resolver};
use crate::daemon::probe::check::{CheckProbe, Outcome, ProbeResult};
use crate::daemon::probe::watch::{NoticedBy, prepare_file};
use crate::driver::clock;
use crate::driver::process::Identity;
use crate::protocol::{Event, InstanceId, InstanceSnapshot, TrackId};

/// Time limit for the file of a new check; a hanging file system would block the main thread.
const FILE_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Checks {
    inputs: Queue<Input>,
    running: HashMap<TrackId, Running>,
    /// Results of the previous daemon, until the checks start.
    known: HashMap<TrackId, Known>,
    tasks: Tasks,
    names: Resolver,
}

#[derive(Debug, Error)]
#[error("check `{0}` cannot run: {1}")]
pub struct CheckError(Arc<str>, Failure);

/// Everything that the checks of a configuration run with, in their order; `None` for one that is running.
#[derive(Debug, Default)]
pub struct PreparedChecks(Vec<Option<CheckProbe>>);

#[derive(Debug)]
struct Running {
    settings: CheckSettings,
    /// `script_user` of the configuration, if the check uses it.
    user: Option<ScriptUser>,
    task: AbortHandle,
}

/// Result of the previous daemon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Known {
    result: i32,
    /// Every instance that tracks the check has this result.
    to_all: bool,
}

impl Running {
    /// Whether it goes on as this check, whose number may not be final.
    fn is(&self, script: &CheckSettings, config: &Config) -> bool {
        let numbered = CheckSettings { id: self.settings.id, ..script.clone() };
        self.settings == numbered && self.user.as_ref() == user(script, config) && !self.task.is_finished()
    }
}

impl Checks {
    /// Must be called within a runtime.
    pub fn new(inputs: Queue<Input>) -> Self {
        let (running, known) = (HashMap::new(), HashMap::new());
        Self { inputs, running, known, tasks: Tasks::default(), names: Resolver::new() }
    }

    /// Makes the checks of a configuration, of which none can fail to start afterwards. Those that are running go on,
    /// and need nothing.
    ///
    /// # Errors
    /// The user of a script does not exist, or something that a check needs is missing.
    pub async fn prepare(&self, config: &Config) -> Result<PreparedChecks, CheckError> {
        let names: HashMap<_, _> = self.running.values().map(|it| (&it.settings.name, it)).collect();
        let goes_on =
            |script: &CheckSettings| names.get(&script.name).is_some_and(|it| it.is(script, config));
        let probe = |script| if goes_on(script) { Ok(None) } else { self.probe(script, config).map(Some) };
        let probes = config.checks.iter().map(probe).collect::<Result<_, _>>()?;
        let is_new = |script: &&CheckSettings| {
            matches!(script.target, CheckTarget::File(_)) && !names.contains_key(&script.name)
        };
        for script in config.checks.iter().filter(is_new) {
            let name = Arc::clone(&script.name);
            let script = script.clone();
            // A value that another process has written meanwhile stays.
            let writing = spawn_blocking(move || initialise(&script, false));
            match timeout(FILE_LIMIT, writing).await {
                Ok(Ok(written)) => written?,
                Ok(Err(error)) => return Err(CheckError(name, Failure::new(error))),
                Err(_) => {
                    let why = format_args!("its file has not answered within {FILE_LIMIT:?}");
                    return Err(CheckError(name, Failure::new(why)));
                }
            }
        }
        Ok(PreparedChecks(probes))
    }

    /// Writes the files of checks with their values for a start.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn begin(&self, config: &Config) -> Result<(), CheckError> {
        config.checks.iter().try_for_each(|script| initialise(script, true))
    }

    fn probe(&self, script: &CheckSettings, config: &Config) -> Result<CheckProbe, CheckError> {
        let identity = Identity::resolve(script.user.as_ref(), config.globals.script_user.as_ref())
            .and_then(|identity| identity.with_groups(config.globals.process.supplementary_groups))
            .map_err(Failure::new);
        let probe = identity.and_then(|identity| CheckProbe::new(script, identity, &self.names));
        probe.map_err(|failure| CheckError(Arc::clone(&script.name), failure))
    }

    /// Has the checks that start next continue from the previous daemon's results.
    pub fn restore(&mut self, snapshot: &RouterSnapshot, config: &Config) {
        self.known = known(snapshot, config);
    }

    /// Starts and ends checks so that those of the configuration run, which were prepared for it. Must be called within
    /// a runtime.
    pub fn settle(&mut self, prepared: PreparedChecks, config: &Config, shared: &SharedContext) {
        let mut before = std::mem::take(&mut self.running);
        let mut known = std::mem::take(&mut self.known);
        for (script, probe) in config.checks.iter().zip(prepared.0) {
            let running = match before.remove(&script.id) {
                Some(old) if old.is(script, config) => old,
                old => {
                    if let Some(old) = old {
                        old.task.abort();
                    }
                    // One that ran when the others were made, and has failed meanwhile.
                    let mut probe = match probe.map_or_else(|| self.probe(script, config), Ok) {
                        Ok(probe) => probe,
                        Err(error) => {
                            error!("{error}; it runs after another reload");
                            continue;
                        }
                    };
                    probe.number(script.id);
                    if let Some(Known { result, to_all }) = known.remove(&script.id) {
                        probe.restore(result, |round| {
                            // An instance that a reload adds before the first look finds the result there.
                            shared.now().history.check(round.clone());
                            to_all
                        });
                    }
                    let deliver = || deliver(Arc::clone(&script.name), shared.clone(), self.inputs.clone());
                    let (deliver, fail) = (deliver(), deliver());
                    let task = self.tasks.spawn(or_failed(script.id, probe.run(deliver), fail));
                    Running { settings: script.clone(), user: user(script, config).cloned(), task }
                }
            };
            self.running.insert(script.id, running);
        }
        // A script that is running ends with its task.
        before.values().for_each(|old| old.task.abort());
        shared.now().history.keep_checks(|track| self.running.contains_key(&track));
    }

    /// Ends checks that are running.
    pub async fn end(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Writes `init_file`, over an existing file only if that is configured and permitted.
fn initialise(script: &CheckSettings, may_overwrite: bool) -> Result<(), CheckError> {
    let CheckTarget::File(target) = &script.target else { return Ok(()) };
    let initial = target.initial.map(|(number, overwrites)| (number, overwrites && may_overwrite));
    prepare_file(&FileTarget { initial, ..target.clone() }).map_err(|error| {
        let failure = Failure::new(format_args!("{}: {error}", target.path.display()));
        CheckError(Arc::clone(&script.name), failure)
    })
}

/// `script_user` of the configuration, if that decides which user runs the check.
fn user<'a>(script: &CheckSettings, config: &'a Config) -> Option<&'a ScriptUser> {
    let counts = matches!(script.target, CheckTarget::Command(_)) && script.user.is_none();
    config.globals.script_user.as_ref().filter(|_| counts)
}

/// Results by tracked object, interfaces included.
fn known(snapshot: &RouterSnapshot, config: &Config) -> HashMap<TrackId, Known> {
    let snapshots: HashMap<InstanceId, &InstanceSnapshot> =
        snapshot.instances.iter().map(|(id, snapshot)| (*id, snapshot)).collect();
    let mut trackers = Vec::new();
    for instance in &config.instances {
        let results =
            snapshots.get(&instance.id).map(|snapshot| snapshot.results.as_slice()).unwrap_or_default();
        for track in &instance.settings.tracks {
            let result = results.iter().find(|(id, _)| *id == track.id).map(|(_, result)| *result);
            trackers.push((track, result));
        }
    }
    let mut known = HashMap::new();
    for (track, result) in &trackers {
        let Some(result) = *result else { continue };
        let known = known.entry(track.id).or_insert(Known { result, to_all: true });
        // Before the first look an initial value counts, which is no result; another instance may have one.
        if track.initial.map(i32::from) != Some(result) {
            known.result = result;
        }
    }
    for (track, result) in &trackers {
        if let Some(known) = known.get_mut(&track.id) {
            known.to_all &= *result == Some(known.result);
        }
    }
    known
}

/// From a result that the engine has no room for to the next try.
const AGAIN: Duration = Duration::from_millis(100);

/// Runs a check. After a panic it counts as failed: what it says last would stay in force otherwise.
async fn or_failed(
    track: TrackId,
    run: impl Future<Output = ()>,
    mut deliver: impl FnMut(&ProbeResult) -> bool,
) {
    if AssertUnwindSafe(run).catch_unwind().await.is_ok() {
        return;
    }
    let failed = ProbeResult {
        track,
        outcome: Outcome::Failed(Failure::new("it ended by a panic; a reload starts it again")),
        lasted: Duration::ZERO,
        printed: None,
        by: NoticedBy::Polling,
        runs: 0,
        up: false,
        held: None,
        news: true,
        skipped: None,
        is_known: true,
    };
    while !deliver(&failed) {
        sleep(AGAIN).await;
    }
}

/// Handles the results of a check. The runner repeats one that the engine has no room for with its next poll; it is
/// reported once.
fn deliver(
    check: Arc<str>,
    shared: SharedContext,
    inputs: Queue<Input>,
) -> impl FnMut(&ProbeResult) -> bool + Send + use<> {
    let mut cause = None;
    let mut skipped = Skipped::default();
    // A result that was reported and is not delivered yet.
    let mut owed = None;
    move |round| {
        shared.now().history.check(round.clone());
        if skipped.must_be_reported(round.skipped.is_some(), clock::now()) {
            warn!(
                check = &*check,
                why = round.skipped.as_deref(),
                "the check cannot run: this machine is out of descriptors, memory or processes; its \
                 last result stays in force"
            );
        }
        let held = round.held.map(|held| held.cause);
        if std::mem::replace(&mut cause, held) != held {
            match held {
                Some(Cause::Flapping) => warn!(
                    check = &*check,
                    "the check changes too often; it counts as failed until it is stable"
                ),
                Some(Cause::MinHold) => {
                    info!(
                        check = &*check,
                        "the check succeeds again; it counts as failed until `min_hold` is over"
                    );
                }
                None => info!(check = &*check, "the check is no longer held"),
            }
            let check = check.to_string();
            shared.now().history.events.push(match held {
                Some(cause) => EventKind::CheckHeld { check, reason: cause.as_str().into() },
                None => EventKind::CheckHeldOver { check },
            });
        }
        if !round.news {
            return true;
        }
        if owed.replace((round.track, round.result())) != Some((round.track, round.result())) {
            report(&check, round, &shared);
        }
        let is_delivered = inputs.push(Input::Event(match round.outcome {
            Outcome::Number(number) => Event::Value(round.track, number),
            _ => Event::Track(round.track, round.up),
        }));
        if is_delivered {
            owed = None;
        }
        is_delivered
    }
}

/// Reports a change of the result.
fn report(check: &str, round: &ProbeResult, shared: &SharedContext) {
    shared.now().history.events.push(EventKind::Check {
        check: check.to_owned(),
        up: round.up,
        outcome: round.outcome.to_string(),
    });
    if let Outcome::Number(number) = round.outcome {
        info!(check, number, "the number in the file has changed");
    } else if round.up {
        info!(check, outcome = %round.outcome, "check is up");
    } else {
        let printed = round.printed.as_deref();
        warn!(check, outcome = %round.outcome, lasted = ?round.lasted, printed, "check is down");
    }
}

/// Shortest time between two lines about a check that cannot run, however often that begins and ends.
const QUIET: Duration = Duration::from_secs(60);

/// Polls that could not run.
#[derive(Debug, Default)]
struct Skipped {
    lasts: bool,
    reported: Option<Timestamp>,
}

impl Skipped {
    /// True once, when skipping begins.
    fn must_be_reported(&mut self, lasts: bool, now: Timestamp) -> bool {
        let lasted = std::mem::replace(&mut self.lasts, lasts);
        let reported = lasts && !lasted && self.reported.is_none_or(|reported| now.since(reported) >= QUIET);
        if reported {
            self.reported = Some(now);
        }
        reported
    }
}
