//! A foreign BPF program that is first at tcx and ends the chain: the programs behind it see no frame, the host's stack
//! sees all.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result};

use crate::lab::{INTERFACE, Node, index_of};

/// Commands of bpf(2), `linux/bpf.h`.
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_F_BEFORE: u32 = 1 << 3;

/// `r0 = TCX_PASS; exit`.
const PASS: [u64; 2] = [0xb7, 0x95];

#[derive(Debug)]
pub struct Hider {
    _link: OwnedFd,
}

#[derive(Debug)]
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    program: u64,
    license: u64,
    rest: [u64; 13],
}

#[derive(Debug)]
#[repr(C)]
struct Create {
    program: u32,
    ifindex: u32,
    hook: u32,
    flags: u32,
    relative: u64,
    revision: u64,
}

impl Hider {
    /// Attaches before all programs at the interface of a node; detached when dropped.
    ///
    /// # Errors
    /// Those of the kernel; EINVAL before Linux 6.6.
    pub fn before_all(node: &Node) -> Result<Self> {
        let load = Load {
            kind: BPF_PROG_TYPE_SCHED_CLS,
            instructions: 2,
            program: PASS.as_ptr().expose_provenance() as u64,
            license: c"GPL".as_ptr().expose_provenance() as u64,
            rest: [0; 13],
        };
        let program = bpf(BPF_PROG_LOAD, &load).context("load the program")?;
        let link = node.namespace.enter(|| {
            let (program, ifindex) = (u32::try_from(program.as_raw_fd())?, index_of(INTERFACE)?);
            let (hook, flags) = (BPF_TCX_INGRESS, BPF_F_BEFORE);
            let create = Create { program, ifindex, hook, flags, relative: 0, revision: 0 };
            bpf(BPF_LINK_CREATE, &create).context("attach the program")
        })?;
        Ok(Self { _link: link })
    }
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the attributes and what they point to outlive the call, and their size is passed to the kernel.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    let fd = RawFd::try_from(result).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: a fresh descriptor without another owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
