//! Signs of life of the real-time threads, on request: they are woken, and their turns are counted.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep;
use vrrp_ebpf::time::Timestamp;

use crate::daemon::live::LiveState;
use crate::daemon::queue::{Command, Input, Queue};
use crate::driver::clock;

/// How often, and at what interval, to look for a response.
const LOOKS: u32 = 50;
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(2);

/// For how long an answer counts for others, so that clients cannot wake the engine as often as they like.
const RECENT: Duration = Duration::from_secs(1);

/// Cheap to clone; all clones see the same.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    inputs: Queue<Input>,
    /// Of the effect thread, if that is to answer too.
    commands: Option<Queue<Command>>,
    latest: Arc<Mutex<Option<(Timestamp, bool)>>>,
}

impl Heartbeat {
    /// Of the engine that reads these inputs.
    pub fn new(inputs: Queue<Input>) -> Self {
        Self { inputs, commands: None, latest: Arc::default() }
    }

    pub(in crate::daemon) fn with_effect(self, commands: Queue<Command>) -> Self {
        Self { commands: Some(commands), ..self }
    }

    /// Wakes the engine and returns whether it turns.
    pub(super) async fn answers(&self, live: &LiveState) -> bool {
        let before = live.turns.load(Relaxed);
        self.inputs.wake();
        moves(|| live.turns.load(Relaxed) != before).await
    }

    /// The same of the effect thread, which may be at work for long.
    pub(super) async fn effect_answers(&self, live: &LiveState) -> bool {
        let Some(commands) = &self.commands else { return true };
        let before = live.effect_turns.load(Relaxed);
        commands.wake();
        moves(|| live.effect_turns.load(Relaxed) != before).await
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

/// Whether this becomes true soon.
async fn moves(has_moved: impl Fn() -> bool) -> bool {
    for _ in 0..LOOKS {
        sleep(LOOK_EVERY).await;
        if has_moved() {
            return true;
        }
    }
    false
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

    #[tokio::test(flavor = "current_thread")]
    async fn an_effect_thread_answers_if_it_turns() {
        let live = Arc::new(LiveState::new(0));
        let heartbeat = Heartbeat::new(Queue::new(1).unwrap());
        assert!(heartbeat.effect_answers(&live).await, "there is none");
        let heartbeat = heartbeat.with_effect(Queue::new(1).unwrap());
        assert!(!heartbeat.effect_answers(&live).await);
        let effect = Arc::clone(&live);
        tokio::spawn(async move {
            sleep(Duration::from_millis(10)).await;
            effect.effect_turns.fetch_add(1, Relaxed);
        });
        assert!(heartbeat.effect_answers(&live).await);
    }
}
