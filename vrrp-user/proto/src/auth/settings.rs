//! Settings of signed adverts.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::key::Key;

/// Longest `time_window`.
pub const WINDOW_MAX: Duration = Duration::from_secs(300);

/// The time of day: since 1970-01-01 UTC.
pub type TimeOfDay = Duration;

/// Settings of a [`Verifier`](super::Verifier).
#[derive(Clone, Debug, PartialEq)]
pub struct HmacSettings {
    /// An advert may be signed with any of them; no two have the same id.
    pub keys: Vec<Key>,
    /// Id of the key that signs our adverts; one of `keys`.
    pub active: u8,
    /// How far a sender's clock may differ from ours, in whole seconds.
    pub window: Duration,
    pub anti_replay: AntiReplay,
    pub mode: HmacMode,
}

/// The protection against replayed adverts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AntiReplay {
    /// An advert must be newer than those before it, and its time must be ours, within the window.
    Time,
    /// An advert must be newer than those before it. Nothing protects the first one.
    Monotonic,
}

/// Steps of a migration, the last one first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HmacMode {
    /// Sign, and accept only signed adverts.
    Enforce,
    /// Sign, and accept unsigned adverts too.
    Permissive,
    /// Do not sign, and accept both.
    ReceiveOnly,
}

impl HmacSettings {
    pub fn signs(&self) -> bool {
        self.mode != HmacMode::ReceiveOnly
    }

    pub fn demands(&self) -> bool {
        self.mode == HmacMode::Enforce
    }

    /// Whether a clock that is `skew` µs ahead of ours is past half of the window: time to correct one of them.
    pub fn is_near_the_edge(&self, skew: i64) -> bool {
        self.anti_replay == AntiReplay::Time && Duration::from_micros(skew.unsigned_abs()) * 2 > self.window
    }

    pub(super) fn key(&self, id: u8) -> Option<&Key> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// `None` if any distance is allowed.
    pub fn window_seconds(&self) -> Option<i64> {
        let seconds = i64::try_from(self.window.as_secs()).ok();
        seconds.filter(|_| self.anti_replay == AntiReplay::Time)
    }
}

impl HmacMode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Permissive => "permissive",
            Self::ReceiveOnly => "receive-only",
        }
    }
}

impl AntiReplay {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Monotonic => "monotonic",
        }
    }
}

/// Unicast senders that are accepted; `None`: all that have the key.
pub type Senders = Option<Arc<[IpAddr]>>;
