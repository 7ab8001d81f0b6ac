//! Events as lines for people.

use std::fmt;

use super::{Event, EventKind};
use crate::daemon::wall::{self, shown_of};

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", wall::shown_millis(self.time), self.what)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = |more: &u64| if *more > 0 { format!(", and {more} more") } else { String::new() };
        match self {
            Self::Transition { instance, from, to, reason, priority, peer, .. } => {
                write!(f, "{instance}: {from} -> {to} ({reason}), priority {priority}")?;
                peer.as_ref().map_or(Ok(()), |peer| write!(f, ", peer {peer}"))
            }
            Self::GroupTransition { group, from, to, reason, member, .. } => {
                write!(f, "group {group}: {from} -> {to} ({reason} of {member})")
            }
            Self::Priority { instance, priority } => write!(f, "{instance}: priority {priority}"),
            Self::Contest { instance, peer, more } => {
                write!(f, "{instance}: {peer} is also master, with lower priority{}", others(more))
            }
            Self::Unyielding { instance, peer, detail } => {
                write!(f, "{instance}: {peer} is also master, and does not yield: {detail}")
            }
            Self::UnyieldingOver { instance, peer } => {
                write!(f, "{instance}: {peer} and this node are no longer both master")
            }
            Self::PeerRejected { instance, peer, detail, .. } => {
                write!(f, "{instance}: {peer} is not heard: {detail}")
            }
            Self::PeerRejectionOver { instance, peer, reason } => {
                write!(f, "{instance}: adverts of {peer} are no longer refused ({reason})")
            }
            Self::Check { check, up, outcome } => {
                write!(f, "check {check} is {}: {outcome}", if *up { "up" } else { "down" })
            }
            Self::CheckHeld { check, reason } => write!(f, "check {check} is held as failed ({reason})"),
            Self::CheckHeldOver { check } => write!(f, "check {check} is no longer held"),
            Self::SendFailed { instance, interface, error, more } => {
                write!(f, "{instance}: cannot send an advert on {interface}: {error}{}", others(more))
            }
            Self::EffectFailed { instance, object, error, more } => {
                write!(f, "{instance}: {object}: {error}{}", others(more))
            }
            Self::Restored { instance, object, more } => {
                write!(f, "{instance}: {object} is set now{}", others(more))
            }
            Self::PutBack { instance, object, more } => {
                write!(f, "{instance}: {object} was removed and is set again{}", others(more))
            }
            Self::Abandoned { instance } => {
                write!(
                    f,
                    "{instance}: another process keeps removing routes and rules; they are not set again"
                )
            }
            Self::StaticFailed { object, error, more } => {
                write!(f, "static {object} cannot be set: {error}{}", others(more))
            }
            Self::StaticRestored { object, more } => {
                write!(f, "static {object} is set now{}", others(more))
            }
            Self::StaticAbandoned => {
                f.write_str("another process keeps removing static routes and rules; they are not set again")
            }
            Self::HookFailed { name, keyword, state, end, output } => {
                write!(f, "{name}: {keyword} for {state} failed: {end}")?;
                let last = output.as_deref().and_then(|output| output.lines().last());
                last.map_or(Ok(()), |last| write!(f, "; it printed: {last}"))
            }
            Self::HookPrinted { name, keyword, state, output } => {
                write!(
                    f,
                    "{name}: {keyword} for {state} printed: {}",
                    output.lines().last().unwrap_or_default()
                )
            }
            Self::WebhookFailed { webhook, name, state, why } => {
                write!(f, "{name}: {state} not posted to {webhook}: {why}")
            }
            Self::Steered { name, what, by, until, why } => {
                write!(f, "{name}: {what}, by {by}")?;
                if let Some(until) = until {
                    write!(f, ", until {}", shown_of(until))?;
                }
                why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Self::MailFailed { subject, why } => write!(f, "mail {subject:?} not sent: {why}"),
            Self::Reload { done: true, changes, .. } if changes.is_empty() => f.write_str("reloaded"),
            Self::Reload { done: true, changes, .. } => write!(f, "reloaded: {}", changes.join("; ")),
            Self::Reload { findings, .. } => {
                write!(f, "the configuration is refused: {}", findings.join("; "))
            }
            Self::StartStale { findings } => {
                write!(f, "started with the last good configuration: {}", findings.join("; "))
            }
            Self::ReloadKept => f.write_str("the reload is kept"),
            Self::ReloadUndone { seconds } => {
                write!(
                    f,
                    "the reload was not kept within {seconds} s: the configuration before it is in use again, and the \
                     file differs from it"
                )
            }
        }
    }
}
