//! Status of the daemon, as JSON and as text.
//!
//! Enters: configuration, live state, maps, history, and the addresses of this host. Leaves: a [`Status`],
//! which is the JSON of `vrrpx status --json`; [`overview`], [`detailed`] and [`table`] write it as text. Absent: the
//! engine, which is not involved.

mod address;
mod collect;
mod context;
mod detail;
mod document;
mod gaps;
mod overview;
mod peer;
mod problem;
mod rejected;
mod select;
mod services;
mod shared;
mod span;
mod statics;
mod steering;
mod table;
mod track;
mod unguarded;
mod unyielding;
mod why;
mod wire_records;

pub(in crate::daemon) use address::HostWatch;
pub use context::DaemonContext;
pub use detail::detailed;
pub use document::{
    Address, Configuration, Count, Counts, Differing, Engine, Fence, Gaps, Group, HostFault, Instance,
    Interface, Lacking, Lateness, Leftover, Node, PastTransition, Peer, PriorityPair, ReceptionFault,
    Rejected, SCHEMA, StaticSettings, Status, Steering, Tracked, UnknownRouter, UnwrittenFile, Unyielding,
    Vmac, XdpProgram,
};
pub use overview::{View, WIDTH, overview, served};
pub(in crate::daemon) use peer::lasts;
pub(crate) use peer::{down_interval, family, interval, master, master_interval, skew, skew_seconds, source};
pub use problem::StatusVerdict;
pub(in crate::daemon) use rejected::detail;
pub use services::{Check, DisabledScript, Failure, Fifo, Held, Hook, Mail, SlowHook, Webhook};
pub use shared::SharedContext;
pub(crate) use span::rough;
pub(crate) use span::span;
pub use steering::NamedOrder;
pub(in crate::daemon) use table::{columns, stacked};
pub use table::{table, table_at};
pub(in crate::daemon) use unyielding::why_unyielding;
