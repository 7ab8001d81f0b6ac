//! The context of one input: its time and actions, and the transition that it leads to.

use alloc::collections::VecDeque;

use vrrp_ebpf::time::Timestamp;

use super::action::{Action, Reason, State};
use super::event::PeerAdvert;

/// The time and the output of one input.
#[derive(Debug)]
pub(super) struct Cx<'a> {
    pub(super) now: Timestamp,
    pub(super) actions: &'a mut VecDeque<Action>,
}

/// A transition to be made, by [`super::state::go`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(super) struct Move {
    pub(super) to: State,
    pub(super) reason: Reason,
    /// The advert of the other router concerned, if any.
    pub(super) heard: Option<PeerAdvert>,
}

impl Move {
    pub(super) fn new(to: State, reason: Reason) -> Self {
        Self { to, reason, heard: None }
    }
}
