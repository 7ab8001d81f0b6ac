//! Choice of events by time, by what they are about, and by kind.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use super::{Event, EventKind};
use crate::daemon::wall;

/// From where on events are wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventsSince {
    /// After the one with this number.
    Number(u64),
    /// A time ago.
    Ago(Duration),
    At(SystemTime),
}

impl FromStr for EventsSince {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        if let Ok(ago) = wall::span(text) {
            return Ok(Self::Ago(ago));
        }
        wall::parse_local(text, SystemTime::now()).map(Self::At).ok_or_else(|| {
            format!("`{text}` is neither a span (10m, 2h), nor a local time (14:30, \"2026-11-29 14:30\"), nor a number")
        })
    }
}

impl EventsSince {
    /// The number, if it is one.
    pub fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Ago(_) | Self::At(_) => None,
        }
    }

    fn time(self) -> Option<SystemTime> {
        match self {
            Self::Number(_) => None,
            Self::Ago(ago) => SystemTime::now().checked_sub(ago),
            Self::At(at) => Some(at),
        }
    }
}

/// The events that are wanted.
#[derive(Clone, Debug, Default)]
pub struct EventSelection {
    since: Option<SystemTime>,
    name: Option<String>,
    kinds: Vec<String>,
}

impl EventSelection {
    /// # Errors
    /// One of the kinds is none.
    pub fn new(since: Option<EventsSince>, name: Option<String>, kinds: Vec<String>) -> Result<Self, String> {
        if let Some(wrong) = kinds.iter().find(|kind| !EventKind::KINDS.contains(&kind.as_str())) {
            return Err(format!(
                "`{wrong}` is no kind of event; the kinds are {}",
                EventKind::KINDS.join(", ")
            ));
        }
        Ok(Self { since: since.and_then(EventsSince::time), name, kinds })
    }

    pub fn has(&self, event: &Event) -> bool {
        let is_late = self.since.is_none_or(|since| event.time >= since);
        let is_named = self.name.as_deref().is_none_or(|name| event.what.about() == Some(name));
        let is_kind = self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == event.what.kind());
        is_late && is_named && is_kind
    }
}

impl EventKind {
    /// All kinds, by the word in `event`.
    pub const KINDS: [&str; 28] = [
        "transition",
        "group_transition",
        "priority",
        "contest",
        "unyielding",
        "unyielding_over",
        "peer_rejected",
        "peer_rejection_over",
        "check",
        "check_held",
        "check_held_over",
        "send_failed",
        "effect_failed",
        "restored",
        "put_back",
        "abandoned",
        "static_failed",
        "static_restored",
        "static_abandoned",
        "hook_failed",
        "hook_printed",
        "webhook_failed",
        "mail_failed",
        "steered",
        "reload",
        "reload_kept",
        "reload_undone",
        "start_stale",
    ];

    /// The word in `event`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Transition { .. } => "transition",
            Self::GroupTransition { .. } => "group_transition",
            Self::Priority { .. } => "priority",
            Self::Contest { .. } => "contest",
            Self::Unyielding { .. } => "unyielding",
            Self::UnyieldingOver { .. } => "unyielding_over",
            Self::PeerRejected { .. } => "peer_rejected",
            Self::PeerRejectionOver { .. } => "peer_rejection_over",
            Self::Check { .. } => "check",
            Self::CheckHeld { .. } => "check_held",
            Self::CheckHeldOver { .. } => "check_held_over",
            Self::SendFailed { .. } => "send_failed",
            Self::EffectFailed { .. } => "effect_failed",
            Self::Restored { .. } => "restored",
            Self::PutBack { .. } => "put_back",
            Self::Abandoned { .. } => "abandoned",
            Self::StaticFailed { .. } => "static_failed",
            Self::StaticRestored { .. } => "static_restored",
            Self::StaticAbandoned => "static_abandoned",
            Self::HookFailed { .. } => "hook_failed",
            Self::HookPrinted { .. } => "hook_printed",
            Self::WebhookFailed { .. } => "webhook_failed",
            Self::MailFailed { .. } => "mail_failed",
            Self::Steered { .. } => "steered",
            Self::Reload { .. } => "reload",
            Self::ReloadKept => "reload_kept",
            Self::ReloadUndone { .. } => "reload_undone",
            Self::StartStale { .. } => "start_stale",
        }
    }

    /// The instance, sync group or check that it is about.
    pub fn about(&self) -> Option<&str> {
        match self {
            Self::Transition { instance, .. }
            | Self::Priority { instance, .. }
            | Self::Contest { instance, .. }
            | Self::Unyielding { instance, .. }
            | Self::UnyieldingOver { instance, .. }
            | Self::PeerRejected { instance, .. }
            | Self::PeerRejectionOver { instance, .. }
            | Self::SendFailed { instance, .. }
            | Self::EffectFailed { instance, .. }
            | Self::Restored { instance, .. }
            | Self::PutBack { instance, .. }
            | Self::Abandoned { instance } => Some(instance),
            Self::GroupTransition { group, .. } => Some(group),
            Self::Check { check, .. } | Self::CheckHeld { check, .. } | Self::CheckHeldOver { check } => {
                Some(check)
            }
            Self::HookFailed { name, .. }
            | Self::HookPrinted { name, .. }
            | Self::WebhookFailed { name, .. }
            | Self::Steered { name, .. } => Some(name),
            Self::StaticFailed { .. }
            | Self::StaticRestored { .. }
            | Self::StaticAbandoned
            | Self::MailFailed { .. }
            | Self::Reload { .. }
            | Self::ReloadKept
            | Self::ReloadUndone { .. }
            | Self::StartStale { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(ago: u64, what: EventKind) -> Event {
        Event { seq: 1, time: SystemTime::now() - Duration::from_secs(ago), what }
    }

    fn priority(instance: &str) -> EventKind {
        EventKind::Priority { instance: instance.to_owned(), priority: 9 }
    }

    #[test]
    fn since_is_a_number_a_span_or_a_time() {
        assert_eq!("17".parse(), Ok(EventsSince::Number(17)));
        assert_eq!("10m".parse(), Ok(EventsSince::Ago(Duration::from_secs(600))));
        assert!(matches!("2026-11-29 14:30".parse(), Ok(EventsSince::At(_))));
        assert!("yesterday".parse::<EventsSince>().is_err());
    }

    #[test]
    fn events_are_chosen_by_all_of_these() {
        let chosen = |since: Option<&str>, name: Option<&str>, kinds: &[&str], event: &Event| {
            let since = since.map(|since| since.parse().unwrap());
            let kinds = kinds.iter().map(ToString::to_string).collect();
            EventSelection::new(since, name.map(str::to_owned), kinds).unwrap().has(event)
        };
        let old = event(700, priority("web"));
        assert!(chosen(None, None, &[], &old));
        assert!(!chosen(Some("10m"), None, &[], &old));
        assert!(chosen(Some("12m"), Some("web"), &["check", "priority"], &old));
        assert!(!chosen(None, Some("db"), &[], &old));
        assert!(!chosen(None, None, &["check"], &old));
        assert!(EventSelection::new(None, None, vec!["chek".to_owned()]).is_err());
    }

    #[test]
    fn a_kind_is_its_word_in_json() {
        for what in [priority("a"), EventKind::ReloadKept, EventKind::reloaded(&[])] {
            let json = serde_json::to_value(&what).unwrap();
            assert_eq!(json["event"], what.kind());
            assert!(EventKind::KINDS.contains(&what.kind()));
        }
    }
}
