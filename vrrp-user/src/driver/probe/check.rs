//! Runs a check for ever and tells what came of it.
//!
//! What is looked at by command or connection is looked at once per interval; an interval that finds the last look
//! still going is skipped. A look that reaches its time limit has failed there and then; ending a command may take
//! longer. What tells of its changes itself is judged at each of them, and once per interval beside. `rise` successes
//! or `fall` failures in a row change the result. The first round decides at once, unless the check counts as failed
//! from the start (`init_fail`) or goes on from an earlier result.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::attempt::{Attempt, Dns, Failure, Http, Names, Ping};
use super::hold::{Held, Hold};
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

/// One look, before `rise` and `fall`.
#[derive(Debug)]
struct Look {
    outcome: Outcome,
    lasted: Duration,
    printed: Option<String>,
    by: By,
}

impl From<Outcome> for Look {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, lasted: Duration::ZERO, printed: None, by: By::Looks }
    }
}

impl From<News> for Look {
    fn from(news: News) -> Self {
        let (outcome, by) = match news {
            News::Health(health, by) => (health.into(), by),
            News::Number(number, by) => (Outcome::Number(number), by),
        };
        Self { by, ..outcome.into() }
    }
}

/// Where outcomes become rounds.
#[derive(Debug)]
struct Bench {
    track: TrackId,
    verdict: Verdict,
    hold: Hold,
    /// A success is a failure to those who track it.
    reverse: bool,
    /// The latest result that was told.
    up: Option<bool>,
    runs: u64,
    /// News that could not be delivered.
    owed: bool,
    /// Of a file, the latest.
    number: Option<i32>,
}

impl Bench {
    fn new(settings: &CheckSettings) -> Self {
        Self {
            track: settings.id,
            verdict: Verdict::new(settings),
            hold: Hold::new(settings.hold),
            reverse: settings.reverse,
            up: None,
            runs: 0,
            owed: false,
            number: None,
        }
    }

    /// What was found before is no look, and needs neither `rise` nor `fall`.
    fn resume(&mut self, outcome: Outcome, mut deliver: impl FnMut(&Round) -> bool) {
        self.verdict.up = Some(outcome.is_success());
        self.judge(outcome.into(), &mut |round| deliver(&Round { runs: 0, ..round.clone() }));
        self.runs = 0;
    }

    fn judge(&mut self, look: Look, deliver: &mut impl FnMut(&Round) -> bool) {
        let Look { outcome, lasted, printed, by } = look;
        self.runs = self.runs.saturating_add(1);
        let number = match outcome {
            Outcome::Number(number) => Some(number),
            _ => None,
        };
        let up = self.verdict.judge(outcome.is_success());
        let (good, held) = self.hold.judge(up != self.reverse, clock::now());
        let up = good != self.reverse;
        let news = self.up != Some(up) || number.is_some() && self.number != number;
        (self.up, self.number) = (Some(up), number);
        let news = news || self.owed;
        let printed = printed.map(Into::into);
        let round =
            Round { track: self.track, outcome, lasted, printed, by, runs: self.runs, up, held, news };
        self.owed = !deliver(&round) && round.news;
    }
}

/// The result so far, and how many runs in a row spoke against it.
#[derive(Clone, Debug)]
struct Verdict {
    up: Option<bool>,
    against: u32,
    rise: u32,
    fall: u32,
}

impl Verdict {
    fn new(settings: &CheckSettings) -> Self {
        Self { up: settings.init_fail.then_some(false), against: 0, rise: settings.rise, fall: settings.fall }
    }

    /// The result after one more run.
    fn judge(&mut self, success: bool) -> bool {
        let up = match self.up {
            None => success,
            Some(up) if up == success => {
                self.against = 0;
                up
            }
            Some(up) => {
                self.against = self.against.saturating_add(1);
                let needed = if success { self.rise } else { self.fall };
                if self.against >= needed {
                    self.against = 0;
                    success
                } else {
                    up
                }
            }
        };
        self.up = Some(up);
        up
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Damping, HoldSettings, ScriptCommand};
    use crate::protocol::Weight;

    fn settings(rise: u32, fall: u32, init_fail: bool) -> CheckSettings {
        CheckSettings {
            id: TrackId(7),
            name: "check".into(),
            target: CheckTarget::Command(ScriptCommand::Shell("true".into())),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            weight: Weight(0),
            reverse: false,
            rise,
            fall,
            user: None,
            init_fail,
            hold: HoldSettings::default(),
        }
    }

    fn results(settings: &CheckSettings, runs: &str) -> String {
        told(Bench::new(settings), runs)
    }

    /// After a result that is known, perhaps to all.
    fn resumed(settings: &CheckSettings, known: char, to_all: bool, runs: &str) -> String {
        let mut bench = Bench::new(settings);
        bench.resume(outcome(known), |_| to_all);
        told(bench, runs)
    }

    fn outcome(run: char) -> Outcome {
        Outcome::from(if run == '+' { Ok(()) } else { Err(Failure::new("down")) })
    }

    fn told(mut bench: Bench, runs: &str) -> String {
        let mut told = String::new();
        for run in runs.chars() {
            bench.judge(outcome(run).into(), &mut |round| {
                told.push(match (round.up, round.news) {
                    (true, true) => 'U',
                    (true, false) => 'u',
                    (false, true) => 'D',
                    (false, false) => 'd',
                });
                true
            });
        }
        told
    }

    #[test]
    fn the_first_run_decides_and_rise_and_fall_count_in_a_row() {
        assert_eq!(results(&settings(1, 1, false), "++-+"), "UuDU");
        assert_eq!(results(&settings(2, 3, false), "+--+---+-++"), "UuuuuuDdddU");
        assert_eq!(results(&settings(2, 3, false), "-++"), "DdU");
    }

    #[test]
    fn failed_from_the_start_needs_every_success() {
        assert_eq!(results(&settings(3, 1, true), "+++-"), "DdUD");
        assert_eq!(results(&settings(1, 1, true), "+"), "U");
        assert_eq!(results(&settings(2, 1, true), "--"), "Dd");
    }

    #[test]
    fn a_known_result_goes_on_as_if_looks_had_found_it() {
        for init_fail in [false, true] {
            let settings = settings(2, 3, init_fail);
            assert_eq!(resumed(&settings, '+', true, "+--+--"), "uuuuuu");
            assert_eq!(resumed(&settings, '+', true, "---++"), "uuDdU");
            assert_eq!(resumed(&settings, '-', true, "+-++"), "dddU");
        }
    }

    #[test]
    fn a_result_that_some_do_not_know_is_news_once() {
        assert_eq!(resumed(&settings(2, 3, true), '+', false, "++"), "Uu");
        assert_eq!(resumed(&settings(2, 3, true), '+', false, "-+"), "Uu");
        assert_eq!(resumed(&settings(2, 3, false), '-', false, "+-"), "Dd");
    }

    #[test]
    fn a_failure_after_a_known_success_is_a_change() {
        let hold = HoldSettings { least: SPAN, ..HoldSettings::default() };
        let held = CheckSettings { hold, ..settings(1, 1, false) };
        assert_eq!(results(&held, "-+"), "DU");
        assert_eq!(resumed(&held, '+', true, "-+"), "Dd");
        let reversed = CheckSettings { reverse: true, ..held };
        assert_eq!(resumed(&reversed, '-', true, "+-"), "Uu");
    }

    #[test]
    fn a_known_number_is_no_news_until_it_changes() {
        let mut bench = Bench::new(&settings(1, 1, false));
        bench.resume(Outcome::Number(5), |round| {
            assert_eq!((round.result(), round.runs), (5, 0));
            true
        });
        for (number, news, runs) in [(5, false, 1), (6, true, 2), (6, false, 3)] {
            bench.judge(Outcome::Number(number).into(), &mut |round| {
                assert_eq!((round.result(), round.news, round.runs), (number, news, runs));
                true
            });
        }
    }

    #[test]
    fn a_reversed_check_is_held_as_good() {
        let damping = Damping { changes: 2, within: SPAN, quiet: SPAN };
        let hold = HoldSettings { damping: Some(damping), ..HoldSettings::default() };
        assert_eq!(results(&CheckSettings { hold, ..settings(1, 1, false) }, "+-+++"), "UDddd");
        let reversed = CheckSettings { hold, reverse: true, ..settings(1, 1, false) };
        assert_eq!(results(&reversed, "-+---"), "DUuuu");
    }

    const SPAN: Duration = Duration::from_secs(3600);
}
