//! The turn: everything that a daemon decides between two sleeps, sans-IO.
//!
//! Enters: the [`Ports`], through which the time, inputs, adverts and records come. Leaves: adverts, leases and
//! actions, through the same ports, and the time of the next turn. Absent: descriptors and threads, which belong to the
//! ports.
//!
//! One turn has a fixed order: clock → inputs → adverts → peers of due instances → timeouts → actions → the timer.
//! Actions are carried out after every input, so that each input finds the actions of the one before done. In the
//! steady state a turn allocates nothing.
//!
//! ```text
//! loop: match turn.run(&mut ports) {
//!           Next::Spin(due) => busy-wait until due,
//!           Next::Sleep(due) => sleep until due, an input or an advert,
//!       }
//! ```

mod actions;
mod adverts;
mod configuration;
mod ports;
mod sleep;

use alloc::vec::Vec;
use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

pub use self::configuration::{ConfigurationChanges, ConfiguredInstance};
pub use self::ports::{Ports, RECORDS_MAX, ReceivedAdvert, Record, SocketCount, Tally};
use super::event::Event;
use super::instance::Instance;
use super::lease::Lease;
use super::reception::{Flooded, SilenceCheck};
use super::router::Router;
use super::settings::{ElectionSettings, GroupSettings};
use super::sleep::Sleep;
use super::units::InstanceId;

/// How long before a takeover a turn is due, to spin until the instant itself. A timer alone is 50–100 µs late.
pub const APPROACH: Duration = Duration::from_micros(120);

/// When to take the next turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NextTurn {
    /// At exactly this time, at which a backup may take over. Adverts that arrive meanwhile are seen: the program goes
    /// on recording them.
    Spin(Timestamp),
    /// At this time, or when an input or an advert comes.
    Sleep(Option<Timestamp>),
}

/// The router, with what a turn knows of each instance beside it.
#[derive(Debug)]
pub struct Turn {
    router: Router,
    /// By instance.
    watchers: Vec<Watcher>,
    /// Some leases have lapsed.
    has_lapsed: bool,
    /// Shortest advert interval of all instances: how far ahead a turn, once it runs, looks for silent masters.
    coalesce: Duration,
    /// Some silence is in doubt.
    checks_silence: bool,
    /// The turn goes on after a spin.
    has_spun: bool,
    /// Instances whose adverts are queued.
    queued: usize,
    is_paused: bool,
    /// While paused: when a master's next advert is due.
    sustained: Option<Timestamp>,
    is_ending: bool,
    sleep: Sleep,
}

/// What a turn knows of an instance.
#[derive(Clone, Debug, Default)]
struct Watcher {
    lease: Lease,
    /// The silence of its master, once the master is overdue.
    silence_check: Option<SilenceCheck>,
    /// Since when its program is found detached, or behind another one.
    detached: Option<Timestamp>,
    /// Its takeover waits, or has waited, because signed adverts were missed.
    flooded: Option<Flooded>,
}

impl Turn {
    /// Instances and groups are numbered in the given order, as in [`Router::with_groups`].
    pub fn new(instances: Vec<ElectionSettings>, groups: Vec<GroupSettings>) -> Self {
        let coalesce = instances.iter().map(|settings| settings.advert_interval.duration()).min();
        Self {
            watchers: instances.iter().map(|_| Watcher::default()).collect(),
            router: Router::with_groups(instances, groups),
            has_lapsed: false,
            coalesce: coalesce.unwrap_or(Duration::ZERO),
            checks_silence: false,
            has_spun: false,
            queued: 0,
            is_paused: false,
            sustained: None,
            is_ending: false,
            sleep: Sleep::default(),
        }
    }

    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Takes a turn. Calling early is harmless.
    #[inline(never)]
    pub fn run<P: Ports>(&mut self, ports: &mut P) -> NextTurn {
        let now = ports.now();
        if self.sleep.note(ports.asleep(), now) {
            self.expire_leases(ports, now);
        }
        self.doubt(ports, now);
        let has_spun = core::mem::take(&mut self.has_spun);
        if !has_spun {
            ports.take_inputs(self, now);
        }
        if self.is_paused {
            ports.discard_adverts();
            self.sustain(ports, now);
            ports.settle(now);
            return self.next();
        }
        ports.take_adverts(self, now);
        self.hear_silent(ports, now);
        let takeover = self.router.next_takeover().filter(|due| *due > now && due.since(now) <= APPROACH);
        if let Some(due) = takeover.filter(|_| !has_spun) {
            self.has_spun = true;
            return NextTurn::Spin(due);
        }
        self.router.handle_timeout(now);
        self.act(ports, None, now);
        self.settle_silence_checks(ports);
        ports.settle(now);
        self.next()
    }

    /// When to take the first turn, and every later one. A turn before a takeover is early, and ends with a spin until
    /// that instant.
    pub fn next(&self) -> NextTurn {
        if self.is_paused {
            return NextTurn::Sleep(self.sustained);
        }
        let takeover = self.router.next_takeover().map(|due| due - APPROACH);
        NextTurn::Sleep(takeover.or_else(|| self.router.poll_timeout()))
    }

    /// Whether the router was shut down and the last handover is done.
    pub fn has_ended(&self) -> bool {
        self.is_ending && !self.router.is_handing_over()
    }

    /// Whether another process is about to replace this one.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Handles an event of another thread.
    pub fn take_event<P: Ports>(&mut self, ports: &mut P, event: &Event, now: Timestamp) {
        // A start delay or a reload may end behind the shutdown.
        if self.is_ending && *event == Event::Startup {
            return;
        }
        // Only tracking and steering can turn a watched master into a lower one; other events end a watch in Fault, or
        // find none.
        if matches!(event, Event::Track(..) | Event::Value(..) | Event::Steer(..)) {
            self.catch_all_up(ports, now);
        }
        // A new source is set before the router may send from it; a lost one is kept for the release.
        if let Event::Source(id, Some(source)) = *event {
            ports.set_source(id, Some(source));
        }
        self.router.handle(event, now);
        self.act(ports, None, now);
        if let Event::Source(id, None) = *event {
            ports.set_source(id, None);
        }
        self.is_ending |= *event == Event::Shutdown;
    }

    fn span(&self, id: InstanceId) -> Duration {
        self.router.instance(id).map_or(Duration::ZERO, |view| view.settings().lease())
    }

    fn view(&self, id: InstanceId) -> Option<&Instance> {
        self.router.instance(id)
    }
}
