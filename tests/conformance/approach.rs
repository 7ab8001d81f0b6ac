//! The time before a takeover: nothing else is due in it, so that the daemon can prepare, and is awake at the instant.

use std::time::Duration;

use vrrp_user::protocol::{ElectionSettings, Priority, State};

use super::setup::{Bench, Variant, centiseconds};

/// What the daemon needs: it wakes, reads interfaces, encodes requests, and wakes again just before the instant.
const NEEDED: Duration = Duration::from_micros(450);

const VARIANT: Variant = Variant::V3Ipv4;

/// How a master is lost.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// None is heard from the start on.
    Absence,
    Silence,
    /// Handled this long after it arrived.
    Release(Duration),
}

/// From the last wake-up before the takeover to the takeover, and from the loss of the master.
fn approach(priority: u8, interval: u16, cause: Cause) -> (Duration, Duration) {
    let interval = centiseconds(interval);
    let settings =
        ElectionSettings { priority: Priority(priority), advert_interval: interval, ..VARIANT.settings() };
    let mut bench = Bench::started(VARIANT, settings);
    if !matches!(cause, Cause::Absence) {
        bench.hear(254, 120, interval, Duration::ZERO);
    }
    if let Cause::Release(age) = cause {
        bench.wait(interval.duration() / 2);
        bench.hear(0, 120, interval, age);
    }
    let lost = bench.now;
    loop {
        if bench.state() == State::Master {
            return (Duration::ZERO, bench.now.since(lost));
        }
        let due = bench.router.poll_timeout().unwrap();
        if bench.router.next_takeover() == Some(due) {
            return (due.since(bench.now), due.since(lost));
        }
        bench.wait(due.since(bench.now));
    }
}

#[test]
fn a_takeover_is_the_next_that_is_due_early_enough() {
    let late = (0..20).map(|step| Cause::Release(Duration::from_micros(step * 20)));
    let causes: Vec<Cause> = [Cause::Absence, Cause::Silence].into_iter().chain(late).collect();
    for interval in [1, 2, 10] {
        for priority in (1..=254).step_by(11) {
            for cause in &causes {
                let (ahead, all) = approach(priority, interval, *cause);
                assert!(ahead >= NEEDED.min(all), "{cause:?}, priority {priority}: {ahead:?} of {all:?}");
            }
        }
    }
}
