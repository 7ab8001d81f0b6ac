//! Runs a `vrrp_script` for ever and tells what came of it.
//!
//! One run is started per interval; an interval that finds the last run still going is skipped. A run that reaches
//! its time limit has failed there and then; ending it may take longer. `rise` successes or
//! `fall` failures in a row change the result. The first run decides at once, unless the check counts as failed from
//! the start (`init_fail`).

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::config::ScriptSettings;
use crate::driver::process::{Identity, Job, Run};
use crate::protocol::TrackId;

#[derive(Clone, Debug)]
pub struct ScriptProbe {
    track: TrackId,
    every: Duration,
    job: Job,
    verdict: Verdict,
}

/// What one run came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Round {
    pub track: TrackId,
    pub run: Run,
    /// Runs so far, this one included.
    pub runs: u64,
    /// The result, after `rise` and `fall`.
    pub up: bool,
    /// Whether the result is the first one, changed, or could not be delivered before.
    pub news: bool,
}

impl ScriptProbe {
    pub fn new(settings: &ScriptSettings, identity: Identity) -> Self {
        Self {
            track: settings.id,
            // The timer takes no period of zero.
            every: settings.interval.max(Duration::from_millis(1)),
            job: Job { command: settings.command.clone(), identity, limit: settings.timeout, leashed: true },
            verdict: Verdict::new(settings),
        }
    }

    /// Never ends by itself; dropped, it ends a run that is going on. `deliver` returns false where the news could
    /// not be passed on: then the next round carries them again.
    pub async fn run(mut self, mut deliver: impl FnMut(&Round) -> bool) {
        let mut due = interval(self.every);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut runs = 0;
        let mut owed = false;
        loop {
            due.tick().await;
            let (run, remains) = self.job.run_to_limit(&[], &[]).await;
            runs += 1;
            let (up, news) = self.verdict.judge(run.end.is_success());
            let round = Round { track: self.track, run, runs, up, news: news || owed };
            owed = !deliver(&round) && round.news;
            if let Some(remains) = remains {
                remains.end().await;
            }
        }
    }
}

/// The result so far, and how many runs in a row spoke against it.
#[derive(Clone, Debug)]
struct Verdict {
    up: Option<bool>,
    told: bool,
    against: u32,
    rise: u32,
    fall: u32,
}

impl Verdict {
    fn new(settings: &ScriptSettings) -> Self {
        Self {
            up: settings.init_fail.then_some(false),
            told: false,
            against: 0,
            rise: settings.rise,
            fall: settings.fall,
        }
    }

    /// The result after one more run, and whether it is news.
    fn judge(&mut self, success: bool) -> (bool, bool) {
        let before = self.up;
        let up = match before {
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
        let news = !self.told || before != Some(up);
        self.up = Some(up);
        self.told = true;
        (up, news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ScriptCommand;
    use crate::protocol::Weight;

    fn settings(rise: u32, fall: u32, init_fail: bool) -> ScriptSettings {
        ScriptSettings {
            id: TrackId(7),
            name: "check".into(),
            command: ScriptCommand::Shell("true".into()),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            weight: Weight(0),
            reverse: false,
            rise,
            fall,
            user: None,
            init_fail,
        }
    }

    fn results(settings: &ScriptSettings, runs: &str) -> String {
        let mut verdict = Verdict::new(settings);
        let letter = |(up, news)| match (up, news) {
            (true, true) => 'U',
            (true, false) => 'u',
            (false, true) => 'D',
            (false, false) => 'd',
        };
        runs.chars().map(|run| letter(verdict.judge(run == '+'))).collect()
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
}
