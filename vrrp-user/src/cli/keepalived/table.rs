//! Table of keepalived's options, with their values and effects here.

use std::ffi::OsString;

use super::options::{OptionError, Options, Task};
use crate::config::umask;
use crate::daemon::log::syslog::Facility;
use crate::daemon::process::options::XdpMode;

/// One option.
pub(super) struct OptionRow {
    pub(super) short: Option<u8>,
    pub(super) long: &'static str,
    pub(super) takes: Takes,
    pub(super) meaning: Meaning,
    /// For `--help`.
    pub(super) value: &'static str,
    pub(super) summary: &'static str,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Takes {
    Nothing,
    /// Attached only: `-tFILE`, `--config-test=FILE`.
    Optional,
    Required,
}

#[derive(Clone, Copy)]
pub(super) enum Meaning {
    Flag(fn(&mut Options)),
    Value(fn(&mut Options, OsString) -> Result<(), OptionError>),
    /// Requests the only behaviour there is.
    Moot,
    /// Ignored, with the consequence.
    Ignored(&'static str),
    /// An error, with the reason: running without it would do harm.
    Refused(&'static str),
}

const NO_CHILD: &str = "there are no child processes for VRRP, checks or BFD";
const NO_FILE: &str = "logs go to syslog or to stderr";
const NO_SNMP: &str = "there is no SNMP";
const NO_CORE: &str = "the system's settings for core files apply";
const AS_RUN: &str = "as for `vrrpx run`";

pub(super) const ROWS: &[OptionRow] = &[
    value(
        b'f',
        "use-file",
        "FILE",
        "configuration [default: /etc/keepalived/keepalived.conf]",
        |it, value| {
            it.config = Some(value.into());
            Ok(())
        },
    ),
    moot(b'P', "vrrp", "VRRP only, as always"),
    refused(b'C', "check", "", "there is no health checker"),
    moot(b'B', "no_bfd", "no BFD, as always"),
    moot(0, "all", "run all child processes; there are none"),
    flag(b'l', "log-console", "log to stderr, not to syslog", |it| it.console = true),
    flag(b'D', "log-detail", "log more", |it| it.detail = true),
    value(
        b'S',
        "log-facility",
        "FACILITY",
        "syslog facility: 0-7, local0-local7, user, daemon",
        |it, value| {
            let name = value.to_string_lossy().into_owned();
            it.facility = Facility::of(&name).ok_or(OptionError::Facility(name))?;
            Ok(())
        },
    ),
    ignored(b'g', "log-file", "FILE", NO_FILE),
    ignored(0, "flush-log-file", "", NO_FILE),
    flag(b'G', "no-syslog", "do not log to syslog", |it| it.no_syslog = true),
    value(b'u', "umask", "MASK", "file mode creation mask, such as 0177 or IRWXG|IRWXO", |it, value| {
        let text = value.to_string_lossy().into_owned();
        it.umask = Some(umask(&text).ok_or(OptionError::Bad("umask", text))?);
        Ok(())
    }),
    ignored(b'X', "release-vips", "", "only the end of the daemon releases addresses"),
    ignored(b'V', "dont-release-vrrp", "", "the end of the daemon releases addresses"),
    moot(b'I', "dont-release-ipvs", "leave IPVS alone"),
    ignored(b'R', "dont-respawn", "", NO_CHILD),
    flag(b'n', "dont-fork", "stay in the foreground", |it| it.foreground = true),
    flag(b'd', "dump-conf", "log configuration and state at the start", |it| it.dump = true),
    value(b'p', "pid", "FILE", "pid file [default: /run/keepalived.pid]", |it, value| {
        it.pid = Some(value.into());
        Ok(())
    }),
    value(b'r', "vrrp_pid", "FILE", "second pid file [default: /run/keepalived_vrrp.pid]", |it, value| {
        it.vrrp_pid = Some(value.into());
        Ok(())
    }),
    refused(b'T', "genhash", "", "it is a tool for the health checker"),
    ignored(b'c', "checkers_pid", "FILE", NO_CHILD),
    ignored(b'a', "address-monitoring", "", "changes of addresses are not logged"),
    ignored(b'b', "bfd_pid", "FILE", NO_CHILD),
    refused(
        b's',
        "namespace",
        "NAME",
        "start the daemon with `ip netns exec NAME`, or with NetworkNamespacePath= of systemd",
    ),
    ignored(b'e', "all-config", "", "a missing included file is a warning"),
    value(
        b'i',
        "config-id",
        "ID",
        "name for `@ID` in the configuration [default: host name]",
        |it, value| {
            it.config_id = Some(value.to_string_lossy().into_owned());
            Ok(())
        },
    ),
    ignored(b'x', "snmp", "", NO_SNMP),
    ignored(b'A', "snmp-agent-socket", "FILE", NO_SNMP),
    ignored(b'm', "core-dump", "", NO_CORE),
    ignored(b'M', "core-dump-pattern", "PATTERN", NO_CORE),
    value(
        0,
        "signum",
        "WORD",
        "print the signal for STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON",
        |it, value| {
            it.task = Task::Signum(value.to_string_lossy().into_owned());
            Ok(())
        },
    ),
    OptionRow {
        takes: Takes::Optional,
        ..value(
            b't',
            "config-test",
            "LOG_FILE",
            "check the configuration; 0: good, 2: cannot be read, 5: errors, 6: scripts not secure",
            |it, value| {
                it.task = Task::Test((!value.is_empty()).then(|| value.into()));
                Ok(())
            },
        )
    },
    OptionRow { takes: Takes::Optional, ..ignored(0, "perf", "WHAT", "the daemon does not profile itself") },
    OptionRow { takes: Takes::Optional, ..ignored(0, "debug", "WHAT", "use `--log debug`") },
    ignored(0, "no-mem-check", "", "there is no memory check"),
    ignored(0, "ignore-sigint", "", "SIGINT ends the daemon"),
    flag(b'v', "version", "print the version", |it| it.task = Task::Version),
    flag(b'h', "help", "print this help", |it| it.task = Task::Help),
    value(
        0,
        "runtime-dir",
        "DIR",
        "as for `vrrpx run` [default: /run/vrrpx; with -p, next to its file]",
        |it, value| {
            it.runtime_dir = Some(value.into());
            Ok(())
        },
    ),
    value(0, "metrics", "ADDR:PORT", AS_RUN, |it, value| {
        let text = value.to_string_lossy();
        it.metrics = Some(text.parse().map_err(|_| OptionError::Bad("metrics", text.into_owned()))?);
        Ok(())
    }),
    value(0, "xdp-mode", "MODE", AS_RUN, |it, value| {
        let text = value.to_string_lossy();
        it.mode = text.parse::<XdpMode>().map_err(|_| OptionError::Bad("xdp-mode", text.into_owned()))?;
        Ok(())
    }),
    value(0, "log", "LEVEL", AS_RUN, |it, value| {
        it.log = Some(value.to_string_lossy().into_owned());
        Ok(())
    }),
    flag(0, "no-realtime", AS_RUN, |it| it.no_realtime = true),
];

/// `short` 0: no short option. `value` empty: it takes no value.
const fn row(
    short: u8,
    long: &'static str,
    value: &'static str,
    summary: &'static str,
    meaning: Meaning,
) -> OptionRow {
    let short = if short == 0 { None } else { Some(short) };
    let takes = if value.is_empty() { Takes::Nothing } else { Takes::Required };
    OptionRow { short, long, takes, meaning, value, summary }
}

const fn flag(short: u8, long: &'static str, summary: &'static str, set: fn(&mut Options)) -> OptionRow {
    row(short, long, "", summary, Meaning::Flag(set))
}

const fn value(
    short: u8,
    long: &'static str,
    value: &'static str,
    summary: &'static str,
    set: fn(&mut Options, OsString) -> Result<(), OptionError>,
) -> OptionRow {
    row(short, long, value, summary, Meaning::Value(set))
}

const fn moot(short: u8, long: &'static str, summary: &'static str) -> OptionRow {
    row(short, long, "", summary, Meaning::Moot)
}

const fn ignored(short: u8, long: &'static str, value: &'static str, consequence: &'static str) -> OptionRow {
    row(short, long, value, consequence, Meaning::Ignored(consequence))
}

const fn refused(short: u8, long: &'static str, value: &'static str, reason: &'static str) -> OptionRow {
    row(short, long, value, reason, Meaning::Refused(reason))
}
