//! The VRRP state machine (RFC 9568 §6.4), sans-IO.
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

mod action;
pub mod auth;
mod deadlines;
mod election;
mod event;
mod group;
mod handover;
mod instance;
mod regroup;
mod removals;
mod route;
mod router;
mod rule;
mod settings;
mod snapshot;
mod state;
mod timers;
mod timing;
mod track;
mod units;
mod vmac;

pub use action::{Action, Announcement, GroupTransition, Missing, Reason, State, Transition};
pub use event::{Event, Loss, PeerAdvert, TrackId};
pub use group::Group;
pub use handover::{Handover, Order};
pub use instance::{Instance, Stats};
pub use removals::{RemovalCounter, RemovalResponse};
pub use route::{Hop, Placement, Route, RouteKind, RouteOption, RoutePreference};
pub use router::Router;
pub use rule::{Lookup, Rule, RuleAction};
pub use settings::{
    Addresses, AnnounceSettings, Auth, ExtraAnnounce, GroupSettings, InstanceSettings, Track, TrackSettings,
    Unicast, UnicastPeer, VirtualAddress,
};
pub use snapshot::InstanceSnapshot;
pub use state::RemoteMaster;
pub use timers::Timer;
pub use timing::{master_down_interval, skew};
pub use track::Faults;
pub use units::{Epoch, GroupId, InstanceId, Interval, Priority, Version, Vrid, Weight};
pub use vmac::{Name, Vmac, VmacSettings};
