//! The main thread: everything that may wait, on one tokio runtime.
//!
//! Enters: reports of the engine, signals and orders. Leaves: logs, hooks, answers, and [`Input`]s for the engine:
//! results of checks, and the shutdown. Absent: anything that the engine would have to wait for, and clients that only
//! read, which are [`readers`](super::readers)'.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Gid;
use sd_notify::NotifyState;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::auth::MarkStore;
use super::checks::{CheckError, Checks, PreparedChecks};
use super::control::{Control, ControlError, SocketGroups};
use super::dump::{self, Dumps};
use super::essential::unpanicked;
use super::host::interfaces::Order;
use super::host_faults::{Finder, HostFault, RETRY};
use super::hot_restart::bridge;
use super::hot_restart::{self, RouterSnapshot};
use super::http::Http;
use super::notify::Notifier;
use super::notify::hooks::LeftHooks;
use super::process::heartbeat::Heartbeat;
use super::process::options::RunOptions;
use super::process::runtime_dir::RuntimeDir;
use super::process::systemd;
use super::process::watchdog;
use super::process::writable;
use super::queue::{Command, Input, Queue, Report};
use super::readers::Readers;
use super::reload::{ConfigurationReadings, Ended, ReadingPurpose, ReloadKind, Reloader, Request};
use super::report::{Reporter, ReporterEvent};
use super::status::{DaemonContext, SharedContext};
use super::steering::{Desk, OrderLock};
use super::wire_warnings;
use crate::config::Loaded;
use crate::driver::accounts;
use crate::driver::ownership;
use crate::protocol::Event;

/// Longest time that the engine may take to hand its addresses over; the protocol waits 10 s at most for the new
/// master.
const ENGINE_LIMIT: Duration = Duration::from_secs(15);

/// How long an address for HTTP that cannot be bound is no fault, and the pause between two attempts meanwhile.
const BIND_SOON: Duration = Duration::from_secs(5);
const BIND_PAUSE: Duration = Duration::from_millis(100);

/// Everything of the main thread, bound and ready.
#[derive(Debug)]
pub struct Service {
    reloader: Reloader,
    requests: mpsc::Receiver<Request>,
    successors: mpsc::Receiver<UnixStream>,
    inputs: Queue<Input>,
    heartbeat: Heartbeat,
    reporter: Reporter,
    notifier: Notifier,
    checks: Checks,
    prepared: PreparedChecks,
    control: Control,
    desk: Desk,
    order_lock: Arc<OrderLock>,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    dumps: Dumps,
    dump_at_start: bool,
    store: Arc<MarkStore>,
    readers: Readers,
}

#[derive(Debug, Error)]
pub enum ServiceError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("there is no group {0}; name one that exists, or its number")]
    Group(String),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
    #[error("the engine has stopped unexpectedly")]
    EngineStopped,
    #[error("the engine has not stopped within {ENGINE_LIMIT:?}; its addresses may still be set")]
    EngineStuck,
}

impl Service {
    /// Binds every socket but that of HTTP. Must be called within a runtime.
    ///
    /// # Errors
    /// A socket is taken, or a check cannot run.
    pub async fn open(
        options: &RunOptions,
        folder: &RuntimeDir,
        context: Arc<DaemonContext>,
        inputs: Queue<Input>,
        reports: Queue<Report>,
        orders: mpsc::Sender<Order>,
        store: Arc<MarkStore>,
    ) -> Result<Self, ServiceError> {
        let (config, history) = (&context.config, &context.history);
        if options.bridge.is_some() {
            history.bridge();
        }
        let checks = Checks::new(inputs.clone());
        let prepared = checks.prepare(config).await?;
        // In a hot restart, the state begins with the other daemon's.
        if ownership::is_ours() {
            checks.begin(config)?;
        }
        let (request, requests) = mpsc::channel(1);
        let (successor, successors) = mpsc::channel(1);
        let (call, calls) = mpsc::channel(1);
        let shared = SharedContext::from(Arc::clone(&context));
        let runtime_dir = options.runtime_dir.clone();
        let order_lock = Arc::<OrderLock>::default();
        let desk = Desk {
            shared: shared.clone(),
            inputs: inputs.clone(),
            runtime_dir,
            calls,
            order_lock: Arc::clone(&order_lock),
        };
        let groups = SocketGroups {
            control: group(options.control_group.as_deref())?,
            status: group(options.status_group.as_deref())?,
        };
        let control = Control::bind(folder, groups)?.with_reloads(request);
        Ok(Self {
            reporter: Reporter::new(reports, Arc::clone(config), Arc::clone(history))?,
            notifier: Notifier::new(config, &context.router_id, history),
            checks,
            prepared,
            control: control.with_successors(successor).with_desk(call),
            desk,
            order_lock,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            dumps: Dumps::open()?,
            dump_at_start: options.process.dump_at_start,
            reloader: Reloader::new(options.clone(), shared, orders),
            requests,
            successors,
            heartbeat: Heartbeat::new(inputs.clone()),
            inputs,
            store,
            readers: Readers::start()?,
        })
    }

    /// Notes the configuration in use, which a reload is compared with.
    #[must_use]
    pub fn running(mut self, loaded: Arc<Loaded>) -> Self {
        self.reloader.running(loaded);
        self
    }

    /// Has the watchdog watch the effect thread too, which reads these commands.
    #[must_use]
    pub fn with_effect(self, commands: Queue<Command>) -> Self {
        Self { heartbeat: self.heartbeat.with_effect(commands), ..self }
    }

    /// Answers other daemons of the network namespace on this socket. Must be called within a runtime.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn with_neighbours(mut self, listener: UnixListener) -> Result<Self, ServiceError> {
        self.control = self.control.with_neighbours(listener)?;
        Ok(self)
    }

    /// The context, of which a reload makes another.
    pub fn shared(&self) -> SharedContext {
        self.reloader.shared.clone()
    }

    /// Restores the previous daemon's state: its notifications are not repeated, and its checks keep their results.
    pub fn restore(&mut self, snapshot: &RouterSnapshot) {
        self.checks.restore(snapshot, &self.reloader.shared.now().config);
        for (id, instance_snapshot) in &snapshot.instances {
            self.notifier.restore(*id, instance_snapshot);
        }
        snapshot.hooks.iter().for_each(|left| self.notifier.continue_hooks(left));
        let history = &self.reloader.shared.now().history;
        for (id, instance_snapshot) in &snapshot.instances {
            history.resumed(*id, instance_snapshot.since);
        }
        snapshot.rows.iter().for_each(|(id, rows)| history.keep_rows(*id, rows));
    }

    /// Works until SIGTERM or SIGINT, then has the engine release its addresses and notifies hooks of `STOP`; or until
    /// another daemon has replaced this one, of which hooks are not notified. Call it when the engine runs: it notifies
    /// systemd that the daemon is ready.
    ///
    /// # Errors
    /// The engine stopped unasked, or does not stop.
    pub async fn run(self, folder: &RuntimeDir) -> Result<(), ServiceError> {
        let Self {
            mut reloader,
            requests: mut asked,
            mut successors,
            inputs,
            heartbeat,
            mut reporter,
            mut notifier,
            mut checks,
            prepared,
            control,
            desk,
            order_lock,
            mut terminate,
            mut interrupt,
            mut hangup,
            dumps,
            dump_at_start,
            store,
            readers,
        } = self;
        let mut tasks = JoinSet::new();
        let shared = &reloader.shared.clone();
        let (steering, reading) = control.split(shared.clone());
        let steering = async { match steering.await {} };
        let reading = async { match reading.await {} };
        tasks.spawn(unpanicked("the task of the control socket", steering));
        tasks.spawn_on(unpanicked("the task of the status socket", reading), readers.handle());
        tasks.spawn(unpanicked("the task of orders", desk.run()));
        if let Some(address) = reloader.options.metrics {
            let serve = serve_http(address, shared.clone(), heartbeat.clone());
            let serve = async { match serve.await {} };
            tasks.spawn_on(unpanicked("the task of HTTP", serve), readers.handle());
        }
        checks.settle(prepared, &shared.now().config, shared);
        let watch = writable::watch(folder.path().to_owned(), shared.clone());
        tasks.spawn(unpanicked("the task of the runtime directory", async { match watch.await {} }));
        tasks.spawn(unpanicked("the task of systemd's status", systemd::keep_status(shared.clone())));
        let (news, mut peers) = wire_warnings::channel();
        tasks.spawn(unpanicked("the task of warnings", wire_warnings::report(shared.clone(), news)));
        tasks.spawn(unpanicked("the task of dumps", serve_dumps(dumps, shared.clone())));
        let keeping = Arc::clone(&store).keep(shared.clone());
        tasks.spawn(unpanicked("the task of authentication's state", keeping));
        tasks.spawn(unpanicked("the task of the watchdog", watchdog::feed(shared.now(), heartbeat)));
        if dump_at_start {
            for line in dump::data(&shared.now()).lines() {
                info!("{line}");
            }
        }
        // systemd may know the process that this one was forked from.
        systemd::notify(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);

        let (mut bridge, mut limit) = (None, reloader.options.bridge);
        let mut due = pin!(sleep(limit.unwrap_or_default()));
        let mut readings = ConfigurationReadings::default();
        let end = loop {
            // Another reload that is being read keeps the present one, or starts its time again.
            let has_passed = reloader.due().is_some_and(|due| due <= Instant::now());
            if has_passed && !readings.is_running() {
                reloader.go_back(&mut readings);
            }
            if readings.is_due() {
                reloader.begin(&mut readings);
            }
            let undone = reloader.due().filter(|_| !readings.is_running());
            let ended = tokio::select! {
                passed = reporter.run(&mut notifier) => match passed? {
                    ReporterEvent::Stopped => break End::ByItself,
                    ReporterEvent::Reconfigured => continue,
                },
                _ = terminate.recv() => {
                    if bridge.is_some() {
                        break End::Requested;
                    }
                    bridge = bridge::begin(&reloader.options).await;
                    if bridge.is_none() {
                        break End::Requested;
                    }
                    limit = Some(bridge::PATIENCE);
                    due.as_mut().reset(Instant::now() + bridge::PATIENCE);
                    continue;
                }
                _ = interrupt.recv() => break End::Requested,
                () = bridge::end(bridge.as_mut()) => break End::Requested,
                () = &mut due, if limit.is_some() => {
                    warn!("no new daemon has come within {:?}; ending", limit.unwrap_or_default());
                    break End::Requested;
                }
                Some(client) = successors.recv() => {
                    // Once the engine has paused, its reports are final.
                    let prepare = |context: &DaemonContext| {
                        ownership::set_leaving(true);
                        store.close(context);
                        reporter.drain(&mut notifier);
                        notifier.hold()
                    };
                    let is_restarting = bridge.is_some();
                    match give_way(client, shared, &inputs, folder, &order_lock, prepare, is_restarting).await {
                        Ok(true) => break End::Followed,
                        Ok(false) => {}
                        Err(error) => {
                            warn!(%error, "the new daemon did not replace this one, which continues");
                            ownership::set_leaving(false);
                            notifier.release();
                        }
                    }
                    continue;
                }
                () = sleep_until(undone.unwrap_or_else(Instant::now)), if undone.is_some() => {
                    reloader.go_back(&mut readings);
                    continue;
                }
                clashes = reloader.clashes(), if !readings.is_running() => {
                    reloader.give_way(clashes, &mut readings);
                    continue;
                }
                _ = hangup.recv() => {
                    readings.ask(None);
                    continue;
                }
                Some(request) = asked.recv() => {
                    if request.ask == ReloadKind::Keep {
                        // The client may have gone.
                        let _ = request.answer.send(reloader.keep());
                    } else {
                        readings.ask(Some(request));
                    }
                    continue;
                }
                Some(news) = peers.recv() => {
                    notifier.peer_news(&news);
                    continue;
                }
                ended = readings.ended() => ended,
            };
            let requests = reloader.preview(&ended.outcome, ended.requests);
            if ended.purpose != ReadingPurpose::Try {
                let ended = Ended { requests, ..ended };
                reloader.end(ended, &mut reporter, &mut notifier, &mut checks).await;
            }
        };
        if matches!(end, End::Followed) {
            info!("another daemon continues in place of this one");
            checks.end().await;
            tasks.shutdown().await;
            notifier.leave().await;
            return Ok(());
        }
        systemd::notify(&[NotifyState::Stopping]);
        let outcome = if matches!(end, End::ByItself) {
            Err(ServiceError::EngineStopped)
        } else {
            info!("stopping");
            release(&mut reporter, &mut notifier, &inputs, [&mut terminate, &mut interrupt]).await
        };
        checks.end().await;
        tasks.shutdown().await;
        store.close(&reloader.shared.now());
        reloader.finish().await;
        notifier.stop().await;
        outcome
    }
}

/// A group by its name or number.
fn group(name: Option<&str>) -> Result<Option<Gid>, ServiceError> {
    let Some(name) = name else { return Ok(None) };
    if let Ok(number) = name.parse() {
        return Ok(Some(Gid::from_raw(number)));
    }
    let group = accounts::group_named(name).map_err(|errno| ServiceError::Io(errno.into()))?;
    group.map(Some).ok_or_else(|| ServiceError::Group(name.to_owned()))
}

/// Has the engine release its addresses, and waits until it has ended. After another of `signals`, it does not wait for
/// a new master.
async fn release(
    reporter: &mut Reporter,
    notifier: &mut Notifier,
    inputs: &Queue<Input>,
    [terminate, interrupt]: [&mut Signal; 2],
) -> Result<(), ServiceError> {
    let release = async {
        shut_down(inputs).await;
        loop {
            tokio::select! {
                passed = reporter.run(notifier) => if passed? == ReporterEvent::Stopped {
                    return Ok(());
                },
                _ = terminate.recv() => shut_down(inputs).await,
                _ = interrupt.recv() => shut_down(inputs).await,
            }
        }
    };
    match timeout(ENGINE_LIMIT, release).await {
        Ok(stopped) => stopped.map_err(ServiceError::Io),
        Err(_) => Err(ServiceError::EngineStuck),
    }
}

/// Why the service ends.
enum End {
    Requested,
    /// The engine has left its loop.
    ByItself,
    /// Another daemon has replaced this one.
    Followed,
}

/// Lets another daemon replace this one, if it asks for that. From then on this one owns nothing on the host.
async fn give_way(
    client: UnixStream,
    shared: &SharedContext,
    inputs: &Queue<Input>,
    folder: &RuntimeDir,
    order_lock: &OrderLock,
    prepare: impl FnOnce(&DaemonContext) -> Vec<LeftHooks>,
    restarting: bool,
) -> io::Result<bool> {
    let pid = client.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok());
    let (context, lock) = (shared.now(), folder.lock()?);
    let (settle, prepare) = (order_lock.close(), || prepare(&context));
    if !hot_restart::serve_successor(client, &context, inputs, lock.as_fd(), settle, prepare).await? {
        return Ok(false);
    }
    ownership::set_ours(false);
    // Reported by the process that systemd knows, before it ends. A restart waits for its end.
    if let Some(pid) = pid.filter(|_| !restarting) {
        // It may know nothing of the watchdog, which was this process's.
        systemd::notify(&[NotifyState::MainPid(pid), NotifyState::WatchdogUsec(0)]);
    }
    while !inputs.push(Input::Leave) {
        sleep(Duration::from_millis(1)).await;
    }
    Ok(true)
}

async fn shut_down(inputs: &Queue<Input>) {
    while !inputs.push(Input::Event(Event::Shutdown)) {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Serves HTTP as soon as the address can be bound: the other daemon of a hot restart may have it, and the host may get
/// it late. Monitoring never keeps the daemon from its work.
async fn serve_http(address: SocketAddr, shared: SharedContext, heartbeat: Heartbeat) -> Infallible {
    let since = Instant::now();
    let set = |faults| shared.now().history.host_faults.set(Finder::Http, faults);
    loop {
        match Http::bind(address).await {
            Ok(http) => {
                set(Vec::new());
                info!(%address, "metrics are served");
                return http.serve(shared, heartbeat).await;
            }
            Err(_) if since.elapsed() < BIND_SOON => sleep(BIND_PAUSE).await,
            Err(error) => {
                for HostFault { about, text } in set(vec![error.fault()]) {
                    warn!("{about}: {text}");
                }
                sleep(RETRY).await;
            }
        }
    }
}

async fn serve_dumps(dumps: Dumps, shared: SharedContext) {
    if let Err(error) = dumps.serve(shared).await {
        warn!(%error, "no dumps are written");
    }
}
