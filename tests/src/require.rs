//! Requirements of a test on the machine.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;

use crate::control_group::ControlGroup;
use crate::daemon::{self, Daemon, Mode, subject};
use crate::netns::Namespace;

/// Of Debian's package for Debian's Python.
const PROMETHEUS_CLIENT: &str = "/usr/lib/python3/dist-packages/prometheus_client/parser.py";
const YAML: &str = "/usr/lib/python3/dist-packages/yaml/__init__.py";

/// The reason, if `need` is not met here. It is `root`, `vrrpx` or `xtask` (both built), `memory limits` (control
/// groups with one), `process limits` (the same, of processes), `supplementary group` (a user with one, see
/// [`member`]), `prometheus_client` or `yaml` (for Python), `egress hook` (of nftables), `tc drop` (filters with the
/// action of that name), a program in PATH, or one of
/// several needs:
///
/// - `lab`: ours on nodes of its own;
/// - `subject`: the daemon that `VRRPX_SUBJECT` selects, on such nodes;
/// - `ours`: ours, selected by nothing, for features that only ours has;
/// - `program`: a receive path with a BPF program, if ours is the daemon under test.
pub fn missing(need: &str) -> Option<String> {
    match need {
        "lab" | "ours" => ["root", "ip", "vrrpx"].into_iter().find_map(missing),
        "program" => None,
        "subject" => ["root", "ip", subject().need()].into_iter().find_map(missing),
        "root" => (!geteuid().is_root()).then(|| "must run as root to make network namespaces".to_owned()),
        "vrrpx" => {
            let path = daemon::vrrpx();
            (!path.is_file()).then(|| format!("{} is not built: cargo build -p vrrp-user", path.display()))
        }
        "xtask" => {
            let path = daemon::built("xtask");
            (!path.is_file()).then(|| format!("{} is not built: cargo build -p xtask", path.display()))
        }
        "memory limits" => ControlGroup::new("probe", 64)
            .is_none()
            .then(|| "no control group with a limit of memory can be made here".to_owned()),
        "process limits" => ControlGroup::of_processes("probe-processes")
            .is_none()
            .then(|| "no control group with a limit of processes can be made here".to_owned()),
        "egress hook" => {
            let chain = "add table netdev x; \
                         add chain netdev x c { type filter hook egress device \"lo\" priority 0; }";
            // A check, which adds nothing.
            let checked =
                Command::new(find("nft").unwrap_or_else(|| "nft".into())).args(["--check", chain]).output();
            let can_be_made = checked.is_ok_and(|output| output.status.success());
            (!can_be_made).then(|| "nftables has no egress hook here (Linux 5.16, nft 1.0.1)".to_owned())
        }
        "tc drop" => tc_drop().err().map(|error| format!("tc has no filter that drops here: {error:#}")),
        "yaml" => find(YAML).is_none().then(|| "python3-yaml is not installed".to_owned()),
        "prometheus_client" => {
            find(PROMETHEUS_CLIENT).is_none().then(|| "python3-prometheus-client is not installed".to_owned())
        }
        "supplementary group" => member().is_none().then(|| "no user has a supplementary group".to_owned()),
        "keepalived" if std::env::var_os("KEEPALIVED").is_some() => None,
        program => find(program).is_none().then(|| format!("{program} is not installed")),
    }
}

/// The action `drop` of tc, behind each kind of filter that the tests use.
fn tc_drop() -> anyhow::Result<()> {
    let namespace = Namespace::new("tc")?;
    namespace.ip("link add x0 type veth peer name x1")?;
    namespace.run("tc", &["qdisc", "add", "dev", "x0", "clsact"])?;
    for (kind, preference) in
        [("flower ip_proto 112", 1), ("u32 match ip protocol 112 0xff", 2), ("matchall", 3)]
    {
        let line = format!("filter add dev x0 egress pref {preference} protocol ip {kind} action drop");
        namespace.run("tc", &line.split(' ').collect::<Vec<_>>())?;
    }
    Ok(())
}

/// A user with a supplementary group, and the group's number.
pub fn member() -> Option<(String, String)> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let user = fields.get(3)?.split(',').next().filter(|user| !user.is_empty())?;
        Some((user.to_owned(), (*fields.get(2)?).to_owned()))
    })
}

/// Whether `need` is met, see [`missing`]; if not, the test that asks is reported as skipped. A test names its needs in
/// [`needs`](crate::needs).
///
/// # Panics
/// In CI (`CI` set), where nothing may be skipped.
#[must_use]
pub fn require(need: &str) -> bool {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("main");
    if let Some(reason) = deselected(need) {
        report(test, &reason);
        return false;
    }
    let Some(reason) = missing(need) else { return true };
    skip(test, &reason);
    false
}

/// The reason, if `VRRPX_SUBJECT` selects something else: no lack of the machine.
fn deselected(need: &str) -> Option<String> {
    let word = std::env::var("VRRPX_SUBJECT").ok()?;
    let other = match need {
        "ours" => true,
        "program" => subject() == Daemon::Vrrpx(Mode::Socket),
        _ => false,
    };
    other.then(|| format!("VRRPX_SUBJECT is {word}"))
}

/// Whether all are met, see [`require`]: what [`needs`](crate::needs) asks before a test begins.
///
/// # Panics
/// As [`require`].
#[must_use]
pub fn met(needs: &[&str]) -> bool {
    needs.iter().all(|need| require(need))
}

/// The outcome of a test that is skipped.
pub trait Skipped {
    fn skipped() -> Self;
}

impl Skipped for () {
    fn skipped() {}
}

impl<E> Skipped for Result<(), E> {
    fn skipped() -> Self {
        Ok(())
    }
}

/// Reports `test` as skipped, past libtest's capture.
#[expect(clippy::panic, reason = "in CI a skipped test is a failed one")]
fn skip(test: &str, reason: &str) {
    if std::env::var_os("CI").is_some() {
        panic!("{test} cannot be skipped in CI: {reason}");
    }
    report(test, reason);
}

fn report(test: &str, reason: &str) {
    // libtest captures the print macros only.
    let _closed = writeln!(std::io::stderr(), "skipped: {test} ({reason})");
}

/// Path of `program`, found as a shell does, and in the directories that an unprivileged PATH lacks.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(
            ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/lib/frr"]
                .iter()
                .map(|dir| Path::new(dir).to_owned()),
        )
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}
