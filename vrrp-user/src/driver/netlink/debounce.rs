//! Debouncing of links: a change counts once it has lasted.
//!
//! Enters: whether a link is up, at each check. Leaves: whether it counts as up, and when to check again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use crate::config::LinkDelays;

#[derive(Debug, Default)]
pub struct Debounce {
    links: HashMap<Arc<str>, Bounce>,
}

#[derive(Clone, Copy, Debug)]
struct Bounce {
    delays: LinkDelays,
    /// The debounced state.
    up: bool,
    /// Since when the actual state differs.
    changed: Option<Timestamp>,
    /// The link has been up: its first time up is not delayed.
    seen: bool,
}

impl Debounce {
    pub fn new(delays: impl IntoIterator<Item = (Arc<str>, LinkDelays)>) -> Self {
        let bounce = |delays| Bounce { delays, up: false, changed: None, seen: false };
        Self { links: delays.into_iter().map(|(name, delays)| (name, bounce(delays))).collect() }
    }

    /// Copies the known state of the same links.
    pub fn carry(&mut self, before: &Self) {
        for (name, bounce) in &mut self.links {
            if let Some(old) = before.links.get(name) {
                *bounce = Bounce { delays: bounce.delays, ..*old };
            }
        }
    }

    /// Whether a link with this actual state counts as up; `None`: the interface does not exist, which counts at once.
    pub fn settle(&mut self, name: &str, up: Option<bool>, now: Timestamp) -> bool {
        let Some(bounce) = self.links.get_mut(name) else { return up.unwrap_or(false) };
        let Some(is_up) = up else {
            (bounce.up, bounce.changed) = (false, None);
            return false;
        };
        if is_up == bounce.up {
            bounce.changed = None;
        } else {
            let since = *bounce.changed.get_or_insert(now);
            if !bounce.seen || now.since(since) >= bounce.delay() {
                (bounce.up, bounce.changed) = (is_up, None);
            }
        }
        bounce.seen |= bounce.up;
        bounce.up
    }

    /// When the first pending change will have lasted long enough.
    pub fn next(&self) -> Option<Timestamp> {
        let pending = self.links.values().filter_map(|it| Some(it.changed? + it.delay()));
        pending.min()
    }
}

impl Bounce {
    /// Delay of a change from the debounced state.
    fn delay(&self) -> Duration {
        if self.up { self.delays.down } else { self.delays.up }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    fn debounce() -> Debounce {
        let delays = LinkDelays { down: Duration::from_millis(100), up: Duration::from_millis(30) };
        let mut debounce = Debounce::new([("a".into(), delays)]);
        assert!(debounce.settle("a", Some(true), at(1000)), "the first time counts at once");
        debounce
    }

    #[test]
    fn a_short_change_is_not_seen() {
        let mut debounce = debounce();
        assert!(debounce.settle("a", Some(false), at(2000)));
        assert_eq!(debounce.next(), Some(at(2100)));
        assert!(debounce.settle("a", Some(true), at(2099)));
        assert_eq!(debounce.next(), None);
        assert!(debounce.settle("a", Some(false), at(2150)), "it counts from the last change on");
    }

    #[test]
    fn a_change_that_lasts_counts_in_its_own_time() {
        let mut debounce = debounce();
        assert!(debounce.settle("a", Some(false), at(2000)));
        assert!(!debounce.settle("a", Some(false), at(2100)));
        assert!(!debounce.settle("a", Some(true), at(3000)));
        assert_eq!(debounce.next(), Some(at(3030)));
        assert!(debounce.settle("a", Some(true), at(3030)));
    }

    #[test]
    fn an_interface_that_goes_is_down_at_once_and_others_are_as_they_are() {
        let mut debounce = debounce();
        assert!(!debounce.settle("a", None, at(2000)));
        assert!(!debounce.settle("a", Some(true), at(2001)));
        assert!(debounce.settle("b", Some(true), at(2001)) && !debounce.settle("b", Some(false), at(2002)));
    }

    #[test]
    fn a_reload_keeps_what_is_under_way() {
        let mut before = debounce();
        before.settle("a", Some(false), at(2000));
        let delays = LinkDelays { down: Duration::from_millis(50), up: Duration::ZERO };
        let mut after = Debounce::new([("a".into(), delays)]);
        after.carry(&before);
        assert_eq!(after.next(), Some(at(2050)));
        assert!(!after.settle("a", Some(false), at(2050)));
    }
}
