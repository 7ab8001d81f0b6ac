//! Leases of a paused engine, in memory that the next daemon shares.
//!
//! The paused engine sends for as long as the next daemon takes, and either may be suspended meanwhile. So the state is
//! too old to say until when a master is entitled: the engine that resumes reads it here, at that moment.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use nix::sys::memfd::{MFdFlags, memfd_create};
use vrrp_ebpf::time::Timestamp;

use crate::protocol::InstanceId;

/// Octets of a time.
const TIME: usize = size_of::<u64>();

/// One time per instance of the offer, in its order: ns of the host's CLOCK_MONOTONIC, 0 for none.
#[derive(Debug)]
pub struct Leases {
    file: File,
    instances: Vec<InstanceId>,
    /// What is written, so that the engine allocates nothing.
    times: Vec<u8>,
}

impl Leases {
    /// # Errors
    /// No memory, or no descriptor.
    pub fn new(instances: Vec<InstanceId>) -> io::Result<Self> {
        Ok(Self::of(memfd_create("vrrpx-leases", MFdFlags::MFD_CLOEXEC)?, instances))
    }

    /// From the descriptor of the other process.
    pub fn of(descriptor: OwnedFd, instances: Vec<InstanceId>) -> Self {
        let times = vec![0; instances.len().saturating_mul(TIME)];
        Self { file: descriptor.into(), instances, times }
    }

    /// # Errors
    /// No descriptor.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// Writes all, by a single call that waits for no disk. If it fails, the leases before count, which end earlier.
    pub fn write(&mut self, until: impl Fn(InstanceId) -> Option<Timestamp>) {
        for (place, id) in self.times.chunks_exact_mut(TIME).zip(&self.instances) {
            place.copy_from_slice(&until(*id).unwrap_or_default().as_nanos().to_ne_bytes());
        }
        let _ = self.file.write_all_at(&self.times, 0);
    }

    /// Reads the end of each lease, until two readings agree: a time may be just being written.
    ///
    /// # Errors
    /// The memory is shorter than that of the offer.
    pub fn read(&mut self) -> io::Result<impl Iterator<Item = (InstanceId, Timestamp)>> {
        loop {
            let before = self.times.clone();
            self.file.read_exact_at(&mut self.times, 0)?;
            if self.times == before {
                break;
            }
        }
        let times = self.times.chunks_exact(TIME).map(|time| time.try_into().map_or(0, u64::from_ne_bytes));
        Ok(self.instances.iter().copied().zip(times.map(Timestamp::from_nanos)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_process_reads_the_latest_ones_under_its_own_numbers() {
        let mut old = Leases::new([4, 2].map(InstanceId).into()).unwrap();
        let mut new = Leases::of(old.descriptor().unwrap(), [0, 7].map(InstanceId).into());
        assert!(new.read().is_err(), "nothing is written yet");
        let at = Timestamp::from_nanos;
        for time in [9, 8] {
            old.write(|id| (id == InstanceId(2)).then_some(at(time)));
            assert!(new.read().unwrap().eq([(InstanceId(0), at(0)), (InstanceId(7), at(time))]));
        }
    }
}
