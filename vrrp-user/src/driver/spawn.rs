//! Starts a program without copying the daemon's memory.
//!
//! Enters: a [`Plan`]. Leaves: a [`Child`] that leads a process group of its own. Absent: users by name, time
//! limits, shells, and the thread that [waits](super::starter) until the program runs.
//!
//! `fork` write-protects every page of the parent, which holds its threads up for as long as that takes and once
//! more at the first write to each page: beside 64 MB of locked memory a real-time thread stood still for up to 4 ms,
//! and for 0.2 ms at most without the copy. The child here borrows the memory until it has become the program
//! (`CLONE_VM | CLONE_VFORK`, as in `posix_spawn`, which knows no users); only the calling thread waits for that.

use std::ffi::{CString, c_char, c_int, c_void};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg, pthread_sigmask};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Gid, Pid, Uid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::starter::{self, Attempt};
use super::{overrun, shortage};

/// Everything about the new process.
#[derive(Debug)]
pub(super) struct Plan {
    /// Path of the program; it is not searched for.
    pub(super) program: CString,
    /// Beginning with the program's own name.
    pub(super) arguments: Vec<CString>,
    /// Of the form `NAME=value`.
    pub(super) environment: Vec<CString>,
    /// Whom it runs as, and in which further groups; `None`: as the daemon.
    pub(super) user: Option<(Uid, Gid, Vec<Gid>)>,
    /// It is killed when the calling thread ends.
    pub(super) leashed: bool,
    /// Where it prints, both ways; `None`: to nobody.
    pub(super) output: Option<OwnedFd>,
}

/// A process that has just become its program. Dropped, it is killed if it is leashed.
#[derive(Debug)]
pub(super) struct Begun {
    pid: Pid,
    leashed: bool,
    /// Until it is a [`Child`]'s.
    exit: Option<OwnedFd>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.exit.is_some() && self.leashed {
            end_unseen(self.pid);
        }
    }
}

/// A running process. Dropped, the process goes on, and is a zombie afterwards until the daemon ends.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    exit: AsyncFd<OwnedFd>,
}

impl Child {
    /// Must be called within a runtime.
    pub(super) fn new(mut begun: Begun) -> nix::Result<Self> {
        let pid = begun.pid;
        let exit = begun.exit.take().ok_or(Errno::EBADF)?;
        // SAFETY: an owned descriptor stays open and the same for as long as it lives.
        let exit = unsafe { AsyncFd::register_with_interest(exit, Interest::READABLE) };
        let exit = exit.inspect_err(|_| end_unseen(pid));
        Ok(Self { pid, exit: exit.map_err(|error| errno_of(error.into()))? })
    }

    /// The process group that it leads.
    pub(super) fn group(&self) -> Pid {
        self.pid
    }

    /// Waits for its end, once: it is gone then.
    pub(super) async fn wait(&self) -> nix::Result<WaitStatus> {
        // Readable from the end of the process on.
        let _ready = self.exit.readable().await.map_err(errno_of)?;
        waitid(Id::PIDFd(self.exit.get_ref().as_fd()), WaitPidFlag::WEXITED)
    }
}

/// Starts the program. Standard streams that the plan does not name are `/dev/null`; other descriptors are not
/// inherited, nor are signal dispositions, the signal mask, the scheduling class and the limits of real time and of
/// descriptors. The calling thread stands still until the program runs.
pub(super) fn spawn(plan: &Plan, attempt: &Attempt) -> nix::Result<Begun> {
    let null = File::options().read(true).write(true).open("/dev/null").map_err(errno_of)?;
    let (arguments, environment) = (pointers(&plan.arguments), pointers(&plan.environment));
    let output = plan.output.as_ref().map_or(null.as_raw_fd(), AsRawFd::as_raw_fd);
    let streams = [null.as_raw_fd(), output, output];
    let limits = [overrun::inherited(), shortage::inherited_descriptor_limit()];
    let limits = limits.map(|limit| limit.map(|(rlim_cur, rlim_max)| libc::rlimit { rlim_cur, rlim_max }));
    let mut birth = Birth { plan, attempt, arguments, environment, streams, limits, errno: 0 };
    let born = birth.clone_child();
    attempt.is_over();
    let pid = born?;
    // Its number is for the pidfd: a program that runs cannot be taken back.
    drop(null);
    if birth.errno != 0 {
        let _ = waitpid(pid, None);
        return Err(Errno::from_raw(birth.errno));
    }
    // SAFETY: a plain system call (Linux 5.3). The process is not reaped yet, so the number is still its own.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let pidfd = Errno::result(pidfd).and_then(|pidfd| RawFd::try_from(pidfd).map_err(|_| Errno::EBADF));
    let pidfd = pidfd.inspect_err(|_| end_unseen(pid))?;
    // SAFETY: fresh from the kernel, and nobody else's.
    let exit = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Begun { pid, leashed: plan.leashed, exit: Some(exit) })
}

/// Ends a program whose end is not waited for.
fn end_unseen(pid: Pid) {
    let _ = killpg(pid, Signal::SIGKILL);
    // It dies at once, unless a file system holds it.
    let _refused = starter::submit(Box::new(move || {
        let _ = waitpid(pid, None);
    }));
}

/// Whether the daemon's memory can be dumped and traced, and how many children borrow it. A child's change of user makes
/// it undumpable for all, lest the user of a script trace the child and write there; that is taken back when the last
/// child has its own.
static DUMPABLE: Mutex<(bool, usize)> = Mutex::new((false, 0));

/// A child that borrows the memory.
struct Borrower;

impl Borrower {
    fn new() -> Self {
        let mut state = DUMPABLE.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1 == 0 {
            // SAFETY: a plain system call.
            state.0 = unsafe { libc::prctl(libc::PR_GET_DUMPABLE) } == 1;
        }
        state.1 += 1;
        Self
    }
}

impl Drop for Borrower {
    fn drop(&mut self) {
        let mut state = DUMPABLE.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 -= 1;
        if *state == (true, 0) {
            // SAFETY: a plain system call.
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
        }
    }
}

/// What parent and child share; the child touches nothing else.
struct Birth<'a> {
    plan: &'a Plan,
    attempt: &'a Attempt,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    streams: [RawFd; 3],
    /// Of real time and of descriptors, where the daemon has others.
    limits: [Option<libc::rlimit>; 2],
    /// Why it did not become the program.
    errno: c_int,
}

/// More than the deepest of the child's calls needs.
const STACK: usize = 64 * 1024;

impl Birth<'_> {
    /// Returns when the child has become the program, or has given up.
    fn clone_child(&mut self) -> nix::Result<Pid> {
        let mut stack = vec![0_u128; STACK / size_of::<u128>()];
        let top: *mut c_void = stack.as_mut_ptr_range().end.cast();
        let mut before = SigSet::empty();
        // No handler of the daemon may run in the child, whose memory is the daemon's.
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        let borrower = Borrower::new();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PARENT_SETTID | libc::SIGCHLD;
        // SAFETY: the stack is aligned to 16 bytes and, like self, outlives the child's use of it, as the kernel keeps
        // this thread waiting until the child is done with the memory. `child` keeps to what is allowed there.
        let pid = Errno::result(unsafe {
            libc::clone(child, top, flags, ptr::from_mut(self).cast(), self.attempt.pid())
        });
        drop(borrower);
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        pid.map(Pid::from_raw)
    }
}

/// The child, until it is the program: system calls only, on memory that was prepared before.
extern "C" fn child(birth: *mut c_void) -> c_int {
    let birth = birth.cast::<Birth<'_>>();
    // SAFETY: the parent passes its `Birth` and waits, so this is the only user.
    unsafe {
        let failed = become_program(&*birth);
        (*birth).errno = failed as c_int;
    }
    127
}

/// Returns only what went wrong.
///
/// # Safety
/// Between clone and exec only.
unsafe fn become_program(birth: &Birth<'_>) -> Errno {
    let plan = birth.plan;
    let ordinary = libc::sched_param { sched_priority: 0 };
    // SAFETY: system calls on prepared memory; the pointer arrays end with null. Users are changed by bare system
    // calls, as those of the C library would have all threads of the daemon follow.
    unsafe {
        let done = |result: i64| Errno::result(result).map(drop);
        if birth.attempt.is_given_up() {
            return Errno::ECANCELED;
        }
        let prepare = || -> nix::Result<()> {
            for (stream, from) in (0..).zip(birth.streams) {
                done(libc::dup2(from, stream).into())?;
            }
            done(libc::setpgid(0, 0).into())?;
            // The daemon's thread is of ordinary class already where this is refused. Where close_range is unknown
            // (before Linux 5.9), only descriptors that are not close-on-exec by themselves go along.
            libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const ordinary);
            let [real_time, descriptors] = &birth.limits;
            if let Some(limit) = real_time {
                libc::setrlimit(libc::RLIMIT_RTTIME, ptr::from_ref(limit));
            }
            if let Some(limit) = descriptors {
                libc::setrlimit(libc::RLIMIT_NOFILE, ptr::from_ref(limit));
            }
            libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32);
            if let Some((uid, gid, groups)) = &plan.user {
                let (uid, gid) = (uid.as_raw(), gid.as_raw());
                // A `Gid` is a gid_t and nothing else.
                done(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()))?;
                done(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
                done(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
            }
            if plan.leashed {
                done(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL).into())?;
            }
            Ok(())
        };
        if let Err(errno) = prepare() {
            return errno;
        }
        // Handlers end with exec, but a signal could come before; ignored ones would stay ignored.
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        libc::execve(plan.program.as_ptr(), birth.arguments.as_ptr(), birth.environment.as_ptr());
    }
    Errno::last()
}

/// Pointers to the strings, ended by null as exec wants it.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
