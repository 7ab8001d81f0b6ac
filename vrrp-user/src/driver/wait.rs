//! Sleep of a real-time thread on file descriptors and one timer.
//!
//! Enters: descriptors under a token each, and the time to wake at. Leaves: the ready tokens. Absent: allocation per
//! turn, and relative timeouts: the timer is an absolute time of the one clock, exact to the nanosecond, whereas
//! epoll's own timeout counts milliseconds.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use vrrp_ebpf::time::Timestamp;

use super::clock;

/// Token of the timer.
pub const TIMER: u64 = u64::MAX;
/// Token of the end of the machine's sleep. All others are free for the owner's use.
const RESUMED: u64 = u64::MAX - 1;

/// A time that does not come.
const NEVER: Duration = Duration::from_secs(9_000_000_000);

/// Most tokens returned at once; the next call returns the rest.
const BATCH: usize = 64;

/// A timer that is readable once the machine has been asleep, or the time of day was set.
pub(super) fn resume_timer() -> io::Result<TimerFd> {
    let timer = TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
    // The kernel cancels it then, since Linux 3.0 also at the end of a sleep.
    let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    timer.set(Expiration::OneShot(TimeSpec::from(NEVER)), flags)?;
    Ok(timer)
}

#[derive(Debug)]
pub struct Wait {
    epoll: Epoll,
    timer: TimerFd,
    armed: Option<Timestamp>,
    resumed: Option<TimerFd>,
}

impl Wait {
    /// # Errors
    /// No file descriptor is left.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        Ok(Self { epoll, timer, armed: None, resumed: None })
    }

    /// Wakes for `fd` as long as it is readable. Closing the descriptor removes it.
    ///
    /// # Errors
    /// The descriptor was already added, or does not support epoll.
    pub fn add(&mut self, fd: impl AsFd, token: u64) -> io::Result<()> {
        Ok(self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Wakes when the machine has been asleep: the timer does not advance meanwhile. Also when the time of day is set.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn wake_on_resume(&mut self) -> io::Result<()> {
        let timer = resume_timer()?;
        self.epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, RESUMED))?;
        self.resumed = Some(timer);
        Ok(())
    }

    /// Stops waking for `fd` while it is `muted`; unmuting also wakes for data that came meanwhile.
    ///
    /// # Errors
    /// The descriptor was not added.
    pub fn mute(&mut self, fd: impl AsFd, token: u64, muted: bool) -> io::Result<()> {
        let flags = if muted { EpollFlags::empty() } else { EpollFlags::EPOLLIN };
        Ok(self.epoll.modify(fd, &mut EpollEvent::new(flags, token))?)
    }

    /// # Errors
    /// The descriptor was not added.
    pub fn remove(&mut self, fd: impl AsFd) -> io::Result<()> {
        Ok(self.epoll.delete(fd)?)
    }

    /// Sets the time to wake at, which may be past; `None`: never. Makes no system call if nothing changes.
    ///
    /// # Errors
    /// Those of timerfd_settime, none of which a valid timer meets.
    pub fn arm(&mut self, at: Option<Timestamp>) -> io::Result<()> {
        if at == self.armed {
            return Ok(());
        }
        match at {
            // Zero would stop the timer.
            Some(at) => {
                let at = TimeSpec::from(clock::shown(at).max(Duration::from_nanos(1)));
                self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
            }
            None => self.timer.unset()?,
        }
        self.armed = at;
        Ok(())
    }

    /// Sleeps until something is ready. A timer that has fired is read, and stays off until armed again.
    ///
    /// # Errors
    /// Those of epoll_wait, except interruption by a signal, after which it sleeps on.
    pub fn wait(&mut self) -> io::Result<Ready> {
        let mut events = [EpollEvent::empty(); BATCH];
        let count = loop {
            match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                result => break result?,
            }
        };
        let mut ready = Ready { tokens: [0; BATCH], next: 0, end: count };
        for (token, event) in ready.tokens.iter_mut().zip(events.iter().take(count)) {
            *token = event.data();
            match *token {
                TIMER => self.acknowledge(),
                // ECANCELED; it stays armed.
                RESUMED => drop(self.resumed.as_ref().map(TimerFd::wait)),
                _ => {}
            }
        }
        Ok(ready)
    }

    fn acknowledge(&mut self) {
        // Fails only if the timer was set again since; then there is nothing to read.
        let _ = self.timer.wait();
        self.armed = None;
    }
}

impl AsRawFd for Wait {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.epoll.0.as_raw_fd()
    }
}

/// Ready tokens, in the kernel's order.
#[derive(Clone, Debug)]
pub struct Ready {
    tokens: [u64; BATCH],
    next: usize,
    end: usize,
}

impl Iterator for Ready {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let token = self.tokens.get(..self.end)?.get(self.next).copied()?;
        self.next += 1;
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::eventfd::EventFd;

    use super::*;

    #[test]
    fn the_timer_fires_at_its_time_and_once() {
        let mut wait = Wait::new().unwrap();
        let event = EventFd::new().unwrap();
        wait.add(&event, 7).unwrap();
        let at = clock::now() + Duration::from_millis(5);
        wait.arm(Some(at)).unwrap();
        assert_eq!(wait.wait().unwrap().collect::<Vec<_>>(), [TIMER]);
        assert!(clock::now() >= at);
        event.write(1).unwrap();
        assert_eq!(wait.wait().unwrap().collect::<Vec<_>>(), [7]);
        event.read().unwrap();
        // Armed again with the same time, now past, it fires at once.
        wait.arm(Some(at)).unwrap();
        assert_eq!(wait.wait().unwrap().collect::<Vec<_>>(), [TIMER]);
    }

    #[test]
    fn a_muted_descriptor_wakes_when_it_is_heard_again() {
        let mut wait = Wait::new().unwrap();
        let event = EventFd::new().unwrap();
        wait.add(&event, 1).unwrap();
        event.write(1).unwrap();
        wait.mute(&event, 1, true).unwrap();
        wait.arm(Some(clock::now())).unwrap();
        assert_eq!(wait.wait().unwrap().collect::<Vec<_>>(), [TIMER]);
        wait.mute(&event, 1, false).unwrap();
        assert_eq!(wait.wait().unwrap().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_disarmed_timer_is_silent() {
        let mut wait = Wait::new().unwrap();
        let event = EventFd::new().unwrap();
        wait.add(&event, 1).unwrap();
        wait.arm(Some(clock::now())).unwrap();
        wait.arm(None).unwrap();
        event.write(1).unwrap();
        assert_eq!(wait.wait().unwrap().collect::<Vec<_>>(), [1]);
        wait.remove(&event).unwrap();
        wait.arm(Some(Timestamp::ZERO)).unwrap();
        assert_eq!(wait.wait().unwrap().collect::<Vec<_>>(), [TIMER]);
    }
}
