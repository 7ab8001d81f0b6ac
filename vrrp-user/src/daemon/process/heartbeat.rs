//! Sign of life of the engine, on request: it is woken, and its turns are counted.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep;
use vrrp_ebpf::time::Timestamp;

use crate::daemon::live::LiveState;
use crate::daemon::queue::{Input, Queue};
use crate::driver::clock;

/// How often, and at what interval, to look for a response of the engine.
const LOOKS: u32 = 50;
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(2);

/// For how long an answer counts for others, so that clients cannot wake the engine as often as they like.
const RECENT: Duration = Duration::from_secs(1);

/// Cheap to clone; all clones see the same.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    inputs: Queue<Input>,
    latest: Arc<Mutex<Option<(Timestamp, bool)>>>,
}

impl Heartbeat {
    /// Of the engine that reads these inputs.
    pub fn new(inputs: Queue<Input>) -> Self {
        Self { inputs, latest: Arc::default() }
    }

    /// Wakes the engine and returns whether it turns.
    pub(super) async fn answers(&self, live: &LiveState) -> bool {
        let before = live.turns.load(Relaxed);
        self.inputs.wake();
        for _ in 0..LOOKS {
            sleep(LOOK_EVERY).await;
            if live.turns.load(Relaxed) != before {
                return true;
            }
        }
        false
    }

    /// Whether the engine has turned within the last second; wakes it at most once a second.
    pub(in crate::daemon) async fn is_recent(&self, live: &LiveState) -> bool {
        let mut latest = self.latest.lock().await;
        if let Some((at, answer)) = *latest
            && clock::now().since(at) < RECENT
        {
            return answer;
        }
        let answer = self.answers(live).await;
        *latest = Some((clock::now(), answer));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn only_an_engine_that_turns_is_alive() {
        let live = Arc::new(LiveState::new(0));
        let heartbeat = Heartbeat::new(Queue::new(1).unwrap());
        assert!(!heartbeat.is_recent(&live).await);
        let engine = Arc::clone(&live);
        tokio::spawn(async move {
            sleep(Duration::from_millis(10)).await;
            engine.turns.fetch_add(1, Relaxed);
        });
        assert!(heartbeat.answers(&live).await);
        assert!(!heartbeat.is_recent(&live).await, "the engine is not woken again within a second");
    }
}
