//! Capabilities of the calling thread, checked before the kernel would answer with a bare EPERM.

use std::fmt;
use std::fs;

/// A capability that the daemon needs, with its number in `linux/capability.h`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Capability {
    /// Attach programs, set addresses.
    NetAdmin = 12,
    /// Open raw and packet sockets.
    NetRaw = 13,
    /// Let the verifier accept pointer arithmetic (Linux 5.8).
    Perfmon = 38,
    /// Create maps, load programs (Linux 5.8).
    Bpf = 39,
}

/// Includes [`Capability::Bpf`] and [`Capability::Perfmon`], for programs older than these.
const SYS_ADMIN: u8 = 21;

impl Capability {
    pub const ALL: [Self; 4] = [Self::Bpf, Self::NetAdmin, Self::Perfmon, Self::NetRaw];

    /// Needed to load and attach a program; sockets need only [`Self::NetRaw`] and [`Self::NetAdmin`].
    pub const PROGRAM: [Self; 3] = [Self::Bpf, Self::NetAdmin, Self::Perfmon];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }

    fn is_in(self, effective: u64) -> bool {
        let holds = |number: u8| effective >> number & 1 == 1;
        holds(self as u8) || (matches!(self, Self::Bpf | Self::Perfmon) && holds(SYS_ADMIN))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The capabilities of [`Capability::ALL`] that the calling thread lacks. Empty if /proc cannot be read: then the
/// kernel reports EPERM itself.
pub fn missing() -> Vec<Capability> {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let Some(effective) = effective(&status) else {
        return Vec::new();
    };
    Capability::ALL.into_iter().filter(|capability| !capability.is_in(effective)).collect()
}

/// The set `CapEff` of a /proc status file (proc(5)).
fn effective(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(value.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_set_decides() {
        let status = "CapPrm:\tffff\nCapEff:\t0000008000001000\nCapBnd:\tffff\n";
        let effective = effective(status).unwrap();
        let held: Vec<_> = Capability::ALL.into_iter().filter(|one| one.is_in(effective)).collect();
        assert_eq!(held, [Capability::Bpf, Capability::NetAdmin]);
    }

    #[test]
    fn sys_admin_stands_for_bpf_and_perfmon() {
        let held: Vec<_> = Capability::ALL.into_iter().filter(|one| one.is_in(1 << SYS_ADMIN)).collect();
        assert_eq!(held, [Capability::Bpf, Capability::Perfmon]);
    }

    #[test]
    fn a_status_without_the_line_says_nothing() {
        assert_eq!(effective("Name:\tinit\n"), None);
    }
}
