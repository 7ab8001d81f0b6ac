//! Keys of instances: from interface, VLAN, family and VRID to the slot.

use crate::wire::Family;

/// An instance as a frame identifies it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(C)]
pub struct InstanceKey {
    /// Interface that the frame arrived on.
    pub ifindex: u32,
    /// VLAN id of the inner tag, 0 without a tag.
    pub vlan: u16,
    /// 4 or 6; see [`Family`].
    pub family: u8,
    /// 1 to 255.
    pub vrid: u8,
}

const _: () = assert!(size_of::<InstanceKey>() == 8);

/// Elements of the array of shortcuts; a power of two.
pub const SHORTCUTS: u32 = 1 << SHORTCUT_BITS;
const SHORTCUT_BITS: u32 = 10;

/// One element of the array that replaces the hash map of keys for an instance that shares its element with no other:
/// the look-up takes a tenth of the time. If the element holds another key, the hash map decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Shortcut {
    /// [`InstanceKey::bits`]; 0 while vacant.
    pub key: u64,
    /// Index of the instance.
    pub slot: u32,
    /// 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Shortcut>() == 16);

impl Shortcut {
    /// No key.
    pub const VACANT: Self = Self { key: 0, slot: 0, reserved: 0 };
}

impl InstanceKey {
    /// The key of an instance.
    pub const fn new(ifindex: u32, vlan: u16, family: Family, vrid: u8) -> Self {
        Self { ifindex, vlan, family: family as u8, vrid }
    }

    /// The key as a number; never 0, because no interface has index 0.
    #[inline(always)]
    pub const fn bits(self) -> u64 {
        (self.ifindex as u64) << 32 | (self.vlan as u64) << 16 | (self.family as u64) << 8 | self.vrid as u64
    }

    /// The reverse of [`Self::bits`].
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "each cast takes the part that is meant")]
    pub const fn of_bits(bits: u64) -> Self {
        Self {
            ifindex: (bits >> 32) as u32,
            vlan: (bits >> 16) as u16,
            family: (bits >> 8) as u8,
            vrid: bits as u8,
        }
    }

    /// The key's index among [`SHORTCUTS`], by Fibonacci hashing.
    #[inline(always)]
    pub const fn shortcut(self) -> u32 {
        (self.bits().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SHORTCUT_BITS)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The instances of a large host rarely share an element, however its VRIDs are assigned.
    #[test]
    fn few_collide() {
        let by_vrid: Vec<_> = (1..=255).map(|vrid| InstanceKey::new(2, 0, Family::V4, vrid)).collect();
        let by_vlan: Vec<_> = (1..=255).map(|vlan| InstanceKey::new(2, vlan, Family::V4, 1)).collect();
        let by_interface: Vec<_> = (1..=255).map(|index| InstanceKey::new(index, 0, Family::V6, 1)).collect();
        for keys in [by_vrid, by_vlan, by_interface] {
            let mut places: Vec<_> = keys.iter().map(|key| key.shortcut()).collect();
            assert!(places.iter().all(|place| *place < SHORTCUTS));
            places.sort_unstable();
            places.dedup();
            assert!(places.len() > 200, "{} places for 255 instances", places.len());
        }
    }

    #[test]
    fn bits_distinguish_keys() {
        let key = InstanceKey::new(7, 5, Family::V4, 51);
        for other in [
            InstanceKey::new(8, 5, Family::V4, 51),
            InstanceKey::new(7, 6, Family::V4, 51),
            InstanceKey::new(7, 5, Family::V6, 51),
            InstanceKey::new(7, 5, Family::V4, 52),
        ] {
            assert_ne!(key.bits(), other.bits());
            assert_eq!(InstanceKey::of_bits(other.bits()), other);
        }
    }
}
