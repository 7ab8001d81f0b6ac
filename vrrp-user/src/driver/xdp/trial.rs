//! Test runs of the program on single frames, and its verification cost: for tests and benches.
//!
//! Enters: a frame. Leaves: the verdict and the time of a run. Absent: an interface.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use aya::programs::{ProgramError, SchedClassifier, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, VerifierLogLevel};
use libc::rlim_t;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::entry::{self, Entry};
use super::load_error::LoadError;
use super::loader::Loader;
use super::program::{OBJECT, Program};

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
    /// Processor time.
    pub duration: Duration,
    /// Instructions walked by the verifier, as the kernel reports them of a loaded program (Linux 5.16).
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

    /// Instructions walked by the verifier for an entry, as the kernel's log counts them (Linux 5.2). aya asks for the
    /// log of a refused program only. So this verifies the entry once more with no descriptor left for it: the kernel
    /// then refuses the program after it has verified it. No other thread may open files meanwhile.
    ///
    /// # Errors
    /// The kernel's, for the maps of the second program or the limit of descriptors; or the log has no count.
    pub fn instructions_by_log(&self, entry: Entry) -> io::Result<u32> {
        let loaded = self.entries.get(entry).map_err(|error| io::Error::other(error.to_string()))?;
        let mut loader = Loader::new().into_inner();
        let mut ebpf = loader
            .verifier_log_level(VerifierLogLevel::STATS)
            .load(OBJECT)
            .map_err(|error| io::Error::other(LoadError::from_ebpf(&error)))?;
        let program = ebpf
            .program_mut(loaded.name)
            .ok_or_else(|| io::Error::other("the object has no such program"))?;
        let refused = without_descriptors(|| entry::load(program))?;
        let counted = match &refused {
            Err(ProgramError::LoadError { verifier_log, .. }) => processed(&verifier_log.to_string()),
            _ => None,
        };
        counted.ok_or_else(|| io::Error::other(format!("the verifier's log has no count: {refused:?}")))
    }
}

/// Calls `work` while this process can open no descriptor.
fn without_descriptors<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // A new descriptor is the lowest one that is free.
    let free = rlim_t::try_from(File::open("/dev/null")?.as_raw_fd()).map_err(io::Error::other)?;
    setrlimit(Resource::RLIMIT_NOFILE, free, hard)?;
    let result = work();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
    Ok(result)
}

/// The count in a log's line `processed 51034 insns (limit 1000000) …`.
fn processed(log: &str) -> Option<u32> {
    log.lines().find_map(|line| line.strip_prefix("processed ")?.split(' ').next()?.parse().ok())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_in_the_statistics_of_the_log() {
        let log = "verification time 40123 usec\nstack depth 136+0+24\nprocessed 51034 insns (limit 1000000) \
                   max_states_per_insn 30 total_states 2613 peak_states 840 mark_read 92\n";
        assert_eq!(processed(log), Some(51_034));
        assert_eq!(processed("R4 min value is negative\n"), None);
    }
}
