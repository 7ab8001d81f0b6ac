//! The effect thread: adds and removes addresses, and announces them.
//!
//! Enters: [`Command`]s of the engine. Leaves: addresses added or removed, each instance's in one send, then its
//! announcements: every address once at once, repeats later. Commands are carried out in order, and before any repeat,
//! so that no takeover waits for another's repeats. Absent: decisions, and sleep other than in the wait set.

mod elsewhere;
mod fault;
mod lacks;
mod paths;
mod place;
mod repeat;
mod stood;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{Builder, JoinHandle};

use vrrp_ebpf::time::Timestamp;

use self::elsewhere::Refresh;
use self::fault::Faults;
use self::lacks::{Attempt, Lacks};
use self::paths::Paths;
use self::place::{Device, Place, fill, remove_all};
use self::repeat::{Repeats, Target};
use self::stood::Stood;
use super::board::Board;
use super::queue::{Command, Object, Queue, Report};
use crate::driver::clock;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::realtime::{STACK, become_realtime};
use crate::driver::socket::Announcer;
use crate::driver::wait::Wait;
use crate::protocol::{
    Addresses, AnnounceSettings, Announcement, Epoch, InstanceId, InstanceSettings, Loss, Missing,
    VirtualAddress,
};

const COMMANDS: u64 = 0;

/// Addresses, routes and rules of an instance, and how to announce them.
#[derive(Clone, Debug)]
pub struct Charge {
    interface: Arc<str>,
    addresses: Arc<Addresses>,
    paths: Paths,
    announce: AnnounceSettings,
    refresh: Option<Refresh>,
}

impl From<&InstanceSettings> for Charge {
    fn from(settings: &InstanceSettings) -> Self {
        Self {
            interface: Arc::clone(settings.address_interface()),
            addresses: Arc::clone(&settings.addresses),
            paths: Paths::of(settings),
            announce: settings.announce,
            refresh: Refresh::of(settings),
        }
    }
}

/// The thread's own state.
#[derive(Debug)]
pub struct Effect {
    instances: Vec<Instance>,
    commands: Queue<Command>,
    reports: Queue<Report>,
    board: Arc<Board>,
    wait: Wait,
    netlink: RouteSocket,
    announcer: Announcer,
    repeats: Repeats,
}

#[derive(Debug)]
struct Instance {
    charge: Charge,
    /// Since which epoch its addresses are set, while they are.
    held: Option<Epoch>,
    stood: Stood,
    lacks: Lacks,
}

impl Instance {
    fn new(charge: Charge) -> Self {
        Self { charge, held: None, stood: Stood::default(), lacks: Lacks::default() }
    }
}

impl Effect {
    /// Opens sockets in the network namespace of the calling thread. The charges are indexed by [`InstanceId`].
    ///
    /// # Errors
    /// No file descriptor is left, or CAP_NET_RAW is missing.
    pub fn open(
        charges: impl IntoIterator<Item = Charge>,
        commands: Queue<Command>,
        reports: Queue<Report>,
        board: Arc<Board>,
    ) -> io::Result<Self> {
        let mut wait = Wait::new()?;
        wait.add(&commands, COMMANDS)?;
        Ok(Self {
            instances: charges.into_iter().map(Instance::new).collect(),
            commands,
            reports,
            board,
            wait,
            netlink: RouteSocket::open()?,
            announcer: Announcer::open()?,
            repeats: Repeats::default(),
        })
    }

    /// Runs until [`Command::Stop`], in the real-time class if `priority` is given and permitted. A refusal is not
    /// reported here: the engine, which needs the higher priority, has already reported it.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn spawn(self, priority: Option<i32>) -> io::Result<JoinHandle<()>> {
        Builder::new().name("effect".to_owned()).stack_size(STACK).spawn(move || {
            if let Some(priority) = priority {
                let _ = become_realtime(priority);
            }
            self.run();
        })
    }

    fn run(mut self) {
        while self.obey() {
            let next = self.repeat();
            if self.wait.arm(next).is_err() || self.wait.wait().is_err() {
                // Both fail only for descriptors that are not ours any more.
                return;
            }
        }
    }

    /// Carries out the queued commands. False after [`Command::Stop`].
    fn obey(&mut self) -> bool {
        self.commands.acknowledge();
        while let Some(command) = self.commands.pop() {
            match command {
                Command::Charge(instance, charge) => self.charge(instance, *charge),
                Command::Hold(instance, epoch) => self.hold(instance, epoch),
                Command::Add(instance, epoch) => self.add(instance, epoch),
                Command::Remove(instance, _) => self.remove(instance),
                Command::Hush(instance) => self.repeats.void(instance),
                Command::Announce(instance, announcement) => self.announce(instance, announcement),
                Command::PutBack(instance, epoch, missing) => self.put_back(instance, epoch, missing),
                Command::Stop => return false,
            }
        }
        true
    }

    fn hold(&mut self, id: InstanceId, epoch: Epoch) {
        let Some(instance) = self.instances.get_mut(id.index()) else { return };
        instance.held = Some(epoch);
        let places = instance.charge.places(&mut self.netlink);
        instance.stood.note(&places);
        if let Some(refresh) = &mut instance.charge.refresh {
            refresh.start(clock::now());
        }
    }

    fn add(&mut self, id: InstanceId, epoch: Epoch) {
        let begun = clock::now();
        self.repeats.void(id);
        let Some(instance) = self.instances.get_mut(id.index()) else { return };
        instance.held = Some(epoch);
        if let Some(refresh) = &mut instance.charge.refresh {
            refresh.start(begun);
        }
        let places = instance.charge.places(&mut self.netlink);
        instance.stood.note(&places);
        let (mut attempt, mut faults) = (Attempt::default(), Faults::default());
        let errnos = fill(&mut self.netlink, &places, &mut attempt);
        instance.charge.paths.set(&mut self.netlink, &mut attempt);
        let set = places.iter().zip(errnos).filter(|(_, errno)| matches!(*errno, 0 | libc::EEXIST));
        for target in set.filter_map(|(place, _)| place.target(&instance.charge.announce)) {
            self.announcer.queue(id, target.station, target.address);
        }
        send(&mut self.announcer, &self.board, &mut faults);
        if let Some(board) = self.board.instances.get(id.index()) {
            let took = clock::now().since(begun).as_nanos();
            board.takeover_nanos.store(u64::try_from(took).unwrap_or(u64::MAX), Relaxed);
        }
        self.tell(&faults);
        self.settle(id, attempt, None);
    }

    fn remove(&mut self, id: InstanceId) {
        // Whatever is queued by now, of any epoch, announces addresses that leave.
        self.repeats.void(id);
        let Some(instance) = self.instances.get_mut(id.index()) else { return };
        if instance.held.take().is_none() {
            return;
        }
        let stood = std::mem::take(&mut instance.stood);
        let mut faults = Faults::default();
        let Some(charge) = self.unshared(id) else { return };
        charge.paths.remove(id, &mut self.netlink, &mut faults);
        let places = charge.places(&mut self.netlink);
        remove_all(&mut self.netlink, id, &stood, &places, &mut faults);
        self.tell(&faults);
        self.settle(id, Attempt::default(), None);
    }

    /// Changes over to a new charge.
    fn charge(&mut self, id: InstanceId, mut charge: Charge) {
        while self.instances.len() <= id.index() {
            self.instances.push(Instance::new(charge.clone()));
        }
        let Some(instance) = self.instances.get_mut(id.index()) else { return };
        if instance.held.is_none() {
            instance.charge = charge;
            return;
        }
        if let Some(refresh) = &mut charge.refresh {
            refresh.start(clock::now());
        }
        let unshared = self.unshared(id);
        let Some(instance) = self.instances.get_mut(id.index()) else { return };
        let old = std::mem::replace(&mut instance.charge, charge);
        let (new, stood) = (instance.charge.clone(), instance.stood.clone());
        let unshared = unshared.unwrap_or_else(|| old.clone());
        let gone = unshared.only(|address| !new.holds(&old, address));
        // Queued announcements may be for addresses that leave.
        self.repeats.void(id);
        let (mut attempt, mut faults) = (Attempt::default(), Faults::default());
        let stale = unshared.paths.where_differing(&old.paths, &new.paths);
        stale.remove(id, &mut self.netlink, &mut faults);
        let places = gone.places(&mut self.netlink);
        remove_all(&mut self.netlink, id, &stood, &places, &mut faults);
        // All of them: removing the first address of a subnet removes the others as well.
        let places = new.places(&mut self.netlink);
        if let Some(instance) = self.instances.get_mut(id.index()) {
            instance.stood.note(&places);
        }
        let errnos = fill(&mut self.netlink, &places, &mut attempt);
        new.paths.set(&mut self.netlink, &mut attempt);
        let is_new = |place: &Place<'_>, errno| match errno {
            0 => true,
            libc::EEXIST => !old.holds(&new, place.address),
            _ => false,
        };
        let set = places.iter().zip(errnos).filter(|(place, errno)| is_new(place, *errno));
        let targets: Vec<Target> = set.filter_map(|(place, _)| place.target(&new.announce)).collect();
        for target in &targets {
            self.announcer.queue(id, target.station, target.address);
        }
        send(&mut self.announcer, &self.board, &mut faults);
        self.repeats.push(id, targets, new.announce.repeat.saturating_sub(1));
        self.tell(&faults);
        self.settle(id, attempt, None);
    }

    /// The charge of an instance without what other masters also hold; that stays as long as one of them does.
    fn unshared(&self, id: InstanceId) -> Option<Charge> {
        let charge = &self.instances.get(id.index())?.charge;
        let others = self.instances.iter().enumerate().filter(|(index, _)| *index != id.index());
        let held = others.filter(|(_, other)| other.held.is_some()).map(|(_, other)| &other.charge);
        let others: Vec<&Charge> = held.collect();
        let is_held = |address: &VirtualAddress| {
            let device = charge.device(address);
            others.iter().any(|other| other.has(device, address))
        };
        let paths: Vec<&Paths> = others.iter().map(|other| &other.paths).collect();
        Some(Charge { paths: charge.paths.without(&paths), ..charge.only(|address| !is_held(address)) })
    }

    /// Sets again what is tracked and missing, and what could not be set before. Only the attempt shows what is
    /// missing.
    fn put_back(&mut self, id: InstanceId, epoch: Epoch, missing: Missing) {
        let Some(instance) = self.instances.get_mut(id.index()) else { return };
        if instance.held != Some(epoch) {
            return;
        }
        let lacks = &instance.lacks;
        let charge =
            instance.charge.only(|address| address.tracked || lacks.has(Object::Address(address.address)));
        let (mut attempt, mut faults) = (Attempt::default(), Faults::default());
        let places = charge.places(&mut self.netlink);
        instance.stood.note(&places);
        let errnos = fill(&mut self.netlink, &places, &mut attempt);
        let set = places.iter().zip(errnos).filter(|(_, errno)| *errno == 0).map(|(place, _)| place);
        let targets: Vec<Target> = set.filter_map(|place| place.target(&charge.announce)).collect();
        for target in &targets {
            self.announcer.queue(id, target.station, target.address);
        }
        send(&mut self.announcer, &self.board, &mut faults);
        if missing.paths {
            charge.paths.wanted(&instance.lacks).set(&mut self.netlink, &mut attempt);
        }
        if !targets.is_empty() {
            self.repeats.push(id, targets, charge.announce.repeat.saturating_sub(1));
        }
        self.tell(&faults);
        self.settle(id, attempt, Some(missing.loss));
    }

    /// Remembers what is still missing, and reports changes.
    fn settle(&mut self, id: InstanceId, attempt: Attempt, loss: Option<Loss>) {
        let (Some(instance), Some(board)) =
            (self.instances.get_mut(id.index()), self.board.instances.get(id.index()))
        else {
            return;
        };
        let gone = instance.lacks.take(attempt);
        if let (Some(object), Some(loss)) = (gone.first(), loss) {
            let count = u64::try_from(gone.len()).unwrap_or(u64::MAX);
            board.put_back.fetch_add(count, Relaxed);
            let more = count.saturating_sub(1);
            self.reports.push(Report::PutBack { instance: id, object: *object, more, loss });
        }
        let count = |count| u64::try_from(count).unwrap_or(u64::MAX);
        self.board.effect_errors.fetch_add(count(instance.lacks.fresh()), Relaxed);
        board.lacking.store(count(instance.lacks.count()), Relaxed);
        let is_master = instance.held.is_some();
        let reports = &self.reports;
        instance.lacks.tell(|lacks| reports.push(Report::Lacks { instance: id, lacks, is_master }));
    }

    fn announce(&mut self, id: InstanceId, announcement: Announcement) {
        let Some(instance) = self.instances.get(id.index()) else { return };
        // Announcements of an earlier mastership, or ones that come after its end.
        if instance.held.is_none_or(|since| announcement.epoch < since) {
            return;
        }
        let places = instance.charge.places(&mut self.netlink);
        let targets = places.iter().filter_map(|place| place.target(&instance.charge.announce)).collect();
        self.repeats.push(id, targets, announcement.repeat);
    }

    /// Sends the repeats that are due and returns when the next one is.
    fn repeat(&mut self) -> Option<Timestamp> {
        let refresh = self.refresh(clock::now());
        let announcer = &mut self.announcer;
        let next = self.repeats.step(clock::now(), |id, target| {
            announcer.queue(id, target.station, target.address);
        });
        let mut faults = Faults::default();
        send(announcer, &self.board, &mut faults);
        self.tell(&faults);
        next.into_iter().chain(refresh).min()
    }

    /// Queues the periodic announcements that are due and returns when the next ones are.
    fn refresh(&mut self, now: Timestamp) -> Option<Timestamp> {
        let mut next = None;
        for (instance, id) in self.instances.iter_mut().zip(0..) {
            let Instance { charge, held: Some(_), .. } = instance else { continue };
            let Some(refresh) = &mut charge.refresh else { continue };
            if refresh.take_due(now) {
                let places = charge.places(&mut self.netlink);
                let targets = charge.chosen(&places).filter_map(|place| place.target(&charge.announce));
                self.repeats.push(InstanceId(id), targets.collect(), 1);
            }
            let due = charge.refresh.as_ref().map(Refresh::due);
            next = next.into_iter().chain(due).min();
        }
        next
    }

    fn tell(&self, faults: &Faults) {
        self.board.effect_errors.fetch_add(faults.count(), Relaxed);
        if let Some((instance, object, refusal)) = faults.first() {
            self.reports.push(Report::EffectFailed { instance, object, refusal });
        }
    }
}

/// Sends the announcements that are queued, and counts them.
fn send(announcer: &mut Announcer, board: &Board, faults: &mut Faults) {
    announcer.flush(|id, address, outcome| match outcome {
        Ok(()) => {
            if let Some(board) = board.instances.get(id.index()) {
                board.announcements_sent.fetch_add(1, Relaxed);
            }
        }
        Err(errno) => faults.note(id, Object::Address(address), errno.into()),
    });
}

impl Charge {
    fn device<'a>(&'a self, address: &'a VirtualAddress) -> &'a str {
        address.device.as_ref().unwrap_or(&self.interface)
    }

    /// Whether the kernel keeps one address on `device` for this charge and for another one: IPv4 addresses are the
    /// same by address and prefix, IPv6 addresses by address alone.
    fn has(&self, device: &str, address: &VirtualAddress) -> bool {
        let named =
            |it: &VirtualAddress| (it.address, Some((it.prefix, it.peer)).filter(|_| it.address.is_ipv4()));
        self.addresses.all().any(|it| named(it) == named(address) && self.device(it) == device)
    }

    /// Whether it has an address of another charge, in the same form and on the same interface.
    fn holds(&self, other: &Self, address: &VirtualAddress) -> bool {
        self.addresses.all().any(|it| it == address && self.device(it) == other.device(address))
    }

    /// The same charge with some of its addresses only.
    fn only(&self, is_wanted: impl Fn(&VirtualAddress) -> bool) -> Self {
        let wanted = |list: &[VirtualAddress]| -> Vec<VirtualAddress> {
            list.iter().filter(|address| is_wanted(address)).cloned().collect()
        };
        let Addresses { advertised, excluded } = &*self.addresses;
        let addresses = Addresses { advertised: wanted(advertised), excluded: wanted(excluded) };
        Self { addresses: Arc::new(addresses), ..self.clone() }
    }

    /// The places that are announced periodically.
    fn chosen<'a>(&self, places: &'a [Place<'a>]) -> impl Iterator<Item = &'a Place<'a>> {
        let chosen = self.refresh.as_ref().map_or(&[][..], Refresh::chosen);
        places.iter().zip(chosen).filter(|(_, chosen)| **chosen).map(|(place, _)| place)
    }

    /// Its addresses, each with the present state of its interface.
    fn places(&self, netlink: &mut RouteSocket) -> Vec<Place<'_>> {
        let mut links: Vec<(&str, Option<Rc<Device>>)> = Vec::new();
        let addresses = self.addresses.advertised.iter().chain(&self.addresses.excluded);
        let v6 = addresses.clone().any(|address| address.address.is_ipv6());
        let places = addresses.map(|address| {
            let name = address.device.as_ref().unwrap_or(&self.interface);
            let known = links.iter().find(|(known, _)| **known == **name).map(|(_, device)| device.clone());
            let device = known.unwrap_or_else(|| {
                let device = Device::find(netlink, name, v6).map(Rc::new);
                links.push((name, device.clone()));
                device
            });
            Place { address, name, device }
        });
        places.collect()
    }
}
