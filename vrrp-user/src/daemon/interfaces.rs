//! Brings what becomes of links and addresses to the engine.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use super::queue::{Input, Queue};
use crate::driver::netlink::monitor::Monitor;
use crate::driver::netlink::table::Table;
use crate::driver::netlink::tracker::{Change, Tracker};
use crate::protocol::Event;

/// Until a full queue is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// Tells the engine the present state of all interfaces, starts the router after `delay`, and tells every change, until
/// reading fails. `keep` sees the links and addresses first, and may ask to see them again after a while; `prepare` each change before the engine does. Needs a tokio runtime with I/O and time.
///
/// # Errors
/// Links and addresses cannot be read.
pub async fn follow(
    mut tracker: Tracker,
    inputs: Queue<Input>,
    delay: Duration,
    mut keep: impl FnMut(&Table) -> Option<Duration>,
    mut prepare: impl FnMut(&Change),
) -> io::Result<()> {
    let mut monitor = Monitor::open()?;
    let mut start = pin!(tokio::time::sleep(delay));
    let mut started = false;
    loop {
        let again = keep(monitor.table());
        let mut tell = |change| {
            prepare(&change);
            inputs.push(input(change))
        };
        while !tracker.update(monitor.table(), &mut tell) {
            tokio::time::sleep(RETRY).await;
        }
        tokio::select! {
            changed = monitor.changed() => changed?,
            () = tokio::time::sleep(again.unwrap_or_default()), if again.is_some() => {}
            () = &mut start, if !started => {
                started = inputs.push(Input::Event(Event::Startup));
                start.as_mut().reset(Instant::now() + RETRY);
            }
        }
    }
}

fn input(change: Change) -> Input {
    match change {
        Change::Interface(instance, ifindex) => Input::Interface { instance, ifindex },
        Change::Sender(instance, ifindex) => Input::Sender { instance, ifindex },
        Change::Event(event) => Input::Event(event),
    }
}
