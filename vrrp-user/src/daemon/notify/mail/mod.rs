//! Mail about changes, as keepalived words it.
//!
//! Enters: subject and new state. Leaves: mails for one server, in the order of the changes, and their counts in the
//! [`History`]. Absent: waiting. Mails wait in a bounded queue, so that neither hooks nor FIFOs nor the engine notice a
//! server that is unreachable or hangs.
//!
//! A refused mail is tried again after growing pauses, [`PAUSES`] times in all, and then given up with one warning;
//! those behind it wait. Mails that wait together go over one connection.

pub mod smtp;

use std::borrow::Cow;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lettre::message::header::{self, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes};
use lettre::{Address, Message};
use nix::unistd::geteuid;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use self::smtp::{MailMessage, Server, Session, SmtpError};
use super::line::{NotifyState, Subject};
use crate::config::MailSettings;
use crate::daemon::events::EventKind;
use crate::daemon::history::History;
use crate::daemon::probe::attempt::{Failure, Resolver};
use crate::daemon::tasks::Tasks;
use crate::driver::accounts;

/// Most mails that may wait: one for every instance and group of a large configuration.
const WAITING: usize = 4096;

/// Before each further attempt to send a mail.
pub const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];

/// The mail queue and its couriers.
#[derive(Debug)]
pub struct Mailer {
    node: Arc<str>,
    history: Arc<History>,
    post: Option<Post>,
    /// Couriers of earlier configurations still send their mails.
    couriers: Tasks,
}

/// The queue to a courier.
#[derive(Debug)]
struct Post {
    settings: MailSettings,
    mails: mpsc::Sender<Mail>,
}

/// A change to be mailed.
#[derive(Debug)]
struct Mail {
    subject: String,
    body: Cow<'static, str>,
    at: SystemTime,
}

impl Mailer {
    /// Sends nothing before it is [settled](Self::settle).
    pub fn new(node: &Arc<str>, history: &Arc<History>) -> Self {
        let (node, history) = (Arc::clone(node), Arc::clone(history));
        Self { node, history, post: None, couriers: Tasks::default() }
    }

    /// Changes over to another configuration. Must be called within a runtime.
    pub fn settle(&mut self, settings: Option<&MailSettings>) {
        if self.post.as_ref().map(|post| &post.settings) == settings {
            return;
        }
        self.post = settings.map(|settings| {
            let (mails, reported) = mpsc::channel(WAITING);
            self.couriers.spawn(Courier::new(settings, &self.history).run(reported));
            Post { settings: settings.clone(), mails }
        });
    }

    /// Queues a mail; false if none is sent for this change. Never waits.
    pub fn report(&self, subject: Subject<'_>, word: NotifyState) -> bool {
        let Some(post) = &self.post else { return false };
        if word == NotifyState::Fault && !post.settings.faults {
            return false;
        }
        let Some((what, body)) = wording(subject, word) else { return false };
        let (kind, name) = match subject {
            Subject::Instance(name) => ("Instance", name),
            Subject::Group(name) => ("Group", name),
        };
        let subject = format!("[{}] VRRP {kind} {name} - {what}", self.node);
        self.put(post, name, subject, body.into());
        true
    }

    /// A refused peer of an instance; without `detail`, the refusal is over. Never waits.
    pub fn report_rejection(&self, instance: &str, peer: &str, detail: Option<&str>) {
        let Some(post) = self.post.as_ref().filter(|post| post.settings.rejections) else { return };
        let what = if detail.is_some() { "is not heard" } else { "is no longer refused" };
        let subject = format!("[{}] VRRP Instance {instance} - {peer} {what}", self.node);
        let body = detail.map_or_else(
            || format!("No refused advert of {peer} has arrived recently."),
            |detail| format!("Adverts of {peer}, which should be a peer, are refused:\r\n{detail}."),
        );
        self.put(post, instance, subject, body.into());
    }

    fn put(&self, post: &Post, name: &str, subject: String, body: Cow<'static, str>) {
        let reported = post.mails.try_send(Mail { subject, body, at: SystemTime::now() });
        self.history.mails(|mails| if reported.is_ok() { mails.waiting += 1 } else { mails.lost += 1 });
        if reported.is_err() {
            warn!(instance = name, "mail dropped: {WAITING} others wait already");
        }
    }

    /// Waits until all are sent; mails that are unsent when this is dropped are lost, with a warning.
    pub async fn stop(mut self) {
        self.post = None;
        self.couriers.finish().await;
    }
}

impl Drop for Mailer {
    fn drop(&mut self) {
        let waiting = self.history.read().mails.waiting;
        if waiting > 0 {
            warn!(mails = waiting, "mails are lost: the daemon is stopping");
        }
    }
}

const LOST: &str = "=> VRRP Instance is no longer owning VRRP VIPs <=";

/// Subject and text of the changes that are mailed; programs sort mail by these words.
fn wording(subject: Subject<'_>, word: NotifyState) -> Option<(&'static str, &'static str)> {
    let is_group = matches!(subject, Subject::Group(_));
    let body = |group, instance| if is_group { group } else { instance };
    match word {
        NotifyState::Master => Some((
            "Entering MASTER state",
            body(
                "=> All VRRP group instances are now in MASTER state <=",
                "=> VRRP Instance is now owning VRRP VIPs <=",
            ),
        )),
        NotifyState::Backup => Some((
            "Entering BACKUP state",
            body("=> All VRRP group instances are now in BACKUP state <=", LOST),
        )),
        NotifyState::Fault => Some((
            "Entering FAULT state",
            body("=> All VRRP group instances are now in FAULT state <=", LOST),
        )),
        NotifyState::Stop => Some((
            "Stopping",
            body("=> All VRRP group instances are now stopping <=", "=> VRRP Instance stopping <="),
        )),
        NotifyState::Deleted
        | NotifyState::MasterRxLowerPri
        | NotifyState::MasterPriority
        | NotifyState::BackupPriority => None,
    }
}

/// Sends mails to the server.
struct Courier {
    server: Server,
    /// `None` if the host's name makes no address.
    from: Option<Mailbox>,
    to: Mailboxes,
    receivers: Vec<Address>,
    history: Arc<History>,
}

impl Courier {
    fn new(settings: &MailSettings, history: &Arc<History>) -> Self {
        let MailSettings { server, to, from, helo, patience, .. } = settings;
        let host = local_name();
        let receivers = to.iter().map(|mailbox| mailbox.email.clone()).collect();
        Self {
            from: from.clone().or_else(|| own_mailbox(&host)),
            to: to.clone().into(),
            receivers,
            server: Server {
                endpoint: server.clone(),
                hello: helo.as_deref().map_or(host, str::to_owned),
                patience: *patience,
                names: Resolver::new(),
            },
            history: Arc::clone(history),
        }
    }

    /// Runs until the queue is closed and empty.
    async fn run(self, mut reported: mpsc::Receiver<Mail>) {
        let mut session = None;
        while let Some(mail) = reported.recv().await {
            session = self.bring(&mail, session).await;
            if reported.is_empty()
                && let Some(session) = session.take()
            {
                session.close().await;
            }
        }
    }

    /// Sends one mail; returns the session for the next.
    async fn bring(&self, mail: &Mail, mut session: Option<Session>) -> Option<Session> {
        let mut pauses = PAUSES.into_iter();
        let outcome = loop {
            let refusal = match self.attempt(mail, session.take()).await {
                Ok(open) => break Ok(open),
                Err(refusal) => refusal,
            };
            match pauses.next().filter(|_| !refusal.is_final) {
                Some(pause) => {
                    debug!(subject = mail.subject, why = %refusal.why, again_in = ?pause, "mail not sent yet");
                    sleep(pause).await;
                }
                None => break Err(refusal.why),
            }
        };
        self.history.mails(|mails| {
            mails.waiting = mails.waiting.saturating_sub(1);
            mails.is_failing = outcome.is_err();
            match &outcome {
                Ok(_) => mails.sent += 1,
                Err(why) => {
                    mails.failed += 1;
                    mails.failure = Some((SystemTime::now(), why.to_string()));
                }
            }
        });
        match outcome {
            Ok(open) => {
                info!(subject = mail.subject, "mail sent");
                Some(open)
            }
            Err(why) => {
                warn!(subject = mail.subject, %why, "mail not sent; giving up");
                let (subject, why) = (mail.subject.clone(), why.to_string());
                self.history.events.push(EventKind::MailFailed { subject, why });
                None
            }
        }
    }

    async fn attempt(&self, mail: &Mail, session: Option<Session>) -> Result<Session, SmtpError> {
        let letter =
            self.letter(mail).map_err(|error| SmtpError { why: Failure::new(error), is_final: true })?;
        let mut session = match session {
            Some(open) => open,
            None => self.server.open().await?,
        };
        for (receiver, why) in session.send(&letter).await? {
            warn!(%receiver, %why, "the mail server refuses a receiver");
        }
        Ok(session)
    }

    fn letter(&self, mail: &Mail) -> Result<MailMessage, Failure> {
        let from = self.from.clone().ok_or_else(|| Failure::new("`notification_email_from` is not set"))?;
        let sender = from.email.clone();
        let message = Message::builder()
            .date(mail.at)
            .from(from)
            .subject(&*mail.subject)
            .mailbox(header::To::from(self.to.clone()))
            // RFC 3834 §5: automatic responders do not answer it.
            .raw_header(raw("Auto-Submitted", "auto-generated"))
            .raw_header(raw("X-Mailer", concat!("vrrpx/", env!("CARGO_PKG_VERSION"))))
            .body(format!("{}\r\n", mail.body))
            .map_err(Failure::new)?;
        Ok(MailMessage { from: sender, to: self.receivers.clone(), text: message.formatted() })
    }
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// The host's name, with its domain if `/etc/hosts` has it: mail servers want the full name.
fn local_name() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    if host.contains('.') {
        return host;
    }
    with_domain(&host, &fs::read_to_string("/etc/hosts").unwrap_or_default()).unwrap_or(host)
}

/// The first name on the line of `/etc/hosts` that contains the host's name.
fn with_domain(host: &str, hosts: &str) -> Option<String> {
    let names = hosts.lines().map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        line.split_whitespace().skip(1)
    });
    let mut own = names.filter(|names| names.clone().any(|name| name == host));
    own.find_map(|mut names| names.next().filter(|name| name.contains('.'))).map(str::to_owned)
}

/// The daemon's user at its host, if that makes an address.
fn own_mailbox(host: &str) -> Option<Mailbox> {
    let user = accounts::user(geteuid()).ok().flatten().map_or_else(|| "root".to_owned(), |user| user.name);
    let own = Address::new(&*user, host).or_else(|_| Address::new(&*user, "localhost"));
    Some(Mailbox::new(None, own.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_of_the_host_is_that_of_its_line() {
        let hosts = "127.0.0.1 localhost\n# 10.0.0.1 no.example.org node1\n127.0.1.1\tnode1.example.org node1 # own\n";
        assert_eq!(with_domain("node1", hosts).as_deref(), Some("node1.example.org"));
        assert_eq!(with_domain("localhost", hosts), None);
        assert_eq!(with_domain("node2", hosts), None);
    }

    #[test]
    fn each_state_has_its_words_and_what_is_no_state_has_none() {
        let (instance, group) = (Subject::Instance("VI_1"), Subject::Group("G1"));
        for word in [NotifyState::Master, NotifyState::Backup, NotifyState::Fault] {
            let entering = format!("Entering {} state", word.as_str());
            for subject in [instance, group] {
                assert_eq!(wording(subject, word).map(|(what, _)| what), Some(&*entering));
            }
        }
        assert_eq!(wording(group, NotifyState::Stop).map(|(what, _)| what), Some("Stopping"));
        for word in [
            NotifyState::Deleted,
            NotifyState::MasterRxLowerPri,
            NotifyState::MasterPriority,
            NotifyState::BackupPriority,
        ] {
            assert_eq!(wording(instance, word), None);
        }
    }
}
