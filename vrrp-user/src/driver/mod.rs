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

vrrp_ebpf::words! {
    /// Receive paths for the adverts of an interface, best first.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    #[repr(u8)]
    pub enum RxPath {
        /// Nothing is attached yet.
        #[default]
        None = 0 => "none",
        /// XDP in the network driver.
        Native = 1 => "native",
        /// tcx ingress (Linux 6.6).
        Tcx = 2 => "tcx",
        /// A tc filter at clsact ingress.
        Tc = 3 => "tc",
        /// Generic XDP, in the network stack.
        Generic = 4 => "generic",
        /// A packet socket.
        Socket = 5 => "socket",
    }
}

impl RxPath {
    /// Whether the BPF program sees incoming packets on this path and can drop them.
    pub const fn is_program(self) -> bool {
        matches!(self, Self::Native | Self::Tcx | Self::Tc | Self::Generic)
    }
}
