//! Options of a daemon, from the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::config::{Reader, Tolerance};
use crate::driver::xdp::Mode;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunOptions {
    pub config: PathBuf,
    /// Name of this node in the lines `@ID …`, if it is not the host's.
    pub config_id: Option<String>,
    /// Wrong lines that are left out.
    pub tolerance: Tolerance,
    /// Lock, pid and control socket; no two daemons share one.
    pub runtime_dir: PathBuf,
    /// Address of the metrics listener, if any.
    pub metrics: Option<SocketAddr>,
    pub mode: XdpMode,
    /// End instead of starting with the last good configuration if the file has errors.
    pub strict_start: bool,
    /// Replace the daemon of the runtime folder, if there is one.
    pub hot_restart: bool,
    /// Run as a bridge process: only until the next daemon has replaced it, and for this time at most.
    pub bridge: Option<Duration>,
    /// Try for the real-time class and locked memory.
    pub realtime: bool,
    /// Group that may open the control socket, and so steer; `None`: only root.
    pub control_group: Option<String>,
    /// Group that may open the status socket; `None`: every user.
    pub status_group: Option<String>,
    pub process: ProcessOptions,
}

impl RunOptions {
    /// The reader of the configuration.
    pub fn reader(&self) -> Reader {
        Reader::new(self.config_id.as_deref()).tolerating(self.tolerance.clone()).copying()
    }
}

/// How the process appears to the system; all off for `vrrpx run`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProcessOptions {
    /// Paths of files; `None`: none but those in the runtime folder.
    pub places: Option<KeepalivedPaths>,
    /// Log the state of everything once at the start.
    pub dump_at_start: bool,
    /// File mode mask; overrides that of the configuration.
    pub umask: Option<u32>,
    /// It runs in the background, and its children must not keep its standard error open.
    pub is_silent: bool,
}

/// Paths that keepalived's users know; one that is not given is keepalived's default for its configuration.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeepalivedPaths {
    /// Both hold the process id while it runs.
    pub pid: Option<PathBuf>,
    pub vrrp_pid: Option<PathBuf>,
    /// The runtime folder was given, or follows from a pid file.
    pub folder: bool,
}

vrrp_ebpf::words! {
    /// The receive path that is tried first; those below it follow. `Auto` starts with the best one for the kind of
    /// interface.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    pub enum XdpMode {
        #[default]
        Auto => "auto",
        Native => "native",
        Tcx => "tcx",
        Tc => "tc",
        Generic => "generic",
        Socket => "socket",
    }
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("unknown receive path `{0}`: use auto, native, tcx, tc, generic or socket")]
pub struct UnknownMode(String);

impl XdpMode {
    /// The mode of the program; `None` if none is to be attached.
    pub const fn of_program(self) -> Option<Mode> {
        match self {
            Self::Auto => Some(Mode::Auto),
            Self::Native => Some(Mode::Native),
            Self::Tcx => Some(Mode::Tcx),
            Self::Tc => Some(Mode::Tc),
            Self::Generic => Some(Mode::Generic),
            Self::Socket => None,
        }
    }
}

impl FromStr for XdpMode {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        let known = Self::ALL.into_iter().find(|mode| mode.as_str() == word);
        known.ok_or_else(|| UnknownMode(word.to_owned()))
    }
}
