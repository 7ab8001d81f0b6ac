//! The states, one file each, and the transitions between them.
//!
//! Leaving a state stops all its timers; entering one arms those it needs. The addresses may stay after the end of a
//! mastership; see [`super::handover`]. A state does not change itself: it returns the transition, and [`go`] makes it.

pub(super) mod backup;
pub(super) mod data;
pub(super) mod fault;
mod heir;
pub(super) mod init;
pub(super) mod master;
pub(super) mod suspended;

use super::action::{Action, Reason, State, Transition};
use super::context::{Cx, Move};
use super::handover;
use super::instance::Instance;
use super::units::Epoch;

const FAULTS: &[Reason] = &[
    Reason::LinkDown,
    Reason::NoSource,
    Reason::NoPeer,
    Reason::TrackDown,
    Reason::GroupFault,
    Reason::Maintenance,
];
const LOSSES: &[Reason] = &[
    Reason::LinkDown,
    Reason::NoSource,
    Reason::NoPeer,
    Reason::TrackDown,
    Reason::GroupFault,
    Reason::TakenAway,
    Reason::Refused,
    Reason::Maintenance,
];
const ENDS: &[Reason] = &[Reason::Shutdown, Reason::Removed];
const YIELDS: &[Reason] = &[
    Reason::HigherPriority,
    Reason::HigherAddress,
    Reason::GroupYielded,
    Reason::Superseded,
    Reason::HandedOver,
];

/// Every legal transition with its reasons.
const MOVES: [(State, State, &[Reason]); 13] = [
    (State::Init, State::Backup, &[Reason::Startup]),
    (State::Init, State::Master, &[Reason::Owner, Reason::GroupJoined]),
    (State::Init, State::Fault, FAULTS),
    (State::Backup, State::Master, &[Reason::MasterSilent, Reason::MasterReleased, Reason::Preempted]),
    (State::Backup, State::Fault, FAULTS),
    (State::Backup, State::Init, ENDS),
    (State::Master, State::Backup, YIELDS),
    // Taking over again after a suspension.
    (State::Master, State::Master, &[Reason::Resumed]),
    (State::Master, State::Fault, LOSSES),
    (State::Master, State::Init, ENDS),
    (State::Fault, State::Backup, &[Reason::Recovered]),
    (State::Fault, State::Master, &[Reason::Recovered, Reason::GroupJoined]),
    (State::Fault, State::Init, ENDS),
];

/// Makes a transition; there is no other way. The report comes last, when all other actions are queued.
pub(super) fn go(instance: &mut Instance, Move { to, reason, heard }: Move, cx: &mut Cx<'_>) {
    let from = instance.state;
    if !is_legal(from, to, reason) {
        debug_assert!(false, "{from:?} to {to:?} by {reason:?} is not a move");
        return;
    }
    instance.state = to;
    instance.epoch = Epoch(instance.epoch.0.saturating_add(1));
    instance.reason = Some(reason);
    instance.since = cx.now;
    instance.timers.stop_all();
    if from == State::Master && to != State::Master {
        handover::begin(instance, to, reason, cx);
    }
    match to {
        State::Backup => backup::enter(instance, heard.as_ref(), cx),
        State::Master => master::enter(instance, heard.as_ref(), cx),
        State::Fault => fault::enter(instance, cx),
        State::Init => {}
    }
    if from == State::Backup {
        backup::leave(instance, cx);
    }
    let transition = Transition {
        from,
        to,
        reason,
        epoch: instance.epoch,
        at: cx.now,
        priority: instance.priority(),
        peer: heard.map(|heard| heard.source),
    };
    cx.actions.push_back(Action::Report(instance.id(), transition));
}

fn is_legal(from: State, to: State, reason: Reason) -> bool {
    MOVES.iter().any(|&(start, end, reasons)| (start, end) == (from, to) && reasons.contains(&reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graph() {
        let lines: Vec<String> = MOVES
            .iter()
            .map(|(from, to, reasons)| {
                let reasons: Vec<_> = reasons.iter().map(|reason| reason.as_str()).collect();
                format!("{} -> {}: {}", from.as_str(), to.as_str(), reasons.join(", "))
            })
            .collect();
        let expected = "\
INIT -> BACKUP: startup
INIT -> MASTER: owner, group_joined
INIT -> FAULT: link_down, no_source, no_peer, track_down, group_fault, maintenance
BACKUP -> MASTER: master_silent, master_released, preempted
BACKUP -> FAULT: link_down, no_source, no_peer, track_down, group_fault, maintenance
BACKUP -> INIT: shutdown, removed
MASTER -> BACKUP: higher_priority, higher_address, group_yielded, superseded, handed_over
MASTER -> MASTER: resumed
MASTER -> FAULT: link_down, no_source, no_peer, track_down, group_fault, taken_away, refused, maintenance
MASTER -> INIT: shutdown, removed
FAULT -> BACKUP: recovered
FAULT -> MASTER: recovered, group_joined
FAULT -> INIT: shutdown, removed";
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn only_a_master_takes_over_again() {
        assert!(MOVES.iter().all(|(from, to, _)| from != to || *to == State::Master));
    }

    #[test]
    fn every_reason_moves_something() {
        for reason in Reason::ALL {
            assert!(MOVES.iter().any(|(_, _, reasons)| reasons.contains(&reason)), "{reason:?}");
        }
    }
}
