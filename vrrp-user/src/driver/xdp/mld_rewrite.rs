//! The program on interfaces with virtual MAC addresses, which sends group membership reports from the parent's MAC.

use std::io;

use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcAttachType, TcError};
use aya::programs::{LinkOrder, ProgramError};

use super::entry::classifier;
use super::program::Program;

const NAME: &str = "vrrp_mld_rewrite";

/// Detaches on drop.
#[derive(Debug)]
pub(super) struct MldRewrite {
    mac: [u8; 6],
    link: SchedClassifierLink,
}

impl Program {
    /// Sets the source MAC address of reports that leave `interface` to `mac`.
    ///
    /// # Errors
    /// The kernel's; ENOENT if it has neither tcx nor tc filters.
    pub fn rewrite_mld_as(&mut self, ifindex: u32, interface: &str, mac: [u8; 6]) -> io::Result<()> {
        if self.mld_rewrites.get(&ifindex).is_some_and(|mld_rewrite| mld_rewrite.mac == mac) {
            return Ok(());
        }
        self.macs.insert(ifindex, mac, 0).map_err(io::Error::other)?;
        let link = match self.mld_rewrites.remove(&ifindex) {
            Some(mld_rewrite) => mld_rewrite.link,
            None => self.attach_mld_rewrite(interface).map_err(io::Error::other)?,
        };
        self.mld_rewrites.insert(ifindex, MldRewrite { mac, link });
        Ok(())
    }

    /// Detaches from every interface that `is_kept` rejects.
    pub fn retain_mld_rewrites(&mut self, is_kept: impl Fn(u32) -> bool) {
        let Self { mld_rewrites, macs, .. } = self;
        mld_rewrites.retain(|ifindex, _| {
            let kept = is_kept(*ifindex);
            if !kept {
                // The program no longer reads the entry.
                let _ = macs.remove(ifindex);
            }
            kept
        });
    }

    fn attach_mld_rewrite(&mut self, interface: &str) -> Result<SchedClassifierLink, ProgramError> {
        let program = classifier(&mut self.ebpf, NAME)?;
        match program.load() {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
            Err(error) => return Err(error),
        }
        let order = TcAttachOptions::TcxOrder(LinkOrder::last());
        let id = match program.attach_with_options(interface, TcAttachType::Egress, order) {
            // Before Linux 6.6. The clsact is removed with the interface, which is ours.
            Err(ProgramError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EINVAL) => {
                match tc::qdisc_add_clsact(interface) {
                    Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
                    other => other?,
                }
                let options = TcAttachOptions::Netlink(NlOptions::default());
                program.attach_with_options(interface, TcAttachType::Egress, options)?
            }
            other => other?,
        };
        program.take_link(id)
    }
}
