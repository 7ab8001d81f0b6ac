//! The rules of an instance, in two copies.

use super::InstanceRules;

/// The rules of an instance: two copies, of which one is in force. The daemon writes the other copy and then puts it in
/// force, so that the program never reads a copy that is being written. Only a second change during the judgement of
/// one advert writes to the copy in use; `generation` shows it, and that advert passes unjudged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct RulesPair {
    /// Number of changes so far. Its lowest bit is the index of the copy in force.
    pub generation: u64,
    /// The copies.
    pub copies: [InstanceRules; 2],
}

const _: () = assert!(size_of::<RulesPair>() == 104 && size_of::<InstanceRules>().is_multiple_of(8));

impl RulesPair {
    /// Without an instance.
    pub const UNUSED: Self = Self { generation: 0, copies: [InstanceRules::UNUSED; 2] };

    /// Index of the copy in force.
    #[inline(always)]
    pub const fn in_force(generation: u64) -> usize {
        (generation & 1) as usize
    }
}
