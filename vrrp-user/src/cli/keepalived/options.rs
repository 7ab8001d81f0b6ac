//! Parser of keepalived's options, as `getopt_long`: short ones combined (`-nlD`), values attached or separate,
//! optional values attached only, long names abbreviated to a unique prefix.
//!
//! Enters: arguments. Leaves: options, and a notice for each option without effect here. Absent: files and the daemon.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use thiserror::Error;

use super::table::{Meaning, OptionRow, ROWS, Takes};
use crate::daemon::log::syslog::Facility;
use crate::daemon::process::options::XdpMode;

/// Parsed options.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Options {
    pub(super) task: Task,
    pub(super) config: Option<PathBuf>,
    pub(super) foreground: bool,
    pub(super) console: bool,
    pub(super) detail: bool,
    pub(super) facility: Facility,
    pub(super) no_syslog: bool,
    pub(super) dump: bool,
    pub(super) pid: Option<PathBuf>,
    pub(super) vrrp_pid: Option<PathBuf>,
    pub(super) config_id: Option<String>,
    pub(super) runtime_dir: Option<PathBuf>,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) mode: XdpMode,
    pub(super) log: Option<String>,
    pub(super) no_realtime: bool,
    pub(super) umask: Option<u32>,
    /// Options without effect and their consequences, for display.
    pub(super) notices: Vec<String>,
}

/// What to do; the last option that selects a task counts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum Task {
    #[default]
    Run,
    /// Check the configuration; findings go to the file, or to stderr.
    Test(Option<PathBuf>),
    /// Print the number of a signal.
    Signum(String),
    Version,
    Help,
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(super) enum OptionError {
    #[error("unknown option `{0}`")]
    Unknown(String),
    #[error("`{0}` is ambiguous: `--{1}` or `--{2}`")]
    Ambiguous(String, &'static str, &'static str),
    #[error("`--{0}` needs a value")]
    NoValue(&'static str),
    #[error("`--{0}` takes no value")]
    Value(&'static str),
    #[error("`{0}` is not an option; attach an optional value to its option, as in `-tFILE`")]
    Positional(String),
    #[error("`{0}` is not a facility: 0 to 7, local0 to local7, user or daemon")]
    Facility(String),
    #[error("`--{0}` cannot be `{1}`")]
    Bad(&'static str, String),
    #[error("`--{0}` is not supported: {1}")]
    Refused(&'static str, &'static str),
}

/// Reads the arguments after the program's name.
pub(super) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, OptionError> {
    let mut options = Options::default();
    let mut rest = arguments.into_iter();
    let mut only_words = false;
    while let Some(argument) = rest.next() {
        match argument.as_bytes() {
            b"--" if !only_words => only_words = true,
            [b'-', b'-', long @ ..] if !only_words => read_long(long, &mut rest, &mut options)?,
            [b'-', short @ ..] if !only_words && !short.is_empty() => {
                read_short(short, &mut rest, &mut options)?;
            }
            _ => return Err(OptionError::Positional(argument.to_string_lossy().into_owned())),
        }
    }
    Ok(options)
}

/// `name` or `name=value`.
fn read_long(
    text: &[u8],
    rest: &mut impl Iterator<Item = OsString>,
    options: &mut Options,
) -> Result<(), OptionError> {
    let mut parts = text.splitn(2, |byte| *byte == b'=');
    let name = parts.next().unwrap_or_default();
    let attached = parts.next().map(|value| OsString::from_vec(value.to_vec()));
    let row = find_long(name)?;
    let value = match row.takes {
        Takes::Nothing if attached.is_some() => return Err(OptionError::Value(row.long)),
        Takes::Required => attached.or_else(|| rest.next()),
        Takes::Nothing | Takes::Optional => attached,
    };
    apply(row, value, options)
}

fn find_long(name: &[u8]) -> Result<&'static OptionRow, OptionError> {
    if let Some(row) = ROWS.iter().find(|row| row.long.as_bytes() == name) {
        return Ok(row);
    }
    let shown = || format!("--{}", String::from_utf8_lossy(name));
    let mut begun = ROWS.iter().filter(|row| !name.is_empty() && row.long.as_bytes().starts_with(name));
    match (begun.next(), begun.next()) {
        (Some(row), None) => Ok(row),
        (Some(one), Some(other)) => Err(OptionError::Ambiguous(shown(), one.long, other.long)),
        (None, _) => Err(OptionError::Unknown(shown())),
    }
}

/// Letters after one hyphen; the first that takes a value takes the rest.
fn read_short(
    letters: &[u8],
    rest: &mut impl Iterator<Item = OsString>,
    options: &mut Options,
) -> Result<(), OptionError> {
    let mut letters = letters;
    while let Some((letter, after)) = letters.split_first() {
        let row = ROWS.iter().find(|row| row.short == Some(*letter));
        let row = row.ok_or_else(|| OptionError::Unknown(format!("-{}", char::from(*letter))))?;
        letters = after;
        let value = match row.takes {
            Takes::Nothing => None,
            Takes::Optional | Takes::Required => {
                let attached = std::mem::take(&mut letters);
                let attached = (!attached.is_empty()).then(|| OsString::from_vec(attached.to_vec()));
                attached.or_else(|| if row.takes == Takes::Required { rest.next() } else { None })
            }
        };
        apply(row, value, options)?;
    }
    Ok(())
}

fn apply(row: &OptionRow, value: Option<OsString>, options: &mut Options) -> Result<(), OptionError> {
    if row.takes == Takes::Required && value.is_none() {
        return Err(OptionError::NoValue(row.long));
    }
    match row.meaning {
        Meaning::Flag(set) => set(options),
        Meaning::Value(set) => set(options, value.unwrap_or_default())?,
        Meaning::Moot => {}
        Meaning::Ignored(consequence) => {
            options.notices.push(format!("--{} has no effect: {consequence}", row.long));
        }
        Meaning::Refused(reason) => return Err(OptionError::Refused(row.long, reason)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Result<Options, OptionError> {
        read(arguments.iter().map(OsString::from))
    }

    #[test]
    fn the_ways_that_options_are_written_in_the_field() {
        let expected = Options {
            foreground: true,
            console: true,
            detail: true,
            dump: true,
            config: Some("/k.conf".into()),
            ..Options::default()
        };
        for arguments in [
            &["-n", "-l", "-D", "-d", "-f", "/k.conf"][..],
            &["-nlDdf", "/k.conf"],
            &["-nlDDdPf/k.conf"],
            &["--dont-fork", "--log-console", "--log-detail", "--dump-conf", "--use-file=/k.conf", "--vrrp"],
            &["--dont-f", "--log-c", "--log-d", "--dump", "--use-file", "/k.conf"],
        ] {
            assert_eq!(of(arguments).unwrap(), expected, "{arguments:?}");
        }
        let more = of(&["-p", "/p", "-r/r", "-i", "id", "-S", "local3"]).unwrap();
        assert_eq!((more.pid, more.vrrp_pid), (Some("/p".into()), Some("/r".into())));
        assert_eq!((more.config_id.as_deref(), more.facility), (Some("id"), Facility(19)));
    }

    #[test]
    fn the_test_takes_an_attached_file_only() {
        assert_eq!(of(&["-t", "-f", "/k"]).unwrap().task, Task::Test(None));
        assert_eq!(of(&["-t/log"]).unwrap().task, Task::Test(Some("/log".into())));
        assert_eq!(of(&["--config-test=/log"]).unwrap().task, Task::Test(Some("/log".into())));
        assert_eq!(of(&["-t", "/k"]), Err(OptionError::Positional("/k".into())));
        assert_eq!(of(&["--signum=DATA"]).unwrap().task, Task::Signum("DATA".into()));
        assert_eq!(of(&["--signum", "JSON"]).unwrap().task, Task::Signum("JSON".into()));
    }

    #[test]
    fn mistakes_are_named() {
        let error = |arguments: &[&str]| of(arguments).unwrap_err().to_string();
        assert_eq!(error(&["--bogus"]), "unknown option `--bogus`");
        assert_eq!(error(&["-Z"]), "unknown option `-Z`");
        assert_eq!(error(&["--log-"]), "`--log-` is ambiguous: `--log-console` or `--log-detail`");
        assert_eq!(error(&["-f"]), "`--use-file` needs a value");
        assert_eq!(error(&["--vrrp=yes"]), "`--vrrp` takes no value");
        assert_eq!(
            error(&["-S", "mail"]),
            "`mail` is not a facility: 0 to 7, local0 to local7, user or daemon"
        );
        assert!(error(&["-s", "blue"]).starts_with("`--namespace` is not supported: start the daemon with"));
        assert_eq!(error(&["--", "-n"]).split(' ').next(), Some("`-n`"));
    }

    #[test]
    fn what_does_nothing_is_noticed_and_what_asks_for_nothing_is_not() {
        let options = of(&["-P", "-x", "-u", "022", "-c", "/pid", "--perf=all", "-I"]).unwrap();
        assert_eq!((options.notices.len(), options.umask), (3, Some(0o22)), "{:?}", options.notices);
        assert_eq!(options.notices[0], "--snmp has no effect: there is no SNMP");
    }

    #[test]
    fn no_two_options_have_one_name() {
        let mut short: Vec<u8> = ROWS.iter().filter_map(|row| row.short).collect();
        let mut long: Vec<&str> = ROWS.iter().map(|row| row.long).collect();
        let (shorts, longs) = (short.len(), long.len());
        short.sort_unstable();
        short.dedup();
        long.sort_unstable();
        long.dedup();
        assert_eq!((short.len(), long.len()), (shorts, longs));
    }
}
