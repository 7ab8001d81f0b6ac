//! The return of a machine that was asleep: no lease of before, and nothing heard before, counts.

use vrrp_ebpf::time::Timestamp;

use super::{Ports, Turn};
use crate::event::Event;
use crate::units::InstanceId;

impl Turn {
    /// Peers may have replaced each master meanwhile, also if it is another process that replaces this one.
    pub(super) fn expire_leases<P: Ports>(&mut self, ports: &mut P, now: Timestamp) {
        for (watcher, id) in self.watchers.iter_mut().zip(InstanceId::all()) {
            if watcher.lease.expire(now) {
                ports.set_lease(id, Some(now));
            }
        }
    }

    /// What was heard before says nothing about now.
    pub(super) fn doubt_all<P: Ports>(&mut self, ports: &mut P, now: Timestamp) {
        for id in InstanceId::all().take(self.watchers.len()) {
            self.router.handle(&Event::Slept(id), now);
        }
        self.act(ports, None, now);
    }
}
