//! Logs: one line per event on stderr, or by syslog.
//!
//! The journal stamps and colours by itself, so time goes into a line only where stderr is something else, and
//! colours only where it is a terminal.

pub mod syslog;

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::time::FormatTime;

use self::syslog::Syslog;

/// Environment variable that gives the filter where the command line does not.
const VARIABLE: &str = "VRRPX_LOG";

#[derive(Debug, Error)]
pub enum LogError {
    #[error("log level `{0}`: {1}; write error, warn, info, debug or trace, or target=level pairs")]
    Filter(String, tracing_subscriber::filter::ParseError),
    #[error(
        "log level `{0}`: `{1}` is no level; write error, warn, info, debug or trace, or target=level pairs"
    )]
    Level(String, String),
    #[error("logs are set up already")]
    Twice,
}

/// Sends logs to stderr. `level` is a level or a filter of `tracing` such as `info,vrrp_user::driver=debug`; without
/// it `VRRPX_LOG` is taken, and without that `info`.
///
/// # Errors
/// The filter cannot be read, or logs were set up before.
pub fn start(level: Option<&str>) -> Result<(), LogError> {
    let filter = filter(level)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(has_colours())
        .with_target(false);
    let started =
        if stderr_is_journal() { lines.without_time().try_init() } else { lines.with_timer(Utc).try_init() };
    started.map_err(|_| LogError::Twice)
}

/// As [`start`], but by syslog, which stamps lines by itself.
///
/// # Errors
/// As for [`start`].
pub fn start_syslog(level: Option<&str>, syslog: Syslog) -> Result<(), LogError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(level)?)
        .with_writer(syslog)
        .with_ansi(false)
        .with_target(false)
        .without_time();
    lines.try_init().map_err(|_| LogError::Twice)
}

fn filter(level: Option<&str>) -> Result<EnvFilter, LogError> {
    let variable = std::env::var(VARIABLE).ok().filter(|value| !value.is_empty());
    let text = level.map(str::to_owned).or(variable).unwrap_or_else(|| "info".to_owned());
    // A filter takes any other word for a target, and then says nothing at all.
    let is_level = |word: &str| word.contains('=') || word.parse::<LevelFilter>().is_ok();
    if let Some(word) = text.split(',').map(str::trim).find(|word| !is_level(word)) {
        let word = word.to_owned();
        return Err(LogError::Level(text, word));
    }
    EnvFilter::try_new(&text).map_err(|error| LogError::Filter(text, error))
}

/// On a terminal, unless its user asks for none (no-color.org).
fn has_colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether systemd connected stderr to the journal: `JOURNAL_STREAM` names its device and inode.
pub fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = fstat(io::stderr().as_fd()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, line: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        line.write_str(&super::wall::rfc3339(std::time::SystemTime::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for good in ["info", "WARN", "off", "info,vrrp_user::driver=debug", "vrrp_user=trace"] {
            assert!(filter(Some(good)).is_ok(), "{good}");
        }
        for bad in ["verbose", "info,verbose", "inf", "vrrp_user=loud"] {
            assert!(filter(Some(bad)).is_err(), "{bad}");
        }
    }
}
