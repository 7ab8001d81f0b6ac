//! systemd's watchdog, notified as long as the engine and the effect thread respond.
//!
//! Enters: `WATCHDOG_USEC` and `WATCHDOG_PID` of the environment, which systemd sets with `WatchdogSec=`. Leaves:
//! `WATCHDOG=1` several times per period, so that a thread that was busy once costs nothing. Absent: notifications for
//! this thread alone. If one of the three hangs, none is sent, and systemd restarts the daemon.

use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::time::interval;
use tracing::warn;

use super::heartbeat::{Heartbeat, LOOK_EVERY};
use crate::daemon::status::DaemonContext;

/// Notifications per period.
const OFTEN: u32 = 8;

/// Runs until it is dropped; returns at once if no watchdog is configured.
pub(crate) async fn feed(context: Arc<DaemonContext>, heartbeat: Heartbeat) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut due = interval((period / OFTEN).max(LOOK_EVERY));
    loop {
        due.tick().await;
        let silent = if !heartbeat.answers(&context.live).await {
            "engine"
        } else if !heartbeat.effect_answers(&context.live).await {
            "effect thread"
        } else {
            // A failure to notify systemd was logged at the start.
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            continue;
        };
        warn!(
            "the {silent} does not respond; systemd's watchdog is not notified, and restarts the daemon if this lasts"
        );
    }
}
