//! Every kind of advert in Backup and in Master, with and without preemption, for the owner and others, with the
//! sender's interval equal, shorter and longer. The expectation is the state table of RFC 9568 §6.4.2 and §6.4.3,
//! written a second time.

use std::time::Duration;

use vrrp_user::protocol::{Interval, Priority, State, Timer, Version, master_down_interval, skew};

use super::setup::{Bench, Variant, centiseconds};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Release,
    Lower,
    EqualFromLower,
    EqualFromHigher,
    Higher,
    Owner,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    variant: Variant,
    state: State,
    kind: Kind,
    preempt: bool,
    is_owner: bool,
    interval: Interval,
}

/// Outcome by the table.
#[derive(Debug, Eq, PartialEq)]
struct Outcome {
    state: State,
    /// The timer that matters in that state, counted from the advert.
    timer: Duration,
    actions: String,
}

const BEFORE: Duration = Duration::from_millis(300);
const OTHER_OWNER: u8 = 200;

#[test]
fn every_cell_has_the_outcome_of_the_table() {
    let mut cells = 0;
    for variant in Variant::ALL {
        for state in [State::Backup, State::Master] {
            for kind in [
                Kind::Release,
                Kind::Lower,
                Kind::EqualFromLower,
                Kind::EqualFromHigher,
                Kind::Higher,
                Kind::Owner,
            ] {
                for preempt in [true, false] {
                    for is_owner in [true, false] {
                        for interval in [100, 5, 4095].map(centiseconds) {
                            // No priority is higher than the owner's.
                            if is_owner && matches!(kind, Kind::Higher) {
                                continue;
                            }
                            let cell = Cell { variant, state, kind, preempt, is_owner, interval };
                            assert_eq!(run(cell), table(cell), "{cell:?}");
                            cells += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(cells, 3 * (144 - 12));
}

fn run(cell: Cell) -> Outcome {
    let mut settings = cell.variant.settings();
    settings.priority = own_priority(cell);
    settings.preempt = cell.preempt;
    let mut bench = Bench::started(cell.variant, settings);
    match (cell.state, cell.is_owner) {
        // An owner is Backup only to another owner.
        (State::Backup, true) => drop(bench.hear(255, OTHER_OWNER, Interval::SECOND, Duration::ZERO)),
        (State::Master, false) => {
            let patience = bench.instance().master_down_interval();
            bench.wait(patience);
        }
        _ => {}
    }
    assert_eq!(bench.state(), cell.state);
    bench.wait(BEFORE);
    let (priority, from) = match cell.kind {
        // Of the master, if there is one.
        Kind::Release => (0, OTHER_OWNER),
        Kind::Lower => (own_priority(cell).0 - 1, 120),
        Kind::EqualFromLower => (own_priority(cell).0, 90),
        Kind::EqualFromHigher => (own_priority(cell).0, 120),
        Kind::Higher => (own_priority(cell).0 + 1, 90),
        Kind::Owner => (255, 120),
    };
    let actions = bench.hear(priority, from, cell.interval, Duration::ZERO);
    let timer = if bench.state() == State::Master { Timer::Advert } else { Timer::MasterDown };
    Outcome {
        state: bench.state(),
        timer: bench.instance().deadline(timer).unwrap().since(bench.now),
        actions: actions.join(", "),
    }
}

fn table(cell: Cell) -> Outcome {
    let version = cell.variant.version();
    let priority = own_priority(cell);
    let down = |interval| master_down_interval(version, priority, interval, 3);
    let own = Interval::SECOND;
    let learned = down(if version == Version::V3 { cell.interval } else { own.max(cell.interval) });
    let outcome = |state, timer, actions: &str| Outcome { state, timer, actions: actions.to_owned() };
    if cell.state == State::Backup {
        return match cell.kind {
            Kind::Release => {
                let watched_before = if cell.is_owner { "unwatch" } else { "" };
                outcome(State::Backup, skew(version, priority, Interval::SECOND), watched_before)
            }
            Kind::Lower if cell.preempt || cell.is_owner => {
                outcome(State::Backup, down(Interval::SECOND) - BEFORE, "")
            }
            _ => outcome(State::Backup, learned, "watch"),
        };
    }
    let stays = Interval::SECOND.duration();
    let yields = |reason| {
        outcome(State::Backup, learned, &format!("advert {priority}, remove, watch, BACKUP {reason}"))
    };
    match cell.kind {
        Kind::Release => outcome(State::Master, stays, &format!("advert {priority}")),
        Kind::Lower | Kind::EqualFromLower => {
            outcome(State::Master, stays, &format!("advert {priority}, contest"))
        }
        Kind::Owner if cell.is_owner => yields("higher_address"),
        Kind::EqualFromHigher => yields("higher_address"),
        Kind::Higher | Kind::Owner => yields("higher_priority"),
    }
}

fn own_priority(cell: Cell) -> Priority {
    if cell.is_owner { Priority::OWNER } else { Priority::DEFAULT }
}
