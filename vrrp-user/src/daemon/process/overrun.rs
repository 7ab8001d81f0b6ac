//! Overruns: logs real-time threads that computed without a pause, and returns them to their class.
//!
//! Enters: a wake-up of [`Overruns`]. Leaves: lines in the log, and the class in the history. Absent: the
//! demotion itself, which the handler of the kernel's signal does at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{error, info};

use crate::daemon::history::{History, Realtime};
use crate::driver::overrun::Overruns;

/// Time as ordinary threads. Even with repeated overruns, the machine responds for most of the time.
const REST: Duration = Duration::from_secs(10);

/// Runs until it is dropped.
pub(crate) async fn follow(overruns: Overruns, history: Arc<History>) {
    while overruns.happen().await.is_ok() {
        let before = history.read().realtime.clone().unwrap_or_default();
        let used = overruns.limit();
        let why = format!(
            "engine or effect thread computed for {used:?} without a pause; both are ordinary threads for {REST:?}, \
             and adverts may be late"
        );
        error!("{why}");
        history.realtime(Realtime { scheduled: false, why, ..before.clone() });
        sleep(REST).await;
        match overruns.restore() {
            Ok(()) => {
                info!("engine and effect thread are in the real-time class again");
                history.realtime(before);
            }
            Err(error) => error!(%error, "cannot return engine and effect thread to the real-time class"),
        }
    }
}
