//! Inputs that must change nothing (R18, R19): a run with them is the same, to the nanosecond, as a run without.

use proptest::prelude::*;
use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_user::protocol::{
    Event, InstanceId, Interval, PeerAdvert, Priority, Router, State, Timer, TrackId, Version,
};

use super::setup::{Bench, ID, Variant, describe, tracked};

/// An input that has no effect on the instance in its present state.
#[derive(Clone, Copy, Debug)]
enum Noise {
    EarlyTimeout,
    StaleSighting,
    OwnAdvert {
        priority: u8,
    },
    /// Of a lower master; has an effect only on a Master, which answers it.
    LowerAdvert {
        priority: u8,
        interval: u16,
    },
    UnknownInstance,
    UnknownTrack {
        up: bool,
    },
    /// Link, source and track unchanged.
    NoChange,
    StartedAlready,
}

fn noise() -> impl Strategy<Value = Noise> {
    prop_oneof![
        Just(Noise::EarlyTimeout),
        Just(Noise::StaleSighting),
        (0..=255_u8).prop_map(|priority| Noise::OwnAdvert { priority }),
        (1..100_u8, 1..4096_u16).prop_map(|(priority, interval)| Noise::LowerAdvert { priority, interval }),
        Just(Noise::UnknownInstance),
        any::<bool>().prop_map(|up| Noise::UnknownTrack { up }),
        Just(Noise::NoChange),
        Just(Noise::StartedAlready),
    ]
}

/// The life of an instance: Backup to a master that is seen and then dies, Master, Backup to a higher one, which
/// releases, Master again.
struct Life {
    router: Router,
    variant: Variant,
    trace: Vec<(Timestamp, String)>,
}

const START: Timestamp = Timestamp::from_nanos(1_000_000_000_000);

impl Life {
    fn run(variant: Variant, noise: &[(u64, Noise)]) -> Vec<(Timestamp, String)> {
        let mut settings = variant.settings();
        settings.tracks = vec![tracked(1, 0)];
        let mut life = Self { router: Router::new(vec![settings]), variant, trace: Vec::new() };
        let at = |millis| START + Duration::from_millis(millis);
        life.input(&Event::Link(ID, true), at(0));
        life.input(&Event::Source(ID, Some(life.own())), at(0));
        life.input(&Event::Startup, at(0));
        let mut deeds: Vec<(Timestamp, Option<Event>, Option<Noise>)> = vec![
            (at(700), Some(life.advert(150, at(700))), None),
            (at(1_900), Some(Event::Seen(ID, at(1_700))), None),
            (at(3_900), Some(Event::Seen(ID, at(3_700))), None),
            // Silent until 7.309375 s.
            (at(9_150), Some(life.advert(180, at(9_150))), None),
            (at(11_000), Some(life.advert(0, at(11_000))), None),
            (at(15_000), Some(Event::Shutdown), None),
        ];
        deeds.extend(
            noise.iter().map(|&(micros, noise)| (START + Duration::from_micros(micros), None, Some(noise))),
        );
        deeds.sort_by_key(|&(at, ..)| at);
        for (at, event, noise) in deeds {
            life.sleep_until(at);
            match (event, noise) {
                (Some(event), _) => life.input(&event, at),
                (None, Some(noise)) => life.disturb(noise, at),
                (None, None) => {}
            }
        }
        life.trace
    }

    fn own(&self) -> IpAddr {
        self.variant.address(100)
    }

    fn advert(&self, priority: u8, stamp: Timestamp) -> Event {
        let (source, version) = (self.variant.address(120), self.variant.version());
        Event::Advert(
            ID,
            PeerAdvert { source, version, priority: Priority(priority), interval: Interval::SECOND, stamp },
        )
    }

    fn sleep_until(&mut self, end: Timestamp) {
        while let Some(due) = self.router.poll_timeout().filter(|&due| due <= end) {
            self.router.handle_timeout(due);
            self.drain(due);
        }
    }

    fn input(&mut self, event: &Event, now: Timestamp) {
        self.router.handle(event, now);
        self.drain(now);
    }

    fn disturb(&mut self, noise: Noise, now: Timestamp) {
        let instance = self.router.instance(ID).unwrap();
        let state = instance.state();
        let from = |number, priority, interval| PeerAdvert {
            source: self.variant.address(number),
            version: self.variant.version(),
            priority: Priority(priority),
            interval,
            stamp: now,
        };
        let event = match noise {
            Noise::EarlyTimeout => {
                self.router.handle_timeout(now);
                return self.drain(now);
            }
            Noise::StaleSighting => Event::Seen(ID, START + Duration::from_millis(700)),
            Noise::OwnAdvert { priority } => Event::Advert(ID, from(100, priority, Interval::SECOND)),
            Noise::LowerAdvert { .. } if state == State::Master => return,
            Noise::LowerAdvert { priority, interval } => {
                let interval = Interval::from_wire(interval, Version::V3).unwrap();
                Event::Advert(ID, from(90, priority, interval))
            }
            Noise::UnknownInstance => Event::Link(InstanceId(7), false),
            Noise::UnknownTrack { up } => Event::Track(TrackId(9), up),
            Noise::NoChange => {
                self.input(&Event::Link(ID, true), now);
                self.input(&Event::Source(ID, Some(self.own())), now);
                Event::Track(TrackId(1), true)
            }
            Noise::StartedAlready if state == State::Init => return,
            Noise::StartedAlready => Event::Startup,
        };
        let timers = |router: &Router| Timer::ALL.map(|timer| router.instance(ID).unwrap().deadline(timer));
        let before = timers(&self.router);
        self.input(&event, now);
        assert_eq!(timers(&self.router), before, "{noise:?}");
    }

    fn drain(&mut self, now: Timestamp) {
        while let Some(action) = self.router.poll_action() {
            self.trace.push((now, describe(&action)));
        }
    }
}

#[test]
fn the_undisturbed_life_has_transitions() {
    for variant in Variant::ALL {
        let trace = Life::run(variant, &[]);
        let takeovers: Vec<_> = trace
            .iter()
            .filter(|(_, what)| what.starts_with("MASTER"))
            .map(|&(at, _)| at.since(START))
            .collect();
        let expected = [7_309_375, 11_609_375].map(Duration::from_micros);
        assert_eq!(takeovers, expected, "{variant:?}: {trace:?}");
    }
}

/// Both happen in one turn: the priority rises so far that the deadline is now, and a `Seen` is older than that.
#[test]
fn a_sighting_never_moves_the_deadline_backwards() {
    let mut settings = Variant::V3Ipv4.settings();
    settings.priority = Priority(1);
    settings.tracks = vec![tracked(1, 253)];
    settings.tracks[0].initial = Some(false);
    let mut bench = Bench::started(Variant::V3Ipv4, settings);
    bench.hear(255, 120, Interval::SECOND, Duration::ZERO);
    bench.wait(Duration::from_millis(3_900));
    bench.router.handle(&Event::Track(TrackId(1), true), bench.now);
    assert_eq!(bench.instance().deadline(Timer::MasterDown), Some(bench.now));
    bench.router.handle(&Event::Seen(ID, bench.now - Duration::from_millis(3_500)), bench.now);
    assert_eq!(bench.instance().deadline(Timer::MasterDown), Some(bench.now));
}

proptest! {
    #[test]
    fn noise_changes_nothing(noise in prop::collection::vec((0_u64..16_000_000, noise()), 0..200)) {
        for variant in Variant::ALL {
            // After a shutdown, another start would have an effect.
            prop_assert_eq!(Life::run(variant, &noise), Life::run(variant, &[]));
        }
    }
}
