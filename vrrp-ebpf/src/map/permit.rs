//! Who may send adverts to an instance that hears only configured peers.

pub use crate::wire::Permit;

/// A sender of one instance.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(C)]
pub struct PermitKey {
    pub slot: u32,
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
}

const _: () = assert!(size_of::<PermitKey>() == 20 && size_of::<Permit>() == 2);
