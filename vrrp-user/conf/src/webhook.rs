//! Webhook payloads, their templates, and URLs that hide their secrets when shown.
//!
//! Enters: the text of a template, when a configuration is read. Leaves: JSON for one change. Absent: HTTP.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use serde_json::json;
use thiserror::Error;
use url::Url;

/// A webhook that receives changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WebhookSettings {
    pub url: WebhookUrl,
    pub template: Template,
    /// With their values marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Attempts after the first one.
    pub retries: u32,
    /// Longest time for one attempt.
    pub patience: Duration,
    pub verify_tls: bool,
    /// Post rejected peers too.
    pub rejections: bool,
}

/// A URL whose path may be a secret, as Slack's is. Shows scheme, host and port only.
#[derive(Clone, Eq, PartialEq)]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// `None` if `text` is not an HTTP URL.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(Self(url))
    }

    /// Whether the host is a name, which must be looked up.
    pub fn has_name(&self) -> bool {
        matches!(self.0.host(), Some(url::Host::Domain(_)))
    }

    /// The whole URL, for the request.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(url) = self;
        write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        let is_all = matches!(url.path(), "" | "/") && url.query().is_none();
        f.write_str(if is_all { "" } else { "/…" })
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Kind of event that is posted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WebhookEvent {
    #[default]
    Transition,
    /// Adverts of a router that should be a peer are rejected.
    PeerRejected,
    PeerRejectionOver,
}

impl WebhookEvent {
    /// The name, as in the event log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transition => "transition",
            Self::PeerRejected => "peer_rejected",
            Self::PeerRejectionOver => "peer_rejection_over",
        }
    }
}

/// A change of one instance or group, or a rejected peer, with all fields of a payload.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct WebhookPayload {
    pub event: WebhookEvent,
    /// RFC 3339 in UTC.
    pub time: String,
    pub router_id: Arc<str>,
    /// `instance` or `group`.
    pub kind: &'static str,
    pub name: Arc<str>,
    /// `MASTER`, `BACKUP`, `FAULT`, `STOP` or `DELETED`.
    pub state: &'static str,
    pub previous: &'static str,
    /// For a rejected peer, as in status.
    pub reason: Cow<'static, str>,
    /// The difference between the two nodes; empty for a transition.
    pub detail: Cow<'static, str>,
    /// 0 for a group.
    pub priority: u8,
    pub epoch: u64,
    /// Sender of the advert that caused it; empty without one.
    pub peer: String,
    /// Empty for a group, as the next two.
    pub interface: Arc<str>,
    pub vrid: Option<u8>,
    pub addresses: Vec<String>,
    /// Earlier changes of the same instance or group that this one overtook before they were posted.
    pub skipped: u64,
}

impl WebhookPayload {
    /// One sentence, for display.
    pub fn text(&self) -> String {
        let Self { router_id, name, state, reason, peer, detail, .. } = self;
        let mut text = match self.event {
            WebhookEvent::Transition => self.transition_text(),
            WebhookEvent::PeerRejected => {
                format!("{router_id}: {name} ({state}) rejects adverts from {peer}: {detail}")
            }
            WebhookEvent::PeerRejectionOver => {
                format!("{router_id}: {name} ({state}) no longer rejects adverts from {peer} ({reason})")
            }
        };
        if self.skipped > 0 {
            text.push_str(&format!("; {} earlier changes were not posted", self.skipped));
        }
        text
    }

    fn transition_text(&self) -> String {
        let Self { router_id, name, state, previous, reason, .. } = self;
        let kind = if self.kind == "group" { "group " } else { "" };
        let mut text = format!("{router_id}: {kind}{name} is {state}, was {previous} ({reason}");
        if !self.peer.is_empty() {
            text.push_str(", peer ");
            text.push_str(&self.peer);
        }
        text.push(')');
        text
    }

    /// Whether this, the later of the two, makes `other` obsolete: one transition is kept for each instance and group,
    /// one change for each rejected peer.
    pub fn replaces(&self, other: &Self) -> bool {
        let of_peer =
            |it: &Self| (it.event != WebhookEvent::Transition).then(|| (it.peer.clone(), it.reason.clone()));
        (self.kind, &self.name, of_peer(self)) == (other.kind, &other.name, of_peer(other))
    }
}

/// A field of a template, `${…}`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Field {
    Event,
    Time,
    RouterId,
    Kind,
    Name,
    State,
    Previous,
    Reason,
    Detail,
    Priority,
    Epoch,
    Peer,
    Interface,
    Vrid,
    Addresses,
    Skipped,
    Text,
}

const FIELDS: [(&str, Field); 17] = [
    ("event", Field::Event),
    ("time", Field::Time),
    ("router_id", Field::RouterId),
    ("kind", Field::Kind),
    ("name", Field::Name),
    ("state", Field::State),
    ("previous", Field::Previous),
    ("reason", Field::Reason),
    ("detail", Field::Detail),
    ("priority", Field::Priority),
    ("epoch", Field::Epoch),
    ("peer", Field::Peer),
    ("interface", Field::Interface),
    ("vrid", Field::Vrid),
    ("addresses", Field::Addresses),
    ("skipped", Field::Skipped),
    ("text", Field::Text),
];

impl Field {
    fn of(self, reported: &WebhookPayload) -> String {
        match self {
            Self::Event => reported.event.as_str().to_owned(),
            Self::Time => reported.time.clone(),
            Self::RouterId => reported.router_id.to_string(),
            Self::Kind => reported.kind.to_owned(),
            Self::Name => reported.name.to_string(),
            Self::State => reported.state.to_owned(),
            Self::Previous => reported.previous.to_owned(),
            Self::Reason => reported.reason.to_string(),
            Self::Detail => reported.detail.to_string(),
            Self::Priority => reported.priority.to_string(),
            Self::Epoch => reported.epoch.to_string(),
            Self::Peer => reported.peer.clone(),
            Self::Interface => reported.interface.to_string(),
            Self::Vrid => reported.vrid.unwrap_or_default().to_string(),
            Self::Addresses => reported.addresses.join(", "),
            Self::Skipped => reported.skipped.to_string(),
            Self::Text => reported.text(),
        }
    }
}

/// Form of the posted payload.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Template {
    /// `{"text": …}`, as Slack and compatible services accept it.
    Slack,
    /// JSON with every field.
    Generic,
    /// Read from a file.
    Own(Arc<Own>),
}

/// A template file, split into its parts.
#[derive(Debug, Eq, PartialEq)]
pub struct Own {
    /// The file, as given.
    file: Arc<str>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Debug, Eq, Error, PartialEq)]
pub enum TemplateError {
    #[error("line {line}: unknown field `${{{name}}}`")]
    Unknown { line: usize, name: String },
    #[error("line {line}: `${{` without `}}`")]
    Open { line: usize },
    /// Checked with sample values for the fields.
    #[error("its result is not JSON: {0}")]
    NotJson(String),
}

impl Template {
    /// # Errors
    /// A `${…}` in it is unknown, or its result is not JSON.
    pub fn parse(file: &str, text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let line = || 1 + text.len().checked_sub(after.len()).map_or(0, |at| newlines(text, at));
            let (name, behind) = after.split_once('}').ok_or_else(|| TemplateError::Open { line: line() })?;
            let field = FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
            let field =
                field.ok_or_else(|| TemplateError::Unknown { line: line(), name: name.to_owned() })?;
            parts.extend([Part::Text(before.to_owned()), Part::Field(field)]);
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        let template = Self::Own(Arc::new(Own { file: file.into(), parts }));
        let sample = WebhookPayload {
            name: "a".into(),
            state: "MASTER",
            peer: "::1".to_owned(),
            ..WebhookPayload::default()
        };
        match serde_json::from_str::<serde_json::Value>(&template.fill(&sample)) {
            Ok(_) => Ok(template),
            Err(error) => Err(TemplateError::NotJson(error.to_string())),
        }
    }

    /// Names of the fields.
    pub fn fields() -> impl Iterator<Item = &'static str> {
        FIELDS.iter().map(|(name, _)| *name)
    }

    /// The JSON for a change.
    pub fn fill(&self, reported: &WebhookPayload) -> String {
        match self {
            Self::Slack => json!({ "text": escaped_for_slack(&reported.text()) }).to_string(),
            Self::Generic => generic(reported),
            Self::Own(own) => own.parts.iter().map(|part| part.fill(reported)).collect(),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slack => "slack",
            Self::Generic => "generic",
            Self::Own(own) => &own.file,
        })
    }
}

impl Part {
    fn fill(&self, reported: &WebhookPayload) -> String {
        match self {
            Self::Text(text) => text.clone(),
            // A JSON string without its quotes, which are in the template.
            Self::Field(field) => {
                let quoted = json!(field.of(reported)).to_string();
                quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or_default().to_owned()
            }
        }
    }
}

fn newlines(text: &str, before: usize) -> usize {
    text.bytes().take(before).filter(|byte| *byte == b'\n').count()
}

fn generic(reported: &WebhookPayload) -> String {
    let is_group = reported.kind == "group";
    let peer = Some(&reported.peer).filter(|peer| !peer.is_empty());
    let detail = Some(&reported.detail).filter(|detail| !detail.is_empty());
    json!({
        "event": reported.event.as_str(),
        "time": reported.time,
        "router_id": &*reported.router_id,
        "kind": reported.kind,
        "name": &*reported.name,
        "state": reported.state,
        "previous": reported.previous,
        "reason": reported.reason,
        "detail": detail,
        "priority": (!is_group).then_some(reported.priority),
        "epoch": reported.epoch,
        "peer": peer,
        "interface": (!is_group).then_some(&*reported.interface),
        "vrid": reported.vrid,
        "addresses": reported.addresses,
        "skipped": reported.skipped,
        "text": reported.text(),
    })
    .to_string()
}

/// Escapes the three characters of Slack's markup.
fn escaped_for_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported() -> WebhookPayload {
        WebhookPayload {
            time: "2026-11-21T10:00:00.000Z".to_owned(),
            router_id: "node1".into(),
            kind: "instance",
            name: "a \"<b>\" & c".into(),
            state: "MASTER",
            previous: "BACKUP",
            reason: "master_silent".into(),
            priority: 100,
            epoch: 3,
            addresses: vec!["192.0.2.1/24".to_owned()],
            vrid: Some(51),
            ..WebhookPayload::default()
        }
    }

    fn filled(template: &Template) -> serde_json::Value {
        serde_json::from_str(&template.fill(&reported())).unwrap()
    }

    #[test]
    fn a_url_shows_its_host_only() {
        for (url, shown) in [
            ("https://hooks.slack.com/services/T0/B0/secret", "https://hooks.slack.com/…"),
            ("http://user:password@[::1]:8080/?token=secret", "http://[::1]:8080/…"),
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ] {
            let url = WebhookUrl::parse(url).unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
        }
        assert_eq!(
            ["ftp://a/", "a", "http://", "mailto:a@b"].map(WebhookUrl::parse),
            [None, None, None, None]
        );
    }

    #[test]
    fn slack_gets_its_letters_escaped() {
        let text = "node1: a \"&lt;b&gt;\" &amp; c is MASTER, was BACKUP (master_silent)";
        assert_eq!(filled(&Template::Slack), json!({ "text": text }));
    }

    #[test]
    fn generic_has_every_field_and_null_for_what_is_not_there() {
        let generic = filled(&Template::Generic);
        for field in Template::fields() {
            assert!(generic.get(field).is_some(), "{field}: {generic}");
        }
        assert!(generic["peer"].is_null() && generic["detail"].is_null());
        assert_eq!((&generic["vrid"], &generic["priority"]), (&json!(51), &json!(100)));
        let group = WebhookPayload { kind: "group", vrid: None, ..reported() };
        let group: serde_json::Value = serde_json::from_str(&Template::Generic.fill(&group)).unwrap();
        assert!(group["priority"].is_null() && group["interface"].is_null() && group["vrid"].is_null());
    }

    #[test]
    fn a_refused_peer_is_named_with_what_differs() {
        let rejected = WebhookPayload {
            event: WebhookEvent::PeerRejected,
            peer: "192.0.2.2".to_owned(),
            reason: "auth_data".into(),
            detail: "it has another password".into(),
            ..reported()
        };
        let text = "node1: a \"<b>\" & c (MASTER) rejects adverts from 192.0.2.2: it has another password";
        assert_eq!(rejected.text(), text);
        let generic: serde_json::Value = serde_json::from_str(&Template::Generic.fill(&rejected)).unwrap();
        assert_eq!((&generic["event"], &generic["reason"]), (&json!("peer_rejected"), &json!("auth_data")));
        assert_eq!(generic["detail"], json!("it has another password"));
        let over =
            WebhookPayload { event: WebhookEvent::PeerRejectionOver, detail: "".into(), ..rejected.clone() };
        assert!(over.replaces(&rejected) && !over.replaces(&reported()) && reported().replaces(&reported()));
        assert!(!over.replaces(&WebhookPayload { peer: "192.0.2.3".to_owned(), ..rejected }));
    }

    #[test]
    fn a_template_is_filled_with_what_json_needs_escaped() {
        let text = "{\"content\": \"${name}: $ {\\u0024{x}\",\n \"n\": [${priority}, ${vrid}, ${skipped}]}";
        let template = Template::parse("f", text).unwrap();
        assert_eq!(filled(&template), json!({ "content": "a \"<b>\" & c: $ {${x}", "n": [100, 51, 0] }));
    }

    #[test]
    fn a_template_that_gives_no_json_is_refused() {
        for (text, why) in [
            ("{\n\"a\": \"${nmae}\"}", "line 2: unknown field `${nmae}`"),
            ("{\"a\": \"${name\"", "line 1: `${` without `}`"),
            ("{\"a\": ${name}}", "its result is not JSON: expected value at line 1 column 7"),
            ("", "its result is not JSON: EOF while parsing a value at line 1 column 0"),
        ] {
            assert_eq!(Template::parse("f", text).unwrap_err().to_string(), why, "{text}");
        }
    }
}
