//! Time for tests: waits for a state, spans with a name, and the clock that packet stamps use.
//!
//! Each sleep of a test is one of [`watch`], [`outage`], [`pace`] and [`elapse`], or, in a task, one of [`task`].

use std::time::Duration;

use anyhow::{Result, bail};
use nix::time::{ClockId, clock_gettime};

/// Time between two looks of a wait.
pub(crate) const POLL: Duration = Duration::from_millis(2);
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
pub fn poll<T>(what: &str, within: Duration, ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    poll_each(POLL, what, within, ready)
}

/// As [`poll`], with another time between two looks, where a look is costly or compares with the one before.
pub fn poll_each<T>(
    pause: Duration,
    what: &str,
    within: Duration,
    mut ready: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let within = within * slowness();
    let deadline = Deadline::after(within);
    loop {
        if let Some(found) = ready()? {
            return Ok(found);
        }
        if deadline.passed() {
            bail!("waited {within:?} in vain for: {what}");
        }
        pass(pause);
    }
}

/// As [`poll`], for a condition.
pub fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    poll(what, within, || Ok(holds().then_some(())))
}

/// The span in which something must not happen, or is measured.
pub fn watch(span: Duration) {
    pass(span);
}

/// The length of a fault that the test makes, up to the step that ends it.
pub fn outage(span: Duration) {
    pass(span);
}

/// The time between two steps of a loop, such as a sender's.
pub fn pace(span: Duration) {
    pass(span);
}

/// A time that must run out while nothing shows its end, such as a limit of the daemon's or a phase of its interval.
pub fn elapse(span: Duration) {
    pass(span);
}

#[expect(clippy::disallowed_methods, reason = "the sleep of the waits and of the spans with a name")]
pub(crate) fn pass(span: Duration) {
    std::thread::sleep(span);
}

/// The same for a task.
pub mod task {
    use std::time::Duration;

    use super::{Deadline, POLL};

    /// Waits until a condition holds.
    ///
    /// # Panics
    /// If it does not hold within the time.
    pub async fn until(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = Deadline::after(within);
        while !holds().await {
            assert!(!deadline.passed(), "waited {within:?} in vain for: {what}");
            pass(POLL).await;
        }
    }

    /// As [`super::watch`].
    pub async fn watch(span: Duration) {
        pass(span).await;
    }

    /// As [`super::pace`].
    pub async fn pace(span: Duration) {
        pass(span).await;
    }

    /// As [`super::elapse`].
    pub async fn elapse(span: Duration) {
        pass(span).await;
    }

    #[expect(clippy::disallowed_methods, reason = "the sleep of the waits and of the spans with a name")]
    async fn pass(span: Duration) {
        tokio::time::sleep(span).await;
    }
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
