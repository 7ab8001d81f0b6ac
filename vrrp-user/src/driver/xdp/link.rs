//! One attachment of the program to an interface.
//!
//! Enters: an interface and a rung. Leaves: a [`Link`], which holds until it is dropped, or as long as its pin stands.

use std::path::PathBuf;

use aya::Ebpf;
use aya::programs::links::FdLink;
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions, TcAttachType};
use aya::programs::xdp::XdpLink;
use aya::programs::{LinkOrder, ProgramError};

use super::attach::xdp_mode;
use super::entry::{Entry, tcx, xdp};
use super::pin::{PinError, Pins};
use crate::driver::Rung;

/// Detaches when dropped, unless it is pinned.
#[derive(Debug)]
pub(super) enum Link {
    Xdp(XdpLink),
    Tcx(SchedClassifierLink),
    Pinned(PathBuf),
}

impl Link {
    /// Attaches the program on this rung, and no other.
    pub(super) fn attach(
        ebpf: &mut Ebpf,
        ifindex: u32,
        interface: &str,
        rung: Rung,
    ) -> Result<Self, ProgramError> {
        if rung == Rung::Tcx {
            let program = tcx(ebpf, Entry::Tcx.name())?;
            // First, so that a program which ends the chain does not hide the adverts.
            let order = TcAttachOptions::TcxOrder(LinkOrder::first());
            let id = program.attach_with_options(interface, TcAttachType::Ingress, order)?;
            return program.take_link(id).map(Self::Tcx);
        }
        let program = xdp(ebpf, Entry::Xdp.name())?;
        let id = program.attach_to_if_index(ifindex, xdp_mode(rung))?;
        program.take_link(id).map(Self::Xdp)
    }

    pub(super) fn pin(self, ifindex: u32, pins: &Pins) -> Result<Self, PinError> {
        let link: Result<FdLink, _> = match self {
            Self::Xdp(link) => link.try_into(),
            Self::Tcx(link) => link.try_into(),
            Self::Pinned(_) => return Ok(self),
        };
        pins.pin_link(ifindex, link).map(Self::Pinned)
    }
}
