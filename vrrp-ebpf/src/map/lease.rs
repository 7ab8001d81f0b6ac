//! The right to answer for an address.

/// An address of an instance. Its value is the slot whose lease decides whether requests for it are answered. Aligned,
/// because the program writes it by whole words.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(C, align(8))]
pub struct LeaseKey {
    /// Interface that the request arrives on.
    pub ifindex: u32,
    /// 4 or 6.
    pub family: u32,
    /// IPv4 in the first four bytes.
    pub address: [u8; 16],
}

const _: () = assert!(size_of::<LeaseKey>() == 24);

/// The lease of an instance; times in ns of CLOCK_MONOTONIC. Each word but the last has one writer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Lease {
    /// End of the lease that our latest advert gives; 0: no lease. Written by the daemon.
    pub until: u64,
    /// When the program saw the latest advert of a router that may be a better master. Written by the program
    /// as the advert wakes the daemon.
    pub challenged: u64,
    /// Stamp of the latest advert that the daemon has handled. Written by the daemon.
    pub judged: u64,
    /// From this time on an ARP request or neighbour solicitation wakes the daemon; 0: none does. Written by the
    /// daemon; the program resets it to 0 with the request that wakes the daemon.
    pub heed: u64,
}

const _: () = assert!(size_of::<Lease>() == 32);

impl Lease {
    /// In `until`: the lease never ends, because another daemon decides who may answer.
    pub const OPEN: u64 = u64::MAX;

    /// Whether requests are answered. An advert of a better master ends the lease at once, before the daemon has
    /// handled it: a node whose clock stopped with it still has a lease by that clock, and already an heir.
    #[inline(always)]
    pub const fn holds(&self, now: u64) -> bool {
        self.until == Self::OPEN || self.until > now && self.challenged <= self.judged
    }

    /// Whether a request wakes the daemon.
    #[inline(always)]
    pub const fn heeds(&self, now: u64) -> bool {
        self.heed != 0 && self.heed <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_its_time_and_with_an_advert_that_is_not_judged_yet() {
        let lease = Lease { until: 10, ..Lease::default() };
        assert!(lease.holds(9) && !lease.holds(10) && !Lease::default().holds(0));
        let challenged = Lease { challenged: 5, judged: 4, ..lease };
        assert!(!challenged.holds(9) && Lease { judged: 5, ..challenged }.holds(9));
        assert!(!Lease { judged: 5, ..challenged }.holds(10));
        assert!(Lease { until: Lease::OPEN, ..challenged }.holds(u64::MAX));
    }

    #[test]
    fn an_address_request_is_heeded_from_its_time_on() {
        let lease = Lease { heed: 10, ..Lease::default() };
        assert!(!Lease::default().heeds(u64::MAX) && !lease.heeds(9) && lease.heeds(10));
    }
}
