//! Brings what becomes of links and addresses to the engine.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::attach::Attachments;
use super::queue::{Input, Queue};
use super::record::Record;
use crate::driver::netlink::monitor::Monitor;
use crate::driver::netlink::tracker::{Change, Tracker};
use crate::protocol::Event;

/// Until a full queue is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// Tells the engine the present state of all interfaces, starts the router, then tells every change, until reading
/// fails. Programs are attached before the engine hears of an interface. Needs a tokio runtime with I/O and time.
///
/// # Errors
/// Links and addresses cannot be read.
pub async fn follow(
    mut tracker: Tracker,
    mut attachments: Attachments,
    record: Arc<Record>,
    inputs: Queue<Input>,
) -> io::Result<()> {
    let mut monitor = Monitor::open()?;
    let mut started = false;
    loop {
        let mut tell = |change| {
            prepare(&change, &mut attachments, &record);
            inputs.push(input(change))
        };
        while !tracker.update(monitor.table(), &mut tell) {
            tokio::time::sleep(RETRY).await;
        }
        while !started {
            started = inputs.push(Input::Event(Event::Startup));
        }
        monitor.changed().await?;
    }
}

/// Carries out what must be in place when the engine hears of the change.
fn prepare(change: &Change, attachments: &mut Attachments, record: &Record) {
    match *change {
        Change::Interface(instance, ifindex) => attachments.set_interface(instance, ifindex),
        Change::Event(Event::Source(instance, source)) => attachments.set_source(instance, source),
        Change::Event(Event::Track(track, up)) => record.link(track, up),
        Change::Event(_) => {}
    }
}

fn input(change: Change) -> Input {
    match change {
        Change::Interface(instance, ifindex) => Input::Interface { instance, ifindex },
        Change::Event(event) => Input::Event(event),
    }
}
