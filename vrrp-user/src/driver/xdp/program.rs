//! The loaded program: its maps, its links, its errors.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::mem::size_of;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aya::maps::{Array, HashMap as BpfHashMap, Map, MapData, MapError, PerCpuArray, RingBuf};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions, TcAttachType};
use aya::programs::xdp::XdpLink;
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader, include_bytes_aligned};
use nix::errno::Errno;
use thiserror::Error;
use vrrp_ebpf::map::{Event, InstanceKey, LeaseKey, PEERS_PER_SLOT, Permit, PermitKey, SLOTS_MAX, Shortcut};

use super::attach::{self, AttachError, Attached, Mode};
use super::capabilities::{self, Capability};
use super::hook::Hook;
use super::pin::{self, PinError, Pins};
use super::pod::{Key, Known, Leased, Place, Sender};
use super::report::Reporter;
use super::ring::Ring;
use super::unmapped::Unmapped;
use crate::driver::maps::Maps;
use crate::driver::{Rung, clock, ownership};

/// The object as bpf-linker left it; empty where the build lacked its tools.
static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vrrp-ebpf"));

/// Leased addresses per slot that there is room for, and in all at least.
const LEASES_PER_SLOT: u32 = 32;
const LEASES_MIN: u32 = 16_384;

/// Peers per slot that only are heard, on average.
const PERMITS_PER_SLOT: u32 = 32;

/// Interfaces with virtual MAC addresses per slot; mostly one.
const REPORTERS_PER_SLOT: u32 = 4;

/// A way into the program.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Entry {
    Xdp,
    Tcx,
}

impl Entry {
    pub const ALL: [Self; 2] = [Self::Xdp, Self::Tcx];

    const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "vrrp_xdp",
            Self::Tcx => "vrrp_tcx",
        }
    }

    const fn empty(self) -> &'static str {
        match self {
            Self::Xdp => "empty_xdp",
            Self::Tcx => "empty_tcx",
        }
    }
}

/// What BPF_PROG_TEST_RUN said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Run {
    /// The program's return value, in the words of its entry.
    pub verdict: u32,
    /// Mean time of one run.
    pub duration: Duration,
}

/// Why there is no program. Each says what, why and what to do about it.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error(
        "no BPF program in this build: run `cargo xtask setup`, then build again; working on sockets until then"
    )]
    NotBuilt,
    #[error("cannot load the BPF program without {}: grant it (systemd: AmbientCapabilities=) or run as root", list(.missing))]
    Capability { missing: Vec<Capability> },
    #[error(
        "the kernel's verifier refused the BPF program (errno {errno}): {log}; please report it with the kernel's version"
    )]
    Verifier { errno: i32, log: String },
    #[error("cannot {doing} for the BPF program: {} (errno {errno}); {}", Errno::from_raw(*.errno).desc(), advice(*.errno))]
    Kernel { doing: String, errno: i32 },
    #[error(
        "the BPF program of this build cannot be used: {reason}; build it again with the pinned toolchain"
    )]
    Object { reason: String },
}

/// The loaded object with its maps and links; everything is detached, unpinned and unloaded when it is dropped.
pub struct Program {
    pub(super) ebpf: Ebpf,
    verified: HashMap<Entry, Duration>,
    keys: BpfHashMap<MapData, Key, u32>,
    shortcuts: Array<MapData, Place>,
    permits: BpfHashMap<MapData, Sender, Known>,
    leases: BpfHashMap<MapData, Leased, u32>,
    maps: Arc<Maps>,
    /// All maps by name, to be pinned.
    all: Vec<(String, MapData)>,
    pins: Option<Pins>,
    links: HashMap<u32, Link>,
    /// See [`super::report`].
    pub(super) macs: BpfHashMap<MapData, u32, [u8; 6]>,
    pub(super) reporters: HashMap<u32, Reporter>,
}

/// Detaches when dropped, unless it is pinned.
#[derive(Debug)]
enum Link {
    Xdp(XdpLink),
    Tcx(SchedClassifierLink),
    Pinned(PathBuf),
}

impl Program {
    /// Loads the program with maps for `slots` instances.
    ///
    /// # Errors
    /// See [`LoadError`]; the caller may go on with sockets.
    pub fn load(slots: u32) -> Result<Self, LoadError> {
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
        let mut ebpf = EbpfLoader::new()
            // The program relocates nothing against kernel types; parsing them would take longer than all else.
            .btf(None)
            .map_max_entries("KEYS", slots.saturating_mul(2))
            .map_max_entries("SLOTS", slots)
            .map_max_entries("WATCH", slots)
            .map_max_entries("PEERS", slots.saturating_mul(PEERS_PER_SLOT))
            .map_max_entries("BUDGETS", slots)
            .map_max_entries("EVENTS", ring_bytes(slots))
            .map_max_entries("COUNTERS", slots.saturating_add(1))
            .map_max_entries("PERMITS", slots.saturating_mul(PERMITS_PER_SLOT))
            .map_max_entries("LEASES", slots.saturating_mul(LEASES_PER_SLOT).max(LEASES_MIN))
            .map_max_entries("LEASE_UNTIL", slots)
            .map_max_entries("REPORTERS", slots.saturating_mul(REPORTERS_PER_SLOT))
            .load(OBJECT)
            .map_err(|error| LoadError::from_ebpf(&error))?;
        let mut verified = HashMap::new();
        for entry in Entry::ALL {
            let started = clock::now();
            load_program(&mut ebpf, entry, entry.name()).map_err(|error| LoadError::from_program(&error))?;
            verified.insert(entry, clock::now().since(started));
        }
        let all = every_map(&ebpf)?;
        let keys =
            BpfHashMap::try_from(take(&mut ebpf, "KEYS")?).map_err(|error| LoadError::from_map(&error))?;
        let shortcuts =
            Array::try_from(take(&mut ebpf, "SHORTCUTS")?).map_err(|error| LoadError::from_map(&error))?;
        let permits =
            BpfHashMap::try_from(take(&mut ebpf, "PERMITS")?).map_err(|error| LoadError::from_map(&error))?;
        let leases =
            BpfHashMap::try_from(take(&mut ebpf, "LEASES")?).map_err(|error| LoadError::from_map(&error))?;
        let macs = BpfHashMap::try_from(take(&mut ebpf, "REPORTERS")?)
            .map_err(|error| LoadError::from_map(&error))?;
        let maps = Arc::new(share(&mut ebpf, slots)?);
        let (links, reporters, pins) = (HashMap::new(), HashMap::new(), None);
        Ok(Self { ebpf, verified, keys, shortcuts, permits, leases, maps, all, pins, links, macs, reporters })
    }

    /// The arrays, mapped into this process; they outlive the program.
    pub fn maps(&self) -> Arc<Maps> {
        Arc::clone(&self.maps)
    }

    /// The event ring; there is one, for one reader.
    ///
    /// # Errors
    /// It was taken before, or could not be mapped.
    pub fn ring(&mut self) -> Result<Ring, LoadError> {
        let map = take(&mut self.ebpf, "EVENTS")?;
        RingBuf::try_from(map).map(Ring::new).map_err(|error| LoadError::from_map(&error))
    }

    /// Attaches the program to an interface, on the best rung that `mode` allows. An attachment that the interface
    /// had before is given up first.
    ///
    /// # Errors
    /// No rung was left.
    pub fn attach(&mut self, ifindex: u32, interface: &str, mode: Mode) -> Result<Attached, AttachError> {
        self.detach(ifindex);
        let Self { ebpf, pins, .. } = self;
        let mut taken = None;
        let attached = attach::climb(ifindex, interface, mode, |rung| {
            let fresh = link(ebpf, ifindex, interface, rung)?;
            taken = Some(match pins {
                // Refused, it has ended; another serves for as long as the daemon lives.
                Some(pins) => fresh.pin(ifindex, pins).or_else(|_| link(ebpf, ifindex, interface, rung))?,
                None => fresh,
            });
            Ok(())
        })?;
        if let Some(link) = taken {
            self.links.insert(ifindex, link);
        }
        Ok(attached)
    }

    pub fn detach(&mut self, ifindex: u32) {
        if let Some(Link::Pinned(path)) = self.links.remove(&ifindex) {
            // It is gone where its pin is.
            let _ = pin::release(&path);
        }
    }

    /// To see whether it is attached still; `None` where it is not pinned.
    pub fn hook(&self, ifindex: u32) -> Option<Hook> {
        match self.links.get(&ifindex)? {
            Link::Pinned(path) => Hook::open(path).ok(),
            Link::Xdp(_) | Link::Tcx(_) => None,
        }
    }

    /// Pins the maps now, and links as they are made. There must be no pins yet; see [`Pins::clear`].
    ///
    /// # Errors
    /// Some map could not be pinned, and nothing is.
    pub fn pin(&mut self, pins: Pins) -> Result<(), PinError> {
        if let Err(error) = self.all.iter().try_for_each(|(name, map)| pins.pin_map(name, map)) {
            // What was refused is what is to be told.
            let _ = pins.clear();
            return Err(error);
        }
        self.pins = Some(pins);
        Ok(())
    }

    /// Follows the program of another daemon that has left: takes over its XDP links of `wanted` interfaces in one step
    /// each, detaches it from all others, and pins what it had pinned. Returns the interfaces whose hook it has taken over.
    ///
    /// # Errors
    /// Something could not be removed or pinned.
    pub fn follow(&mut self, pins: Pins, wanted: impl Fn(u32) -> bool) -> Result<Vec<u32>, PinError> {
        let mut taken = Vec::new();
        for (ifindex, path) in pins.links()?.into_iter().filter(|(ifindex, _)| wanted(*ifindex)) {
            // One at tcx stands beside ours, and goes with the rest.
            let Ok(Ok(link)) = PinnedLink::from_pin(&path).map(|it| XdpLink::try_from(FdLink::from(it)))
            else {
                continue;
            };
            let replaced = xdp(&mut self.ebpf, Entry::Xdp.name())
                .and_then(|program| program.attach_to_link(link).and_then(|id| program.take_link(id)));
            if let Ok(link) = replaced
                && fs::remove_file(&path).is_ok()
            {
                self.detach(ifindex);
                self.links.insert(ifindex, Link::Xdp(link));
                taken.push(ifindex);
            }
        }
        pins.clear()?;
        self.pin(pins)?;
        let Self { pins: Some(pins), links, .. } = self else { return Ok(taken) };
        for (ifindex, link) in std::mem::take(links) {
            match link.pin(ifindex, pins) {
                Ok(pinned) => drop(links.insert(ifindex, pinned)),
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Whether it stays on the interface when the daemon is killed.
    pub fn is_pinned(&self, ifindex: u32) -> bool {
        matches!(self.links.get(&ifindex), Some(Link::Pinned(_)))
    }

    /// Everything that is pinned, and the folders after it.
    pub fn pinned(&self) -> Vec<PathBuf> {
        let Some(pins) = &self.pins else { return Vec::new() };
        let links = self.links.values().filter_map(|link| match link {
            Link::Pinned(path) => Some(path.clone()),
            Link::Xdp(_) | Link::Tcx(_) => None,
        });
        let maps = self.all.iter().map(|(name, _)| pins.folder().join(name));
        let mut all: Vec<PathBuf> = links.collect();
        all.sort_unstable();
        all.into_iter().chain(maps).chain(pins.folder().ancestors().take(2).map(PathBuf::from)).collect()
    }

    /// Where it is pinned.
    pub fn pins(&self) -> Option<&Pins> {
        self.pins.as_ref()
    }

    /// Lets adverts of `key` be judged by the form in `slot`, which must be written already.
    ///
    /// # Errors
    /// The kernel's; ENOSPC or E2BIG where more instances are inserted than were announced to [`Self::load`].
    pub fn insert(&mut self, key: InstanceKey, slot: u32) -> io::Result<()> {
        self.keys.insert(Key(key), slot, 0).map_err(io::Error::other)?;
        let place = key.shortcut();
        let found = self.shortcuts.get(&place, 0).map_err(io::Error::other)?.0;
        if found == Shortcut::VACANT || found.key == key.bits() {
            // The program must not meet the new key with the old slot.
            self.set_shortcut(place, Shortcut { slot, ..Shortcut::VACANT })?;
            self.set_shortcut(place, Shortcut { key: key.bits(), slot, reserved: 0 })?;
        }
        Ok(())
    }

    /// Knows these senders, and `gone` no more.
    ///
    /// # Errors
    /// The kernel's; E2BIG where there are more than there is room for.
    pub fn set_permits(&mut self, known: &[(PermitKey, Permit)], gone: &[PermitKey]) -> io::Result<()> {
        for key in gone {
            // Not there where there was no room for it.
            let _ = self.permits.remove(&Sender(*key));
        }
        for (key, permit) in known {
            self.permits.insert(Sender(*key), Known(*permit), 0).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Whoever asks for this address is heard only while the lease of the slot runs.
    ///
    /// # Errors
    /// The kernel's; E2BIG where there are more than there is room for.
    pub fn fence(&mut self, key: LeaseKey, slot: u32) -> io::Result<()> {
        self.leases.insert(Leased(key), slot, 0).map_err(io::Error::other)
    }

    /// Whoever asks for this address is heard.
    pub fn unfence(&mut self, key: LeaseKey) {
        // Not there where there was no room for it.
        let _ = self.leases.remove(&Leased(key));
    }

    /// Adverts of `key` are those of an unknown VRID again.
    ///
    /// # Errors
    /// The kernel's; ENOENT where it was not inserted.
    pub fn remove(&mut self, key: InstanceKey) -> io::Result<()> {
        let place = key.shortcut();
        if self.shortcuts.get(&place, 0).map_err(io::Error::other)?.0.key == key.bits() {
            self.set_shortcut(place, Shortcut::VACANT)?;
        }
        self.keys.remove(&Key(key)).map_err(io::Error::other)
    }

    fn set_shortcut(&mut self, place: u32, shortcut: Shortcut) -> io::Result<()> {
        self.shortcuts.set(place, Place(shortcut), 0).map_err(io::Error::other)
    }

    /// Runs an entry `repeat` times on a frame, as seen by the loopback device of this network namespace
    /// (BPF_PROG_TEST_RUN). The maps change as they would by real frames.
    ///
    /// # Errors
    /// The kernel's; EINVAL for a frame shorter than an Ethernet header.
    pub fn run(&self, entry: Entry, frame: &[u8], repeat: u32) -> Result<Run, ProgramError> {
        run(&self.ebpf, entry, entry.name(), frame, repeat)
    }

    /// Runs the empty program of an entry in the same way, to tell what a run costs in itself.
    ///
    /// # Errors
    /// As [`Self::run`], and those of loading it.
    pub fn run_empty(&mut self, entry: Entry, frame: &[u8], repeat: u32) -> Result<Run, ProgramError> {
        load_program(&mut self.ebpf, entry, entry.empty())?;
        run(&self.ebpf, entry, entry.empty(), frame, repeat)
    }

    /// How long the kernel took to verify and compile an entry.
    pub fn verification(&self, entry: Entry) -> Option<Duration> {
        self.verified.get(&entry).copied()
    }

    /// Instructions that the verifier went through for an entry (Linux 5.16).
    pub fn verified_instructions(&self, entry: Entry) -> Option<u32> {
        let program = self.ebpf.program(entry.name())?;
        program.info().ok()?.verified_instruction_count()
    }

    /// Passes what the program logs on to the `log` crate's logger, in a build with `bpf-log`, for as long as the future
    /// is polled.
    ///
    /// # Errors
    /// The program was built without the feature, or its ring cannot be waited for.
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
        if let Some(pins) = self.pins.take()
            && ownership::is_ours()
        {
            // Whoever starts next clears what is left.
            let _ = pins.clear();
        }
    }
}

impl Link {
    fn pin(self, ifindex: u32, pins: &Pins) -> Result<Self, PinError> {
        let link: Result<FdLink, _> = match self {
            Self::Xdp(link) => link.try_into(),
            Self::Tcx(link) => link.try_into(),
            Self::Pinned(_) => return Ok(self),
        };
        pins.pin_link(ifindex, link).map(Self::Pinned)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("slots", &self.maps.slots())
            .field("interfaces", &self.links.len())
            .finish_non_exhaustive()
    }
}

/// Room for two events per slot, within 256 KiB and 8 MiB; the kernel wants a power of two.
fn ring_bytes(slots: u32) -> u32 {
    const EVENT: u32 = 1528;
    const _: () = assert!(EVENT as usize == size_of::<Event>() + 8);
    slots.saturating_mul(2 * EVENT).next_power_of_two().clamp(256 << 10, 8 << 20)
}

fn load_program(ebpf: &mut Ebpf, entry: Entry, name: &str) -> Result<(), ProgramError> {
    let loaded = match entry {
        Entry::Xdp => xdp(ebpf, name)?.load(),
        Entry::Tcx => tcx(ebpf, name)?.load(),
    };
    match loaded {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        other => other,
    }
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

pub(super) fn tcx<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn run(ebpf: &Ebpf, entry: Entry, name: &str, frame: &[u8], repeat: u32) -> Result<Run, ProgramError> {
    let program = ebpf.program(name).ok_or(ProgramError::NotLoaded)?;
    let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() };
    let result = match entry {
        Entry::Xdp => <&Xdp>::try_from(program)?.test_run(options)?,
        Entry::Tcx => <&SchedClassifier>::try_from(program)?.test_run(options)?,
    };
    Ok(Run { verdict: result.return_value, duration: result.duration })
}

fn link(ebpf: &mut Ebpf, ifindex: u32, interface: &str, rung: Rung) -> Result<Link, ProgramError> {
    if rung == Rung::Tcx {
        let program = tcx(ebpf, Entry::Tcx.name())?;
        // First, so that a program which ends the chain does not hide the adverts.
        let order = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = program.attach_with_options(interface, TcAttachType::Ingress, order)?;
        return program.take_link(id).map(Link::Tcx);
    }
    let program = xdp(ebpf, Entry::Xdp.name())?;
    let id = program.attach_to_if_index(ifindex, attach::xdp_mode(rung))?;
    program.take_link(id).map(Link::Xdp)
}

/// A second descriptor of each map; bpffs takes no name with a dot, which are those of the compiler.
fn every_map(ebpf: &Ebpf) -> Result<Vec<(String, MapData)>, LoadError> {
    let mut all = Vec::new();
    for (name, map) in ebpf.maps().filter(|(name, _)| !name.contains('.')) {
        if let Map::Array(data) | Map::HashMap(data) | Map::PerCpuArray(data) | Map::RingBuf(data) = map {
            let second = data.fd().as_fd().try_clone_to_owned().map_err(MapError::from);
            let data = second.and_then(MapData::from_fd).map_err(|error| LoadError::from_map(&error))?;
            all.push((name.to_owned(), data));
        }
    }
    Ok(all)
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map, LoadError> {
    ebpf.take_map(name)
        .ok_or_else(|| LoadError::Object { reason: format!("there is no map {name}, or it is taken") })
}

/// Maps the arrays into this process.
fn share(ebpf: &mut Ebpf, slots: u32) -> Result<Maps, LoadError> {
    let counters =
        PerCpuArray::try_from(take(ebpf, "COUNTERS")?).map_err(|error| LoadError::from_map(&error))?;
    let strangers =
        BpfHashMap::try_from(take(ebpf, "STRANGERS")?).map_err(|error| LoadError::from_map(&error))?;
    let arrays = ["SLOTS", "WATCH", "PEERS", "LEASE_UNTIL"].map(|name| array(ebpf, name));
    let [slot, watch, peers, leases] = arrays;
    let (slot, watch, peers, leases) = (slot?, watch?, peers?, leases?);
    Maps::of_program(
        slots,
        slot.fd().as_fd(),
        watch.fd().as_fd(),
        peers.fd().as_fd(),
        leases.fd().as_fd(),
        Box::new(Unmapped { counters, strangers }),
    )
    .map_err(|error| LoadError::Kernel {
        doing: "map the arrays".to_owned(),
        errno: error.raw_os_error().unwrap_or(0),
    })
}

fn array(ebpf: &mut Ebpf, name: &str) -> Result<MapData, LoadError> {
    match take(ebpf, name)? {
        Map::Array(data) => Ok(data),
        _ => Err(LoadError::Object { reason: format!("{name} is no array") }),
    }
}

impl LoadError {
    fn from_ebpf(error: &EbpfError) -> Self {
        match error {
            EbpfError::MapError(error) => Self::from_map(error),
            EbpfError::ProgramError(error) => Self::from_program(error),
            other => Self::Object { reason: chain(other) },
        }
    }

    fn from_map(error: &MapError) -> Self {
        let (doing, error) = match error {
            MapError::CreateError { name, io_error } => (format!("create the map {name}"), io_error),
            MapError::SyscallError(error) => (error.call.to_owned(), &error.io_error),
            MapError::IoError(error) => ("use a map".to_owned(), error),
            other => return Self::Object { reason: chain(other) },
        };
        Self::Kernel { doing, errno: error.raw_os_error().unwrap_or(0) }
    }

    fn from_program(error: &ProgramError) -> Self {
        match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                let errno = io_error.raw_os_error().unwrap_or(0);
                let log = tail(&verifier_log.to_string());
                if log.is_empty() {
                    Self::Kernel { doing: "load the program".to_owned(), errno }
                } else {
                    Self::Verifier { errno, log }
                }
            }
            ProgramError::SyscallError(error) => Self::Kernel {
                doing: error.call.to_owned(),
                errno: error.io_error.raw_os_error().unwrap_or(0),
            },
            other => Self::Object { reason: chain(other) },
        }
    }
}

/// The verifier's last words, which name the instruction and the reason; statistics follow them.
fn tail(log: &str) -> String {
    let mut lines: Vec<_> = log
        .lines()
        .map(str::trim)
        .filter(|line| {
            !line.is_empty() && !line.starts_with("processed ") && !line.starts_with("verification time")
        })
        .rev()
        .take(4)
        .collect();
    lines.reverse();
    lines.join(" | ")
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn list(capabilities: &[Capability]) -> String {
    capabilities.iter().map(|capability| capability.as_str()).collect::<Vec<_>>().join(", ")
}

fn advice(errno: i32) -> &'static str {
    match Errno::from_raw(errno) {
        Errno::EPERM | Errno::EACCES => {
            "BPF may be locked down, or this is a user namespace: use sockets there"
        }
        Errno::ENOMEM | Errno::E2BIG => "fewer instances need less memory",
        Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP => "it needs Linux 5.18 or later: use sockets here",
        _ => "use sockets until it is solved",
    }
}
