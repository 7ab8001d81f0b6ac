//! Start of the daemon, from its options to its threads, in order.

mod error;
mod loading;
mod prepare;
mod serve;
mod threads;

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::runtime;
use tracing::{info, warn};
use vrrp_ebpf::map::SLOTS_MAX;

pub use error::RunError;

use loading::{Loading, Needs};
use prepare::First;
use serve::Prepared;
use threads::Queues;

use super::auth::MarkStore;
use super::guard::{self, Guard};
use super::history::{History, SUMS};
use super::host::vmacs::Vmacs;
use super::hot_restart;
use super::live::LiveState;
use super::load::{self, Usable};
use super::log;
use super::neighbours;
use super::notify::lifecycle_script;
use super::process::options::RunOptions;
use super::process::pid_files::{self, PidFiles};
use super::process::runtime_dir::{self, RuntimeDir};
use super::status::DaemonContext;
use crate::driver::clock;
use crate::driver::memory;
use crate::driver::ownership;
use crate::driver::shortage;
use crate::driver::time_namespace::{self, UnknownOffset};

/// Least room for instances: a reload may bring that many to a small configuration.
const ROOM_MIN: usize = 64;

/// Time limit for the end of a dead daemon's guard.
const GUARD_ENDS: Duration = Duration::from_secs(1);

/// Runs the daemon until it is stopped. `ready` is called when it has started.
///
/// # Errors
/// It could not start, or its engine failed.
pub fn run(options: &RunOptions, ready: impl FnOnce() -> io::Result<()>) -> Result<(), RunError> {
    memory::settle_allocator();
    log::spare_threads();
    if let Err(error) = shortage::raise_descriptor_limit() {
        warn!(%error, "cannot raise the limit of descriptors (RLIMIT_NOFILE)");
    }
    let offset = settle_clock();
    let started = clock::now();
    let loading = Loading::begin(options.mode, offset)?;
    let First { usable: Usable { mut config, loaded }, stale } = prepare::load_first(options)?;
    let instances = config.instances.len();
    let slots = slots(instances);
    let (events, interfaces) = (prepare::events(&config), prepare::interfaces(&config));
    loading.go_on(Needs { instances, slots, events, interfaces });
    if stale.is_none() {
        prepare::warn_of(&loaded, options);
    }
    let disabled = prepare::prepare(&mut config)?;
    prepare::present(&config.globals.process, options);
    // A reload refuses new mistakes.
    let tolerance = loaded.tolerance.clone();
    let options = &RunOptions { tolerance, ..prepare::placed(options, &config.globals.process) };
    runtime_dir::trust(&options.runtime_dir)?;
    let predecessor =
        if options.hot_restart { hot_restart::meet(&options.runtime_dir, &config)? } else { None };
    // Until the other daemon has left, it owns everything that is set on the host.
    ownership::set_ours(predecessor.is_none());
    let folder = match &predecessor {
        Some(_) => RuntimeDir::beside(&options.runtime_dir),
        None => RuntimeDir::claim(&options.runtime_dir)?,
    };
    let options = &RunOptions { runtime_dir: folder.path().to_owned(), ..options.clone() };
    // From the look at the others until they can look at this one.
    let baton = neighbours::Baton::wait(neighbours::BATON_WAIT);
    let present = neighbours::presence::announce(&options.runtime_dir);
    let clashes = neighbours::clashes(&config, &options.runtime_dir);
    if !clashes.is_empty() {
        return Err(RunError::Neighbours(clashes));
    }
    let pid_files = options.process.places.as_ref().map(|it| pid_files::paths(it, &config.globals.process));
    let _pid_files = PidFiles::write(pid_files.as_ref().map_or(&[], |paths| &paths[..]))?;
    // tokio panics without any thread for blocking work where none can be made.
    let runtime =
        runtime::Builder::new_current_thread().enable_all().thread_keep_alive(Duration::MAX).build()?;
    let (guard, is_silent) = (OnceCell::new(), options.process.is_silent);
    // First of all: the guard of a dead daemon would remove what is made here.
    runtime.block_on(start_guard(&guard, folder.path(), predecessor.is_some(), is_silent));
    if predecessor.is_none() {
        runtime.block_on(lifecycle_script::startup(&config.globals));
    }
    let globals = config.globals.clone();
    // They are removed at the end, after the engine has sent its last advert.
    let vmacs = RefCell::new(Vmacs::prepare(&mut config, &options.runtime_dir)?);
    let (maps, ring) = loading.made()?;
    if predecessor.is_some() {
        // The other daemon's fence decides until it leaves.
        maps.open_fence();
    }
    let room = usize::try_from(slots).unwrap_or(usize::MAX);
    let context = Arc::new(DaemonContext {
        // Every group has a member.
        live: Arc::new(LiveState::new(room).with_groups(room)),
        maps,
        history: Arc::new(History::new(config.instances.len()).with_room(room)),
        router_id: prepare::router_id(&config),
        started,
        gone: [0; SUMS],
        config: Arc::new(config),
    });
    context.history.disabled(disabled);
    context.history.leaves_out(load::electing(&loaded));
    if let Some((stale, at)) = stale {
        context.history.started_stale(stale, at);
    }
    let store = Arc::new(MarkStore::open(&options.runtime_dir));
    store.prepare(&context.config, &context.live);
    let queues = Queues::new(context.config.instances.len())?;
    let prepared = Prepared {
        options,
        folder: &folder,
        loaded: &loaded,
        context: &context,
        store: &store,
        queues: &queues,
        vmacs: &vmacs,
        guard: &guard,
        baton: Cell::new(baton),
        present: Cell::new(present.inspect_err(report_absence).ok()),
    };
    let outcome = runtime.block_on(prepared.serve(loading, ring, predecessor, ready));
    if ownership::is_ours() {
        runtime.block_on(lifecycle_script::shutdown(&globals));
    }
    // A thread that reads from a hanging file system never ends.
    runtime.shutdown_background();
    // Not after a failure: then the guard removes what may be left.
    let is_left = context.live.instances.iter().any(|instance| instance.leftovers.load(Relaxed) > 0);
    let is_clean = outcome.is_ok() && !is_left || !ownership::is_ours();
    match guard.into_inner() {
        Some(guard) if is_clean => guard.dismiss(),
        Some(guard) => guard.leave_to(outcome.is_err()),
        None => {}
    }
    outcome?;
    info!("stopped");
    log::finish();
    Ok(())
}

fn report_absence(error: &io::Error) {
    warn!(%error, "a vrrpx in another mount namespace will not see this one");
}

/// Must run before anything reads the clock.
fn settle_clock() -> Result<(), UnknownOffset> {
    let offset = time_namespace::settle()?;
    if offset != 0 {
        // A measured offset is not exact.
        let millis = offset.unsigned_abs().saturating_add(500_000) / 1_000_000;
        let seconds = Duration::from_millis(millis).as_secs_f64();
        let direction = if offset > 0 { "ahead of" } else { "behind" };
        info!(
            seconds,
            "the clock of this time namespace is {direction} the host's; the daemon allows for it"
        );
    }
    Ok(())
}

/// Starts a guard after ending that of a dead daemon, or beside that of a running one.
async fn start_guard(guard: &OnceCell<Guard>, runtime_dir: &Path, is_beside: bool, is_silent: bool) {
    let started = if is_beside {
        Guard::start_beside(runtime_dir, GUARD_ENDS, is_silent).await
    } else {
        let plan = guard::relieve(runtime_dir, GUARD_ENDS).await;
        plan.and_then(|plan| Guard::start(plan, is_silent))
    };
    match started {
        // Cannot fail: the cell is empty.
        Ok(started) => drop(guard.set(started)),
        Err(error) => warn!(%error, "cannot start the guard: addresses stay set if the daemon is killed"),
    }
}

/// Room for more instances than there are, as a reload may bring some.
fn slots(instances: usize) -> u32 {
    let room = instances.saturating_mul(2).max(ROOM_MIN);
    u32::try_from(room).unwrap_or(u32::MAX).min(SLOTS_MAX).max(u32::try_from(instances).unwrap_or(u32::MAX))
}
