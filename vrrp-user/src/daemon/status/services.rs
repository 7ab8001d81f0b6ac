//! Checks, hooks, FIFOs, mail and webhooks in a [`Status`](super::Status).

use serde::{Deserialize, Serialize};

/// A check that is tracked.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Check {
    pub name: String,
    /// `command`, `tcp`, `http`, …
    pub kind: String,
    /// `None` before the first run.
    pub up: Option<bool>,
    /// How a change is noticed: `polling`, `pidfd`, `inotify`, `events` or `signals`.
    pub noticed_by: Option<String>,
    pub runs: u64,
    pub ended: Option<String>,
    /// Exit code of a command that ended by itself.
    pub exit_code: Option<i32>,
    pub lasted_seconds: Option<f64>,
    /// The last 512 bytes that a command printed, control characters escaped.
    pub output: Option<String>,
    /// Why it counts as failed although it may succeed.
    pub held: Option<Held>,
    /// Why it cannot run at present: this machine lacks descriptors, memory or processes. Its last result stays in
    /// force.
    pub skipped: Option<String>,
}

/// A script that is not run: it is not there, may not be run, or is not secure. As a check it counts nowhere.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DisabledScript {
    /// Such as `vrrp_script web`, or `notify of VI_1`.
    pub script: String,
    pub why: String,
}

/// Why a check is held as failed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Held {
    /// `flapping` (`damping`) or `min_hold`.
    pub reason: String,
    /// Time left, unless it changes again.
    pub seconds: f64,
}

/// A hook that runs for long. Hooks of later changes wait for its end.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SlowHook {
    /// Its keyword, such as `notify_master`.
    pub keyword: String,
    pub state: String,
    pub started: String,
    pub seconds: f64,
    /// Until it is ended.
    pub seconds_left: f64,
}

/// The latest run of a hook.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Hook {
    /// Its keyword, such as `notify_master`.
    pub keyword: String,
    pub state: String,
    pub ended: String,
    pub success: bool,
    pub lasted_seconds: f64,
    pub started: String,
    /// The last 512 bytes that it printed, if any, control characters escaped.
    #[serde(default)]
    pub output: Option<String>,
    /// The state that it was run for is over, or the configuration was loaded again since.
    #[serde(default)]
    pub is_past: bool,
}

/// A FIFO that receives every change.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Fifo {
    pub path: String,
    /// Lines that were not written, since it is configured.
    pub lost: u64,
    /// Why it is of no use: it cannot be opened, no process reads it, or its script fails. It is tried again.
    pub fault: Option<String>,
}

/// Mail about changes, since the start of the daemon.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Mail {
    /// Host and port.
    pub server: String,
    pub waiting: u64,
    pub sent: u64,
    /// Given up after the last attempt.
    pub failed: u64,
    /// Dropped because the queue was full.
    pub lost: u64,
    pub latest_failure: Option<Failure>,
    /// No mail was sent, and no configuration loaded, since the latest failure.
    #[serde(default)]
    pub failing: bool,
}

/// A mail that was given up, or a failed attempt of a webhook.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Failure {
    /// RFC 3339 in UTC.
    pub at: String,
    pub why: String,
}

/// Counts of a webhook's changes, since it is configured.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Webhook {
    /// Scheme, host and port; with a number if several look the same.
    pub webhook: String,
    pub waiting: u64,
    pub sent: u64,
    /// Given up.
    pub failed: u64,
    /// Not sent, because a later change of the same instance or group came first.
    pub superseded: u64,
    /// Dropped because the queue was full.
    pub lost: u64,
    /// Failed attempts.
    pub refusals: u64,
    /// HTTP status of the latest attempt; `None` before the first one, and if there was no answer.
    pub latest_status: Option<u16>,
    pub latest_failure: Option<Failure>,
    /// No change was accepted, and no configuration loaded, since the latest failure.
    #[serde(default)]
    pub failing: bool,
}
