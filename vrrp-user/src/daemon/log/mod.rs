//! Logs: one line per event on stderr, or an entry of the journal or of syslog.
//!
//! Journal and syslog record time and level by themselves, so lines have both only on stderr, and colours only on a
//! terminal. No line waits for a reader that has stopped, or for a disk that does not answer.

mod entry;
mod journal;
mod stderr;
pub mod syslog;
mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::panic;
use std::sync::OnceLock;
use std::thread;

use nix::sys::stat::fstat;
use thiserror::Error;
use tracing::Level;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

use self::entry::Fields;
use self::journal::Journal;
use self::stderr::Stderr;
use self::syslog::Syslog;
use crate::config::words;

/// Device and inode of the journal that systemd has connected (systemd.exec(5)).
pub const JOURNAL_STREAM: &str = "JOURNAL_STREAM";

/// Environment variable that gives the filter if the command line does not.
const VARIABLE: &str = "VRRPX_LOG";

static STDERR: Stderr = Stderr::new();

/// Where logs go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sink {
    Stderr,
    Journal,
    Syslog,
}

#[derive(Debug, Error)]
pub enum LogError {
    #[error("log level `{0}`: {1}; write error, warn, info, debug or trace, or target=level pairs")]
    Filter(String, ParseError),
    #[error(
        "log level `{0}`: `{1}` is no level; write error, warn, info, debug or trace, or target=level pairs"
    )]
    Level(String, String),
    #[error(
        "log level `{0}`: `{1}`: write one level, and one target=level for each module such as vrrp_user::driver"
    )]
    Target(String, String),
    #[error("logging is set up already")]
    Twice,
}

/// Sends logs to the journal where stderr is connected to it, else to stderr. `level` is a level or a filter of
/// `tracing` such as `info,vrrp_user::driver=debug`; without it `VRRPX_LOG` is taken, and without that `info`.
///
/// # Errors
/// The filter cannot be read, or logs were set up before.
pub fn start(level: Option<&str>) -> Result<Sink, LogError> {
    let filter = steerable(level)?;
    if stderr_is_journal() {
        let layers = tracing_subscriber::registry().with(filter).with(Journal::new());
        layers.try_init().map_err(|_| LogError::Twice)?;
        log_panics();
        return Ok(Sink::Journal);
    }
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(Fields)
        .with_writer(&STDERR)
        .with_ansi(has_colours())
        .with_target(false)
        .with_timer(LocalTime);
    let layers = tracing_subscriber::registry().with(filter).with(lines);
    layers.try_init().map_err(|_| LogError::Twice)?;
    log_panics();
    Ok(Sink::Stderr)
}

/// A panic's own line would have the journal's default level, would wait for the reader of stderr, and is lost with
/// syslog.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let (thread, trace) = (thread::current(), Backtrace::capture());
        // Only with `RUST_BACKTRACE`.
        let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
        tracing::error!(thread = thread.name(), backtrace = trace, "{panic}");
    }));
}

/// A line on stderr that is no event, with its level before it if stderr is the journal (sd-daemon(3)).
pub fn plain(level: Level, text: &str) -> String {
    let text = words(text);
    if stderr_is_journal() { format!("<{}>{text}\n", severity(level)) } else { format!("{text}\n") }
}

/// Writes a line to stderr that is no event, as [`plain`] makes it, and does not wait for a reader that has stopped.
pub fn write_plain(level: Level, text: &str) {
    STDERR.put(plain(level, text).as_bytes());
    finish();
}

/// Call it as the process ends: the last lines may wait for a thread. Not for long: its disk may not answer.
pub fn finish() {
    STDERR.finish();
}

/// Called when the process no longer forks: from now on no line waits for the disk of a file either.
pub fn spare_threads() {
    STDERR.spare_threads();
}

/// Called when stderr has been replaced.
pub fn stderr_replaced() {
    STDERR.renew();
}

/// As [`start`], but to syslog, which stamps lines by itself.
///
/// # Errors
/// As for [`start`].
pub fn start_syslog(level: Option<&str>, syslog: Syslog) -> Result<Sink, LogError> {
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(Fields)
        .with_writer(syslog)
        .with_ansi(false)
        .with_target(false)
        .with_level(false)
        .without_time();
    let layers = tracing_subscriber::registry().with(steerable(level)?).with(lines);
    layers.try_init().map_err(|_| LogError::Twice)?;
    log_panics();
    Ok(Sink::Syslog)
}

/// The filter in use, and that of the start.
static IN_USE: OnceLock<(Handle<Targets, Registry>, Targets)> = OnceLock::new();

fn steerable(level: Option<&str>) -> Result<reload::Layer<Targets, Registry>, LogError> {
    let (layer, handle) = reload::Layer::new(filter(level)?);
    // Only the first start succeeds.
    let _ = IN_USE.set((handle, filter(level)?));
    Ok(layer)
}

/// Checks a level or filter for [`set_level`].
///
/// # Errors
/// It cannot be read.
pub fn check_level(level: &str) -> Result<(), LogError> {
    filter(Some(level)).map(drop)
}

/// Logs by another level or filter from now on; `None` is that of the start. Nothing happens if logs were not set up.
///
/// # Errors
/// As for [`start`].
pub fn set_level(level: Option<&str>) -> Result<(), LogError> {
    let Some((handle, first)) = IN_USE.get() else { return Ok(()) };
    let next = match level {
        Some(level) => filter(Some(level))?,
        None => first.clone(),
    };
    handle.reload(next).map_err(|_| LogError::Twice)
}

/// Syslog's number of a level (RFC 5424 §6.2.1).
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

fn filter(level: Option<&str>) -> Result<Targets, LogError> {
    let variable = std::env::var(VARIABLE).ok().filter(|value| !value.is_empty());
    let text = level.map(str::to_owned).or(variable).unwrap_or_else(|| "info".to_owned());
    let mut targets = Vec::new();
    for word in text.split(',') {
        let (target, level) =
            word.split_once('=').map_or((None, word), |(target, level)| (Some(target), level));
        // `Targets` takes an empty level for `error`, and any other word for a target, which it then logs wholly.
        if level.is_empty() || level.parse::<LevelFilter>().is_err() {
            let named = if level.is_empty() { word } else { level };
            return Err(LogError::Level(text.clone(), named.to_owned()));
        }
        let is_path = |target: &str| target.split("::").all(is_name);
        if !target.is_none_or(is_path) || targets.contains(&target) {
            return Err(LogError::Target(text.clone(), word.to_owned()));
        }
        targets.push(target);
    }
    text.parse().map_err(|error| LogError::Filter(text, error))
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
}

/// On a terminal, unless `NO_COLOR` is set (no-color.org).
fn has_colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether stderr is still the journal that systemd connected.
pub fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var(JOURNAL_STREAM) else { return false };
    let Ok(stat) = fstat(io::stderr().as_fd()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

struct LocalTime;

impl FormatTime for LocalTime {
    fn format_time(&self, line: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        line.write_str(&super::wall::rfc3339_local(std::time::SystemTime::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_with_a_fault_is_refused() {
        for good in ["info", "WARN", "off", "5", "info,vrrp_user::driver=debug", "vrrp_user=trace,a=0"] {
            assert!(filter(Some(good)).is_ok(), "{good}");
        }
        let malformed =
            ["", ",", "info,", "debug,foo=", "=info", "info,=", "a:=info", "a::=info", "a=b=info"];
        let doubtful = ["info, debug", " info", "a =info", "info,debug", "a=info,a=debug", "a[{b}]=info"];
        let no_levels = ["verbose", "info,verbose", "inf", "vrrp_user=loud"];
        for bad in malformed.into_iter().chain(doubtful).chain(no_levels) {
            assert!(filter(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_panic_is_logged_with_its_thread_and_the_backtrace_that_is_wanted() {
        const CASE: &str = "VRRPX_TEST_PANIC";
        const NAME: &str =
            "daemon::log::tests::a_panic_is_logged_with_its_thread_and_the_backtrace_that_is_wanted";
        if std::env::var_os(CASE).is_some() {
            start(Some("info")).unwrap();
            let named = thread::Builder::new().name("worker".to_owned());
            assert!(named.spawn(|| panic!("it panics")).unwrap().join().is_err());
            return;
        }
        for wanted in ["0", "1"] {
            let mut itself = std::process::Command::new(std::env::current_exe().unwrap());
            itself.args(["--exact", NAME]).env(CASE, "").env_remove(JOURNAL_STREAM);
            itself.env("RUST_BACKTRACE", wanted).env_remove("RUST_LIB_BACKTRACE").env("TZ", "NPT-5:45");
            let output = itself.output().unwrap();
            let log = String::from_utf8_lossy(&output.stderr);
            assert!(log.contains("it panics") && log.contains("thread=worker"), "{log}");
            assert_eq!(log.contains("backtrace="), wanted == "1", "{log}");
            assert!(log.contains("+05:45 ERROR"), "local time: {log}");
        }
    }
}
