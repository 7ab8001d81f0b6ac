//! The ordinary thread: everything that may wait, on one tokio runtime.
//!
//! Enters: reports of the engine, signals, requests and scrapes. Leaves: logs, hooks, answers, and [`Input`]s for the
//! engine: results of checks, and the shutdown. Absent: anything that the engine would have to wait for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tracing::{info, warn};

use super::control::{Control, ControlError};
use super::dump::{self, Dumps};
use super::metrics::{BindError, Metrics};
use super::notify::Notifier;
use super::options::RunOptions;
use super::queue::{Input, Queue, Report};
use super::report::Reporter;
use super::runtime_dir::RuntimeDir;
use super::status::Sources;
use super::watchdog;
use crate::driver::probe::script::{Round, ScriptProbe};
use crate::driver::process::{Identity, IdentityError};
use crate::protocol::{Event, State};

/// Longest time that the engine may take to release its addresses.
const ENGINE_LIMIT: Duration = Duration::from_secs(5);

/// Between two looks at what systemd is told.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// Everything of the ordinary thread, bound and ready.
#[derive(Debug)]
pub struct Service {
    sources: Arc<Sources>,
    inputs: Queue<Input>,
    reporter: Reporter,
    notifier: Notifier,
    probes: Vec<ScriptProbe>,
    control: Control,
    metrics: Option<Metrics>,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    dumps: Dumps,
    dump_at_start: bool,
}

#[derive(Debug, Error)]
pub enum ServiceError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Metrics(#[from] BindError),
    #[error("a script cannot run: {0}")]
    Identity(#[from] IdentityError),
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
    #[error("the engine has stopped by itself")]
    EngineStopped,
    #[error("the engine has not stopped within {ENGINE_LIMIT:?}; its addresses may still be set")]
    EngineStuck,
}

impl Service {
    /// Binds everything that can be refused. Must be called within a runtime.
    ///
    /// # Errors
    /// An address or socket is taken, or a script's user does not exist.
    pub async fn open(
        options: &RunOptions,
        folder: &RuntimeDir,
        sources: Arc<Sources>,
        inputs: Queue<Input>,
        reports: Queue<Report>,
    ) -> Result<Self, ServiceError> {
        let (config, record) = (&sources.config, &sources.record);
        let probes = config.scripts.iter().map(|script| {
            let identity = Identity::resolve(script.user.as_ref(), config.globals.script_user.as_ref())?;
            Ok(ScriptProbe::new(script, identity))
        });
        let probes = probes.collect::<Result<_, IdentityError>>()?;
        let metrics = match options.metrics {
            Some(address) => Some(Metrics::bind(address).await?),
            None => None,
        };
        Ok(Self {
            reporter: Reporter::new(reports, Arc::clone(config), Arc::clone(record))?,
            notifier: Notifier::new(config, &sources.router_id, record)?,
            probes,
            control: Control::bind(folder)?,
            metrics,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            dumps: Dumps::open()?,
            dump_at_start: options.process.dump_at_start,
            sources,
            inputs,
        })
    }

    /// Works until SIGTERM or SIGINT, then has the engine release its addresses and tells hooks `STOP`. Call it when
    /// the engine runs: it tells systemd that the daemon is ready.
    ///
    /// # Errors
    /// The engine stopped without being told to, or does not stop.
    pub async fn run(self) -> Result<(), ServiceError> {
        let Self {
            sources,
            inputs,
            mut reporter,
            mut notifier,
            probes,
            control,
            metrics,
            mut terminate,
            mut interrupt,
            hangup,
            dumps,
            dump_at_start,
        } = self;
        let mut tasks = JoinSet::new();
        tasks.spawn(control.serve(Arc::clone(&sources)));
        if let Some(metrics) = metrics {
            serve_metrics(&mut tasks, metrics, &sources);
        }
        for probe in probes {
            tasks.spawn(probe.run(deliver(&sources, &inputs)));
        }
        tasks.spawn(tell_systemd(Arc::clone(&sources)));
        tasks.spawn(disregard("SIGHUP", hangup));
        tasks.spawn(serve_dumps(dumps, Arc::clone(&sources)));
        tasks.spawn(watchdog::feed(Arc::clone(&sources), inputs.clone()));
        if dump_at_start {
            for line in dump::data(&sources).lines() {
                info!("{line}");
            }
        }
        // The process that systemd knows may be the one that this one was forked from.
        tell(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);

        let stopped_by_itself = tokio::select! {
            stopped = reporter.run(&mut notifier) => { stopped?; true }
            _ = terminate.recv() => false,
            _ = interrupt.recv() => false,
        };
        tell(&[NotifyState::Stopping]);
        let outcome = if stopped_by_itself {
            Err(ServiceError::EngineStopped)
        } else {
            info!("stopping");
            let release = async {
                while !inputs.push(Input::Event(Event::Shutdown)) {
                    sleep(Duration::from_millis(1)).await;
                }
                reporter.run(&mut notifier).await
            };
            match timeout(ENGINE_LIMIT, release).await {
                Ok(stopped) => stopped.map_err(ServiceError::Io),
                Err(_) => Err(ServiceError::EngineStuck),
            }
        };
        // Ends checks that are running.
        tasks.shutdown().await;
        notifier.stop().await;
        outcome
    }
}

fn serve_metrics(tasks: &mut JoinSet<()>, metrics: Metrics, sources: &Arc<Sources>) {
    if let Ok(address) = metrics.address() {
        info!(%address, "metrics are served");
    }
    let sources = Arc::clone(sources);
    tasks.spawn(async move {
        if let Err(error) = metrics.serve(sources).await {
            warn!(%error, "metrics are not served any more");
        }
    });
}

/// keepalived reloads on it; by default it would end the daemon without a release.
async fn disregard(name: &'static str, mut signal: Signal) {
    while signal.recv().await.is_some() {
        warn!("{name} does nothing; restart to take a changed configuration, `vrrpx status` shows the state");
    }
}

async fn serve_dumps(dumps: Dumps, sources: Arc<Sources>) {
    if let Err(error) = dumps.serve(sources).await {
        warn!(%error, "no dumps are written");
    }
}

/// What becomes of the rounds of a check.
fn deliver(sources: &Arc<Sources>, inputs: &Queue<Input>) -> impl FnMut(&Round) -> bool + Send + use<> {
    let (sources, inputs) = (Arc::clone(sources), inputs.clone());
    move |round| {
        sources.record.check(*round);
        if !round.news {
            return true;
        }
        let script = sources.config.scripts.iter().find(|script| script.id == round.track);
        let check = script.map_or("?", |script| &*script.name);
        if round.up {
            info!(check, end = %round.run.end, "check is up");
        } else {
            warn!(check, end = %round.run.end, lasted = ?round.run.lasted, "check is down");
        }
        inputs.push(Input::Event(Event::Track(round.track, round.up)))
    }
}

/// Keeps the status line of the unit true.
async fn tell_systemd(sources: Arc<Sources>) {
    let mut due = interval(STATUS_EVERY);
    let mut told = String::new();
    loop {
        due.tick().await;
        let summary = summary(&sources);
        if summary != told {
            tell(&[NotifyState::Status(&summary)]);
            told = summary;
        }
    }
}

fn summary(sources: &Sources) -> String {
    let count = |state| sources.board.instances.iter().filter(|board| board.state() == state).count();
    let counts = State::ALL.map(|state| (state, count(state)));
    let words = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {}", state.as_str()));
    words.collect::<Vec<_>>().join(", ")
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd cannot be told");
    }
}
