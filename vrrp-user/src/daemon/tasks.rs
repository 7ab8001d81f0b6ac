//! Task set that frees ended tasks.

use std::future::Future;

use tokio::task::{AbortHandle, JoinSet};

/// A set of tasks that live as long as it does; one that has ended or was aborted is freed at the next start of
/// another.
///
/// A bare `JoinSet` keeps each ended task, in locked memory, until it is joined.
#[derive(Debug, Default)]
pub(crate) struct Tasks(JoinSet<()>);

impl Tasks {
    /// Must be called within a runtime.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        while self.0.try_join_next().is_some() {}
        self.0.spawn(task)
    }

    /// Waits until all have ended.
    pub(crate) async fn finish(&mut self) {
        while self.0.join_next().await.is_some() {}
    }

    /// Ends all, and waits until they have.
    pub(crate) async fn shutdown(&mut self) {
        self.0.shutdown().await;
    }

    /// Lets them go on without the set.
    pub(crate) fn detach_all(&mut self) {
        self.0.detach_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_ended_is_not_kept() {
        let mut tasks = Tasks::default();
        for number in 0..100 {
            let task = tasks.spawn(std::future::pending());
            if number % 2 == 0 {
                task.abort();
            } else {
                tasks.spawn(std::future::ready(()));
                task.abort();
            }
            tokio::task::yield_now().await;
            assert!(tasks.0.len() <= 3, "{}", tasks.0.len());
        }
        tasks.finish().await;
        assert!(tasks.0.is_empty());
    }
}
