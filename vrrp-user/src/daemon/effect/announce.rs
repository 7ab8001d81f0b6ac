//! Announcements of instances that have a lease.
//!
//! Enters: an address to announce, and the lease of its instance. Leaves: the announcement, counted, or nothing. A new
//! master's first announcement waits for the lease.

use std::hint;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::failures::Failures;
use super::repeat::Target;
use crate::daemon::live::LiveState;
use crate::daemon::queue::{Command, Object, Queue};
use crate::driver::clock;
use crate::driver::maps::Maps;
use crate::driver::socket::Announcer;
use crate::protocol::InstanceId;

/// How long the engine may take to send an advert, until this thread sleeps between two looks.
const AWAKE: Duration = Duration::from_micros(200);
const PAUSE: Duration = Duration::from_micros(50);

/// From a record that was being read to the next attempt to add to it.
const AGAIN: Duration = Duration::from_millis(20);

/// The announcer, with the announcements that are to be recorded.
#[derive(Debug)]
pub(super) struct Outlet {
    announcer: Announcer,
    sent: Vec<(InstanceId, IpAddr, Timestamp)>,
}

impl Outlet {
    /// # Errors
    /// As [`Announcer::open`].
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { announcer: Announcer::open()?, sent: Vec::new() })
    }

    /// When to record again what could not be recorded.
    pub(super) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        (!self.sent.is_empty()).then(|| now + AGAIN)
    }
}

/// Whether an instance may announce. This thread may run on while the engine hangs, or wake before it after a
/// suspension of both: an heir that has announced itself meanwhile would lose its clients, and does not announce itself
/// again.
pub(super) fn is_entitled(maps: &Maps, id: InstanceId) -> bool {
    maps.lease(id).is_some_and(|until| clock::now() < until)
}

/// Waits for the lease of a new master, which begins when its advert has left: the command comes just before, so that
/// the addresses are set meanwhile. The engine is in between then; a later command proves that it has gone on.
pub(super) fn await_lease(maps: &Maps, id: InstanceId, commands: &Queue<Command>) {
    let begun = clock::now();
    while maps.lease(id).is_none() && commands.is_empty() {
        if clock::now().since(begun) < AWAKE {
            hint::spin_loop();
        } else {
            // The engine is kept from running, perhaps by this thread.
            thread::sleep(PAUSE);
        }
    }
}

/// Queues an announcement, if the instance has a lease; sends them if there are many.
pub(super) fn queue(
    outlet: &mut Outlet,
    maps: &Maps,
    live: &LiveState,
    failures: &mut Failures,
    (id, target): (InstanceId, &Target),
) {
    if is_entitled(maps, id) {
        outlet.announcer.queue(id, target.station, target.address);
    }
    if outlet.announcer.is_full() {
        send(outlet, live, failures);
    }
}

/// Sends the announcements that are queued, counts and records them.
pub(super) fn send(outlet: &mut Outlet, live: &LiveState, failures: &mut Failures) {
    let Outlet { announcer, sent } = outlet;
    announcer.flush(|id, address, outcome| match outcome {
        Ok(()) => {
            sent.push((id, address, clock::now()));
            if let Some(live) = live.instances.get(id.index()) {
                live.announcements_sent.fetch_add(1, Relaxed);
            }
        }
        Err(errno) => failures.note(id, Object::Address(address), errno.into()),
    });
    if !sent.is_empty() {
        live.announcements.add(sent);
    }
}
