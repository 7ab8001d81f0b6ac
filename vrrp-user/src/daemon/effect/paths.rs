//! Routes and rules of an instance, which need its addresses: set after the addresses, and removed before them.

use std::io;
use std::sync::Arc;

use super::failures::Failures;
use super::lacks::{Attempt, Lacks};
use crate::config::{InstanceSettings, Route, Rule};
use crate::daemon::queue::Object;
use crate::driver::netlink::refusal::NetlinkError;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::netlink::{route, rule};
use crate::protocol::InstanceId;

#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    routes: Arc<Vec<Route>>,
    rules: Arc<Vec<Rule>>,
}

impl Paths {
    pub(super) fn of(settings: &InstanceSettings) -> Self {
        Self { routes: Arc::clone(&settings.routes), rules: Arc::clone(&settings.rules) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.rules.is_empty()
    }

    /// Sets what is missing: routes, then the rules that lead to them.
    pub(super) fn set(&self, netlink: &mut RouteSocket, attempt: &mut Attempt) {
        let Self { routes, rules } = self;
        attempt.run(routes, Object::of_route, |failed| route::add_missing(netlink, routes, failed));
        attempt.run(rules, Object::of_rule, |failed| rule::add_missing(netlink, rules, failed));
    }

    pub(super) fn remove(&self, id: InstanceId, netlink: &mut RouteSocket, failures: &mut Failures) {
        let Self { routes, rules } = self;
        each(rules, Object::of_rule, id, failures, |failed| rule::remove(netlink, rules, failed));
        each(routes, Object::of_route, id, failures, |failed| route::remove(netlink, routes, failed));
    }

    /// Routes and rules that are tracked, or that could not be set.
    pub(super) fn wanted(&self, lacks: &Lacks) -> Self {
        self.only(
            |route| route.tracked || lacks.has(Object::of_route(route)),
            |rule| rule.tracked || lacks.has(Object::of_rule(rule)),
        )
    }

    /// Without the routes and rules that the kernel keeps once for this instance and for others.
    pub(super) fn without(&self, others: &[&Self]) -> Self {
        self.only(
            |route| !others.iter().any(|other| other.routes.iter().any(|it| it.is_one_with(route))),
            |rule| !others.iter().any(|other| other.rules.iter().any(|it| it.is_one_with(rule))),
        )
    }

    fn only(&self, is_route: impl Fn(&Route) -> bool, is_rule: impl Fn(&Rule) -> bool) -> Self {
        let routes = self.routes.iter().filter(|route| is_route(route)).cloned().collect();
        let rules = self.rules.iter().filter(|rule| is_rule(rule)).cloned().collect();
        Self { routes: Arc::new(routes), rules: Arc::new(rules) }
    }

    /// The routes and rules to remove when `old` gives way to `new`: all routes if any differs, and likewise all rules.
    pub(super) fn where_differing(&self, old: &Self, new: &Self) -> Self {
        Self {
            routes: if old.routes == new.routes { Arc::default() } else { Arc::clone(&self.routes) },
            rules: if old.rules == new.rules { Arc::default() } else { Arc::clone(&self.rules) },
        }
    }
}

/// One send for all; each failure is noted with its object.
fn each<T>(
    list: &[T],
    object: fn(&T) -> Object,
    id: InstanceId,
    failures: &mut Failures,
    act: impl FnOnce(&mut dyn FnMut(usize, NetlinkError)) -> io::Result<()>,
) {
    let Some(first) = list.first() else { return };
    let done = act(&mut |index, refusal| {
        failures.note(id, object(list.get(index).unwrap_or(first)), refusal);
    });
    if let Err(error) = done {
        failures.note_failure(id, object(first), &error);
    }
}

impl Object {
    pub(in crate::daemon) fn of_route(route: &Route) -> Self {
        Self::Route(route.destination, route.table)
    }

    pub(in crate::daemon) fn of_rule(rule: &Rule) -> Self {
        Self::Rule(rule.preference)
    }
}
