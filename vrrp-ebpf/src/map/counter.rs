//! Counters per instance and CPU.

use crate::wire::Reject;

/// Entries of [`Counters`].
pub const COUNTERS: usize = 64;

crate::words! {
    /// Counters other than the rejects, whose numbers are below [`Reject::COUNT`]. The words are those of
    /// metrics and status.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    #[repr(u32)]
    pub enum Counter {
        /// Adverts that equal the watched one.
        Steady = 56 => "steady",
        /// Valid adverts put into the ring.
        Event = 57 => "event",
        /// The ring had no room; the record of the peer holds the advert nevertheless.
        RingFull = 58 => "ring_full",
        /// No peer record was left for a new sender.
        PeersFull = 59 => "peers_full",
        /// Adverts beyond the budget of their instance.
        OverBudget = 60 => "over_budget",
        /// Adverts of a VRID that is not configured on the interface; they pass.
        UnknownVrid = 61 => "unknown_vrid",
        /// ARP requests and neighbour solicitations without a live lease.
        Fenced = 62 => "fenced",
        /// Frames with more tags than the program reads, none of which names a VLAN.
        NestedTags = 63 => "nested_tags",
    }
}

/// The counters of one instance on one CPU.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Counters {
    /// Indexed by [`Reject`] and [`Counter`].
    pub counts: [u64; COUNTERS],
}

const _: () = assert!(Reject::COUNT <= Counter::Steady as usize && size_of::<Counters>() == 8 * COUNTERS);

impl Counters {
    /// Nothing counted.
    pub const ZERO: Self = Self { counts: [0; COUNTERS] };

    /// Adverts refused by this check.
    pub fn reject(&self, reject: Reject) -> u64 {
        self.counts.get(reject as usize).copied().unwrap_or(0)
    }

    /// The value of one counter.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counts.get(counter as usize).copied().unwrap_or(0)
    }

    /// All adverts of an instance: refused, unchanged, put into the ring, or lost for want of room or budget.
    pub fn adverts(&self) -> u64 {
        const PASSED: [Counter; 4] =
            [Counter::Steady, Counter::Event, Counter::RingFull, Counter::OverBudget];
        let refused = Reject::ALL.iter().map(|reject| self.reject(*reject));
        refused.chain(PASSED.map(|counter| self.counter(counter))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> usize {
        let mut values: Vec<_> = values.collect();
        values.sort_unstable();
        values.dedup();
        values.len()
    }

    #[test]
    fn every_count_has_its_own_place_and_word() {
        let places = Reject::ALL.map(|reject| reject as u32).into_iter();
        let places = places.chain(Counter::ALL.map(|counter| counter as u32));
        assert!(places.clone().all(|place| (place as usize) < COUNTERS));
        assert_eq!(distinct(places), Reject::COUNT + Counter::ALL.len());
        let words = Reject::ALL.map(Reject::as_str).into_iter();
        let words = words.chain(Counter::ALL.map(Counter::as_str));
        assert_eq!(distinct(words), Reject::COUNT + Counter::ALL.len());
    }

    #[test]
    fn reads_back() {
        let mut counters = Counters::ZERO;
        counters.counts[Reject::Ttl as usize] = 3;
        counters.counts[Counter::Steady as usize] = 7;
        assert_eq!((counters.reject(Reject::Ttl), counters.counter(Counter::Steady)), (3, 7));
        assert_eq!((counters.reject(Reject::Checksum), counters.counter(Counter::Event)), (0, 0));
        // An ARP request is no advert.
        counters.counts[Counter::Fenced as usize] = 5;
        assert_eq!(counters.adverts(), 10);
    }
}
