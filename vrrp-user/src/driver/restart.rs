//! systemd's pending job for the daemon's unit: whether the end of this process is a restart.
//!
//! Queried on the system bus, or without a bus by `systemctl`, which talks to systemd directly.

use std::time::Duration;
use std::{fs, io};

use tokio::process::Command;
use tokio::time::timeout;

#[cfg(feature = "systemd")]
use super::bus::{Argument, Bus, BusError, Call, Value};

/// The bus may hang while the machine shuts down.
const LIMIT: Duration = Duration::from_millis(500);

/// The type of systemd's pending job for the unit of this process: `restart`, `stop` and others; `None` if there is no
/// job.
///
/// # Errors
/// systemd is not running or does not answer; as reported by the bus.
#[cfg(feature = "systemd")]
pub async fn job() -> Result<Option<String>, BusError> {
    let asked = timeout(LIMIT, ask()).await;
    match asked.unwrap_or(Err(BusError::Silent(LIMIT))) {
        Ok(job) => Ok(job),
        Err(error) => match timeout(LIMIT, listed()).await {
            Ok(Ok(job)) => Ok(job),
            _ => Err(error),
        },
    }
}

/// As with the feature `systemd`, by `systemctl` alone.
///
/// # Errors
/// systemd is not running or does not answer.
#[cfg(not(feature = "systemd"))]
pub async fn job() -> io::Result<Option<String>> {
    timeout(LIMIT, listed()).await?
}

async fn listed() -> io::Result<Option<String>> {
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let unit = unit(&groups).ok_or(io::ErrorKind::NotFound)?;
    let mut command = Command::new("systemctl");
    command.args(["list-jobs", "--no-legend", "--plain"]).kill_on_drop(true);
    let output = command.output().await?;
    if !output.status.success() {
        return Err(io::ErrorKind::Other.into());
    }
    Ok(job_of(unit, &String::from_utf8_lossy(&output.stdout)).map(str::to_owned))
}

/// The unit of this control group.
fn unit(groups: &str) -> Option<&str> {
    let mut folders = groups.lines().flat_map(|line| line.rsplit('/'));
    folders.find(|folder| folder.ends_with(".service"))
}

/// The job type, from lines of number, unit, type and state.
fn job_of<'a>(unit: &str, jobs: &'a str) -> Option<&'a str> {
    let mut words = jobs.lines().map(|line| line.split_whitespace().skip(1));
    words.find_map(|mut words| words.next().filter(|it| *it == unit).and_then(|_| words.next()))
}

#[cfg(feature = "systemd")]
async fn ask() -> Result<Option<String>, BusError> {
    let mut bus = Bus::system().await?;
    let unit = Call {
        destination: SYSTEMD,
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        method: "GetUnitByPID",
        arguments: &[Argument::Number(std::process::id())],
    };
    let unit = bus.call(unit).await?.text()?;
    // Number 0: no job.
    match bus.property(SYSTEMD, &unit, "org.freedesktop.systemd1.Unit", "Job").await? {
        Value::Pair(0, _) => Ok(None),
        Value::Pair(_, job) => {
            let kind = bus.property(SYSTEMD, &job, "org.freedesktop.systemd1.Job", "JobType").await?;
            Ok(Some(kind.text()?))
        }
        _ => Err(super::bus::MalformedError.into()),
    }
}

#[cfg(feature = "systemd")]
const SYSTEMD: &str = "org.freedesktop.systemd1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_found_by_the_control_group() {
        assert_eq!(unit("0::/system.slice/vrrpx.service\n"), Some("vrrpx.service"));
        assert_eq!(unit("1:name=systemd:/system.slice/vrrpx.service/sub\n0::/\n"), Some("vrrpx.service"));
        assert_eq!(unit("0::/user.slice/user-0.slice/session-1.scope\n"), None);
        let jobs = "77 other.service stop running\n 81 vrrpx.service restart running\n";
        assert_eq!(job_of("vrrpx.service", jobs), Some("restart"));
        assert_eq!(job_of("vrrp.service", jobs), None);
    }
}
