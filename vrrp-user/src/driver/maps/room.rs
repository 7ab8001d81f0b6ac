//! Room among the peers of an instance.
//!
//! A new sender replaces one that has been silent for longer than its interval allows. The program evicts none, so that
//! its search stays short.

use vrrp_ebpf::map::{NO_PEER, PEERS_PER_SLOT, Peer, Watch};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::{AdvertInfo, ChecksumForm};

use super::Maps;
use crate::protocol::{InstanceId, Interval, Version};

/// Multiple of a sender's advertised interval after which it has gone. Its master_down_interval is shorter.
const INTERVALS: u32 = 4;

impl Maps {
    /// The entry of a sender, else a free one, else that of a sender that has gone.
    pub(super) fn place(&self, slot: InstanceId, source: [u8; 16], now: Timestamp) -> Option<u32> {
        let mut all = 0..PEERS_PER_SLOT;
        let is_own = |index: &u32| self.peer(slot, *index).is_some_and(|peer| peer.source == source);
        all.clone()
            .find(is_own)
            .or_else(|| all.find(|index| self.peer(slot, *index).is_none()))
            .or_else(|| self.longest_silent(slot, |peer| has_gone(peer, now)))
    }

    /// Records the sender of an advert for which the program had no room, if another one has gone. For the master of
    /// the instance, a sender heard only once is evicted too, as it may have claimed any interval. Returns the entry's
    /// index, or [`NO_PEER`]. Only the thread that arms watches may call it.
    pub fn make_room(
        &self,
        slot: InstanceId,
        info: &AdvertInfo,
        checksum: ChecksumForm,
        stamp: Timestamp,
        is_master: bool,
    ) -> u32 {
        let place = self.place(slot, info.source, stamp);
        let place = place.or_else(|| {
            self.longest_silent(slot, |peer| is_master && peer.adverts == 1 && !seen_at(peer, stamp))
        });
        place.map_or(NO_PEER, |index| self.set_peer(slot, index, info, checksum, Peer::FORM, stamp))
    }

    /// The longest silent sender that may be evicted, never the watched master.
    fn longest_silent(&self, slot: InstanceId, may_go: impl Fn(&Peer) -> bool) -> Option<u32> {
        let watched = self.watch.read(slot.index()).filter(|watch| Watch::length_of(watch.armed) != 0);
        let watched = watched.map(|watch| watch.source);
        let others = self.peers(slot).filter(|(_, peer)| Some(peer.source) != watched && may_go(peer));
        others.map(|(index, peer)| (peer.last_seen, index)).min().map(|(_, index)| index)
    }
}

fn seen_at(peer: &Peer, stamp: Timestamp) -> bool {
    peer.last_seen >= stamp.as_nanos()
}

fn has_gone(peer: &Peer, now: Timestamp) -> bool {
    let version = if peer.version == 2 { Version::V2 } else { Version::V3 };
    let silence = now.since(Timestamp::from_nanos(peer.last_seen));
    // A sender without an interval has no claim to its entry.
    Interval::from_wire(peer.interval, version).is_none_or(|it| silence > it.duration() * INTERVALS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::maps::tests::FIRST;

    const SECOND: u64 = 1_000_000_000;

    fn info(source: u8, centiseconds: u16) -> AdvertInfo {
        let mut address = [0; 16];
        address[0] = source;
        AdvertInfo {
            source: address,
            interval: centiseconds,
            version: 3,
            vrid: 51,
            priority: 1,
            address_count: 1,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * SECOND)
    }

    /// Eight senders of adverts each second, heard at 100 s.
    fn full() -> Maps {
        let maps = Maps::anonymous(1).unwrap();
        for source in 1..=8 {
            hear(&maps, source, 100);
        }
        maps
    }

    fn hear(maps: &Maps, source: u8, second: u64) -> u32 {
        maps.note(FIRST, &info(source, 100), ChecksumForm::Pseudo, Peer::FORM, at(second))
    }

    fn known(maps: &Maps) -> Vec<u8> {
        maps.peers(FIRST).map(|(_, peer)| peer.source[0]).collect()
    }

    fn make_room(maps: &Maps, second: u64, is_master: bool) -> u32 {
        maps.make_room(FIRST, &info(9, 100), ChecksumForm::Pseudo, at(second), is_master)
    }

    #[test]
    fn who_has_gone_makes_room() {
        let maps = full();
        assert_eq!(make_room(&maps, 104, false), NO_PEER, "not longer than 4 intervals");
        hear(&maps, 1, 103);
        assert_eq!(make_room(&maps, 105, false), 1);
        assert_eq!(known(&maps), [1, 9, 3, 4, 5, 6, 7, 8]);
        let new = maps.peer(FIRST, 1).unwrap();
        assert_eq!(
            (new.adverts, new.last_seen, new.gap_sum),
            (1, 105 * SECOND, 0),
            "nothing is left of the other"
        );
        assert_eq!(make_room(&maps, 106, false), 1, "its own from then on");
        assert_eq!(hear(&maps, 10, 106), 2, "the socket and signed adverts make room the same way");
    }

    #[test]
    fn a_flood_evicts_neither_the_watched_master_nor_living_peers() {
        let maps = full();
        maps.arm(FIRST, info(3, 100).source, 2, &[0x31, 51, 1, 1], at(100));
        for second in 101..130 {
            hear(&maps, 5, second);
            for source in 20..120 {
                maps.make_room(FIRST, &info(source, 100), ChecksumForm::Pseudo, at(second), true);
            }
        }
        let known = known(&maps);
        assert!(known.contains(&3) && known.contains(&5), "{known:?}");
        assert_eq!(known.iter().filter(|source| **source >= 20).count(), 6);
    }

    #[test]
    fn for_the_master_one_that_was_heard_once_makes_room() {
        let maps = Maps::anonymous(1).unwrap();
        for source in 1..=8 {
            maps.note(
                FIRST,
                &info(source, 4095),
                ChecksumForm::Pseudo,
                Peer::FORM,
                at(100 + u64::from(source)),
            );
        }
        maps.note(FIRST, &info(1, 4095), ChecksumForm::Pseudo, Peer::FORM, at(110));
        assert_eq!(make_room(&maps, 111, false), NO_PEER);
        assert_eq!(make_room(&maps, 111, true), 1, "of these the one silent for longest");
        assert_eq!(known(&maps), [1, 9, 3, 4, 5, 6, 7, 8]);
    }
}
