//! Gaps between the adverts of each peer: the program's, and those of adverts that the daemon has recorded itself.

use vrrp_ebpf::map::Gaps;

use super::{Maps, peer_at};
use crate::protocol::InstanceId;

impl Maps {
    /// The gaps of a peer. Makes a system call if a program is loaded; not for the engine.
    pub fn gaps(&self, slot: InstanceId, index: u32) -> Gaps {
        let place = peer_at(slot, index);
        let mut sum = self.gaps.read(place).unwrap_or(Gaps::NONE);
        let program = self.program.as_ref().map_or(Gaps::NONE, |program| program.gaps(place));
        for (total, count) in sum.counts.iter_mut().zip(program.counts) {
            *total = total.wrapping_add(count);
        }
        sum
    }

    /// Counts a gap of this bucket.
    pub(super) fn count_gap(&self, slot: InstanceId, index: u32, bucket: Option<usize>) {
        let place = peer_at(slot, index);
        let Some((mut gaps, bucket)) = self.gaps.read(place).zip(bucket) else { return };
        if let Some(count) = gaps.counts.get_mut(bucket) {
            *count = count.wrapping_add(1);
        }
        self.gaps.write(place, &gaps);
    }

    /// Resets the gaps of a peer, whose record another one gets.
    pub(super) fn forget_gaps(&self, slot: InstanceId, index: u32) {
        let place = peer_at(slot, index);
        if let Some(program) = &self.program {
            program.clear_gaps(place);
        }
        // A page that was never written takes no memory.
        if self.gaps.read(place).is_some_and(|gaps| gaps != Gaps::NONE) {
            self.gaps.write(place, &Gaps::NONE);
        }
    }
}

#[cfg(test)]
mod tests {
    use vrrp_ebpf::map::{PEERS_PER_SLOT, Peer};
    use vrrp_ebpf::time::Timestamp;
    use vrrp_ebpf::wire::{AdvertInfo, ChecksumForm};

    use super::*;
    use crate::driver::maps::tests::{FIRST, SECOND};

    #[test]
    fn a_peer_in_the_place_of_another_one_begins_without_gaps() {
        let maps = Maps::anonymous(2).unwrap();
        let hear = |source: u8, second: u64| {
            let source = [source; 16];
            let info =
                AdvertInfo { source, interval: 100, version: 3, vrid: 51, priority: 1, address_count: 1 };
            let stamp = Timestamp::from_nanos(second * 1_000_000_000);
            maps.note(SECOND, &info, ChecksumForm::Plain, Peer::FORM, stamp)
        };
        let counted = |slot, index| -> u32 { maps.gaps(slot, index).counts.iter().sum() };
        for source in 1..=8 {
            hear(source, 100);
        }
        for second in 101..104 {
            hear(3, second);
        }
        assert_eq!((maps.gaps(SECOND, 2).counts[19], counted(SECOND, 2)), (3, 3));
        assert_eq!((counted(SECOND, 1), counted(FIRST, 2)), (0, 0));
        assert_eq!(hear(9, 200), 0, "in place of the first one");
        // Those that were silent for longer go first.
        assert_eq!([10, 11, 12, 13, 14, 15, 16].map(|source| hear(source, 300)), [1, 3, 4, 5, 6, 7, 2]);
        assert_eq!(counted(SECOND, 2), 0);
        hear(16, 301);
        assert_eq!(counted(SECOND, 2), 1);
        maps.forget(SECOND);
        assert!((0..PEERS_PER_SLOT).all(|index| counted(SECOND, index) == 0));
    }
}
