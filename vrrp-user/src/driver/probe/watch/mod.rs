//! Checks of services with change notifications.
//!
//! Enters: the target of a check. Leaves: the health of the service, at once, at each of its events, and once per
//! interval in case an event was lost. Absent: consequences. A lost source of events counts as a failure of the service
//! until it is back, as nothing is known about the service.

mod docker;
mod file;
mod process;
mod systemd;

pub use file::prepare as prepare_file;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::attempt::Failure;
use crate::config::{DockerTarget, FileTarget, ProcessTarget};

/// A service with change notifications.
#[derive(Clone, Debug)]
pub enum Watch {
    Docker(DockerTarget),
    /// A systemd unit.
    Systemd(Arc<str>),
    Process(ProcessTarget),
    File(FileTarget),
}

/// The news, and how it was noticed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum News {
    Health(Health, By),
    Number(i32, By),
}

/// How a change is noticed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum By {
    /// Polling, once per interval.
    Polling,
    /// The kernel's notification of the end of a process.
    Pidfd,
    /// The kernel's notification of a file change.
    Inotify,
    /// Events of a container engine.
    Events,
    /// Signals of systemd.
    Signals,
}

impl By {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::Pidfd => "pidfd",
            Self::Inotify => "inotify",
            Self::Events => "events",
            Self::Signals => "signals",
        }
    }
}

impl Watch {
    /// Reports the health of the service, for ever. `limit` bounds each request made for it.
    pub async fn run(&self, every: Duration, limit: Duration, mut tell: impl FnMut(News)) -> Infallible {
        let mut health = |health, by| tell(News::Health(health, by));
        match self {
            Self::Docker(target) => docker::watch(target, every, limit, |it| health(it, By::Events)).await,
            Self::Systemd(unit) => systemd::watch(unit, every, limit, |it| health(it, By::Signals)).await,
            Self::Process(target) => process::watch(target, every, health).await,
            Self::File(target) => {
                let tell = |it: Result<_, _>, by| {
                    tell(it.map_or_else(|failure| News::Health(Err(failure), by), |it| News::Number(it, by)));
                };
                file::watch(target, every, tell).await
            }
        }
    }
}

/// The health of a service.
pub type Health = Result<(), Failure>;

/// The outcome, or a failure if there is none within the limit.
async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(Failure::new(format_args!("{what}: no answer within {limit:?}"))))
}
