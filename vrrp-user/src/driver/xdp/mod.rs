//! The BPF program from the daemon's side: loading, attaching, its maps and its ring.
//!
//! Enters: interfaces and instance keys. Leaves: [`Maps`](super::maps::Maps), a [`Ring`] of events, and the receive
//! path ([`RxPath`](super::RxPath)) of each interface. Absent: decisions, and the adverts of interfaces without a
//! program.

pub mod attach;
mod bridge;
pub mod capabilities;
mod card;
mod dropping;
mod element;
mod entry;
mod ethtool;
mod foreign;
mod getlink;
pub mod hook;
mod hook_watch;
pub(in crate::driver) mod ktime;
mod link;
mod load_error;
mod loader;
mod local;
mod mld_rewrite;
mod netdev;
mod occupant;
mod orphan;
mod outlive;
pub mod pin;
mod place;
mod pod;
pub mod program;
pub mod ring;
mod survey;
mod syscall;
mod tcx;
mod trial;
mod unmapped;
mod wipe;

pub use attach::{AttachError, Attached, Mode};
pub use bridge::Bridge;
pub use capabilities::Capability;
pub use card::{Card, Taker, forgets_program};
pub use dropping::{DroppingFilter, TcHook};
pub use entry::Entry;
pub use foreign::{Foreign, LIBXDP};
pub use hook::Hook;
pub use hook_watch::{Attachment, HookWatch};
pub use load_error::LoadError;
pub use loader::Loader;
pub use netdev::DriverXdp;
pub use orphan::fenced_by;
pub use pin::{PinError, Pins, bpffs};
pub use program::{Program, remove_filters};
pub use ring::Ring;
pub use survey::{Forecast, Other, Survey};
pub use trial::{Run, Verification};
