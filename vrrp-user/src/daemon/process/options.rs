//! What the command line may ask of a running daemon.

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
    /// Name of this node in the lines `@ID …`, where it is not the host's.
    pub config_id: Option<String>,
    /// Wrong lines of it that are left out.
    pub tolerance: Tolerance,
    /// Lock, pid and control socket; no two daemons share one.
    pub runtime_dir: PathBuf,
    /// Where metrics are served, if at all.
    pub metrics: Option<SocketAddr>,
    pub mode: XdpMode,
    /// Go on where the daemon of the runtime folder leaves, if there is one.
    pub takeover: bool,
    /// Only until the daemon that follows has taken over, and so long at most.
    pub stand_in: Option<Duration>,
    /// Try for the real-time class and locked memory.
    pub realtime: bool,
    pub process: ProcessOptions,
}

impl RunOptions {
    /// For the configuration.
    pub fn reader(&self) -> Reader {
        Reader::new(self.config_id.as_deref()).tolerating(self.tolerance.clone())
    }
}

/// How the process shows itself to the system; all off for `vrrpx run`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProcessOptions {
    /// Places of files; `None`: none but those in the runtime folder.
    pub places: Option<Places>,
    /// Log the state of everything once at the start.
    pub dump_at_start: bool,
    /// Rights that files do not get; counts before that of the configuration.
    pub umask: Option<u32>,
    /// It works in the background, where nobody is to wait for the end of its standard error.
    pub is_silent: bool,
}

/// Where keepalived's users look; what is not named is where keepalived has it for its configuration.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Places {
    /// Both hold the process's number while it runs.
    pub pid: Option<PathBuf>,
    pub vrrp_pid: Option<PathBuf>,
    /// The runtime folder was named, or follows from a pid file.
    pub folder: bool,
}

/// Which rung of the ladder is tried first; those below it follow, save for the first variant, which starts at the
/// best for the kind of interface.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum XdpMode {
    #[default]
    Auto,
    Native,
    Tcx,
    Tc,
    Generic,
    Socket,
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("`{0}` is none of auto, native, tcx, tc, generic, socket")]
pub struct UnknownMode(String);

impl XdpMode {
    pub const ALL: [Self; 6] = [Self::Auto, Self::Native, Self::Tcx, Self::Tc, Self::Generic, Self::Socket];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Tcx => "tcx",
            Self::Tc => "tc",
            Self::Generic => "generic",
            Self::Socket => "socket",
        }
    }
}

impl XdpMode {
    /// What it asks of the program; `None` where none is to be attached.
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
