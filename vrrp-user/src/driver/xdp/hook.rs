//! Check that the program is still attached, and that no program of others has come before it.
//!
//! Enters: the pin of its link, or its tc filter. Leaves: yes or no. Absent: attaching it again. A link detached by
//! hand (`bpftool link detach`, Linux 5.9) remains, without an interface; a filter can be removed alone or with its
//! clsact, and another program can take its place.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::syscall::object_info;
use super::{pin, tcx};
use crate::driver::netlink::filter::{self, Filter, Other};
use crate::driver::netlink::socket::RouteSocket;

/// BPF_LINK_TYPE_TCX (Linux 6.6).
const TCX: u32 = 11;

/// The attachment of the program to one interface.
#[derive(Debug)]
pub struct Hook(Form);

#[derive(Debug)]
enum Form {
    Link(OwnedFd),
    Filter {
        filter: Filter,
        socket: RefCell<RouteSocket>,
        /// Those of others that were before it at the start: of another kind, at the first preferences.
        known: Vec<Other>,
    },
}

/// Leading part of `struct bpf_link_info` common to XDP and tcx links (Linux 6.6).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Info {
    kind: u32,
    id: u32,
    program: u32,
    reserved: u32,
    ifindex: u32,
    rest: [u32; 3],
}

impl Hook {
    /// # Errors
    /// The pin does not exist.
    pub(super) fn open(pin: &Path) -> io::Result<Self> {
        pin::open(pin).map(|link| Self(Form::Link(link)))
    }

    /// # Errors
    /// No file descriptor is left.
    pub(super) fn of_filter(filter: Filter) -> io::Result<Self> {
        let mut socket = RouteSocket::open()?;
        let known = filter::before(&mut socket, filter).unwrap_or_default();
        Ok(Self(Form::Filter { filter, socket: RefCell::new(socket), known }))
    }

    /// True if the kernel does not say.
    pub fn is_attached(&self) -> bool {
        match &self.0 {
            Form::Link(link) => Info::of(link).is_none_or(|info| info.ifindex != 0),
            Form::Filter { filter, socket, .. } => filter::is_there(&mut socket.borrow_mut(), *filter),
        }
    }

    /// Whether [`Self::preceded_by`] lists all filters of the interface.
    pub fn is_filter(&self) -> bool {
        matches!(self.0, Form::Filter { .. })
    }

    /// The program of others that has come before this one at tcx, or the tc filter, by its name or kind: it may drop
    /// frames there. XDP has one program.
    pub fn preceded_by(&self) -> Option<String> {
        match &self.0 {
            Form::Link(link) => {
                let info = Info::of(link).filter(|info| info.kind == TCX && info.ifindex != 0)?;
                tcx::other_before(info.ifindex, info.program)
            }
            Form::Filter { filter, socket, known } => {
                let before = filter::before(&mut socket.borrow_mut(), *filter).ok()?;
                before
                    .into_iter()
                    .find(|other| !known.contains(other))
                    .map(|other| format!("tc {}", other.kind))
            }
        }
    }
}

impl Info {
    fn of(link: &OwnedFd) -> Option<Self> {
        let mut info = Self::default();
        // The kernel writes to this address.
        object_info(link, (&raw mut info).cast(), size_of::<Self>()).ok()?;
        // SAFETY: a live local variable; volatile, as the compiler does not see the kernel's write.
        Some(unsafe { (&raw const info).read_volatile() })
    }
}
