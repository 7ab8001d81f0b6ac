//! The mapped arrays, shared with the program or, on the socket path, private memory of the same layout.
//!
//! Words are read and written atomically, while program and threads write at the same time; a value of several words
//! can be torn. Therefore the watch is disarmed while written, and rules are in two copies. A torn record of a peer is
//! shown once; an advert that is recovered from it may mix two.
//!
//! Mapped is what the engine reads and writes as it works. The rest of an instance's maps is larger: its watched
//! message, gaps and rejected adverts are reached by system calls. The socket path copies a watched message once.

mod gaps;
mod lease;
mod mapped;
mod rejected;
mod room;
mod rules;
mod signed;
mod watch;

use std::collections::HashMap;
use std::io;
use std::mem::offset_of;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use vrrp_ebpf::map::{
    AllowedPeer, AllowedPeerKey, Budget, COUNTERS, Counter, Counters, Gaps, InstanceKey, Lease, NO_PEER,
    PEERS_PER_SLOT, Peer, RulesPair, SLOTS_MAX, UNKNOWN_ROUTERS_MAX, UnknownRouter, Watch, WatchedMessage,
};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::{AdvertInfo, ChecksumForm, Reject};

use self::mapped::Mapped;
use self::rejected::Records;
pub use self::rejected::Rejections;
pub(in crate::driver) use self::rules::RulesInForce;
pub use self::watch::WatchedMessages;
use super::locals::Locals;
use crate::protocol::InstanceId;

/// Maps accessible by system calls only. Each call makes system calls.
pub trait ProgramMaps: Send + Sync + std::fmt::Debug {
    /// The program's counters, summed over all CPUs; `None` for slot means adverts of no instance.
    fn counters(&self, slot: Option<InstanceId>) -> Counters;

    /// Resets the counters of an instance.
    fn clear(&self, slot: InstanceId);

    fn unknown_routers(&self) -> Vec<(InstanceKey, UnknownRouter)>;

    fn forget_unknown_router(&self, key: InstanceKey);

    /// The program's gaps of the peer with this place among all of them.
    fn gaps(&self, place: usize) -> Gaps;

    /// Resets them.
    fn clear_gaps(&self, place: usize);

    /// The message to compare with; `None` if the kernel refuses.
    fn message(&self, slot: InstanceId) -> Option<WatchedMessage>;

    /// Writes it. False if the kernel refuses.
    fn set_message(&self, slot: InstanceId, message: &WatchedMessage) -> bool;
}

const _: () = assert!(InstanceId::COUNT_MAX == SLOTS_MAX);

/// State shared between the program and the daemon's threads, indexed by slot.
#[derive(Debug)]
pub struct Maps {
    rules: Mapped<RulesPair>,
    watch: Mapped<Watch>,
    peers: Mapped<Peer>,
    rejected: Records,
    leases: Mapped<Lease>,
    /// Watched messages; with a program, copies for the socket path.
    messages: Mapped<WatchedMessage>,
    /// The `armed` word of the watch that each copy is of.
    copied: Box<[AtomicU64]>,
    /// Of adverts that the daemon has recorded.
    gaps: Mapped<Gaps>,
    /// For the socket path only; the program has its own.
    budgets: Mapped<Budget>,
    /// For the socket path; the program has a map of allowed peers, and its own map of unknown routers.
    allowed_peers: RwLock<HashMap<AllowedPeerKey, AllowedPeer>>,
    unknown_routers: Mutex<HashMap<InstanceKey, UnknownRouter>>,
    locals: Locals,
    /// Counters of the socket path: one row for adverts of no instance, then one per slot.
    counted: Box<[[AtomicU64; COUNTERS]]>,
    /// Near misses of each peer, as [`peer_at`].
    near_misses: Box<[AtomicU32]>,
    program: Option<Box<dyn ProgramMaps>>,
}

impl Maps {
    /// Private memory, for interfaces without a program.
    ///
    /// # Errors
    /// No memory could be mapped.
    pub fn anonymous(slots: u32) -> io::Result<Self> {
        Ok(Self {
            rules: Mapped::anonymous(slots)?,
            watch: Mapped::anonymous(slots)?,
            peers: Mapped::anonymous(slots * PEERS_PER_SLOT)?,
            rejected: Records::new(slots, None)?,
            leases: Mapped::anonymous(slots)?,
            messages: Mapped::anonymous(slots)?,
            copied: zeros(slots as usize),
            gaps: Mapped::anonymous(slots * PEERS_PER_SLOT)?,
            budgets: Mapped::anonymous(slots)?,
            allowed_peers: RwLock::default(),
            unknown_routers: Mutex::default(),
            locals: Locals::default(),
            counted: zeros(slots as usize + 1),
            near_misses: zeros((slots * PEERS_PER_SLOT) as usize),
            program: None,
        })
    }

    /// The program's arrays. They must have been created with `BPF_F_MMAPABLE`. No slot can be used before
    /// [`Self::reach`].
    ///
    /// # Errors
    /// An array could not be mapped.
    pub fn of_program(
        slots: u32,
        [slot_map, watch_map, peer_map, rejected_map, lease_map]: [BorrowedFd<'_>; 5],
        program: Box<dyn ProgramMaps>,
    ) -> io::Result<Self> {
        Ok(Self {
            rules: Mapped::of_map(slot_map, slots)?,
            watch: Mapped::of_map(watch_map, slots)?,
            peers: Mapped::of_map(peer_map, slots * PEERS_PER_SLOT)?,
            rejected: Records::new(slots, Some(rejected_map))?,
            leases: Mapped::of_map(lease_map, slots)?,
            messages: Mapped::anonymous(slots)?,
            copied: zeros(slots as usize),
            gaps: Mapped::anonymous(slots * PEERS_PER_SLOT)?,
            budgets: Mapped::anonymous(slots)?,
            allowed_peers: RwLock::default(),
            unknown_routers: Mutex::default(),
            locals: Locals::default(),
            counted: zeros(slots as usize + 1),
            near_misses: zeros((slots * PEERS_PER_SLOT) as usize),
            program: Some(program),
        })
    }

    pub fn slots(&self) -> u32 {
        u32::try_from(self.rules.len()).unwrap_or(0)
    }

    /// Lets the first `slots` slots be used, of those that there are. Memory is mapped for these only. Only one thread
    /// may call it.
    ///
    /// # Errors
    /// An array could not be mapped.
    pub fn reach(&self, slots: usize) -> io::Result<()> {
        self.watch.reach(slots)?;
        self.peers.reach(slots.saturating_mul(PEERS_PER_SLOT as usize))?;
        self.rejected.reach(slots);
        self.leases.reach(slots)?;
        // Last: a slot that has rules has the rest.
        self.rules.reach(slots)
    }

    /// The entry of a sender, for an instance with a list of allowed senders.
    pub fn allowed_peer(&self, slot: InstanceId, source: [u8; 16]) -> Option<AllowedPeer> {
        let allowed_peers = self.allowed_peers.read().unwrap_or_else(PoisonError::into_inner);
        allowed_peers.get(&AllowedPeerKey { slot: slot.0, source }).copied()
    }

    /// Adds these allowed senders.
    pub fn allow_peers(&self, known: &[(AllowedPeerKey, AllowedPeer)]) {
        let mut allowed_peers = self.allowed_peers.write().unwrap_or_else(PoisonError::into_inner);
        allowed_peers.extend(known.iter().copied());
    }

    /// Removes the allowed senders of an instance that are not among these, and returns them.
    pub fn retain_allowed_peers(
        &self,
        slot: InstanceId,
        known: &[(AllowedPeerKey, AllowedPeer)],
    ) -> Vec<AllowedPeerKey> {
        let mut allowed_peers = self.allowed_peers.write().unwrap_or_else(PoisonError::into_inner);
        let is_gone =
            |key: &&AllowedPeerKey| key.slot == slot.0 && known.iter().all(|(other, _)| other != *key);
        let gone: Vec<AllowedPeerKey> = allowed_peers.keys().filter(is_gone).copied().collect();
        allowed_peers.retain(|key, _| !gone.contains(key));
        gone
    }

    pub fn locals(&self) -> &Locals {
        &self.locals
    }

    /// The gap before the latest advert of a sender, within its mastership.
    pub fn latest_gap(&self, slot: InstanceId, source: [u8; 16]) -> Option<Duration> {
        let (_, peer) = self.peers(slot).find(|(_, peer)| peer.source == source)?;
        (peer.last_gap != 0).then(|| Duration::from_nanos(peer.last_gap))
    }

    /// Counts a near miss of a peer; not if it has no record.
    pub fn count_near_miss(&self, slot: InstanceId, source: [u8; 16]) {
        let record = self.peers(slot).find(|(_, peer)| peer.source == source);
        let count = record.and_then(|(index, _)| self.near_misses.get(peer_at(slot, index)));
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Near misses of a peer, by its index.
    pub fn near_misses(&self, slot: InstanceId, index: u32) -> u64 {
        self.near_misses.get(peer_at(slot, index)).map_or(0, |count| count.load(Ordering::Relaxed).into())
    }

    /// Ends the mastership of all peers except the current master: their silence from now on is not a gap between
    /// adverts.
    pub fn end_masterships(&self, slot: InstanceId, master: Option<[u8; 16]>) {
        for (index, _) in self.peers(slot).filter(|(_, peer)| Some(peer.source) != master) {
            if let Some(word) = self.peers.word(peer_at(slot, index), ENDED) {
                // The program may write to the other bytes of the word at the same time.
                word.fetch_or(HAS_ENDED, Ordering::Relaxed);
            }
        }
    }

    /// Clears a slot without a key for another instance: peers, rejected adverts and all counters.
    pub fn forget(&self, slot: InstanceId) {
        self.counted.get(row(Some(slot))).into_iter().flatten().for_each(|it| it.store(0, Ordering::Relaxed));
        if let Some(program) = &self.program {
            program.clear(slot);
        }
        self.hits(slot).into_iter().for_each(|hits| hits.store(0, Ordering::Relaxed));
        self.forget_missed(slot);
        self.rejected.forget(slot);
        for index in 0..PEERS_PER_SLOT {
            self.peers.write(peer_at(slot, index), &Peer::FREE);
            self.forget_near_misses(slot, index);
            self.forget_gaps(slot, index);
        }
    }

    fn forget_near_misses(&self, slot: InstanceId, index: u32) {
        self.near_misses.get(peer_at(slot, index)).into_iter().for_each(|it| it.store(0, Ordering::Relaxed));
    }

    /// The peers heard on a slot, each with its index.
    pub fn peers(&self, slot: InstanceId) -> impl Iterator<Item = (u32, Peer)> + '_ {
        (0..PEERS_PER_SLOT).filter_map(move |index| Some((index, self.peer(slot, index)?)))
    }

    /// One peer; `None` for a free entry.
    pub fn peer(&self, slot: InstanceId, index: u32) -> Option<Peer> {
        if index >= PEERS_PER_SLOT {
            return None;
        }
        self.peers.read(peer_at(slot, index)).filter(|peer| !peer.is_free())
    }

    /// Records an advert in the entry of its sender, with the proof of its origin. Returns the entry's index, or
    /// [`NO_PEER`] if there is no room.
    pub fn note(
        &self,
        slot: InstanceId,
        info: &AdvertInfo,
        checksum: ChecksumForm,
        proof: u8,
        stamp: Timestamp,
    ) -> u32 {
        let Some(index) = self.place(slot, info.source, stamp) else {
            self.count(Some(slot), Counter::PeersFull as usize);
            return NO_PEER;
        };
        self.set_peer(slot, index, info, checksum, proof, stamp)
    }

    fn set_peer(
        &self,
        slot: InstanceId,
        index: u32,
        info: &AdvertInfo,
        checksum: ChecksumForm,
        proof: u8,
        stamp: Timestamp,
    ) -> u32 {
        let before = self.peer(slot, index);
        if before.is_some_and(|peer| peer.source != info.source) {
            self.forget_gaps(slot, index);
        }
        let before = before.filter(|peer| peer.source == info.source);
        if before.is_none() {
            self.forget_near_misses(slot, index);
        }
        let mut peer = before.unwrap_or(Peer::FREE);
        let gap = peer.record(info, checksum, stamp.as_nanos());
        peer.proof = proof;
        self.peers.write(peer_at(slot, index), &peer);
        self.count_gap(slot, index, gap);
        index
    }

    /// Counts an advert that the daemon itself refused, on the socket path or for its signature, and records its
    /// sender.
    pub fn reject(&self, slot: InstanceId, reject: Reject, source: [u8; 16], stamp: Timestamp) {
        self.count(Some(slot), reject as usize);
        self.rejected.note(slot, reject, source, stamp);
    }

    /// The rejected adverts of all instances. Makes system calls if a program is loaded; not for the engine.
    pub fn rejections(&self) -> Rejections<'_> {
        self.rejected.read()
    }

    /// Records an advert of no instance here, on the socket path. Ignored if there is no room.
    pub fn note_unknown_router(&self, key: InstanceKey, note: impl FnOnce(&mut UnknownRouter)) {
        let mut unknown_routers = self.unknown_routers.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown_routers.len() < UNKNOWN_ROUTERS_MAX as usize || unknown_routers.contains_key(&key) {
            note(unknown_routers.entry(key).or_insert(UnknownRouter::NONE));
        }
    }

    /// Unknown routers, as recorded by program and daemon. Not for the engine.
    pub fn unknown_routers(&self) -> HashMap<InstanceKey, UnknownRouter> {
        let own = self.unknown_routers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let program = self.program.as_ref().map(|program| program.unknown_routers()).unwrap_or_default();
        own.into_iter().chain(program).collect()
    }

    /// Removes the record of a router whose adverts belong to an instance now. Not for the engine.
    pub fn forget_unknown_router(&self, key: InstanceKey) {
        self.unknown_routers.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        self.program.iter().for_each(|program| program.forget_unknown_router(key));
    }

    /// Counters of program and daemon for an instance, or for adverts of none. Makes one system call if a program is
    /// loaded: the engine calls it only when a master is silent.
    pub fn counters(&self, slot: Option<InstanceId>) -> Counters {
        let mut sum = self.program.as_ref().map_or(Counters::ZERO, |program| program.counters(slot));
        if let Some(row) = self.counted.get(row(slot)) {
            for (total, counted) in sum.counts.iter_mut().zip(row) {
                *total += counted.load(Ordering::Relaxed);
            }
        }
        sum
    }

    /// For the socket path: spends one event of the instance's budget for a [`vrrp_ebpf::map::SenderClass`], as a
    /// number. The larger budget of signed adverts always applies, because the socket's queue is not shared as the ring
    /// is.
    pub(in crate::driver) fn spend(&self, slot: InstanceId, class: usize, is_signed: bool, now: u64) -> bool {
        let mut budget = self.budgets.read(slot.index()).unwrap_or_default();
        let is_left = budget.spend(class, || is_signed, now);
        self.budgets.write(slot.index(), &budget);
        is_left
    }

    /// Counts on the socket path; `index` is a [`Counter`] or a [`Reject`] as a number.
    pub fn count(&self, slot: Option<InstanceId>, index: usize) {
        if let Some(count) = self.counted.get(row(slot)).and_then(|row| row.get(index)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Offset of the word that has [`Peer::ended`] as its last byte, and its value if the mastership has ended.
const ENDED: usize = offset_of!(Peer, interval);
const HAS_ENDED: u64 = u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, 1]);
const _: () = assert!(ENDED.is_multiple_of(8) && offset_of!(Peer, ended) == ENDED + 7);

/// Place of a peer among those of all slots.
fn peer_at(slot: InstanceId, index: u32) -> usize {
    slot.index().saturating_mul(PEERS_PER_SLOT as usize).saturating_add(index as usize)
}

fn row(slot: Option<InstanceId>) -> usize {
    slot.map_or(0, |slot| slot.index() + 1)
}

/// Zeros that are no memory until they are written.
fn zeros<T: Number>(len: usize) -> Box<[T]> {
    // SAFETY: zero is a valid number.
    unsafe { Box::new_zeroed_slice(len).assume_init() }
}

/// # Safety
/// All zeros are a valid value.
unsafe trait Number {}

// SAFETY: numbers.
unsafe impl Number for AtomicU64 {}
// SAFETY: as above.
unsafe impl Number for AtomicU32 {}
// SAFETY: as above.
unsafe impl Number for [AtomicU64; COUNTERS] {}

#[cfg(test)]
mod tests {
    use vrrp_ebpf::map::Rejected;

    use super::*;

    pub(super) const FIRST: InstanceId = InstanceId(0);
    pub(super) const SECOND: InstanceId = InstanceId(1);

    fn info(source: u8, priority: u8) -> AdvertInfo {
        let mut address = [0; 16];
        address[0] = source;
        AdvertInfo { source: address, interval: 1, version: 3, vrid: 51, priority, address_count: 1 }
    }

    #[test]
    fn what_is_refused_is_known_by_its_latest_senders() {
        let maps = Maps::anonymous(2).unwrap();
        let [one, other] = [7, 8].map(|source| info(source, 100).source);
        maps.reject(SECOND, Reject::AuthData, one, Timestamp::from_nanos(10));
        maps.reject(SECOND, Reject::AuthData, other, Timestamp::from_nanos(20));
        maps.reject(SECOND, Reject::Ttl, one, Timestamp::from_nanos(30));
        let found: Vec<_> = maps.rejections().of(SECOND).collect();
        let entry = |source, adverts, last_seen| Rejected { last_seen, adverts, source, ..Rejected::NONE };
        let both = Rejected { previous: one, previous_seen: 10, ..entry(other, 2, 20) };
        assert_eq!(found, [(Reject::Ttl, entry(one, 1, 30)), (Reject::AuthData, both)]);
        assert_eq!(maps.counters(Some(SECOND)).reject(Reject::AuthData), 2);
        assert_eq!(maps.rejections().of(FIRST).count(), 0);
        maps.forget(SECOND);
        assert_eq!(maps.rejections().of(SECOND).count(), 0);
        assert_eq!(
            maps.counters(Some(SECOND)).reject(Reject::AuthData),
            0,
            "another instance begins at zero"
        );
    }

    #[test]
    fn a_further_sender_does_not_displace_a_known_one() {
        let maps = Maps::anonymous(1).unwrap();
        let note = |source, at| {
            maps.note(FIRST, &info(source, 1), ChecksumForm::Plain, Peer::FORM, Timestamp::from_nanos(at))
        };
        for source in 1..=u8::try_from(PEERS_PER_SLOT).unwrap() {
            note(source, 1);
        }
        assert_eq!(note(200, 2), NO_PEER);
        assert!(maps.peers(FIRST).all(|(_, peer)| peer.source[0] <= 8));
        assert_eq!(maps.counters(Some(FIRST)).counter(Counter::PeersFull), 1);
    }

    #[test]
    fn near_misses_are_those_of_the_sender_that_has_the_record() {
        let maps = Maps::anonymous(2).unwrap();
        for source in [1, 2] {
            maps.note(SECOND, &info(source, 100), ChecksumForm::Plain, Peer::FORM, Timestamp::from_nanos(1));
        }
        for source in [2, 2, 1, 3] {
            maps.count_near_miss(SECOND, info(source, 100).source);
        }
        let counts = |slot| [0, 1, 2].map(|index| maps.near_misses(slot, index));
        assert_eq!((counts(SECOND), counts(FIRST)), ([1, 2, 0], [0; 3]));
        // Another sender gets the record of one that has gone.
        let late = Timestamp::from_nanos(u64::from(u32::MAX) * 1000);
        for source in 3..=9 {
            maps.note(SECOND, &info(source, 100), ChecksumForm::Plain, Peer::FORM, late);
        }
        assert_eq!(maps.peer(SECOND, 0).map(|peer| peer.source[0]), Some(9));
        assert_eq!(counts(SECOND), [0, 2, 0]);
        maps.forget(SECOND);
        assert_eq!(counts(SECOND), [0; 3]);
    }

    #[test]
    fn other_masterships_end_and_the_rest_of_the_record_stays() {
        let maps = Maps::anonymous(1).unwrap();
        for source in [1, 2] {
            maps.note(FIRST, &info(source, 100), ChecksumForm::Plain, Peer::FORM, Timestamp::from_nanos(1));
        }
        let before = maps.peer(FIRST, 0).unwrap();
        maps.end_masterships(FIRST, Some(info(2, 100).source));
        let [one, other] = [0, 1].map(|index| maps.peer(FIRST, index).unwrap());
        assert_eq!((one.ended, other.ended), (1, 0));
        let kept = |peer: &Peer| (peer.interval, peer.version, peer.priority, peer.checksum, peer.proof);
        assert_eq!(kept(&one), kept(&before));
    }
}
