//! The program's maps of addresses: those of this host, and those fenced by a lease.

use std::io;

use vrrp_ebpf::map::{LeaseKey, LocalKey};

use super::pod::Layout;
use super::program::Program;
use crate::protocol::InstanceId;

/// Room for MAC and IP addresses of the host.
pub(super) const LOCALS_MAX: u32 = 16_384;

impl Program {
    /// Adds the `new` addresses of this host and removes those that are `gone`.
    ///
    /// # Errors
    /// The kernel's; E2BIG if there are too many.
    pub fn set_locals(&mut self, new: &[LocalKey], gone: &[LocalKey]) -> io::Result<()> {
        for key in gone {
            // Missing if there was no room for it.
            let _ = self.locals.remove(&Layout(*key));
        }
        let added = new.iter().map(|key| self.locals.insert(Layout(*key), 0, 0).map_err(io::Error::other));
        added.fold(Ok(()), Result::and)
    }

    /// Passes ARP requests and neighbour solicitations for this address only while the lease of the slot runs.
    ///
    /// # Errors
    /// The kernel's; E2BIG if there are too many.
    pub fn fence(&mut self, key: LeaseKey, slot: InstanceId) -> io::Result<()> {
        self.leases.insert(Layout(key), slot.0, 0).map_err(io::Error::other)
    }

    /// Passes ARP requests and neighbour solicitations for this address again.
    pub fn unfence(&mut self, key: LeaseKey) {
        // Missing if there was no room for it.
        let _ = self.leases.remove(&Layout(key));
    }
}
