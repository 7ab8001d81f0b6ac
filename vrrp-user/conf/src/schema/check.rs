//! `vrrp_check`: built-in checks.

use std::path::{Path, PathBuf};

use http::Method;
use http::header::{HeaderName, HeaderValue};
use url::Url;

use super::super::check::{
    CheckTarget, Containers, DnsTarget, DockerTarget, Endpoint, HaproxyTarget, Host, HttpTarget, Processes,
};
use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::model::ScriptCommand;
use super::super::source::At;
use super::super::tree::Statement;
use super::draft::{Draft, HttpDraft, ScriptDraft};
use super::table::{Kind, Row, Tables};
use super::{hold, script, value, watch};

pub(super) const TABLES: Tables<ScriptDraft> =
    &[TARGETS, watch::FILE_ROWS, watch::PROCESS_ROWS, script::ROWS, hold::ROWS];

const DOCKER_SOCKET: &str = "/var/run/docker.sock";

const TARGETS: &[Row<ScriptDraft>] = &[
    Row::works(
        "tcp",
        Kind::Own("HOST:PORT", tcp),
        "",
        "a connection is accepted; IPv6 addresses in brackets",
    ),
    Row::works("unix", Kind::Own("PATH", unix), "", "a connection to this socket is accepted"),
    Row::works("http", Kind::Own("URL", http), "", "the answer has a status of `status` and contains `body`"),
    Row::works("method", Kind::Own("METHOD", method), "`GET`", "of `http`"),
    Row::works("header", Kind::Own("\"NAME: VALUE\"", header), "", "of `http`; may be repeated"),
    Row::works(
        "status",
        Kind::Own("CODE or LOW-HIGH", status),
        "`200-399`",
        "of `http`; redirects are not followed",
    ),
    Row::works(
        "body",
        Kind::Text(|check, text| check.http.body = Some(text)),
        "",
        "of `http`: text within the first 64 KiB of the answer",
    ),
    Row::works(
        "tls_verify",
        Kind::Bool(|check, on| check.http.verify_tls = Some(on)),
        "on",
        "of `http`: this host must trust the certificate",
    ),
    Row::works(
        "haproxy",
        Kind::Own("SOCKET [BACKEND [SERVERS]]", haproxy),
        "",
        "HAProxy answers on its stats socket and is not stopping; SERVERS (1) of BACKEND are up",
    ),
    Row::works(
        "docker",
        Kind::Own("NAME… or label KEY[=VALUE]", docker),
        "",
        "all these containers run, and those with a health check are healthy; follows the Docker engine's events",
    ),
    Row::works(
        "docker_socket",
        Kind::Text(|check, path| check.docker_socket = Some(path)),
        "`/var/run/docker.sock`",
        "of `docker`",
    ),
    Row::works("systemd", Kind::Own("UNIT", systemd), "", "the unit is active; follows systemd's signals"),
    Row::works(
        "dns",
        Kind::Own("NAME [SERVER[:PORT]]", dns),
        "",
        "the server, or one of this host's, resolves NAME to an address",
    ),
    Row::works("ping", Kind::Own("HOST", ping), "", "an ICMP echo request is answered"),
    Row::works(
        "process",
        Kind::Own("NAME, pidfile PATH or cmdline TEXT", process),
        "",
        "it runs; its end is detected at once. NAME is the program's, or the 15 bytes of it that the kernel keeps",
    ),
    Row::works(
        "exec",
        Kind::Own("PROGRAM [ARGUMENT…]", exec),
        "",
        "exit status 0 is good; no shell is started",
    ),
];

pub(super) fn read(draft: &mut Draft, statement: &Statement, inner: &[Statement], report: &mut Report) {
    script::read_as("vrrp_check", TABLES, draft, statement, inner, report);
    if let Some(check) = draft.scripts.last_mut() {
        finish(check, report);
    }
}

/// Combines the keywords of one target.
fn finish(check: &mut ScriptDraft, report: &mut Report) {
    let http = std::mem::take(&mut check.http);
    let socket = check.docker_socket.take();
    let target = check.target.as_mut().map(|target| &mut target.value);
    match target {
        Some(CheckTarget::Http(target)) => http.apply(target),
        _ => http.refuse(report),
    }
    match (check.target.as_mut().map(|target| &mut target.value), socket) {
        (Some(CheckTarget::Docker(target)), Some(socket)) => {
            // As DOCKER_HOST has it.
            target.socket = PathBuf::from(socket.value.strip_prefix("unix://").unwrap_or(&socket.value));
        }
        (_, Some(socket)) => {
            report.error(socket.at, "`docker_socket` belongs to `docker`, which this check does not have");
        }
        (_, None) => {}
    }
    let process = std::mem::take(&mut check.process);
    match check.target.as_mut().map(|target| &mut target.value) {
        Some(CheckTarget::Process(target)) => *target = process.target(target.which.clone()),
        _ => {
            if let Some((keyword, at)) = process.first_written() {
                report.error(at, format!("`{keyword}` belongs to `process`, which this check does not have"));
            }
        }
    }
    watch::finish_file(check, report);
}

impl HttpDraft {
    fn apply(self, target: &mut HttpTarget) {
        if let Some(method) = self.method {
            target.method = method.value;
        }
        target.headers = self.headers.into_iter().map(|header| header.value).collect();
        if let Some(status) = self.status {
            target.status = status.value;
        }
        target.body = self.body.map(|body| body.value);
        target.verify_tls = self.verify_tls.is_none_or(|verify| verify.value);
    }

    fn refuse(self, report: &mut Report) {
        let headers = self.headers.iter().map(|header| ("header", header.at));
        let others = [
            self.method.map(|method| ("method", method.at)),
            self.status.map(|status| ("status", status.at)),
            self.body.map(|body| ("body", body.at)),
            self.verify_tls.map(|verify| ("tls_verify", verify.at)),
        ];
        for (keyword, at) in headers.chain(others.into_iter().flatten()) {
            report.error(at, format!("`{keyword}` belongs to `http`, which this check does not have"));
        }
    }
}

fn tcp(check: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word("tcp", keyword.at, args, report) else { return };
    match word.text.parse::<Endpoint>() {
        Ok(endpoint) => script::set_target(check, keyword, CheckTarget::Tcp(endpoint), report),
        Err(_) => {
            report
                .error(word.at, format!("`tcp` needs HOST:PORT, not `{}`", word.text))
                .help("put an IPv6 address in brackets: `[2001:db8::1]:443`");
        }
    }
}

fn unix(check: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word("unix", keyword.at, args, report) else { return };
    if let Some(path) = absolute("unix", word, report) {
        script::set_target(check, keyword, CheckTarget::Unix(path), report);
    }
}

fn http(check: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word("http", keyword.at, args, report) else { return };
    let url = Url::parse(&word.text);
    if !url.is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
        report
            .error(word.at, format!("`http` needs a URL, not `{}`", word.text))
            .help("it begins with `http://` or `https://`");
        return;
    }
    let target = HttpTarget {
        url: word.text.as_str().into(),
        method: "GET".into(),
        headers: Vec::new(),
        status: 200..=399,
        body: None,
        verify_tls: true,
    };
    script::set_target(check, keyword, CheckTarget::Http(target), report);
}

fn method(check: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word("method", keyword.at, args, report) else { return };
    if Method::from_bytes(word.text.as_bytes()).is_err() {
        report.error(word.at, format!("`{}` is not an HTTP method", word.text));
        return;
    }
    check.http.method = Some(At { value: word.text.as_str().into(), at: keyword.at });
}

fn header(check: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word("header", keyword.at, args, report) else { return };
    let pair = word.text.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
    match pair {
        Some((name, value)) if name.parse::<HeaderName>().is_ok() && value.parse::<HeaderValue>().is_ok() => {
            let value = (name.into(), value.into());
            check.http.headers.push(At { value, at: keyword.at });
        }
        _ => {
            report
                .error(word.at, format!("`header` needs NAME: VALUE, not `{}`", word.text))
                .help("put it in quotes, as it contains a blank");
        }
    }
}

fn status(check: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word("status", keyword.at, args, report) else { return };
    let (low, high) = word.text.split_once('-').unwrap_or((&word.text, &word.text));
    match (low.parse::<u16>(), high.parse::<u16>()) {
        (Ok(low), Ok(high)) if (100..=599).contains(&low) && (low..=599).contains(&high) => {
            check.http.status = Some(At { value: low..=high, at: keyword.at });
        }
        _ => {
            report.error(
                word.at,
                format!("`status` is a code or a range from 100 to 599, not `{}`", word.text),
            );
        }
    }
}

fn haproxy(check: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let [socket, rest @ ..] = args else {
        report.error(keyword.at, "`haproxy` needs the path of a stats socket");
        return;
    };
    let backend = match rest {
        [] => None,
        [name] => Some((name.text.as_str().into(), 1)),
        [name, count, extra @ ..] => {
            surplus("haproxy", extra, report);
            match count.text.parse() {
                Ok(count) => Some((name.text.as_str().into(), count)),
                Err(_) => {
                    report.error(count.at, format!("`{}` is not a number of servers", count.text));
                    return;
                }
            }
        }
    };
    if let Some(socket) = absolute("haproxy", socket, report) {
        script::set_target(check, keyword, CheckTarget::Haproxy(HaproxyTarget { socket, backend }), report);
    }
}

fn docker(check: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let containers = match args {
        [] => {
            report.error(keyword.at, "`docker` needs container names, or `label KEY=VALUE`");
            return;
        }
        [word, label, extra @ ..] if word.text == "label" => {
            surplus("docker label", extra, report);
            Containers::Labelled(label.text.as_str().into())
        }
        names => Containers::Named(names.iter().map(|name| name.text.as_str().into()).collect()),
    };
    let target = DockerTarget { socket: DOCKER_SOCKET.into(), containers };
    script::set_target(check, keyword, CheckTarget::Docker(target), report);
}

fn systemd(check: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word("systemd", keyword.at, args, report) else { return };
    // As systemctl completes it.
    let unit = if word.text.contains('.') { word.text.clone() } else { format!("{}.service", word.text) };
    script::set_target(check, keyword, CheckTarget::Systemd(unit.into()), report);
}

fn dns(check: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let (name, server) = match args {
        [] => {
            report.error(keyword.at, "`dns` needs a name to look up");
            return;
        }
        [name] => (name, None),
        [name, server, extra @ ..] => {
            surplus("dns", extra, report);
            let address = server.text.parse().map(|address| (address, 53)).ok();
            let endpoint = || match server.text.parse::<Endpoint>() {
                Ok(Endpoint { host: Host::Address(address), port }) => Some((address, port)),
                _ => None,
            };
            let Some(place) = address.or_else(endpoint) else {
                report.error(server.at, format!("`{}` is not the address of a DNS server", server.text));
                return;
            };
            (name, Some(place))
        }
    };
    match name.text.parse() {
        Ok(Host::Name(name)) => {
            script::set_target(check, keyword, CheckTarget::Dns(DnsTarget { name, server }), report);
        }
        _ => {
            report.error(name.at, format!("`{}` is not a host name", name.text));
        }
    }
}

fn ping(check: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word("ping", keyword.at, args, report) else { return };
    match word.text.parse() {
        Ok(host) => script::set_target(check, keyword, CheckTarget::Ping(host), report),
        Err(_) => {
            report.error(word.at, format!("`ping` needs a host, not `{}`", word.text));
        }
    }
}

fn process(check: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let which = match args {
        [] => {
            report.error(keyword.at, "`process` needs a name, `pidfile PATH` or `cmdline TEXT`");
            return;
        }
        [word, path, extra @ ..] if word.text == "pidfile" => {
            surplus("process pidfile", extra, report);
            let Some(path) = absolute("process pidfile", path, report) else { return };
            Processes::PidFile(path)
        }
        [word, text @ ..] if word.text == "cmdline" && !text.is_empty() => {
            let words: Vec<&str> = text.iter().map(|word| word.text.as_str()).collect();
            Processes::CommandLine(words.join(" ").into())
        }
        [name, extra @ ..] => {
            surplus("process", extra, report);
            Processes::Named(name.text.as_str().into())
        }
    };
    let target = check.process.target(which);
    script::set_target(check, keyword, CheckTarget::Process(target), report);
}

fn exec(check: &mut ScriptDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(program) = args.first() else {
        report.error(keyword.at, "`exec` needs a program");
        return;
    };
    if absolute("exec", program, report).is_some() {
        let words = args.iter().map(|word| word.text.as_str().into()).collect();
        script::set_target(check, keyword, CheckTarget::Command(ScriptCommand::Direct(words)), report);
    }
}

fn absolute(keyword: &str, word: &Word, report: &mut Report) -> Option<PathBuf> {
    let path = Path::new(&word.text);
    if path.is_absolute() {
        return Some(path.to_owned());
    }
    report.error(word.at, format!("`{keyword}` needs an absolute path, not `{}`", word.text));
    None
}

fn surplus(keyword: &str, extra: &[Word], report: &mut Report) {
    if let Some(extra) = extra.first() {
        report.warning(extra.at, format!("`{}` after `{keyword}` is ignored", extra.text));
    }
}

/// The keywords of targets, for display.
pub(crate) fn targets() -> String {
    let names: Vec<String> = TARGETS
        .iter()
        .chain(watch::FILE_ROWS)
        .filter(|row| !row.summary.starts_with("of `"))
        .map(|row| format!("`{}`", row.keyword))
        .collect();
    names.join(", ")
}
