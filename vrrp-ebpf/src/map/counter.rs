//! What was counted, per instance and CPU.

use crate::wire::Reject;

/// Entries of [`Counters`].
pub const COUNTERS: usize = 32;

/// What is counted beside the rejects, whose numbers lie below [`Reject::COUNT`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Counter {
    /// Adverts equal to the watched one.
    Steady = 24,
    /// Valid adverts put into the ring.
    Event = 25,
    /// The ring had no room; the peers' records hold the advert nevertheless.
    RingFull = 26,
    /// A further sender found no room among the peers.
    PeersFull = 27,
    /// Adverts beyond the budget of their instance.
    OverBudget = 28,
    /// Adverts of a VRID that is not configured on the interface; they pass.
    UnknownVrid = 29,
    /// ARP requests and neighbour solicitations without a live lease.
    Fenced = 30,
}

impl Counter {
    pub const ALL: [Self; 7] = [
        Self::Steady,
        Self::Event,
        Self::RingFull,
        Self::PeersFull,
        Self::OverBudget,
        Self::UnknownVrid,
        Self::Fenced,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Event => "event",
            Self::RingFull => "ring_full",
            Self::PeersFull => "peers_full",
            Self::OverBudget => "over_budget",
            Self::UnknownVrid => "unknown_vrid",
            Self::Fenced => "fenced",
        }
    }
}

/// Indexed by [`Reject`] and [`Counter`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Counters {
    pub counts: [u64; COUNTERS],
}

const _: () = assert!(Reject::COUNT <= Counter::Steady as usize && size_of::<Counters>() == 8 * COUNTERS);

impl Counters {
    pub const ZERO: Self = Self { counts: [0; COUNTERS] };

    pub fn reject(&self, reject: Reject) -> u64 {
        self.counts.get(reject as usize).copied().unwrap_or(0)
    }

    pub fn counter(&self, counter: Counter) -> u64 {
        self.counts.get(counter as usize).copied().unwrap_or(0)
    }
}
