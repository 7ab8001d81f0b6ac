//! Layouts of the BPF maps, one file each, shared by program and daemon.
//!
//! Maps hold the state, the ring wakes the daemon: the contents of a ring entry can be read from the maps too, so that
//! a lost entry delays a decision and never makes one. Every type is `repr(C)`, without implicit padding, and valid for
//! any bit pattern; the arrays are indexed by slot and mapped into the daemon (`BPF_F_MMAPABLE`, Linux 5.5).
//!
//! | map | type | key → value | writer |
//! |---|---|---|---|
//! | `KEYS` | hash | [`InstanceKey`] → slot | user |
//! | `SHORTCUTS` | array | [`InstanceKey::shortcut`] → [`Shortcut`] | user |
//! | `SLOTS` | array, mapped | slot → [`RulesPair`] | user |
//! | `WATCH` | array, mapped | slot → [`Watch`] | user; `last_seen`, `hits`, `missed` by the program |
//! | `MESSAGES` | array | slot → [`WatchedMessage`] | user |
//! | `PEERS` | array, mapped | slot × [`PEERS_PER_SLOT`] + i → [`Peer`] | program; `ended` by both; the daemon writes records of signed adverts, and frees records |
//! | `GAPS` | array | as `PEERS` → [`Gaps`] | program; the daemon with a record that it frees |
//! | `BUDGETS` | array | slot → [`Budget`] | program |
//! | `EVENTS` | ring | → [`Event`], as long as its message needs | program |
//! | `DRAFT` | per-CPU array | 0 → [`Event`] that is put together | program |
//! | `COUNTERS` | per-CPU array | slot + 1, or 0 without an instance → [`Counters`] | program |
//! | `ALLOWED_PEERS` | hash | [`AllowedPeerKey`] → [`AllowedPeer`] | user |
//! | `REJECTED` | array, mapped while it is read | slot × [`REJECTS_PER_SLOT`] + [`crate::wire::Reject`] → [`Rejected`] | program |
//! | `UNKNOWN_ROUTERS` | hash | [`InstanceKey`] → [`UnknownRouter`] | program |
//! | `LOCALS` | hash | [`LocalKey`] → nothing | user |
//! | `LEASES` | hash | [`LeaseKey`] → slot | user |
//! | `LEASE_STATE` | array, mapped | slot → [`Lease`] | both, by words |
//! | `MLD_SOURCE_MACS` | hash | interface index → MAC address that its MLD reports leave with | user |

mod allowed_peer;
mod budget;
mod counter;
mod event;
mod key;
#[cfg(test)]
mod layout;
mod lease;
mod local;
mod peer;
mod rejected;
mod rules;
mod unknown_router;
mod watch;

pub use crate::wire::{InstanceRules, PAYLOAD_MAX};
pub use allowed_peer::{AllowedPeer, AllowedPeerKey};
pub use budget::{BUDGET_OTHERS, BUDGET_SIGNED, BUDGET_WATCHED, BUDGET_WINDOW_NS, Budget, SenderClass};
pub use counter::{COUNTERS, Counter, Counters};
pub use event::{Event, EventHead};
pub use key::{InstanceKey, SHORTCUTS, Shortcut};
pub use lease::{Lease, LeaseKey};
pub use local::LocalKey;
pub use peer::{GAP_BUCKETS, Gaps, NO_PEER, PEERS_PER_SLOT, Peer};
pub use rejected::{REJECTS_PER_SLOT, Rejected};
pub use rules::RulesPair;
pub use unknown_router::{UNKNOWN_ROUTER_ADDRESSES, UNKNOWN_ROUTERS_MAX, UnknownRouter};
pub use watch::{Watch, WatchedMessage};

/// Incremented with every change of a layout here; part of the name of the pin folder.
pub const LAYOUT_VERSION: u32 = 11;

/// Most instances of one daemon; the maps are sized to the number that the configuration needs.
pub const SLOTS_MAX: u32 = 4096;
