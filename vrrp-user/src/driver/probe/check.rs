//! Runs a check for ever and tells what came of it.
//!
//! What is looked at by command or connection is looked at once per interval; an interval that finds the last look
//! still going is skipped. A look that reaches its time limit has failed there and then; ending a command may take
//! longer. What tells of its changes itself is judged at each of them, and once per interval beside. `rise` successes
//! or `fall` failures in a row change the result. The first round decides at once, unless the check counts as failed
//! from the start (`init_fail`) or goes on from an earlier result. A look that this machine could not take, for want of
//! descriptors, memory or processes, says nothing of the service: the result before it stays.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::attempt::{Attempt, Dns, Failure, Http, Names, Ping};
use super::bench::{Bench, Look};
use super::hold::Held;
use super::watch::{By, News, Watch};
use crate::config::{CheckSettings, CheckTarget};
use crate::driver::clock;
use crate::driver::output::Output;
use crate::driver::process::{End, Identity, Job};
use crate::protocol::TrackId;

#[derive(Debug)]
pub struct CheckProbe {
    every: Duration,
    limit: Duration,
    source: Source,
    bench: Bench,
}

/// What one look came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Round {
    pub track: TrackId,
    pub outcome: Outcome,
    /// Of the look; zero where an event told.
    pub lasted: Duration,
    /// The end of what a command printed.
    pub printed: Option<Arc<str>>,
    /// How it was learnt, and a change would be.
    pub by: By,
    /// Rounds so far, this one included.
    pub runs: u64,
    /// The result, after `rise`, `fall`, `damping` and `min_hold`.
    pub up: bool,
    /// Why the check counts as failed although its service may be well.
    pub held: Option<Held>,
    /// Whether the result is the first one, changed, or could not be delivered to all before.
    pub news: bool,
    /// Why no look can be taken since that of [`Self::outcome`], while that is so.
    pub skipped: Option<Arc<str>>,
    /// There is a result: a look was taken, or an earlier result is known.
    pub is_known: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Of a command.
    Ended(End),
    Well,
    Failed(Failure),
    TimedOut,
    /// Of a file.
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

    /// Nothing was found out, for want of descriptors, memory or processes.
    pub(super) fn is_shortage(&self) -> bool {
        match self {
            Self::Ended(end) => end.is_shortage(),
            Self::Failed(failure) => failure.is_shortage(),
            Self::Well | Self::TimedOut | Self::Number(_) => false,
        }
    }

    /// Of a command that ended by itself.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Ended(End::Exited(code)) => Some(*code),
            _ => None,
        }
    }
}

impl Round {
    /// For the router: the number of a file, or 1 for up and 0 for down.
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

/// How to learn of a service.
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
    /// What the check needs is not to be had: TLS, or the list of the system's DNS servers.
    pub fn new(settings: &CheckSettings, identity: Identity, names: &Names) -> Result<Self, Failure> {
        let limit = settings.timeout;
        let attempt = |attempt| Source::Attempt(Box::new(attempt));
        let source = match &settings.target {
            CheckTarget::Command(command) => {
                let job = Job { command: command.clone(), identity, limit, leashed: true };
                Source::Command(job, Output::new().map_err(Failure::new)?)
            }
            CheckTarget::Tcp(endpoint) => attempt(Attempt::Tcp(endpoint.clone(), names.clone())),
            CheckTarget::Unix(path) => attempt(Attempt::Unix(path.clone())),
            CheckTarget::Http(target) => attempt(Attempt::Http(Http::new(target, names)?)),
            CheckTarget::Haproxy(target) => attempt(Attempt::Haproxy(target.clone())),
            CheckTarget::Dns(target) => attempt(Attempt::Dns(Dns::new(target)?)),
            CheckTarget::Ping(host) => {
                // The kernel hands every answer to every socket; the number tells whose it is.
                let identifier = u16::try_from(settings.id.0 & 0xffff).unwrap_or_default();
                attempt(Attempt::Ping(Ping::new(host.clone(), names.clone(), identifier)))
            }
            CheckTarget::Docker(target) => Source::Watch(Watch::Docker(target.clone())),
            CheckTarget::Systemd(unit) => Source::Watch(Watch::Systemd(unit.clone())),
            CheckTarget::Process(target) => Source::Watch(Watch::Process(target.clone())),
            CheckTarget::File(target) => Source::Watch(Watch::File(target.clone())),
        };
        Ok(Self {
            // The timer takes no period of zero.
            every: settings.interval.max(Duration::from_millis(1)),
            limit,
            source,
            bench: Bench::new(settings),
        })
    }

    /// Goes on from a result that is known before the first look, as [`Round::result`] has it. `deliver` is as in
    /// [`Self::run`].
    pub fn resume(&mut self, result: i32, deliver: impl FnMut(&Round) -> bool) {
        let outcome = match self.source {
            Source::Watch(Watch::File(_)) => Outcome::Number(result),
            _ if result != 0 => Outcome::Well,
            _ => Outcome::Failed(Failure::new("it was down before")),
        };
        self.bench.resume(outcome, deliver);
    }

    /// Never ends by itself; dropped, it ends a look that is going on. `deliver` returns false where the news could
    /// not be passed on: then the next round carries them again.
    pub async fn run(self, mut deliver: impl FnMut(&Round) -> bool) {
        let Self { every, limit, source, mut bench } = self;
        let mut due = interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        match source {
            Source::Watch(watch) => {
                let tell = |news: News| bench.judge(news.into(), &mut deliver);
                match watch.run(every, limit, tell).await {}
            }
            Source::Attempt(attempt) => loop {
                due.tick().await;
                let started = clock::now();
                let outcome = timeout(limit, attempt.make(bench.runs)).await;
                let outcome = outcome.map_or(Outcome::TimedOut, Outcome::from);
                let lasted = clock::now().since(started);
                bench.judge(Look { lasted, ..outcome.into() }, &mut deliver);
            },
            Source::Command(job, mut output) => loop {
                tokio::select! {
                    _ = due.tick() => {}
                    never = output.follow() => match never {},
                }
                let (run, remains) = job.run_watched(&mut output).await;
                let printed = Some(output.tail()).filter(|tail| !tail.is_empty());
                let look = Look { lasted: run.lasted, printed, ..Outcome::Ended(run.end).into() };
                bench.judge(look, &mut deliver);
                if let Some(remains) = remains {
                    remains.end().await;
                }
            },
        }
    }
}
