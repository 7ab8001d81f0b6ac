//! Hooks that one queue leaves to that of another daemon.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::config::ScriptCommand;
use crate::protocol::InstanceId;
use crate::protocol::{Epoch, Priority, Reason, State};

const SUBJECT: Subject = Subject::Instance(InstanceId(0));

/// A queue whose hooks write their words to a file; `specific` comes before the word of the specific ones.
struct Bench {
    log: PathBuf,
    gate: PathBuf,
    running: Tasks,
}

impl Bench {
    fn new(name: &str) -> Self {
        let file = |of: &str| std::env::temp_dir().join(format!("vrrpx-{of}-{name}-{}", std::process::id()));
        let (log, gate) = (file("hooks"), file("gate"));
        [&log, &gate].into_iter().for_each(|left| drop(fs::remove_file(left)));
        Self { log, gate, running: Tasks::default() }
    }

    /// Command of a hook that lasts until the gate is opened, or the test has ended.
    fn waits(&self) -> String {
        let pid = std::process::id();
        format!("until [ -e {} ] || [ ! -e /proc/{pid} ]; do sleep 0.01; done;", self.gate.display())
    }

    fn open(&self) {
        fs::write(&self.gate, "").unwrap();
    }

    fn queue(&mut self, specific: &str) -> HookQueue {
        let log = self.log.display();
        let job = |keyword, line: String| {
            let command = ScriptCommand::Shell(line.into());
            (keyword, Job { command, identity: Identity::daemon(), limit: HOOK_LIMIT, leashed: false })
        };
        let hooks = Hooks {
            subject: SUBJECT,
            name: "A".into(),
            node: "node".into(),
            jobs: vec![
                job("notify_master", format!("{specific} echo master $VRRPX_PREVIOUS >> {log} #")),
                job("notify_backup", format!("{specific} echo backup >> {log} #")),
                job(GENERAL, format!("echo any $VRRPX_STATE >> {log} #")),
            ],
            history: Arc::new(History::new(1)),
        };
        HookQueue::start(hooks, Vec::new(), &mut self.running)
    }

    async fn writes(&self, expected: &[&str]) {
        let text = || fs::read_to_string(&self.log).unwrap_or_default();
        for _ in 0..500 {
            if text().lines().eq(expected.iter().copied()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Nothing more comes.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(text().lines().collect::<Vec<_>>(), expected);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        [&self.log, &self.gate].into_iter().for_each(|left| drop(fs::remove_file(left)));
    }
}

fn to(word: NotifyState, epoch: u64) -> Notification {
    Notification {
        word,
        previous: State::Backup,
        reason: Reason::MasterSilent,
        epoch: Epoch(epoch),
        priority: Priority(100),
        peer: None,
    }
}

async fn is_running(queue: &HookQueue) {
    while queue.progress.running.load(Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_waits_is_run_once_by_the_other_daemon_after_what_runs() {
    let mut bench = Bench::new("waits");
    let waits = bench.waits();
    let old = bench.queue(&waits);
    old.give(|waiting| waiting.give_state(to(NotifyState::Backup, 1)));
    is_running(&old).await;
    old.give(|waiting| waiting.give_state(to(NotifyState::Master, 2)));
    let left = old.hold(SUBJECT);
    bench.open();
    assert_eq!(left.unreported, Some((to(NotifyState::Master, 2), false)));
    assert!(left.running.is_some());
    let new = bench.queue("");
    new.give(|waiting| waiting.give_left(&left));
    drop(old);
    bench.writes(&["backup", "master BACKUP", "any MASTER"]).await;
    assert!(new.hold(SUBJECT).is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn a_specific_hook_that_runs_is_not_run_again() {
    let mut bench = Bench::new("half");
    let waits = bench.waits();
    let old = bench.queue(&waits);
    old.give(|waiting| waiting.give_state(to(NotifyState::Master, 2)));
    is_running(&old).await;
    let left = old.hold(SUBJECT);
    bench.open();
    assert_eq!(left.unreported, Some((to(NotifyState::Master, 2), true)));
    let new = bench.queue("");
    new.give(|waiting| waiting.give_left(&left));
    drop(old);
    bench.writes(&["master BACKUP", "any MASTER"]).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_later_state_takes_the_place_of_what_was_left() {
    let mut bench = Bench::new("later");
    let waits = bench.waits();
    let old = bench.queue(&waits);
    old.give(|waiting| waiting.give_state(to(NotifyState::Backup, 1)));
    is_running(&old).await;
    old.give(|waiting| waiting.give_state(to(NotifyState::Master, 2)));
    let left = old.hold(SUBJECT);
    let new = bench.queue("");
    new.give(|waiting| waiting.give_left(&left));
    drop(old);
    tokio::time::sleep(Duration::from_millis(50)).await;
    new.give(|waiting| waiting.give_state(to(NotifyState::Backup, 3)));
    bench.open();
    bench.writes(&["backup", "backup", "any BACKUP"]).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_queue_that_is_released_goes_on() {
    let mut bench = Bench::new("released");
    let waits = bench.waits();
    let queue = bench.queue(&waits);
    queue.give(|waiting| waiting.give_state(to(NotifyState::Backup, 1)));
    is_running(&queue).await;
    queue.hold(SUBJECT);
    queue.give(|waiting| waiting.give_state(to(NotifyState::Master, 2)));
    bench.open();
    bench.writes(&["backup"]).await;
    queue.release();
    bench.writes(&["backup", "any BACKUP", "master BACKUP", "any MASTER"]).await;
}
