//! Errors of loading the program.
//!
//! Enters: errors of aya and the kernel. Leaves: [`LoadError`], whose text says what to do about it.

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use nix::errno::Errno;
use thiserror::Error;

use super::capabilities::Capability;

/// Why there is no program. Each text says what happened, why, and what to do about it.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error(
        "no BPF program in this build: run `cargo xtask setup`, then build again; working on sockets until then"
    )]
    NotBuilt,
    #[error("cannot load the BPF program without {}: grant it (systemd: AmbientCapabilities=) or run as root", list(.missing))]
    Capability { missing: Vec<Capability> },
    #[error(
        "the verifier of this kernel refuses the BPF program (errno {errno}): {log}; please report it with the kernel's version"
    )]
    Verifier { errno: i32, log: String },
    #[error("the kernel does not {doing}: {} (errno {errno}); {}", Errno::from_raw(*.errno).desc(), advice(*.errno))]
    Kernel { doing: String, errno: i32 },
    #[error(
        "the BPF program of this build cannot be used: {reason}; build it again with the pinned toolchain"
    )]
    Object { reason: String },
}

impl LoadError {
    /// The kernel refused it before verification: it does not know a flag of the program.
    pub(super) fn is_unknown_flag(&self) -> bool {
        matches!(self, Self::Kernel { errno: libc::EINVAL, .. })
    }

    pub(super) fn from_ebpf(error: &EbpfError) -> Self {
        match error {
            EbpfError::MapError(error) => Self::from_map(error),
            EbpfError::ProgramError(error) => Self::from_program(error),
            other => Self::Object { reason: chain(other) },
        }
    }

    pub(super) fn from_map(error: &MapError) -> Self {
        let (doing, error) = match error {
            MapError::CreateError { name, io_error } => (format!("create the BPF map {name}"), io_error),
            MapError::SyscallError(error) => (error.call.to_owned(), &error.io_error),
            MapError::IoError(error) => ("give access to a BPF map".to_owned(), error),
            other => return Self::Object { reason: chain(other) },
        };
        Self::Kernel { doing, errno: error.raw_os_error().unwrap_or(0) }
    }

    pub(super) fn from_program(error: &ProgramError) -> Self {
        match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                let errno = io_error.raw_os_error().unwrap_or(0);
                let log = tail(&verifier_log.to_string());
                if log.is_empty() {
                    Self::Kernel { doing: "load the BPF program".to_owned(), errno }
                } else {
                    Self::Verifier { errno, log }
                }
            }
            ProgramError::SyscallError(error) => Self::Kernel {
                doing: error.call.to_owned(),
                errno: error.io_error.raw_os_error().unwrap_or(0),
            },
            other => Self::Object { reason: chain(other) },
        }
    }
}

/// The last lines of the verifier's log that name the instruction and the reason; statistics follow them.
fn tail(log: &str) -> String {
    let mut lines: Vec<_> = log
        .lines()
        .map(str::trim)
        .filter(|line| {
            !line.is_empty() && !line.starts_with("processed ") && !line.starts_with("verification time")
        })
        .rev()
        .take(4)
        .collect();
    lines.reverse();
    lines.join(" | ")
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn list(capabilities: &[Capability]) -> String {
    capabilities.iter().map(|capability| capability.as_str()).collect::<Vec<_>>().join(", ")
}

fn advice(errno: i32) -> &'static str {
    match Errno::from_raw(errno) {
        Errno::EPERM | Errno::EACCES => {
            "BPF may be locked down, or this is a user namespace: use sockets there"
        }
        Errno::ENOMEM | Errno::E2BIG => "fewer instances need less memory",
        Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP => "it needs Linux 5.10 or later: use sockets here",
        _ => "use sockets until it is solved",
    }
}
