//! Real-time scheduling and locked memory, which keep timers exact on a busy machine.
//!
//! Both are requested once, before work begins. The daemon continues after a refusal; the error names what is missing
//! and what it costs, for the log and the status.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::unistd::Pid;
use thiserror::Error;

use super::{memory, overrun};

/// SCHED_FIFO priority of the engine; that of threaded interrupt handlers, which deliver the adverts. The effect thread
/// is one below, so that the engine runs first.
pub const ENGINE_PRIORITY: i32 = 50;
/// Stack of a real-time thread, bytes. Small, because locked memory cannot be swapped out.
pub const STACK: usize = 256 * 1024;

/// The kernel refused the thread the real-time class.
#[derive(Debug, Error)]
#[error(
    "no real-time class (SCHED_FIFO {priority}): {source}; this needs CAP_SYS_NICE or an RLIMIT_RTPRIO of at least \
     {priority} (it is {limit}), and under cgroup real-time group scheduling a cpu.rt_runtime_us above 0; without \
     it adverts are late under load, and short intervals cause false takeovers"
)]
pub struct RealtimeError {
    priority: i32,
    limit: u64,
    source: io::Error,
}

/// Memory could not be locked.
#[derive(Debug, Error)]
pub enum LockError {
    #[error(
        "memory is not locked: this needs CAP_IPC_LOCK or an unlimited RLIMIT_MEMLOCK (it is {limit} bytes); without it \
         a machine short of memory can delay adverts by reading pages of the daemon from disk"
    )]
    Limit { limit: u64 },
    #[error("memory is not locked: {0}")]
    Refused(#[source] io::Error),
}

/// Puts the calling thread into the real-time class. Processes and threads that it starts are ordinary.
///
/// # Errors
/// The kernel refuses; see [`RealtimeError`].
pub fn become_realtime(priority: i32) -> Result<(), RealtimeError> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the parameters live across the call; 0 means the calling thread.
    let refused = unsafe {
        libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters)
    } != 0;
    if refused {
        let source = io::Error::last_os_error();
        let limit = getrlimit(Resource::RLIMIT_RTPRIO).map_or(0, |(soft, _)| soft);
        return Err(RealtimeError { priority, limit, source });
    }
    overrun::join(priority);
    Ok(())
}

/// Changes the priority of the calling thread, if it is in the real-time class; no effect otherwise.
pub fn set_priority(priority: i32) {
    let parameters = libc::sched_param { sched_priority: priority };
    // Of an ordinary thread, as after a demotion, the kernel refuses it (EINVAL). musl has no such function.
    // SAFETY: the parameters live across the call; 0 means the calling thread.
    unsafe { libc::syscall(libc::SYS_sched_setparam, 0, &raw const parameters) };
}

/// Locks the pages of the process in memory; see [`memory::lock`].
///
/// # Errors
/// Not permitted. A finite limit counts as that, even if it is enough now: once it is reached, every further allocation
/// fails.
pub fn lock_memory() -> Result<(), LockError> {
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft);
    if limit != RLIM_INFINITY && !may_lock() {
        return Err(LockError::Limit { limit });
    }
    memory::lock().map_err(LockError::Refused)
}

/// Nice value and CPUs for threads started during its life. On drop the calling thread gets its own back.
#[derive(Debug)]
pub struct Standing {
    nice: Option<i32>,
    cpus: Option<CpuSet>,
}

impl Standing {
    /// Applies to the calling thread and the threads it starts; an empty `cpus` keeps the CPUs. The second value lists
    /// what was refused, one line each.
    pub fn take(nice: Option<i8>, cpus: &[usize]) -> (Self, Vec<String>) {
        let mut refused = Vec::new();
        let mut before = Self { nice: None, cpus: None };
        if let Some(nice) = nice {
            match set_nice(nice.into()) {
                Ok(own) => before.nice = Some(own),
                Err(error) => refused.push(format!("vrrp_priority {nice} not applied: {error}")),
            }
        }
        if !cpus.is_empty() {
            match pin(cpus) {
                Ok(own) => before.cpus = Some(own),
                Err(error) => refused.push(format!("vrrp_cpu_affinity not applied: {error}")),
            }
        }
        (before, refused)
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        // These values were valid before; a refusal leaves an ordinary thread as it is.
        if let Some(nice) = self.nice {
            let _ = set_nice(nice);
        }
        if let Some(cpus) = &self.cpus {
            let _ = sched_setaffinity(Pid::from_raw(0), cpus);
        }
    }
}

/// Returns the previous value.
fn set_nice(nice: i32) -> io::Result<i32> {
    // SAFETY: both calls take numbers only; 0 means the calling thread, on Linux not the process.
    let (before, refused) =
        unsafe { (libc::getpriority(libc::PRIO_PROCESS, 0), libc::setpriority(libc::PRIO_PROCESS, 0, nice)) };
    if refused != 0 { Err(io::Error::last_os_error()) } else { Ok(before) }
}

/// Returns the previous CPU set.
fn pin(cpus: &[usize]) -> nix::Result<CpuSet> {
    let own = sched_getaffinity(Pid::from_raw(0))?;
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set)?;
    Ok(own)
}

/// Whether CAP_IPC_LOCK is in the effective set.
fn may_lock() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set & (1 << CAP_IPC_LOCK) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_time_thread_starts_ordinary_ones() {
        let policies = std::thread::spawn(|| {
            become_realtime(ENGINE_PRIORITY).ok()?;
            // SAFETY: queries the calling thread.
            let policy = || unsafe { libc::sched_getscheduler(0) };
            Some((policy() & !libc::SCHED_RESET_ON_FORK, std::thread::spawn(policy).join().unwrap()))
        });
        if let Some(policies) = policies.join().unwrap() {
            assert_eq!(policies, (libc::SCHED_FIFO, libc::SCHED_OTHER));
        }
    }

    #[test]
    fn a_thread_has_its_own_standing_again_when_others_are_started() {
        std::thread::spawn(|| {
            let standing = || (set_nice_of_now(), sched_getaffinity(Pid::from_raw(0)).unwrap());
            let before = standing();
            let (taken, refused) = Standing::take(Some(5), &[0]);
            assert!(refused.is_empty(), "{refused:?}");
            let started = std::thread::spawn(standing).join().unwrap();
            drop(taken);
            let mut first = CpuSet::new();
            first.set(0).unwrap();
            assert_eq!(started, (5, first));
            // Lowering the nice value again needs CAP_SYS_NICE.
            if nix::unistd::geteuid().is_root() {
                assert_eq!(standing(), before);
            }
        })
        .join()
        .unwrap();
        let (_, refused) = Standing::take(None, &[1023]);
        assert!(
            refused.iter().any(|line| line.starts_with("vrrp_cpu_affinity not applied: ")),
            "{refused:?}"
        );
    }

    fn set_nice_of_now() -> i32 {
        // SAFETY: takes numbers only.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    #[test]
    fn a_refusal_says_what_is_missing() {
        let error =
            RealtimeError { priority: 50, limit: 0, source: io::Error::from_raw_os_error(libc::EPERM) };
        let text = error.to_string();
        for word in ["SCHED_FIFO 50", "CAP_SYS_NICE", "RLIMIT_RTPRIO", "it is 0", "false takeovers"] {
            assert!(text.contains(word), "{text}");
        }
    }
}
