//! Whether the program is still where it was attached.
//!
//! Enters: the pin of its link. Leaves: yes or no, by one system call and without waiting. Absent: attaching it again.
//! A link stays when somebody detaches it (`bpftool link detach`, Linux 5.9), on no interface.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use super::pin;

/// BPF_OBJ_GET_INFO_BY_FD of bpf(2).
const COMMAND: libc::c_int = 15;

/// The program on one interface.
#[derive(Debug)]
pub struct Hook(OwnedFd);

/// `struct bpf_link_info`, as far as links of XDP and tcx have it in common (Linux 6.6).
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
    /// There is no pin.
    pub(super) fn open(pin: &Path) -> io::Result<Self> {
        pin::open(pin).map(Self)
    }

    /// Where the kernel does not say, it is taken for attached.
    pub fn is_attached(&self) -> bool {
        #[repr(C)]
        struct Attributes {
            fd: u32,
            length: u32,
            info: u64,
        }
        let mut info = Info::default();
        let (Ok(fd), Ok(length)) = (u32::try_from(self.0.as_raw_fd()), u32::try_from(size_of::<Info>()))
        else {
            return true;
        };
        let attributes = Attributes { fd, length, info: (&raw mut info).expose_provenance() as u64 };
        // The kernel writes through the address.
        let told = pin::bpf(COMMAND, &attributes);
        // SAFETY: a plain place that lives; read so because the compiler does not know who wrote to it.
        let ifindex = unsafe { (&raw const info.ifindex).read_volatile() };
        told.is_err() || ifindex != 0
    }
}
