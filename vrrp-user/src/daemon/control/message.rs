//! Requests of the control socket and their responses.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::daemon::reload::AppliedReload;
use crate::daemon::status::{NamedOrder, Status};

/// A client that sends nothing for this long, or takes no response, is disconnected.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A reload makes interfaces and reads files before it is answered.
pub(super) const RELOAD_PATIENCE: Duration = Duration::from_secs(30);

/// A handover waits for the heir, and an order may wait for another one.
pub(super) const ORDER_PATIENCE: Duration = Duration::from_secs(40);

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    Status,
    /// Answer, and do nothing else.
    Ping,
    /// The instances in maintenance: all, or those of this name. No document is made for it.
    InMaintenance {
        #[serde(default)]
        name: Option<String>,
    },
    /// Read the configuration again.
    Reload {
        /// Say what would change, and change nothing.
        #[serde(default)]
        dry_run: bool,
        /// Go back after so many seconds unless it is kept.
        #[serde(default)]
        confirm: Option<u64>,
        /// Keep the reload that awaits it, and read nothing.
        #[serde(default)]
        keep: bool,
    },
    /// Let a new daemon replace this one; for the rest of the connection see [`crate::daemon::hot_restart`].
    HotRestart,
    /// The daemon's events.
    Events {
        /// Number of the last known event; without it, all that are kept.
        #[serde(default)]
        since: Option<u64>,
        /// Stay connected and receive new events.
        #[serde(default)]
        follow: bool,
    },
    /// Keep instances out of the election, or let them take part again; without a name, all.
    Maintenance {
        name: Option<String>,
        on: bool,
        /// For how long.
        #[serde(default)]
        seconds: Option<u64>,
        #[serde(default)]
        reason: Option<String>,
        /// Even if no router is known that would serve the addresses.
        #[serde(default)]
        force: bool,
    },
    /// Hand over, and compete with priority 1 after it.
    Failover {
        name: String,
        /// Addresses of the router that is to become master; without any, the one that wins the election.
        #[serde(default)]
        to: Vec<IpAddr>,
        #[serde(default)]
        seconds: Option<u64>,
        #[serde(default)]
        reason: Option<String>,
        #[serde(default)]
        force: bool,
    },
    /// Another base priority; without a number, that of the configuration.
    Priority {
        name: String,
        #[serde(default)]
        priority: Option<u8>,
        #[serde(default)]
        seconds: Option<u64>,
        #[serde(default)]
        reason: Option<String>,
    },
    /// Announce the addresses again; without a name, those of every master.
    Announce {
        #[serde(default)]
        name: Option<String>,
    },
    /// Another log level or filter; without one, that of the start.
    Log {
        #[serde(default)]
        level: Option<String>,
        #[serde(default)]
        seconds: Option<u64>,
    },
}

impl Request {
    /// Whether it is for the desk.
    pub(super) fn is_order(&self) -> bool {
        !matches!(
            self,
            Self::Status
                | Self::Ping
                | Self::InMaintenance { .. }
                | Self::Reload { .. }
                | Self::HotRestart
                | Self::Events { .. }
        )
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    Status(Box<Status>),
    Pong,
    InMaintenance(Vec<NamedOrder>),
    Reloaded(AppliedReload),
    /// Orders are carried out; what came of them, one line each.
    Steered(Vec<String>),
    /// The configuration is not in use, with its findings, or an order is not carried out, with the reasons; one each.
    Refused(Vec<String>),
    /// Another router than the one that was to become master did; what came of it, one line each.
    OtherMaster(Vec<String>),
    /// No instance or sync group has this name.
    Unknown(String),
    Error(String),
}
