//! The real-time threads and the queues between them and the main one.
//!
//! Enters: the configuration, the maps and the ring. Leaves: [`Threads`] at work, with their class, processors and
//! limits, and a note of what was refused.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use tokio::time::sleep;
use tracing::{info, warn};

use super::error::RunError;
use crate::config::words;
use crate::daemon::effect::{Effect, InstanceEffects};
use crate::daemon::engine::{Engine, EngineParts, Spawned};
use crate::daemon::essential::unpanicked;
use crate::daemon::history::{History, Realtime};
use crate::daemon::host_faults::{Finder, HostFault, RETRY};
use crate::daemon::process::options::RunOptions;
use crate::daemon::process::overrun;
use crate::daemon::queue::{Command, Input, Queue, Report};
use crate::daemon::status::DaemonContext;
use crate::driver::memory;
use crate::driver::overrun::{Overruns, UNBROKEN};
use crate::driver::ownership;
use crate::driver::realtime::{ENGINE_PRIORITY, LockError, Standing, become_realtime, lock_memory};
use crate::driver::xdp::{Program, Ring};
use crate::protocol::Event;

/// Entries of the queues from the engine, for each instance of the start: all may change state at once. Of more than
/// there is room for, the engine keeps what is still of use.
const OUTPUTS_PER_INSTANCE: usize = 2;
const OUTPUTS_MIN: usize = 128;

/// Entries of the queue to the engine, for each instance of the start.
const INPUTS_PER_INSTANCE: usize = 5;

/// Few instances may have many inputs.
const INPUTS_MIN: usize = 512;

/// Time after which a start is over: interfaces are attached to, and the first elections have been held.
const START: Duration = Duration::from_secs(10);

/// Below every other real-time thread.
const TRIM_PRIORITY: i32 = 1;

/// The queues between the threads.
pub(super) struct Queues {
    pub(super) inputs: Queue<Input>,
    pub(super) commands: Queue<Command>,
    pub(super) reports: Queue<Report>,
}

impl Queues {
    /// Queues for this many instances.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(super) fn new(instances: usize) -> io::Result<Self> {
        let entries = instances.saturating_mul(OUTPUTS_PER_INSTANCE).max(OUTPUTS_MIN);
        // At the start, an interface and a virtual MAC interface of each instance may each be reported twice before the
        // engine takes an input. Later ones can wait: a report of an interface is tried again.
        let inputs = queue(instances.saturating_mul(INPUTS_PER_INSTANCE).max(INPUTS_MIN))?;
        Ok(Self { inputs, commands: queue(entries)?, reports: queue(entries)? })
    }
}

/// The real-time threads.
pub(super) struct Threads {
    engine: JoinHandle<()>,
    effect: JoinHandle<()>,
}

impl Threads {
    /// Waits until all addresses are released, unless another daemon owns them.
    pub(super) fn end(self, queues: &Queues) {
        // A hot restart that an error has ended leaves the engine paused.
        let mut last = if ownership::is_ours() {
            vec![Input::Event(Event::Shutdown), Input::GoOn]
        } else {
            vec![Input::Leave]
        };
        while !self.engine.is_finished() {
            while let Some(input) = last.pop() {
                if let Err(refused) = queues.inputs.offer(input) {
                    last.push(refused);
                    break;
                }
            }
            // After an error they are not read any more, and the engine waits for room.
            while queues.reports.pop().is_some() {}
            thread::sleep(Duration::from_millis(1));
        }
        // A panic of either ends the process.
        let _ = self.engine.join();
        let _ = self.effect.join();
    }
}

pub(super) fn start_threads(
    options: &RunOptions,
    context: &DaemonContext,
    queues: &Queues,
    ring: Option<Ring>,
) -> Result<Threads, RunError> {
    let config = &context.config;
    let engine = Engine::new(EngineParts {
        instances: config.instances.iter().map(|instance| Arc::clone(&instance.settings)).collect(),
        groups: config.groups.iter().map(|group| group.settings.clone()).collect(),
        maps: Arc::clone(&context.maps),
        live: Arc::clone(&context.live),
        ring,
        inputs: queues.inputs.clone(),
        commands: queues.commands.clone(),
        reports: queues.reports.clone(),
    })?;
    let effects = config.instances.iter().map(|instance| InstanceEffects::from(&*instance.settings));
    let (commands, reports) = (queues.commands.clone(), queues.reports.clone());
    let (live, maps) = (Arc::clone(&context.live), Arc::clone(&context.maps));
    let effect = Effect::open(effects, commands, reports, live, maps)?;
    // The start has used far more of the program, and of the heap, than the work does.
    memory::trim();
    memory::release_program();
    let locked = if options.realtime { lock_memory() } else { Ok(()) };
    if locked.is_ok() && options.realtime {
        memory::bring_in(Program::object());
    }
    let process = &config.globals.process;
    let priority = process.realtime.map_or(ENGINE_PRIORITY, i32::from);
    let (standing, refused) = Standing::take(process.nice, &process.cpus);
    for line in refused {
        warn!("{line}");
    }
    if options.realtime {
        match Overruns::watch(process.unbroken.unwrap_or(UNBROKEN)) {
            Ok(overruns) => {
                let follow = overrun::follow(overruns, Arc::clone(&context.history));
                tokio::spawn(unpanicked("the task of overruns", follow));
            }
            Err(error) => warn!(%error, "cannot limit the computing time of real-time threads"),
        }
    }
    let Spawned { thread: engine, class } = engine.spawn(options.realtime.then_some(priority))?;
    let effect = effect.spawn(options.realtime.then_some(priority))?;
    drop(standing);
    let mut why = Vec::new();
    if !options.realtime {
        why.push("--no-realtime was given".to_owned());
    }
    why.extend(class.as_ref().err().map(words));
    if options.realtime {
        for line in &why {
            warn!("{line}");
        }
    }
    context.history.realtime(Realtime {
        scheduled: options.realtime && class.is_ok(),
        memory_locked: options.realtime && locked.is_ok(),
        why: why.join("; "),
    });
    if options.realtime {
        let (is_locked, history) = (is_locked(&context.history, &locked), Arc::clone(&context.history));
        tokio::spawn(async move {
            match is_locked {
                true => release_start(history).await,
                false => lock_again(history).await,
            }
        });
    }
    Ok(Threads { engine, effect })
}

/// Gives back the code, the stack and the heap that the rest of the start has used. Real-time threads go on meanwhile:
/// their code stays where it is, and so do constants and libraries, so that they wait for no page. Ends when all memory
/// is locked again.
async fn release_start(history: Arc<History>) {
    sleep(START).await;
    // The attempt below locks again what these two could not.
    let _ = memory::release_code();
    let _ = memory::release_stack();
    if !is_locked(&history, &lock_by(|| memory::trim_locked().or_else(|_| lock_memory()))) {
        lock_again(history).await;
    }
}

/// Ends when all memory is locked.
async fn lock_again(history: Arc<History>) {
    loop {
        sleep(RETRY).await;
        if is_locked(&history, &lock_by(lock_memory)) {
            return;
        }
    }
}

/// Notes the outcome.
fn is_locked(history: &History, outcome: &Result<(), LockError>) -> bool {
    history.memory_locked(outcome.is_ok());
    let fault = outcome.as_ref().err().map(|error| HostFault {
        about: "lock".to_owned(),
        text: format!("{}{}", words(error), advice(error)),
    });
    let was_locked = !history.host_faults.has(Finder::Memory);
    for HostFault { about, text } in history.host_faults.set(Finder::Memory, fault.into_iter().collect()) {
        warn!("{about}: {text}");
    }
    if outcome.is_ok() && !was_locked {
        info!("memory is locked now");
    }
    outcome.is_ok()
}

/// The way to raise the limit of locked memory, if that causes the error.
fn advice(error: &LockError) -> String {
    let is_of_limit = match error {
        LockError::Limit { .. } => true,
        // mlockall(2) beyond the limit fails with ENOMEM or EPERM. Once memory is locked, new stacks count too, and
        // pthread_create(3) fails with EAGAIN.
        LockError::Refused(error) => {
            matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM | libc::EPERM))
                && getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
        }
    };
    if !is_of_limit {
        return String::new();
    }
    let pid = std::process::id();
    format!("; prlimit --pid {pid} --memlock=unlimited, and LimitMEMLOCK=infinity in the unit")
}

/// In the real-time class: the allocator is locked meanwhile, or the list of mappings, and a real-time thread must not
/// wait for an ordinary one.
///
/// # Errors
/// As `lock`; also that of the thread, which does not start or panics.
fn lock_by(lock: fn() -> Result<(), LockError>) -> Result<(), LockError> {
    let locked = thread::Builder::new().spawn(move || {
        // A refusal is known from the other threads.
        let _ = become_realtime(TRIM_PRIORITY);
        lock()?;
        // The kernel may have taken pages while nothing was locked.
        memory::bring_in(Program::object());
        Ok(())
    });
    let panicked = |_| Err(LockError::Refused(io::Error::other("the thread that locks it has panicked")));
    locked.map_err(LockError::Refused)?.join().unwrap_or_else(panicked)
}

fn queue<T>(entries: usize) -> io::Result<Queue<T>> {
    Queue::new(entries).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::netlink::socket::RouteSocket;
    use crate::driver::socket::{AdvertSender, Announcer, Outgoing};
    use crate::protocol::{Router, Turn};

    #[test]
    fn only_an_error_of_the_limit_has_the_way_to_raise_it() {
        let refused = |errno| LockError::Refused(io::Error::from_raw_os_error(errno));
        let limited = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap().0 != RLIM_INFINITY;
        for (error, expected) in [
            (LockError::Limit { limit: 0 }, true),
            (refused(libc::EAGAIN), limited),
            (refused(libc::ENOMEM), limited),
            (refused(libc::EINVAL), false),
            (LockError::Refused(io::Error::other("a panic")), false),
        ] {
            assert_eq!(advice(&error).contains("--memlock=unlimited"), expected, "{error}");
        }
    }

    #[test]
    fn a_panic_of_the_thread_that_locks_is_a_refusal() {
        let text = lock_by(|| panic!("of this test")).unwrap_err().to_string();
        assert_eq!(text, "memory is not locked: the thread that locks it has panicked");
    }

    /// `realtime.ld` has names of modules: this fails once one of these functions is elsewhere.
    #[test]
    fn code_of_real_time_threads_is_placed_together() {
        let (start, end) = memory::real_time_code();
        assert!(end < usize::MAX, "no such section");
        for function in [
            Engine::new as *const (),
            Engine::spawn as *const (),
            Engine::step as *const (),
            Effect::spawn as *const (),
            Turn::next as *const (),
            Router::handle as *const (),
            Router::handle_timeout as *const (),
            Router::poll_action as *const (),
            AdvertSender::queue as *const (),
            Outgoing::set_checksum as *const (),
            Announcer::queue as *const (),
            RouteSocket::open as *const (),
        ] {
            assert!((start..end).contains(&function.addr()), "{function:?} of {start:#x} to {end:#x}");
        }
    }
}
