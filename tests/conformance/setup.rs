//! One instance under a virtual clock.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Family;
use vrrp_user::protocol::{
    Action, AnnounceSettings, ElectionSettings, Event, Instance, InstanceId, Interval, Missing, Order,
    PeerAdvert, Priority, Router, State, TrackId, TrackSettings, TrackedObject, Version, Weight,
};

pub(crate) const ID: InstanceId = InstanceId(0);

/// Valid combinations of version and family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Variant {
    V3Ipv4,
    V3Ipv6,
    V2,
}

impl Variant {
    pub(crate) const ALL: [Self; 3] = [Self::V3Ipv4, Self::V3Ipv6, Self::V2];

    pub(crate) fn version(self) -> Version {
        if self == Self::V2 { Version::V2 } else { Version::V3 }
    }

    pub(crate) fn family(self) -> Family {
        if self == Self::V3Ipv6 { Family::V6 } else { Family::V4 }
    }

    /// Address of the family that grows with the number; as a signed byte, 128 and more are negative.
    pub(crate) fn address(self, number: u8) -> IpAddr {
        match self.family() {
            Family::V4 => IpAddr::from([number, 0, 0, 1]),
            Family::V6 => IpAddr::from([0xfe80, 0, 0, 0, u16::from(number) << 8, 0, 0, 1]),
        }
    }

    /// Priority 100, one second, first announcements only, addresses removed without handover.
    pub(crate) fn settings(self) -> ElectionSettings {
        ElectionSettings {
            version: self.version(),
            announce: AnnounceSettings {
                delay: Duration::ZERO,
                repeat: 1,
                lower_prio_repeat: 0,
                ..Default::default()
            },
            handover: Order::Strict,
            ..ElectionSettings::new(self.family())
        }
    }
}

pub(crate) fn centiseconds(count: u16) -> Interval {
    Interval::from_wire(count, Version::V3).unwrap()
}

pub(crate) fn tracked(id: u32, weight: i16) -> TrackSettings {
    TrackSettings {
        id: TrackId(id),
        object: TrackedObject::Script("check".into()),
        weight: Weight(weight),
        reverse: false,
        initial: Some(true),
    }
}

/// A tracked file whose number is not known yet.
pub(crate) fn file(id: u32, weight: i16) -> TrackSettings {
    TrackSettings { object: TrackedObject::File("file".into()), initial: None, ..tracked(id, weight) }
}

/// A router with one instance, and the current time.
pub(crate) struct Bench {
    pub(crate) router: Router,
    pub(crate) variant: Variant,
    pub(crate) now: Timestamp,
    /// Time from which an ARP request reaches the router.
    pub(crate) heed: Option<Timestamp>,
}

impl Bench {
    /// Our address is that of number 100. Link and source are known, the daemon is not ready yet.
    pub(crate) fn new(variant: Variant, settings: ElectionSettings) -> Self {
        let mut router = Router::new(vec![settings]);
        let now = Timestamp::from_nanos(1_000_000_000_000);
        router.handle(&Event::Link(ID, true), now);
        router.handle(&Event::Source(ID, Some(variant.address(100))), now);
        Self { router, variant, now, heed: None }
    }

    pub(crate) fn started(variant: Variant, settings: ElectionSettings) -> Self {
        let mut bench = Self::new(variant, settings);
        bench.handle(&Event::Startup);
        bench
    }

    /// Handles an event and returns the actions, as [`describe`] writes them.
    pub(crate) fn handle(&mut self, event: &Event) -> Vec<String> {
        self.router.handle(event, self.now);
        // Timers due at the event's time are handled in the same turn.
        self.router.handle_timeout(self.now);
        self.drain()
    }

    /// Applies other settings.
    pub(crate) fn configure(&mut self, settings: ElectionSettings) -> Vec<String> {
        let old = &self.instance().settings().advertised;
        let has_new_addresses = !settings.advertised.iter().all(|address| old.contains(address));
        self.router.configure(ID, settings, has_new_addresses, &[], self.now);
        self.router.handle_timeout(self.now);
        self.drain()
    }

    pub(crate) fn remove(&mut self) -> Vec<String> {
        self.router.remove(ID, self.now);
        self.drain()
    }

    /// Hot restart; the newer process knows the link and the source already, and resumes after this time. Meanwhile the
    /// older one sends, unless its adverts do not leave any more.
    pub(crate) fn restart(&mut self, after: Duration, is_sending: bool) -> Vec<String> {
        let mut snapshots = self.router.snapshot().unwrap();
        let before = self.now;
        self.now = self.now + after;
        for (_, snapshot) in snapshots.iter_mut().filter(|_| is_sending) {
            let lease = self.now + self.instance().settings().lease();
            snapshot.entitled_until = snapshot.entitled_until.map(|it| if it > before { lease } else { it });
        }
        let settings = self.instance().settings().clone();
        let source = self.instance().source();
        self.router = Router::new(vec![settings]);
        self.router.handle(&Event::Link(ID, true), self.now);
        self.router.handle(&Event::Source(ID, source), self.now);
        assert_eq!(self.router.poll_action(), None);
        self.router.restore(&snapshots, &[], self.now);
        self.router.handle(&Event::Startup, self.now);
        self.router.handle_timeout(self.now);
        self.drain()
    }

    /// An advert that the kernel received `age` ago.
    pub(crate) fn hear(&mut self, priority: u8, from: u8, interval: Interval, age: Duration) -> Vec<String> {
        self.hear_in(self.variant.version(), priority, from, interval, age)
    }

    pub(crate) fn hear_in(
        &mut self,
        version: Version,
        priority: u8,
        from: u8,
        interval: Interval,
        age: Duration,
    ) -> Vec<String> {
        let heard = PeerAdvert {
            source: self.variant.address(from),
            version,
            priority: Priority(priority),
            interval,
            stamp: self.now - age,
        };
        self.handle(&Event::Advert(ID, heard))
    }

    /// Lets time pass, waking at every timeout to the nanosecond.
    pub(crate) fn wait(&mut self, span: Duration) -> Vec<String> {
        let end = self.now + span;
        let mut actions = Vec::new();
        while let Some(due) = self.router.poll_timeout().filter(|&due| due <= end) {
            self.now = due;
            self.router.handle_timeout(due);
            actions.extend(self.drain());
        }
        self.now = end;
        actions
    }

    /// Suspends the router for a while: everything due meanwhile is handled late.
    pub(crate) fn freeze(&mut self, span: Duration) -> Vec<String> {
        self.now = self.now + span;
        self.router.handle_timeout(self.now);
        self.drain()
    }

    /// Reloads the configuration.
    pub(crate) fn renew(&mut self) -> Vec<String> {
        self.router.renew(self.now);
        self.drain()
    }

    pub(crate) fn instance(&self) -> &Instance {
        self.router.instance(ID).unwrap()
    }

    pub(crate) fn state(&self) -> State {
        self.instance().state()
    }

    /// An ARP request, which reaches the router if it has asked for that.
    pub(crate) fn ask(&mut self) -> Vec<String> {
        match self.heed.take_if(|from| *from <= self.now) {
            Some(_) => self.handle(&Event::Asked(ID)),
            None => Vec::new(),
        }
    }

    fn drain(&mut self) -> Vec<String> {
        let mut actions = Vec::new();
        while let Some(action) = self.router.poll_action() {
            match action {
                Action::Heed(_, from) => self.heed = Some(from),
                action => actions.push(describe(&action)),
            }
        }
        actions
    }
}

/// An action in a few words, without the instance.
pub(crate) fn describe(action: &Action) -> String {
    let mut words = String::new();
    match action {
        Action::Advertise(_, priority) => write!(words, "advert {priority}"),
        Action::TrySending(_, priority) => write!(words, "try sending {}", priority.0),
        Action::Watch(_) => write!(words, "watch"),
        Action::Unwatch(_) => write!(words, "unwatch"),
        Action::AddAddresses(..) => write!(words, "add"),
        Action::HoldAddresses(..) => write!(words, "hold"),
        Action::ProlongLease(..) => write!(words, "lease"),
        Action::StopAnswering(..) => write!(words, "stop answering"),
        Action::RemoveAddresses(..) => write!(words, "remove"),
        Action::Announce(_, announcement) => write!(words, "announce {}", announcement.repeat),
        Action::Report(_, transition) => {
            write!(words, "{} {}", transition.to.as_str(), transition.reason.as_str())
        }
        Action::ReportPriority(_, priority) => write!(words, "priority {priority}"),
        Action::ReportContest(..) => write!(words, "contest"),
        Action::Heed(..) => write!(words, "heed"),
        Action::PutBack(.., Missing { paths: true, .. }) => write!(words, "put back"),
        Action::PutBack(..) => write!(words, "put back addresses"),
        Action::ReportAbandoned(..) => write!(words, "abandoned"),
        Action::ReportGroup(_, transition) => {
            write!(words, "GROUP {} {}", transition.to.as_str(), transition.reason.as_str())
        }
    }
    .unwrap();
    words
}
