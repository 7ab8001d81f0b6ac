//! Lines of FIFOs, as keepalived writes them.

use std::fmt;

use crate::protocol::Priority;

/// The subject of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subject<'a> {
    Instance(&'a str),
    Group(&'a str),
}

/// The word of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotifyState {
    Master,
    Backup,
    Fault,
    /// The daemon ends.
    Stop,
    /// A reload has removed it.
    Deleted,
    /// A master with less priority was heard while master.
    MasterRxLowerPri,
    /// The priority of a master changed.
    MasterPriority,
    /// The priority changed in any other state.
    BackupPriority,
}

impl NotifyState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
            Self::Deleted => "DELETED",
            Self::MasterRxLowerPri => "MASTER_RX_LOWER_PRI",
            Self::MasterPriority => "MASTER_PRIORITY",
            Self::BackupPriority => "BACKUP_PRIORITY",
        }
    }
}

/// One line, with its end. Groups have priority 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Line<'a> {
    pub subject: Subject<'a>,
    pub word: NotifyState,
    pub priority: Priority,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self.subject {
            Subject::Instance(name) => ("INSTANCE", name),
            Subject::Group(name) => ("GROUP", name),
        };
        writeln!(f, "{kind} \"{name}\" {} {}", self.word.as_str(), self.priority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_keepalived_s() {
        let line = |subject, word, priority| Line { subject, word, priority: Priority(priority) }.to_string();
        let instance = Subject::Instance("VI_1");
        assert_eq!(line(instance, NotifyState::Master, 100), "INSTANCE \"VI_1\" MASTER 100\n");
        assert_eq!(line(Subject::Group("G1"), NotifyState::Backup, 0), "GROUP \"G1\" BACKUP 0\n");
        assert_eq!(
            line(instance, NotifyState::MasterRxLowerPri, 255),
            "INSTANCE \"VI_1\" MASTER_RX_LOWER_PRI 255\n"
        );
        assert_eq!(line(instance, NotifyState::BackupPriority, 1), "INSTANCE \"VI_1\" BACKUP_PRIORITY 1\n");
    }
}
