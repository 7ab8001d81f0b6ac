//! The maps, and every access to them.
//!
//! The sizes below are placeholders: the loader sets them to those that the configuration needs. For an index beyond
//! them the look-up returns `None`, and the caller does nothing.
//!
//! Elements of arrays are for ever, but other CPUs and the daemon write them at the same time: the look-ups return
//! pointers, and no reference to an element exists.

use core::ops::Deref;

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, BPF_RB_AVAIL_DATA, BPF_RB_RING_SIZE};
use aya_ebpf::btf_maps::{Array, HashMap, PerCpuArray, RingBuf};
use aya_ebpf::helpers::{bpf_ringbuf_output, bpf_ringbuf_query};
use aya_ebpf::macros::btf_map;
use aya_ebpf::maps::ring_buf::RingBufEntry;
use vrrp_ebpf::map::{
    AllowedPeer, AllowedPeerKey, Budget, COUNTERS as COUNTER_COUNT, Counters, Event, EventHead, GAP_BUCKETS,
    Gaps, InstanceKey, InstanceRules, Lease, LeaseKey, LocalKey, PAYLOAD_MAX, PEERS_PER_SLOT, Peer,
    REJECTS_PER_SLOT, Rejected, RulesPair, SHORTCUTS as SHORTCUT_COUNT, Shortcut, UNKNOWN_ROUTERS_MAX,
    UnknownRouter, Watch, WatchedMessage,
};
use vrrp_ebpf::path::Rules;

use super::opaque::{self, at_most, masked};

const MAPPED: usize = BPF_F_MMAPABLE as usize;
const ON_DEMAND: usize = BPF_F_NO_PREALLOC as usize;

#[btf_map]
static KEYS: HashMap<InstanceKey, u32, 64> = HashMap::new();

#[btf_map]
static SHORTCUTS: Array<Shortcut, { SHORTCUT_COUNT as usize }> = Array::new();

#[btf_map]
static SLOTS: Array<RulesPair, 1, MAPPED> = Array::new();

#[btf_map]
static WATCH: Array<Watch, 1, MAPPED> = Array::new();

#[btf_map]
static MESSAGES: Array<WatchedMessage, 1> = Array::new();

#[btf_map]
static PEERS: Array<Peer, { PEERS_PER_SLOT as usize }, MAPPED> = Array::new();

#[btf_map]
static GAPS: Array<Gaps, { PEERS_PER_SLOT as usize }> = Array::new();

#[btf_map]
static BUDGETS: Array<Budget, 1> = Array::new();

#[btf_map]
static EVENTS: RingBuf<Event, 65_536> = RingBuf::new();

/// An event of this CPU as it is put together. A place in the ring is a reference, whose size the verifier must know,
/// and which makes two paths differ for old kernels.
#[btf_map]
static DRAFT: PerCpuArray<Event, 1> = PerCpuArray::new();

#[btf_map]
static COUNTERS: PerCpuArray<Counters, 2> = PerCpuArray::new();

#[btf_map]
static ALLOWED_PEERS: HashMap<AllowedPeerKey, AllowedPeer, 256, ON_DEMAND> = HashMap::new();

#[btf_map]
static REJECTED: Array<Rejected, { REJECTS_PER_SLOT as usize }, MAPPED> = Array::new();

#[btf_map]
static UNKNOWN_ROUTERS: HashMap<InstanceKey, UnknownRouter, { UNKNOWN_ROUTERS_MAX as usize }> =
    HashMap::new();

#[btf_map]
static LOCALS: HashMap<LocalKey, u32, 64, ON_DEMAND> = HashMap::new();

#[btf_map]
static LEASES: HashMap<LeaseKey, u32, 256, ON_DEMAND> = HashMap::new();

#[btf_map]
static LEASE_STATE: Array<Lease, 1, MAPPED> = Array::new();

#[btf_map]
static MLD_SOURCE_MACS: HashMap<u32, [u8; 6], 64, ON_DEMAND> = HashMap::new();

/// Whether this is an address of the host.
#[inline(always)]
pub(super) fn is_local(key: &LocalKey) -> bool {
    // SAFETY: the value is not read.
    unsafe { LOCALS.get(key).is_some() }
}

/// The slot and lease of an address; `None` for an address of no instance.
#[inline(always)]
pub(super) fn lease(key: &LeaseKey) -> Option<(u32, Lease)> {
    // SAFETY: copied at once; it is replaced as a whole.
    let slot = unsafe { LEASES.get(key).copied() }?;
    // SAFETY: the kernel keeps array elements for ever; each word is written as a whole and used by itself.
    let lease = unsafe { LEASE_STATE.get_ptr(slot)?.read_volatile() };
    Some((slot, lease))
}

/// Records that an advert of a router that may be a better master is about to wake the daemon.
#[inline(always)]
pub(super) fn challenge(slot: u32, now: u64) {
    if let Some(lease) = LEASE_STATE.get_ptr_mut(slot) {
        // SAFETY: as in `lease`.
        unsafe { (&raw mut (*lease).challenged).write_volatile(now) };
    }
}

/// Records that a request is about to wake the daemon. No later one does until the daemon sets the time again.
#[inline(always)]
pub(super) fn heeded(slot: u32) {
    if let Some(lease) = LEASE_STATE.get_ptr_mut(slot) {
        // SAFETY: as in `lease`.
        unsafe { (&raw mut (*lease).heed).write_volatile(0) };
    }
}

/// The source MAC address of MLD reports that leave this interface.
#[inline(always)]
pub(super) fn mld_source_mac(ifindex: u32) -> Option<[u8; 6]> {
    // SAFETY: copied at once; half of an old address in one report does no harm.
    unsafe { MLD_SOURCE_MACS.get(ifindex).copied() }
}

/// The slot of an instance.
#[inline(always)]
pub(super) fn slot_of(key: &InstanceKey) -> Option<u32> {
    if let Some(shortcut) = SHORTCUTS.get(key.shortcut())
        && shortcut.key == key.bits()
    {
        return Some(shortcut.slot);
    }
    // SAFETY: copied at once; a slot that is reused meanwhile makes one advert count for another instance.
    unsafe { KEYS.get(key).copied() }
}

/// The rules in force of an instance.
pub(super) struct RulesInForce {
    pair: *const RulesPair,
    generation: u64,
    rules: InstanceRules,
}

/// The rules in force of an instance, which the daemon writes before the slot's key.
#[inline(always)]
pub(super) fn rules(slot: u32) -> Option<RulesInForce> {
    let pair = SLOTS.get_ptr(slot)?;
    // SAFETY: the kernel keeps array elements for ever; the mask keeps the index within the two copies. If the copy is
    // written meanwhile, it is of no use, which `are_in_force` finds.
    unsafe {
        let generation = (&raw const (*pair).generation).read_volatile();
        let index = masked::<1>(generation as usize);
        let rules = (&raw const (*pair).copies).cast::<InstanceRules>().add(index).read();
        Some(RulesInForce { pair, generation, rules })
    }
}

impl Deref for RulesInForce {
    type Target = InstanceRules;

    #[inline(always)]
    fn deref(&self) -> &InstanceRules {
        &self.rules
    }
}

impl Rules for RulesInForce {
    #[inline(always)]
    fn generation(&self) -> u64 {
        self.generation
    }

    #[inline(always)]
    fn are_in_force(&self) -> bool {
        opaque::read_before();
        // SAFETY: as in `rules`.
        unsafe { (&raw const (*self.pair).generation).read_volatile() == self.generation }
    }
}

/// The entry of an allowed sender; `None` for others.
#[inline(always)]
pub(super) fn allowed_peer(slot: u32, source: [u8; 16]) -> Option<AllowedPeer> {
    // SAFETY: copied at once; it is replaced as a whole.
    unsafe { ALLOWED_PEERS.get(AllowedPeerKey { slot, source }).copied() }
}

/// The record of adverts that failed a check; `reject` is a [`vrrp_ebpf::wire::Reject`] as a number.
#[inline(always)]
pub(super) fn rejected(slot: u32, reject: u32) -> Option<*mut Rejected> {
    REJECTED.get_ptr_mut(slot * REJECTS_PER_SLOT + reject % REJECTS_PER_SLOT)
}

/// The record of an unknown router; `None` if it was not heard before. The daemon removes none.
#[inline(always)]
pub(super) fn unknown_router(key: &InstanceKey) -> Option<*mut UnknownRouter> {
    UNKNOWN_ROUTERS.get_ptr_mut(key)
}

/// Inserts the record of an unknown router; without effect if the map is full.
#[inline(always)]
pub(super) fn insert_unknown_router(key: &InstanceKey, unknown_router: &UnknownRouter) {
    let _ = UNKNOWN_ROUTERS.insert(key, unknown_router, 0);
}

/// The watched advert of an instance.
#[inline(always)]
pub(super) fn watch(slot: u32) -> Option<*mut Watch> {
    WATCH.get_ptr_mut(slot)
}

/// Its message.
#[inline(always)]
pub(super) fn watched_message(slot: u32) -> Option<*const WatchedMessage> {
    MESSAGES.get_ptr(slot)
}

/// The record of a sender; `None` for [`vrrp_ebpf::map::NO_PEER`].
#[inline(always)]
pub(super) fn peer(slot: u32, index: u32) -> Option<*mut Peer> {
    if index >= PEERS_PER_SLOT {
        return None;
    }
    PEERS.get_ptr_mut(slot * PEERS_PER_SLOT + index)
}

/// Records the time of an advert of a peer; false for [`vrrp_ebpf::map::NO_PEER`].
#[inline(always)]
pub(super) fn touch(slot: u32, index: u32, now: u64) -> bool {
    let Some(peer) = peer(slot, index) else { return false };
    // SAFETY: the kernel keeps array elements for ever; the mask keeps the index within the buckets.
    unsafe {
        if let Some(bucket) = Peer::touch_at(peer, now)
            && let Some(gaps) = GAPS.get_ptr_mut(slot * PEERS_PER_SLOT + index)
        {
            *(&raw mut (*gaps).counts).cast::<u32>().add(masked::<{ GAP_BUCKETS - 1 }>(bucket)) += 1;
        }
    }
    true
}

/// The budget of an instance.
#[inline(always)]
pub(super) fn budget(slot: u32) -> Option<*mut Budget> {
    BUDGETS.get_ptr_mut(slot)
}

/// Room for an event without a message; `None` while the ring is full.
#[inline(always)]
pub(super) fn bare_event() -> Option<RingBufEntry<EventHead>> {
    EVENTS.reserve_untyped::<EventHead>(0)
}

/// Memory of this CPU for one event.
#[inline(always)]
pub(super) fn draft() -> Option<*mut Event> {
    DRAFT.get_ptr_mut(0)
}

/// Puts an event into the ring, with so many bytes of its payload. False while the ring is full.
///
/// # Safety
/// `draft` must be that of [`draft`].
#[inline(always)]
pub(super) unsafe fn submit(draft: *mut Event, length: usize) -> bool {
    let ring = (&raw const EVENTS).cast_mut().cast();
    let size = size_of::<EventHead>() + at_most::<PAYLOAD_MAX, 0>(length);
    // SAFETY: the helper reads as many bytes of the draft, which has them.
    unsafe { bpf_ringbuf_output(ring, draft.cast(), size as u64, 0) == 0 }
}

/// Whether less than half of the ring is unread.
#[inline(always)]
pub(super) fn is_half_empty() -> bool {
    let ring = (&raw const EVENTS).cast_mut().cast();
    // SAFETY: the helper reads three numbers of the ring.
    let (size, waiting) = unsafe {
        (bpf_ringbuf_query(ring, BPF_RB_RING_SIZE.into()), bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA.into()))
    };
    waiting < size / 2
}

/// Records that a signed advert of this [`vrrp_ebpf::map::SenderClass`], as a number, was dropped unchecked.
#[inline(always)]
pub(super) fn miss(slot: u32, class: usize, now: u64) {
    if let Some(watch) = WATCH.get_ptr_mut(slot) {
        // SAFETY: the kernel keeps array elements for ever; a word is written as a whole, and the mask keeps the index
        // within the two.
        unsafe { (&raw mut (*watch).missed).cast::<u64>().add(class >> 1 & 1).write_volatile(now) };
    }
}

/// Counts on this CPU; `slot` is `None` for adverts of no instance.
#[inline(always)]
pub(super) fn count(slot: Option<u32>, index: u32) {
    let row = match slot {
        Some(slot) => slot + 1,
        None => 0,
    };
    if let Some(counters) = COUNTERS.get_ptr_mut(row) {
        // SAFETY: the row is this CPU's own, and the mask keeps the index within it.
        unsafe {
            let count = (&raw mut (*counters).counts).cast::<u64>().add(index as usize & (COUNTER_COUNT - 1));
            *count += 1;
        }
    }
}
