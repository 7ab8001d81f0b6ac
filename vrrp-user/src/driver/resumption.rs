//! The end of the machine's sleep, for a task.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::unistd;
use tokio::io::unix::AsyncFd;

use super::clock;
use super::wait;

#[derive(Debug)]
pub struct Resumption {
    timer: AsyncFd<OwnedFd>,
    /// For how long the machine has been asleep so far: bounds.
    asleep: (Duration, Duration),
}

impl Resumption {
    /// Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn open() -> io::Result<Self> {
        let timer = OwnedFd::from(wait::resume_timer()?);
        // SAFETY: an owned descriptor stays open and the same for as long as it lives.
        let timer = unsafe { AsyncFd::register(timer)? };
        Ok(Self { timer, asleep: clock::asleep() })
    }

    /// Returns when the machine has been asleep.
    pub async fn ended(&mut self) {
        loop {
            match self.timer.readable().await {
                Ok(mut guard) => guard.clear_ready(),
                Err(_) => pending().await,
            }
            // ECANCELED; it stays armed.
            let _ = unistd::read(self.timer.get_ref(), &mut [0; 8]);
            // The timer is also cancelled when the time of day is set.
            let (before, now) = (self.asleep, clock::asleep());
            if now.0 > before.1 {
                self.asleep = now;
                return;
            }
        }
    }
}
