//! What was heard of each sender.

use crate::wire::{ChecksumForm, Sighting};

/// Senders remembered per instance. A further one is counted, and its adverts are still judged; nobody is evicted
/// while the daemon wants him, so strangers cannot displace the watched master.
pub const PEERS_PER_SLOT: u32 = 8;

/// In place of an index: no room was left.
pub const NO_PEER: u32 = u32::MAX;

/// Buckets of the inter-arrival histogram: bucket i counts gaps of [2^i, 2^(i+1)) × 1024 ns, the last one all
/// longer ones, the first one all shorter ones.
pub const GAP_BUCKETS: usize = 32;

/// One sender of valid adverts for an instance.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Peer {
    /// When its latest valid advert came, ns of CLOCK_MONOTONIC; 0 while the entry is free.
    pub last_seen: u64,
    pub adverts: u64,
    /// Longest and summed gap between two adverts, ns.
    pub gap_max: u64,
    pub gap_sum: u64,
    /// Smoothed difference of successive gaps, ns (RFC 3550 §6.4.1, gain 1/16).
    pub jitter: u64,
    pub last_gap: u64,
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
    /// As advertised: centiseconds in version 3, seconds in version 2.
    pub interval: u16,
    pub version: u8,
    pub priority: u8,
    pub address_count: u8,
    /// See [`ChecksumForm`].
    pub checksum: u8,
    pub reserved: u16,
    pub gaps: [u32; GAP_BUCKETS],
}

const _: () = assert!(size_of::<Peer>() == 72 + 4 * GAP_BUCKETS);

impl Peer {
    pub const FREE: Self = Self {
        last_seen: 0,
        adverts: 0,
        gap_max: 0,
        gap_sum: 0,
        jitter: 0,
        last_gap: 0,
        source: [0; 16],
        interval: 0,
        version: 0,
        priority: 0,
        address_count: 0,
        checksum: 0,
        reserved: 0,
        gaps: [0; GAP_BUCKETS],
    };

    pub const fn is_free(&self) -> bool {
        self.last_seen == 0
    }

    /// Notes a valid advert, heard at `now`.
    #[inline(always)]
    pub fn record(&mut self, sighting: &Sighting, checksum: ChecksumForm, now: u64) {
        self.source = sighting.source;
        self.interval = sighting.interval;
        self.version = sighting.version;
        self.priority = sighting.priority;
        self.address_count = sighting.address_count;
        self.checksum = checksum as u8;
        self.touch(now);
    }

    /// Notes the time of an advert whose content is known already.
    #[inline(always)]
    pub fn touch(&mut self, now: u64) {
        if self.last_seen != 0 && now > self.last_seen {
            let gap = now - self.last_seen;
            let bucket = gap_bucket(gap);
            // The mask holds no meaning beyond the bound that the verifier needs.
            if let Some(count) = self.gaps.get_mut(bucket & (GAP_BUCKETS - 1)) {
                *count = count.wrapping_add(1);
            }
            if self.last_gap != 0 {
                let delta = gap.abs_diff(self.last_gap);
                self.jitter = self.jitter - self.jitter / 16 + delta / 16;
            }
            if gap > self.gap_max {
                self.gap_max = gap;
            }
            self.gap_sum = self.gap_sum.wrapping_add(gap);
            self.last_gap = gap;
        }
        self.adverts = self.adverts.wrapping_add(1);
        self.last_seen = now;
    }
}

/// ⌊log2(gap in µs)⌋ by halving, for the BPF instruction set has no leading-zero count. A µs is taken as 1024 ns, so
/// that a shift replaces the division.
#[inline(always)]
const fn gap_bucket(gap_ns: u64) -> usize {
    let mut rest = gap_ns >> 10;
    let mut bucket = 0;
    if rest >> 32 != 0 {
        return GAP_BUCKETS - 1;
    }
    if rest >> 16 != 0 {
        rest >>= 16;
        bucket += 16;
    }
    if rest >> 8 != 0 {
        rest >>= 8;
        bucket += 8;
    }
    if rest >> 4 != 0 {
        rest >>= 4;
        bucket += 4;
    }
    if rest >> 2 != 0 {
        rest >>= 2;
        bucket += 2;
    }
    if rest >> 1 != 0 {
        bucket += 1;
    }
    bucket
}
