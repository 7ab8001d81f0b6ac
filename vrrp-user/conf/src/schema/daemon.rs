//! `global_defs`, keywords for the process: scheduling, name, startup and shutdown scripts, reload.

use std::time::Duration;

use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::model::{LifecycleScript, ProcessSettings};
use super::super::source::At;
use super::draft::{DaemonDraft, Draft, ErrandDraft, GlobalsDraft, Written};
use super::table::{Kind, Row};
use super::value;

const LIMIT: Duration = Duration::from_secs(10);
const LIMIT_MIN: Duration = Duration::from_secs(1);
const LIMIT_MAX: Duration = Duration::from_secs(1000);

/// Name of keepalived's VRRP process.
const PROCESS_NAME: &str = "keepalived_vrrp";
const RELOAD_FILE: &str = "/run/keepalived.reload";

/// Above the number of any CPU.
const CPUS: usize = 1024;

const FROM_THE_START: &str = "the engine is real-time from the start, if permitted";

/// Whether a keyword of `global_defs` counts at the start of the daemon only.
pub(crate) fn is_start_only(keyword: &str) -> bool {
    let of_process = ROWS.iter().any(|row| row.keyword == keyword || row.aliases.contains(&keyword));
    let others = ["router_id", "vrrp_startup_delay", "vrrp_delay_after_boot"];
    keyword != "reload_file" && of_process || others.contains(&keyword)
}

pub(super) const ROWS: &[Row<GlobalsDraft>] = &[
    Row::works(
        "vrrp_rt_priority",
        Kind::Integer(1, 99, |globals, n| globals.daemon.realtime = u8::try_from(n.value).ok()),
        "50",
        "SCHED_FIFO priority of the engine; the effect thread has one less",
    ),
    Row::works(
        "vrrp_priority",
        Kind::Integer(-20, 19, |globals, n| globals.daemon.nice = i8::try_from(n.value).ok()),
        "inherited",
        "nice value of engine and effect thread if they are not real-time",
    ),
    Row::works(
        "vrrp_cpu_affinity",
        Kind::Own("CPU …", cpus),
        "all",
        "CPUs, from 0, for engine and effect thread; scripts and all other threads run anywhere",
    ),
    Row::moot("vrrp_no_swap", "lock memory", "memory is locked if permitted"),
    Row::works(
        "vrrp_rlimit_rttime",
        Kind::Integer(2, 4_294_967_295, |globals: &mut GlobalsDraft, n| {
            globals.daemon.unbroken = u64::try_from(n.value).ok().map(Duration::from_micros);
        }),
        "1000000",
        "µs that engine or effect thread may run without blocking; then both leave the real-time class for 10 s",
    )
    .alias(&["vrrp_rlimit_rtime"]),
    Row::moot("max_auto_priority", "raise the priority when late", FROM_THE_START),
    Row::moot("min_auto_priority_delay", "lateness that raises it", FROM_THE_START),
    Row::works(
        "process_names",
        Kind::Flag(|globals, _| globals.daemon.keepalived_name = true),
        "off",
        "the process is named keepalived_vrrp",
    ),
    Row::works(
        "vrrp_process_name",
        Kind::Text(|globals, name| globals.daemon.vrrp_name = Some(name.value)),
        "vrrpx",
        "name of the process, its first 15 bytes",
    ),
    Row::works(
        "process_name",
        Kind::Text(|globals, name| globals.daemon.name = Some(name.value)),
        "vrrpx",
        "the same if `vrrp_process_name` is not written, as there is only one process",
    ),
    Row::works(
        "umask",
        Kind::Own("NUMBER or BITS", umask),
        "inherited",
        "umask of the daemon and its scripts; bits as in `IRGRP\\|IWGRP\\|IRWXO`; `-u` takes precedence",
    ),
    Row::works(
        "set_supplementary_groups",
        Kind::Bool(|globals, on| globals.daemon.supplementary_groups = on.value),
        "off",
        "scripts of another user run with all groups of that user",
    ),
    Row::moot("use_symlink_paths", "run scripts by the path as written", "they always run so"),
    Row::hook(
        "startup_script",
        |it| &mut it.daemon.startup.command,
        "run before anything else; the start waits for its end",
    ),
    Row::works(
        "startup_script_timeout",
        Kind::Seconds(LIMIT_MIN, LIMIT_MAX, |globals, t| globals.daemon.startup.limit = Some(t.value)),
        "10",
        "longest time for `startup_script`; it is terminated then",
    ),
    Row::hook("shutdown_script", |it| &mut it.daemon.shutdown.command, "run after everything else has ended"),
    Row::works(
        "shutdown_script_timeout",
        Kind::Seconds(LIMIT_MIN, LIMIT_MAX, |globals, t| globals.daemon.shutdown.limit = Some(t.value)),
        "10",
        "longest time for `shutdown_script`; it is terminated then",
    ),
    Row::works(
        "data_use_instance",
        Kind::Bool(|globals, on| globals.daemon.dumps_by_instance = on.value),
        "off",
        "`instance` is part of the names of dump files",
    ),
    Row::works(
        "reload_file",
        Kind::Own("[PATH]", reload_file),
        "off; /run/keepalived.reload",
        "file that exists while a reload reads the configuration, so that tools do not change it meanwhile",
    ),
];

pub(super) const TOP: &[Row<Draft>] = &[
    Row::works(
        "instance",
        Kind::Own("NAME", instance),
        "",
        "name of this daemon among several, with keepalived's command line: part of its pid files and runtime folder",
    ),
    Row::works(
        "use_pid_dir",
        Kind::Flag(|draft, _| draft.globals.daemon.pid_folder = true),
        "on with `instance`",
        "pid files are in /run/keepalived, with keepalived's command line and without -p and -r",
    ),
    Row::moot("child_wait_time", "wait for child processes", "there are no child processes to wait for"),
];

impl DaemonDraft {
    pub(crate) fn settings(self) -> ProcessSettings {
        let by_default = self.keepalived_name.then(|| PROCESS_NAME.into());
        ProcessSettings {
            nice: self.nice,
            realtime: self.realtime,
            cpus: self.cpus,
            unbroken: self.unbroken,
            name: self.vrrp_name.or(self.name).or(by_default),
            umask: self.umask,
            supplementary_groups: self.supplementary_groups,
            startup: self.startup.settings(),
            shutdown: self.shutdown.settings(),
            reload_file: self.reload_file,
            pid_folder: self.pid_folder || self.instance.is_some(),
            dumps_by_instance: self.dumps_by_instance,
            instance: self.instance,
        }
    }
}

impl ErrandDraft {
    fn settings(self) -> Option<LifecycleScript> {
        let command = self.command?;
        Some(LifecycleScript { command, limit: self.limit.unwrap_or(LIMIT) })
    }
}

fn cpus(globals: &mut GlobalsDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    if args.is_empty() {
        report.error(keyword.at, "`vrrp_cpu_affinity` needs CPU numbers");
    }
    for word in args {
        match word.text.parse::<usize>() {
            Ok(cpu) if cpu < CPUS => globals.daemon.cpus.push(cpu),
            _ => {
                report.left_out(word.at, format!("`{}` is not a CPU number", word.text));
            }
        }
    }
}

fn umask(globals: &mut GlobalsDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let text: String = args.iter().map(|word| &*word.text).collect();
    globals.daemon.umask = mask(&text);
    if globals.daemon.umask.is_none() {
        report.left_out(
            keyword.at,
            format!("`umask` is a number up to 0777 or bits such as IRWXG|IRWXO, not `{text}`"),
        );
    }
}

/// Parses a number as in C, or names of bits separated by `|`.
pub fn mask(text: &str) -> Option<u32> {
    let number = match text {
        hex if hex.starts_with("0x") || hex.starts_with("0X") => u32::from_str_radix(hex.get(2..)?, 16).ok(),
        octal if octal.starts_with('0') => u32::from_str_radix(octal, 8).ok(),
        decimal => decimal.parse().ok(),
    };
    let bits = || text.split('|').map(|name| bit(name.trim())).try_fold(0, |mask, bit| Some(mask | bit?));
    number.or_else(bits).filter(|mask| *mask <= 0o777)
}

fn bit(name: &str) -> Option<u32> {
    let name = name.strip_prefix("S_").unwrap_or(name).strip_prefix('I')?;
    match name {
        "RWXU" => return Some(0o700),
        "RWXG" => return Some(0o070),
        "RWXO" => return Some(0o007),
        _ => {}
    }
    let (what, who) = name.split_at_checked(name.len().checked_sub(3)?)?;
    let what = match what {
        "R" => 4,
        "W" => 2,
        "X" => 1,
        _ => return None,
    };
    match who {
        "USR" => Some(what << 6),
        "GRP" => Some(what << 3),
        "OTH" => Some(what),
        _ => None,
    }
}

fn reload_file(globals: &mut GlobalsDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let path = args.first().map_or(RELOAD_FILE, |word| &*word.text);
    if let Some(word) = args.first().filter(|word| !word.text.starts_with('/')) {
        report.left_out(word.at, format!("`reload_file` takes an absolute path, not `{}`", word.text));
    }
    let at = args.first().map_or(keyword.at, |word| word.at);
    globals.written.retain(|it| it.keyword != "reload_file");
    globals.written.push(Written { keyword: "reload_file", path: At { value: path.into(), at } });
    globals.daemon.reload_file = Some(path.into());
}

/// The name becomes part of file names.
fn instance(draft: &mut Draft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word(&keyword.text, keyword.at, args, report) else { return };
    if word.text.contains('/') {
        report.error(
            word.at,
            format!("`instance` becomes part of file names, so `{}` must not contain `/`", word.text),
        );
    }
    draft.globals.daemon.instance = Some(word.text.as_str().into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_numbers_as_in_c_or_bits() {
        for (text, expected) in [
            ("0177", Some(0o177)),
            ("63", Some(0o77)),
            ("0x3f", Some(0o77)),
            ("IXUSR|IRWXG|IRWXO", Some(0o177)),
            ("IRGRP | IWOTH", Some(0o042)),
            ("0", Some(0)),
            ("01000", None),
            ("IRWXY", None),
            ("RGRP", None),
            ("", None),
            ("I", None),
        ] {
            assert_eq!(mask(text), expected, "{text}");
        }
    }
}
