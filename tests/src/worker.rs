//! Threads that work until they are dropped.
//!
//! Enters: the work of each. Absent: a result; a worker writes its findings to memory shared with its owner.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::observe::{Received, receive};

/// The threads. Drop waits for their end.
#[derive(Debug, Default)]
pub struct Workers {
    stop: Stop,
    threads: Vec<JoinHandle<()>>,
}

/// Whether a worker should end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Workers {
    /// Adds a worker that polls [`Stop`] itself.
    #[must_use]
    pub(crate) fn with(mut self, work: impl FnOnce(&Stop) + Send + 'static) -> Self {
        let stop = self.stop.clone();
        self.threads.push(std::thread::spawn(move || work(&stop)));
        self
    }

    /// Adds a worker that runs `step` once each `period`, in the real-time class if that is permitted.
    pub fn with_pace(self, period: Duration, mut step: impl FnMut() + Send + 'static) -> Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
        timer.set(Expiration::Interval(period.into()), TimerSetTimeFlags::empty())?;
        Ok(self.with(move |stop| {
            // In an ordinary class only the pace is less even.
            let _refused = real_time_at(BELOW);
            while !stop.is_set() && timer.wait().is_ok() {
                step();
            }
        }))
    }

    /// Adds a worker that reads frames of other hosts from a [`packet_socket`](crate::observe::packet_socket).
    #[must_use]
    pub(crate) fn with_frames(
        self,
        socket: OwnedFd,
        mut take: impl FnMut(Received, &[u8]) + Send + 'static,
    ) -> Self {
        self.with(move |stop| {
            let mut frame = [0; 2048];
            while !stop.is_set() {
                let Ok(Some(got)) = receive(&socket, &mut frame) else { continue };
                if let Some(bytes) = frame.get(..got.len).filter(|_| !got.outgoing) {
                    take(got, bytes);
                }
            }
        })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.0.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic of the thread has been printed already.
            let _panicked = thread.join();
        }
    }
}

/// Locks data shared with a worker, also after a worker has panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Real-time priority below a daemon's.
const BELOW: i32 = 10;

/// Puts this thread in the real-time class.
pub(crate) fn real_time_at(priority: i32) -> Result<()> {
    let parameter = libc::sched_param { sched_priority: priority };
    // SAFETY: the parameter lives through the call; 0 is the calling thread.
    Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) })?;
    Ok(())
}
