//! The engine: one real-time thread that owns the router and the advert sockets.
//!
//! Enters: adverts from the ring or from packet sockets, inputs of other threads, the timer. Leaves: adverts, at once;
//! commands for the effect thread; reports for the ordinary threads. Absent: logs, files, names, netlink, and in the
//! steady state allocation.
//!
//! One turn, in a fixed order: read the clock → inputs → adverts → peers of what is due → timeouts → actions → the one
//! timer. Actions are carried out after every input, so that each input finds the actions of the one before done.

mod flood;
mod hear;
mod hot_restart;
mod link;
mod show;
mod silence_check;
mod stand_by;

use std::io;
use std::iter;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use vrrp_ebpf::map::NO_PEER;
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::narrow;

use self::flood::Pace;
use self::hear::ReceivedAdvert;
use self::link::{Link, gate};
use self::silence_check::SilenceSocket;
use self::stand_by::StandBy;
use super::live::{LiveGroup, LiveState};
use super::queue::{Command, Input, Queue, Report};
use super::reload::change::{Changes, Configured};
use crate::driver::clock;
use crate::driver::maps::Maps;
use crate::driver::realtime::{RealtimeError, STACK, become_realtime};
use crate::driver::socket::{AdvertSender, Listener};
use crate::driver::wait::{TIMER, Wait};
use crate::driver::xdp::{Hook, Ring};
use crate::protocol::{
    Action, Epoch, Event, GroupSettings, Instance, InstanceId, InstanceSettings, Reason, Router, State,
    TrackId,
};

/// Inputs, and adverts per source, taken in one turn: the rest waits for the next turn, behind due timers.
const DRAIN_MAX: usize = 256;

/// How long before a takeover the engine wakes, to spin until the instant itself. A timer alone is 50–100 µs late.
const APPROACH: Duration = Duration::from_micros(120);

const TOKEN_INPUT: u64 = 0;
const TOKEN_RING: u64 = 1;
const TOKEN_LISTENER: u64 = 2;

/// Everything an engine is made of.
#[derive(Debug)]
pub struct Parts {
    pub instances: Vec<InstanceSettings>,
    pub groups: Vec<GroupSettings>,
    pub maps: Arc<Maps>,
    pub live: Arc<LiveState>,
    pub ring: Option<Ring>,
    pub inputs: Queue<Input>,
    pub commands: Queue<Command>,
    pub reports: Queue<Report>,
}

#[derive(Debug)]
pub struct Engine {
    router: Router,
    maps: Arc<Maps>,
    live: Arc<LiveState>,
    ring: Option<Ring>,
    /// Packet sockets by interface index, for interfaces whose receive path is `socket`.
    listeners: Vec<(u32, Listener)>,
    /// The program's attachments by interface index, if the kernel can report on them.
    hooks: Vec<(u32, Hook)>,
    /// Reference sockets of the interfaces on which a master's silence is in doubt.
    silence_sockets: Vec<SilenceSocket>,
    pace: Pace,
    stand_by: StandBy,
    sender: AdvertSender,
    links: Vec<Link>,
    /// Some links have [`Link::lapsed`].
    has_lapsed: bool,
    wait: Wait,
    inputs: Queue<Input>,
    commands: Queue<Command>,
    reports: Queue<Report>,
    /// Shortest advert interval of all instances: how far ahead the engine, once awake, looks for silent masters.
    coalesce: Duration,
    ending: bool,
    /// Shutdown transitions, held back until the last handover is done: their hooks may stop the service.
    last_words: Vec<Report>,
    /// Inputs kept during a hot restart, while another daemon is about to replace this one.
    paused: Option<Vec<Input>>,
}

/// A running engine.
#[derive(Debug)]
pub struct Spawned {
    pub thread: JoinHandle<io::Result<()>>,
    /// Whether the thread entered the real-time class.
    pub class: Result<(), RealtimeError>,
}

impl Engine {
    /// # Errors
    /// No raw socket (CAP_NET_RAW), or no descriptor for the timer.
    pub fn new(parts: Parts) -> io::Result<Self> {
        let mut wait = Wait::new()?;
        wait.add(&parts.inputs, TOKEN_INPUT)?;
        if let Some(ring) = &parts.ring {
            wait.add(ring, TOKEN_RING)?;
        }
        let coalesce = parts.instances.iter().map(|settings| settings.advert_interval.duration()).min();
        Ok(Self {
            links: parts
                .instances
                .iter()
                .enumerate()
                .map(|(index, settings)| Link {
                    gate: gate(&parts.live, index, settings),
                    lease: settings.lease(),
                    ..Link::default()
                })
                .collect(),
            has_lapsed: false,
            router: Router::with_groups(parts.instances, parts.groups),
            maps: parts.maps,
            live: parts.live,
            ring: parts.ring,
            listeners: Vec::new(),
            hooks: Vec::new(),
            silence_sockets: Vec::new(),
            pace: Pace::default(),
            stand_by: StandBy::default(),
            sender: AdvertSender::new()?,
            wait,
            inputs: parts.inputs,
            commands: parts.commands,
            reports: parts.reports,
            coalesce: coalesce.unwrap_or(Duration::ZERO),
            ending: false,
            last_words: Vec::new(),
            paused: None,
        })
    }

    /// Runs on a thread of its own, in the real-time class if `priority` is given. The result includes the outcome of
    /// that.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn spawn(self, priority: Option<i32>) -> io::Result<Spawned> {
        let (tell, told) = mpsc::channel();
        let thread = Builder::new().name("engine".to_owned()).stack_size(STACK).spawn(move || {
            let class = priority.map_or(Ok(()), become_realtime);
            // Cannot fail: `spawn` waits for it.
            let _ = tell.send(class);
            self.run()
        })?;
        let class = told.recv().map_err(io::Error::other)?;
        Ok(Spawned { thread, class })
    }

    /// Turns until the router was shut down and the last handover is done; then stops the effect thread.
    ///
    /// # Errors
    /// The wait itself failed.
    fn run(mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        while !self.has_ended() && outcome.is_ok() {
            outcome = self.turn();
        }
        self.commands.push(Command::Stop);
        for report in self.last_words.drain(..) {
            self.reports.push(report);
        }
        self.reports.push(Report::Stopped);
        outcome
    }

    fn turn(&mut self) -> io::Result<()> {
        let armed = self.arm()?;
        let fired = self.wait.wait()?.any(|token| token == TIMER);
        let now = clock::now();
        self.live.turns.fetch_add(1, Relaxed);
        if let Some(due) = armed.filter(|due| fired && now >= *due) {
            self.live.engine_lateness.record(now.since(due));
        }
        self.take_inputs(now);
        if self.paused.is_some() {
            self.discard();
            self.settle_pace(now);
            return Ok(());
        }
        self.take_ring(now);
        self.take_listeners(now);
        self.hear_silent(now);
        let now = self.approach(now);
        self.router.handle_timeout(now);
        self.act(None, now);
        self.settle_silence_checks();
        self.settle_pace(now);
        Ok(())
    }

    /// Sets the one timer to what is due next. Before a takeover it fires twice: for the effect thread to stand by, and
    /// for [`Self::approach`] to wait for the instant.
    fn arm(&mut self) -> io::Result<Option<Timestamp>> {
        let takeover = self.router.next_takeover().filter(|_| self.paused.is_none());
        let takeover = takeover.map(|due| self.have_stand_by(due));
        let due = takeover.or_else(|| self.router.poll_timeout()).filter(|_| self.paused.is_none());
        let due = due.into_iter().chain(self.pace.next()).min();
        self.wait.arm(due)?;
        Ok(due)
    }

    /// If a takeover is due within [`APPROACH`], spins until that instant. Adverts that arrive meanwhile are seen,
    /// because the program goes on recording them.
    fn approach(&mut self, now: Timestamp) -> Timestamp {
        let Some(due) = self.router.next_takeover().filter(|due| *due > now && due.since(now) <= APPROACH)
        else {
            return now;
        };
        let mut time = now;
        while time < due {
            std::hint::spin_loop();
            time = clock::now();
        }
        self.take_ring(time);
        self.hear_silent(time);
        time
    }

    fn take_inputs(&mut self, now: Timestamp) {
        self.inputs.acknowledge();
        for _ in 0..DRAIN_MAX {
            let Some(input) = self.inputs.pop() else { return };
            let Some(input) = self.keep(input) else { continue };
            match input {
                Input::Interface { instance, ifindex } => self.set_interface(instance, ifindex),
                Input::Sender { instance, ifindex } => self.set_sender(instance, ifindex),
                Input::Listen { ifindex, listener } => {
                    if self.wait.add(&*listener, TOKEN_LISTENER).is_ok() {
                        self.listeners.push((ifindex, *listener));
                        self.pace.mind_new_queue();
                    }
                }
                Input::Hook { ifindex, hook } => {
                    self.hooks.retain(|(known, _)| *known != ifindex);
                    self.hooks.extend(hook.map(|hook| (ifindex, hook)));
                }
                Input::Unlisten(gone) => {
                    for (_, listener) in self.listeners.extract_if(.., |(ifindex, _)| *ifindex == gone) {
                        // The main thread keeps a descriptor of it for a while.
                        let _ = self.wait.remove(&listener);
                    }
                }
                Input::Event(event) => {
                    // Only tracking and steering can turn a watched master into a lower one; other events end a watch
                    // in Fault, or find none.
                    if matches!(event, Event::Track(..) | Event::Value(..) | Event::Steer(..)) {
                        self.catch_all_up(now);
                    }
                    self.take_event(&event, now);
                    self.show_affected(&event);
                }
                Input::Reconfigure(changes) => {
                    self.catch_all_up(now);
                    self.reconfigure(*changes, now);
                    self.show_all();
                }
                Input::Pause(answer) => {
                    self.catch_all_up(now);
                    // The requester has gone: no daemon replaces this one.
                    if answer.send(self.pause()).is_err() {
                        self.go_on();
                    }
                }
                Input::GoOn => self.go_on(),
                Input::Leave => self.leave(),
                Input::Restore(snapshot) => {
                    self.restore(&snapshot, now);
                    self.show_all();
                }
            }
        }
        self.inputs.wake();
    }

    /// Removed instances go first: others may get their addresses.
    fn reconfigure(&mut self, changes: Changes, now: Timestamp) {
        for id in changes.removed {
            self.router.remove(id, now);
            self.act(None, now);
            if let Some(link) = self.links.get_mut(id.index()) {
                *link = Link::default();
            }
        }
        // New instances exist before their groups do, and groups before a member that changes.
        let is_new = |change: &Configured| self.router.instance(change.id).is_none_or(Instance::is_removed);
        let (new, changed): (Vec<_>, Vec<_>) = changes.configured.into_iter().partition(is_new);
        self.configure(new, &changes.known, now);
        // Before new instances take part.
        self.router.handle(&Event::Steer(changes.steering), now);
        self.act(None, now);
        if let Some(groups) = changes.groups {
            self.regroup(groups);
        }
        self.configure(changed, &changes.known, now);
        let intervals = self.router.instances().iter().map(|it| it.settings().advert_interval.duration());
        self.coalesce = intervals.min().unwrap_or(Duration::ZERO);
        // From here on, transitions of groups are reported under their new names and numbers.
        self.reports.push(Report::Reconfigured);
        self.router.agree(now);
        self.act(None, now);
        self.router.renew(now);
        self.act(None, now);
    }

    fn configure(&mut self, configured: Vec<Configured>, known: &[(TrackId, i32)], now: Timestamp) {
        for Configured { id, settings, effects } in configured {
            self.command(Command::SetEffects(id, Box::new(effects)));
            if id.index() == self.links.len() {
                self.links.push(Link::default());
            }
            self.prepare(id, &settings);
            self.router.configure(id, settings, known, now);
            self.act(None, now);
        }
    }

    /// Moves each group's entry in the live state to its new number.
    fn regroup(&mut self, groups: Vec<GroupSettings>) {
        let before: Vec<LiveGroup> = self.live.groups.iter().map(LiveGroup::copy).collect();
        let succeeded = self.router.regroup(groups);
        for (entry, old) in self.live.groups.iter().zip(succeeded.into_iter().chain(iter::repeat(None))) {
            let old = old.and_then(|old| before.get(old.index()));
            entry.set(old.unwrap_or(&LiveGroup::default()));
        }
    }

    fn take_event(&mut self, event: &Event, now: Timestamp) {
        // A new source is set before the router may send from it; a lost one is kept for the release.
        if let Event::Source(instance, Some(source)) = *event {
            self.set_source(instance, Some(source));
        }
        self.router.handle(event, now);
        self.act(None, now);
        if let Event::Source(instance, None) = *event {
            self.set_source(instance, None);
        }
        self.ending |= *event == Event::Shutdown;
    }

    /// Carries out the router's actions. `cause` is the advert that was handled last, for the kernel to compare with.
    fn act(&mut self, cause: Option<(InstanceId, ReceivedAdvert<'_>)>, now: Timestamp) {
        self.carry_out(cause, now);
        while self.has_lapsed
            && let Some(instance) = self.take_lapsed()
        {
            self.router.handle(&Event::Lapsed(instance), now);
            self.carry_out(None, now);
        }
        self.watch_known(cause);
        self.count(cause.map(|(instance, _)| instance));
    }

    fn carry_out(&mut self, cause: Option<(InstanceId, ReceivedAdvert<'_>)>, now: Timestamp) {
        while let Some(action) = self.router.poll_action() {
            match action {
                Action::Advertise(instance, priority) => self.advertise(instance, priority),
                Action::Watch(instance) => self.watch(instance, cause),
                Action::Unwatch(instance) => self.maps.disarm(instance.0),
                Action::AddAddresses(instance, epoch) => {
                    self.maps.end_masterships(instance.0, None);
                    self.serve(instance, true, now);
                    self.flush(now);
                    self.command(Command::Add(instance, epoch));
                }
                Action::RemoveAddresses(instance, epoch) => {
                    self.flush(now);
                    self.serve(instance, false, now);
                    self.command(Command::Remove(instance, epoch));
                }
                Action::HoldAddresses(instance, epoch) => self.hold(instance, epoch),
                Action::StopAnswering(instance, epoch) => self.stop_answering(instance, epoch, now),
                Action::Announce(instance, announcement) => {
                    self.command(Command::Announce(instance, announcement));
                }
                Action::Heed(instance, from) => self.maps.heed_questions(instance.0, from),
                Action::PutBack(instance, epoch, missing) => {
                    self.command(Command::PutBack(instance, epoch, missing));
                }
                Action::ReportAbandoned(instance) => {
                    self.reports.push(Report::Abandoned(instance));
                }
                Action::Report(instance, transition) => {
                    if let Some(live) = self.live.instances.get(instance.index()) {
                        live.record(&transition);
                    }
                    self.show(instance);
                    self.report(transition.reason, Report::Transition(instance, transition));
                }
                Action::ReportPriority(instance, priority) => {
                    if let Some(live) = self.live.instances.get(instance.index()) {
                        live.set_priority(priority);
                    }
                    self.reports.push(Report::Priority(instance, priority));
                }
                Action::ReportContest(instance, peer) => {
                    self.reports.push(Report::Contest(instance, peer));
                }
                Action::ReportGroup(group, transition) => {
                    if let Some(live) = self.live.groups.get(group.index()) {
                        live.record(&transition);
                    }
                    self.report(transition.reason, Report::Group(group, transition));
                }
            }
        }
        self.flush(now);
    }

    /// Holds transitions of a shutdown back until the end.
    fn report(&mut self, reason: Reason, report: Report) {
        if reason == Reason::Shutdown {
            self.last_words.push(report);
        } else {
            self.reports.push(report);
        }
    }

    fn has_ended(&self) -> bool {
        self.ending && !self.router.is_handing_over()
    }

    /// Without a fence, the kernel answers for an address as long as it is set.
    fn stop_answering(&mut self, instance: InstanceId, epoch: Epoch, now: Timestamp) {
        self.serve(instance, false, now);
        let is_fenced = self.live.instances.get(instance.index()).is_some_and(|it| it.fenced.load(Relaxed));
        self.command(if is_fenced {
            Command::StopAnnouncing(instance)
        } else {
            Command::Remove(instance, epoch)
        });
    }

    fn command(&self, command: Command) {
        if !self.commands.push(command) {
            self.live.effect_errors.fetch_add(1, Relaxed);
        }
    }

    fn watch(&self, instance: InstanceId, cause: Option<(InstanceId, ReceivedAdvert<'_>)>) {
        let is_signed = self.links.get(instance.index()).is_some_and(|link| link.gate.is_some());
        match cause {
            // No two signed adverts are alike: each is an event, within a budget that is the sender's own.
            Some((cause, received)) if cause == instance && is_signed => {
                self.maps.reserve_budget_for(instance.0, received.source);
            }
            Some((cause, received)) if cause == instance => {
                self.maps.arm(instance.0, received.source, received.peer, received.message, received.stamp);
            }
            // Found in a peer's record, without its message: the next one is an event again and is watched from then
            // on.
            _ => self.maps.disarm(instance.0),
        }
    }

    /// Watches a master whose advert came as an event although nothing about it changed: it was not watched yet.
    fn watch_known(&self, cause: Option<(InstanceId, ReceivedAdvert<'_>)>) {
        let Some((instance, received)) = cause else { return };
        let Some(view) = self.router.instance(instance) else { return };
        let master = view.remote_master().filter(|_| view.state() == State::Backup);
        let is_master = master.is_some_and(|master| {
            let source = narrow(view.settings().family, received.source);
            master.heard.source == source && master.heard.stamp == received.stamp
        });
        if is_master && received.peer != NO_PEER && self.maps.last_seen(instance.0).is_none() {
            self.watch(instance, cause);
        }
    }
}
