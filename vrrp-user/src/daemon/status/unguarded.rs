//! Problems of the daemon as a whole: no instance, and no guard that would remove the addresses.

use super::Status;
use super::problem::Problem;

/// Seconds from the start of a daemon within which its guard has started.
const GUARD_STARTS: f64 = 2.0;

impl Status {
    pub(super) fn idle(&self) -> Option<String> {
        let text = "there is no vrrp_instance";
        self.instances.is_empty().then(|| text.to_owned())
    }

    pub(super) fn unguarded(&self) -> Option<Problem<'_>> {
        let is_missing = self.fence.guard.is_none() && self.node.uptime_seconds > GUARD_STARTS;
        let missing = "does not run: the addresses of a killed daemon stay set; the log has the reason";
        let text = self.fence.guard_fault.clone().or_else(|| is_missing.then(|| missing.to_owned()))?;
        (!self.node.is_bridge).then_some(Problem { about: "guard", text })
    }
}
