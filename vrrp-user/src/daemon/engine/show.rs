//! Values that the engine writes to the live state and no action carries.

use std::sync::atomic::Ordering::Relaxed;

use super::ports::KernelPorts;
use crate::protocol::{Event, Instance, InstanceId, Router, Timer};

impl KernelPorts {
    /// Counters, and what holds back the instance whose advert was handled.
    pub(super) fn count(&self, router: &Router, handled: Option<InstanceId>) {
        self.live.suspensions.store(router.suspensions(), Relaxed);
        let Some(id) = handled else { return };
        if let (Some(view), Some(live)) = (router.instance(id), self.live(id)) {
            let stats = view.stats();
            live.contests.store(stats.contests, Relaxed);
            let rivalled = u64::try_from(stats.rivalled.as_nanos()).unwrap_or(u64::MAX);
            live.rivalled_nanos.store(rivalled, Relaxed);
        }
        self.show(router, id);
    }

    pub(super) fn show(&self, router: &Router, id: InstanceId) {
        let view = router.instance(id).filter(|view| !view.is_removed());
        if let (Some(view), Some(live)) = (view, self.live(id)) {
            live.set_obstacles(view.faults(), view.deadline(Timer::PreemptDelay));
            live.set_master_down(view.deadline(Timer::MasterDown));
        }
    }

    /// At the start each of many instances has events of its own: these concern no other one.
    pub(super) fn show_affected(&self, router: &Router, event: &Event) {
        match *event {
            Event::Link(id, _) | Event::Source(id, _) | Event::Lost(id, ..) | Event::Announce(id) => {
                self.show(router, id);
            }
            _ => self.show_all(router),
        }
    }

    pub(super) fn show_all(&self, router: &Router) {
        router.instances().iter().map(Instance::id).for_each(|id| self.show(router, id));
    }
}
