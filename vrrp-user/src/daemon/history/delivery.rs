//! Runs of hooks, and counts of FIFOs, mails and webhooks.

use std::time::{Duration, SystemTime};

use vrrp_ebpf::time::Timestamp;

use crate::driver::process::Run;

#[derive(Clone, Debug)]
pub struct HookRun {
    /// The state that the hook was run for, as keepalived writes it.
    pub state: &'static str,
    pub run: Run,
    /// The end of its output, if any.
    pub printed: Option<String>,
    pub at: SystemTime,
}

impl HookRun {
    /// A run that has just ended.
    pub fn ended(state: &'static str, run: Run, printed: Option<String>) -> Self {
        Self { state, run, printed, at: before_now(run.lasted) }
    }
}

/// A run that has not ended.
#[derive(Clone, Debug)]
pub struct RunningHook {
    pub keyword: &'static str,
    pub state: &'static str,
    pub started: Timestamp,
    /// When it is ended.
    pub due: Timestamp,
}

impl RunningHook {
    /// How long it may run until it is shown.
    pub const PATIENCE: Duration = Duration::from_secs(5);

    /// Whether it runs for longer than hooks do.
    pub fn is_slow(&self, now: Timestamp) -> bool {
        now.since(self.started) >= Self::PATIENCE
    }
}

/// Finished runs of hooks.
#[derive(Clone, Copy, Debug, Default)]
pub struct HookRuns {
    pub succeeded: u64,
    pub failed: u64,
}

impl HookRuns {
    pub(super) fn count(&mut self, run: &Run) {
        let runs = if run.end.is_success() { &mut self.succeeded } else { &mut self.failed };
        *runs += 1;
    }
}

/// Counts of one webhook's changes.
#[derive(Clone, Debug, Default)]
pub struct Posts {
    pub waiting: u64,
    pub sent: u64,
    /// Given up.
    pub failed: u64,
    /// Not sent, because a later change of the same instance or group came first.
    pub superseded: u64,
    /// Dropped because the queue was full.
    pub lost: u64,
    /// Failed attempts.
    pub refusals: u64,
    /// HTTP status of the latest attempt; `None` if there was no answer.
    pub status: Option<u16>,
    /// Time and reason of the latest failed attempt.
    pub failure: Option<(SystemTime, String)>,
    /// Nothing was accepted since then.
    pub is_failing: bool,
}

/// Counts of mails about changes.
#[derive(Clone, Debug, Default)]
pub struct Mails {
    pub waiting: u64,
    pub sent: u64,
    /// Given up after the last attempt.
    pub failed: u64,
    /// Dropped because the queue was full.
    pub lost: u64,
    /// Time and reason of the latest mail that was given up.
    pub failure: Option<(SystemTime, String)>,
    /// None was sent since then.
    pub is_failing: bool,
}

/// A FIFO of `notify_fifo`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FifoRecord {
    /// Lines that were not written.
    pub lost: u64,
    /// Why it is of no use.
    pub fault: Option<String>,
}

/// The time by the wall clock that was so long ago.
pub(super) fn before_now(ago: Duration) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(ago).unwrap_or(now)
}
