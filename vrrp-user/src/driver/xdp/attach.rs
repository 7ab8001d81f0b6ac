//! The ladder: which hook an interface gets, and why not a better one.

use std::fmt;

use aya::programs::ProgramError;
use aya::programs::tc::TcError;
use aya::programs::xdp::{XdpError, XdpMode};
use nix::errno::Errno;

use super::card::Card;
use super::occupant;
use crate::driver::Rung;

/// What the configuration asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// The best rung that the device takes without harm.
    #[default]
    Auto,
    Native,
    Tcx,
    Generic,
}

impl Mode {
    /// The rungs to try, best first. Native XDP is for real devices: on veth it cuts bulk TCP to less than half,
    /// where tcx costs nothing measurable.
    fn rungs(self, real_device: bool) -> &'static [Rung] {
        match self {
            Self::Auto if real_device => &[Rung::Native, Rung::Tcx, Rung::Generic],
            Self::Auto => &[Rung::Tcx, Rung::Generic],
            Self::Native => &[Rung::Native],
            Self::Tcx => &[Rung::Tcx],
            Self::Generic => &[Rung::Generic],
        }
    }
}

/// Where an interface stands now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attached {
    pub rung: Rung,
    /// Why each better rung was not taken, one sentence each.
    pub skipped: Vec<String>,
}

/// No rung was left; the caller goes on with a socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AttachError {
    pub interface: String,
    pub refusals: Vec<Refusal>,
}

impl std::error::Error for AttachError {}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: no program attached", self.interface)?;
        for (index, refusal) in self.refusals.iter().enumerate() {
            write!(f, "{} {refusal}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

/// Why one rung was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refusal {
    pub rung: Rung,
    pub errno: Errno,
    /// The program that has the XDP hook, where that is the reason.
    pub occupant: Option<u32>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rung.as_str())?;
        match self.errno {
            Errno::EBUSY | Errno::EEXIST => {
                f.write_str("another XDP program is attached")?;
                if let Some(id) = self.occupant {
                    write!(f, " (id {id})")?;
                }
            }
            Errno::EOPNOTSUPP => f.write_str("the driver has no native XDP")?,
            Errno::ERANGE => f.write_str("the MTU is larger than the driver takes with XDP")?,
            Errno::EPERM | Errno::EACCES => {
                f.write_str("not permitted; CAP_NET_ADMIN and CAP_BPF are needed")?;
            }
            Errno::ENODEV => f.write_str("the interface is gone")?,
            Errno::EINVAL if self.rung == Rung::Tcx => f.write_str("the kernel has no tcx (Linux 6.6)")?,
            other => f.write_str(other.desc())?,
        }
        write!(f, " ({:?})", self.errno)
    }
}

/// Tries the rungs of `mode` in turn with `take`.
///
/// # Errors
/// Every rung was refused.
pub(super) fn climb(
    ifindex: u32,
    interface: &str,
    mode: Mode,
    mut take: impl FnMut(Rung) -> Result<(), ProgramError>,
) -> Result<Attached, AttachError> {
    let real_device = Card::of(ifindex).is_ok_and(|card| card.is_hardware());
    let mut refusals = Vec::new();
    for &rung in mode.rungs(real_device) {
        match take(rung) {
            Ok(()) => {
                let mut skipped: Vec<_> = refusals.iter().map(Refusal::to_string).collect();
                if mode == Mode::Auto && !real_device {
                    skipped.insert(
                        0,
                        format!("native: slows down bulk traffic of {interface}, a software device"),
                    );
                }
                return Ok(Attached { rung, skipped });
            }
            Err(error) => {
                let errno = errno(&error);
                let busy = matches!(errno, Errno::EBUSY | Errno::EEXIST);
                let occupant = if busy { occupant::xdp_program(ifindex) } else { None };
                refusals.push(Refusal { rung, errno, occupant });
            }
        }
    }
    Err(AttachError { interface: interface.to_owned(), refusals })
}

pub(super) const fn xdp_mode(rung: Rung) -> XdpMode {
    match rung {
        Rung::Generic => XdpMode::Skb,
        _ => XdpMode::Driver,
    }
}

/// EIO where aya names none.
fn errno(error: &ProgramError) -> Errno {
    let raw = match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::NetlinkError(error)
        | ProgramError::XdpError(XdpError::NetlinkError(error))
        | ProgramError::TcError(TcError::NetlinkError(error)) => error.raw_os_error(),
        _ => None,
    };
    raw.map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(errno: i32) -> ProgramError {
        let io_error = std::io::Error::from_raw_os_error(errno);
        ProgramError::SyscallError(aya::sys::SyscallError { call: "bpf_link_create", io_error })
    }

    #[test]
    fn the_first_rung_that_takes_it_wins_and_names_the_others() {
        let tried = climb(u32::MAX, "no/such", Mode::Auto, |rung| {
            if rung == Rung::Generic { Ok(()) } else { Err(refused(libc::EINVAL)) }
        });
        let attached = tried.unwrap();
        assert_eq!(attached.rung, Rung::Generic);
        assert_eq!(attached.skipped.len(), 2);
        assert_eq!(attached.skipped[1], "tcx: the kernel has no tcx (Linux 6.6) (EINVAL)");
    }

    #[test]
    fn every_refusal_is_in_the_message() {
        let error = climb(u32::MAX, "eth7", Mode::Native, |_| Err(refused(libc::ERANGE))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "eth7: no program attached: native: the MTU is larger than the driver takes with XDP (ERANGE)"
        );
    }
}
