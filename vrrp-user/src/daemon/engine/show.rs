//! Values that the engine writes to the live state and no action carries.

use std::sync::atomic::Ordering::Relaxed;

use super::Engine;
use crate::protocol::{Event, Instance, InstanceId, Timer};

impl Engine {
    /// Counters, and what holds back the instance whose advert was handled.
    pub(super) fn count(&self, cause: Option<InstanceId>) {
        self.live.suspensions.store(self.router.suspensions(), Relaxed);
        let Some(instance) = cause else { return };
        if let (Some(view), Some(live)) =
            (self.router.instance(instance), self.live.instances.get(instance.index()))
        {
            let stats = view.stats();
            live.contests.store(stats.contests, Relaxed);
            let rivalled = u64::try_from(stats.rivalled.as_nanos()).unwrap_or(u64::MAX);
            live.rivalled_nanos.store(rivalled, Relaxed);
        }
        self.show(instance);
    }

    pub(super) fn show(&self, instance: InstanceId) {
        let view = self.router.instance(instance).filter(|view| !view.is_removed());
        if let (Some(view), Some(live)) = (view, self.live.instances.get(instance.index())) {
            live.set_obstacles(view.faults(), view.deadline(Timer::PreemptDelay));
        }
    }

    /// At the start each of many instances has events of its own: these concern no other one.
    pub(super) fn show_affected(&self, event: &Event) {
        match *event {
            Event::Link(instance, _)
            | Event::Source(instance, _)
            | Event::Lost(instance, _)
            | Event::Announce(instance) => {
                self.show(instance);
            }
            _ => self.show_all(),
        }
    }

    pub(super) fn show_all(&self) {
        self.router.instances().iter().map(Instance::id).for_each(|instance| self.show(instance));
    }
}
