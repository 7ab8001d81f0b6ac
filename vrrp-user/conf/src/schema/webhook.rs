//! `notify_webhook` and its options.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::source::{At, Position};
use super::super::tree::Statement;
use super::super::webhook::{Template, WebhookSettings, WebhookUrl};
use super::draft::{GlobalsDraft, GroupDraft, InstanceDraft, WebhookDraft};
use super::table::{self, Kind, Row};
use super::value;

const FORM: &str = "URL [OPTION VALUE …]";
const RETRIES: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE_MIN: Duration = Duration::from_millis(100);
const PATIENCE_MAX: Duration = Duration::from_secs(60);

pub(super) const GLOBALS: &[Row<GlobalsDraft>] = &[Row::works(
    "notify_webhook",
    Kind::Open(FORM, |globals, statement, report| read(&mut globals.webhooks, statement, report)),
    "",
    "URL to post changes of all instances and groups to; may be repeated; see [webhooks](#webhooks)",
)];

pub(super) const INSTANCE: &[Row<InstanceDraft>] = &[Row::works(
    "notify_webhook",
    Kind::Open(FORM, |it, statement, report| read(&mut it.webhooks, statement, report)),
    "",
    "URL to post changes to, in addition to those of `global_defs`; may be repeated",
)];

pub(super) const GROUP: &[Row<GroupDraft>] = &[Row::works(
    "notify_webhook",
    Kind::Open(FORM, |it, statement, report| read(&mut it.webhooks, statement, report)),
    "",
    "URL to post changes of the group to, in addition to those of `global_defs`; may be repeated",
)];

pub(super) const OPTIONS: &[Row<WebhookDraft>] = &[
    Row::works(
        "template",
        Kind::Own("`slack`, `generic` or PATH", template),
        "`generic`",
        "form of the payload: one text, all fields, or a file with placeholders",
    ),
    Row::works("header", Kind::Own("\"NAME: VALUE\"", header), "", "HTTP header; may be repeated"),
    Row::works(
        "retries",
        Kind::Integer(0, 20, |it, n| it.settings.retries = u32::try_from(n.value).unwrap_or(RETRIES)),
        "5",
        "attempts after the first one, after pauses of about 1, 2, 4 … 60 seconds",
    ),
    Row::works(
        "timeout",
        Kind::Seconds(PATIENCE_MIN, PATIENCE_MAX, |it, t| it.settings.patience = t.value),
        "5",
        "time limit of one attempt",
    ),
    Row::works(
        "tls_verify",
        Kind::Bool(|it, on| it.settings.verify_tls = on.value),
        "on",
        "this host must trust the certificate",
    ),
    Row::works(
        "peer_rejected",
        Kind::Bool(|it, on| it.settings.rejections = on.value),
        "off",
        "also post when adverts of a router that should be a peer are rejected (`peer_rejected`), and when that ends \
         (`peer_rejection_over`)",
    ),
];

/// No finding quotes the URL or a header: they may be secret.
fn read(webhooks: &mut Vec<WebhookDraft>, statement: &Statement, report: &mut Report) {
    let Statement { keyword, args, block } = statement;
    let Some((url, options)) = args.split_first() else {
        report.error(keyword.at, "`notify_webhook` needs a URL");
        return;
    };
    let Some(parsed) = WebhookUrl::parse(&url.text) else {
        report
            .error(url.at, "`notify_webhook` needs an HTTP URL")
            .help("it begins with `http://` or `https://`");
        return;
    };
    let mut draft = WebhookDraft {
        settings: WebhookSettings {
            url: parsed,
            template: Template::Generic,
            headers: Vec::new(),
            retries: RETRIES,
            patience: PATIENCE,
            verify_tls: true,
            rejections: false,
        },
        file: None,
    };
    let torn = options.iter().zip(options.iter().skip(1));
    if let Some((_, value)) =
        torn.into_iter().find(|(word, value)| word.text == "header" && pair(value).is_none())
    {
        no_header(value.at, report);
        return;
    }
    table::read_options(OPTIONS, "after a URL", options, &mut draft, report);
    if let Some(inner) = block {
        table::read_block(&[OPTIONS], "notify_webhook", inner, &mut draft, report);
    }
    sent_in_clear(&draft, url.at, report);
    webhooks.push(draft);
}

/// Warns of headers sent unencrypted, which may hold a secret.
fn sent_in_clear(draft: &WebhookDraft, at: Position, report: &mut Report) {
    let url = draft.settings.url.expose();
    let is_local = url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    });
    if url.scheme() == "http" && !draft.settings.headers.is_empty() && !is_local {
        report
            .warning(at, "headers are sent unencrypted over `http://`")
            .help("use `https://`, or `http://` to this host only");
    }
}

fn template(it: &mut WebhookDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word(&keyword.text, keyword.at, args, report) else { return };
    it.file = None;
    match word.text.as_str() {
        "slack" => it.settings.template = Template::Slack,
        "generic" => it.settings.template = Template::Generic,
        path if path.starts_with('/') => it.file = Some(At { value: path.into(), at: word.at }),
        other => {
            report
                .error(word.at, format!("`template` is slack, generic or a path, not `{other}`"))
                .help("a path begins with `/`; `${_PWD}/NAME` is next to the configuration");
        }
    }
}

/// Takes one word: several are a header without quotes.
fn header(it: &mut WebhookDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    match args {
        [word] if pair(word).is_some() => it.settings.headers.extend(pair(word)),
        _ => no_header(args.first().map_or(keyword.at, |word| word.at), report),
    }
}

fn no_header(at: Position, report: &mut Report) {
    report.error(at, "`header` needs NAME: VALUE").help("put it in quotes, as it contains a blank");
}

fn pair(word: &Word) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = word.text.split_once(':')?;
    let mut value: HeaderValue = value.trim().parse().ok().filter(|value: &HeaderValue| !value.is_empty())?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}
