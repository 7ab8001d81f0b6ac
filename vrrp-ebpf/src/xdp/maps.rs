//! The maps, and every access to them.
//!
//! Sizes below are placeholders: the loader sets them to what the configuration needs. An index beyond them finds
//! nothing, and nothing is what the caller then does.

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::btf_maps::{Array, HashMap, PerCpuArray, RingBuf};
use aya_ebpf::macros::btf_map;
use vrrp_ebpf::map::{Budget, Counters, Event, InstanceKey, LeaseKey, PEERS_PER_SLOT, Peer, Slot, Watch};

const MAPPED: usize = BPF_F_MMAPABLE as usize;
const ON_DEMAND: usize = BPF_F_NO_PREALLOC as usize;

#[btf_map]
static KEYS: HashMap<InstanceKey, u32, 64> = HashMap::new();

#[btf_map]
static SLOTS: Array<Slot, 1, MAPPED> = Array::new();

#[btf_map]
static WATCH: Array<Watch, 1, MAPPED> = Array::new();

#[btf_map]
static PEERS: Array<Peer, { PEERS_PER_SLOT as usize }, MAPPED> = Array::new();

#[btf_map]
static BUDGETS: Array<Budget, 1> = Array::new();

#[btf_map]
static EVENTS: RingBuf<Event, 262_144> = RingBuf::new();

#[btf_map]
static COUNTERS: PerCpuArray<Counters, 2> = PerCpuArray::new();

#[btf_map]
static LEASES: HashMap<LeaseKey, u32, 256, ON_DEMAND> = HashMap::new();

#[btf_map]
static LEASE_UNTIL: Array<u64, 1, MAPPED> = Array::new();
