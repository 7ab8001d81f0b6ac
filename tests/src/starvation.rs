//! The longest time in which no thread could run: a virtual machine that was paused, or other processes.
//!
//! Tests add it to a bound on adverts or answers: a gap in that time is the machine's, not the daemon's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::clock::{monotonic, nanos, pass, slowness};
use crate::daemon::Instance;
use crate::worker::{Workers, real_time_at};

/// Time between two looks at the clock.
const NAP: Duration = Duration::from_millis(1);
/// Above the threads of a daemon, whose own computing is no excuse.
const ABOVE: i32 = 90;

/// Precision of a takeover, with room for a build without optimisation.
const PUNCTUAL: Duration = Duration::from_millis(5);

/// Attempts at a scenario on a busy machine.
const ATTEMPTS: usize = 5;

/// Tries a scenario again that has failed while ordinary threads were kept from running for as long as `excuse`. Those
/// of the kernel (ksoftirqd) deliver frames on a busy machine: adverts are late then, however early they were sent. It
/// must hold once.
///
/// # Errors
/// That of the last attempt, or of one without an excuse.
pub fn but_for_starvation(excuse: Duration, mut scenario: impl FnMut() -> Result<()>) -> Result<()> {
    let mut attempt = 1;
    loop {
        let threads = Starvation::of_ordinary_threads()?;
        let Err(error) = scenario() else { return Ok(()) };
        let waited = threads.longest();
        if attempt == ATTEMPTS || waited < excuse {
            return Err(error.context(format!("attempt {attempt}; ordinary threads have waited {waited:?}")));
        }
        println!("attempt {attempt}: ordinary threads have waited {waited:?}: {error:#}");
        attempt += 1;
    }
}

/// Watches every processor with a thread of its own until dropped.
#[derive(Debug)]
pub struct Starvation {
    processors: Vec<Arc<Seen>>,
    _watching: Workers,
}

/// What the thread of one processor has seen.
#[derive(Debug)]
struct Seen {
    latest: AtomicU64,
    longest: AtomicU64,
}

impl Starvation {
    /// Of real-time threads above those of a daemon: only the machine itself keeps them waiting.
    pub fn of_machine() -> Result<Self> {
        Self::watch(Some(ABOVE))
    }

    /// Of ordinary threads, which wait for other processes too.
    pub fn of_ordinary_threads() -> Result<Self> {
        Self::watch(None)
    }

    fn watch(priority: Option<i32>) -> Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let numbers = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false));
        let (mut watching, mut processors) = (Workers::default(), Vec::new());
        for cpu in numbers {
            let mut set = CpuSet::new();
            set.set(cpu)?;
            let seen = Arc::new(Seen { latest: AtomicU64::new(monotonic()), longest: AtomicU64::new(0) });
            processors.push(Arc::clone(&seen));
            watching = watching.with(move |stop| {
                // On another processor, or in another class, it only sees less.
                let _refused = sched_setaffinity(Pid::from_raw(0), &set);
                let _refused = priority.map(real_time_at);
                while !stop.is_set() {
                    pass(NAP);
                    seen.longest.fetch_max(seen.since_latest(), Relaxed);
                    seen.latest.store(monotonic(), Relaxed);
                }
            });
        }
        Ok(Self { processors, _watching: watching })
    }

    /// The longest time so far that a thread was kept from running.
    pub fn longest(&self) -> Duration {
        // The thread may be kept waiting still.
        let longest = self.processors.iter().map(|seen| seen.longest.load(Relaxed).max(seen.since_latest()));
        Duration::from_nanos(longest.max().unwrap_or_default())
    }

    /// How much later than Master_Down_Interval this heir, one of our daemons, may send its first advert: a moment, and
    /// what these threads were kept from running: ordinary ones, as the kernel's deliver adverts. A backup that sees
    /// itself suspended (a quarter of an interval, at most 100 ms) listens again.
    pub fn slack(&self, heir: &Instance) -> Duration {
        let (stood, interval) = (self.longest(), heir.advert_interval());
        let suspended = (interval / 4).clamp(Duration::from_millis(2), Duration::from_millis(100));
        let again = if stood < suspended / 2 { Duration::ZERO } else { heir.master_down_interval() };
        PUNCTUAL * slowness() + stood + again
    }

    /// Whether `within`, and the longest time that a thread was kept from running, have passed since `start`
    /// (CLOCK_MONOTONIC).
    pub fn has_passed(&self, start: u64, within: Duration) -> bool {
        monotonic().saturating_sub(start) > nanos(within * slowness() + self.longest())
    }

    /// Waits until a condition holds, as [`crate::clock::until`], and for the longest time in addition that a thread
    /// was kept from running.
    pub fn until(&self, what: &str, within: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
        self.poll_each(NAP, what, || within, || Ok(holds().then_some(())))
    }

    /// As [`crate::clock::poll_each`], and for the longest time in addition that a thread was kept from running.
    /// `within` may count that time as well.
    pub fn poll_each<T>(
        &self,
        pause: Duration,
        what: &str,
        within: impl Fn() -> Duration,
        mut ready: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let start = monotonic();
        loop {
            if let Some(found) = ready()? {
                return Ok(found);
            }
            ensure!(
                !self.has_passed(start, within()),
                "waited {:?} and {:?} in vain for: {what}",
                within(),
                self.longest()
            );
            pass(pause);
        }
    }
}

impl Seen {
    fn since_latest(&self) -> u64 {
        monotonic().saturating_sub(self.latest.load(Relaxed)).saturating_sub(nanos(NAP))
    }
}
