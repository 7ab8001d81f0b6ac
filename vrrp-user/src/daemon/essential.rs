//! Threads and tasks that the daemon cannot be without.
//!
//! Enters: the end of one by a panic or an error. Leaves: the end of the process, at once. A daemon whose effect thread
//! is gone would go on sending adverts for addresses that it can no longer move; one whose engine is gone would hold
//! addresses for which it sends none. The guard removes the addresses, and systemd starts the daemon again. Absent: the
//! way to a clean end.

use std::fmt::Display;
use std::future::Future;
use std::thread;

use tracing::error;

use crate::driver::ownership;

/// Exit code, as after any other failure while the daemon runs.
const FAILED: i32 = 1;

/// An essential thread, from its start to its end. Dropping it ends the process: a panic does.
#[derive(Debug)]
#[must_use]
pub(super) struct Essential(&'static str);

impl Essential {
    pub(super) fn new(what: &'static str) -> Self {
        Self(what)
    }

    /// The thread ends as it should, unless there is an error.
    pub(super) fn end<E: Display>(self, outcome: &Result<(), E>) {
        match outcome {
            Ok(()) => std::mem::forget(self),
            Err(error) => error!(%error, "{} has failed", self.0),
        }
    }
}

impl Drop for Essential {
    fn drop(&mut self) {
        end_process(self.0);
    }
}

/// Ends the process if this thread panics while it lives.
#[derive(Debug)]
#[must_use]
pub(super) struct Unpanicked(pub(super) &'static str);

impl Drop for Unpanicked {
    fn drop(&mut self) {
        if thread::panicking() {
            end_process(self.0);
        }
    }
}

/// Does a task that ends the process if it panics, whether or not something joins it.
pub(super) async fn unpanicked<T>(what: &'static str, task: impl Future<Output = T>) -> T {
    let _unpanicked = Unpanicked(what);
    task.await
}

/// Ends the process without any cleaning up, which is the guard's then.
#[expect(clippy::disallowed_methods, reason = "destructors might wait for the thread that is gone")]
pub(super) fn end_process(what: &str) -> ! {
    // Before a hot restart's switch, and after it, the addresses are another daemon's.
    let guard = if ownership::is_ours() { ", and its guard removes the addresses" } else { "" };
    error!("{what} has ended unexpectedly; the daemon ends at once{guard}");
    std::process::exit(FAILED)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;
    use std::process::Command;

    use tokio::runtime::Builder;
    use tokio::task::{JoinSet, yield_now};

    use super::*;
    use crate::daemon::log;

    const CASE: &str = "VRRPX_TEST_ESSENTIAL";
    const NAME: &str = "daemon::essential::tests::the_process_ends_with_an_essential_thread";

    /// What a process of its own does in each case; its exit code is the test's.
    fn play(case: &str) {
        let play = match case {
            "panic" | "panic in a successor" => || {
                let _essential = Essential::new("the thread");
                panic!("it panics");
            },
            "error" => || Essential::new("the thread").end(&Err("it fails")),
            "panic of main" => || {
                let _unpanicked = Unpanicked("the thread");
                panic!("it panics");
            },
            "panic of a task" => || {
                let runtime = Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    let mut tasks = JoinSet::new();
                    tasks.spawn(unpanicked("a task that ends", async {}));
                    assert!(tasks.join_next().await.is_some_and(|ended| ended.is_ok()));
                    tasks.spawn(unpanicked("the task", async {
                        yield_now().await;
                        panic!("it panics");
                    }));
                    // Nothing joins it.
                    pending::<()>().await;
                });
            },
            "abort of a task" => || {
                let runtime = Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    let task = tokio::spawn(unpanicked("the task", pending::<()>()));
                    yield_now().await;
                    task.abort();
                    assert!(task.await.is_err());
                });
            },
            _ => || {
                drop(Unpanicked("the thread"));
                Essential::new("the thread").end::<Infallible>(&Ok(()));
            },
        };
        log::start(Some("info")).unwrap();
        ownership::set_ours(case != "panic in a successor");
        let _ = thread::spawn(play).join();
    }

    #[test]
    fn the_process_ends_with_an_essential_thread() {
        if let Ok(case) = std::env::var(CASE) {
            return play(&case);
        }
        let rows = [
            ("panic", 1),
            ("panic in a successor", 1),
            ("error", 1),
            ("panic of main", 1),
            ("panic of a task", 1),
            ("abort of a task", 0),
            ("end", 0),
        ];
        for (case, code) in rows {
            let itself = std::env::current_exe().unwrap();
            let output = Command::new(itself)
                .args(["--exact", NAME])
                .env(CASE, case)
                .env_remove(log::JOURNAL_STREAM)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(code), "{case}");
            let log = String::from_utf8_lossy(&output.stderr);
            assert_eq!(log.contains("ends at once"), code == 1, "{case}: {log}");
            let has_guard = code == 1 && case != "panic in a successor";
            assert_eq!(log.contains("its guard removes"), has_guard, "{case}: {log}");
        }
    }
}
