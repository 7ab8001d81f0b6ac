//! Checks of services with change notifications.
//!
//! Enters: the target of a check. Leaves: the health of the service, at once, at each of its events, and once per
//! interval in case an event was lost. Absent: consequences. A lost source of events counts as a failure of the service
//! until it is back, as nothing is known about the service.

#[cfg(feature = "docker")]
mod docker;
mod file;
mod process;
#[cfg(feature = "systemd")]
mod systemd;

pub use file::prepare as prepare_file;

use std::convert::Infallible;
use std::time::Duration;

use super::attempt::Failure;
use crate::config::{FileTarget, ProcessTarget};

/// A service with change notifications.
#[derive(Clone, Debug)]
pub enum Watch {
    #[cfg(feature = "docker")]
    Docker(crate::config::DockerTarget),
    /// A systemd unit.
    #[cfg(feature = "systemd")]
    Systemd(std::sync::Arc<str>),
    Process(ProcessTarget),
    File(FileTarget),
}

/// The news, and how it was noticed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum News {
    Health(Health, NoticedBy),
    Number(i32, NoticedBy),
}

/// How a change is noticed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoticedBy {
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

impl NoticedBy {
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
    #[cfg_attr(
        not(any(feature = "docker", feature = "systemd")),
        expect(unused_variables, reason = "only clients of services make requests")
    )]
    pub async fn run(&self, every: Duration, limit: Duration, mut report: impl FnMut(News)) -> Infallible {
        match self {
            #[cfg(feature = "docker")]
            Self::Docker(target) => {
                docker::watch(target, every, limit, |it| report(News::Health(it, NoticedBy::Events))).await
            }
            #[cfg(feature = "systemd")]
            Self::Systemd(unit) => {
                systemd::watch(unit, every, limit, |it| report(News::Health(it, NoticedBy::Signals))).await
            }
            Self::Process(target) => {
                process::watch(target, every, |it, by| report(News::Health(it, by))).await
            }
            Self::File(target) => {
                let report = |it: Result<_, _>, by| {
                    report(
                        it.map_or_else(|failure| News::Health(Err(failure), by), |it| News::Number(it, by)),
                    );
                };
                file::watch(target, every, report).await
            }
        }
    }
}

/// The health of a service.
pub type Health = Result<(), Failure>;

/// The outcome, or a failure if there is none within the limit.
#[cfg(any(feature = "docker", feature = "systemd"))]
async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(Failure::new(format_args!("{what}: no answer within {limit:?}"))))
}
