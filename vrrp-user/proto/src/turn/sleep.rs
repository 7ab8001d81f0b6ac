//! The return of a machine that was asleep: no lease of before, and nothing heard before, counts.

use vrrp_ebpf::time::Timestamp;

use super::{Ports, Turn};
use crate::event::Event;
use crate::units::InstanceId;

impl Turn {
    /// Notes how long the machine has been asleep so far, so that a sleep before the first turn counts.
    pub fn begin<P: Ports>(&mut self, ports: &mut P) {
        let now = ports.now();
        self.sleep.note(ports.asleep(), now);
    }

    /// Peers may have replaced each master meanwhile, also if it is another process that replaces this one.
    pub(super) fn expire_leases<P: Ports>(&mut self, ports: &mut P, now: Timestamp) {
        for (watcher, id) in self.watchers.iter_mut().zip(InstanceId::all()) {
            if watcher.lease.expire(now) {
                ports.set_lease(id, Some(now));
            }
        }
    }

    /// Once after a sleep, unless another process decides: what was heard before says nothing about now. Call it before
    /// any input, which may make a master send, or a backup that was ready take over.
    pub(super) fn doubt<P: Ports>(&mut self, ports: &mut P, now: Timestamp) {
        if !self.is_paused && self.sleep.take() {
            self.doubt_all(now);
            self.act(ports, None, now);
        }
    }

    pub(super) fn doubt_all(&mut self, now: Timestamp) {
        for id in InstanceId::all().take(self.watchers.len()) {
            self.router.handle(&Event::Slept(id), now);
        }
    }
}
