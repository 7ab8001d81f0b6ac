//! Check that the program is still attached.
//!
//! Enters: the pin of its link, or its tc filter. Leaves: yes or no. Absent: attaching it again. A link detached by
//! hand (`bpftool link detach`, Linux 5.9) remains, without an interface; a filter can be removed alone or with its
//! clsact, and another program can take its place.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use super::pin;
use super::syscall::bpf;
use crate::driver::netlink::filter::{self, Filter};
use crate::driver::netlink::socket::RouteSocket;

/// BPF_OBJ_GET_INFO_BY_FD of bpf(2).
const COMMAND: libc::c_int = 15;

/// The attachment of the program to one interface.
#[derive(Debug)]
pub struct Hook(Form);

#[derive(Debug)]
enum Form {
    Link(OwnedFd),
    Filter(Filter, RefCell<RouteSocket>),
}

/// Leading part of `struct bpf_link_info` common to XDP and tcx links (Linux 6.6).
#[derive(Debug, Default)]
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
        Ok(Self(Form::Filter(filter, RefCell::new(RouteSocket::open()?))))
    }

    /// True if the kernel does not say.
    pub fn is_attached(&self) -> bool {
        match &self.0 {
            Form::Link(link) => is_on_interface(link),
            Form::Filter(filter, socket) => filter::is_there(&mut socket.borrow_mut(), *filter),
        }
    }
}

fn is_on_interface(link: &OwnedFd) -> bool {
    #[repr(C)]
    struct Attributes {
        fd: u32,
        length: u32,
        info: u64,
    }
    let mut info = Info::default();
    let (Ok(fd), Ok(length)) = (u32::try_from(link.as_raw_fd()), u32::try_from(size_of::<Info>())) else {
        return true;
    };
    let mut attributes = Attributes { fd, length, info: (&raw mut info).expose_provenance() as u64 };
    // The kernel writes to this address.
    let answer = bpf(COMMAND, &mut attributes);
    // SAFETY: a live local variable; volatile, as the compiler does not see the kernel's write.
    let ifindex = unsafe { (&raw const info.ifindex).read_volatile() };
    answer.is_err() || ifindex != 0
}
