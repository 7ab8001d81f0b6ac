//! Evaluation of polls: `rise` and `fall`, holds, and changes to report.

use std::time::Duration;

use super::check::{Outcome, ProbeResult};
use super::hold::Hold;
use super::watch::{News, NoticedBy};
use crate::config::CheckSettings;
use crate::driver::clock;
use crate::protocol::TrackId;

/// One poll, before `rise` and `fall`.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) outcome: Outcome,
    pub(super) lasted: Duration,
    pub(super) printed: Option<String>,
    pub(super) by: NoticedBy,
}

impl From<Outcome> for Poll {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, lasted: Duration::ZERO, printed: None, by: NoticedBy::Polling }
    }
}

impl From<News> for Poll {
    fn from(news: News) -> Self {
        let (outcome, by) = match news {
            News::Health(health, by) => (health.into(), by),
            News::Number(number, by) => (Outcome::Number(number), by),
        };
        Self { by, ..outcome.into() }
    }
}

/// Turns outcomes into results.
#[derive(Debug)]
pub(super) struct RiseFall {
    pub(super) track: TrackId,
    verdict: RunVerdict,
    hold: Hold,
    /// Trackers see a success as a failure.
    reverse: bool,
    /// The last reported result.
    up: Option<bool>,
    pub(super) runs: u64,
    /// A change could not be delivered yet.
    owed: bool,
    /// The last number of a file.
    number: Option<i32>,
    latest: Option<ProbeResult>,
}

impl RiseFall {
    pub(super) fn new(settings: &CheckSettings) -> Self {
        Self {
            track: settings.id,
            verdict: RunVerdict::new(settings),
            hold: Hold::new(settings.hold),
            reverse: settings.reverse,
            up: None,
            runs: 0,
            owed: false,
            number: None,
            latest: None,
        }
    }

    /// Sets an earlier result, which is no poll, and needs neither `rise` nor `fall`.
    pub(super) fn restore(&mut self, outcome: Outcome, mut deliver: impl FnMut(&ProbeResult) -> bool) {
        self.verdict.up = Some(outcome.is_success());
        self.judge(outcome.into(), &mut |round| deliver(&ProbeResult { runs: 0, ..round.clone() }));
        self.runs = 0;
        self.latest = self.latest.take().map(|round| ProbeResult { runs: 0, ..round });
    }

    pub(super) fn judge(&mut self, poll: Poll, deliver: &mut impl FnMut(&ProbeResult) -> bool) {
        if poll.outcome.is_shortage() {
            return self.skip(poll, deliver);
        }
        let Poll { outcome, lasted, printed, by } = poll;
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
        let (track, runs) = (self.track, self.runs);
        let (skipped, is_known) = (None, true);
        let round =
            ProbeResult { track, outcome, lasted, printed, by, runs, up, held, news, skipped, is_known };
        self.owed = !deliver(&round) && round.news;
        self.latest = Some(round);
    }

    /// Without a poll the last result stays, and an undelivered change is repeated.
    fn skip(&mut self, poll: Poll, deliver: &mut impl FnMut(&ProbeResult) -> bool) {
        let skipped = Some(poll.outcome.to_string().into());
        let round = match &self.latest {
            Some(latest) => ProbeResult { skipped, news: self.owed, ..latest.clone() },
            None => ProbeResult {
                track: self.track,
                outcome: poll.outcome,
                lasted: poll.lasted,
                printed: None,
                by: poll.by,
                runs: 0,
                up: false,
                held: None,
                news: false,
                skipped,
                is_known: false,
            },
        };
        self.owed = !deliver(&round) && round.news;
    }
}

/// The current result, and the number of consecutive runs that contradict it.
#[derive(Clone, Debug)]
struct RunVerdict {
    up: Option<bool>,
    against: u32,
    rise: u32,
    fall: u32,
}

impl RunVerdict {
    fn new(settings: &CheckSettings) -> Self {
        Self { up: settings.init_fail.then_some(false), against: 0, rise: settings.rise, fall: settings.fall }
    }

    /// Returns the result after one more run.
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
    use crate::config::{CheckTarget, Damping, HoldSettings, ScriptCommand};
    use crate::daemon::probe::attempt::Failure;
    use crate::driver::process::End;
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
        reported(RiseFall::new(settings), runs)
    }

    /// Starts from a known result, delivered to all subscribers or not.
    fn restored(settings: &CheckSettings, known: char, to_all: bool, runs: &str) -> String {
        let mut rise_fall = RiseFall::new(settings);
        rise_fall.restore(outcome(known), |_| to_all);
        reported(rise_fall, runs)
    }

    fn outcome(run: char) -> Outcome {
        Outcome::from(if run == '+' { Ok(()) } else { Err(Failure::new("down")) })
    }

    fn reported(mut rise_fall: RiseFall, runs: &str) -> String {
        let mut reported = String::new();
        for run in runs.chars() {
            rise_fall.judge(outcome(run).into(), &mut |round| {
                reported.push(match (round.up, round.news) {
                    (true, true) => 'U',
                    (true, false) => 'u',
                    (false, true) => 'D',
                    (false, false) => 'd',
                });
                true
            });
        }
        reported
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
            assert_eq!(restored(&settings, '+', true, "+--+--"), "uuuuuu");
            assert_eq!(restored(&settings, '+', true, "---++"), "uuDdU");
            assert_eq!(restored(&settings, '-', true, "+-++"), "dddU");
        }
    }

    #[test]
    fn a_result_that_some_do_not_know_is_news_once() {
        assert_eq!(restored(&settings(2, 3, true), '+', false, "++"), "Uu");
        assert_eq!(restored(&settings(2, 3, true), '+', false, "-+"), "Uu");
        assert_eq!(restored(&settings(2, 3, false), '-', false, "+-"), "Dd");
    }

    #[test]
    fn a_failure_after_a_known_success_is_a_change() {
        let hold = HoldSettings { least: SPAN, ..HoldSettings::default() };
        let held = CheckSettings { hold, ..settings(1, 1, false) };
        assert_eq!(results(&held, "-+"), "DU");
        assert_eq!(restored(&held, '+', true, "-+"), "Dd");
        let reversed = CheckSettings { reverse: true, ..held };
        assert_eq!(restored(&reversed, '-', true, "+-"), "Uu");
    }

    #[test]
    fn a_known_number_is_no_news_until_it_changes() {
        let mut rise_fall = RiseFall::new(&settings(1, 1, false));
        rise_fall.restore(Outcome::Number(5), |round| {
            assert_eq!((round.result(), round.runs), (5, 0));
            true
        });
        for (number, news, runs) in [(5, false, 1), (6, true, 2), (6, false, 3)] {
            rise_fall.judge(Outcome::Number(number).into(), &mut |round| {
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

    #[test]
    fn a_look_that_could_not_be_taken_is_no_news() {
        let shortage =
            || [libc::EMFILE, libc::ENOMEM, libc::EAGAIN].map(|errno| Outcome::Ended(End::NotStarted(errno)));
        let failure = Failure::of("10.0.0.1:80", &std::io::Error::from_raw_os_error(libc::EMFILE));
        let rows = shortage().into_iter().chain([Outcome::Failed(failure)]);
        for outcome in rows {
            let mut rise_fall = RiseFall::new(&settings(1, 2, false));
            let mut judge = |outcome: Outcome| {
                let mut reported = None;
                rise_fall.judge(outcome.into(), &mut |round| {
                    reported =
                        Some((round.is_known, round.up, round.news, round.runs, round.skipped.is_some()));
                    true
                });
                reported.unwrap()
            };
            assert_eq!(judge(outcome.clone()), (false, false, false, 0, true), "{outcome}: nothing is known");
            assert_eq!(judge(Outcome::Well), (true, true, true, 1, false));
            for _ in 0..3 {
                assert_eq!(judge(outcome.clone()), (true, true, false, 1, true), "{outcome}");
            }
            let failed = || Outcome::Failed(Failure::new("down"));
            assert_eq!(judge(failed()), (true, true, false, 2, false));
            // Nor does it count among consecutive runs, either way.
            assert_eq!(judge(outcome.clone()), (true, true, false, 2, true), "{outcome}");
            assert_eq!(judge(failed()), (true, false, true, 3, false));
            assert_eq!(judge(outcome.clone()), (true, false, false, 3, true), "{outcome}");
        }
        let missing = Outcome::Ended(End::NotStarted(libc::ENOENT));
        assert!(!missing.is_shortage(), "a script that is not there has failed");
    }

    #[test]
    fn what_is_owed_is_reported_though_no_look_can_be_taken() {
        let mut rise_fall = RiseFall::new(&settings(1, 1, false));
        rise_fall.judge(outcome('+').into(), &mut |_| false);
        let shortage = || Outcome::Ended(End::NotStarted(libc::EMFILE));
        for news in [true, false] {
            rise_fall.judge(shortage().into(), &mut |round| {
                assert_eq!((round.up, round.news), (true, news));
                true
            });
        }
    }

    const SPAN: Duration = Duration::from_secs(3600);
}
