//! bpf(2), for commands that aya does not offer.
//!
//! Enters: a command with its attributes, as in `linux/bpf.h`. Leaves: the kernel's answer.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

const BPF_PROG_TEST_RUN: libc::c_int = 10;

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
