//! Wrapper of the map layouts for aya.
//!
//! aya requires a marker trait on the types of keys and values; our layouts live in a crate that does not depend on
//! aya.

use aya::Pod;
use vrrp_ebpf::map::{
    AllowedPeer, AllowedPeerKey, Counters, Gaps, InstanceKey, LeaseKey, LocalKey, Shortcut, UnknownRouter,
    WatchedMessage,
};

#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct Layout<T>(pub(super) T);

// SAFETY: repr(C), without padding, valid for any bit pattern.
unsafe impl Pod for Layout<InstanceKey> {}

// SAFETY: as above.
unsafe impl Pod for Layout<Shortcut> {}

// SAFETY: as above.
unsafe impl Pod for Layout<AllowedPeerKey> {}

// SAFETY: as above.
unsafe impl Pod for Layout<AllowedPeer> {}

// SAFETY: as above.
unsafe impl Pod for Layout<LeaseKey> {}

// SAFETY: as above.
unsafe impl Pod for Layout<LocalKey> {}

// SAFETY: as above.
unsafe impl Pod for Layout<UnknownRouter> {}

// SAFETY: as above.
unsafe impl Pod for Layout<Counters> {}

// SAFETY: as above.
unsafe impl Pod for Layout<Gaps> {}

// SAFETY: as above.
unsafe impl Pod for Layout<WatchedMessage> {}
