//! The guard's plan, kept current, and former settings whose addresses may still be set.
//!
//! Enters: the configuration, interfaces, receive paths, and what the effect thread has left. Leaves: the plan, made
//! when one of them has changed.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use super::interfaces::{EarlierSettings, Interfaces};
use crate::config::InstanceSettings;
use crate::daemon::guard::Guard;
use crate::driver::netlink::table::Table;
use crate::protocol::InstanceId;

/// Between two plans, while former addresses may be set or a plan could not be written.
const PAUSE: Duration = Duration::from_millis(500);

impl Interfaces<'_> {
    /// Returns when to call it again if nothing changes.
    pub(super) fn update_plan(&self, table: &Table) -> Option<Duration> {
        let guard = self.guard.get();
        self.context.history.guard(guard.and_then(Guard::pid), guard.and_then(Guard::fault));
        let guard = guard?;
        let outlives = self.attachments.outlive();
        let is_fenced = |id: InstanceId| {
            let live = self.context.live.instances.get(id.index());
            outlives && live.is_some_and(|live| live.fenced.load(Relaxed))
        };
        let (pins, filters) = (self.attachments.pins(), self.attachments.filters());
        let former = self.former.iter().filter(|former| self.may_be_set(former));
        let former: Vec<&InstanceSettings> = former.map(|former| &*former.settings).collect();
        let is_written = guard.update_plan(&self.config, &former, table, is_fenced, pins, filters);
        (!is_written || !former.is_empty()).then_some(PAUSE)
    }

    /// Whether addresses are still to be removed, or could not be.
    pub(super) fn may_be_set(&self, former: &EarlierSettings) -> bool {
        !former.is_left.load(Acquire) || self.has_left(former.id)
    }

    /// Whether addresses of the instance could not be removed.
    pub(super) fn has_left(&self, id: InstanceId) -> bool {
        let live = self.context.live.instances.get(id.index());
        live.is_some_and(|live| live.leftovers.load(Relaxed) > 0)
    }
}
