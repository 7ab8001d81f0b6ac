//! Wrappers of the map layouts for aya.
//!
//! aya requires a marker trait on the types of keys and values; our layouts live in a crate that does not depend on
//! aya.

use aya::Pod;
use vrrp_ebpf::map::{
    AllowedPeer, AllowedPeerKey, Counters, InstanceKey, LeaseKey, LocalKey, Shortcut, UnknownRouter,
};

#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Key(pub(super) InstanceKey);

// SAFETY: repr(C), without padding, valid for any bit pattern.
unsafe impl Pod for Key {}

#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct ShortcutValue(pub(super) Shortcut);

// SAFETY: as above.
unsafe impl Pod for ShortcutValue {}

#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Sender(pub(super) AllowedPeerKey);

// SAFETY: as above.
unsafe impl Pod for Sender {}

#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Known(pub(super) AllowedPeer);

// SAFETY: as above.
unsafe impl Pod for Known {}

#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Leased(pub(super) LeaseKey);

// SAFETY: as above.
unsafe impl Pod for Leased {}

#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Local(pub(super) LocalKey);

// SAFETY: as above.
unsafe impl Pod for Local {}

#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Other(pub(super) UnknownRouter);

// SAFETY: as above.
unsafe impl Pod for Other {}

#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct CountersValue(pub(super) Counters);

// SAFETY: as above.
unsafe impl Pod for CountersValue {}
