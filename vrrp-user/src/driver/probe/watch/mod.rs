//! Services that tell of their changes themselves.
//!
//! Enters: what a check looks at. Leaves: how the service is, at once, at each of its events, and once per interval
//! in case an event was lost. Absent: what follows from it. A source of events that is gone counts as a failure of the
//! service until it is back, as nothing is known of it.

mod docker;
mod systemd;

pub use docker::docker;
pub use systemd::systemd;

use std::time::Duration;

use tokio::time::timeout;

use super::attempt::Failure;

/// How a service is.
pub type Health = Result<(), Failure>;

/// The outcome, or a failure where there is none in time.
async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(Failure::new(format_args!("{what}: no answer within {limit:?}"))))
}
