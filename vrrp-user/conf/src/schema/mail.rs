//! Mail about changes: keywords of `global_defs`, instances and groups.

use std::time::Duration;

use lettre::message::Mailbox;

use super::super::check::{Endpoint, Host};
use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::model::MailSettings;
use super::super::source::{At, Position};
use super::super::tree::Statement;
use super::draft::{GlobalsDraft, GroupDraft, InstanceDraft, MailDraft};
use super::table::{GLOBAL_DEFS, Kind, Row};
use super::value::{self, SPAN_MAX};

const PORT: u16 = 25;
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_MIN: Duration = Duration::from_secs(1);

/// Domain for a name without one.
const DOMAIN: &str = "localhost";

pub(super) const GLOBALS: &[Row<GlobalsDraft>] = &[
    Row::works(
        "notification_email",
        Kind::Block("", receivers),
        "",
        "receivers of mail, one address per line",
    ),
    Row::works(
        "notification_email_from",
        Kind::Own("ADDRESS", |globals, keyword, args, report| {
            globals.mail.from = sender(keyword, args, report);
        }),
        "user of the daemon at the host's name",
        "sender of mail",
    ),
    Row::works(
        "smtp_server",
        Kind::Own("HOST [PORT]", server),
        "none; port 25",
        "mail server; its name is resolved again for each connection",
    ),
    Row::works(
        "smtp_helo_name",
        Kind::Text(|globals, name| globals.mail.helo = Some(name.value)),
        "host name",
        "name in the greeting to the mail server",
    ),
    Row::works(
        "smtp_connect_timeout",
        Kind::Seconds(PATIENCE_MIN, SPAN_MAX, |globals, t| globals.mail.patience = Some(t.value)),
        "30",
        "time limit for each step with the mail server",
    ),
    Row::works(
        "smtp_alert",
        Kind::Bool(|globals, on| globals.mail.alert = Some(on)),
        "off",
        "default `smtp_alert` of instances and groups",
    ),
    Row::works(
        "smtp_alert_vrrp",
        Kind::Bool(|globals, on| globals.mail.alert_vrrp = Some(on)),
        "`smtp_alert`",
        "as `smtp_alert`; takes precedence",
    ),
    Row::works(
        "no_email_faults",
        Kind::Flag(|globals, _| globals.mail.no_faults = true),
        "off",
        "no mail about FAULT",
    ),
    Row::works(
        "smtp_alert_peer_rejected",
        Kind::Bool(|globals, on| globals.mail.rejections = on.value),
        "off",
        "instances with `smtp_alert` also send mail when adverts of a router that should be a peer are rejected, and \
         when that ends",
    ),
];

pub(super) const INSTANCE: &[Row<InstanceDraft>] = &[Row::works(
    "smtp_alert",
    Kind::Bool(|it, on| it.mail = Some(on)),
    "`smtp_alert_vrrp`",
    "mail about each change of the state",
)];

pub(super) const GROUP: &[Row<GroupDraft>] = &[Row::works(
    "smtp_alert",
    Kind::Bool(|it, on| it.mail = Some(on)),
    "`smtp_alert_vrrp`",
    "mail about each change of the group's state",
)];

impl MailDraft {
    /// Default of `smtp_alert` for instances and groups.
    pub(crate) fn default_alert(&self) -> bool {
        self.alert_vrrp.or(self.alert).is_some_and(|on| on.value)
    }

    /// `None` if no mail can be sent. `wanted`: the `smtp_alert` of instances and groups.
    pub(crate) fn settings(
        self,
        wanted: impl Iterator<Item = At<bool>>,
        report: &mut Report,
    ) -> Option<MailSettings> {
        let Self { server, to, from, helo, patience, no_faults, rejections, alert, alert_vrrp } = self;
        match (server, to.filter(|to| !to.value.is_empty())) {
            (Some(server), Some(to)) => Some(MailSettings {
                server: server.value,
                to: to.value,
                from,
                helo,
                patience: patience.unwrap_or(PATIENCE),
                faults: !no_faults,
                rejections,
            }),
            (None, None) => {
                let mut alerts = [alert, alert_vrrp].into_iter().flatten().chain(wanted);
                if let Some(alert) = alerts.find(|alert| alert.value) {
                    nothing_sent(alert.at, "there is neither `smtp_server` nor `notification_email`", report);
                }
                None
            }
            (Some(server), None) => {
                nothing_sent(server.at, "there is no `notification_email`", report);
                None
            }
            (None, Some(to)) => {
                nothing_sent(to.at, "there is no `smtp_server`", report);
                None
            }
        }
    }
}

fn nothing_sent(at: Position, why: &str, report: &mut Report) {
    report
        .warning(at, format!("no mail is sent: {why}"))
        .help("write both `smtp_server` and `notification_email { … }` in global_defs");
}

fn server(globals: &mut GlobalsDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let (host, port) = match args {
        [] => {
            report.error(keyword.at, "`smtp_server` needs a host name or address");
            return;
        }
        [host] => (host, None),
        [host, port] => (host, Some(port)),
        [_, _, extra, ..] => {
            report.left_out(extra.at, format!("unexpected `{}` after a host and a port", extra.text));
            return;
        }
    };
    let Ok(name) = host.text.parse::<Host>() else {
        report.left_out(host.at, format!("`{}` is neither a host name nor an address", host.text));
        return;
    };
    let number = match port {
        None => PORT,
        Some(port) => match port.text.parse::<u16>() {
            Ok(number) if number > 0 => number,
            _ => {
                report.left_out(port.at, format!("a port is a number from 1 to 65535, not `{}`", port.text));
                return;
            }
        },
    };
    globals.mail.server = Some(At { value: Endpoint { host: name, port: number }, at: host.at });
}

/// Several blocks add up, as with keepalived.
fn receivers(globals: &mut GlobalsDraft, statement: &Statement, inner: &[Statement], report: &mut Report) {
    let at = statement.keyword.at;
    let to = &mut globals.mail.to.get_or_insert_with(|| At { value: Vec::new(), at }).value;
    for line in value::lines(inner, report, &|_| true) {
        if report.homes.iter().any(|(home, has)| *home == GLOBAL_DEFS && has(&line.keyword.text)) {
            let message = "this line is taken for a mail address, as with keepalived: it sets nothing";
            report
                .warning_once("swallowed", line.keyword.at, message)
                .help("is the `{` behind `notification_email`, or its `}`, missing?");
            continue;
        }
        let words: Vec<&Word> = std::iter::once(&line.keyword).chain(&line.args).collect();
        match joined(&words).parse() {
            Ok(with_name) => to.push(with_name),
            Err(_) => to.extend(words.iter().filter_map(|word| mailbox(&word.text, word.at, report))),
        }
    }
    to.dedup();
}

fn sender(keyword: &Word, args: &[Word], report: &mut Report) -> Option<Mailbox> {
    let Some(first) = args.first() else {
        report.left_out(keyword.at, format!("`{}` needs an address", keyword.text));
        return None;
    };
    mailbox(&joined(&args.iter().collect::<Vec<_>>()), first.at, report)
}

fn joined(words: &[&Word]) -> String {
    words.iter().map(|word| &*word.text).collect::<Vec<_>>().join(" ")
}

/// `ADDRESS` or `NAME <ADDRESS>`. An invalid one is a warning only: mail must not prevent the daemon from running.
fn mailbox(text: &str, at: Position, report: &mut Report) -> Option<Mailbox> {
    if let Ok(mailbox) = text.parse() {
        return Some(mailbox);
    }
    let local = format!("{text}@{DOMAIN}").parse().ok().filter(|_| !text.contains('@'));
    match &local {
        Some(local) => report.warning(at, format!("`{text}` has no domain; {local} is used")),
        None => report.warning(at, format!("`{text}` is not a mail address; it is left out")),
    };
    local
}
