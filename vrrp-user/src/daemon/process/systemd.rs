//! Notifications to systemd: sd_notify(3). Without systemd nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::interval;
use tracing::warn;

use crate::daemon::status::{DaemonContext, SharedContext};
use crate::protocol::State;

/// Between two updates of the status that systemd shows.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// For the rest of a start or a stop.
const AFTERWARDS: Duration = Duration::from_secs(30);

pub(crate) fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "cannot notify systemd");
    }
}

/// Keeps systemd from ending a start or a stop that takes longer than the unit's limits: for this time, and for what
/// comes after it.
pub(crate) fn extend_timeout(time: Duration) {
    let micros = time.saturating_add(AFTERWARDS).as_micros();
    notify(&[NotifyState::ExtendTimeoutUsec(u32::try_from(micros).unwrap_or(u32::MAX))]);
}

/// Keeps the status line of the unit up to date.
pub(crate) async fn keep_status(shared: SharedContext) {
    let mut due = interval(STATUS_EVERY);
    let mut reported = String::new();
    loop {
        due.tick().await;
        let summary = summary(&shared.now());
        if summary != reported {
            notify(&[NotifyState::Status(&summary)]);
            reported = summary;
        }
    }
}

fn summary(context: &DaemonContext) -> String {
    let count = |state| context.instances().filter(|(_, live)| live.state() == state).count();
    let counts = State::ALL.map(|state| (state, count(state)));
    let words = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {}", state.as_str()));
    words.collect::<Vec<_>>().join(", ")
}
