//! Start of programs without copying the daemon's memory.
//!
//! Enters: a [`Plan`]. Leaves: a [`Child`] that leads its own process group. Absent: users by name, time limits,
//! shells, and the thread that [waits](super::starter) until the program runs.
//!
//! `fork` write-protects every page of the parent, which stalls its threads meanwhile and again at the first write to
//! each page: with 64 MB of locked memory a real-time thread stalled for up to 4 ms, and for at most 0.2 ms without the
//! copy. The child here borrows the memory until it has become the program (`CLONE_VM | CLONE_VFORK`, as in
//! `posix_spawn`, which cannot change the user); only the calling thread waits for that.

use std::ffi::{CString, c_char, c_int, c_void};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg, pthread_sigmask};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Gid, Pid, Uid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::starter::{self, Attempt};
use super::{overrun, shortage};

/// Description of the new process.
#[derive(Debug)]
pub(super) struct Plan {
    /// Full path of the program; no search.
    pub(super) program: CString,
    /// Starts with the program's own name.
    pub(super) arguments: Vec<CString>,
    /// Of the form `NAME=value`.
    pub(super) environment: Vec<CString>,
    /// User, group and supplementary groups; `None`: as the daemon.
    pub(super) user: Option<(Uid, Gid, Vec<Gid>)>,
    /// Killed when the calling thread ends.
    pub(super) leashed: bool,
    /// Descriptor for stdout and stderr; `None`: `/dev/null`.
    pub(super) output: Option<OwnedFd>,
}

/// A process that has just become its program. A leashed one is killed on drop.
#[derive(Debug)]
pub(super) struct Begun {
    pid: Pid,
    leashed: bool,
    /// Until a [`Child`] takes it.
    exit: Option<OwnedFd>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.exit.is_some() && self.leashed {
            end_unseen(self.pid);
        }
    }
}

/// A running process. After a drop the process continues; when it ends it stays a zombie until the daemon ends.
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

    /// Waits for its end and reaps it; may be called once.
    pub(super) async fn wait(&self) -> nix::Result<WaitStatus> {
        // Readable once the process has ended.
        let _ready = self.exit.readable().await.map_err(errno_of)?;
        waitid(Id::PIDFd(self.exit.get_ref().as_fd()), WaitPidFlag::WEXITED)
    }
}

/// Starts the program. Standard streams that the plan does not name are `/dev/null`. The program inherits no other
/// descriptors, no signal dispositions, signal mask or scheduling class, and not the daemon's limits of real time and
/// descriptors. The calling thread blocks until the program runs.
pub(super) fn spawn(plan: &Plan, attempt: &Attempt) -> nix::Result<Begun> {
    let null = File::options().read(true).write(true).open("/dev/null").map_err(errno_of)?;
    let (arguments, environment) = (pointers(&plan.arguments), pointers(&plan.environment));
    let output = plan.output.as_ref().map_or(null.as_raw_fd(), AsRawFd::as_raw_fd);
    let streams = [null.as_raw_fd(), output, output];
    let limits = [overrun::inherited(), shortage::inherited_descriptor_limit()];
    let limits = limits.map(|limit| limit.map(|(rlim_cur, rlim_max)| libc::rlimit { rlim_cur, rlim_max }));
    let mut args = CloneArgs {
        plan,
        attempt,
        arguments,
        environment,
        streams,
        limits,
        locked_memory: locked_memory(),
        errno: 0,
    };
    let born = args.clone_child();
    attempt.is_over();
    let pid = born?;
    // Frees a descriptor for the pidfd: a running program cannot be taken back.
    drop(null);
    if args.errno != 0 {
        let _ = waitpid(pid, None);
        return Err(Errno::from_raw(args.errno));
    }
    // SAFETY: a plain system call (Linux 5.3). The process is not reaped yet, so the number is still its own.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let pidfd = Errno::result(pidfd).and_then(|pidfd| RawFd::try_from(pidfd).map_err(|_| Errno::EBADF));
    let pidfd = pidfd.inspect_err(|_| end_unseen(pid))?;
    // SAFETY: fresh from the kernel, with no other owner.
    let exit = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Begun { pid, leashed: plan.leashed, exit: Some(exit) })
}

static NO_REAL_TIME: libc::rlimit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };

/// The daemon's limit of locked memory, at most the kernel's default (Linux 5.16).
fn locked_memory() -> libc::rlimit {
    const DEFAULT: u64 = 8 << 20;
    let (soft, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap_or((DEFAULT, DEFAULT));
    libc::rlimit { rlim_cur: soft.min(DEFAULT), rlim_max: hard.min(DEFAULT) }
}

/// Kills a program whose end the caller does not wait for.
fn end_unseen(pid: Pid) {
    let _ = killpg(pid, Signal::SIGKILL);
    // It dies at once, unless a file system blocks it.
    let _refused = starter::submit(Box::new(move || {
        let _ = waitpid(pid, None);
    }));
}

/// Whether the daemon's memory is dumpable and traceable, and the number of children that borrow it. When a child
/// changes its user, the kernel makes the shared memory undumpable, lest the script's user trace the child and write
/// there. This is undone when the last child has its own memory.
static DUMPABLE: Mutex<(bool, usize)> = Mutex::new((false, 0));

/// One child that borrows the memory.
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

/// Data shared by parent and child; the child touches nothing else.
struct CloneArgs<'a> {
    plan: &'a Plan,
    attempt: &'a Attempt,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    streams: [RawFd; 3],
    /// Limits of real time and of descriptors to restore, if the daemon has changed them.
    limits: [Option<libc::rlimit>; 2],
    /// For another user.
    locked_memory: libc::rlimit,
    /// Why the child did not become the program.
    errno: c_int,
}

/// More than the deepest of the child's calls needs.
const STACK: usize = 64 * 1024;

impl CloneArgs<'_> {
    /// Returns when the child has become the program or has failed.
    fn clone_child(&mut self) -> nix::Result<Pid> {
        let mut stack = vec![0_u128; STACK / size_of::<u128>()];
        let top: *mut c_void = stack.as_mut_ptr_range().end.cast();
        let mut before = SigSet::empty();
        // No signal handler of the daemon may run in the child, which shares the daemon's memory.
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        let borrower = Borrower::new();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PARENT_SETTID | libc::SIGCHLD;
        // SAFETY: the stack is aligned to 16 bytes and, like self, outlives the child's use of it, as the kernel blocks
        // this thread until the child is done with the memory. `child` keeps to what is allowed there.
        let pid = Errno::result(unsafe {
            libc::clone(child, top, flags, ptr::from_mut(self).cast(), self.attempt.pid())
        });
        drop(borrower);
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        pid.map(Pid::from_raw)
    }
}

/// The child until exec: system calls only, on memory prepared by the parent.
extern "C" fn child(args: *mut c_void) -> c_int {
    let args = args.cast::<CloneArgs<'_>>();
    // SAFETY: the parent passes its `CloneArgs` and waits, so this is the only user.
    unsafe {
        let failed = become_program(&*args);
        (*args).errno = failed as c_int;
    }
    127
}

/// Returns only on failure, with the errno.
///
/// # Safety
/// Between clone and exec only.
unsafe fn become_program(args: &CloneArgs<'_>) -> Errno {
    let plan = args.plan;
    let ordinary = libc::sched_param { sched_priority: 0 };
    // SAFETY: system calls on prepared memory; the pointer arrays end with null. Bare system calls change the user, as
    // those of the C library would change all threads of the daemon.
    unsafe {
        let done = |result: i64| Errno::result(result).map(drop);
        if args.attempt.is_given_up() {
            return Errno::ECANCELED;
        }
        let prepare = || -> nix::Result<()> {
            for (stream, from) in (0..).zip(args.streams) {
                done(libc::dup2(from, stream).into())?;
            }
            done(libc::setpgid(0, 0).into())?;
            // If sched_setscheduler is refused, the daemon's thread was ordinary already. Without close_range (before
            // Linux 5.9) only descriptors without close-on-exec are inherited.
            libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const ordinary);
            let [real_time, descriptors] = &args.limits;
            if let Some(limit) = real_time {
                libc::setrlimit(libc::RLIMIT_RTTIME, ptr::from_ref(limit));
            }
            if let Some(limit) = descriptors {
                libc::setrlimit(libc::RLIMIT_NOFILE, ptr::from_ref(limit));
            }
            libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32);
            if let Some((uid, gid, groups)) = &plan.user {
                // Limits that the daemon has for its own threads and maps: another user could stop the engine by them.
                libc::setrlimit(libc::RLIMIT_RTPRIO, ptr::from_ref(&NO_REAL_TIME));
                libc::setrlimit(libc::RLIMIT_MEMLOCK, ptr::from_ref(&args.locked_memory));
                let (uid, gid) = (uid.as_raw(), gid.as_raw());
                // A `Gid` has the layout of gid_t.
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
        // exec resets handlers, but a signal could come before; ignored signals would stay ignored.
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        libc::execve(plan.program.as_ptr(), args.arguments.as_ptr(), args.environment.as_ptr());
    }
    Errno::last()
}

/// Pointers to the strings, terminated by null for exec.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
