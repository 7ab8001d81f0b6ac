//! Driver of the host side: carries changes of links and addresses to the engine, and new configurations to every part.
//!
//! Enters: the kernel's notifications, and configurations to change over to. Leaves: interfaces with virtual MAC
//! addresses, programs and slots, and then [`Input`]s for the engine, which finds everything ready. Runs on the main
//! thread.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::{info, warn};
use vrrp_ebpf::time::Timestamp;

use super::attach::Attachments;
use super::firewall::Firewall;
use super::mending::Mending;
use super::reception;
use super::secondaries::Secondaries;
use super::statics::Statics;
use super::vmacs::Vmacs;
use crate::config::{Config, Instance, InstanceSettings, NoRoom, words};
use crate::daemon::auth::MarkStore;
use crate::daemon::guard::Guard;
use crate::daemon::history::{NOT_FOUND, RxPathNote};
use crate::daemon::queue::{Input, Queue};
use crate::daemon::reload::change;
use crate::daemon::status::DaemonContext;
use crate::driver::RxPath;
use crate::driver::clock;
use crate::driver::netlink::kin::Kin;
use crate::driver::netlink::monitor::Monitor;
use crate::driver::netlink::removal::{Lost, LostAddresses, Owned, PathMonitor, unnamed};
use crate::driver::netlink::removed_by::RemovedBy;
use crate::driver::netlink::table::Table;
use crate::driver::netlink::tracker::{Change, Tracker};
use crate::driver::ownership;
use crate::driver::resumption::Resumption;
use crate::protocol::{Event, InstanceId, Loss, State, TrackId};

/// Between two looks for a guard while there is none.
const GUARD_LOOK: Duration = Duration::from_secs(1);

/// Between two attempts to push into a full queue.
const RETRY: Duration = Duration::from_millis(10);

/// The longest time that new instances wait for an interface with a virtual MAC address to come up.
const MADE_WAIT: Duration = Duration::from_millis(500);

/// Changes for which the engine is woken at the latest.
const CHANGES_AT_ONCE: usize = 32;

/// Longest time from one look at the table of the firewall to the next.
const KEPT: Duration = Duration::from_secs(1);

/// Orders of the service.
#[derive(Debug)]
pub enum Order {
    /// Use another configuration from now on. The answer is the configuration with its numbers, or why it cannot be
    /// used and the present one stays.
    Adopt(Box<Config>, oneshot::Sender<Result<Arc<Config>, AdoptError>>),
    /// No earlier configuration is in use any more.
    Prune,
    /// Answer once the state of all links was passed to the engine.
    Report(oneshot::Sender<()>),
    /// Another daemon has been replaced: start all instances now, with the sources that they have there, and adopt what
    /// it had pinned here.
    Start(PathBuf, Vec<(InstanceId, IpAddr)>),
}

#[derive(Debug, Error)]
pub enum AdoptError {
    #[error(transparent)]
    Room(#[from] NoRoom),
    #[error("cannot make interfaces with virtual MAC addresses: {0}")]
    Vmacs(#[source] io::Error),
    #[error("cannot map the program's memory for more instances: {0}")]
    Maps(#[source] io::Error),
    #[error("cannot read the addresses of the host: {0}")]
    Leftovers(#[source] io::Error),
}

/// Settings of an earlier configuration.
#[derive(Debug)]
pub struct EarlierSettings {
    pub(super) id: InstanceId,
    pub(super) settings: Arc<InstanceSettings>,
    /// The effect thread has removed the addresses, or has tried to.
    pub(super) is_left: Arc<AtomicBool>,
}

/// Everything between the kernel's interfaces and the engine.
#[derive(Debug)]
pub struct Interfaces<'a> {
    pub context: &'a DaemonContext,
    pub inputs: Queue<Input>,
    pub attachments: Attachments,
    pub vmacs: &'a RefCell<Vmacs>,
    pub statics: Statics,
    pub store: Arc<MarkStore>,
    pub secondaries: Secondaries,
    pub firewall: Firewall,
    /// When it was last tried to mend the host's faults.
    pub retried: Timestamp,
    /// Empty while no guard could be started.
    pub guard: &'a OnceCell<Guard>,
    pub config: Arc<Config>,
    /// Earlier settings, whose addresses may still be set.
    pub former: Vec<EarlierSettings>,
    /// Names of instances' interfaces that are not there.
    pub missing: BTreeSet<Arc<str>>,
    pub runtime_dir: PathBuf,
    /// Other daemons of this network namespace, by what they use to set and remove.
    pub kin: RefCell<Kin>,
}

impl Interfaces<'_> {
    /// Reports the present state of all interfaces to the engine, starts the router after `delay` or by
    /// [`Order::Start`], and reports every change, until reading fails, or another daemon has replaced this one; then
    /// it does nothing more. Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// Links and addresses cannot be read.
    pub async fn follow(
        mut self,
        delay: Option<Duration>,
        mut orders: mpsc::Receiver<Order>,
    ) -> io::Result<()> {
        let mut monitor = Monitor::open()?;
        let mut is_reported = delay.is_some();
        let mut start = pin!(tokio::time::sleep(delay.unwrap_or_default()));
        let (mut started, mut new_since) = (false, None);
        // When to look at the receive paths again.
        let mut look = clock::now() + reception::PAUSE;
        let mut tracker = tracker(&self.config);
        let mut belongings = belongings(&self.config);
        let mut paths = PathMonitor::open(&belongings)?;
        let mut mending = Mending::default();
        let mut has_owned = false;
        let mut before_host = HashSet::new();
        // A look at all processes of the host, for which a start does not wait.
        let mut look_at_kin = pin!(async { spawn_blocking(Kin::new).await });
        let mut knows_kin = false;
        let mut resumption = Resumption::open()?;
        // While nothing changes, it stays at the end of the loop, and only looks at the receive paths.
        loop {
            let is_ours = ownership::is_ours();
            has_owned |= is_ours;
            if has_owned && !is_ours {
                // Another daemon has replaced this one and detaches its programs, while this one still ends.
                return std::future::pending().await;
            }
            let stirred = monitor.take_stirred();
            monitor.take_setters().into_iter().for_each(|port| self.kin.borrow_mut().notice(port));
            let Lost { instances, statics, .. } = belongings.of_stirred(&stirred, monitor.table());
            if !stirred.is_empty() {
                mending.stir();
            }
            // Before static routes are set.
            if statics.is_some() {
                self.statics.renew_paths();
            }
            let again = self.keep(monitor.table());
            self.attachments.set_locals(monitor.table());
            stirred.keys().for_each(|interface| self.attachments.keep_groups(interface));
            if !started || new_since.is_some() {
                self.attachments.hold_fence();
            }
            let mut changes = 0_usize;
            // The engine is woken for several changes at once: at a start, each instance has three.
            while !tracker.update(monitor.table(), |change| {
                changes += 1;
                if changes.is_multiple_of(CHANGES_AT_ONCE) {
                    self.inputs.wake();
                }
                self.report(change)
            }) {
                self.inputs.wake();
                tokio::time::sleep(RETRY).await;
            }
            self.inputs.wake();
            self.attachments.settle_fence();
            self.report_missing(monitor.table());
            // After the changes of links: addresses of a link that is down need not be put back.
            let removed = monitor.take_removed();
            self.report_lost(belongings.of_addresses(&removed, monitor.table()), removed.by).await;
            // Until then, no instance holds anything.
            if started {
                self.report_lost(unnamed(instances), None).await;
            }
            let now_before = belongings.before_host(monitor.table());
            let new = unnamed(now_before.difference(&before_host).map(|id| (*id, Loss::Order)));
            before_host = now_before;
            self.report_lost(new, None).await;
            let mend_in = self.mend(&mut mending).await;
            let plan_in = self.update_plan(monitor.table());
            let settled = tracker.next().map(|at| at.since(clock::now()));
            let again = again.into_iter().chain((!self.attachments.flush()).then_some(RETRY));
            let again =
                again.chain(self.retry_host_faults()).chain(settled).chain(plan_in).chain(mend_in).min();
            // New instances take part once their links are reported. Otherwise an instance that joins a sync group
            // would fail it by an interface that was just made for it and comes up a moment later.
            let made_in = new_since
                .filter(|_| tracker.awaits_vmacs(monitor.table()))
                .and_then(|since| MADE_WAIT.checked_sub(clock::now().since(since)));
            while new_since.is_some() && started && made_in.is_none() {
                if self.inputs.push(Input::Event(Event::Startup)) {
                    new_since = None;
                } else {
                    tokio::time::sleep(RETRY).await;
                }
            }
            let again = again.into_iter().chain(made_in).min();
            tokio::select! {
                () = watch(&mut self.attachments, &mut self.firewall, &mut look, is_ours) => {}
                changed = monitor.changed() => changed?,
                lost = paths.lost(&belongings, mend_in.is_some() && !mending.is_stirred()) => {
                    let Lost { instances, by, statics, grown, setter } = lost?;
                    setter.into_iter().for_each(|port| self.kin.borrow_mut().notice(port));
                    match statics {
                        Some(Loss::Flushed) => self.statics.renew_paths(),
                        Some(_) => self.statics.lose_paths(),
                        None => {}
                    }
                    if grown {
                        mending.stir();
                    }
                    self.report_lost(unnamed(instances), by).await;
                }
                () = self.context.history.lacking.notified() => {}
                found = &mut look_at_kin, if !knows_kin => {
                    knows_kin = true;
                    found.into_iter().for_each(|found| self.kin.borrow_mut().add(found));
                }
                () = keep(self.guard) => {}
                () = resumption.ended() => self.attachments.restore_native(),
                () = tokio::time::sleep(again.unwrap_or_default()), if again.is_some() => {}
                () = &mut start, if is_reported && !started => {
                    started = self.inputs.push(Input::Event(Event::Startup));
                    start.as_mut().reset(Instant::now() + RETRY);
                }
                Some(order) = orders.recv() => match order {
                    Order::Adopt(config, answer) => {
                        let adopted = self.adopt(*config).await;
                        if adopted.is_ok() {
                            new_since = Some(clock::now());
                            // Interfaces that were made for it are there.
                            monitor.catch_up()?;
                            tracker = self::tracker(&self.config).continuing(&tracker);
                            belongings = self::belongings(&self.config);
                            paths.adopt(&belongings);
                            self.kin.borrow_mut().learn();
                        }
                        // The service waits for it.
                        let _ = answer.send(adopted);
                    }
                    Order::Report(answer) => {
                        // The requester may have gone.
                        let _ = answer.send(());
                    }
                    Order::Start(folder, sources) => {
                        is_reported = true;
                        for (id, source) in sources {
                            tracker.use_source(id, source);
                            self.attachments.set_source(id, Some(source));
                        }
                        // The lacks of the other daemon are unknown.
                        let all = self.config.instances.iter().map(|it| (it.id, Loss::Flushed));
                        self.report_lost(unnamed(all), None).await;
                        if let Err(error) = self.attachments.follow(&folder) {
                            warn!(%error, "the program ends with the daemon");
                            self.context.history.unpinned(words(error));
                        }
                    }
                    Order::Prune => {
                        // Behind all commands of the change.
                        for former in &self.former {
                            while !self.inputs.push(Input::Note(Arc::clone(&former.is_left))) {
                                tokio::time::sleep(RETRY).await;
                            }
                        }
                        self.attachments.prune();
                        self.context.history.retain_rx_paths(&self.config);
                        self.vmacs.borrow_mut().prune(&self.config);
                        self.secondaries.prune(&self.config);
                    }
                },
            }
        }
    }

    /// Makes missing interfaces with virtual MAC addresses again. Returns when to look again.
    fn keep(&mut self, table: &Table) -> Option<Duration> {
        let mut vmacs = self.vmacs.borrow_mut();
        let again = vmacs.keep(table);
        self.statics.keep(table, &self.context.history);
        self.secondaries.keep(table);
        self.attachments.set_carriers(&vmacs.carriers(table));
        self.context.history.missing_vmacs(vmacs.missing());
        again
    }

    /// A mistyped name would otherwise look like a link that is down.
    fn report_missing(&mut self, table: &Table) {
        let names = self.config.instances.iter().map(|instance| &instance.settings.interface);
        let missing: BTreeSet<_> = names.filter(|name| table.link(name).is_none()).cloned().collect();
        for interface in missing.difference(&self.missing) {
            warn!(%interface, "interface not found; its instances stay in FAULT until it appears");
            let why = NOT_FOUND.to_owned();
            self.context.history.rx_path(Arc::clone(interface), RxPathNote { rx_path: RxPath::None, why });
        }
        self.missing = missing;
    }

    /// Prepares all that can fail, then has the engine change over at once.
    async fn adopt(&mut self, mut config: Config) -> Result<Arc<Config>, AdoptError> {
        self.vmacs.borrow_mut().add(&mut config).map_err(AdoptError::Vmacs)?;
        if let Err(error) = self.make_room(&mut config) {
            self.vmacs.borrow_mut().prune(&self.config);
            return Err(error);
        }
        self.firewall.adopt(&config);
        let steerings = self.context.history.read().steerings.clone().following(&self.config, &config);
        let changes = change::between(&self.config, &config, self.results(), &steerings);
        for configured in &changes.configured {
            if self.config.instance(configured.id).is_none() {
                self.context.live.clear(configured.id);
                self.context.history.forget(configured.id);
            }
        }
        self.store.prepare(&config, &self.context.live);
        self.attachments.adopt(&changes);
        let mut input = Input::Reconfigure(Box::new(changes));
        while let Err(refused) = self.inputs.offer(input) {
            input = refused;
            tokio::time::sleep(RETRY).await;
        }
        self.statics.adopt(&config.statics);
        self.secondaries.adopt(&config);
        let mut former = std::mem::take(&mut self.former);
        former.retain(|former| self.may_be_set(former));
        let is_left = Arc::new(AtomicBool::new(false));
        for Instance { id, settings, .. } in &self.config.instances {
            let places =
                |it: &InstanceSettings| (Arc::clone(&it.addresses), Arc::clone(it.address_interface()));
            if config.instance(*id).is_none_or(|it| places(&it.settings) != places(settings)) {
                let (settings, is_left) = (Arc::clone(settings), Arc::clone(&is_left));
                former.push(EarlierSettings { id: *id, settings, is_left });
            }
        }
        self.former = former;
        self.config = Arc::new(config);
        Ok(Arc::clone(&self.config))
    }

    /// Latest results of everything that is tracked.
    fn results(&self) -> Vec<(TrackId, i32)> {
        let history = self.context.history.read();
        // The number of an interface that an earlier file tracked may belong to something else by now.
        let is_tracked = |id: &TrackId| self.config.tracked_interfaces.iter().any(|(known, _)| known == id);
        let checks =
            history.checks.values().filter(|round| round.is_known).map(|round| (round.track, round.result()));
        let links = history.links.iter().filter(|(track, _)| is_tracked(track));
        checks.chain(links.map(|(track, up)| (*track, i32::from(*up)))).collect()
    }

    /// Has masters retry what they lack, if it is time. Returns when to look again.
    async fn mend(&self, mending: &mut Mending) -> Option<Duration> {
        let ids = self.config.instances.iter().map(|instance| instance.id);
        let live = |id: &InstanceId| self.context.live.instances.get(id.index());
        let lacking = ids.filter(|id| live(id).is_some_and(|live| live.lacking.load(Relaxed) > 0));
        let lacking = unnamed(lacking.map(|id| (id, Loss::Flushed)));
        if lacking.is_empty() && !self.statics.is_lacking() {
            return None;
        }
        if mending.take_due(clock::now()) {
            self.report_lost(lacking, None).await;
        }
        let now = clock::now();
        Some(mending.due(now).since(now))
    }

    async fn report_lost(&self, lost: LostAddresses, by: Option<u32>) {
        if lost.is_empty() {
            return;
        }
        // While that process still lives.
        let living = by.and_then(RemovedBy::of).filter(|removed_by| removed_by.pid != std::process::id());
        let known = || by.and_then(|port| self.kin.borrow().of(port));
        // A process that has the port now is its owner; otherwise the one that has had it. It may end meanwhile.
        let neighbour = match &living {
            Some(living) if living.is_kin() => Some(living.clone()),
            Some(living) => known().filter(|known| known.pid == living.pid),
            None => known(),
        };
        let removed_by = living;
        for ((instance, loss), addresses) in lost {
            let is_shared = loss.is_of_other() && neighbour.is_some();
            let loss = if is_shared { Loss::Shared } else { loss };
            if let Some(by) = neighbour.as_ref().filter(|_| is_shared) {
                // The other one had it as well, and left it; that is no contest.
                let name = self.config.instance(instance).map_or("?", |it| &it.settings.name);
                info!(instance = name, %by, "another vrrpx has removed what both have; it is set again");
            }
            // The removal of what a backup should not have is no contest.
            let live = self.context.live.instances.get(instance.index());
            if loss.is_of_other() && live.is_some_and(|live| live.state() == State::Master) {
                self.context.history.removed_by(instance, removed_by.clone());
            }
            let addresses = Box::<[IpAddr]>::from(addresses);
            while !self.inputs.push_unwoken(Input::Event(Event::Lost(instance, loss, addresses.clone()))) {
                self.inputs.wake();
                tokio::time::sleep(RETRY).await;
            }
        }
        self.inputs.wake();
    }

    /// A program is attached before the engine learns of the interface.
    fn report(&mut self, change: Change) -> bool {
        let input = match change {
            Change::Interface(instance, ifindex) => {
                self.attachments.set_interface(instance, ifindex);
                Input::Interface { instance, ifindex }
            }
            Change::Sender(instance, ifindex) => Input::Sender { instance, ifindex },
            Change::Event(event) => {
                match event {
                    Event::Source(instance, source) => self.attachments.set_source(instance, source),
                    Event::Track(track, up) => self.context.history.link(track, up),
                    _ => {}
                }
                Input::Event(event)
            }
        };
        self.attachments.flush() && self.inputs.push_unwoken(input)
    }
}

/// Looks at the receive paths and the firewall again and again, until the rest has to follow a change: of a receive
/// path, or of the process that is responsible. May be dropped and called again at any time.
async fn watch(attachments: &mut Attachments, firewall: &mut Firewall, look: &mut Timestamp, is_ours: bool) {
    loop {
        // Without a pause if it is due: the kernel may report changes all the time.
        if clock::now() < *look {
            tokio::time::sleep(look.since(clock::now())).await;
        }
        if ownership::is_ours() != is_ours {
            return;
        }
        let kept = firewall.keep().then_some(KEPT);
        let pause = attachments.mend().into_iter().chain(kept).min();
        *look = clock::now() + pause.unwrap_or(reception::PAUSE);
        if attachments.take_change() {
            return;
        }
    }
}

/// Keeps the guard running; without one, returns after a while, to look again.
async fn keep(guard: &OnceCell<Guard>) {
    match guard.get() {
        Some(guard) => guard.keep().await,
        None => tokio::time::sleep(GUARD_LOOK).await,
    }
}

fn belongings(config: &Config) -> Owned {
    let settings = config.instances.iter().map(|instance| (instance.id, &*instance.settings));
    Owned::new(settings, &config.statics.routes, &config.statics.rules)
}

fn tracker(config: &Config) -> Tracker {
    let settings = config.instances.iter().map(|instance| (instance.id, &*instance.settings));
    let all = config.instances.iter().map(|instance| &*instance.settings);
    Tracker::new(settings, &config.tracked_interfaces).with_delays(all, &config.link_delays)
}
