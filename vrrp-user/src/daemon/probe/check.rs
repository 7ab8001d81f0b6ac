//! The runner of a check.
//!
//! A command or connection is polled once per interval; an interval is skipped while the previous poll still runs. A
//! poll that reaches its time limit fails at once; ending a command may take longer. A source with events is judged at
//! each event, and once per interval as well. `rise` successes or `fall` failures in a row change the result. The first
//! poll decides at once, unless the check starts as failed (`init_fail`) or continues from an earlier result. If this
//! machine lacks descriptors, memory or processes for a poll, that says nothing about the service: the previous result
//! stays.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

#[cfg(feature = "dns")]
use super::attempt::Dns;
#[cfg(feature = "http")]
use super::attempt::Http;
use super::attempt::{Attempt, Failure, Ping, Resolver};
use super::hold::Held;
use super::rise_fall::{Poll, RiseFall};
use super::watch::{News, NoticedBy, Watch};
use crate::config::{CheckSettings, CheckTarget};
use crate::driver::clock;
use crate::driver::output::Output;
use crate::driver::process::{End, Identity, Job};
use crate::protocol::TrackId;

/// A configuration that needs it is refused before.
#[cfg(not(all(feature = "dns", feature = "docker", feature = "http", feature = "systemd")))]
fn lacking(feature: &str) -> Failure {
    Failure::new(format_args!("this build lacks the feature `{feature}`"))
}

#[derive(Debug)]
pub struct CheckProbe {
    every: Duration,
    limit: Duration,
    source: Source,
    rise_fall: RiseFall,
}

/// Result of one poll.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProbeResult {
    pub track: TrackId,
    pub outcome: Outcome,
    /// Duration of the poll; zero for an event.
    pub lasted: Duration,
    /// The end of a command's output.
    pub printed: Option<Arc<str>>,
    /// How the result was learnt, and how a change would be.
    pub by: NoticedBy,
    /// Number of polls so far, including this one.
    pub runs: u64,
    /// The result, after `rise`, `fall`, `damping` and `min_hold`.
    pub up: bool,
    /// Why the check counts as failed although its service may be well.
    pub held: Option<Held>,
    /// Whether the result is the first, has changed, or was not delivered to all before.
    pub news: bool,
    /// Why no poll has been possible since that of [`Self::outcome`], while this lasts.
    pub skipped: Option<Arc<str>>,
    /// Whether there is a result: from a poll, or an earlier one.
    pub is_known: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// End of a command.
    Ended(End),
    Well,
    Failed(Failure),
    TimedOut,
    /// Number in a file.
    Number(i32),
}

impl Outcome {
    pub fn is_success(&self) -> bool {
        match self {
            Self::Ended(end) => end.is_success(),
            Self::Well | Self::Number(0) => true,
            Self::Failed(_) | Self::TimedOut | Self::Number(_) => false,
        }
    }

    /// No result, for lack of descriptors, memory or processes.
    pub(super) fn is_shortage(&self) -> bool {
        match self {
            Self::Ended(end) => end.is_shortage(),
            Self::Failed(failure) => failure.is_shortage(),
            Self::Well | Self::TimedOut | Self::Number(_) => false,
        }
    }

    /// Exit code of a command that ended by itself.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Ended(End::Exited(code)) => Some(*code),
            _ => None,
        }
    }
}

impl ProbeResult {
    /// The value for the router: the number of a file, or 1 for up and 0 for down.
    pub fn result(&self) -> i32 {
        match self.outcome {
            Outcome::Number(number) => number,
            _ => i32::from(self.up),
        }
    }
}

impl From<Result<(), Failure>> for Outcome {
    fn from(health: Result<(), Failure>) -> Self {
        match health {
            Ok(()) => Self::Well,
            Err(failure) => Self::Failed(failure),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(end) => end.fmt(f),
            Self::Well => f.write_str("ok"),
            Self::Failed(failure) => failure.fmt(f),
            Self::TimedOut => f.write_str("timed out"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// Source of the state of a service.
#[derive(Debug)]
enum Source {
    Command(Job, Output),
    Attempt(Box<Attempt>),
    Watch(Watch),
}

impl CheckProbe {
    /// Must be called within a runtime.
    ///
    /// # Errors
    /// A request cannot be made as it is configured, or there is no pipe for the output of a command.
    pub fn new(settings: &CheckSettings, identity: Identity, names: &Resolver) -> Result<Self, Failure> {
        let limit = settings.timeout;
        let attempt = |attempt| Source::Attempt(Box::new(attempt));
        let source = match &settings.target {
            CheckTarget::Command(command) => {
                let job = Job { command: command.clone(), identity, limit, leashed: true };
                Source::Command(job, Output::new().map_err(Failure::new)?)
            }
            CheckTarget::Tcp(endpoint) => attempt(Attempt::Tcp(endpoint.clone(), names.clone())),
            CheckTarget::Unix(path) => attempt(Attempt::Unix(path.clone())),
            #[cfg(feature = "http")]
            CheckTarget::Http(target) => attempt(Attempt::Http(Box::new(Http::new(target, names)?))),
            #[cfg(not(feature = "http"))]
            CheckTarget::Http(_) => return Err(lacking("http")),
            CheckTarget::Haproxy(target) => attempt(Attempt::Haproxy(target.clone())),
            #[cfg(feature = "dns")]
            CheckTarget::Dns(target) => attempt(Attempt::Dns(Dns::new(target))),
            #[cfg(not(feature = "dns"))]
            CheckTarget::Dns(_) => return Err(lacking("dns")),
            CheckTarget::Ping(host) => {
                attempt(Attempt::Ping(Ping::new(host.clone(), names.clone(), settings.id)))
            }
            #[cfg(feature = "docker")]
            CheckTarget::Docker(target) => Source::Watch(Watch::Docker(target.clone())),
            #[cfg(not(feature = "docker"))]
            CheckTarget::Docker(_) => return Err(lacking("docker")),
            #[cfg(feature = "systemd")]
            CheckTarget::Systemd(unit) => Source::Watch(Watch::Systemd(unit.clone())),
            #[cfg(not(feature = "systemd"))]
            CheckTarget::Systemd(_) => return Err(lacking("systemd")),
            CheckTarget::Process(target) => Source::Watch(Watch::Process(target.clone())),
            CheckTarget::File(target) => Source::Watch(Watch::File(target.clone())),
        };
        Ok(Self {
            // tokio's interval does not accept a zero period.
            every: settings.interval.max(Duration::from_millis(1)),
            limit,
            source,
            rise_fall: RiseFall::new(settings),
        })
    }

    /// Has the number of the configuration in use, which a reload gives after it was made.
    pub fn number(&mut self, id: TrackId) {
        self.rise_fall.track = id;
        if let Source::Attempt(attempt) = &mut self.source
            && let Attempt::Ping(ping) = &mut **attempt
        {
            ping.number(id);
        }
    }

    /// Continues from a result known before the first poll, encoded as by [`ProbeResult::result`]. `deliver` is as in
    /// [`Self::run`].
    pub fn restore(&mut self, result: i32, deliver: impl FnMut(&ProbeResult) -> bool) {
        let outcome = match self.source {
            Source::Watch(Watch::File(_)) => Outcome::Number(result),
            _ if result != 0 => Outcome::Well,
            _ => Outcome::Failed(Failure::new("it was down before")),
        };
        self.rise_fall.restore(outcome, deliver);
    }

    /// Runs for ever; dropping the future ends a running poll. `deliver` returns false if it could not pass a change
    /// on; the next poll repeats it.
    pub async fn run(self, mut deliver: impl FnMut(&ProbeResult) -> bool) {
        let Self { every, limit, source, mut rise_fall } = self;
        let mut due = interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        match source {
            Source::Watch(watch) => {
                let report = |news: News| rise_fall.judge(news.into(), &mut deliver);
                match watch.run(every, limit, report).await {}
            }
            Source::Attempt(attempt) => loop {
                due.tick().await;
                let started = clock::now();
                let outcome = timeout(limit, attempt.make(rise_fall.runs)).await;
                let outcome = outcome.map_or(Outcome::TimedOut, Outcome::from);
                let lasted = clock::now().since(started);
                rise_fall.judge(Poll { lasted, ..outcome.into() }, &mut deliver);
            },
            Source::Command(job, mut output) => loop {
                tokio::select! {
                    _ = due.tick() => {}
                    never = output.follow() => match never {},
                }
                let (run, remains) = job.run_watched(&mut output).await;
                let printed = Some(output.tail()).filter(|tail| !tail.is_empty());
                let poll = Poll { lasted: run.lasted, printed, ..Outcome::Ended(run.end).into() };
                rise_fall.judge(poll, &mut deliver);
                if let Some(remains) = remains {
                    remains.end().await;
                }
            },
        }
    }
}
