//! Which instance an advert belongs to.

use crate::wire::Family;

/// An instance as seen on the wire.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(C)]
pub struct InstanceKey {
    pub ifindex: u32,
    /// VLAN id of the inner tag, 0 without a tag.
    pub vlan: u16,
    /// 4 or 6; see [`Family`].
    pub family: u8,
    pub vrid: u8,
}

const _: () = assert!(size_of::<InstanceKey>() == 8);

impl InstanceKey {
    pub const fn new(ifindex: u32, vlan: u16, family: Family, vrid: u8) -> Self {
        Self { ifindex, vlan, family: family as u8, vrid }
    }
}
