//! Brings what becomes of links and addresses to the engine.

use std::io;
use std::time::Duration;

use super::queue::{Input, Queue};
use crate::driver::netlink::monitor::Monitor;
use crate::driver::netlink::table::Table;
use crate::driver::netlink::tracker::{Change, Tracker};

/// Until a full queue is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// Tells the engine the present state of all interfaces, then every change, until reading fails. `observe` sees each
/// state of the table first. Needs a tokio runtime with I/O and time.
///
/// # Errors
/// Links and addresses cannot be read.
pub async fn follow(
    mut tracker: Tracker,
    inputs: Queue<Input>,
    mut observe: impl FnMut(&Table),
) -> io::Result<()> {
    let mut monitor = Monitor::open()?;
    loop {
        observe(monitor.table());
        while !tracker.update(monitor.table(), |change| inputs.push(input(change))) {
            tokio::time::sleep(RETRY).await;
        }
        monitor.changed().await?;
    }
}

fn input(change: Change) -> Input {
    match change {
        Change::Interface(instance, ifindex) => Input::Interface { instance, ifindex },
        Change::Event(event) => Input::Event(event),
    }
}
