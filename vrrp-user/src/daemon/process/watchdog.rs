//! systemd's watchdog, notified as long as the engine responds.
//!
//! Enters: `WATCHDOG_USEC` and `WATCHDOG_PID` of the environment, which systemd sets with `WatchdogSec=`. Leaves:
//! `WATCHDOG=1` twice per period. Absent: notifications for this thread alone. If the engine hangs, none is sent, and
//! systemd restarts the daemon.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{interval, sleep};
use tracing::warn;

use crate::daemon::queue::{Input, Queue};
use crate::daemon::status::DaemonContext;

/// How often, and at what interval, to look for a response of the engine.
const LOOKS: u32 = 50;
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Runs until it is dropped; returns at once if no watchdog is configured.
pub(crate) async fn feed(context: Arc<DaemonContext>, inputs: Queue<Input>) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut due = interval((period / 2).max(LOOK_EVERY));
    loop {
        due.tick().await;
        if answers(&context, &inputs).await {
            // A failure to notify systemd was logged at the start.
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        } else {
            warn!("the engine does not respond; systemd's watchdog is not notified");
        }
    }
}

/// Wakes the engine and returns whether it turns.
async fn answers(context: &DaemonContext, inputs: &Queue<Input>) -> bool {
    let before = context.live.turns.load(Relaxed);
    inputs.wake();
    for _ in 0..LOOKS {
        sleep(LOOK_EVERY).await;
        if context.live.turns.load(Relaxed) != before {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::history::History;
    use crate::daemon::live::LiveState;
    use crate::driver::clock;
    use crate::driver::maps::Maps;

    #[tokio::test(flavor = "current_thread")]
    async fn only_an_engine_that_turns_is_alive() {
        let context = Arc::new(DaemonContext {
            config: Arc::default(),
            live: Arc::new(LiveState::new(0)),
            maps: Arc::new(Maps::anonymous(1).unwrap()),
            history: Arc::new(History::new(0)),
            router_id: "node1".into(),
            started: clock::now(),
        });
        let inputs = Queue::new(1).unwrap();
        assert!(!answers(&context, &inputs).await);
        let engine = Arc::clone(&context);
        tokio::spawn(async move {
            sleep(Duration::from_millis(10)).await;
            engine.live.turns.fetch_add(1, Relaxed);
        });
        assert!(answers(&context, &inputs).await);
    }
}
