//! The files that keepalived writes on a signal, for the programs that parse them.
//!
//! Enters: signals, and the [`DaemonContext`](super::status::DaemonContext). Leaves: keepalived.data, keepalived.stats
//! and keepalived.json, each replaced as a whole. Absent: the engine, which is not involved, and the main thread: a
//! disk that stalls blocks only this module's own thread.

mod data;
mod json;
mod path;
mod stats;
mod tally;
mod view;

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;

use futures_util::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{debug, warn};

use super::status::SharedContext;
use crate::config::ProcessSettings;
use crate::protocol::InstanceId;

pub use data::data;
pub use path::{route, rule};
pub(super) use tally::{InstanceTally, Tally, all as tallies};
pub(super) use view::check_status;
pub use view::command;

/// Signals that may wait for the disk; another one of a kind that already waits would write the same.
const WAITING: usize = 8;

/// The dumps that can be requested.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dump {
    Data,
    Stats,
    /// The statistics, which count from zero afterwards.
    StatsClear,
    Json,
}

impl Dump {
    pub const ALL: [Self; 4] = [Self::Data, Self::Stats, Self::StatsClear, Self::Json];

    /// The word for `--signum`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Data => "DATA",
            Self::Stats => "STATS",
            Self::StatsClear => "STATS_CLEAR",
            Self::Json => "JSON",
        }
    }

    /// The number of its signal; that of a real-time signal depends on the C library.
    pub fn signal(self) -> i32 {
        match self {
            Self::Data => libc::SIGUSR1,
            Self::Stats => libc::SIGUSR2,
            Self::StatsClear => libc::SIGRTMAX() - 1,
            Self::Json => libc::SIGRTMIN() + 2,
        }
    }
}

/// Writes the files on their signals.
#[derive(Debug)]
pub struct Dumps {
    signals: Vec<(Dump, Signal)>,
}

impl Dumps {
    /// From here on the signals do not end the process. Must be called within a runtime.
    ///
    /// # Errors
    /// A signal cannot be caught.
    pub fn open() -> io::Result<Self> {
        let caught = |dump: Dump| Ok((dump, signal(SignalKind::from_raw(dump.signal()))?));
        Ok(Self { signals: Dump::ALL.into_iter().map(caught).collect::<io::Result<_>>()? })
    }

    /// Serves signals as long as it is polled.
    ///
    /// # Errors
    /// No thread can be started.
    pub async fn serve(mut self, context: SharedContext) -> io::Result<()> {
        let (orders, taken) = sync_channel(WAITING);
        // Not joined: the end of the daemon does not wait for the disk.
        Builder::new().name("dump".to_owned()).spawn(move || write_on_order(&taken, &context))?;
        loop {
            let dump = self.next().await;
            order(&orders, dump);
        }
    }

    async fn next(&mut self) -> Dump {
        let caught = self.signals.iter_mut().map(|(dump, signal)| {
            Box::pin(async move {
                signal.recv().await;
                *dump
            })
        });
        select_all(caught).await.0
    }
}

fn order(orders: &SyncSender<Dump>, dump: Dump) {
    if orders.try_send(dump).is_err() {
        warn!(what = dump.word(), "dump dropped: earlier ones wait for the disk");
    }
}

/// Ends when the sender is dropped.
fn write_on_order(orders: &Receiver<Dump>, context: &SharedContext) {
    let mut writer = Writer::new(context);
    for dump in orders {
        let (path, outcome) = writer.write(dump);
        match outcome {
            Ok(()) => debug!(path = %path.display(), "dump written"),
            Err(error) => warn!(path = %path.display(), %error, "cannot write the dump"),
        }
    }
}

/// The files of one daemon.
#[derive(Debug)]
pub struct Writer<'a> {
    context: &'a SharedContext,
    /// The counts when the statistics were cleared.
    cleared: HashMap<InstanceId, Tally>,
}

impl<'a> Writer<'a> {
    pub fn new(context: &'a SharedContext) -> Self {
        Self { context, cleared: HashMap::new() }
    }

    /// Replaces one file. Also returns its path.
    pub fn write(&mut self, dump: Dump) -> (PathBuf, io::Result<()>) {
        let context = &*self.context.now();
        let settings = &context.config.globals.dumps;
        let path = |configured: &Option<Arc<str>>, name: &str| match configured {
            Some(path) => PathBuf::from(&**path),
            None => std::env::temp_dir().join(named(name, &context.config.globals.process)),
        };
        let now = tally::all(context);
        let cleared = |id| self.cleared.get(&id).copied().unwrap_or_default();
        let tallies: Vec<Tally> = now.iter().map(|(id, now)| now.since(&cleared(*id))).collect();
        let (path, text) = match dump {
            Dump::Data => (path(&settings.state, "keepalived.data"), data(context)),
            Dump::Stats | Dump::StatsClear => {
                (path(&settings.stats, "keepalived.stats"), stats::stats(context, &tallies))
            }
            Dump::Json => (path(&settings.json, "keepalived.json"), json::json(context, &tallies)),
        };
        if dump == Dump::StatsClear {
            self.cleared = now.into_iter().collect();
        }
        let outcome = replace(&path, &text);
        (path, outcome)
    }
}

/// `keepalived.data`, or `keepalived.NAME.data` for one daemon among several.
fn named(file: &str, process: &ProcessSettings) -> String {
    match (&process.instance, file.split_once('.')) {
        (Some(instance), Some((name, kind))) if process.dumps_by_instance => {
            format!("{name}.{instance}.{kind}")
        }
        _ => file.to_owned(),
    }
}

/// Replaces a file as a whole, so that a reader sees either the old or the new one. Mode 0600, as keepalived's own are;
/// symbolic links at either path are replaced and not followed, as any user may place some in /tmp.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let _ = fs::remove_file(&aside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}
