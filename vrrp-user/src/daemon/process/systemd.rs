//! What systemd is told of the daemon: sd_notify(3). Without systemd nothing happens.

use sd_notify::NotifyState;
use tracing::warn;

pub(crate) fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd cannot be told");
    }
}
