//! Reading of a new configuration, beside the main thread.
//!
//! Enters: requests to reload. Leaves: by the deadline, the outcome of a reading, and the requests that it answers.
//! Absent: the use of the outcome. Readings run one at a time. A request that comes meanwhile is answered by the next
//! one, as the files may have changed behind the present one.

use std::fs::{self, OpenOptions};
use std::future::pending;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::Request;
use crate::config::{Config, Diagnostic, Progress, Reader};
use crate::daemon::process::options::RunOptions;
use crate::daemon::process::preflight;
use crate::daemon::run::{self, Usable};

/// Time limit for the files. The largest configuration is read in a few seconds; a mount whose server is gone never
/// answers.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// Readings that have missed the deadline and still hold a thread each.
const HANGING_MAX: usize = 8;

/// Outcome of a reading: a configuration to change over to, or its findings, one each.
pub type Outcome = Result<Ready, Vec<String>>;

/// A configuration that can be used here.
#[derive(Debug)]
pub struct Ready {
    pub(super) config: Config,
    pub(super) warnings: Vec<Diagnostic>,
    /// Findings about what was removed from it.
    pub(super) notices: Vec<String>,
}

/// The present reading, the requests that it answers, and those for the next.
#[derive(Debug, Default)]
pub struct Readings {
    current: Option<Current>,
    served: Vec<Request>,
    next: Option<Vec<Request>>,
    /// Each reading thread holds a reference.
    threads: Arc<()>,
}

#[derive(Debug)]
struct Current {
    answered: oneshot::Receiver<Outcome>,
    due: Instant,
    progress: Progress,
}

impl Readings {
    /// Asks for a reading that begins from now on; `None` is a signal, which awaits no answer.
    pub fn ask(&mut self, request: Option<Request>) {
        self.next.get_or_insert_default().extend(request);
    }

    /// Whether a reading is to begin, and none is running.
    pub fn is_due(&self) -> bool {
        self.current.is_none() && self.next.is_some()
    }

    /// Begins the reading that was asked for. Must be called within a runtime.
    pub fn begin(&mut self, options: &RunOptions, sign: Option<Arc<str>>) {
        self.served = self.next.take().unwrap_or_default();
        let reader = options.reader();
        let progress = reader.progress();
        let (answer, answered) = oneshot::channel();
        if Arc::strong_count(&self.threads) > HANGING_MAX {
            // Awaited below.
            let _ = answer.send(Err(vec![format!(
                "{HANGING_MAX} earlier readings still wait for a file system that does not answer; unmount it \
                 (umount -l), then reload"
            )]));
        } else {
            let (options, held) = (options.clone(), Arc::clone(&self.threads));
            spawn_blocking(move || {
                let sign = sign.as_deref().map(Sign::set);
                let outcome = prepare(&reader, &options);
                drop((sign, held));
                // Fails after the deadline: the result is discarded.
                let _ = answer.send(outcome);
            });
        }
        self.current = Some(Current { answered, due: Instant::now() + LIMIT, progress });
    }

    /// The outcome of the present reading, and the requests that it answers; pending while there is none.
    pub async fn ended(&mut self) -> (Outcome, Vec<Request>) {
        let Some(Current { answered, due, progress }) = &mut self.current else { return pending().await };
        let outcome = match timeout_at(*due, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(vec!["reading the configuration has failed; see the log".to_owned()]),
            Err(_) => Err(vec![format!(
                "{} has not been read within {LIMIT:?}: its file system does not answer, or the configuration is \
                 too large; mend that, or name another file, and reload",
                progress.now()
            )]),
        };
        self.current = None;
        (outcome, std::mem::take(&mut self.served))
    }
}

fn prepare(reader: &Reader, options: &RunOptions) -> Outcome {
    let Usable { mut config, warnings, .. } = run::load(reader, options).map_err(|error| error.findings())?;
    let notices = preflight::scripts(&mut config);
    Ok(Ready { config, warnings, notices })
}

/// The file of `reload_file`, which exists while the configuration is read.
struct Sign<'a>(&'a str);

impl<'a> Sign<'a> {
    fn set(path: &'a str) -> Self {
        // Opening a FIFO in its place would wait for a reader.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).custom_flags(libc::O_NONBLOCK);
        if let Err(error) = options.open(path) {
            warn!(path, %error, "cannot create the file of reload_file");
        }
        Self(path)
    }
}

impl Drop for Sign<'_> {
    fn drop(&mut self) {
        // Another process may have removed it.
        let _ = fs::remove_file(self.0);
    }
}
