//! Records of senders.

use crate::wire::{AdvertInfo, ChecksumForm};

/// Sender records per instance. If all are taken, a new sender is only counted, and its adverts are still checked. The
/// program evicts no record; the daemon frees that of a sender that has gone, and never that of the watched master.
pub const PEERS_PER_SLOT: u32 = 8;

/// In place of an index: no record was left.
pub const NO_PEER: u32 = u32::MAX;

/// A silence of more than this many of the sender's intervals ends its mastership, whatever the priority of a backup;
/// the next advert begins another one.
const PATIENCE: u64 = 4;

/// Buckets of the inter-arrival histogram: bucket i counts gaps of [2^i, 2^(i+1)) × 1024 ns, the last one all
/// longer ones, the first one all shorter ones.
pub const GAP_BUCKETS: usize = 32;

/// One sender of valid adverts for an instance.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Peer {
    /// When its latest valid advert arrived, ns of CLOCK_MONOTONIC; 0 while the record is free.
    pub last_seen: u64,
    /// Valid adverts.
    pub adverts: u64,
    /// Longest gap between two adverts of one mastership, ns.
    pub gap_max: u64,
    /// Sum of these gaps, ns.
    pub gap_sum: u64,
    /// Smoothed difference of successive gaps, ns (RFC 3550 §6.4.1, gain 1/16).
    pub jitter: u64,
    /// The latest gap, ns; 0 at the beginning of a mastership.
    pub last_gap: u64,
    /// A longer gap ends a mastership, ns.
    pub patience: u64,
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
    /// As advertised: centiseconds in version 3, seconds in version 2.
    pub interval: u16,
    /// 2 or 3.
    pub version: u8,
    /// As advertised; 0 releases the addresses.
    pub priority: u8,
    /// As advertised.
    pub address_count: u8,
    /// See [`ChecksumForm`].
    pub checksum: u8,
    /// How its latest advert was authenticated: [`Self::FORM`], [`Self::TOLERATED`] or [`Self::SIGNED`].
    pub proof: u8,
    /// Not 0 if its mastership has ended: by priority 0, or because another master was obeyed. Also written by the
    /// daemon.
    pub ended: u8,
}

/// Gaps between the adverts of one sender. Apart from its record, as only people and metrics ask for them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C, align(8))]
pub struct Gaps {
    /// Their number, see [`GAP_BUCKETS`].
    pub counts: [u32; GAP_BUCKETS],
}

const _: () = assert!(size_of::<Peer>() == 80 && size_of::<Gaps>() == 4 * GAP_BUCKETS);

impl Gaps {
    /// No gap yet.
    pub const NONE: Self = Self { counts: [0; GAP_BUCKETS] };
}

impl Peer {
    /// By its form, a password included.
    pub const FORM: u8 = 0;
    /// By its form, on an instance that verifies signatures but does not require them.
    pub const TOLERATED: u8 = 1;
    /// By its signature.
    pub const SIGNED: u8 = 2;

    /// A record without a sender.
    pub const FREE: Self = Self {
        last_seen: 0,
        adverts: 0,
        gap_max: 0,
        gap_sum: 0,
        jitter: 0,
        last_gap: 0,
        patience: 0,
        source: [0; 16],
        interval: 0,
        version: 0,
        priority: 0,
        address_count: 0,
        checksum: 0,
        proof: Self::FORM,
        ended: 0,
    };

    /// Whether the record has no sender.
    pub const fn is_free(&self) -> bool {
        self.last_seen == 0
    }

    /// Records a valid advert received at `now`, ns of CLOCK_MONOTONIC. Returns the bucket of its gap, if it has one.
    #[inline(always)]
    pub fn record(&mut self, info: &AdvertInfo, checksum: ChecksumForm, now: u64) -> Option<usize> {
        self.describe(info, checksum);
        self.touch(now)
    }

    /// Records the contents of a valid advert.
    #[inline(always)]
    pub fn describe(&mut self, info: &AdvertInfo, checksum: ChecksumForm) {
        // SAFETY: a record of the caller's own.
        unsafe { Self::describe_at(self, info, checksum) }
    }

    /// [`Self::describe`] for a record in a map, where another CPU may write to it at the same time: that can garble
    /// what it shows to people, and nothing else.
    ///
    /// # Safety
    /// `this` must point to a record, aligned and for as long as the call lasts.
    #[inline(always)]
    pub unsafe fn describe_at(this: *mut Self, info: &AdvertInfo, checksum: ChecksumForm) {
        // SAFETY: the caller's promise. No reference is made, because others write.
        unsafe {
            // Branchless: the verifier would follow each branch.
            (*this).ended |= u8::from((*this).priority == 0) | u8::from(info.priority == 0);
            let unit = 10_000_000 * (1 + 99 * u64::from(info.version == 2));
            (*this).patience = PATIENCE * unit * info.interval as u64;
            (*this).source = info.source;
            (*this).interval = info.interval;
            (*this).version = info.version;
            (*this).priority = info.priority;
            (*this).address_count = info.address_count;
            (*this).checksum = checksum as u8;
            (*this).proof = Self::FORM;
        }
    }

    /// Records the time of a valid advert, ns of CLOCK_MONOTONIC. Returns the bucket of its gap, if it has one.
    #[inline(always)]
    pub fn touch(&mut self, now: u64) -> Option<usize> {
        // SAFETY: a record of the caller's own.
        unsafe { Self::touch_at(self, now) }
    }

    /// [`Self::touch`] for a record in a map, as [`Self::describe_at`].
    ///
    /// # Safety
    /// `this` must point to a record, aligned and for as long as the call lasts.
    #[inline(always)]
    pub unsafe fn touch_at(this: *mut Self, now: u64) -> Option<usize> {
        // SAFETY: the caller's promise.
        unsafe {
            let mut bucket = None;
            let last_seen = (*this).last_seen;
            if last_seen != 0 && now > last_seen {
                let gap = now - last_seen;
                if (*this).ended != 0 || gap > (*this).patience {
                    (*this).last_gap = 0;
                } else {
                    Self::note_gap(this, gap);
                    bucket = Some(gap_bucket(gap));
                }
            }
            (*this).ended = 0;
            (*this).adverts = (*this).adverts.wrapping_add(1);
            (*this).last_seen = now;
            bucket
        }
    }

    /// # Safety
    /// As for [`Self::touch_at`].
    #[inline(always)]
    unsafe fn note_gap(this: *mut Self, gap: u64) {
        // SAFETY: the caller's promise.
        unsafe {
            let last_gap = (*this).last_gap;
            if last_gap != 0 {
                let delta = gap.abs_diff(last_gap);
                let jitter = (*this).jitter;
                (*this).jitter = jitter - jitter / 16 + delta / 16;
            }
            if gap > (*this).gap_max {
                (*this).gap_max = gap;
            }
            (*this).gap_sum = (*this).gap_sum.wrapping_add(gap);
            (*this).last_gap = gap;
        }
    }
}

/// ⌊log2(gap in µs)⌋ by halving, because the BPF instruction set has no leading-zero count. A µs is taken as 1024 ns,
/// so that a shift replaces the division.
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

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn heard(times: impl IntoIterator<Item = u64>) -> Peer {
        heard_with_gaps(times).0
    }

    fn heard_with_gaps(times: impl IntoIterator<Item = u64>) -> (Peer, [u32; GAP_BUCKETS]) {
        let mut peer = Peer { patience: u64::MAX, priority: 100, ..Peer::FREE };
        let mut gaps = [0; GAP_BUCKETS];
        for bucket in times.into_iter().filter_map(|now| peer.touch(now)) {
            gaps[bucket] += 1;
        }
        (peer, gaps)
    }

    #[test]
    fn buckets() {
        for (gap, bucket) in [
            (0, 0),
            (1023, 0),
            (1024, 0),
            (2047, 0),
            (2048, 1),
            (4095, 1),
            (4096, 2),
            (10 * MS, 13),
            (100 * MS, 16),
            (1000 * MS, 19),
            ((1 << 41) - 1, 30),
            (1 << 41, 31),
            ((1 << 42) - 1, 31),
            (1 << 42, 31),
            (u64::MAX, 31),
        ] {
            assert_eq!(gap_bucket(gap), bucket, "{gap} ns");
        }
    }

    /// The halving agrees with the machine's own logarithm on both sides of every power of two.
    #[test]
    fn buckets_are_logarithms() {
        for power in 10..64 {
            for gap in [(1_u64 << power) - 1, 1 << power, (1 << power) + 1] {
                let expected = (gap >> 10).checked_ilog2().unwrap_or(0).min(31) as usize;
                assert_eq!(gap_bucket(gap), expected, "{gap} ns");
            }
        }
    }

    #[test]
    fn first_advert_has_no_gap() {
        let (peer, gaps) = heard_with_gaps([5 * MS]);
        assert_eq!((peer.adverts, peer.last_seen, peer.gap_sum, gaps), (1, 5 * MS, 0, [0; GAP_BUCKETS]));
        assert!(!peer.is_free() && Peer::FREE.is_free());
    }

    #[test]
    fn steady_adverts() {
        let (peer, gaps) = heard_with_gaps((1..=101).map(|tick| tick * 10 * MS));
        assert_eq!((peer.adverts, gaps[13]), (101, 100));
        assert_eq!(gaps.iter().sum::<u32>(), 100);
        assert_eq!((peer.gap_max, peer.last_gap, peer.gap_sum), (10 * MS, 10 * MS, 1000 * MS));
        assert_eq!(peer.jitter, 0);
    }

    /// RFC 3550 §6.4.1: each difference moves the mean by a sixteenth of its distance.
    #[test]
    fn jitter() {
        let peer = heard([10 * MS, 20 * MS, 31 * MS]);
        assert_eq!(peer.jitter, MS / 16);
        let peer = heard([10 * MS, 20 * MS, 31 * MS, 42 * MS]);
        assert_eq!(peer.jitter, MS / 16 - MS / 256);
        // Gaps of 9 and 11 ms in turn differ by 2 ms each time.
        let mut now = 0;
        let peer = heard((0..1000).map(|tick| {
            now += if tick % 2 == 0 { 9 * MS } else { 11 * MS };
            now
        }));
        assert!(peer.jitter.abs_diff(2 * MS) < MS / 100, "{}", peer.jitter);
    }

    #[test]
    fn longest_gap_stays() {
        let (peer, gaps) = heard_with_gaps([10 * MS, 110 * MS, 120 * MS]);
        assert_eq!((peer.gap_max, peer.last_gap, gaps[16], gaps[13]), (100 * MS, 10 * MS, 1, 1));
    }

    fn info(priority: u8, version: u8, interval: u16) -> AdvertInfo {
        AdvertInfo { source: [7; 16], interval, version, vrid: 51, priority, address_count: 1 }
    }

    /// A backup is silent by right, so its silence is no gap.
    #[test]
    fn a_gap_lies_within_one_mastership() {
        for (version, interval, unit) in [(3, 10, 100 * MS), (2, 1, 1000 * MS)] {
            let mut peer = Peer::FREE;
            let mut at = |intervals: u64| {
                peer.record(&info(100, version, interval), ChecksumForm::Plain, intervals * unit);
                peer
            };
            let [_, _, before] = [1, 2, 6].map(&mut at);
            assert_eq!((before.gap_max, before.gap_sum), (4 * unit, 5 * unit), "four lost ones are none");
            let after = at(11);
            assert_eq!((after.gap_max, after.gap_sum, after.jitter), (4 * unit, 5 * unit, before.jitter));
            let next = at(12);
            assert_eq!(
                (next.gap_sum, next.jitter),
                (6 * unit, before.jitter),
                "no difference to an earlier one"
            );
        }
    }

    #[test]
    fn a_release_ends_a_mastership() {
        let mut peer = Peer::FREE;
        for (at, priority) in [(100, 100), (150, 0), (160, 0), (250, 100)] {
            peer.record(&info(priority, 3, 10), ChecksumForm::Plain, at * MS);
        }
        assert_eq!((peer.adverts, peer.gap_sum, peer.jitter), (4, 0, 0));
        peer.touch(350 * MS);
        assert_eq!((peer.gap_sum, peer.gap_max), (100 * MS, 100 * MS));
        peer.ended = 1;
        peer.touch(450 * MS);
        peer.touch(550 * MS);
        assert_eq!((peer.gap_sum, peer.jitter), (200 * MS, 0), "another master was obeyed meanwhile");
    }

    /// Stamps of two CPUs may arrive in the wrong order.
    #[test]
    fn backward_stamps() {
        let (peer, gaps) = heard_with_gaps([20 * MS, 10 * MS, 10 * MS]);
        assert_eq!((peer.adverts, peer.gap_sum, peer.gap_max, peer.jitter), (3, 0, 0, 0));
        assert_eq!(gaps, [0; GAP_BUCKETS]);
    }

    #[test]
    fn counters_wrap() {
        let mut peer = Peer { adverts: u64::MAX, gap_sum: u64::MAX, last_seen: 10 * MS, ..heard([]) };
        assert_eq!(peer.touch(20 * MS), Some(13));
        assert_eq!((peer.adverts, peer.gap_sum), (0, 10 * MS - 1));
    }

    #[test]
    fn records_content() {
        let mut peer = heard([10 * MS]);
        let info = AdvertInfo {
            source: [7; 16],
            interval: 4095,
            version: 3,
            vrid: 51,
            priority: 254,
            address_count: 20,
        };
        assert_eq!(peer.record(&info, ChecksumForm::Plain, 20 * MS), Some(13));
        assert_eq!((peer.source, peer.interval, peer.version), ([7; 16], 4095, 3));
        assert_eq!((peer.priority, peer.address_count, peer.checksum), (254, 20, 1));
        assert_eq!((peer.adverts, peer.last_seen), (2, 20 * MS));
    }
}
