//! One attachment of the program to an interface.
//!
//! Enters: an interface and a path. Leaves: a [`Link`], which lasts until it is dropped; a pinned one lasts as long as
//! its pin, a filter until it is removed.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use aya::Ebpf;
use aya::programs::links::FdLink;
use aya::programs::tc::SchedClassifierLink;
use aya::programs::xdp::XdpLink;

use super::attach::{Obstacle, xdp_mode};
use super::entry::{classifier, xdp};
use super::pin::{PinError, Pins};
use super::place;
use crate::driver::RxPath;
use crate::driver::netlink::filter::{self, Filter, Name};
use crate::driver::netlink::socket::RouteSocket;

/// Detaches on drop, except a pinned link or a filter.
#[derive(Debug)]
pub(super) enum Link {
    Xdp(XdpLink),
    Tcx(SchedClassifierLink),
    Filter(Filter),
    Pinned(PathBuf),
}

impl Link {
    /// Attaches a program of the object on exactly this path, in a place that was taken for it if there is one.
    pub(super) fn attach(
        ebpf: &mut Ebpf,
        program: &str,
        ifindex: u32,
        interface: &str,
        rx_path: RxPath,
        owner: &Name,
        place: &mut Option<SchedClassifierLink>,
    ) -> Result<Self, Obstacle> {
        match rx_path {
            RxPath::Tcx => {
                let program = classifier(ebpf, program)?;
                if let Some(place) = place.take()
                    && let Ok(id) = program.attach_to_link(place)
                {
                    return Ok(Self::Tcx(program.take_link(id)?));
                }
                Ok(Self::Tcx(place::first(program, interface)?))
            }
            RxPath::Tc => Ok(Self::Filter(add_filter(ebpf, program, ifindex, owner)?)),
            _ => {
                let program = xdp(ebpf, program)?;
                let id = program.attach_to_if_index(ifindex, xdp_mode(rx_path))?;
                Ok(Self::Xdp(program.take_link(id)?))
            }
        }
    }

    pub(super) fn pin(self, ifindex: u32, pins: &Pins) -> Result<Self, PinError> {
        let link: Result<FdLink, _> = match self {
            Self::Xdp(link) => link.try_into(),
            Self::Tcx(link) => link.try_into(),
            Self::Filter(_) | Self::Pinned(_) => return Ok(self),
        };
        pins.pin_link(ifindex, link).map(Self::Pinned)
    }

    /// Whether it stays attached when the daemon is killed.
    pub(super) const fn outlives(&self) -> bool {
        matches!(self, Self::Pinned(_) | Self::Filter(_))
    }
}

fn add_filter(ebpf: &mut Ebpf, program: &str, ifindex: u32, owner: &Name) -> Result<Filter, Obstacle> {
    let program = classifier(ebpf, program)?;
    let id = program.info()?.id();
    let mut socket = RouteSocket::open()?;
    let fd = program.fd()?;
    filter::add(&mut socket, ifindex, fd.as_fd(), owner)?;
    // Its place is the first that was free.
    let found = filter::find(&mut socket, ifindex, owner)?.into_iter().find(|filter| filter.program == id);
    found.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT).into())
}
