//! `auth_hmac` of one instance.

use std::sync::Arc;
use std::time::Duration;

use super::super::diagnostic::Report;
use super::super::schema::{HmacDraft, InstanceDraft, KeyDraft, Secret};
use super::super::source::At;
use vrrp_proto::auth::{AntiReplay, HmacMode, HmacSettings, KEY_MAX, KEY_MIN, Key, WINDOW_MAX};
use vrrp_proto::{Auth, Interval};

/// Shortest default `time_window`.
const WINDOW_MIN: Duration = Duration::from_secs(5);

/// Most unicast peers of an instance with anti-replay state.
const PEERS_MAX: usize = 64;

/// `None` after an error, which has been reported.
pub(super) fn resolve(
    hmac: &At<HmacDraft>,
    draft: &InstanceDraft,
    interval: Interval,
    report: &mut Report,
) -> Option<Auth> {
    let HmacDraft { keys, active, window, anti_replay, mode } = &hmac.value;
    if let Some(authentication) = &draft.auth {
        report
            .error(authentication.at, "`authentication` and `auth_hmac` are not used together")
            .help("remove `authentication`");
    }
    if draft.peers.len() > PEERS_MAX {
        report.error(hmac.at, format!("`auth_hmac` supports at most {PEERS_MAX} unicast peers"));
    }
    let Some(first) = keys.first() else {
        if !draft.flawed {
            report.error(hmac.at, "`auth_hmac` needs a `key`").help("write `key 1 file:PATH`");
        }
        return None;
    };
    let active = match active {
        Some(id) if keys.iter().all(|key| i64::from(key.id.value) != id.value) => {
            let known: Vec<String> = keys.iter().map(|key| key.id.value.to_string()).collect();
            report
                .error(id.at, format!("`active_key` names key {}, which is not defined", id.value))
                .help(format!("the keys here: {}", known.join(", ")));
            return None;
        }
        Some(id) => u8::try_from(id.value).ok()?,
        None => {
            let id = first.id.value;
            report
                .warning(
                    hmac.at,
                    format!(
                        "without `active_key`, key {id} signs here; keepalived would neither sign nor verify"
                    ),
                )
                .help(format!(
                    "write `active_key {id}`; without it, this node and a keepalived node both become master"
                ));
            id
        }
    };
    let anti_replay = anti_replay.unwrap_or(AntiReplay::Time);
    if let Some(window) = window.filter(|_| anti_replay == AntiReplay::Monotonic) {
        report.warning(window.at, "`time_window` has no effect with `anti_replay monotonic`");
    }
    let window = window.and_then(|seconds| u64::try_from(seconds.value).ok()).map(Duration::from_secs);
    let keys: Option<Vec<Key>> = keys.iter().map(|key| self::key(key, report)).collect();
    Some(Auth::Hmac(Arc::new(HmacSettings {
        keys: keys?,
        active,
        window: window.unwrap_or_else(|| default_window(interval)),
        anti_replay,
        mode: mode.map_or(HmacMode::Enforce, |mode| mode.value),
    })))
}

fn key(draft: &KeyDraft, report: &mut Report) -> Option<Key> {
    let Some(Secret::Bytes(bytes)) = &draft.secret.value else { return None };
    let key = Key::new(draft.id.value, bytes);
    if key.is_none() {
        let (id, length) = (draft.id.value, bytes.len());
        report
            .error(draft.secret.at, format!("key {id} has {length} bytes; a key has {KEY_MIN} to {KEY_MAX}"));
    }
    key
}

/// Three intervals. As keepalived does, it uses the whole seconds of the interval only.
fn default_window(interval: Interval) -> Duration {
    let seconds = interval.duration().as_secs().saturating_mul(3);
    Duration::from_secs(seconds).clamp(WINDOW_MIN, WINDOW_MAX)
}
