//! The loaded program with its maps and links.
//!
//! Enters: instances, the peers and addresses of each, and interfaces. Leaves: entries of the maps, attachments and
//! pins. Absent: reading of the maps, see [`Maps`], and the choice of a receive path, see [`super::attach`].

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aya::maps::{Array, HashMap as BpfHashMap, Map, MapData, MapError, PerCpuArray, RingBuf};
use aya::{Ebpf, include_bytes_aligned};
use nix::net::if_::if_nametoindex;
use vrrp_ebpf::map::{
    AllowedPeer, AllowedPeerKey, InstanceKey, LeaseKey, LocalKey, PEERS_PER_SLOT, REJECTS_PER_SLOT,
    SLOTS_MAX, Shortcut,
};

use super::attach::{self, AttachError, Attached, Ground, Mode, Obstacle};
use super::capabilities::{self, Capability};
use super::card::Card;
use super::element::Elements;
use super::entry::{Entries, Entry};
use super::hook::Hook;
use super::link::Link;
use super::load_error::LoadError;
use super::loader::Loader;
use super::local::LOCALS_MAX;
use super::mld_rewrite::MldRewrite;
use super::orphan::Claim;
use super::pin::{self, Pins};
use super::place::Places;
use super::pod::Layout;
use super::ring::{self, Ring};
use super::unmapped::{Unmapped, second};
use crate::driver::RxPath;
use crate::driver::maps::Maps;
use crate::driver::netlink::filter::{self, Filter, Name};
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::ownership;
use crate::protocol::InstanceId;

/// The object from bpf-linker; empty if its tools were missing at build time.
pub(super) static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vrrp-ebpf"));

/// Room for leased addresses: per slot, and at least in all.
const LEASES_PER_SLOT: u32 = 32;
const LEASES_MIN: u32 = 16_384;

/// Interfaces whose kind is looked at before the program is loaded. Those of one host are mostly of one kind.
const LOOKED_AT: usize = 16;

/// Allowed peers per slot, on average.
const ALLOWED_PEERS_PER_SLOT: u32 = 32;

/// Interfaces with virtual MAC addresses per slot; usually one.
const MLD_SOURCE_MACS_PER_SLOT: u32 = 4;

/// The loaded object with its maps and links. On drop everything is detached, unpinned and unloaded.
pub struct Program {
    pub(super) ebpf: Ebpf,
    pub(super) entries: Entries,
    places: Places,
    keys: BpfHashMap<MapData, Layout<InstanceKey>, u32>,
    shortcuts: Array<MapData, Layout<Shortcut>>,
    allowed_peers: BpfHashMap<MapData, Layout<AllowedPeerKey>, Layout<AllowedPeer>>,
    pub(super) leases: BpfHashMap<MapData, Layout<LeaseKey>, u32>,
    pub(super) locals: BpfHashMap<MapData, Layout<LocalKey>, u32>,
    maps: Arc<Maps>,
    /// Entries that are loaded later refer to these descriptors.
    _arrays: [MapData; 5],
    /// As above: that of the ring, whose reader has one of its own.
    events: Option<MapData>,
    /// All maps by name, for pinning.
    pub(super) all: Vec<(String, MapData)>,
    pub(super) pins: Option<Pins>,
    /// Owner of its filters.
    owner: Name,
    pub(super) keeps_pins: bool,
    pub(super) claim: Option<Claim>,
    pub(super) links: HashMap<u32, Link>,
    /// See [`super::mld_rewrite`].
    pub(super) macs: BpfHashMap<MapData, u32, [u8; 6]>,
    pub(super) mld_rewrites: HashMap<u32, MldRewrite>,
}

impl Program {
    /// Loads the program with maps for `slots` instances, and every entry.
    ///
    /// # Errors
    /// See [`LoadError`]; the caller may continue with sockets.
    pub fn load(slots: u32) -> Result<Self, LoadError> {
        Self::load_only(slots, &Entry::ALL)
    }

    /// The object that it is loaded from, which is not needed after [`Self::open`].
    pub fn object() -> &'static [u8] {
        OBJECT
    }

    /// As [`Self::load`], with these entries alone; the kernel verifies others when a receive path needs them.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_only(slots: u32, wanted: &[Entry]) -> Result<Self, LoadError> {
        let mut program = Self::open(Loader::new(), slots, 0)?;
        program.entries = Entries::load(&mut program.ebpf, wanted, &mut program.places)?;
        Ok(program)
    }

    /// Creates the maps for `slots` instances, and a ring for `events` bytes. No entry is loaded yet; see
    /// [`Self::load_for`].
    ///
    /// # Errors
    /// See [`LoadError`]; the caller may continue with sockets.
    pub fn open(loader: Loader, slots: u32, events: u32) -> Result<Self, LoadError> {
        if OBJECT.is_empty() {
            return Err(LoadError::NotBuilt);
        }
        let slots = slots.clamp(1, SLOTS_MAX);
        let missing: Vec<_> = capabilities::missing()
            .into_iter()
            .filter(|capability| Capability::PROGRAM.contains(capability))
            .collect();
        if !missing.is_empty() {
            return Err(LoadError::Capability { missing });
        }
        let mut ebpf = loader
            .into_inner()
            .map_max_entries("KEYS", slots.saturating_mul(2))
            .map_max_entries("SLOTS", slots)
            .map_max_entries("WATCH", slots)
            .map_max_entries("MESSAGES", slots)
            .map_max_entries("PEERS", slots.saturating_mul(PEERS_PER_SLOT))
            .map_max_entries("GAPS", slots.saturating_mul(PEERS_PER_SLOT))
            .map_max_entries("REJECTED", slots.saturating_mul(REJECTS_PER_SLOT))
            .map_max_entries("BUDGETS", slots)
            .map_max_entries("EVENTS", ring::size(events))
            .map_max_entries("COUNTERS", slots.saturating_add(1))
            .map_max_entries("ALLOWED_PEERS", slots.saturating_mul(ALLOWED_PEERS_PER_SLOT))
            .map_max_entries("LEASES", slots.saturating_mul(LEASES_PER_SLOT).max(LEASES_MIN))
            .map_max_entries("LEASE_STATE", slots)
            .map_max_entries("LOCALS", LOCALS_MAX)
            .map_max_entries("MLD_SOURCE_MACS", slots.saturating_mul(MLD_SOURCE_MACS_PER_SLOT))
            .load(OBJECT)
            .map_err(|error| LoadError::from_ebpf(&error))?;
        let all = every_map(&ebpf)?;
        let keys = typed(&mut ebpf, "KEYS")?;
        let shortcuts = typed(&mut ebpf, "SHORTCUTS")?;
        let allowed_peers = typed(&mut ebpf, "ALLOWED_PEERS")?;
        let leases = typed(&mut ebpf, "LEASES")?;
        let locals = typed(&mut ebpf, "LOCALS")?;
        let macs = typed(&mut ebpf, "MLD_SOURCE_MACS")?;
        let (maps, arrays) = share(&mut ebpf, slots)?;
        Ok(Self {
            ebpf,
            entries: Entries::default(),
            places: Places::default(),
            keys,
            shortcuts,
            allowed_peers,
            leases,
            locals,
            maps: Arc::new(maps),
            _arrays: arrays,
            events: None,
            all,
            pins: None,
            owner: Name::of(Path::new("")),
            keeps_pins: true,
            claim: None,
            links: HashMap::new(),
            macs,
            mld_rewrites: HashMap::new(),
        })
    }

    /// Loads the entries that `mode` puts first on these interfaces; the kernel verifies others when a receive path
    /// needs them.
    ///
    /// # Errors
    /// The kernel refuses every entry.
    pub fn load_for(&mut self, interfaces: &[Arc<str>], mode: Mode) -> Result<(), LoadError> {
        let paths = first_paths(interfaces, mode);
        let at_tcx = paths.iter().filter(|(.., rx_path)| *rx_path == RxPath::Tcx);
        self.places =
            Places::on(at_tcx.map(|(ifindex, interface, _)| (*ifindex, interface.clone())).collect());
        self.entries = Entries::load(&mut self.ebpf, &entries(&paths), &mut self.places)?;
        Ok(())
    }

    /// Assigns the program to the daemon with this runtime directory. Must be called before attaching.
    pub fn belong_to(&mut self, runtime_dir: &Path) {
        self.owner = Name::of(runtime_dir);
        self.keeps_pins = pin::provide_bpffs().is_ok();
    }

    /// The arrays, mapped into this process; they outlive the program.
    pub fn maps(&self) -> Arc<Maps> {
        Arc::clone(&self.maps)
    }

    /// Lets the first `slots` slots be used, see [`Maps::reach`].
    ///
    /// # Errors
    /// An array could not be mapped; the caller may continue with sockets.
    pub fn reach(&self, slots: usize) -> Result<(), LoadError> {
        self.maps.reach(slots).map_err(|error| not_mapped(&error))
    }

    /// The event ring; only one reader can take it.
    ///
    /// # Errors
    /// It was already taken, or could not be mapped.
    pub fn ring(&mut self) -> Result<Ring, LoadError> {
        let Map::RingBuf(data) = take(&mut self.ebpf, "EVENTS")? else {
            return Err(LoadError::Object { reason: "map EVENTS is no ring".to_owned() });
        };
        let own = Map::RingBuf(second(&data)?);
        self.events = Some(data);
        RingBuf::try_from(own).map(Ring::new).map_err(|error| LoadError::from_map(&error))
    }

    /// Attaches the program to an interface, on the best receive path that `mode` allows. Removes an earlier attachment
    /// of the interface first.
    ///
    /// # Errors
    /// No receive path is left.
    pub fn attach(&mut self, ifindex: u32, interface: &str, mode: Mode) -> Result<Attached, AttachError> {
        self.detach(ifindex);
        let ground = self.ground(ifindex);
        let Self { ebpf, entries, places, pins, owner, .. } = self;
        let (mut taken, mut place) = (None, places.give(ifindex));
        let attached = attach::climb(ifindex, interface, mode, &ground, |rx_path| {
            let loaded = entries
                .ensure(ebpf, attach::entry(rx_path))
                .map_err(|error| Obstacle::NotLoaded(error.to_string()))?;
            let mut fresh =
                || Link::attach(ebpf, loaded.name, ifindex, interface, rx_path, owner, &mut place);
            taken = Some(match pins {
                // A refused pin ends the link; a new one serves as long as the daemon lives.
                Some(pins) => fresh()?.pin(ifindex, pins).or_else(|_| fresh())?,
                None => fresh()?,
            });
            Ok(())
        })?;
        if let Some(link) = taken {
            self.links.insert(ifindex, link);
        }
        Ok(attached)
    }

    pub(super) fn ground(&self, ifindex: u32) -> Ground {
        let keeps_pins = self.keeps_pins;
        match Card::of(ifindex) {
            Ok(card) => Ground::of(&card, keeps_pins),
            // A missing interface has no properties, and nothing can be attached to it.
            Err(_) => Ground { kind: None, has_ethernet: true, strips_tags: true, keeps_pins },
        }
    }

    pub fn detach(&mut self, ifindex: u32) {
        match self.links.remove(&ifindex) {
            Some(Link::Pinned(path)) => {
                // Fails if its pin is gone, and the link with it.
                let _ = pin::release(&path);
            }
            Some(Link::Filter(filter)) => {
                // Fails if its interface is gone, and the filter with it.
                let _ = RouteSocket::open().and_then(|mut socket| filter::remove(&mut socket, filter));
            }
            Some(Link::Xdp(_) | Link::Tcx(_)) | None => {}
        }
    }

    /// Handle to check that it is still attached; `None` if it does not outlive the daemon.
    pub fn hook(&self, ifindex: u32) -> Option<Hook> {
        match self.links.get(&ifindex)? {
            Link::Pinned(path) => Hook::open(path).ok(),
            Link::Filter(filter) => Hook::of_filter(*filter).ok(),
            Link::Xdp(_) | Link::Tcx(_) => None,
        }
    }

    /// Assigns adverts of `key` to an instance, whose rules must already be written.
    ///
    /// # Errors
    /// The kernel's; ENOSPC or E2BIG if there are more instances than [`Self::load`] made room for.
    pub fn insert(&mut self, key: InstanceKey, instance: InstanceId) -> io::Result<()> {
        let InstanceId(slot) = instance;
        self.keys.insert(Layout(key), slot, 0).map_err(io::Error::other)?;
        let place = key.shortcut();
        let found = self.shortcuts.get(&place, 0).map_err(io::Error::other)?.0;
        if found == Shortcut::VACANT || found.key == key.bits() {
            // The program must never see the new key with the old slot.
            self.set_shortcut(place, Shortcut { slot, ..Shortcut::VACANT })?;
            self.set_shortcut(place, Shortcut { key: key.bits(), slot, reserved: 0 })?;
        }
        Ok(())
    }

    /// Adds these allowed senders.
    ///
    /// # Errors
    /// The kernel's; E2BIG if there are too many.
    pub fn allow_peers(&mut self, known: &[(AllowedPeerKey, AllowedPeer)]) -> io::Result<()> {
        for (key, allowed_peer) in known {
            self.allowed_peers.insert(Layout(*key), Layout(*allowed_peer), 0).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Removes these allowed senders.
    pub fn remove_peers(&mut self, gone: &[AllowedPeerKey]) {
        for key in gone {
            // Missing if there was no room for it.
            let _ = self.allowed_peers.remove(&Layout(*key));
        }
    }

    /// Removes an instance: adverts of `key` count as unknown VRID again.
    ///
    /// # Errors
    /// The kernel's; ENOENT if it was not inserted.
    pub fn remove(&mut self, key: InstanceKey) -> io::Result<()> {
        let place = key.shortcut();
        if self.shortcuts.get(&place, 0).map_err(io::Error::other)?.0.key == key.bits() {
            self.set_shortcut(place, Shortcut::VACANT)?;
        }
        self.keys.remove(&Layout(key)).map_err(io::Error::other)
    }

    fn set_shortcut(&mut self, place: u32, shortcut: Shortcut) -> io::Result<()> {
        self.shortcuts.set(place, Layout(shortcut), 0).map_err(io::Error::other)
    }

    /// Passes the program's log to the `log` crate's logger, in a build with `bpf-log`, as long as the future is
    /// polled.
    ///
    /// # Errors
    /// The program was built without the feature, or its ring cannot be polled.
    #[cfg(feature = "bpf-log")]
    pub fn log(&mut self) -> Result<impl Future<Output = ()> + use<>, LoadError> {
        let unusable = |error: String| LoadError::Object { reason: format!("no log: {error}") };
        let logger =
            aya_log::EbpfLogger::init(&mut self.ebpf).map_err(|error| unusable(error.to_string()))?;
        // SAFETY: the logger keeps its ring, and so the descriptor, for as long as it lives.
        let logger = unsafe { tokio::io::unix::AsyncFd::register(logger) };
        let mut logger = logger.map_err(|error| unusable(error.to_string()))?;
        Ok(async move {
            while let Ok(mut ready) = logger.readable_mut().await {
                ready.get_inner_mut().flush();
                ready.clear_ready();
            }
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !ownership::is_ours() {
            return;
        }
        // The next daemon removes leftovers.
        if let Some(pins) = self.pins.take() {
            let _ = pins.clear();
        }
        let filters: Vec<u32> = self.filters().iter().map(|filter| filter.ifindex).collect();
        filters.into_iter().for_each(|ifindex| self.detach(ifindex));
    }
}

/// Removes the filters left by killed daemons with this runtime directory. Returns their number.
///
/// # Errors
/// Netlink's.
pub fn remove_filters(runtime_dir: &Path, is_gone: impl Fn(&Filter) -> bool) -> io::Result<usize> {
    let mut socket = RouteSocket::open()?;
    let mut found = filter::find_all(&mut socket, &Name::of(runtime_dir))?;
    found.retain(is_gone);
    for filter in &found {
        filter::remove(&mut socket, *filter)?;
    }
    Ok(found.len())
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("slots", &self.maps.slots())
            .field("interfaces", &self.links.len())
            .finish_non_exhaustive()
    }
}

/// A second descriptor of each map. Skips names with a dot: they are the compiler's, and bpffs does not allow them.
fn every_map(ebpf: &Ebpf) -> Result<Vec<(String, MapData)>, LoadError> {
    let mut all = Vec::new();
    for (name, map) in ebpf.maps().filter(|(name, _)| !name.contains('.')) {
        if let Map::Array(data) | Map::HashMap(data) | Map::PerCpuArray(data) | Map::RingBuf(data) = map {
            all.push((name.to_owned(), second(data)?));
        }
    }
    Ok(all)
}

fn not_mapped(error: &io::Error) -> LoadError {
    LoadError::Kernel { doing: "map the arrays".to_owned(), errno: error.raw_os_error().unwrap_or(0) }
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map, LoadError> {
    ebpf.take_map(name)
        .ok_or_else(|| LoadError::Object { reason: format!("map {name} is missing or already taken") })
}

fn typed<M: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, name: &str) -> Result<M, LoadError> {
    M::try_from(take(ebpf, name)?).map_err(|error| LoadError::from_map(&error))
}

/// The path that `mode` puts first on each of these interfaces that is there, or on the first of them.
fn first_paths(interfaces: &[Arc<str>], mode: Mode) -> Vec<(u32, Arc<str>, RxPath)> {
    let keeps_pins = pin::bpffs().is_ok();
    let first = |interface: &Arc<str>| {
        let ifindex = if_nametoindex(&**interface).ok()?;
        let ground = Ground::of(&Card::of(ifindex).ok()?, keeps_pins);
        Some((ifindex, Arc::clone(interface), *ground.paths(mode, interface).0.first()?))
    };
    interfaces.iter().take(LOOKED_AT).filter_map(first).collect()
}

/// The entries of these paths; every entry if there is none.
fn entries(paths: &[(u32, Arc<str>, RxPath)]) -> Vec<Entry> {
    let is_of = |entry| paths.iter().any(|(.., rx_path)| attach::entry(*rx_path) == entry);
    Entry::ALL.into_iter().filter(|entry| paths.is_empty() || is_of(*entry)).collect()
}

/// Maps the arrays into this process. Their descriptors come with them.
fn share(ebpf: &mut Ebpf, slots: u32) -> Result<(Maps, [MapData; 5]), LoadError> {
    let counters = take(ebpf, "COUNTERS")?;
    let Map::PerCpuArray(data) = &counters else {
        return Err(LoadError::Object { reason: "COUNTERS is not an array".to_owned() });
    };
    let zeroed = Map::PerCpuArray(second(data)?);
    let [counters, zeroed] = [counters, zeroed].map(PerCpuArray::try_from);
    let counters = counters.map_err(|error| LoadError::from_map(&error))?;
    let zeroed = Mutex::new(zeroed.map_err(|error| LoadError::from_map(&error))?);
    let unknown_routers = Mutex::new(typed(ebpf, "UNKNOWN_ROUTERS")?);
    let [gaps, messages] = ["GAPS", "MESSAGES"].map(|name| array(ebpf, name).map(Elements));
    let arrays = ["SLOTS", "WATCH", "PEERS", "REJECTED", "LEASE_STATE"].map(|name| array(ebpf, name));
    let [slot, watch, peers, rejected, leases] = arrays;
    let arrays = [slot?, watch?, peers?, rejected?, leases?];
    let maps = Maps::of_program(
        slots,
        arrays.each_ref().map(|array| array.fd().as_fd()),
        Box::new(Unmapped { counters, zeroed, unknown_routers, gaps: gaps?, messages: messages? }),
    )
    .map_err(|error| not_mapped(&error))?;
    Ok((maps, arrays))
}

fn array(ebpf: &mut Ebpf, name: &str) -> Result<MapData, LoadError> {
    match take(ebpf, name)? {
        Map::Array(data) => Ok(data),
        _ => Err(LoadError::Object { reason: format!("{name} is not an array") }),
    }
}
