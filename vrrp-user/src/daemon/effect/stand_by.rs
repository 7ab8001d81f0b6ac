//! Standing by: awake at the instant of a takeover.
//!
//! Enters: the time of a takeover that is near. Leaves: the thread awake until its commands come, or until they should
//! have come. A thread that sleeps in the kernel runs up to 100 µs after it is woken. Absent: standing by at any other
//! time, and on a single processor, which the engine needs.

use std::thread::available_parallelism;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use crate::daemon::queue::{Command, Queue};
use crate::driver::clock;

/// A takeover later than this is not near.
const NEAR: Duration = Duration::from_micros(400);

/// How long the command may take after the instant: the engine looks for adverts once more and sends its own.
const GRACE: Duration = Duration::from_micros(300);

/// Longest time awake without a sleep. Takeovers may follow each other for longer, while repeats wait, and while the
/// kernel counts the time without a pause.
const AWAKE_MAX: Duration = Duration::from_millis(2);

#[derive(Debug, Default)]
pub(super) struct StandBy {
    /// Another processor runs the engine meanwhile.
    has_processor: bool,
    until: Option<Timestamp>,
    /// When it first stayed awake since its latest sleep.
    since: Option<Timestamp>,
}

impl StandBy {
    /// For the calling thread.
    pub(super) fn new() -> Self {
        let has_processor = available_parallelism().is_ok_and(|processors| processors.get() > 1);
        Self { has_processor, ..Self::default() }
    }

    /// A takeover is due. Nothing if the thread has been awake for too long: it is then woken by the command.
    pub(super) fn expect(&mut self, due: Timestamp) {
        let now = clock::now();
        let (since, until) = (self.since.unwrap_or(now), due + GRACE);
        if self.has_processor && due <= now + NEAR && until.since(since) <= AWAKE_MAX {
            (self.since, self.until) = (Some(since), Some(until));
        }
    }

    /// The thread is about to sleep.
    pub(super) fn rest(&mut self) {
        self.since = None;
    }

    /// Whether commands have come, after a wait for them if a takeover is near.
    pub(super) fn wait(&mut self, commands: &Queue<Command>) -> bool {
        while let Some(until) = self.until {
            if !commands.is_empty() {
                return true;
            }
            if clock::now() >= until {
                self.until = None;
            }
            std::hint::spin_loop();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::InstanceId;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_near_takeover_is_waited_for_and_not_for_long() {
        let commands = Queue::new(2).unwrap();
        let mut stand_by = StandBy { has_processor: true, ..StandBy::default() };
        assert!(!stand_by.wait(&commands), "no takeover is due");
        let due = clock::now() + Duration::from_micros(100);
        stand_by.expect(due);
        assert!(!stand_by.wait(&commands));
        assert!(clock::now() >= due, "it has not waited");
        assert!(stand_by.until.is_none(), "it waits again");
        // The test itself may have been kept from running for longer than a thread may stay awake.
        stand_by.rest();
        stand_by.expect(clock::now());
        commands.push(Command::StandBy(InstanceId(0), due));
        assert!(stand_by.wait(&commands), "a command has come");
    }

    #[test]
    fn a_far_takeover_and_a_single_processor_keep_nothing_awake() {
        for (has_processor, ahead) in [(true, MINUTE), (false, Duration::ZERO)] {
            let mut stand_by = StandBy { has_processor, ..StandBy::default() };
            stand_by.expect(clock::now() + ahead);
            assert!(stand_by.until.is_none());
        }
    }

    #[test]
    fn takeovers_that_follow_each_other_keep_nothing_awake_for_long() {
        let now = clock::now();
        let mut stand_by = StandBy { has_processor: true, until: None, since: Some(now - AWAKE_MAX) };
        stand_by.expect(now);
        assert!(stand_by.until.is_none());
        stand_by.rest();
        stand_by.expect(now);
        assert!(stand_by.until.is_some());
    }
}
