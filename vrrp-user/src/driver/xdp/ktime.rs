//! The clock of the BPF program, read by running two programs of three instructions (BPF_PROG_TEST_RUN).
//!
//! A run returns 32 bits, so one returns the lower half of `bpf_ktime_get_ns` and the other one the upper half.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::syscall::{bpf_open, test_run};
use crate::driver::clock;

/// `linux/bpf.h`.
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_FUNC_KTIME_GET_NS: i32 = 5;

/// Shortest frame accepted for a run.
const FRAME: usize = 14;

/// Number of measurements; the shortest counts, as some runs are interrupted.
const TRIES: usize = 32;

/// Smaller results are measurement noise and count as no offset.
const NOISE: i64 = 100_000;

/// How far the clock of this process is ahead of the program's, ns.
///
/// # Errors
/// The kernel's: EPERM without CAP_BPF.
pub(in crate::driver) fn offset() -> io::Result<i64> {
    let (low, high) = (load(Half::Low)?, load(Half::High)?);
    let mut best: Option<(Duration, i64)> = None;
    for _ in 0..TRIES {
        let upper = run(&high)?;
        let before = clock::shown_now();
        let lower = run(&low)?;
        let took = clock::shown_now().saturating_sub(before);
        // The lower half wrapped around between the runs.
        if run(&high)? != upper {
            continue;
        }
        let program = i128::from(u64::from(upper) << 32 | u64::from(lower));
        let middle = (before + took / 2).as_nanos().cast_signed();
        let ahead = i64::try_from(middle - program).map_err(io::Error::other)?;
        if best.is_none_or(|(shortest, _)| took < shortest) {
            best = Some((took, ahead));
        }
    }
    let (_, ahead) = best.ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))?;
    Ok(if ahead.abs() < NOISE { 0 } else { ahead })
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Half {
    Low,
    High,
}

/// An eBPF instruction.
#[derive(Clone, Copy)]
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(code: u8, immediate: i32) -> Instruction {
    Instruction { code, registers: 0, offset: 0, immediate }
}

fn load(half: Half) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
    }
    const CALL: u8 = 0x85;
    const SHIFT_RIGHT: u8 = 0x77;
    const EXIT: u8 = 0x95;
    let instructions = [
        instruction(CALL, BPF_FUNC_KTIME_GET_NS),
        instruction(SHIFT_RIGHT, if half == Half::High { 32 } else { 0 }),
        instruction(EXIT, 0),
    ];
    let mut attributes = Attributes {
        kind: BPF_PROG_TYPE_SCHED_CLS,
        count: 3,
        instructions: instructions.as_ptr().expose_provenance() as u64,
        license: c"GPL".as_ptr().expose_provenance() as u64,
    };
    bpf_open(BPF_PROG_LOAD, &mut attributes)
}

fn run(program: &OwnedFd) -> io::Result<u32> {
    test_run(program, &[0; FRAME], None::<&()>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_time_namespace_both_clocks_are_one() {
        match offset() {
            Ok(offset) => assert_eq!(offset, 0),
            // Without root, or in a sandbox.
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
    }
}
