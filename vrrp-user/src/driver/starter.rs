//! Threads that start programs.
//!
//! Enters: a function that starts a program. Leaves: its result. A thread that starts a program blocks until the
//! program runs, which can take long: the user it runs as may stop the new process on its way, and an unresponsive file
//! system blocks it. So no thread with other work waits for it. A start that exceeds its limit, or whose caller goes
//! away, is given up and its process killed; until that attempt has ended, other starts of its program wait.
//!
//! The threads never end: a leashed program is killed when the thread that started it ends.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::timeout;

/// Concurrent starts, without those given up. A start takes a millisecond.
static PLACES: Semaphore = Semaphore::const_new(16);

/// Time limit of a start.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// Idle threads.
static IDLE: Mutex<Vec<Sender<Work>>> = Mutex::new(Vec::new());

/// Programs whose start was given up and may not have ended.
static STUCK: Mutex<Vec<(String, Arc<Attempt>)>> = Mutex::new(Vec::new());

/// One of those may have ended.
static ENDED: Notify = Notify::const_new();

/// One or two pages are used.
const STACK: usize = 256 * 1024;

type Work = Box<dyn FnOnce() + Send>;

/// A start in progress, shared with the thread that performs it.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    /// The process before exec, written by the kernel; 0: none.
    pid: AtomicI32,
    /// Held while the pid may stop belonging to the process.
    reaping: Mutex<()>,
    given_up: AtomicBool,
    has_ended: AtomicBool,
}

impl Attempt {
    /// Where the kernel writes the pid, before the process runs.
    pub(super) fn pid(&self) -> *mut i32 {
        self.pid.as_ptr()
    }

    /// The process checks this first: its pid may have been written too late for the kill.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(SeqCst)
    }

    /// From now on the process has become the program or is gone.
    pub(super) fn is_over(&self) {
        let _reaping = lock(&self.reaping);
        self.pid.store(0, SeqCst);
    }

    fn give_up(&self) {
        self.given_up.store(true, SeqCst);
        let _reaping = lock(&self.reaping);
        let pid = self.pid.load(SeqCst);
        if pid > 0 {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// An attempt with a waiting caller.
struct Pending<'a> {
    program: &'a str,
    /// The start is given up if the waiting caller goes away.
    leashed: bool,
    attempt: Arc<Attempt>,
}

impl Pending<'_> {
    fn give_up(&self) {
        lock(&STUCK).push((self.program.to_owned(), Arc::clone(&self.attempt)));
        self.attempt.give_up();
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.leashed && !self.attempt.has_ended.load(SeqCst) {
            self.give_up();
        }
    }
}

/// Runs `start` on a separate thread.
///
/// # Errors
/// Those of `start`; `EAGAIN` if no thread can be created; `ETIMEDOUT` if it exceeds `limit`, or another start of
/// `program` is in its way for as long.
pub(super) async fn start<T: Send + 'static>(
    program: &str,
    leashed: bool,
    limit: Duration,
    start: impl FnOnce(&Attempt) -> nix::Result<T> + Send + 'static,
) -> nix::Result<T> {
    timeout(limit, until_free(program)).await.map_err(|_| Errno::ETIMEDOUT)?;
    let _place = PLACES.acquire().await.map_err(|_| Errno::EAGAIN)?;
    let attempt = Arc::new(Attempt::default());
    let (result, begun) = oneshot::channel();
    let shared = Arc::clone(&attempt);
    submit(Box::new(move || {
        let started = start(&shared);
        shared.has_ended.store(true, SeqCst);
        ENDED.notify_waiters();
        // If the caller has gone, the result is dropped, which ends a leashed program.
        let _unclaimed = result.send(started);
    }))?;
    let pending = Pending { program, leashed, attempt };
    let Ok(started) = timeout(limit, begun).await else {
        pending.give_up();
        return Err(Errno::ETIMEDOUT);
    };
    started.map_err(|_| Errno::EAGAIN)?
}

/// Waits until no start of this program is in the way: several checks may have one program, such as the shell.
async fn until_free(program: &str) {
    loop {
        let ended = ENDED.notified();
        if !is_stuck(program) {
            return;
        }
        ended.await;
    }
}

fn is_stuck(program: &str) -> bool {
    let mut stuck = lock(&STUCK);
    stuck.retain(|(_, attempt)| !attempt.has_ended.load(SeqCst));
    stuck.iter().any(|(other, _)| other == program)
}

/// Runs the work on an idle thread, or a new one.
pub(super) fn submit(work: Work) -> nix::Result<()> {
    let idle = lock(&IDLE).pop();
    let work = match idle {
        Some(idle) => match idle.send(work) {
            Ok(()) => return Ok(()),
            Err(SendError(work)) => work,
        },
        None => work,
    };
    let (sender, works) = channel();
    let thread = thread::Builder::new().name("starter".to_owned()).stack_size(STACK);
    let thread = thread.spawn(move || serve(work, &sender, &works));
    thread.map(drop).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN)))
}

fn serve(first: Work, own: &Sender<Work>, works: &Receiver<Work>) {
    first();
    loop {
        lock(&IDLE).push(own.clone());
        // Never fails: the thread's own sender keeps the channel open.
        let Ok(work) = works.recv() else { return };
        work();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test(flavor = "current_thread")]
    async fn what_takes_too_long_is_given_up_and_not_tried_beside_itself() {
        let (go, wait) = channel::<()>();
        let slow = start("slow", true, SOON, move |_| {
            let _end = wait.recv();
            Ok(1)
        });
        assert_eq!(slow.await, Err(Errno::ETIMEDOUT));
        assert_eq!(start("slow", true, SOON, |_| Ok(2)).await, Err(Errno::ETIMEDOUT));
        assert_eq!(start("other", true, LIMIT, |_| Ok(3)).await, Ok(3));
        drop(go);
        while is_stuck("slow") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(start("slow", true, LIMIT, |_| Ok(4)).await, Ok(4));
    }

    /// As a reload that drops a check whose shell is about to run.
    #[tokio::test(flavor = "current_thread")]
    async fn one_whose_caller_is_gone_delays_others_of_its_program() {
        let (go, wait) = channel::<()>();
        let dropped = start("shared", true, LIMIT, move |_| {
            let _end = wait.recv();
            Ok(1)
        });
        assert!(timeout(SOON, dropped).await.is_err(), "the caller goes away first");
        let other = start("shared", true, LIMIT, |_| Ok(2));
        let (other, ()) = tokio::join!(other, async { drop(go) });
        assert_eq!(other, Ok(2));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn more_than_there_are_places_wait_for_one_another() {
        let starts = (0..100).map(|number| {
            tokio::spawn(start("many", true, LIMIT, move |_| {
                thread::sleep(Duration::from_millis(1));
                Ok(number)
            }))
        });
        for (number, start) in starts.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(start.await.unwrap(), Ok(number));
        }
    }
}
