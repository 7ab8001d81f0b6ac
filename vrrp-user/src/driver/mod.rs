//! The daemon's interface to the kernel, to processes, and to the host's resolver and message bus. Drivers take no
//! decisions: they turn packets and messages into events, and actions into packets and messages. Absent: clients of
//! other services, which live with checks (`daemon::probe`, `daemon::http_client`) and with notifications
//! (`daemon::notify`).

pub mod abstract_socket;
pub mod accounts;
pub mod addresses;
#[cfg(feature = "systemd")]
pub mod bus;
pub mod causes;
pub mod cleanup_plan;
pub mod clock;
#[cfg(feature = "dns")]
pub mod dns;
pub mod fifo;
pub mod firewall;
pub mod identity;
pub mod locals;
pub mod maps;
pub mod memory;
pub mod netlink;
pub mod output;
pub mod overrun;
pub mod ownership;
pub mod pidfd;
pub mod process;
mod process_limit;
pub mod realtime;
pub mod restart;
pub mod resumption;
pub mod security;
pub mod shortage;
pub mod socket;
mod spawn;
mod starter;
pub mod sysctl;
pub mod terminal;
pub mod time_namespace;
pub mod wait;
pub mod xdp;

/// Receive paths for the adverts of an interface, best first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
pub enum RxPath {
    /// Nothing is attached yet.
    #[default]
    None = 0,
    /// XDP in the network driver.
    Native = 1,
    /// tcx ingress (Linux 6.6).
    Tcx = 2,
    /// A tc filter at clsact ingress.
    Tc = 3,
    /// Generic XDP, in the network stack.
    Generic = 4,
    /// A packet socket.
    Socket = 5,
}

impl RxPath {
    pub const ALL: [Self; 6] = [Self::None, Self::Native, Self::Tcx, Self::Tc, Self::Generic, Self::Socket];

    /// Whether the BPF program sees incoming packets on this path and can drop them.
    pub const fn is_program(self) -> bool {
        matches!(self, Self::Native | Self::Tcx | Self::Tc | Self::Generic)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Native => "native",
            Self::Tcx => "tcx",
            Self::Tc => "tc",
            Self::Generic => "generic",
            Self::Socket => "socket",
        }
    }
}
