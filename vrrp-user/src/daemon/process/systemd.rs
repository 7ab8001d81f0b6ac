//! Notifications to systemd: sd_notify(3). Without systemd nothing happens.

use sd_notify::NotifyState;
use tracing::warn;

pub(crate) fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "cannot notify systemd");
    }
}
