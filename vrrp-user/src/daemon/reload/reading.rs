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

use super::{LISTED, ReloadKind, Request};
use crate::config::{Change, Config, Diagnostic, Loaded, Progress, Reader};
use crate::daemon::load::{self, LoadError, Usable};
use crate::daemon::neighbours::{self, Baton};
use crate::daemon::process::options::RunOptions;
use crate::daemon::process::preflight::Notice;
use crate::daemon::process::{fit, preflight};

/// Time limit for the files. The largest configuration is read in a few seconds; a mount whose server is gone never
/// answers.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// Longest wait for another daemon that starts or reloads, within that limit.
const BATON_WAIT: Duration = Duration::from_secs(3);

/// Readings that have missed the deadline and still hold a thread each.
const HANGING_MAX: usize = 8;

/// Outcome of a reading: a configuration to change over to, or its findings, one each.
pub type Outcome = Result<Ready, Vec<String>>;

/// A configuration that can be used here.
#[derive(Debug)]
pub struct Ready {
    pub(super) config: Config,
    /// The file's, from which it follows.
    pub(super) loaded: Arc<Loaded>,
    /// Settings that are legal, and cannot do what is expected of them.
    pub(super) traps: Vec<Diagnostic>,
    /// Findings about what was removed from it.
    pub(super) notices: Vec<Notice>,
    /// Findings about this host.
    pub(super) host_findings: Vec<String>,
    /// Differences from the configuration in use.
    pub(super) changes: Vec<Change>,
    /// Until it is in use, as other daemons see it.
    pub(super) baton: Option<Baton>,
}

impl Ready {
    /// All findings, one each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let of_file = self.loaded.diagnostics.iter().chain(&self.traps).map(ToString::to_string);
        let of_host = self.notices.iter().map(ToString::to_string).chain(self.host_findings.iter().cloned());
        let of_host = of_host.map(|line| format!("warning: on this host: {line}"));
        let mut all: Vec<String> = of_file.chain(of_host).collect();
        if all.len() > LISTED {
            let more = all.split_off(LISTED).len();
            all.push(format!("warning: and {more} more"));
        }
        all
    }
}

/// What a reading is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReadingPurpose {
    /// To change over to the file.
    Apply,
    /// To say what would change.
    Try,
    /// To go back to an earlier configuration.
    Return,
}

/// A reading that has ended.
#[derive(Debug)]
pub struct Ended {
    pub outcome: Outcome,
    /// The requests that it answers.
    pub requests: Vec<Request>,
    pub purpose: ReadingPurpose,
}

/// The present reading, the requests that it answers, and those for the next.
#[derive(Debug, Default)]
pub struct ConfigurationReadings {
    current: Option<Current>,
    served: Vec<Request>,
    next: Option<NextReading>,
    /// The configuration to go back to, and the baton if it is there already; comes before `next`.
    back: Option<(Arc<Loaded>, Option<Baton>)>,
    /// Each reading thread holds a reference.
    threads: Arc<()>,
}

#[derive(Debug, Default)]
struct NextReading {
    requests: Vec<Request>,
    /// A signal, which awaits no answer.
    has_signal: bool,
}

impl NextReading {
    /// Requests whose clients have not given up.
    fn awaited(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(|request| !request.answer.is_closed())
    }
}

#[derive(Debug)]
struct Current {
    purpose: ReadingPurpose,
    answered: oneshot::Receiver<Outcome>,
    due: Instant,
    progress: Progress,
}

impl ConfigurationReadings {
    /// Asks for a reading that begins from now on; `None` is a signal, which awaits no answer.
    pub fn ask(&mut self, request: Option<Request>) {
        let next = self.next.get_or_insert_default();
        next.has_signal |= request.is_none();
        // Clients that have given up.
        next.requests.retain(|request| !request.answer.is_closed());
        next.requests.extend(request);
    }

    pub fn is_running(&self) -> bool {
        self.current.is_some()
    }

    /// Asks for a return to an earlier configuration. A baton is kept until it is in use.
    pub fn ask_return(&mut self, before: Arc<Loaded>, baton: Option<Baton>) {
        self.back = Some((before, baton));
    }

    /// Whether a reading is to begin, and none is running.
    pub fn is_due(&self) -> bool {
        let is_awaited = |next: &NextReading| next.has_signal || next.awaited().next().is_some();
        self.current.is_none() && (self.next.as_ref().is_some_and(is_awaited) || self.back.is_some())
    }

    /// Purpose of the next reading.
    pub fn purpose(&self) -> ReadingPurpose {
        let tries =
            |next: &NextReading| !next.has_signal && next.awaited().all(|it| it.ask == ReloadKind::Try);
        match &self.next {
            _ if self.back.is_some() => ReadingPurpose::Return,
            Some(next) if tries(next) => ReadingPurpose::Try,
            _ => ReadingPurpose::Apply,
        }
    }

    /// Begins the reading that was asked for. Must be called within a runtime.
    pub fn begin(&mut self, options: &RunOptions, sign: Option<Arc<str>>, current: Option<Arc<Loaded>>) {
        let purpose = self.purpose();
        let back = self.back.take();
        self.served = match purpose {
            ReadingPurpose::Return => Vec::new(),
            ReadingPurpose::Apply | ReadingPurpose::Try => self.next.take().unwrap_or_default().requests,
        };
        let sign = sign.filter(|_| purpose == ReadingPurpose::Apply);
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
                let outcome = prepare(&reader, &options, back, current.as_deref());
                drop((sign, held));
                // Fails after the deadline: the result is discarded.
                let _ = answer.send(outcome);
            });
        }
        self.current = Some(Current { purpose, answered, due: Instant::now() + LIMIT, progress });
    }

    /// The present reading, once it has ended; pending while there is none.
    pub async fn ended(&mut self) -> Ended {
        let Some(Current { purpose, answered, due, progress }) = &mut self.current else {
            return pending().await;
        };
        let outcome = match timeout_at(*due, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(vec!["reading the configuration has failed; see the log".to_owned()]),
            Err(_) => Err(vec![format!(
                "{} has not been read within {LIMIT:?}: its file system does not answer, or the configuration is \
                 too large; mend that, or name another file, and reload",
                progress.now()
            )]),
        };
        let purpose = *purpose;
        self.current = None;
        Ended { outcome, requests: std::mem::take(&mut self.served), purpose }
    }
}

fn prepare(
    reader: &Reader,
    options: &RunOptions,
    back: Option<(Arc<Loaded>, Option<Baton>)>,
    current: Option<&Loaded>,
) -> Outcome {
    let (back, baton) = back.map_or((None, None), |(back, baton)| (Some(back), baton));
    let usable = back.map_or_else(|| load::load(reader, options), load::usable);
    let Usable { mut config, loaded } = usable.map_err(|error: LoadError| error.findings())?;
    let baton = baton.or_else(|| Baton::wait(BATON_WAIT));
    let clashes = neighbours::clashes(&config, &options.runtime_dir);
    if !clashes.is_empty() {
        return Err(clashes);
    }
    let notices = preflight::scripts(&mut config);
    let host_findings = fit::findings(&config).into_iter().map(|it| it.text).collect();
    let changes = current.map(|current| current.changes_to(&loaded)).unwrap_or_default();
    let traps = loaded.traps();
    Ok(Ready { config, loaded, traps, notices, host_findings, changes, baton })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Tolerance, parse};
    use crate::daemon::process::options::{ProcessOptions, XdpMode};

    const SOON: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(60);

    fn options() -> RunOptions {
        RunOptions {
            config: "/nowhere".into(),
            config_id: None,
            tolerance: Tolerance::default(),
            runtime_dir: "/nowhere".into(),
            metrics: None,
            mode: XdpMode::Socket,
            strict_start: false,
            hot_restart: false,
            bridge: None,
            realtime: false,
            control_group: None,
            status_group: None,
            process: ProcessOptions::default(),
        }
    }

    /// Otherwise the other daemon would find this one before it has given way.
    #[tokio::test]
    async fn the_baton_is_kept_until_the_way_back_is_over() {
        let text = "vrrp_instance VI_1 {\ninterface lo\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.1/24\n}\n}\n";
        let before = Arc::new(parse("before", text).unwrap());
        let baton = Baton::take(LONG, |_| ()).unwrap();
        let mut readings = ConfigurationReadings::default();
        readings.ask_return(before, Some(baton));
        assert_eq!(readings.purpose(), ReadingPurpose::Return);
        readings.begin(&options(), None, None);
        let ended = readings.ended().await;
        assert!(ended.outcome.is_ok(), "{:?}", ended.outcome);
        assert!(
            Baton::take(SOON, |_| ()).is_err(),
            "another daemon could look before the configuration is in use"
        );
        drop(ended);
        Baton::take(LONG, |_| ()).unwrap();
    }
}
