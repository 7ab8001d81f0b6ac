//! From a command line to a running daemon, in order.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::prctl::set_name;
use nix::sys::stat::{Mode, umask};
use nix::time::{ClockId, clock_gettime};
use thiserror::Error;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task;
use tracing::{info, warn};
use vrrp_ebpf::map::SLOTS_MAX;

use super::attach::Attachments;
use super::auth::Store;
use super::board::Board;
use super::effect::{Charge, Effect};
use super::engine::{Engine, Parts, Spawned};
use super::errand;
use super::firewall::Firewall;
use super::guard::{self, Guard};
use super::interfaces::{Interfaces, Order};
use super::options::{RunOptions, XdpMode};
use super::overrun;
use super::pid_files::{self, PidFileError, PidFiles};
use super::places::{self, PlaceError};
use super::preflight::{self, MissingCapabilities};
use super::queue::{Command, Input, Queue, Report};
use super::record::{Realtime, Record};
use super::runtime_dir::{ClaimError, RuntimeDir};
use super::secondaries::Secondaries;
use super::service::{Service, ServiceError};
use super::statics::Statics;
use super::status::Sources;
use super::takeover::{self, Legacy, Predecessor, TakeoverError};
use super::vmacs::Vmacs;
use crate::config::{Config, Diagnostic, Globals, Instance, ProcessSettings, Reader, Severity};
use crate::driver::clock;
use crate::driver::maps::Maps;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::netlink::{residue, route, rule};
use crate::driver::overrun::{Overruns, UNBROKEN};
use crate::driver::ownership;
use crate::driver::realtime::{EFFECT_PRIORITY, ENGINE_PRIORITY, Standing, lock_memory};
use crate::driver::xdp::{PinError, Pins, Program, Ring};
use crate::protocol::{Event, InstanceSettings};

/// Entries of the queues to and from the engine; 4096 instances may change state at once.
const QUEUE: usize = 8192;

/// Instances that a reload may bring a small configuration to.
const ROOM_MIN: usize = 64;

/// For the guard of a dead daemon to end, and for a daemon that has been taken over to let go of its own: that may have hooks
/// to wait for.
const GUARD_ENDS: Duration = Duration::from_secs(1);
const PREDECESSOR_ENDS: Duration = Duration::from_secs(30);

/// Why the daemon did not start, or ended.
#[derive(Debug, Error)]
pub enum RunError {
    #[error("{}", lines(.0))]
    Config(Vec<Diagnostic>),
    #[error(transparent)]
    Capabilities(#[from] MissingCapabilities),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
    #[error("interfaces cannot be followed any more: {0}")]
    Interfaces(#[source] io::Error),
}

impl RunError {
    /// 3 for a configuration that cannot be read, 4 for one with errors, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(diagnostics) => config_exit_code(diagnostics),
            _ => 1,
        }
    }
}

/// How long the program stays attached after a master has left. To detach it, the kernel holds the lock under which
/// addresses are set for some 10 ms: an heir in another network namespace of this host would wait for it.
const LINGER: Duration = Duration::from_millis(100);

/// The exit code for a refused configuration.
pub fn config_exit_code(diagnostics: &[Diagnostic]) -> u8 {
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Unreadable) { 3 } else { 4 }
}

/// Runs the daemon until it is told to end. `ready` is called when it has started.
///
/// # Errors
/// It could not start, or its engine failed.
pub fn run(options: &RunOptions, ready: impl FnOnce() -> io::Result<()>) -> Result<(), RunError> {
    let started = clock::now();
    let mut config = load(options)?;
    prepare(&mut config)?;
    present(&config.globals.process, options);
    let options = &placed(options, &config.globals.process);
    let predecessor = if options.takeover { takeover::meet(&options.runtime_dir, &config)? } else { None };
    // Until it has left, all that is set on the host is the other one's.
    ownership::set_ours(predecessor.is_none());
    let folder = match &predecessor {
        Some(_) => RuntimeDir::beside(&options.runtime_dir),
        None => RuntimeDir::claim(&options.runtime_dir)?,
    };
    let pid_files = options.process.places.as_ref().map(|it| pid_files::paths(it, &config.globals.process));
    let _pid_files = PidFiles::write(pid_files.as_ref().map_or(&[], |paths| &paths[..]))?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (guard, is_silent) = (OnceCell::new(), options.process.is_silent);
    if predecessor.is_none() {
        // First of all: that of a dead daemon would remove what is made here.
        runtime.block_on(start_guard(&guard, folder.path(), GUARD_ENDS, is_silent));
        runtime.block_on(errand::startup(&config.globals));
    }
    let globals = config.globals.clone();
    // Gone again at the end, after the engine has sent its last advert.
    let vmacs = RefCell::new(Vmacs::prepare(&mut config, &options.runtime_dir)?);
    let slots = slots(config.instances.len());
    let (mut program, ring, maps) = load_program(options.mode, slots)?;
    if predecessor.is_some() {
        // The other daemon says who is answered until it leaves.
        maps.open_fence();
    }
    let room = usize::try_from(slots).unwrap_or(usize::MAX);
    let sources = Arc::new(Sources {
        // Every group has a member.
        board: Arc::new(Board::new(room).with_groups(room)),
        maps,
        record: Arc::new(Record::new(room)),
        router_id: router_id(&config),
        started,
        config: Arc::new(config),
    });
    let store = Arc::new(Store::open(&options.runtime_dir));
    store.prepare(&sources.config, &sources.board);
    let queues = Queues { inputs: queue()?, commands: queue()?, reports: queue()? };
    let outcome = runtime.block_on(async {
        #[cfg(feature = "bpf-log")]
        if let Ok(program) = &mut program {
            match program.log() {
                Ok(log) => drop(tokio::spawn(log)),
                Err(error) => warn!("{error}"),
            }
        }
        let (inputs, reports) = (queues.inputs.clone(), queues.reports.clone());
        let (orders, ordered) = mpsc::channel(1);
        let mut service = Service::open(
            options,
            &folder,
            Arc::clone(&sources),
            inputs,
            reports,
            orders.clone(),
            Arc::clone(&store),
        )
        .await?;
        if program.is_err() {
            sources.record.unpinned("adverts are heard on sockets".to_owned());
        }
        if predecessor.is_none() {
            remove_residue(&sources.config, None)?;
            // Only now: what an earlier program has fenced is gone.
            if let Err(error) = outlive(&mut program, folder.path()) {
                warn!(%error, "a killed daemon's addresses are answered for until they are removed");
                sources.record.unpinned(error.to_string());
            }
        }
        let threads = start_threads(options, &sources, &queues, ring)?;
        let kept = Kept {
            statics: Statics::new(&sources.config.statics)?,
            secondaries: Secondaries::new(&sources.config, &options.runtime_dir)?,
            store: Arc::clone(&store),
        };
        let interfaces = interfaces(options, &sources, &queues, program, &vmacs, &guard, kept);
        let delay = predecessor.is_none().then(|| startup_delay(&sources.config.globals));
        if let Some(delay) = delay.filter(|delay| !delay.is_zero()) {
            info!(seconds = delay.as_secs_f64(), "instances wait before they take part");
        }
        let mut interfaces = pin!(interfaces.follow(delay, ordered));
        info!(
            version = env!("CARGO_PKG_VERSION"),
            router_id = &*sources.router_id,
            instances = sources.config.instances.len(),
            "started"
        );
        let (taken, was_taken) = oneshot::channel();
        // Its own guard, once the other daemon has gone with that of its own.
        let guarded = async {
            if was_taken.await.is_ok() {
                start_guard(&guard, folder.path(), PREDECESSOR_ENDS, is_silent).await;
            }
            pending::<()>().await;
        };
        let work = async {
            if let Some(predecessor) = predecessor {
                let inputs = &queues.inputs;
                let legacy = follow(predecessor, &sources, inputs, &orders, &folder, &store).await?;
                service.resume(&legacy);
                // Waited for as long as this daemon works.
                let _ = taken.send(());
            }
            ready()?;
            service.run(&folder).await.map_err(RunError::from)
        };
        let outcome = tokio::select! {
            outcome = work => outcome,
            Err(error) = &mut interfaces => Err(RunError::Interfaces(error)),
            () = guarded => Ok(()),
        };
        threads.end(&queues.inputs);
        if sources.board.instances.iter().any(|instance| instance.release_sent.load(Relaxed) > 0) {
            tokio::time::sleep(LINGER).await;
        }
        // Before the program on them, which sees to what they send until then.
        vmacs.borrow_mut().clear();
        outcome
    });
    if ownership::is_ours() {
        runtime.block_on(errand::shutdown(&globals));
    }
    // Otherwise it removes what may be left.
    if let Some(guard) = guard.into_inner().filter(|_| outcome.is_ok() || !ownership::is_ours()) {
        guard.dismiss();
    }
    outcome?;
    info!("stopped");
    Ok(())
}

/// On interfaces while the daemon runs, and set back when it ends; and what was heard of signed adverts.
struct Kept {
    statics: Statics,
    secondaries: Secondaries,
    store: Arc<Store>,
}

/// Between the threads.
struct Queues {
    inputs: Queue<Input>,
    commands: Queue<Command>,
    reports: Queue<Report>,
}

/// The real-time threads.
struct Threads {
    engine: JoinHandle<io::Result<()>>,
    effect: JoinHandle<()>,
}

impl Threads {
    /// Waits until all addresses are released, unless they are another daemon's.
    fn end(self, inputs: &Queue<Input>) {
        // Without effect where the engine has ended already.
        inputs.push(if ownership::is_ours() { Input::Event(Event::Shutdown) } else { Input::Leave });
        if let Ok(Err(error)) = self.engine.join() {
            warn!(%error, "the engine failed");
        }
        // Panics are told by the runtime.
        let _ = self.effect.join();
    }
}

/// Goes on where the other daemon leaves, when everything is ready for it.
async fn follow(
    predecessor: Predecessor,
    sources: &Arc<Sources>,
    inputs: &Queue<Input>,
    orders: &mpsc::Sender<Order>,
    folder: &RuntimeDir,
    store: &Arc<Store>,
) -> Result<Legacy, RunError> {
    let gone = || io::Error::other("interfaces are not followed any more");
    let (answer, told) = oneshot::channel();
    orders.send(Order::Report(answer)).await.map_err(|_| gone())?;
    told.await.map_err(|_| gone())?;
    let (now, inputs, store) = (Arc::clone(sources), inputs.clone(), Arc::clone(store));
    let followed = task::spawn_blocking(move || {
        let mut taken = Legacy::default();
        let lock = predecessor.follow(&now.config, |legacy| {
            store.refresh(&now.config, &now.board);
            taken = legacy.clone();
            let mut input = Input::Resume(Box::new(legacy));
            while let Err(refused) = inputs.offer(input) {
                input = refused;
                thread::sleep(Duration::from_millis(1));
            }
        });
        // What the engine may have begun to say ends with it.
        if lock.is_err() {
            inputs.push(Input::Leave);
        }
        lock.map(|lock| (lock, taken))
    });
    let (lock, legacy) = followed.await.map_err(io::Error::other)??;
    ownership::set_ours(true);
    folder.inherit(lock)?;
    orders.send(Order::Start(folder.path().to_owned())).await.map_err(|_| gone())?;
    info!(instances = legacy.instances.len(), "took over from the daemon that ran before");
    Ok(legacy)
}

type Loaded = (Result<Program, String>, Option<Ring>, Arc<Maps>);

/// The program with its maps; without one, maps of the same layout in private memory.
fn load_program(mode: XdpMode, slots: u32) -> io::Result<Loaded> {
    let private = |reason| Ok((Err(reason), None, Arc::new(Maps::anonymous(slots)?)));
    if mode == XdpMode::Socket {
        return private("the socket was asked for".to_owned());
    }
    let loaded = Program::load(slots).and_then(|mut program| Ok((program.ring()?, program)));
    match loaded {
        Ok((ring, program)) => {
            let maps = program.maps();
            Ok((Ok(program), Some(ring), maps))
        }
        Err(error) => private(error.to_string()),
    }
}

/// After that of a dead daemon has been ended.
async fn start_guard(guard: &OnceCell<Guard>, runtime_dir: &Path, within: Duration, is_silent: bool) {
    let will = guard::relieve(runtime_dir, within).await;
    match will.and_then(|will| Guard::start(will, is_silent)) {
        // There is none yet.
        Ok(started) => drop(guard.set(started)),
        Err(error) => warn!(%error, "no guard can be started: addresses stay where the daemon is killed"),
    }
}

/// Has the program outlive the daemon, after one that has outlived an earlier daemon was taken away. Without a program
/// there is nothing to do but that.
fn outlive(program: &mut Result<Program, String>, runtime_dir: &Path) -> Result<(), PinError> {
    let pins = Pins::open(runtime_dir)?;
    let orphans = pins.clear()?;
    if orphans > 0 {
        info!(interfaces = orphans, "detached the program of a daemon that was killed");
    }
    program.as_mut().map_or(Ok(()), |program| program.pin(pins))
}

/// Takes away what an earlier run has left behind, before anything may be announced. Addresses of a configuration that
/// is in use are not touched.
pub(super) fn remove_residue(config: &Config, in_use: Option<&Config>) -> io::Result<()> {
    let in_use = in_use.map_or(&[][..], |config| &config.instances);
    let is_used = |address: IpAddr| {
        in_use.iter().any(|instance| instance.settings.addresses.all().any(|it| it.address == address))
    };
    let settings = config.instances.iter().map(|instance| &instance.settings);
    for residue in residue::remove(settings, |address| !is_used(address))? {
        let address = residue.address.address;
        match residue.errno {
            None => info!(%address, "removed an address that an earlier run has left behind"),
            Some(errno) => {
                let error = io::Error::from_raw_os_error(errno);
                warn!(%address, %error, "cannot remove an address that an earlier run has left behind");
            }
        }
    }
    // Only those that VRRP has set, by their protocol.
    let mut socket = RouteSocket::open()?;
    rule::remove(&mut socket, &left(config, in_use, |it| &it.rules), |_, _| {})?;
    route::remove(&mut socket, &left(config, in_use, |it| &it.routes), |_, _| {})?;
    Ok(())
}

/// What a configuration names and no instance in use has.
fn left<T: Clone + PartialEq>(
    config: &Config,
    in_use: &[Instance],
    list: fn(&InstanceSettings) -> &[T],
) -> Vec<T> {
    let all = config.instances.iter().flat_map(|instance| list(&instance.settings));
    let is_used = |it: &T| in_use.iter().any(|instance| list(&instance.settings).contains(it));
    all.filter(|it| !is_used(it)).cloned().collect()
}

fn start_threads(
    options: &RunOptions,
    sources: &Sources,
    queues: &Queues,
    ring: Option<Ring>,
) -> Result<Threads, RunError> {
    let config = &sources.config;
    let engine = Engine::new(Parts {
        instances: config.instances.iter().map(|instance| instance.settings.clone()).collect(),
        groups: config.groups.iter().map(|group| group.settings.clone()).collect(),
        maps: Arc::clone(&sources.maps),
        board: Arc::clone(&sources.board),
        ring,
        inputs: queues.inputs.clone(),
        commands: queues.commands.clone(),
        reports: queues.reports.clone(),
    })?;
    let charges = config.instances.iter().map(|instance| Charge::from(&instance.settings));
    let (commands, reports) = (queues.commands.clone(), queues.reports.clone());
    let effect = Effect::open(charges, commands, reports, Arc::clone(&sources.board))?;
    let locked = if options.realtime { lock_memory() } else { Ok(()) };
    let process = &config.globals.process;
    let priority = process.realtime.map_or(ENGINE_PRIORITY, i32::from);
    let beside = process.realtime.map_or(EFFECT_PRIORITY, |priority| i32::from(priority).max(2) - 1);
    let (standing, refused) = Standing::take(process.nice, &process.cpus);
    for line in refused {
        warn!("{line}");
    }
    if options.realtime {
        match Overruns::watch(process.unbroken.unwrap_or(UNBROKEN)) {
            Ok(overruns) => drop(tokio::spawn(overrun::follow(overruns, Arc::clone(&sources.record)))),
            Err(error) => warn!(%error, "real-time threads may compute without a limit"),
        }
    }
    let Spawned { thread: engine, class } = engine.spawn(options.realtime.then_some(priority))?;
    let effect = effect.spawn(options.realtime.then_some(beside))?;
    drop(standing);
    let mut why = Vec::new();
    if !options.realtime {
        why.push("--no-realtime was given".to_owned());
    }
    why.extend(class.as_ref().err().map(ToString::to_string));
    why.extend(locked.as_ref().err().map(ToString::to_string));
    if options.realtime {
        for line in &why {
            warn!("{line}");
        }
    }
    sources.record.realtime(Realtime {
        scheduled: options.realtime && class.is_ok(),
        memory_locked: options.realtime && locked.is_ok(),
        why: why.join("; "),
    });
    Ok(Threads { engine, effect })
}

fn interfaces<'a>(
    options: &RunOptions,
    sources: &'a Sources,
    queues: &Queues,
    program: Result<Program, String>,
    vmacs: &'a RefCell<Vmacs>,
    guard: &'a OnceCell<Guard>,
    kept: Kept,
) -> Interfaces<'a> {
    let config = &sources.config;
    let settings = config.instances.iter().map(|instance| (instance.id, instance.settings.clone()));
    let attachments = Attachments::new(
        settings.collect(),
        program,
        options.mode,
        Arc::clone(&sources.maps),
        Arc::clone(&sources.board),
        Arc::clone(&sources.record),
        queues.inputs.clone(),
    );
    let firewall = Firewall::new(&options.runtime_dir, config);
    let (config, inputs) = (Arc::clone(config), queues.inputs.clone());
    let Kept { statics, secondaries, store } = kept;
    let missing = BTreeSet::new();
    Interfaces {
        sources,
        inputs,
        attachments,
        vmacs,
        statics,
        secondaries,
        store,
        firewall,
        guard,
        config,
        missing,
    }
}

/// Room for more instances than there are, as a reload may bring some.
fn slots(instances: usize) -> u32 {
    let room = instances.saturating_mul(2).max(ROOM_MIN);
    u32::try_from(room).unwrap_or(u32::MAX).min(SLOTS_MAX).max(u32::try_from(instances).unwrap_or(u32::MAX))
}

/// What is left of it; the kernel counts the time since the boot in CLOCK_BOOTTIME.
fn startup_delay(globals: &Globals) -> Duration {
    let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from);
    globals.startup_delay.max(globals.delay_after_boot.saturating_sub(since_boot))
}

pub(super) fn load(options: &RunOptions) -> Result<Config, RunError> {
    let reader = Reader::new(options.config_id.as_deref());
    let loaded = reader.load(&options.config).map_err(RunError::Config)?;
    for diagnostic in &loaded.diagnostics {
        warn!("{diagnostic}");
    }
    let mut config = loaded.config;
    places::find(&mut config)?;
    Ok(config)
}

/// Checks what the process may do and what scripts it may run.
fn prepare(config: &mut Config) -> Result<(), MissingCapabilities> {
    for line in preflight::capabilities()? {
        warn!("{line}");
    }
    for line in preflight::scripts(config) {
        warn!("{line}");
    }
    Ok(())
}

/// A daemon among several has a runtime folder of its own, `/run/vrrpx_NAME`, where none is named.
fn placed(options: &RunOptions, process: &ProcessSettings) -> RunOptions {
    let mut options = options.clone();
    if let (Some(places), Some(instance)) = (&options.process.places, &process.instance)
        && !places.folder
    {
        let mut folder = options.runtime_dir.into_os_string();
        folder.push(format!("_{instance}"));
        options.runtime_dir = folder.into();
    }
    options
}

/// Gives the process its name and its mask.
fn present(settings: &ProcessSettings, options: &RunOptions) {
    if let Some(mask) = options.process.umask.or(settings.umask) {
        umask(Mode::from_bits_truncate(mask));
    }
    if let Some(name) = &settings.name
        && let Err(error) =
            CString::new(&**name).map_err(io::Error::from).and_then(|name| Ok(set_name(&name)?))
    {
        warn!(%name, %error, "the process keeps its name");
    }
}

/// `router_id`, or the name of the host.
fn router_id(config: &Config) -> Arc<str> {
    let host = || fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().into();
    config.globals.router_id.clone().unwrap_or_else(host)
}

fn queue<T>() -> io::Result<Queue<T>> {
    Queue::new(QUEUE).map_err(Into::into)
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
