//! Message about the hooks that a daemon leaves to the one that replaces it; see [`super::message`].

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::{Config, Instance};
use crate::daemon::notify::hooks::{LeftHooks, Notification, Subject};
use crate::daemon::notify::line::NotifyState;
use crate::driver::pidfd::NamedProcess;
use crate::protocol::{Epoch, GroupId, Priority, Reason, State};

/// The hooks of an instance or group.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct HooksMessage {
    subject: SubjectMessage,
    running: Option<NamedProcess>,
    unreported: Option<Unreported>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum SubjectMessage {
    /// Its place in the [`super::Offer`].
    Instance(usize),
    /// Its name.
    Group(String),
}

/// The latest state, whose hooks have not been started.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Unreported {
    state: String,
    previous: String,
    reason: String,
    epoch: u64,
    priority: u8,
    peer: Option<IpAddr>,
    /// The specific one has been started.
    is_half: bool,
}

impl HooksMessage {
    pub(super) fn of(left: &LeftHooks, config: &Config) -> Option<Self> {
        let subject = match left.subject {
            Subject::Instance(id) => {
                SubjectMessage::Instance(config.instances.iter().position(|it| it.id == id)?)
            }
            Subject::Group(id) => {
                SubjectMessage::Group(config.groups.get(id.index())?.settings.name.to_string())
            }
        };
        let unreported = left.unreported.map(|(notification, is_half)| Unreported {
            state: notification.word.as_str().to_owned(),
            previous: notification.previous.as_str().to_owned(),
            reason: notification.reason.as_str().to_owned(),
            epoch: notification.epoch.0,
            priority: notification.priority.0,
            peer: notification.peer,
            is_half,
        });
        Some(Self { subject, running: left.running, unreported })
    }

    /// The same by the numbers of this daemon, whose instances are in the order of the offer.
    pub(super) fn left(&self, matching_instances: &[&Instance], config: &Config) -> Option<LeftHooks> {
        let subject = match &self.subject {
            SubjectMessage::Instance(place) => Subject::Instance(matching_instances.get(*place)?.id),
            SubjectMessage::Group(name) => {
                let index = config.groups.iter().position(|group| *group.settings.name == **name)?;
                Subject::Group(GroupId(u32::try_from(index).ok()?))
            }
        };
        let unreported = self.unreported.as_ref().and_then(|it| Some((it.notification()?, it.is_half)));
        Some(LeftHooks { subject, running: self.running, unreported })
    }
}

impl Unreported {
    fn notification(&self) -> Option<Notification> {
        let words = [NotifyState::Master, NotifyState::Backup, NotifyState::Fault];
        Some(Notification {
            word: words.into_iter().find(|word| word.as_str() == self.state)?,
            previous: State::ALL.into_iter().find(|state| state.as_str() == self.previous)?,
            reason: Reason::ALL.into_iter().find(|reason| reason.as_str() == self.reason)?,
            epoch: Epoch(self.epoch),
            priority: Priority(self.priority),
            peer: self.peer,
        })
    }
}
