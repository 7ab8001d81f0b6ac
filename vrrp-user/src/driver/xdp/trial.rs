//! Runs of the program on single frames, and what verifying it has cost: for tests and benches.
//!
//! Enters: a frame. Leaves: the verdict and the time of a run. Absent: an interface.

use std::time::Duration;

use aya::Ebpf;
use aya::programs::{ProgramError, SchedClassifier, TestRun, TestRunOptions, Xdp};

use super::entry::{self, Entry};
use super::program::Program;

/// What BPF_PROG_TEST_RUN said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Run {
    /// The program's return value, in the words of its entry.
    pub verdict: u32,
    /// Mean time of one run.
    pub duration: Duration,
}

impl Program {
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
        entry::load(&mut self.ebpf, entry, entry.empty())?;
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
