//! FIFOs that receive every change, one line each, in the order of the changes.
//!
//! Enters: subject, new state and priority. Leaves: lines of keepalived's form, and the scripts that read them. Absent:
//! waiting. If a FIFO is full, the line is lost, counted and logged; hooks, other FIFOs and the engine do not notice.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{Gid, Uid};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use vrrp_ebpf::time::Timestamp;

use crate::config::{FifoSettings, Globals};
use crate::driver::clock;
use crate::driver::fifo::Fifo;
use crate::driver::process::{Identity, Job};
use crate::protocol::Priority;

/// Longest time that a script may take to read the rest when its FIFO is closed; then it gets SIGTERM.
pub const READ_LIMIT: Duration = Duration::from_millis(500);

/// Pause before a failed script is started again: the first one; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Shortest time between two warnings about lost lines of one FIFO.
const QUIET: Duration = Duration::from_secs(10);

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

/// The open FIFOs, and the scripts that read them.
#[derive(Debug, Default)]
pub struct Fifos {
    outlets: Vec<Outlet>,
}

#[derive(Debug)]
struct Outlet {
    settings: FifoSettings,
    fifo: Fifo,
    reader: JoinSet<()>,
    lost: u64,
    /// When a loss was last logged, and how many lines were lost until then.
    reported: Option<(Timestamp, u64)>,
}

impl Fifos {
    /// Opens the FIFOs of a configuration and starts their scripts; one that cannot be opened is left out with a
    /// warning. Must be called within a runtime.
    pub fn open(globals: &Globals) -> Self {
        let mut fifos = Self::default();
        fifos.settle(globals);
        fifos
    }

    /// Changes over to another configuration. A FIFO in both stays open for its readers, and its script goes on if it
    /// is the same.
    pub fn settle(&mut self, globals: &Globals) {
        let mut before = std::mem::take(&mut self.outlets);
        for settings in &globals.fifos {
            let kept = before.iter().position(|outlet| outlet.settings.path == settings.path);
            let outlet = match kept.map(|index| before.swap_remove(index)) {
                Some(outlet) => Some(outlet.settle(settings, globals)),
                None => Outlet::open(settings, globals),
            };
            self.outlets.extend(outlet);
        }
    }

    /// Never waits.
    pub fn report(&mut self, line: Line<'_>) {
        if self.outlets.is_empty() {
            return;
        }
        let line = line.to_string();
        for outlet in &mut self.outlets {
            outlet.write(&line);
        }
    }

    /// Lines lost to full FIFOs, in total.
    pub fn lost(&self) -> u64 {
        self.outlets.iter().map(|outlet| outlet.lost).sum()
    }

    /// Closes all, and waits [`READ_LIMIT`] at most for scripts to read the rest.
    pub async fn close(self) {
        let mut readers = Vec::new();
        for Outlet { fifo, reader, .. } in self.outlets {
            // A reader at the end of the lines sees that no more will follow.
            drop(fifo);
            readers.push(reader);
        }
        let finished = async {
            for reader in &mut readers {
                while reader.join_next().await.is_some() {}
            }
        };
        // Scripts that are still running get SIGTERM when their task ends.
        let _ = timeout(READ_LIMIT, finished).await;
        for mut reader in readers {
            reader.shutdown().await;
        }
    }
}

impl Outlet {
    fn open(settings: &FifoSettings, globals: &Globals) -> Option<Self> {
        let path: &Path = settings.path.as_ref().as_ref();
        let fifo =
            owner(settings).and_then(|owner| Fifo::open(path, owner).map_err(|error| error.to_string()));
        let fifo = match fifo {
            Ok(fifo) => fifo,
            Err(error) => {
                warn!("cannot use a FIFO: {error}");
                return None;
            }
        };
        let reader = reader(settings, globals);
        Some(Self { settings: settings.clone(), fifo, reader, lost: 0, reported: None })
    }

    fn settle(self, settings: &FifoSettings, globals: &Globals) -> Self {
        let same = self.settings.script == settings.script;
        // A script that is dropped gets SIGTERM.
        let reader = if same { self.reader } else { reader(settings, globals) };
        Self { settings: settings.clone(), reader, ..self }
    }

    fn write(&mut self, line: &str) {
        let Err(error) = self.fifo.write(line) else { return };
        self.lost += 1;
        let now = clock::now();
        let (last, before) = self.reported.map_or((None, 0), |(at, count)| (Some(at), count));
        if last.is_none_or(|last| now.since(last) >= QUIET) {
            let lost = self.lost.saturating_sub(before);
            warn!(fifo = %self.settings.path, %error, lost, "lines are lost: no process reads the FIFO");
            self.reported = Some((now, self.lost));
        }
    }
}

fn owner(settings: &FifoSettings) -> Result<Option<(Uid, Gid)>, String> {
    let Some(user) = &settings.user else { return Ok(None) };
    let identity = Identity::resolve(Some(user), None).map_err(|error| error.to_string())?;
    Ok(Some((identity.uid, identity.gid)))
}

/// Starts the script, if there is one.
fn reader(settings: &FifoSettings, globals: &Globals) -> JoinSet<()> {
    let mut reader = JoinSet::new();
    match job(settings, globals) {
        Ok(Some(job)) => {
            reader.spawn(read(job, settings.path.to_string()));
        }
        Ok(None) => {}
        Err(error) => warn!(fifo = %settings.path, "cannot run its script: {error}"),
    }
    reader
}

fn job(settings: &FifoSettings, globals: &Globals) -> Result<Option<Job>, String> {
    let Some(script) = &settings.script else { return Ok(None) };
    let identity = Identity::resolve(script.user.as_ref(), globals.script_user.as_ref())
        .and_then(|identity| identity.with_groups(globals.process.supplementary_groups))
        .map_err(|error| error.to_string())?;
    let command = script.command.clone();
    // It runs as long as the daemon, and ends with it.
    Ok(Some(Job { command, identity, limit: Duration::MAX, leashed: true }))
}

/// Runs the script of a FIFO until it succeeds. A script that fails is started again.
async fn read(job: Job, fifo: String) {
    let mut pause = PAUSE;
    loop {
        let run = job.run(&[&fifo], &[]).await;
        if run.end.is_success() {
            info!(%fifo, "the script of the FIFO is done");
            return;
        }
        warn!(%fifo, end = %run.end, again_in = ?pause, "the script of the FIFO has failed");
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
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
