//! The program's maps of addresses: what this host is addressed by, and what is answered for only while a lease runs.

use std::io;

use vrrp_ebpf::map::{LeaseKey, LocalKey};

use super::pod::{Leased, Local};
use super::program::Program;

/// MAC and IP addresses of the host that there is room for.
pub(super) const LOCALS_MAX: u32 = 16_384;

impl Program {
    /// This host is addressed by these from now on, and by `gone` no more.
    ///
    /// # Errors
    /// The kernel's; E2BIG where there are more than there is room for.
    pub fn set_locals(&mut self, new: &[LocalKey], gone: &[LocalKey]) -> io::Result<()> {
        for key in gone {
            // Not there where there was no room for it.
            let _ = self.locals.remove(&Local(*key));
        }
        let added = new.iter().map(|key| self.locals.insert(Local(*key), 0, 0).map_err(io::Error::other));
        added.fold(Ok(()), Result::and)
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
}
