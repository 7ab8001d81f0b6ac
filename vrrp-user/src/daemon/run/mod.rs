//! From a command line to a running daemon, in order.

mod error;
mod prepare;
mod residue;
mod threads;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task;
use tracing::{info, warn};
use vrrp_ebpf::map::SLOTS_MAX;

pub use error::{RunError, config_exit_code};
pub(super) use prepare::load;
pub(super) use residue::remove_residue;
use threads::{Queues, start_threads};

use super::auth::Store;
use super::board::Board;
use super::guard::{self, Guard};
use super::host::attach::Attachments;
use super::host::firewall::Firewall;
use super::host::interfaces::{Interfaces, Order};
use super::host::secondaries::Secondaries;
use super::host::statics::Statics;
use super::host::vmacs::Vmacs;
use super::notify::errand;
use super::process::options::{RunOptions, XdpMode};
use super::process::pid_files::{self, PidFiles};
use super::process::runtime_dir::RuntimeDir;
use super::queue::{Input, Queue};
use super::record::Record;
use super::service::Service;
use super::status::Sources;
use super::takeover::{self, Legacy, Predecessor};
use crate::config::Globals;
use crate::driver::clock;
use crate::driver::maps::Maps;
use crate::driver::ownership;
use crate::driver::xdp::{Program, Ring};

/// Instances that a reload may bring a small configuration to.
const ROOM_MIN: usize = 64;

/// For the guard of a dead daemon to end.
const GUARD_ENDS: Duration = Duration::from_secs(1);

/// How long the program stays attached after a master has left. To detach it, the kernel holds the lock under which
/// addresses are set for some 10 ms: an heir in another network namespace of this host would wait for it.
const LINGER: Duration = Duration::from_millis(100);

/// Runs the daemon until it is told to end. `ready` is called when it has started.
///
/// # Errors
/// It could not start, or its engine failed.
pub fn run(options: &RunOptions, ready: impl FnOnce() -> io::Result<()>) -> Result<(), RunError> {
    let started = clock::now();
    let mut config = load(options)?;
    prepare::prepare(&mut config)?;
    prepare::present(&config.globals.process, options);
    let options = &prepare::placed(options, &config.globals.process);
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
    // First of all: that of a dead daemon would remove what is made here.
    runtime.block_on(start_guard(&guard, folder.path(), predecessor.is_some(), is_silent));
    if predecessor.is_none() {
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
        router_id: prepare::router_id(&config),
        started,
        config: Arc::new(config),
    });
    let store = Arc::new(Store::open(&options.runtime_dir));
    store.prepare(&sources.config, &sources.board);
    let queues = Queues::new()?;
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
            if let Err(error) = residue::outlive(&mut program, folder.path()) {
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
        let work = async {
            if let Some(predecessor) = predecessor {
                let inputs = &queues.inputs;
                let legacy = follow(predecessor, &sources, inputs, &orders, &folder, &store, &guard).await?;
                service.resume(&legacy);
            }
            ready()?;
            service.run(&folder).await.map_err(RunError::from)
        };
        let outcome = tokio::select! {
            outcome = work => outcome,
            Err(error) = &mut interfaces => Err(RunError::Interfaces(error)),
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

/// Goes on where the other daemon leaves, when everything is ready for it.
async fn follow(
    predecessor: Predecessor,
    sources: &Arc<Sources>,
    inputs: &Queue<Input>,
    orders: &mpsc::Sender<Order>,
    folder: &RuntimeDir,
    store: &Arc<Store>,
    guard: &OnceCell<Guard>,
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
    if let Some(Err(error)) = guard.get().map(Guard::succeed) {
        warn!(%error, "the next daemon will not know the guard of this one");
    }
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

/// After that of a dead daemon has been ended, or beside that of a living one.
async fn start_guard(guard: &OnceCell<Guard>, runtime_dir: &Path, is_beside: bool, is_silent: bool) {
    let started = if is_beside {
        Guard::start_beside(runtime_dir, GUARD_ENDS, is_silent).await
    } else {
        let will = guard::relieve(runtime_dir, GUARD_ENDS).await;
        will.and_then(|will| Guard::start(will, is_silent))
    };
    match started {
        // There is none yet.
        Ok(started) => drop(guard.set(started)),
        Err(error) => warn!(%error, "no guard can be started: addresses stay where the daemon is killed"),
    }
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
        missing: BTreeSet::new(),
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
