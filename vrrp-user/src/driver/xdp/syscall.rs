//! bpf(2), for commands that aya does not offer.
//!
//! Enters: a command with its attributes, as in `linux/bpf.h`. Leaves: the kernel's answer.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;

/// A command with the leading ones of its attributes, to which the kernel may write; it takes the others as 0.
#[inline(never)]
pub(super) fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<RawFd> {
    // SAFETY: the attributes, and what they point to, live through the call, and the kernel receives their size.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    RawFd::try_from(Errno::result(result)?).map_err(io::Error::other)
}

/// As [`bpf`], for a command whose answer is a new descriptor.
pub(super) fn bpf_open<T>(command: libc::c_int, attributes: &mut T) -> io::Result<OwnedFd> {
    let fd = bpf(command, attributes)?;
    // SAFETY: fresh from the kernel, with no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The program of this id.
pub(super) fn open_program(id: u32) -> io::Result<OwnedFd> {
    bpf_open(BPF_PROG_GET_FD_BY_ID, &mut [id, 0, 0])
}

/// Has the kernel write what it says of a program or link to `info`, which has room for `length` bytes.
pub(super) fn object_info(object: &OwnedFd, info: *mut u8, length: usize) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        fd: u32,
        length: u32,
        info: u64,
    }
    let fd = object.as_raw_fd().cast_unsigned();
    let length = u32::try_from(length).map_err(io::Error::other)?;
    let mut attributes = Attributes { fd, length, info: info.expose_provenance() as u64 };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes).map(drop)
}

/// Name of a program as the kernel keeps it: 15 bytes; empty if it has none.
///
/// # Errors
/// The program is gone, or EPERM without CAP_SYS_ADMIN.
pub(super) fn program_name(id: u32) -> io::Result<String> {
    /// `name` of `struct bpf_prog_info`.
    const NAME: std::ops::Range<usize> = 64..80;
    let mut info = [0_u8; NAME.end];
    object_info(&open_program(id)?, info.as_mut_ptr(), NAME.end)?;
    let name = std::hint::black_box(&info).get(NAME).unwrap_or_default();
    Ok(String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned())
}

/// Leading part of the attributes of BPF_PROG_TEST_RUN.
#[derive(Debug, Default)]
#[repr(C)]
struct TestRun {
    program: u32,
    verdict: u32,
    input_length: u32,
    output_length: u32,
    input: u64,
    output: u64,
    repeat: u32,
    duration: u32,
    context_length: u32,
    context_output_length: u32,
    context: u64,
    context_output: u64,
}

/// Runs a program once on a frame, in a context of its kind if there is one, and returns its verdict.
pub(super) fn test_run<T>(program: &OwnedFd, frame: &[u8], context: Option<&T>) -> io::Result<u32> {
    let mut attributes = TestRun {
        program: program.as_raw_fd().cast_unsigned(),
        input_length: u32::try_from(frame.len()).map_err(io::Error::other)?,
        input: frame.as_ptr().expose_provenance() as u64,
        repeat: 1,
        ..TestRun::default()
    };
    if let Some(context) = context {
        attributes.context = std::ptr::from_ref(context).expose_provenance() as u64;
        attributes.context_length = u32::try_from(size_of::<T>()).map_err(io::Error::other)?;
    }
    bpf(BPF_PROG_TEST_RUN, &mut attributes)?;
    Ok(attributes.verdict)
}
