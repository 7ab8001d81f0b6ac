//! Foreign BPF programs: two that are first at tcx, of which one ends the chain, so that the programs behind it see no
//! frame and the host's stack sees all, and the other drops what is IPv4; a tc filter that does so; and one at XDP that
//! drops every advert of IPv4.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result};

use crate::lab::{INTERFACE, Node, index_of};
use crate::netns::PREFIX;
use crate::process::PINS;

/// Commands of bpf(2), `linux/bpf.h`.
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_F_BEFORE: u32 = 1 << 3;

/// `r0 = TCX_PASS; exit`.
const PASS: [u64; 2] = [0xb7, 0x95];

/// TCX_DROP for frames of IPv4 (by `protocol` of `struct __sk_buff`), else TCX_NEXT.
const DROP_IP: [u64; 6] = [
    0x10_1261,
    // if protocol != ETH_P_IP, in the order of the network: next
    0x0008_0002_0255,
    0x02_0000_00b7,
    0x95,
    0xffff_ffff_0000_00b7,
    0x95,
];

/// XDP_DROP for frames with IP protocol 112 at its place behind an Ethernet header, else XDP_PASS.
const DROP_ADVERTS: [u64; 10] = [
    // r2 = data; r3 = data_end
    0x1261,
    0x0004_1361,
    // if data + 24 > data_end: pass
    0x24bf,
    0x18_0000_0407,
    0x02_0000_00b7,
    0x0003_342d,
    // if data[23] != 112: pass
    0x0017_2571,
    0x70_0001_0555,
    0x01_0000_00b7,
    0x95,
];

/// Name of [`Dropper`]'s program.
pub const DROPPER: &str = "drop_adverts";

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
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel: u32,
    flags: u32,
    name: [u8; 16],
    rest: [u64; 9],
}

impl Load {
    fn new(kind: u32, instructions: &[u64], name: &str) -> Result<Self> {
        let mut text = [0; 16];
        text.get_mut(..name.len()).context("a long name")?.copy_from_slice(name.as_bytes());
        Ok(Self {
            kind,
            instructions: u32::try_from(instructions.len())?,
            program: instructions.as_ptr().expose_provenance() as u64,
            license: c"GPL".as_ptr().expose_provenance() as u64,
            log_level: 0,
            log_size: 0,
            log: 0,
            kernel: 0,
            flags: 0,
            name: text,
            rest: [0; 9],
        })
    }
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

#[derive(Debug)]
#[repr(C)]
struct Pin {
    path: u64,
    program: u32,
    flags: u32,
}

impl Hider {
    /// Attaches before all programs at the interface of a node; detached when dropped.
    ///
    /// # Errors
    /// Those of the kernel; EINVAL before Linux 6.6.
    pub fn before_all(node: &Node) -> Result<Self> {
        Self::attach(node, &PASS)
    }

    /// As [`Self::before_all`], a program that drops what is IPv4, so that sockets receive no advert either.
    ///
    /// # Errors
    /// The same.
    pub fn that_drops(node: &Node) -> Result<Self> {
        Self::attach(node, &DROP_IP)
    }

    /// A tc filter at `ingress` or `egress` that drops what is IPv4, as the newest one before all others of its
    /// preference. It stays.
    ///
    /// # Errors
    /// Those of the kernel and of `tc`.
    pub fn filter_that_drops(node: &Node, at: &str) -> Result<()> {
        let load = Load::new(BPF_PROG_TYPE_SCHED_CLS, &DROP_IP, "")?;
        let program = bpf(BPF_PROG_LOAD, &load).context("load the program")?;
        let path = format!("{PINS}/{PREFIX}-{}-dropper", std::process::id());
        let text = CString::new(path.as_str())?;
        let pin = Pin {
            path: text.as_ptr().expose_provenance() as u64,
            program: u32::try_from(program.as_raw_fd())?,
            flags: 0,
        };
        call(BPF_OBJ_PIN, &pin).context("pin the program")?;
        let words = ["filter", "add", "dev", INTERFACE, at, "pref", "1", "handle", "1"];
        let added = node.namespace.run("tc", &[&words[..], &["bpf", "da", "object-pinned", &path]].concat());
        std::fs::remove_file(&path)?;
        added.map(drop)
    }

    fn attach(node: &Node, instructions: &[u64]) -> Result<Self> {
        let load = Load::new(BPF_PROG_TYPE_SCHED_CLS, instructions, "")?;
        let program = bpf(BPF_PROG_LOAD, &load).context("load the program")?;
        Ok(Self { _link: attach(node, &program, BPF_TCX_INGRESS, BPF_F_BEFORE)? })
    }
}

/// A program at XDP that drops adverts; detached when dropped.
#[derive(Debug)]
pub struct Dropper {
    _link: OwnedFd,
}

impl Dropper {
    pub fn on(node: &Node) -> Result<Self> {
        let load = Load::new(BPF_PROG_TYPE_XDP, &DROP_ADVERTS, DROPPER)?;
        let program = bpf(BPF_PROG_LOAD, &load).context("load the program")?;
        Ok(Self { _link: attach(node, &program, BPF_XDP, 0)? })
    }
}

fn attach(node: &Node, program: &OwnedFd, hook: u32, flags: u32) -> Result<OwnedFd> {
    node.namespace.enter(|| {
        let (program, ifindex) = (u32::try_from(program.as_raw_fd())?, index_of(INTERFACE)?);
        let create = Create { program, ifindex, hook, flags, relative: 0, revision: 0 };
        bpf(BPF_LINK_CREATE, &create).context("attach the program")
    })
}

fn call<T>(command: libc::c_int, attributes: &T) -> io::Result<RawFd> {
    // SAFETY: the attributes and what they point to outlive the call, and their size is passed to the kernel.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    RawFd::try_from(result).ok().filter(|answer| *answer >= 0).ok_or_else(io::Error::last_os_error)
}

/// For commands whose answer is a descriptor.
fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    let fd = call(command, attributes)?;
    // SAFETY: a fresh descriptor without another owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
