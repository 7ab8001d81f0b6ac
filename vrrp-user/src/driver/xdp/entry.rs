//! Entries of the object: the program for each hook.
//!
//! Enters: the object. Leaves: each entry [`Loaded`] separately, or why the kernel refused it: a refusal does not
//! affect the other entries.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use aya::Ebpf;
use aya::programs::{Program, ProgramError, SchedClassifier, Xdp};

use super::load_error::LoadError;
use super::place::Places;
use crate::driver::clock;

vrrp_ebpf::words! {
    /// An entry of the program.
    #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
    pub enum Entry {
        /// XDP, native and generic.
        Xdp => "xdp",
        /// tcx, and tc by clsact.
        Tc => "tc",
    }
}

/// An entry accepted by the verifier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loaded {
    /// Name of its program in the object.
    pub(super) name: &'static str,
    /// Processor time that the kernel took to verify and compile it.
    pub(super) verification: Duration,
}

/// Every entry that was asked for, or why it is not available.
#[derive(Debug, Default)]
pub(super) struct Entries(HashMap<Entry, Result<Loaded, LoadError>>);

impl Entry {
    /// Its programs, best first. Kernels before 5.18 do not know multi-buffer frames and refuse their flag.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Xdp => &["vrrp_xdp", "vrrp_xdp_linear"],
            Self::Tc => &["vrrp_tc"],
        }
    }

    pub(super) const fn empty(self) -> &'static str {
        match self {
            Self::Xdp => "empty_xdp",
            Self::Tc => "empty_tc",
        }
    }
}

impl Entries {
    /// Loads these entries, all at once: the kernel verifies each for some 20 ms. Meanwhile `places` are taken. If the
    /// kernel refuses all entries, loads the others.
    ///
    /// # Errors
    /// The kernel refuses every entry: the reason for the last one.
    pub(super) fn load(ebpf: &mut Ebpf, wanted: &[Entry], places: &mut Places) -> Result<Self, LoadError> {
        let mut entries = Self(at_once(ebpf, wanted, places));
        // Those for which there was no thread.
        for entry in wanted {
            let _ = entries.ensure(ebpf, *entry);
        }
        if !entries.0.values().any(Result::is_ok) {
            for entry in Entry::ALL {
                let _ = entries.ensure(ebpf, entry);
            }
        }
        if entries.0.values().any(Result::is_ok) {
            return Ok(entries);
        }
        let refused = Entry::ALL.into_iter().rev().find_map(|entry| entries.0.remove(&entry)?.err());
        Err(refused.unwrap_or(LoadError::NotBuilt))
    }

    /// The entry, which is loaded now if it was not before.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub(super) fn ensure(&mut self, ebpf: &mut Ebpf, entry: Entry) -> Result<Loaded, &LoadError> {
        let loaded = self.0.entry(entry).or_insert_with(|| first(programs(ebpf, entry)));
        loaded.as_ref().copied()
    }

    /// The entry, if it was loaded.
    ///
    /// # Errors
    /// It was not, or the kernel has refused it.
    pub(super) fn get(&self, entry: Entry) -> Result<Loaded, &LoadError> {
        match self.0.get(&entry) {
            Some(Ok(loaded)) => Ok(*loaded),
            Some(Err(error)) => Err(error),
            None => Err(&LoadError::NotBuilt),
        }
    }
}

/// Loads each entry on a thread of its own; one without a thread is left out.
fn at_once(
    ebpf: &mut Ebpf,
    wanted: &[Entry],
    places: &mut Places,
) -> HashMap<Entry, Result<Loaded, LoadError>> {
    let mut all: HashMap<&str, &mut Program> = ebpf.programs_mut().collect();
    thread::scope(|scope| {
        let start = |entry: &Entry| {
            let own: Vec<_> =
                entry.names().iter().filter_map(|name| Some((*name, all.remove(name)?))).collect();
            (*entry, thread::Builder::new().spawn_scoped(scope, move || first(own)))
        };
        let threads: Vec<_> = wanted.iter().map(start).collect();
        places.take(all.remove(Entry::Tc.empty()));
        let ended = threads.into_iter().map(|(entry, thread)| Some((entry, thread.ok()?.join().ok()?)));
        ended.flatten().collect()
    })
}

/// The programs of an entry, best first.
fn programs(ebpf: &mut Ebpf, entry: Entry) -> Vec<(&'static str, &mut Program)> {
    let own = ebpf
        .programs_mut()
        .filter_map(|(name, program)| Some((*entry.names().iter().find(|it| **it == name)?, program)));
    let mut own: Vec<_> = own.collect();
    own.sort_by_key(|(name, _)| entry.names().iter().position(|it| it == name));
    own
}

/// Loads the best program of an entry whose flags the kernel knows.
fn first(programs: Vec<(&'static str, &mut Program)>) -> Result<Loaded, LoadError> {
    let mut refused = LoadError::NotBuilt;
    for (name, program) in programs {
        let started = clock::thread_time();
        match load(program) {
            Ok(()) => return Ok(Loaded { name, verification: clock::thread_time().saturating_sub(started) }),
            Err(error) => refused = LoadError::from_program(&error),
        }
        if !refused.is_unknown_flag() {
            break;
        }
    }
    Err(refused)
}

pub(super) fn load(program: &mut Program) -> Result<(), ProgramError> {
    let loaded = match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    match loaded {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        other => other,
    }
}

pub(super) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

pub(super) fn classifier<'a>(
    ebpf: &'a mut Ebpf,
    name: &str,
) -> Result<&'a mut SchedClassifier, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}
