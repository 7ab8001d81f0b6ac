//! Keys of the allowlist of unicast peers (`check_unicast_src`).

pub use crate::wire::AllowedPeer;

/// An allowed sender of one instance.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(C)]
pub struct AllowedPeerKey {
    /// Index of the instance.
    pub slot: u32,
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
}

const _: () = assert!(size_of::<AllowedPeerKey>() == 20 && size_of::<AllowedPeer>() == 2);
