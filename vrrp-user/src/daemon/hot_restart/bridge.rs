//! Bridge process for `systemctl restart`, which is a stop and then a start: it keeps the states until the new daemon
//! replaces it.
//!
//! Enters: SIGTERM. Leaves: a process of the same program that replaces this one, for [`LIFE`] at most; this one ends,
//! systemd starts the unit again, and its daemon replaces that process. If the new daemon does not start, the process
//! hands over to the peer. Absent: anything if systemd does not restart the unit.

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tracing::{info, warn};

use crate::daemon::process::options::RunOptions;
use crate::driver::restart;

/// Time limit for the bridge process to replace this one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long the bridge process waits for the new daemon, in seconds.
const LIFE: &str = "30";

const HOT_RESTART: &str = "--hot-restart";
const BRIDGE: &str = "--bridge";

/// Starts the bridge process if systemd is about to start this unit again. `None`: the daemon is to stop.
pub(crate) async fn begin(options: &RunOptions) -> Option<Child> {
    // As keepalived's drop-in, the daemon has other options, and such a unit restarts it as keepalived.
    let is_service = env::var_os("NOTIFY_SOCKET").is_some() && options.process.places.is_none();
    if !is_service || options.bridge.is_some() {
        return None;
    }
    match restart::job().await {
        Ok(Some(job)) if job == "restart" => {}
        Ok(_) => return None,
        Err(error) => {
            warn!(%error, "cannot ask systemd whether this is a restart; stopping");
            return None;
        }
    }
    match start() {
        Ok(bridge) => {
            info!(pid = bridge.id(), "systemd restarts the unit; a bridge process keeps the states");
            Some(bridge)
        }
        Err(error) => {
            warn!(%error, "cannot start a bridge process to keep the states over the restart");
            None
        }
    }
}

/// Returns when the bridge process has ended: it cannot replace this one any more. For ever without one.
pub(crate) async fn end(bridge: Option<&mut Child>) {
    let Some(bridge) = bridge else { return std::future::pending().await };
    // Cannot fail for a child.
    let ended = bridge.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
    warn!(%ended, "the bridge process has ended before it replaced this one; its log lines have the reason; stopping");
}

/// Starts the running program, even if its file is another one by now.
fn start() -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    // The kernel names it after the path, which ps would show.
    command.arg0(env::args_os().next().unwrap_or_else(|| "vrrpx".into()));
    command.args(arguments(env::args_os().skip(1)));
    // systemd does not know the process.
    command.env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
    command.spawn()
}

fn arguments(own: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let further = [HOT_RESTART, BRIDGE, LIFE].map(OsString::from);
    own.filter(|word| word != HOT_RESTART).chain(further).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_options_of_this_one() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let own = words("run --hot-restart --runtime-dir /run/vrrpx");
        let expected = words("run --runtime-dir /run/vrrpx --hot-restart --bridge 30");
        assert_eq!(arguments(own.into_iter()), expected);
    }
}
