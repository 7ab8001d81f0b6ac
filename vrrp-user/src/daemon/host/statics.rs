//! Static addresses, routes and rules, for as long as the daemon runs.
//!
//! Enters: the configuration, and changes of links and addresses. Leaves: addresses and routes, set once their
//! interface is there, set again when they are removed, and removed at the end except those that were there before.
//! Each call of [`Statics::keep`] tries again what could not be set, and records what is missing. Runs on the main
//! thread.

use std::io;
use std::sync::Arc;

use tracing::{info, warn};

use crate::config;
use crate::config::{Route, Rule, VirtualAddress};
use crate::daemon::events::EventKind;
use crate::daemon::history::{History, StaticRecord};
use crate::daemon::queue::{Lack, Object};
use crate::daemon::report::first;
use crate::driver::netlink::address::{self, Placed};
use crate::driver::netlink::refusal::NetlinkError;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::netlink::table::Table;
use crate::driver::netlink::{route, rule};
use crate::driver::{clock, ownership};
use crate::protocol::{RemovalCounter, RemovalResponse};

#[derive(Debug)]
pub struct Statics {
    socket: RouteSocket,
    addresses: Vec<Static>,
    routes: Vec<Path<Route>>,
    rules: Vec<Path<Rule>>,
    removals: RemovalCounter,
    /// What was recorded last.
    reported: StaticRecord,
}

#[derive(Debug)]
struct Static {
    device: Arc<str>,
    address: VirtualAddress,
    /// Set by this daemon, or by an earlier run of it.
    ours: bool,
    /// Why it could not be set.
    refusal: Option<NetlinkError>,
}

/// A route or a rule.
#[derive(Debug)]
struct Path<T> {
    wanted: T,
    is_set: bool,
    /// Why it could not be set.
    refusal: Option<NetlinkError>,
}

impl<T> Path<T> {
    fn new(wanted: T) -> Self {
        Self { wanted, is_set: false, refusal: None }
    }

    /// Records the outcome of an attempt.
    fn note(&mut self, refusal: Option<NetlinkError>) -> News {
        self.is_set = refusal.is_none();
        News::replace(&mut self.refusal, refusal)
    }
}

/// Change of the outcome since the attempt before.
#[derive(Debug)]
enum News {
    /// It failed, and the one before did not.
    Failed(NetlinkError),
    /// It succeeded, and the one before did not.
    Healed,
    None,
}

impl News {
    fn replace(before: &mut Option<NetlinkError>, now: Option<NetlinkError>) -> Self {
        match (std::mem::replace(before, now.clone()), now) {
            (None, Some(refusal)) => Self::Failed(refusal),
            (Some(_), None) => Self::Healed,
            _ => Self::None,
        }
    }
}

impl Statics {
    /// # Errors
    /// No file descriptor is left.
    pub fn new(wanted: &config::Statics) -> io::Result<Self> {
        let socket = RouteSocket::open()?;
        let (removals, reported) = (RemovalCounter::default(), StaticRecord::default());
        let mut this =
            Self { socket, addresses: Vec::new(), routes: Vec::new(), rules: Vec::new(), removals, reported };
        this.adopt(wanted);
        Ok(this)
    }

    /// Takes another configuration: removes what is not in it; [`Self::keep`] sets what is new.
    pub fn adopt(&mut self, wanted: &config::Statics) {
        let gone = |it: &Static| {
            !wanted.addresses.iter().any(|(device, address)| (device, address) == (&it.device, &it.address))
        };
        self.removals = RemovalCounter::default();
        let Self { socket, addresses, routes, rules, .. } = self;
        rules.retain(|Path { wanted: rule, .. }| {
            let kept = wanted.rules.contains(rule);
            if !kept {
                let _ = rule::remove(socket, std::slice::from_ref(rule), |_, _| {});
            }
            kept
        });
        routes.retain(|Path { wanted: route, .. }| {
            let kept = wanted.routes.contains(route);
            if !kept {
                let _ = route::remove(socket, std::slice::from_ref(route), |_, _| {});
            }
            kept
        });
        addresses.retain(|it| {
            let is_gone = gone(it);
            if is_gone && it.ours {
                remove(socket, it);
            }
            !is_gone
        });
        for (device, address) in &wanted.addresses {
            let known = addresses.iter().any(|it| (&it.device, &it.address) == (device, address));
            if !known {
                let (device, address) = (Arc::clone(device), address.clone());
                addresses.push(Static { device, address, ours: false, refusal: None });
            }
        }
        for route in &wanted.routes {
            if !routes.iter().any(|known| known.wanted == *route) {
                routes.push(Path::new(route.clone()));
            }
        }
        for rule in &wanted.rules {
            if !rules.iter().any(|known| known.wanted == *rule) {
                rules.push(Path::new(rule.clone()));
            }
        }
        let objects = self.objects();
        self.reported.lacks.retain(|lack| objects.contains(&lack.object));
        // Routes and rules that were given up are tried again, too.
        self.renew();
    }

    /// Whether something could not be set although its interface is there.
    pub fn is_lacking(&self) -> bool {
        self.addresses.iter().filter_map(|it| it.refusal.as_ref()).any(|it| it.errno != libc::ENODEV)
            || self.routes.iter().any(|it| it.refusal.is_some())
            || self.rules.iter().any(|it| it.refusal.is_some())
    }

    /// Sets what is missing, if its interface is there, and records what could not be set.
    pub fn keep(&mut self, table: &Table, history: &History) {
        self.set_missing(table);
        self.report(history);
    }

    fn objects(&self) -> Vec<Object> {
        let addresses = self.addresses.iter().map(|it| Object::Address(it.address.address));
        let routes = self.routes.iter().map(|it| Object::of_route(&it.wanted));
        addresses.chain(routes).chain(self.rules.iter().map(|it| Object::of_rule(&it.wanted))).collect()
    }

    /// What could not be set, in the order of [`Self::objects`].
    fn lacks(&self) -> Vec<Lack> {
        let refusals = self.addresses.iter().map(|it| &it.refusal);
        let refusals = refusals.chain(self.routes.iter().map(|it| &it.refusal));
        let refusals = refusals.chain(self.rules.iter().map(|it| &it.refusal));
        let all = self.objects().into_iter().zip(refusals);
        all.filter_map(|(object, refusal)| Some(Lack { object, refusal: refusal.clone()? })).collect()
    }

    fn report(&mut self, history: &History) {
        let is_abandoned = self.removals.verdict() != RemovalResponse::PutBack;
        let now = StaticRecord { lacks: self.lacks(), is_abandoned };
        if now == self.reported && now == history.read().statics {
            return;
        }
        let among = |list: &[Lack], lack: &Lack| list.iter().any(|known| known.object == lack.object);
        let fresh: Vec<&Lack> = now.lacks.iter().filter(|lack| !among(&self.reported.lacks, lack)).collect();
        let healed: Vec<&Lack> = self.reported.lacks.iter().filter(|lack| !among(&now.lacks, lack)).collect();
        for (lack, more) in first(&fresh) {
            let (object, error) = (lack.object.to_string(), lack.refusal.plain());
            history.events.push(EventKind::StaticFailed { object, error, more });
        }
        for (lack, more) in first(&healed) {
            history.events.push(EventKind::StaticRestored { object: lack.object.to_string(), more });
        }
        if is_abandoned && !self.reported.is_abandoned {
            history.events.push(EventKind::StaticAbandoned);
        }
        history.write().statics = now.clone();
        self.reported = now;
    }

    fn set_missing(&mut self, table: &Table) {
        let Self { socket, addresses, routes, rules, .. } = self;
        let mut changed = false;
        for it in addresses {
            let Some(link) = table.link(&it.device) else {
                let (address, interface) = (it.address.address, &it.device);
                if let News::Failed(error) = News::replace(&mut it.refusal, Some(libc::ENODEV.into())) {
                    warn!(%address, %interface, %error, "cannot set static address");
                }
                continue;
            };
            let present = table
                .addresses(link.ifindex)
                .iter()
                .find(|present| (present.address, present.prefix) == (it.address.address, it.address.prefix));
            if let Some(present) = present {
                it.ours |= present.marked;
                // Another process may have set it after a refusal.
                it.refusal = None;
                continue;
            }
            let mut refusal = None;
            let placed = [Placed { ifindex: link.ifindex, address: &it.address, is_own: false }];
            let done = address::add(socket, &placed, |_, refused| refusal = Some(refused));
            let refusal = refusal.or_else(|| failure(done));
            let is_taken = refusal.is_none();
            let (address, interface) = (it.address.address, &it.device);
            match News::replace(&mut it.refusal, refusal) {
                News::Failed(error) => warn!(%address, %interface, %error, "cannot set static address"),
                News::Healed => info!(%address, %interface, "a static address is set now"),
                News::None => {}
            }
            it.ours |= is_taken;
            changed |= is_taken;
        }
        for it in routes.iter_mut().filter(|it| changed || !it.is_set) {
            let mut refusal = None;
            let route = std::slice::from_ref(&it.wanted);
            let done = route::add(socket, route, |_, refused| refusal = Some(refused));
            let news = it.note(refusal.or_else(|| failure(done)));
            let ((destination, prefix), table) = (it.wanted.destination, it.wanted.table);
            match news {
                News::Failed(error) => {
                    warn!(%destination, prefix, table, %error, "cannot set static route");
                }
                News::Healed => info!(%destination, prefix, table, "a static route is set now"),
                News::None => {}
            }
        }
        for it in rules.iter_mut().filter(|it| !it.is_set) {
            let mut refusal = None;
            let rule = std::slice::from_ref(&it.wanted);
            let done = rule::add(socket, rule, |_, refused| refusal = Some(refused));
            let news = it.note(refusal.or_else(|| failure(done)));
            let preference = it.wanted.preference;
            match news {
                News::Failed(error) => warn!(preference, %error, "cannot set static rule"),
                News::Healed => info!(preference, "a static rule is set now"),
                News::None => {}
            }
        }
    }

    /// Another process has removed a route or a rule: [`Self::keep`] sets all again, unless that happens again and
    /// again.
    pub fn lose_paths(&mut self) {
        match self.removals.note(clock::now()) {
            RemovalResponse::PutBack => self.renew(),
            RemovalResponse::GiveUp => {
                warn!("another process keeps removing static routes and rules; they are not set again");
            }
            RemovalResponse::Leave => {}
        }
    }

    /// The kernel may have dropped routes: [`Self::keep`] sets the missing ones again.
    pub fn renew_paths(&mut self) {
        if self.removals.verdict() == RemovalResponse::PutBack {
            self.renew();
        }
    }

    fn renew(&mut self) {
        let routes = self.routes.iter_mut().filter(|it| it.wanted.tracked);
        routes.for_each(|it| it.is_set = false);
        let rules = self.rules.iter_mut().filter(|it| it.wanted.tracked);
        rules.for_each(|it| it.is_set = false);
    }
}

impl Drop for Statics {
    fn drop(&mut self) {
        if ownership::is_ours() {
            self.adopt(&config::Statics::default());
        }
    }
}

/// The error of netlink itself.
fn failure(done: io::Result<()>) -> Option<NetlinkError> {
    done.err().map(|error| NetlinkError::from(&error))
}

fn remove(socket: &mut RouteSocket, it: &Static) {
    let Ok(link) = crate::driver::netlink::link::Link::by_name(socket, &it.device) else { return };
    let placed = [Placed { ifindex: link.ifindex, address: &it.address, is_own: false }];
    let _ = address::remove(socket, &placed, |_, error| {
        warn!(address = %it.address.address, interface = %it.device, %error, "cannot remove static address");
    });
}
