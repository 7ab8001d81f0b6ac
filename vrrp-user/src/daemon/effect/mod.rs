//! The effect thread: adds and removes addresses, and announces them.
//!
//! Enters: [`Command`]s of the engine. Leaves: addresses added or removed, many in one send, and announcements: every
//! address once when it is set, repeats later. Commands are carried out in order, and before any repeat, so that no
//! takeover waits for another's repeats. Nothing is announced for an instance whose lease has run out: another router
//! may be master by then. Absent: decisions, and sleep other than in the wait set.

mod announce;
mod effects;
mod extra_announce;
mod failures;
mod lacks;
mod last_interfaces;
mod leftovers;
mod order;
mod own;
mod paths;
mod place;
mod prepared;
mod repeat;
mod stand_by;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

use self::announce::{Outlet, await_lease, is_entitled, queue, send};
pub use self::effects::InstanceEffects;
use self::extra_announce::Refresh;
use self::failures::Failures;
use self::lacks::{Attempt, Lacks};
use self::last_interfaces::LastInterfaces;
use self::leftovers::Leftovers;
use self::own::Own;
use self::paths::Paths;
use self::place::{AddressPlace, fill};
use self::prepared::Prepared;
use self::repeat::{Repeats, Target};
use self::stand_by::{Priorities, StandBy};
use super::essential::Essential;
use super::live::LiveState;
use super::queue::{Command, Object, Queue, Report};
use crate::config::VirtualAddress;
use crate::driver::clock;
use crate::driver::maps::Maps;
use crate::driver::netlink::address;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::netlink::socket::warm_up;
use crate::driver::realtime::{STACK, become_realtime};
use crate::driver::wait::Wait;
use crate::protocol::{Announcement, Epoch, InstanceId, Loss, Missing};

const COMMANDS: u64 = 0;

/// A takeover that is nearer is not prepared: the takeover itself reads the interfaces, and no other one waits for it.
const TIME_TO_PREPARE: Duration = Duration::from_micros(150);

/// The thread's own state.
#[derive(Debug)]
pub struct Effect {
    instances: Vec<Instance>,
    commands: Queue<Command>,
    reports: Queue<Report>,
    live: Arc<LiveState>,
    /// For the leases.
    maps: Arc<Maps>,
    wait: Wait,
    netlink: RouteSocket,
    outlet: Outlet,
    repeats: Repeats,
    stand_by: StandBy,
    /// Another daemon was replaced, and what it has left is not known yet.
    is_heir: bool,
}

#[derive(Debug)]
struct Instance {
    effects: InstanceEffects,
    /// Since its takeover was near, until it comes.
    prepared: Option<Prepared>,
    /// Since which epoch its addresses are set, while they are.
    held: Option<Epoch>,
    last_interfaces: LastInterfaces,
    own: Own,
    lacks: Lacks,
    leftovers: Leftovers,
}

impl Instance {
    fn new(effects: InstanceEffects) -> Self {
        Self {
            effects,
            prepared: None,
            held: None,
            last_interfaces: LastInterfaces::default(),
            own: Own::default(),
            lacks: Lacks::default(),
            leftovers: Leftovers::default(),
        }
    }

    fn prepare(&mut self, netlink: &mut RouteSocket) {
        self.prepared = Some(Prepared::refresh(self.prepared.take(), &self.effects, netlink));
    }

    /// Reports what it lacks, unless the last list that was taken is the same.
    fn report_lacks(&mut self, id: InstanceId, reports: &Queue<Report>) {
        let is_master = self.held.is_some();
        self.lacks.report(|lacks| reports.push(Report::Lacks { instance: id, lacks, is_master }));
    }

    fn take_prepared(&mut self, netlink: &mut RouteSocket) -> Prepared {
        match self.prepared.take() {
            Some(prepared) if prepared.is_current() => prepared,
            old => Prepared::refresh(old, &self.effects, netlink),
        }
    }
}

impl Effect {
    /// Opens sockets in the network namespace of the calling thread. The effects are indexed by [`InstanceId`].
    ///
    /// # Errors
    /// No file descriptor is left, or CAP_NET_RAW is missing.
    pub fn open(
        effects: impl IntoIterator<Item = InstanceEffects>,
        commands: Queue<Command>,
        reports: Queue<Report>,
        live: Arc<LiveState>,
        maps: Arc<Maps>,
    ) -> io::Result<Self> {
        let mut wait = Wait::new()?;
        wait.add(&commands, COMMANDS)?;
        Ok(Self {
            instances: effects.into_iter().map(Instance::new).collect(),
            commands,
            reports,
            live,
            maps,
            wait,
            netlink: RouteSocket::open()?,
            outlet: Outlet::open()?,
            repeats: Repeats::default(),
            stand_by: StandBy::default(),
            is_heir: false,
        })
    }

    /// Runs until [`Command::Stop`], in the real-time class, one below the engine, if the engine's `priority` is given
    /// and permitted. A refusal is not reported here: the engine, which needs the higher priority, has already reported
    /// it.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn spawn(self, priority: Option<i32>) -> io::Result<JoinHandle<()>> {
        Builder::new().name("effect".to_owned()).stack_size(STACK).spawn(move || {
            let priorities = priority.map(|engine| Priorities { own: (engine - 1).max(1), engine });
            if let Some(Priorities { own, .. }) = priorities {
                let _ = become_realtime(own);
            }
            let essential = Essential::new("the effect thread");
            essential.end(&self.run(priorities));
        })
    }

    /// # Errors
    /// The wait itself failed.
    fn run(mut self, priorities: Option<Priorities>) -> io::Result<()> {
        warm_up();
        self.stand_by = StandBy::new(priorities);
        while self.obey() {
            let next = self.repeat();
            let now = clock::now();
            let next = next.into_iter().chain(self.outlet.next(now)).chain(self.remove_leftovers(now)).min();
            self.stand_by.rest();
            self.wait.arm(next)?;
            self.wait.wait()?;
            self.live.effect_turns.fetch_add(1, Relaxed);
        }
        self.remove_last_leftovers();
        Ok(())
    }

    /// Carries out the queued commands, and those of a takeover that is near. False after [`Command::Stop`].
    #[inline(never)]
    fn obey(&mut self) -> bool {
        self.commands.acknowledge();
        loop {
            while let Some(command) = self.commands.pop() {
                match command {
                    Command::StandBy(instance, due) => self.stand_by(instance, due),
                    Command::SetEffects(instance, settings) => {
                        self.set_effects(instance, InstanceEffects::from(&*settings));
                    }
                    Command::Hold(instance, epoch) => self.hold(instance, epoch),
                    Command::Add(instance, epoch) => self.add(instance, epoch),
                    Command::Remove(instance, _) => self.remove(instance),
                    Command::StopAnnouncing(instance) => self.repeats.void(instance),
                    Command::Announce(instance, announcement) => self.announce(instance, announcement),
                    Command::PutBack(instance, epoch, missing) => self.put_back(instance, epoch, missing),
                    Command::Inherit => self.is_heir = true,
                    Command::Note(done) => done.store(true, Release),
                    Command::Stop => return false,
                }
            }
            if !self.stand_by.wait(&self.commands) {
                return true;
            }
        }
    }

    fn stand_by(&mut self, id: InstanceId, due: Timestamp) {
        let Some(instance) = self.instances.get_mut(id.index()) else { return };
        if instance.held.is_none() {
            if clock::now() + TIME_TO_PREPARE <= due {
                instance.prepare(&mut self.netlink);
            }
            self.stand_by.expect(due);
        }
    }

    fn hold(&mut self, id: InstanceId, epoch: Epoch) {
        let Some(instance) = self.instances.get_mut(id.index()) else { return };
        instance.held = Some(epoch);
        let places = instance.effects.places(&mut self.netlink);
        instance.last_interfaces.note(&places);
        if instance.effects.is_owner {
            instance.own = Own::of_held(&mut self.netlink, &places);
        }
        if let Some(refresh) = &mut instance.effects.refresh {
            refresh.start(clock::now());
        }
    }

    fn add(&mut self, id: InstanceId, epoch: Epoch) {
        let begun = clock::now();
        let Self { instances, commands, live, maps, netlink, outlet, repeats, stand_by, .. } = self;
        repeats.void(id);
        let Some(instance) = instances.get_mut(id.index()) else { return };
        let was_held = instance.held.replace(epoch).is_some();
        let prepared = instance.take_prepared(netlink);
        let Instance { effects, last_interfaces, own, .. } = instance;
        if let Some(refresh) = &mut effects.refresh {
            refresh.start(begun);
        }
        let places = effects.places_on(&prepared.devices);
        last_interfaces.note(&places);
        let (mut attempt, mut failures) = (Attempt::default(), Failures::default());
        // Routes and rules may be needed to answer the clients that an announcement brings.
        let at_once = effects.paths.is_empty();
        let live_instance = live.instances.get(id.index());
        if !live_instance.is_some_and(|live| live.fenced.load(Relaxed)) {
            // The kernel answers for an address that is set.
            await_lease(maps, id, commands);
        }
        prepared.perform(&places, netlink, &mut attempt, |present| {
            await_lease(maps, id, commands);
            for target in present.filter_map(|place| place.target(effects.pauses)) {
                queue(outlet, maps, live, &mut failures, (id, &target));
            }
            if at_once {
                send(outlet, live, &mut failures);
            }
            stand_by.has_begun();
        });
        effects.paths.set(netlink, &mut attempt);
        send(outlet, live, &mut failures);
        if let Some(live) = live_instance {
            let took = clock::now().since(begun).as_nanos();
            live.takeover_nanos.store(u64::try_from(took).unwrap_or(u64::MAX), Relaxed);
        }
        if effects.is_owner {
            *own = Own::find(netlink, &places, &attempt, was_held.then_some(&*own));
        }
        self.report(&failures);
        self.settle(id, attempt, None);
    }

    fn remove(&mut self, id: InstanceId) {
        // Announcements that are queued by now, of any epoch, are for addresses that leave.
        self.repeats.void(id);
        let Some(instance) = self.instances.get_mut(id.index()) else { return };
        if instance.held.take().is_none() {
            return;
        }
        let last_interfaces = std::mem::take(&mut instance.last_interfaces);
        let own = std::mem::take(&mut instance.own);
        let mut failures = Failures::default();
        let Some(effects) = self.unshared(id) else { return };
        effects.paths.remove(id, &mut self.netlink, &mut failures);
        let mut places = effects.places(&mut self.netlink);
        places.retain(|place| !own.has(place));
        self.report(&failures);
        self.remove_addresses(id, &last_interfaces, &places);
        self.settle(id, Attempt::default(), None);
    }

    /// Changes over to the effects of new settings.
    fn set_effects(&mut self, id: InstanceId, mut effects: InstanceEffects) {
        while self.instances.len() <= id.index() {
            self.instances.push(Instance::new(effects.clone()));
        }
        let Some(instance) = self.instances.get_mut(id.index()) else { return };
        instance.prepared = None;
        if instance.held.is_none() {
            instance.effects = effects;
            return;
        }
        if let Some(refresh) = &mut effects.refresh {
            refresh.start(clock::now());
        }
        let unshared = self.unshared(id);
        let Some(instance) = self.instances.get_mut(id.index()) else { return };
        let old = std::mem::replace(&mut instance.effects, effects);
        let (new, last_interfaces) = (instance.effects.clone(), instance.last_interfaces.clone());
        let own = instance.own.clone();
        let unshared = unshared.unwrap_or_else(|| old.clone());
        let gone = unshared.only(|address| !new.holds(&old, address));
        // Queued announcements may be for addresses that leave.
        self.repeats.void(id);
        let (mut attempt, mut failures) = (Attempt::default(), Failures::default());
        let stale = unshared.paths.where_differing(&old.paths, &new.paths);
        stale.remove(id, &mut self.netlink, &mut failures);
        let mut places = gone.places(&mut self.netlink);
        places.retain(|place| !own.has(place));
        self.remove_addresses(id, &last_interfaces, &places);
        // All of them: removing the first address of a subnet removes the others as well.
        let places = new.places(&mut self.netlink);
        if let Some(instance) = self.instances.get_mut(id.index()) {
            instance.last_interfaces.note(&places);
        }
        let errnos = fill(&mut self.netlink, &places, &mut attempt);
        let own = match new.is_owner {
            true => Own::find(&mut self.netlink, &places, &attempt, Some(&own)),
            false => Own::default(),
        };
        if let Some(instance) = self.instances.get_mut(id.index()) {
            instance.own = own;
        }
        new.paths.set(&mut self.netlink, &mut attempt);
        let is_new = |place: &AddressPlace<'_>, errno| match errno {
            0 => true,
            libc::EEXIST => !old.holds(&new, place.address),
            _ => false,
        };
        let set = places.iter().zip(errnos).filter(|(place, errno)| is_new(place, *errno));
        let targets: Vec<Target> = set.filter_map(|(place, _)| place.target(new.pauses)).collect();
        for target in &targets {
            queue(&mut self.outlet, &self.maps, &self.live, &mut failures, (id, target));
        }
        send(&mut self.outlet, &self.live, &mut failures);
        self.repeats.push(id, targets, new.announce.repeat.saturating_sub(1));
        self.report(&failures);
        self.settle(id, attempt, None);
    }

    /// The effects of an instance without those that other masters also hold; these stay as long as one of them does.
    fn unshared(&self, id: InstanceId) -> Option<InstanceEffects> {
        let effects = &self.instances.get(id.index())?.effects;
        let others = self.instances.iter().enumerate().filter(|(index, _)| *index != id.index());
        let held = others.filter(|(_, other)| other.held.is_some()).map(|(_, other)| &other.effects);
        let others: Vec<&InstanceEffects> = held.collect();
        let is_held = |address: &VirtualAddress| {
            let device = effects.device(address);
            others.iter().any(|other| other.has(device, address))
        };
        let paths: Vec<&Paths> = others.iter().map(|other| &other.paths).collect();
        Some(InstanceEffects {
            paths: effects.paths.without(&paths),
            ..effects.only(|address| !is_held(address))
        })
    }

    /// Sets again what is tracked and missing, and what could not be set before. Only the attempt shows what is
    /// missing.
    fn put_back(&mut self, id: InstanceId, epoch: Epoch, missing: Missing) {
        let Some(instance) = self.instances.get_mut(id.index()) else { return };
        if instance.held != Some(epoch) {
            return;
        }
        let lacks = &instance.lacks;
        let effects =
            instance.effects.only(|address| address.tracked || lacks.has(Object::Address(address.address)));
        let (mut attempt, mut failures) = (Attempt::default(), Failures::default());
        let mut places = effects.places(&mut self.netlink);
        places.iter_mut().for_each(|place| place.is_own = instance.own.has(place));
        let former = instance.last_interfaces.former(&places);
        instance.last_interfaces.note(&places);
        // Its end tries again what is refused here.
        let _ = address::remove(&mut self.netlink, &former, |_, _| {});
        let errnos = fill(&mut self.netlink, &places, &mut attempt);
        let set = places.iter().zip(errnos).filter(|(_, errno)| *errno == 0).map(|(place, _)| place);
        let targets: Vec<Target> = set.filter_map(|place| place.target(effects.pauses)).collect();
        for target in &targets {
            queue(&mut self.outlet, &self.maps, &self.live, &mut failures, (id, target));
        }
        send(&mut self.outlet, &self.live, &mut failures);
        if missing.paths {
            effects.paths.wanted(&instance.lacks).set(&mut self.netlink, &mut attempt);
        }
        if !targets.is_empty() {
            self.repeats.push(id, targets, effects.announce.repeat.saturating_sub(1));
        }
        self.report(&failures);
        self.settle(id, attempt, Some(missing.loss));
        if missing.loss == Loss::Order {
            self.set_behind_host(id);
        }
    }

    /// Remembers what is still missing, and reports changes.
    fn settle(&mut self, id: InstanceId, attempt: Attempt, loss: Option<Loss>) {
        let (Some(instance), Some(live)) =
            (self.instances.get_mut(id.index()), self.live.instances.get(id.index()))
        else {
            return;
        };
        let gone = instance.lacks.take(attempt);
        if let (Some(object), Some(loss)) = (gone.first(), loss) {
            let count = u64::try_from(gone.len()).unwrap_or(u64::MAX);
            live.put_back.fetch_add(count, Relaxed);
            let more = count.saturating_sub(1);
            self.reports.push(Report::PutBack { instance: id, object: *object, more, loss });
        }
        let count = |count| u64::try_from(count).unwrap_or(u64::MAX);
        self.live.effect_errors.fetch_add(count(instance.lacks.fresh()), Relaxed);
        live.lacking.store(count(instance.lacks.count()), Relaxed);
        instance.report_lacks(id, &self.reports);
    }

    fn announce(&mut self, id: InstanceId, announcement: Announcement) {
        let Some(instance) = self.instances.get(id.index()) else { return };
        // Announcements of an earlier mastership, or ones that come after its end.
        if instance.held.is_none_or(|since| announcement.epoch < since) {
            return;
        }
        let places = instance.effects.places(&mut self.netlink);
        let targets = places.iter().filter_map(|place| place.target(instance.effects.pauses)).collect();
        self.repeats.push(id, targets, announcement.repeat);
    }

    /// Sends the repeats that are due and returns when the next one is.
    fn repeat(&mut self) -> Option<Timestamp> {
        let refresh = self.refresh(clock::now());
        let Self { outlet, maps, live, repeats, .. } = self;
        // The next lease begins with another takeover.
        repeats.retain(|id| is_entitled(maps, id));
        let mut failures = Failures::default();
        let next = repeats.step(clock::now(), |id, target| {
            queue(outlet, maps, live, &mut failures, (id, target));
        });
        send(outlet, live, &mut failures);
        self.report(&failures);
        next.into_iter().chain(refresh).min()
    }

    /// Queues the periodic announcements that are due and returns when the next ones are.
    fn refresh(&mut self, now: Timestamp) -> Option<Timestamp> {
        let mut next = None;
        for (instance, id) in self.instances.iter_mut().zip(InstanceId::all()) {
            let Instance { effects, held: Some(_), .. } = instance else { continue };
            let Some(refresh) = &mut effects.refresh else { continue };
            if refresh.take_due(now) && is_entitled(&self.maps, id) {
                let places = effects.places(&mut self.netlink);
                let targets = effects.chosen(&places).filter_map(|place| place.target(effects.pauses));
                self.repeats.push(id, targets.collect(), 1);
            }
            let due = effects.refresh.as_ref().map(Refresh::due);
            next = next.into_iter().chain(due).min();
        }
        next
    }

    fn report(&self, failures: &Failures) {
        self.live.effect_errors.fetch_add(failures.count(), Relaxed);
        if let Some((instance, object, refusal)) = failures.first() {
            self.reports.push(Report::EffectFailed { instance, object, refusal });
        }
    }
}
