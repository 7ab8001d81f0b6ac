//! The reading of another configuration, beside the main thread.
//!
//! Enters: requests to reload. Leaves: by the deadline, what was read for which of them. Absent: what is done with it.
//! One reading goes on at a time. A request that comes meanwhile is answered by the next one, as the files may have
//! changed behind the reading that goes on.

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

/// For the files. The largest configuration is read in a few seconds; a mount whose server is gone never answers.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// Readings that have missed the deadline and still hold a thread each.
const HANGING_MAX: usize = 8;

/// What a reading has found: a configuration to change over to, or what is wrong with it, one finding each.
pub type Outcome = Result<Ready, Vec<String>>;

/// A configuration that can be used here.
#[derive(Debug)]
pub struct Ready {
    pub(super) config: Config,
    pub(super) warnings: Vec<Diagnostic>,
    /// What was taken out of it.
    pub(super) notices: Vec<String>,
}

/// The reading that goes on, and who waits for it and for the next.
#[derive(Debug, Default)]
pub struct Readings {
    current: Option<Current>,
    served: Vec<Request>,
    next: Option<Vec<Request>>,
    /// Each thread that reads has one more.
    threads: Arc<()>,
}

#[derive(Debug)]
struct Current {
    answered: oneshot::Receiver<Outcome>,
    due: Instant,
    progress: Progress,
}

impl Readings {
    /// Asks for a reading that begins from now on; by a signal nobody waits for an answer.
    pub fn ask(&mut self, request: Option<Request>) {
        self.next.get_or_insert_default().extend(request);
    }

    /// Whether a reading is to begin, and none goes on.
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
            // It is waited for below.
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
                // Nobody waits any more where it came too late.
                let _ = answer.send(outcome);
            });
        }
        self.current = Some(Current { answered, due: Instant::now() + LIMIT, progress });
    }

    /// The outcome of the reading that goes on, and the requests that it answers; never, while none goes on.
    pub async fn ended(&mut self) -> (Outcome, Vec<Request>) {
        let Some(Current { answered, due, progress }) = &mut self.current else { return pending().await };
        let outcome = match timeout_at(*due, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(vec!["the reading of the configuration has failed; see the log".to_owned()]),
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

/// The file that is there while the configuration is read.
struct Sign<'a>(&'a str);

impl<'a> Sign<'a> {
    fn set(path: &'a str) -> Self {
        // A FIFO in its place would wait for a reader.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).custom_flags(libc::O_NONBLOCK);
        if let Err(error) = options.open(path) {
            warn!(path, %error, "the file of reload_file cannot be made");
        }
        Self(path)
    }
}

impl Drop for Sign<'_> {
    fn drop(&mut self) {
        // Another process may have taken it away.
        let _ = fs::remove_file(self.0);
    }
}
