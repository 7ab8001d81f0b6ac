//! Every command on a terminal of 40 columns, beside daemons with long names and IPv6.

use std::fs;

use anyhow::{Result, ensure};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, vrrpx};
use vrrp_tests::lab::INTERFACE;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::Directory;
use vrrp_tests::terminal::on_terminal;
use vrrp_user::cli::commands;
use vrrp_user::config::width;

const COLUMNS: u16 = 40;

const NAME: &str = "front-end-of-the-shop-Zürich";
const GROUP: &str = "both-of-the-shop";

/// Commands that this test does not run: `run` writes a log, `top` has a screen of its own.
const APART: [&str; 3] = ["run", "top", "help"];

/// Exit codes, as in docs/operations.md.
const OK: &[i32] = &[0];
const FAILED: &[i32] = &[1];
const WRONG: &[i32] = &[2];
const UNREADABLE: &[i32] = &[3];
const REFUSED: &[i32] = &[4];
/// For `status`, the check that is down is a problem; for `doctor`, the addresses outside of the interface's subnets.
/// A moment with two masters or none is worse, as is a host with failures.
const PROBLEM: &[i32] = &[10, 20];
/// No problem that the test makes; the moment or the host may have one.
const ANY_STATE: &[i32] = &[0, 10, 20];
/// keepalived's, for scripts without `enable_script_security` and for errors.
const UNGUARDED: &[i32] = &[6];
const DISABLED: &[i32] = &[5];

/// It prints nothing if no killed daemon has left anything.
const SILENT: &str = "cleanup";

/// Escape sequences of colours and of bold text take no columns.
fn shown(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        shown.push_str(before);
        rest = after.split_once(|it: char| it.is_ascii_alphabetic()).map_or("", |(_, rest)| rest);
    }
    shown + rest
}

/// Lines that do not fit. A word that is longer than a line stays whole, so that it can be copied.
fn wide(text: &str) -> Vec<String> {
    let lines = text.lines().map(shown);
    lines.filter(|line| width(line) > COLUMNS.into() && line.trim().contains(' ')).collect()
}

fn config(priority: u8, directory: &Directory) -> Config {
    let script = directory.path().join("check-of-the-shop.sh");
    let globals = vec!["script_user root".to_owned()];
    let blocks = format!(
        "vrrp_script database-of-the-shop {{\n    script \"/bin/sh {}\"\n    interval 1\n    fall 1\n    weight -2\n}}\n\
         vrrp_sync_group {GROUP} {{\n    group {{\n        {NAME}\n        VI_61\n    }}\n    sync_group_tracking_weight\n}}\n",
        script.display()
    );
    let first = Instance::v6(priority).named(NAME).addresses(&[
        "fe80::200:5eff:fe00:5201/64",
        "2001:db8:77:aaaa:bbbb:cccc:dddd:200/64",
        "2001:db8:77:aaaa:bbbb:cccc:dddd:201/64",
    ]);
    let first =
        first.line("notify \"/bin/echo the hook of the shop has printed a rather long line of text\"");
    let second = Instance::v3(priority).vrid(61).named("VI_61");
    let second = second.line("track_script {\n        database-of-the-shop\n    }");
    Config { globals, blocks, instances: vec![first, second] }
}

#[test]
#[needs("ours")]
fn every_command_fits_in_40_columns() -> Result<()> {
    let directory = Directory::new()?;
    let script = "echo the database of the shop does not answer, whatever is asked of it; exit 3\n";
    fs::write(directory.path().join("check-of-the-shop.sh"), script)?;
    let daemon = Daemon::Vrrpx(Mode::Auto);
    let roles = [200, 100].map(|priority| Role::new(daemon, config(priority, &directory)));
    Pair::idle(roles)?.check(|pair| {
        pair.start(0)?;
        pair.start(1)?;
        until("a check that is down", SETTLE, || {
            pair.running(0).and_then(|it| it.status()).is_ok_and(|status| {
                status["instances"][0]["state"] == "MASTER" && status["checks"][0]["up"] == false
            })
        })?;
        let runtime_dir = pair.running(0)?.directory().to_owned();
        let file = runtime_dir.join("keepalived.conf").display().to_string();
        let broken = directory.path().join("broken.conf").display().to_string();
        fs::write(
            &broken,
            fs::read_to_string(&file)?.replace("priority", "prioirty").replace("interval 1", "interval x"),
        )?;
        let place = format!("--runtime-dir={}", runtime_dir.display());
        let place = place.as_str();
        let reason = "--reason=the disk of the database is replaced by the people of the shop";
        let peer = "fe80::1:2:3:4";
        let (file, broken) = (file.as_str(), broken.as_str());
        let lines: Vec<(&[i32], Vec<&str>)> = vec![
            (PROBLEM, vec!["status", place]),
            (PROBLEM, vec!["status", place, "--all"]),
            (PROBLEM, vec!["status", place, "--verbose"]),
            (ANY_STATE, vec!["status", place, NAME]),
            (PROBLEM, vec!["status", place, GROUP]),
            (WRONG, vec!["status", place, "no-such-instance-of-the-shop"]),
            (FAILED, vec!["status", "--runtime-dir=/run/there/is/no/daemon"]),
            (WRONG, vec!["is-master", place, "no-such-instance-of-the-shop"]),
            (OK, vec!["events", place]),
            (WRONG, vec!["events", place, "--kind=no_such_kind"]),
            (WRONG, vec!["events", place, "--since=yesterday"]),
            (OK, vec!["check", file]),
            (REFUSED, vec!["check", broken]),
            (UNREADABLE, vec!["check", "/etc/there/is/no/file.conf"]),
            (OK, vec!["explain", file]),
            (OK, vec!["explain", "--all", file]),
            (REFUSED, vec!["explain", broken]),
            (PROBLEM, vec!["doctor", "--config", file, place]),
            (PROBLEM, vec!["doctor", "--probe", "--config", file, place]),
            (OK, vec!["detect", INTERFACE, "--for=1s", "--file", file]),
            (FAILED, vec!["detect", "no-interface", "--for=1s"]),
            (OK, vec!["trace", "--config", file, "-n2", "--for=5s"]),
            (WRONG, vec!["trace", "--config", file, "no-instance"]),
            (FAILED, vec!["tune", place, NAME]),
            (OK, vec!["announce", place]),
            (WRONG, vec!["announce", place, "no-such-instance-of-the-shop"]),
            (OK, vec!["log", place, "debug", "--for=10m"]),
            (OK, vec!["log", place, "reset"]),
            // Above the peer's priority: this node is still master for the failover.
            (OK, vec!["priority", place, NAME, "150", "--for=1h", reason]),
            (WRONG, vec!["priority", place, NAME, "0"]),
            (OK, vec!["priority", place, NAME, "reset"]),
            (REFUSED, vec!["failover", place, NAME, "--to", peer]),
            (OK, vec!["failover", place, NAME, "--force", "--for=1h", reason]),
            (PROBLEM, vec!["status", place]),
            (REFUSED, vec!["failover", place, NAME]),
            (OK, vec!["priority", place, NAME, "reset"]),
            (OK, vec!["maintenance", place, "on", NAME, "--for=1h", reason, "--force"]),
            (OK, vec!["maintenance", place, "show"]),
            (PROBLEM, vec!["status", place]),
            (OK, vec!["maintenance", place, "off", NAME]),
            (REFUSED, vec!["maintenance", place, "off", NAME]),
            (WRONG, vec!["maintenance", place, "on"]),
            (OK, vec!["cleanup", place]),
            (OK, vec!["keepalived", "--help"]),
            (UNGUARDED, vec!["keepalived", "-t", "-f", file]),
            (DISABLED, vec!["keepalived", "-t", "-f", broken]),
            (FAILED, vec!["keepalived", "--no-such-option"]),
        ];
        // Changes and refusals of a reload.
        let reload = |text: &str| -> Result<()> { Ok(fs::write(file, text)?) };
        let text = fs::read_to_string(file)?;
        let namespace = &pair.node(0)?.namespace;
        let mut faults = Vec::new();
        let mut prints = |codes: &[i32], arguments: &[&str]| -> Result<()> {
            let mut command = namespace.command(vrrpx())?;
            command.args(arguments);
            let (text, status) = on_terminal(command, COLUMNS)?;
            let command = format!("vrrpx {}", arguments.join(" "));
            if !status.code().is_some_and(|code| codes.contains(&code)) {
                faults.push(format!("{command}: {status} instead of {codes:?}:\n{text}"));
            }
            if text.trim().is_empty() && arguments.first() != Some(&SILENT) {
                faults.push(format!("{command}: nothing is printed"));
            }
            let wide = wide(&text);
            if !wide.is_empty() {
                faults.push(format!("{command} is wider than {COLUMNS} columns:\n{}", wide.join("\n")));
            }
            if let Some(folder) = std::env::var_os("VRRPX_SCREENS") {
                let name = arguments.join(" ").replace('/', "+");
                fs::write(std::path::Path::new(&folder).join(name), &text)?;
            }
            Ok(())
        };
        for (codes, arguments) in &lines {
            prints(codes, arguments)?;
        }
        reload(&text.replace("weight -2", "weight -3").replace("dddd:201", "dddd:202"))?;
        for more in ["--dry-run", "--confirm=60s", "--keep"] {
            prints(OK, &["reload", place, more])?;
        }
        reload(&fs::read_to_string(broken)?)?;
        prints(REFUSED, &["reload", place])?;
        let commands = commands();
        let names = commands.get_subcommands().map(|it| it.get_name());
        for name in names.filter(|name| !APART.contains(name)) {
            ensure!(
                name == "reload" || lines.iter().any(|(_, line)| line.first() == Some(&name)),
                "{name} is not run"
            );
            if name != "keepalived" {
                prints(OK, &[name, "--help"])?;
                prints(WRONG, &[name, "--no-such-option-of-this-command"])?;
            }
        }
        prints(OK, &["--help"])?;
        ensure!(faults.is_empty(), "{}", faults.join("\n"));
        Ok(())
    })
}
