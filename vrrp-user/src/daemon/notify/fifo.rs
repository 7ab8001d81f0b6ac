//! FIFOs that receive every change, one line each, in the order of the changes.
//!
//! Enters: subject, new state and priority. Leaves: lines of keepalived's form, the scripts that read them, and in the
//! [`History`] why a FIFO is of no use. Absent: waiting. If a FIFO is full, the line is lost and counted; hooks, other
//! FIFOs and the engine do not notice. A FIFO that cannot be used, or that was removed, is opened again as soon as it
//! can be.

use std::convert::Infallible;
use std::future::pending;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::unistd::{Gid, Uid};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::line::Line;
use crate::config::{FifoSettings, Globals, words};
use crate::daemon::essential::unpanicked;
use crate::daemon::history::{FifoRecord, History};
use crate::driver::fifo::{Fifo, FileId};
use crate::driver::process::{Identity, Job};

/// Longest time that a script may take to read the rest when its FIFO is closed; then it gets SIGTERM.
pub const READ_LIMIT: Duration = Duration::from_millis(500);

/// Pause before a failed script is started again: the first one; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// Between two looks at the FIFOs. Lines that are unread, and were at the look before, have no reader.
pub const LOOK: Duration = Duration::from_secs(4);

/// How long a script runs until its failures before are over.
const SETTLED: Duration = Duration::from_secs(5);

/// The FIFOs, and the scripts that read them.
#[derive(Debug)]
pub struct Fifos {
    outlets: Arc<Mutex<Vec<Outlet>>>,
    /// Looks at them again and again while there are any.
    looks: JoinSet<()>,
    history: Arc<History>,
}

#[derive(Debug)]
struct Outlet {
    settings: FifoSettings,
    /// As in the configuration, for its script.
    globals: Arc<Globals>,
    fifo: Result<Fifo, String>,
    reader: JoinSet<()>,
    /// How the script has ended last, unless it runs well.
    script_failure: Arc<Mutex<Option<String>>>,
    lost: u64,
    /// Bytes that were there at the latest look, with those written since then.
    written: usize,
    /// Nothing was read between the latest two looks, or a line was lost since.
    is_unread: bool,
    history: Arc<History>,
}

impl Fifos {
    pub fn new(history: &Arc<History>) -> Self {
        Self { outlets: Arc::default(), looks: JoinSet::new(), history: Arc::clone(history) }
    }

    /// Changes over to another configuration: opens its FIFOs and starts their scripts. A FIFO in both stays open for
    /// its readers, and its script goes on if it is the same. Must be called within a runtime.
    pub fn settle(&mut self, globals: &Globals) {
        let mut outlets = lock(&self.outlets);
        let mut before = std::mem::take(&mut *outlets);
        self.history.keep_fifos(globals.fifos.iter().map(|settings| Arc::clone(&settings.path)));
        let shared = Arc::new(globals.clone());
        for settings in &globals.fifos {
            let kept = before.iter().position(|outlet| outlet.settings.path == settings.path);
            let mut outlet = match kept.map(|index| before.swap_remove(index)) {
                Some(outlet) => outlet.settle(settings, &shared),
                None => Outlet::open(settings, &shared, &self.history),
            };
            outlet.note();
            outlets.push(outlet);
        }
        if outlets.is_empty() {
            self.looks = JoinSet::new();
        } else if self.looks.is_empty() {
            self.looks.spawn(unpanicked("the task of FIFOs", look(Arc::clone(&self.outlets))));
        }
    }

    /// Never waits.
    pub fn report(&mut self, line: Line<'_>) {
        let mut outlets = lock(&self.outlets);
        if outlets.is_empty() {
            return;
        }
        let line = line.to_string();
        for outlet in &mut *outlets {
            outlet.write(&line);
        }
    }

    /// Closes all, and waits [`READ_LIMIT`] at most for scripts to read the rest.
    pub async fn close(self) {
        drop(self.looks);
        let outlets = std::mem::take(&mut *lock(&self.outlets));
        let mut readers = Vec::new();
        for Outlet { fifo, reader, .. } in outlets {
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

/// Looks at each FIFO again and again. A file system that does not answer delays the looks alone.
async fn look(outlets: Arc<Mutex<Vec<Outlet>>>) {
    loop {
        sleep(LOOK).await;
        let paths: Vec<PathBuf> = lock(&outlets).iter().map(Outlet::path).collect();
        let find = move || paths.into_iter().map(|path| (FileId::of(&path), path)).collect::<Vec<_>>();
        let Ok(found) = spawn_blocking(find).await else { continue };
        for (place, path) in found {
            // A reload may have removed it meanwhile.
            if let Some(outlet) = lock(&outlets).iter_mut().find(|outlet| outlet.path() == path) {
                outlet.look(place);
            }
        }
    }
}

impl Outlet {
    fn open(settings: &FifoSettings, globals: &Arc<Globals>, history: &Arc<History>) -> Self {
        let mut outlet = Self {
            settings: settings.clone(),
            globals: Arc::clone(globals),
            fifo: Err(String::new()),
            reader: JoinSet::new(),
            script_failure: Arc::default(),
            lost: 0,
            written: 0,
            is_unread: false,
            history: Arc::clone(history),
        };
        outlet.try_open();
        outlet
    }

    fn try_open(&mut self) {
        let path = self.path();
        // The one before: first removed, if it is still there, and its script ended.
        (self.fifo, self.reader) = (Err(String::new()), JoinSet::new());
        (self.written, self.is_unread) = (0, false);
        self.fifo = owner(&self.settings).and_then(|owner| Fifo::open(&path, owner).map_err(words));
        if self.fifo.is_ok() {
            self.start_script();
        }
    }

    fn settle(self, settings: &FifoSettings, globals: &Arc<Globals>) -> Self {
        let has_same_script = self.settings.script == settings.script;
        let mut outlet = Self { settings: settings.clone(), globals: Arc::clone(globals), ..self };
        match &outlet.fifo {
            Ok(_) if has_same_script => {}
            Ok(_) => outlet.start_script(),
            Err(_) => outlet.try_open(),
        }
        outlet
    }

    /// Starts the script, if there is one. One that runs gets SIGTERM.
    fn start_script(&mut self) {
        self.reader = JoinSet::new();
        self.script_failure = Arc::default();
        match job(&self.settings, &self.globals) {
            Ok(Some(job)) => {
                let failure = Arc::clone(&self.script_failure);
                self.reader.spawn(read(job, self.settings.path.to_string(), failure));
            }
            Ok(None) => {}
            Err(error) => *lock(&self.script_failure) = Some(error),
        }
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(&*self.settings.path)
    }

    fn write(&mut self, line: &str) {
        let Ok(fifo) = &mut self.fifo else {
            self.lost += 1;
            return self.note();
        };
        if fifo.write(line).is_ok() {
            self.written += line.len();
        } else {
            self.lost += 1;
            self.is_unread = true;
            self.note();
        }
    }

    /// `place`: what its path leads to.
    fn look(&mut self, place: Option<FileId>) {
        match &self.fifo {
            Ok(fifo) if Some(fifo.place()) == place => {
                let unread = fifo.unread();
                self.is_unread = unread > 0 && unread >= self.written;
                self.written = unread;
            }
            Ok(_) => {
                info!(fifo = %self.settings.path, "the FIFO was removed or replaced; it is opened again");
                self.try_open();
            }
            Err(_) => self.try_open(),
        }
        self.note();
    }

    fn fault(&self) -> Option<String> {
        let script = lock(&self.script_failure).clone();
        match (&self.fifo, script) {
            (Err(error), _) => Some(format!("cannot be used: {error}")),
            (Ok(_), Some(failure)) => Some(format!("its script fails: {failure}")),
            (Ok(_), None) => {
                self.is_unread.then(|| "no process reads it, and lines are lost once it is full".to_owned())
            }
        }
    }

    /// Notes how it is, and logs what is new.
    fn note(&mut self) {
        let (fifo, lost, fault) = (&self.settings.path, self.lost, self.fault());
        let before = self.history.fifo(fifo, FifoRecord { lost, fault: fault.clone() });
        match (before.fault, fault) {
            (before, Some(fault)) if before.as_ref() != Some(&fault) => warn!("notify_fifo {fifo}: {fault}"),
            (Some(_), None) => info!(%fifo, lost, "the FIFO is used and read"),
            _ => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn owner(settings: &FifoSettings) -> Result<Option<(Uid, Gid)>, String> {
    let Some(user) = &settings.user else { return Ok(None) };
    let identity = Identity::resolve(Some(user), None).map_err(|error| error.to_string())?;
    Ok(Some((identity.uid, identity.gid)))
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
async fn read(job: Job, fifo: String, failure: Arc<Mutex<Option<String>>>) {
    let (arguments, mut pause) = ([&*fifo], PAUSE);
    loop {
        let settled = async {
            sleep(SETTLED).await;
            *lock(&failure) = None;
            pending::<Infallible>().await
        };
        let run = tokio::select! {
            run = job.run(&arguments, &[]) => run,
            never = settled => match never {},
        };
        if run.end.is_success() {
            info!(%fifo, "the script of the FIFO is done");
            *lock(&failure) = None;
            return;
        }
        *lock(&failure) = Some(run.end.to_string());
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
