//! Results of a node's turn, and the adverts among them.

use std::net::IpAddr;

use vrrp_ebpf::time::Timestamp;
use vrrp_user::protocol::{InstanceId, Priority, Reason, State};

/// An advert on the LAN of an instance.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) id: InstanceId,
    pub(super) source: IpAddr,
    pub(super) priority: Priority,
    pub(super) message: Vec<u8>,
    /// The peers that it is sent to, if not to all on the LAN.
    pub(super) to: Option<Vec<IpAddr>>,
}

/// A transition of a node: that of its group, or of its only instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Move {
    pub(crate) to: State,
    pub(crate) reason: Reason,
    pub(crate) at: Timestamp,
}

/// Results of a turn.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) sent: Vec<Frame>,
    pub(crate) moves: Vec<Move>,
    pub(crate) contests: usize,
    /// Whether it has announced its addresses.
    pub(crate) announced: bool,
}

impl Outcome {
    pub(super) fn note(&mut self, to: State, reason: Reason, at: Timestamp) {
        self.moves.push(Move { to, reason, at });
    }
}
