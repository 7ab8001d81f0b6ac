//! systemd's watchdog, notified as long as the engine responds.
//!
//! Enters: `WATCHDOG_USEC` and `WATCHDOG_PID` of the environment, which systemd sets with `WatchdogSec=`. Leaves:
//! `WATCHDOG=1` twice per period. Absent: notifications for this thread alone. If the engine hangs, none is sent, and
//! systemd restarts the daemon.

use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::time::interval;
use tracing::warn;

use super::heartbeat::{Heartbeat, LOOK_EVERY};
use crate::daemon::status::DaemonContext;

/// Runs until it is dropped; returns at once if no watchdog is configured.
pub(crate) async fn feed(context: Arc<DaemonContext>, heartbeat: Heartbeat) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut due = interval((period / 2).max(LOOK_EVERY));
    loop {
        due.tick().await;
        if heartbeat.answers(&context.live).await {
            // A failure to notify systemd was logged at the start.
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        } else {
            warn!("the engine does not respond; systemd's watchdog is not notified");
        }
    }
}
