//! Demotion of real-time threads that compute without a pause.
//!
//! Happens before they starve the machine, or the kernel kills the daemon for it.
//!
//! Enters: the longest time that a real-time thread may compute without blocking. Leaves: the threads in the ordinary
//! class, and a wake-up for the task that logs it and restores them. Absent: a timer of our own; the kernel measures
//! (`RLIMIT_RTTIME`, Linux 2.6.25) and sends SIGXCPU at the soft limit. At the hard limit, which a service manager may
//! have set, it kills.
//!
//! Only the real-time threads take the signal: they can run when no other thread can.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::gettid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Far longer than any turn of engine or effect, and short for a person at a machine that does not respond.
pub const UNBROKEN: Duration = Duration::from_secs(1);

/// Engine and effect.
const THREADS: usize = 2;

/// Thread id and SCHED_FIFO priority of each, or 0; atomic, as the signal handler reads it.
static MEMBERS: [AtomicU64; THREADS] = [const { AtomicU64::new(0) }; THREADS];
/// Eventfd that the handler writes to. It is never closed: a handler that is running on another thread could write to
/// whatever has its number then.
static REPORTED: OnceLock<EventFd> = OnceLock::new();
/// The limit with which the process was started.
static INHERITED: OnceLock<(u64, u64)> = OnceLock::new();

/// Receives the news that the threads were demoted.
#[derive(Debug)]
pub struct Overruns {
    reported: AsyncFd<BorrowedFd<'static>>,
    limit: Duration,
}

impl Overruns {
    /// Sets the limit for threads that `join` from now on, which the calling thread starts; at most half of a hard
    /// limit. Must be called within a runtime.
    ///
    /// # Errors
    /// No descriptor is left, or the kernel refuses the limit.
    pub fn watch(limit: Duration) -> io::Result<Self> {
        let inherited @ (_, hard) = getrlimit(Resource::RLIMIT_RTTIME)?;
        let _ = INHERITED.set(inherited);
        let wanted = u64::try_from(limit.as_micros()).unwrap_or(RLIM_INFINITY);
        let limit = if hard == RLIM_INFINITY { wanted } else { wanted.min(hard / 2) };
        let reported = reported()?.as_fd();
        // SAFETY: the descriptor is never closed.
        let reported = unsafe { AsyncFd::register_with_interest(reported, Interest::READABLE)? };
        only_real_time().thread_block()?;
        let action = SigAction::new(SigHandler::Handler(demote), SaFlags::SA_RESTART, SigSet::all());
        // SAFETY: the handler keeps to atomics and bare system calls.
        unsafe { sigaction(Signal::SIGXCPU, &action) }?;
        let watched = Self { reported, limit: Duration::from_micros(limit) };
        watched.arm()?;
        Ok(watched)
    }

    /// The limit in force, rounded to the microseconds of the kernel.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Returns once the threads have been demoted since the last [`Self::restore`].
    ///
    /// # Errors
    /// The runtime has ended.
    pub async fn happen(&self) -> io::Result<()> {
        self.reported.readable().await?.retain_ready();
        Ok(())
    }

    /// Restores the threads to the real-time class, each with its priority.
    ///
    /// # Errors
    /// The kernel refuses it; the threads after the first refused one stay ordinary.
    pub fn restore(&self) -> io::Result<()> {
        let _ = self.reported.try_io(Interest::READABLE, |_| Ok(reported()?.read()?));
        self.arm()?;
        for (thread, priority) in MEMBERS.iter().filter_map(member) {
            if !has_ended(thread) {
                schedule(thread, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, priority)?;
            }
        }
        Ok(())
    }

    /// Sets the soft limit again: the kernel raises it by a second each time it is reached.
    fn arm(&self) -> io::Result<()> {
        let (_, hard) = getrlimit(Resource::RLIMIT_RTTIME)?;
        let soft = u64::try_from(self.limit.as_micros()).unwrap_or(RLIM_INFINITY);
        Ok(setrlimit(Resource::RLIMIT_RTTIME, soft, hard)?)
    }
}

fn reported() -> io::Result<&'static EventFd> {
    if let Some(reported) = REPORTED.get() {
        return Ok(reported);
    }
    let fresh = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    Ok(REPORTED.get_or_init(|| fresh))
}

/// Registers the calling thread, which is real-time with this priority, as subject to the limit.
pub(super) fn join(priority: i32) {
    let (Ok(thread), Ok(level)) = (u32::try_from(gettid().as_raw()), u32::try_from(priority)) else { return };
    let packed = u64::from(thread) << 32 | u64::from(level);
    let room = |place: &&AtomicU64| {
        let before = place.load(Relaxed);
        member(place).is_none_or(|(thread, _)| has_ended(thread))
            && place.compare_exchange(before, packed, SeqCst, Relaxed).is_ok()
    };
    if MEMBERS.iter().find(room).is_some() {
        // On failure the signal goes to the other thread.
        let _ = only_real_time().thread_unblock();
    }
}

/// The original limit, restored in each program that the daemon starts.
pub(super) fn inherited() -> Option<(u64, u64)> {
    INHERITED.get().copied()
}

fn only_real_time() -> SigSet {
    let mut set = SigSet::empty();
    set.add(Signal::SIGXCPU);
    set
}

fn member(place: &AtomicU64) -> Option<(i32, i32)> {
    let packed = place.load(Relaxed);
    let thread = i32::try_from(packed >> 32).ok().filter(|thread| *thread > 0)?;
    Some((thread, i32::try_from(packed & u64::from(u32::MAX)).ok()?))
}

fn has_ended(thread: i32) -> bool {
    // SAFETY: takes a number only.
    unsafe { libc::sched_getscheduler(thread) < 0 }
}

/// The signal handler.
extern "C" fn demote(_: i32) {
    let errno = Errno::last();
    for (thread, _) in MEMBERS.iter().filter_map(member) {
        // A thread that has ended needs nothing.
        let _ = schedule(thread, libc::SCHED_OTHER, 0);
    }
    if let Some(reported) = REPORTED.get() {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: writes eight bytes of its own.
        unsafe { libc::write(reported.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
    errno.set();
}

fn schedule(thread: i32, policy: i32, priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the parameters live across the call.
    match unsafe { libc::sched_setscheduler(thread, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::super::clock;
    use super::super::realtime::{ENGINE_PRIORITY, become_realtime};
    use super::*;

    #[tokio::test]
    async fn a_thread_that_computes_without_a_pause_is_ordinary_until_it_is_let_back() {
        let hard = getrlimit(Resource::RLIMIT_RTTIME).unwrap().1;
        let overruns = Overruns::watch(Duration::from_millis(40)).unwrap();
        let (report, reported) = mpsc::channel();
        let (allow, allowed) = mpsc::channel();
        let worker = thread::spawn(move || {
            if become_realtime(ENGINE_PRIORITY).is_err() {
                return report.send(None).unwrap();
            }
            for _ in 0..2 {
                // Real-time throttling by the kernel makes this longer than the computing time.
                let end = clock::now() + Duration::from_secs(20);
                while policy() == libc::SCHED_FIFO && clock::now() < end {}
                report.send(Some(policy())).unwrap();
                allowed.recv().unwrap();
            }
        });
        if let Some(demoted) = reported.recv().unwrap() {
            assert_eq!(demoted, libc::SCHED_OTHER);
            overruns.happen().await.unwrap();
            overruns.restore().unwrap();
            allow.send(()).unwrap();
            assert_eq!(reported.recv().unwrap(), Some(libc::SCHED_OTHER), "the limit counts again");
            allow.send(()).unwrap();
        }
        worker.join().unwrap();
        // A handler that began before the end of a watch writes to the same descriptor as before, and to no other file.
        let before = REPORTED.get().unwrap().as_raw_fd();
        drop(overruns);
        assert_ne!(EventFd::new().unwrap().as_raw_fd(), before, "its number is not given away");
        let overruns = Overruns::watch(Duration::from_secs(3600)).unwrap();
        assert_eq!(REPORTED.get().unwrap().as_raw_fd(), before);
        demote(libc::SIGXCPU);
        overruns.happen().await.unwrap();
        setrlimit(Resource::RLIMIT_RTTIME, hard, hard).unwrap();
    }

    fn policy() -> i32 {
        // SAFETY: queries the calling thread.
        unsafe { libc::sched_getscheduler(0) & !libc::SCHED_RESET_ON_FORK }
    }
}
