//! Rows that come with their first event: those of a label with many reasons, of which most never occur, and those of
//! rare troubles.
//!
//! A row that has come stays, also over a hot restart, so that an alert does not lose its series.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use vrrp_ebpf::map::{Counter, Counters};
use vrrp_ebpf::wire::Reject;

use super::Reading;
use super::exposition::Exposition;
use super::family::counter;
use crate::daemon::live::LiveState;
use crate::protocol::InstanceId;

/// A counter of an instance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct EventRow {
    kind: EventKind,
    labels: [(&'static str, &'static str); 2],
    count: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum EventKind {
    Transitions,
    PutBack,
    Rejects,
    Drops,
    Fenced,
}

/// In place of a label.
const NONE: (&str, &str) = ("", "");

impl EventKind {
    const ALL: [Self; 5] = [Self::Transitions, Self::PutBack, Self::Rejects, Self::Drops, Self::Fenced];

    /// Without `vrrpx_`; also the word between two daemons.
    const fn word(self) -> &'static str {
        match self {
            Self::Transitions => "instance_transitions",
            Self::PutBack => "put_back",
            Self::Rejects => "rejects",
            Self::Drops => "drops",
            Self::Fenced => "fenced",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::Transitions => "Transitions by new state and reason",
            Self::PutBack => "Addresses, routes and rules that were lost and set again",
            Self::Rejects => "Refused adverts by reason",
            Self::Drops => "Adverts, or records of senders, lost for lack of room or budget",
            Self::Fenced => "ARP requests and neighbour solicitations without a live lease",
        }
    }
}

impl EventRow {
    /// Identity of the row within its instance.
    pub(super) fn key(&self) -> String {
        let words = self.labels.iter().filter(|label| **label != NONE).map(|(_, value)| *value);
        std::iter::once(self.kind.word()).chain(words).collect::<Vec<_>>().join(" ")
    }

    /// Rows with a count, and those that are kept.
    pub(super) fn all(
        live: &LiveState,
        id: InstanceId,
        counters: &Counters,
        kept: &BTreeSet<String>,
    ) -> Vec<Self> {
        let row = |kind, labels, count| Self { kind, labels, count };
        let transitions = live.transitions(id).map(|(to, reason, count)| {
            let labels = [("to", to.as_str()), ("reason", reason.as_str())];
            row(EventKind::Transitions, labels, count.load(Relaxed).into())
        });
        let put_back = live.instances.get(id.index()).map_or(0, |live| live.put_back.load(Relaxed));
        let rejects = Reject::ALL
            .into_iter()
            .map(|it| row(EventKind::Rejects, [("reason", it.as_str()), NONE], counters.reject(it)));
        let drops = [Counter::OverBudget, Counter::RingFull, Counter::PeersFull].into_iter();
        let drops =
            drops.map(|it| row(EventKind::Drops, [("reason", it.as_str()), NONE], counters.counter(it)));
        let totals = [
            row(EventKind::PutBack, [NONE; 2], put_back),
            row(EventKind::Fenced, [NONE; 2], counters.counter(Counter::Fenced)),
        ];
        let all = transitions.chain(rejects).chain(drops).chain(totals);
        all.filter(|it| it.count > 0 || (!kept.is_empty() && kept.contains(&it.key()))).collect()
    }
}

pub(super) fn encode(out: &mut Exposition, readings: &[Reading<'_>]) -> fmt::Result {
    for kind in EventKind::ALL {
        counter(out, &format!("vrrpx_{}", kind.word()), kind.help(), |row| {
            for reading in readings {
                for event in reading.events.iter().filter(|event| event.kind == kind) {
                    let mut labels = reading.labels();
                    labels.extend(event.labels.into_iter().filter(|label| *label != NONE));
                    row(&labels, event.count)?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vrrp_ebpf::time::Timestamp;

    use super::*;
    use crate::protocol::{Epoch, Priority, Reason, State, Transition};

    #[test]
    fn a_row_comes_with_its_first_event_or_from_an_earlier_daemon() {
        let live = LiveState::new(1);
        let counters = Counters::ZERO;
        let keys = |kept: &[&str]| -> Vec<String> {
            let kept = kept.iter().map(|&key| key.to_owned()).collect();
            EventRow::all(&live, InstanceId(0), &counters, &kept).iter().map(EventRow::key).collect()
        };
        assert_eq!(keys(&[]), Vec::<String>::new());
        let transition = Transition {
            from: State::Backup,
            to: State::Master,
            reason: Reason::MasterSilent,
            epoch: Epoch(1),
            at: Timestamp::ZERO,
            priority: Priority(100),
            peer: None,
        };
        live.record(InstanceId(0), &transition);
        assert_eq!(keys(&[]), ["instance_transitions MASTER master_silent"]);
        let kept = keys(&["rejects ttl", "fenced", "rejects of another version"]);
        assert_eq!(kept, ["instance_transitions MASTER master_silent", "rejects ttl", "fenced"]);
    }
}
