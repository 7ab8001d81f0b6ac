//! `systemctl restart` is a stop and then a start. A process in between keeps the states until the new daemon takes
//! over.
//!
//! Enters: SIGTERM. Leaves: a process of the same program that takes over from this one, for [`LIFE`] at most; this one
//! ends, systemd starts the unit again, and its daemon takes over from that process. Where the new one does not come
//! up, the process hands over to the peer. Absent: anything where systemd does not restart the unit.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use tracing::{info, warn};

use crate::daemon::process::options::RunOptions;
use crate::driver::restart;

/// Until the process in between must have taken over.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long it waits for the new daemon, in seconds.
const LIFE: &str = "30";

const TAKEOVER: &str = "--takeover";
const STAND_IN: &str = "--stand-in";

/// Starts the process in between where this one is about to be started again by systemd. False: the end is the end.
pub(crate) async fn begin(options: &RunOptions) -> bool {
    // In keepalived's place the options are others, and whoever runs it that way restarts it as keepalived.
    let is_told = env::var_os("NOTIFY_SOCKET").is_some() && options.process.places.is_none();
    if !is_told || options.stand_in.is_some() {
        return false;
    }
    match restart::job().await {
        Ok(Some(job)) if job == "restart" => {}
        Ok(_) => return false,
        Err(error) => {
            warn!(%error, "systemd does not tell whether this is a restart; it is taken for a stop");
            return false;
        }
    }
    match start() {
        Ok(pid) => {
            info!(pid, "systemd restarts the unit; a process in between keeps the states");
            true
        }
        Err(error) => {
            warn!(%error, "no process can be started to keep the states over the restart");
            false
        }
    }
}

/// The program that runs, even where its file is another one by now.
fn start() -> io::Result<u32> {
    let mut command = Command::new("/proc/self/exe");
    // The kernel names it after the path, which ps would show.
    command.arg0(env::args_os().next().unwrap_or_else(|| "vrrpx".into()));
    command.args(arguments(env::args_os().skip(1)));
    // To systemd it is nobody.
    command.env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
    command.spawn().map(|child| child.id())
}

fn arguments(own: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let further = [TAKEOVER, STAND_IN, LIFE].map(OsString::from);
    own.filter(|word| word != TAKEOVER).chain(further).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_options_of_this_one() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let own = words("run --takeover --runtime-dir /run/vrrpx");
        let expected = words("run --runtime-dir /run/vrrpx --takeover --stand-in 30");
        assert_eq!(arguments(own.into_iter()), expected);
    }
}
