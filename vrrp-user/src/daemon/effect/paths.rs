//! Routes and rules of an instance, which need its addresses: set after them, and removed before them.

use std::io;
use std::sync::Arc;

use super::fault::Faults;
use crate::daemon::queue::Object;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::netlink::{route, rule};
use crate::protocol::{InstanceId, InstanceSettings, Route, Rule};

#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    routes: Arc<Vec<Route>>,
    rules: Arc<Vec<Rule>>,
}

impl Paths {
    pub(super) fn of(settings: &InstanceSettings) -> Self {
        Self { routes: Arc::clone(&settings.routes), rules: Arc::clone(&settings.rules) }
    }

    /// Routes, then the rules that lead to them.
    pub(super) fn set(&self, id: InstanceId, netlink: &mut RouteSocket, faults: &mut Faults) {
        let Self { routes, rules } = self;
        each(routes, Object::of_route, id, faults, |failed| route::add(netlink, routes, failed));
        each(rules, Object::of_rule, id, faults, |failed| rule::add(netlink, rules, failed));
    }

    pub(super) fn remove(&self, id: InstanceId, netlink: &mut RouteSocket, faults: &mut Faults) {
        let Self { routes, rules } = self;
        each(rules, Object::of_rule, id, faults, |failed| rule::remove(netlink, rules, failed));
        each(routes, Object::of_route, id, faults, |failed| route::remove(netlink, routes, failed));
    }

    /// Sets again what is missing of those that are tracked, and tells what that was.
    pub(super) fn put_back(
        &self,
        id: InstanceId,
        netlink: &mut RouteSocket,
        faults: &mut Faults,
        objects: &mut Vec<Object>,
    ) {
        let routes: Vec<Route> = self.routes.iter().filter(|route| route.tracked).cloned().collect();
        missing(&routes, Object::of_route, id, faults, objects, |failed| {
            route::add_missing(netlink, &routes, failed)
        });
        let rules: Vec<Rule> = self.rules.iter().filter(|rule| rule.tracked).cloned().collect();
        missing(&rules, Object::of_rule, id, faults, objects, |failed| {
            rule::add_missing(netlink, &rules, failed)
        });
    }

    /// What has to go, and what has to come in its place: where routes differ in anything, all of them; and so for
    /// rules.
    pub(super) fn differing(&self, new: &Self) -> (Self, Self) {
        let part = |it: &Self| Self {
            routes: if self.routes == new.routes { Arc::default() } else { Arc::clone(&it.routes) },
            rules: if self.rules == new.rules { Arc::default() } else { Arc::clone(&it.rules) },
        };
        (part(self), part(new))
    }
}

/// One send for all; each fault is told with what it concerns.
fn each<T>(
    list: &[T],
    object: fn(&T) -> Object,
    id: InstanceId,
    faults: &mut Faults,
    act: impl FnOnce(&mut dyn FnMut(usize, i32)) -> io::Result<()>,
) {
    let Some(first) = list.first() else { return };
    let done = act(&mut |index, errno| faults.note(id, object(list.get(index).unwrap_or(first)), errno));
    if let Err(error) = done {
        faults.note_failure(id, object(first), &error);
    }
}

/// As [`each`]; what was there already is no fault, and what was not is told.
fn missing<T>(
    list: &[T],
    object: fn(&T) -> Object,
    id: InstanceId,
    faults: &mut Faults,
    objects: &mut Vec<Object>,
    act: impl FnOnce(&mut dyn FnMut(usize, i32)) -> io::Result<()>,
) {
    let mut is_missing = vec![true; list.len()];
    each(list, object, id, faults, |failed| {
        let done = act(&mut |index, errno| {
            if let Some(is_missing) = is_missing.get_mut(index) {
                *is_missing = false;
            }
            if errno != libc::EEXIST {
                failed(index, errno);
            }
        });
        if done.is_err() {
            is_missing.fill(false);
        }
        done
    });
    let put_back = list.iter().zip(is_missing).filter(|(_, is_missing)| *is_missing);
    objects.extend(put_back.map(|(item, _)| object(item)));
}

impl Object {
    fn of_route(route: &Route) -> Self {
        Self::Route(route.destination.0)
    }

    fn of_rule(rule: &Rule) -> Self {
        Self::Rule(rule.preference)
    }
}
