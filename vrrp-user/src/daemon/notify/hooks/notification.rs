//! Notifications of changes, their subjects, and hooks that one daemon leaves to the next.

use std::net::IpAddr;

use crate::daemon::notify::line::NotifyState;
use crate::driver::pidfd::NamedProcess;
use crate::protocol::{Epoch, GroupId, InstanceId, Priority, Reason, State};

/// One change to report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Notification {
    pub(crate) word: NotifyState,
    pub(crate) previous: State,
    pub(crate) reason: Reason,
    pub(crate) epoch: Epoch,
    pub(crate) priority: Priority,
    pub(crate) peer: Option<IpAddr>,
}

/// The subject of a notification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Subject {
    Instance(InstanceId),
    Group(GroupId),
}

impl Subject {
    /// The word that keepalived writes.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Instance(_) => "INSTANCE",
            Self::Group(_) => "GROUP",
        }
    }
}

/// Hooks of an instance or group that a daemon leaves to the one that replaces it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LeftHooks {
    pub(crate) subject: Subject,
    pub(crate) running: Option<NamedProcess>,
    /// The latest state, if its hooks have not been started; with true, all but the specific one.
    pub(crate) unreported: Option<(Notification, bool)>,
}

impl LeftHooks {
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_none() && self.unreported.is_none()
    }
}
