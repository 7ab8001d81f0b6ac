//! The ways into the object: which program of it serves which hook.

use aya::Ebpf;
use aya::programs::{ProgramError, SchedClassifier, Xdp};

/// A way into the program.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Entry {
    Xdp,
    Tcx,
}

impl Entry {
    pub const ALL: [Self; 2] = [Self::Xdp, Self::Tcx];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "vrrp_xdp",
            Self::Tcx => "vrrp_tcx",
        }
    }

    pub(super) const fn empty(self) -> &'static str {
        match self {
            Self::Xdp => "empty_xdp",
            Self::Tcx => "empty_tcx",
        }
    }
}

pub(super) fn load(ebpf: &mut Ebpf, entry: Entry, name: &str) -> Result<(), ProgramError> {
    let loaded = match entry {
        Entry::Xdp => xdp(ebpf, name)?.load(),
        Entry::Tcx => tcx(ebpf, name)?.load(),
    };
    match loaded {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        other => other,
    }
}

pub(super) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

pub(super) fn tcx<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}
