//! Orders of operators that are in force, by instance.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::protocol::{Priority, Steering, SteeringOrder};

/// The end of an order, its author and its reason.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Order {
    /// Time of CLOCK_BOOTTIME in ms; `None`: until it is taken back.
    pub until: Option<u64>,
    pub by: String,
    pub reason: Option<String>,
}

/// The orders of one instance.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Steered {
    pub maintenance: Option<Order>,
    pub failover: Option<Order>,
    pub priority: Option<(u8, Order)>,
}

/// All orders in force.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Steerings {
    /// By name.
    pub instances: BTreeMap<String, Steered>,
    /// The log level or filter.
    pub log: Option<(String, Order)>,
}

/// The kinds of orders.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Maintenance,
    Failover,
    Priority,
}

impl Kind {
    /// The word in status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Maintenance => "maintenance",
            Self::Failover => "failover",
            Self::Priority => "priority",
        }
    }
}

impl Order {
    /// Its end by the wall clock.
    pub fn end(&self) -> Option<SystemTime> {
        SystemTime::now().checked_add(self.left()?)
    }

    pub fn left(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.until?.saturating_sub(now())))
    }

    pub(super) fn is_over(&self, now: u64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Steered {
    /// Each order, with the priority it sets.
    pub fn orders(&self) -> impl Iterator<Item = (Kind, Option<u8>, &Order)> {
        let maintenance = self.maintenance.iter().map(|order| (Kind::Maintenance, None, order));
        let failover = self.failover.iter().map(|order| (Kind::Failover, Some(1), order));
        let priority = self.priority.iter().map(|(base, order)| (Kind::Priority, Some(*base), order));
        maintenance.chain(failover).chain(priority)
    }

    /// The base priority in force, if it is not the configured one: that of a failover, or that which was set.
    pub fn base(&self) -> Option<u8> {
        self.orders().find_map(|(_, base, _)| base)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.orders().next().is_none()
    }

    pub(super) fn steering(&self) -> Steering {
        Steering {
            maintenance: self.maintenance.is_some(),
            steps_back: self.failover.is_some(),
            priority: self.priority.as_ref().map(|(base, _)| Priority(*base)),
        }
    }

    /// Takes those that are over at `now`.
    pub(super) fn take_over(&mut self, now: u64) -> Vec<(Kind, Order)> {
        let over = |order: &mut Option<Order>| order.take_if(|order| order.is_over(now));
        let maintenance = over(&mut self.maintenance).map(|order| (Kind::Maintenance, order));
        let failover = over(&mut self.failover).map(|order| (Kind::Failover, order));
        let priority = self.priority.take_if(|(_, order)| order.is_over(now));
        let priority = priority.map(|(_, order)| (Kind::Priority, order));
        [maintenance, failover, priority].into_iter().flatten().collect()
    }
}

impl Steerings {
    pub fn of(&self, name: &str) -> Option<&Steered> {
        self.instances.get(name)
    }

    /// For the engine, the orders of every instance, steered or not.
    pub fn orders(&self, config: &Config) -> Box<[SteeringOrder]> {
        let order = |instance: &crate::config::Instance| SteeringOrder {
            instance: instance.id,
            steering: self.of(&instance.settings.name).map(Steered::steering).unwrap_or_default(),
            hands_over: false,
        };
        config.instances.iter().map(order).collect()
    }

    /// Gives the orders of renamed instances to their new names; `renamed` has the earlier names, with the new ones. A
    /// new name that another instance has given up has no orders of that one.
    pub(super) fn rename(&mut self, renamed: &[(Arc<str>, Arc<str>)]) {
        let moved: Vec<_> = renamed.iter().map(|(old, _)| self.instances.remove(&**old)).collect();
        for ((_, new), steered) in renamed.iter().zip(moved) {
            match steered {
                Some(steered) => drop(self.instances.insert(new.to_string(), steered)),
                None => drop(self.instances.remove(&**new)),
            }
        }
    }

    /// As after a reload from `before` to `after`, whose numbers agree.
    pub fn following(mut self, before: &Config, after: &Config) -> Self {
        self.rename(&renamed(before, after));
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.log.is_none()
    }

    /// Forgets instances without orders.
    pub(super) fn tidy(&mut self) {
        self.instances.retain(|_, steered| !steered.is_empty());
    }

    /// Forgets instances that are not configured, or have no orders.
    pub(super) fn retain(&mut self, config: &Config) {
        let is_configured =
            |name: &String| config.instances.iter().any(|instance| *instance.settings.name == **name);
        self.instances.retain(|name, steered| is_configured(name) && !steered.is_empty());
    }

    /// When the first order ends.
    pub(super) fn next_end(&self) -> Option<u64> {
        let orders = self.instances.values().flat_map(|steered| steered.orders());
        let ends = orders.filter_map(|(_, _, order)| order.until);
        ends.chain(self.log.as_ref().and_then(|(_, order)| order.until)).min()
    }
}

/// The instances of both configurations that have another name in the second one.
pub(super) fn renamed(before: &Config, after: &Config) -> Vec<(Arc<str>, Arc<str>)> {
    let names = |instance: &crate::config::Instance| {
        let old = &before.instance(instance.id)?.settings.name;
        Some((Arc::clone(old), Arc::clone(&instance.settings.name)))
    };
    after.instances.iter().filter_map(names).filter(|(old, new)| old != new).collect()
}

/// CLOCK_BOOTTIME in ms.
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(until: Option<u64>) -> Order {
        Order { until, by: "root".into(), reason: None }
    }

    #[test]
    fn an_order_ends_at_its_time_and_leaves_the_others() {
        let mut steered = Steered {
            maintenance: Some(order(Some(100))),
            failover: None,
            priority: Some((50, order(None))),
        };
        assert_eq!(steered.take_over(99), []);
        assert_eq!(steered.take_over(100), [(Kind::Maintenance, order(Some(100)))]);
        assert_eq!(steered.steering(), Steering { priority: Some(Priority(50)), ..Steering::default() });
    }

    #[test]
    fn orders_follow_renamed_instances_also_if_they_change_names() {
        let steered = |priority| Steered { priority: Some((priority, order(None))), ..Steered::default() };
        let mut steerings = Steerings::default();
        let named = [("a", 1), ("b", 2), ("gone", 3), ("same", 4)];
        steerings.instances = named.into_iter().map(|(name, it)| (name.to_owned(), steered(it))).collect();
        let renamed = [("a", "b"), ("b", "a"), ("free", "gone")];
        steerings.rename(&renamed.map(|(old, new)| (old.into(), new.into())));
        let expected = [("a", 2), ("b", 1), ("same", 4)];
        let expected = expected.into_iter().map(|(name, it)| (name.to_owned(), steered(it))).collect();
        assert_eq!(steerings.instances, expected);
    }

    #[test]
    fn the_first_end_counts() {
        let mut steerings = Steerings::default();
        assert_eq!(steerings.next_end(), None);
        let one = Steered { maintenance: Some(order(Some(300))), ..Steered::default() };
        let two = Steered { failover: Some(order(Some(200))), ..Steered::default() };
        steerings.instances = BTreeMap::from([("a".into(), one), ("b".into(), two)]);
        assert_eq!(steerings.next_end(), Some(200));
        steerings.log = Some(("debug".into(), order(Some(100))));
        assert_eq!(steerings.next_end(), Some(100));
    }
}
