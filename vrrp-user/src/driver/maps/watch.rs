//! The watched advert of each instance, as [`Watch`] lays it out.

use std::collections::HashMap;
use std::mem::{offset_of, size_of};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use vrrp_ebpf::map::{Counter, NO_PEER, PAYLOAD_MAX, Watch, WatchedMessage};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::ChecksumForm;

use super::mapped::{store_bytes, words};
use super::{Maps, peer_at};
use crate::protocol::InstanceId;

const SOURCE: usize = offset_of!(Watch, source) / size_of::<u64>();

/// Source and message of a watched advert.
pub(super) type Watched = ([u8; 16], Vec<u8>);

/// Watched adverts as they were read last, each with the `armed` word of its watch.
#[derive(Debug, Default)]
pub struct WatchedMessages(HashMap<InstanceId, (u64, Watched)>);

impl WatchedMessages {
    /// As [`Maps::watched`], without a system call while the watch is the same.
    pub fn of(&mut self, maps: &Maps, slot: InstanceId) -> Option<&Watched> {
        let armed = maps.armed(slot)?.load(Ordering::Acquire);
        if self.0.get(&slot).is_none_or(|(known, _)| *known != armed) {
            self.0.remove(&slot);
            self.0.insert(slot, (armed, maps.watched_by(slot, armed)?));
        }
        self.0.get(&slot).map(|(_, watched)| watched)
    }
}

impl Maps {
    /// When the watched advert was last seen; `None` while nothing is watched.
    pub fn last_seen(&self, slot: InstanceId) -> Option<Timestamp> {
        let length = Watch::length_of(self.armed(slot)?.load(Ordering::Relaxed));
        let last_seen = self.watch.word(slot.index(), offset_of!(Watch, last_seen))?;
        (length != 0).then(|| Timestamp::from_nanos(last_seen.load(Ordering::Relaxed)))
    }

    /// Checksum form of the watched advert, over IPv4.
    pub fn watched_form(&self, slot: InstanceId) -> Option<ChecksumForm> {
        Some(ChecksumForm::of(self.peer(slot, self.watched_peer(slot)?)?.checksum))
    }

    /// Number of adverts that were equal to the watched one.
    pub fn watch_hits(&self, slot: InstanceId) -> u64 {
        self.hits(slot).map_or(0, |hits| hits.load(Ordering::Relaxed))
    }

    /// Lets the program refresh `last_seen` on its own for exactly this message of this source. A message that does not
    /// fit, or that the kernel does not take, is not armed. Makes one system call if a program is loaded. Only one
    /// thread may arm and disarm a slot.
    ///
    /// An advert that the program was comparing meanwhile may still refresh `last_seen`: it equalled the previous watch
    /// and was seen within the microsecond.
    pub fn arm(&self, slot: InstanceId, source: [u8; 16], peer: u32, message: &[u8], seen: Timestamp) {
        self.disarm(slot);
        self.end_masterships(slot, Some(source));
        let Ok(length) = u32::try_from(message.len()) else { return };
        // While disarmed, the program ignores what is written here.
        if peer == NO_PEER || !self.set_message(slot, message) {
            return;
        }
        self.set_watched_source(slot, source);
        let [a, b, c, d] = peer.to_ne_bytes();
        let peer = u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]);
        for (offset, value) in
            [(offset_of!(Watch, peer), peer), (offset_of!(Watch, last_seen), seen.as_nanos())]
        {
            self.watch
                .word(slot.index(), offset)
                .into_iter()
                .for_each(|word| word.store(value, Ordering::Relaxed));
        }
        if let Some(armed) = self.armed(slot) {
            let generation = Watch::generation_of(armed.load(Ordering::Relaxed));
            armed.store(Watch::armed(generation, length), Ordering::Release);
        }
    }

    pub fn disarm(&self, slot: InstanceId) {
        if let Some(armed) = self.armed(slot) {
            let generation = Watch::generation_of(armed.load(Ordering::Relaxed)).wrapping_add(1);
            armed.store(Watch::armed(generation, 0), Ordering::Relaxed);
            // Later writes must not become visible before it.
            fence(Ordering::SeqCst);
        }
    }

    /// Sets the source whose adverts have a budget of their own, for instances whose messages cannot be watched because
    /// no two are equal.
    pub fn reserve_budget_for(&self, slot: InstanceId, source: [u8; 16]) {
        self.disarm(slot);
        self.end_masterships(slot, Some(source));
        self.set_watched_source(slot, source);
    }

    /// Source and message of the watched advert.
    pub fn watched(&self, slot: InstanceId) -> Option<Watched> {
        self.watched_by(slot, self.armed(slot)?.load(Ordering::Acquire))
    }

    /// The same, if the watch is still this one.
    fn watched_by(&self, slot: InstanceId, armed: u64) -> Option<Watched> {
        let length = Watch::length_of(armed) as usize;
        if length == 0 {
            return None;
        }
        let (source, message) = (self.watched_source(slot)?, self.message(slot)?);
        let message = message.payload.get(..length)?.to_vec();
        // If it was written meanwhile, the copy mixes two messages.
        fence(Ordering::Acquire);
        let is_same = self.armed(slot)?.load(Ordering::Relaxed) == armed;
        is_same.then_some((source, message))
    }

    /// Without a program, the arrays have the message.
    fn message(&self, slot: InstanceId) -> Option<WatchedMessage> {
        match &self.program {
            Some(program) => program.message(slot),
            None => self.messages.read(slot.index()),
        }
    }

    /// False if the message does not fit, or is not taken.
    fn set_message(&self, slot: InstanceId, message: &[u8]) -> bool {
        let mut whole = WatchedMessage { payload: [0; PAYLOAD_MAX] };
        let Some(payload) = whole.payload.get_mut(..message.len()) else { return false };
        payload.copy_from_slice(message);
        match &self.program {
            Some(program) => program.set_message(slot, &whole),
            None => {
                self.messages.write(slot.index(), &whole);
                true
            }
        }
    }

    /// For the socket path, as the program does in the kernel: whether this is the watched advert; if so, it is
    /// recorded. Only the thread that arms a slot may call it.
    pub(in crate::driver) fn is_steady(
        &self,
        slot: InstanceId,
        source: &[u8; 16],
        message: &[u8],
        stamp: Timestamp,
    ) -> bool {
        let Some(armed) = self.armed(slot).map(|armed| armed.load(Ordering::Acquire)) else { return false };
        if Watch::length_of(armed) as usize != message.len() || !self.is_watched(slot, source) {
            return false;
        }
        if !self.is_message(slot, armed, message) {
            return false;
        }
        let Some(peer_index) = self.watched_peer(slot) else { return false };
        let now = stamp.as_nanos();
        if let Some(last_seen) = self.watch.word(slot.index(), offset_of!(Watch, last_seen)) {
            last_seen.store(now, Ordering::Relaxed);
        }
        if let Some(hits) = self.hits(slot) {
            hits.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(mut peer) = self.peer(slot, peer_index) {
            let gap = peer.touch(now);
            self.peers.write(peer_at(slot, peer_index), &peer);
            self.count_gap(slot, peer_index, gap);
        }
        self.count(Some(slot), Counter::Steady as usize);
        true
    }

    /// Whether this is the message of the watch that is `armed`. The program's one is copied at the first question
    /// about a watch, so that a steady master costs no system call.
    fn is_message(&self, slot: InstanceId, armed: u64, message: &[u8]) -> bool {
        if let Some(program) = &self.program {
            let Some(copied) = self.copied.get(slot.index()) else { return false };
            if copied.load(Ordering::Relaxed) != armed {
                let Some(whole) = program.message(slot) else { return false };
                self.messages.write(slot.index(), &whole);
                copied.store(armed, Ordering::Relaxed);
            }
        }
        let Some(watched) = self.messages.words(slot.index()) else { return false };
        message.len() <= PAYLOAD_MAX
            && watched
                .iter()
                .zip(words(message))
                .all(|(watched, word)| watched.load(Ordering::Relaxed) == word)
    }

    /// Whether this is the source of the watched advert.
    pub(in crate::driver) fn is_watched(&self, slot: InstanceId, source: &[u8; 16]) -> bool {
        self.watched_source(slot).as_ref() == Some(source)
    }

    /// The source of the watched advert, or of the one whose adverts have a budget of their own. Half of an old source
    /// and half of a new one equals neither.
    fn watched_source(&self, slot: InstanceId) -> Option<[u8; 16]> {
        let words = self.watch.words(slot.index())?.get(SOURCE..SOURCE + 2)?;
        let mut source = [0; 16];
        for (to, word) in source.chunks_exact_mut(size_of::<u64>()).zip(words) {
            to.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        Some(source)
    }

    fn set_watched_source(&self, slot: InstanceId, source: [u8; 16]) {
        store_bytes(
            self.watch.words(slot.index()).and_then(|words| words.get(SOURCE..)).unwrap_or(&[]),
            &source,
        );
    }

    fn watched_peer(&self, slot: InstanceId) -> Option<u32> {
        let word = self.watch.word(slot.index(), offset_of!(Watch, peer))?.load(Ordering::Relaxed);
        word.to_ne_bytes().first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }

    pub(super) fn hits(&self, slot: InstanceId) -> Option<&AtomicU64> {
        self.watch.word(slot.index(), offset_of!(Watch, hits))
    }

    fn armed(&self, slot: InstanceId) -> Option<&AtomicU64> {
        self.watch.word(slot.index(), offset_of!(Watch, armed))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use std::sync::{Arc, Mutex};
    use std::thread;

    use nix::sys::memfd::{MFdFlags, memfd_create};
    use vrrp_ebpf::map::{Counters, Gaps, InstanceKey, Peer, UnknownRouter};
    use vrrp_ebpf::wire::AdvertInfo;

    use super::*;
    use crate::driver::maps::ProgramMaps;
    use crate::driver::maps::tests::{FIRST, SECOND};

    fn source(byte: u8) -> [u8; 16] {
        [byte; 16]
    }

    #[test]
    fn equal_adverts_of_the_watched_source_are_steady() {
        let maps = Maps::anonymous(2).unwrap();
        let message = [0x31, 51, 100, 1];
        let at = Timestamp::from_nanos;
        let info = AdvertInfo {
            source: source(7),
            interval: 1,
            version: 3,
            vrid: 51,
            priority: 100,
            address_count: 1,
        };
        assert_eq!(maps.note(SECOND, &info, ChecksumForm::Plain, Peer::FORM, at(10)), 0);
        assert!(!maps.is_steady(SECOND, &source(7), &message, at(10)), "not armed");
        maps.arm(SECOND, source(7), 0, &message, at(10));
        assert_eq!(
            (maps.watched(SECOND), maps.last_seen(SECOND)),
            (Some((source(7), message.into())), Some(at(10)))
        );
        assert_eq!(maps.watched_form(SECOND), Some(ChecksumForm::Plain));
        assert!(maps.is_steady(SECOND, &source(7), &message, at(20)));
        assert_eq!(maps.last_seen(SECOND), Some(at(20)));
        assert!(!maps.is_steady(SECOND, &source(7), &[0x31, 51, 90, 1], at(30)), "another priority");
        assert!(!maps.is_steady(SECOND, &source(8), &message, at(40)), "another source");
        assert!(!maps.is_steady(SECOND, &source(7), &message[..3], at(40)), "another length");
        assert_eq!(
            (maps.last_seen(SECOND), maps.peer(SECOND, 0).map(|peer| peer.adverts)),
            (Some(at(20)), Some(2))
        );
        maps.disarm(SECOND);
        assert_eq!((maps.last_seen(SECOND), maps.watched(SECOND)), (None, None));
        assert_eq!((maps.counters(Some(SECOND)).counter(Counter::Steady), maps.watch_hits(SECOND)), (1, 1));
    }

    /// A program with the message of one slot, which counts how often it is read.
    #[derive(Debug)]
    struct OneMessage(Mutex<WatchedMessage>, Arc<AtomicUsize>);

    impl ProgramMaps for OneMessage {
        fn message(&self, _: InstanceId) -> Option<WatchedMessage> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Some(*self.0.lock().unwrap())
        }

        fn set_message(&self, _: InstanceId, message: &WatchedMessage) -> bool {
            *self.0.lock().unwrap() = *message;
            true
        }

        fn counters(&self, _: Option<InstanceId>) -> Counters {
            Counters::ZERO
        }

        fn clear(&self, _: InstanceId) {}

        fn unknown_routers(&self) -> Vec<(InstanceKey, UnknownRouter)> {
            Vec::new()
        }

        fn forget_unknown_router(&self, _: InstanceKey) {}

        fn gaps(&self, _: usize) -> Gaps {
            Gaps::NONE
        }

        fn clear_gaps(&self, _: usize) {}
    }

    /// An interface on the socket path beside others with a program.
    #[test]
    fn the_message_of_a_program_is_read_once_for_each_watch() {
        let arrays = [(); 5].map(|()| {
            let array = File::from(memfd_create("vrrpx-test", MFdFlags::MFD_CLOEXEC).unwrap());
            array.set_len(1 << 20).unwrap();
            array
        });
        let reads = Arc::new(AtomicUsize::new(0));
        let empty = Mutex::new(WatchedMessage { payload: [0; PAYLOAD_MAX] });
        let program = Box::new(OneMessage(empty, Arc::clone(&reads)));
        let maps = Maps::of_program(2, arrays.each_ref().map(File::as_fd), program).unwrap();
        maps.reach(2).unwrap();
        let at = Timestamp::from_nanos;
        let is_steady = |message: &[u8], ns| maps.is_steady(SECOND, &source(7), message, at(ns));
        for (watch, message) in [[0x31, 51, 100, 1, 5], [0x31, 51, 90, 1, 5]].iter().enumerate() {
            maps.arm(SECOND, source(7), 0, message, at(10));
            assert!((20..50).all(|ns| is_steady(message, ns)));
            assert!(!is_steady(&[0x31, 51, 80, 1, 5], 50) && !is_steady(&message[..4], 50));
            assert_eq!((reads.load(Ordering::Relaxed), maps.last_seen(SECOND)), (watch + 1, Some(at(49))));
        }
        reads.store(0, Ordering::Relaxed);
        let mut messages = WatchedMessages::default();
        for (watch, byte) in [7, 8].into_iter().enumerate() {
            maps.arm(SECOND, source(byte), 0, &[byte; 5], at(60));
            let watched = (source(byte), vec![byte; 5]);
            assert!((0..9).all(|_| messages.of(&maps, SECOND) == Some(&watched)));
            assert_eq!(reads.load(Ordering::Relaxed), watch + 1);
        }
        maps.disarm(SECOND);
        assert_eq!(messages.of(&maps, SECOND), None);
    }

    /// Status reads the watched message while the engine arms another one: it finds one of them, or none.
    #[test]
    fn a_watched_message_is_read_as_a_whole() {
        let (maps, has_ended) = (Maps::anonymous(1).unwrap(), AtomicBool::new(false));
        let arm = |byte: u8| maps.arm(FIRST, source(byte), 0, &[byte; 1000], Timestamp::ZERO);
        arm(1);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..100_000 {
                    arm(2);
                    arm(1);
                }
                has_ended.store(true, Ordering::Relaxed);
            });
            while !has_ended.load(Ordering::Relaxed) {
                if let Some((found, message)) = maps.watched(FIRST) {
                    assert!(message.iter().all(|byte| *byte == found[15]), "{found:?} {message:?}");
                }
            }
        });
        assert_eq!(maps.watched(FIRST), Some((source(1), vec![1; 1000])));
    }
}
