//! Test runs of the program on single frames, and its verification cost: for tests and benches.
//!
//! Enters: a frame. Leaves: the verdict and the time of a run. Absent: an interface.

use std::time::Duration;

use aya::Ebpf;
use aya::programs::{ProgramError, SchedClassifier, TestRun, TestRunOptions, Xdp};

use super::entry::{self, Entry};
use super::load_error::LoadError;
use super::program::Program;

/// Result of BPF_PROG_TEST_RUN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Run {
    /// The program's return value, as defined for its hook.
    pub verdict: u32,
    /// Mean time of one run.
    pub duration: Duration,
}

/// Verification of an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verification {
    /// Name of its program in the object.
    pub program: &'static str,
    pub duration: Duration,
    /// Instructions processed by the verifier (Linux 5.16).
    pub instructions: Option<u32>,
}

impl Program {
    /// Runs an entry `repeat` times on a frame, as received on the loopback device of this network namespace
    /// (BPF_PROG_TEST_RUN). The maps change as with real frames.
    ///
    /// # Errors
    /// The kernel's; EINVAL for a frame shorter than an Ethernet header.
    pub fn run(&self, entry: Entry, frame: &[u8], repeat: u32) -> Result<Run, ProgramError> {
        let loaded = self.entries.get(entry).map_err(|_| ProgramError::NotLoaded)?;
        run(&self.ebpf, entry, loaded.name, frame, repeat)
    }

    /// Runs the empty program of an entry in the same way, to measure the cost of a run itself.
    ///
    /// # Errors
    /// As [`Self::run`], and those of loading it.
    pub fn run_empty(&mut self, entry: Entry, frame: &[u8], repeat: u32) -> Result<Run, ProgramError> {
        entry::load(self.ebpf.program_mut(entry.empty()).ok_or(ProgramError::NotLoaded)?)?;
        run(&self.ebpf, entry, entry.empty(), frame, repeat)
    }

    /// The cost of loading an entry.
    ///
    /// # Errors
    /// Why the kernel refused it.
    pub fn verification(&self, entry: Entry) -> Result<Verification, &LoadError> {
        let loaded = self.entries.get(entry)?;
        let info = self.ebpf.program(loaded.name).and_then(|program| program.info().ok());
        let instructions = info.and_then(|info| info.verified_instruction_count());
        Ok(Verification { program: loaded.name, duration: loaded.verification, instructions })
    }
}

fn run(ebpf: &Ebpf, entry: Entry, name: &str, frame: &[u8], repeat: u32) -> Result<Run, ProgramError> {
    let program = ebpf.program(name).ok_or(ProgramError::NotLoaded)?;
    let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() };
    let result = match entry {
        Entry::Xdp => <&Xdp>::try_from(program)?.test_run(options)?,
        Entry::Tc => <&SchedClassifier>::try_from(program)?.test_run(options)?,
    };
    Ok(Run { verdict: result.return_value, duration: result.duration })
}
