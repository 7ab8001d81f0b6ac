//! Tests of the record.

use super::*;
use crate::driver::process::{End, Run};
use crate::protocol::{Epoch, Priority, Reason};

#[test]
fn keeps_the_latest_transitions() {
    let record = History::new(1);
    for epoch in 0..20 {
        let transition = Transition {
            from: State::Backup,
            to: State::Master,
            reason: Reason::MasterSilent,
            epoch: Epoch(epoch),
            at: Timestamp::ZERO,
            priority: Priority::DEFAULT,
            peer: None,
        };
        record.transition(InstanceId(0), transition);
        record.transition(InstanceId(1), transition);
    }
    let inner = record.read();
    let epochs: Vec<u64> = inner
        .instance(InstanceId(0))
        .unwrap()
        .history
        .iter()
        .map(|passed| passed.transition.epoch.0)
        .collect();
    assert_eq!(epochs, (4..20).collect::<Vec<_>>());
    assert!(inner.instance(InstanceId(1)).is_none());
}

#[test]
fn records_are_made_for_instances_that_reloads_bring() {
    let record = History::new(1).with_room(3);
    assert!(record.read().instance(InstanceId(2)).is_none());
    record.forget(InstanceId(2));
    record.send_failed(InstanceId(2), 1);
    record.send_failed(InstanceId(3), 1);
    let inner = record.read();
    assert!(inner.instance(InstanceId(2)).is_some_and(|it| it.send_failure.is_some()));
    assert!(inner.instance(InstanceId(3)).is_none());
}

#[test]
fn groups_go_with_their_names() {
    let record = History::new(1);
    let keep = |names: &[&str]| record.keep_groups(names.iter().map(|&name| name.into()).collect());
    let run = |id: u32, state| {
        let run = Run { end: End::Exited(0), lasted: Duration::ZERO };
        record.group_hook(GroupId(id), "notify", HookRun::ended(state, run, None));
    };
    let states = || -> Vec<(u32, &'static str)> {
        let groups = &record.read().groups;
        groups.iter().map(|(id, group)| (id.0, group.hooks["notify"].state)).collect()
    };
    keep(&["one", "two", "three"]);
    run(0, "first");
    run(2, "third");
    keep(&["three", "new", "one"]);
    assert_eq!(states(), [(0, "third"), (2, "first")]);
    keep(&["one", "new"]);
    assert_eq!(states(), [(0, "first")]);
}
