//! The VRRP state machine (RFC 9568 §6.4), sans-IO and without `std`.
//!
//! Enters: [`Event`]s and the time. Leaves: [`Action`]s and the next time to call. Absent: clocks, sockets, threads,
//! logs, randomness, files.
//!
//! ```text
//! loop: router.handle(&event, now)  |  router.handle_timeout(now)
//!       while let Some(action) = router.poll_action() { … }
//!       sleep until router.poll_timeout()
//! ```
//! Drain the actions after every input. Calling early or twice is harmless.
//!
//! A daemon runs a [`Turn`], which makes these calls in their order, and decides on leases, lost events and doubtful
//! silence besides.
//!
//! # Example
//! Two routers, and a LAN that carries every advert at once. The better one is master, until it dies.
//! ```
//! use std::time::Duration;
//!
//! use vrrp_ebpf::{time::Timestamp, wire::Family};
//! use vrrp_proto::{
//!     Action, ElectionSettings, Event, InstanceId, Interval, PeerAdvert, Priority, Router, State, Version,
//! };
//!
//! const ID: InstanceId = InstanceId(0);
//! const SOURCES: [[u8; 4]; 2] = [[192, 0, 2, 1], [192, 0, 2, 2]];
//!
//! let mut now = Timestamp::ZERO;
//! let settings = ElectionSettings::new(Family::V4);
//! let mut routers = [150, 100].map(|priority| {
//!     Router::new(vec![ElectionSettings { priority: Priority(priority), ..settings.clone() }])
//! });
//! for (router, source) in routers.iter_mut().zip(SOURCES) {
//!     router.handle(&Event::Link(ID, true), now);
//!     router.handle(&Event::Source(ID, Some(source.into())), now);
//!     router.handle(&Event::Startup, now);
//! }
//!
//! // Fires the next timer of the living routers, and carries the adverts that follow from it.
//! let mut advance = |routers: &mut [Router; 2], living: &[usize]| {
//!     now = living.iter().filter_map(|&node| routers[node].poll_timeout()).min().unwrap();
//!     for &node in living {
//!         routers[node].handle_timeout(now);
//!         while let Some(action) = routers[node].poll_action() {
//!             // The others are for the caller too: set or remove addresses, announce them, report a transition.
//!             let Action::Advertise(_, priority) = action else { continue };
//!             let advert = PeerAdvert {
//!                 source: SOURCES[node].into(),
//!                 version: Version::V3,
//!                 priority,
//!                 interval: Interval::SECOND,
//!                 stamp: now,
//!             };
//!             for &hearer in living.iter().filter(|&&hearer| hearer != node) {
//!                 routers[hearer].handle(&Event::Advert(ID, advert), now);
//!             }
//!         }
//!     }
//!     now
//! };
//! let state = |router: &Router| router.instance(ID).unwrap().state();
//!
//! while state(&routers[0]) != State::Master {
//!     advance(&mut routers, &[0, 1]);
//! }
//! let last_advert = advance(&mut routers, &[0, 1]);
//! assert_eq!(state(&routers[1]), State::Backup);
//!
//! let mut taken_over = last_advert;
//! while state(&routers[1]) != State::Master {
//!     taken_over = advance(&mut routers, &[1]);
//! }
//! // Master_Down_Interval of priority 100: three intervals and the skew (RFC 9568 §6.1).
//! assert_eq!(taken_over.since(last_advert), Duration::from_nanos(3_609_375_000));
//! ```

#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod action;
pub mod auth;
mod context;
mod deadlines;
mod election;
mod event;
mod group;
mod handover;
mod input;
mod instance;
mod lease;
mod reception;
mod regroup;
mod removals;
mod router;
mod settings;
mod sleep;
mod snapshot;
mod state;
mod steering;
mod timers;
mod timing;
mod track;
mod turn;
mod units;

pub use action::{Action, Announcement, GroupTransition, Missing, Reason, State, Transition};
pub use event::{Event, Loss, PeerAdvert, TrackId};
pub use group::Group;
pub use handover::Handover;
pub use instance::{Instance, Stats};
pub use lease::SendError;
pub use reception::HOLD_MAX;
pub use removals::{RemovalCounter, RemovalResponse};
pub use router::Router;
pub use settings::{
    AnnounceSettings, Auth, ElectionSettings, GroupSettings, Order, TrackSettings, TrackedObject, Unicast,
    UnicastPeer,
};
pub use snapshot::InstanceSnapshot;
pub use state::data::RemoteMaster;
pub use steering::{NoHeir, Standing, Steering, SteeringOrder, known_heir, may_leave};
pub use timers::Timer;
pub use timing::{lease, master_down_interval, skew};
pub use track::Faults;
pub use turn::{
    APPROACH, ConfigurationChanges, ConfiguredInstance, NextTurn, Ports, RECORDS_MAX, ReceivedAdvert, Record,
    SocketCount, Tally, Turn,
};
pub use units::{Epoch, GroupId, InstanceId, Interval, Priority, Version, Vrid, Weight};
