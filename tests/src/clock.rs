//! Time for tests: deadlines to poll against, and the clock that packet stamps use.

use std::time::Duration;

use anyhow::{Result, bail};
use nix::time::{ClockId, clock_gettime};

const POLL: Duration = Duration::from_millis(2);
/// Variable with the factor by which this machine is slower than usual; set in an emulated machine.
pub(crate) const SLOWNESS: &str = "VRRPX_SLOWNESS";

/// A moment after which a wait is given up.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: u64,
}

impl Deadline {
    pub fn after(span: Duration) -> Self {
        Self { at: monotonic() + nanos(span) }
    }

    pub fn passed(&self) -> bool {
        monotonic() >= self.at
    }

    pub fn left(&self) -> Duration {
        Duration::from_nanos(self.at.saturating_sub(monotonic()))
    }
}

/// Calls `ready` every 2 ms until it returns a value. On a slow machine it waits longer by its factor; bounds that a
/// test checks by stamps stay the same.
pub fn poll<T>(what: &str, within: Duration, mut ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let within = within * slowness();
    let deadline = Deadline::after(within);
    loop {
        if let Some(found) = ready()? {
            return Ok(found);
        }
        if deadline.passed() {
            bail!("waited {within:?} in vain for: {what}");
        }
        std::thread::sleep(POLL);
    }
}

/// As [`poll`], for a condition.
pub fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    poll(what, within, || Ok(holds().then_some(())))
}

/// The factor by which this machine is slower than usual: 1, or more in an emulated machine.
pub fn slowness() -> u32 {
    std::env::var(SLOWNESS).ok().and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn monotonic() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Nanoseconds of CLOCK_REALTIME, the clock of packet stamps.
pub fn realtime() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

pub fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn read(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| nanos(Duration::from(time)))
}
