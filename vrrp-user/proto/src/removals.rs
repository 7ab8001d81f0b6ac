//! Removals by other processes: how often an object is put back, and when to give up.

use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

/// Removals closer than this count once: the kernel removes all addresses of a subnet one by one.
const GAP: Duration = Duration::from_millis(100);

const WINDOW: Duration = Duration::from_secs(10);

/// Removals within [`WINDOW`] that are put back.
const MOST: u32 = 5;

/// The reaction to a removal; that to several removals is the greatest.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum RemovalResponse {
    /// Given up before.
    Leave,
    /// Set the object again.
    PutBack,
    /// Too often; returned once.
    GiveUp,
}

/// Removals of one address, or of all routes and rules, of one instance.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemovalCounter {
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    count: u32,
    given_up: bool,
}

impl RemovalCounter {
    /// The verdict on an object that no other process has removed; it does not count.
    pub fn verdict(&self) -> RemovalResponse {
        if self.given_up { RemovalResponse::Leave } else { RemovalResponse::PutBack }
    }

    /// Counts a removal by another process.
    pub fn note(&mut self, now: Timestamp) -> RemovalResponse {
        if self.given_up {
            return RemovalResponse::Leave;
        }
        if self.last.is_some_and(|last| now.since(last) < GAP) {
            return RemovalResponse::PutBack;
        }
        if self.first.is_none_or(|first| now.since(first) > WINDOW) {
            (self.first, self.count) = (Some(now), 0);
        }
        self.last = Some(now);
        self.count = self.count.saturating_add(1);
        self.given_up = self.count > MOST;
        if self.given_up { RemovalResponse::GiveUp } else { RemovalResponse::PutBack }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(spans: &[u64]) -> Vec<RemovalResponse> {
        let mut removals = RemovalCounter::default();
        spans.iter().map(|millis| removals.note(Timestamp::from_nanos(millis * 1_000_000))).collect()
    }

    #[test]
    fn losses_now_and_then_are_put_back_for_ever() {
        let seldom: Vec<u64> = (0..100).map(|n| 10_000 + n * 2_001).collect();
        assert!(notes(&seldom).iter().all(|verdict| *verdict == RemovalResponse::PutBack));
    }

    #[test]
    fn the_sixth_within_the_window_is_too_much() {
        let often: Vec<u64> = (0..8).map(|n| 10_000 + n * 1_000).collect();
        let expected = [
            [RemovalResponse::PutBack; 5].as_slice(),
            &[RemovalResponse::GiveUp, RemovalResponse::Leave, RemovalResponse::Leave],
        ];
        assert_eq!(notes(&often), expected.concat());
    }

    #[test]
    fn what_goes_together_counts_once() {
        let burst: Vec<u64> = (0..90).map(|n| 10_000 + n).collect();
        assert!(notes(&burst).iter().all(|verdict| *verdict == RemovalResponse::PutBack));
    }
}
