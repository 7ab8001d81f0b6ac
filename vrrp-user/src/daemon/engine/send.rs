//! Sends of adverts.
//!
//! Enters: interfaces and source addresses as they come and go, adverts that are due. Leaves: sends of adverts that
//! are due together, many by each, with their outcomes, and the leases that they give.

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use super::link::Link;
use super::ports::KernelPorts;
use crate::daemon::queue::Report;
use crate::protocol::{InstanceId, Priority, SendError};

/// Between two reports of the same instance's send failures.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

impl KernelPorts {
    /// Queues an advert to these destinations; none means all of its own. False without an interface or a source to
    /// send from.
    pub(super) fn queue_advert(&mut self, id: InstanceId, priority: Priority, only: &[IpAddr]) -> bool {
        let Some(Link { outgoing: Some(outgoing), gate, .. }) = self.links.get_mut(id.index()) else {
            return false;
        };
        let fewer = (!only.is_empty()).then(|| outgoing.only(only));
        let outgoing = fewer.as_ref().unwrap_or(outgoing);
        match gate {
            Some(gate) => gate.send(&mut self.sender, outgoing, id, priority),
            None => self.sender.queue(outgoing, id, priority),
        }
        if let Some(live) = self.live(id) {
            live.adverts_sent.fetch_add(1, Relaxed);
            if priority == Priority::RELEASE {
                live.release_sent.fetch_add(1, Relaxed);
            }
        }
        true
    }

    /// Sends the queued adverts. Writes the leases that `settled` returns, and reports failures.
    pub(super) fn send(
        &mut self,
        now: Timestamp,
        mut settled: impl FnMut(InstanceId, IpAddr, Result<(), SendError>) -> Option<Timestamp>,
    ) {
        let Self { sender, live, links, reports, maps, .. } = self;
        sender.flush(|id, to, outcome| {
            let Err(errno) = outcome else {
                if let Some(until) = settled(id, to, Ok(())) {
                    maps.set_lease(id, Some(until));
                }
                return;
            };
            settled(id, to, Err(error_of(errno)));
            if let Some(live) = live.instances.get(id.index()) {
                live.send_errors.fetch_add(1, Relaxed);
            }
            let Some(link) = links.get_mut(id.index()) else { return };
            if link.failure_reported.is_none_or(|last| now.since(last) >= FAILURE_PAUSE) {
                link.failure_reported = Some(now);
                reports.push(Report::SendFailed(id, errno));
            }
        });
    }

    pub(super) fn set_interface(&mut self, id: InstanceId, ifindex: Option<u32>) {
        if let Some(link) = self.links.get_mut(id.index()) {
            link.ifindex = ifindex;
            link.build();
        }
        if let Some(live) = self.live(id) {
            live.ifindex.store(ifindex.unwrap_or(0), Relaxed);
        }
    }

    pub(super) fn set_sender(&mut self, id: InstanceId, ifindex: Option<u32>) {
        if let Some(link) = self.links.get_mut(id.index()) {
            link.sender = ifindex;
            link.build();
        }
    }
}

/// Refused by this host, as opposed to unreachable: a peer without a route, or whose neighbour entry has failed, may be
/// dead.
fn error_of(errno: i32) -> SendError {
    match errno {
        libc::EPERM | libc::EACCES | libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN => SendError::Refused,
        _ => SendError::Unreachable,
    }
}
