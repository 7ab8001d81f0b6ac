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
        let lines: Vec<Vec<&str>> = vec![
            vec!["status", place],
            vec!["status", place, "--all"],
            vec!["status", place, "--verbose"],
            vec!["status", place, NAME],
            vec!["status", place, GROUP],
            vec!["status", place, "no-such-instance-of-the-shop"],
            vec!["status", "--runtime-dir=/run/there/is/no/daemon"],
            vec!["is-master", place, "no-such-instance-of-the-shop"],
            vec!["events", place],
            vec!["events", place, "--kind=no_such_kind"],
            vec!["events", place, "--since=yesterday"],
            vec!["check", file],
            vec!["check", broken],
            vec!["check", "/etc/there/is/no/file.conf"],
            vec!["explain", file],
            vec!["explain", "--all", file],
            vec!["explain", broken],
            vec!["doctor", "--config", file, place],
            vec!["doctor", "--probe", "--config", file, place],
            vec!["detect", INTERFACE, "--for=1s", "--file", file],
            vec!["detect", "no-interface", "--for=1s"],
            vec!["trace", "--config", file, "-n2", "--for=5s"],
            vec!["trace", "--config", file, "no-instance"],
            vec!["tune", place, NAME],
            vec!["announce", place],
            vec!["announce", place, "no-such-instance-of-the-shop"],
            vec!["log", place, "debug", "--for=10m"],
            vec!["log", place, "reset"],
            vec!["priority", place, NAME, "90", "--for=1h", reason],
            vec!["priority", place, NAME, "0"],
            vec!["priority", place, NAME, "reset"],
            vec!["failover", place, NAME, "--to", peer],
            vec!["failover", place, NAME, "--force", "--for=1h", reason],
            vec!["status", place],
            vec!["failover", place, NAME],
            vec!["priority", place, NAME, "reset"],
            vec!["maintenance", place, "on", NAME, "--for=1h", reason, "--force"],
            vec!["maintenance", place, "show"],
            vec!["status", place],
            vec!["maintenance", place, "off", NAME],
            vec!["maintenance", place, "off", NAME],
            vec!["maintenance", place, "on"],
            vec!["cleanup", place],
            vec!["keepalived", "--help"],
            vec!["keepalived", "-t", "-f", file],
            vec!["keepalived", "-t", "-f", broken],
            vec!["keepalived", "--no-such-option"],
        ];
        // What a reload changes, and refuses.
        let reload = |text: &str| -> Result<()> { Ok(fs::write(file, text)?) };
        let text = fs::read_to_string(file)?;
        let namespace = &pair.node(0)?.namespace;
        let mut faults = Vec::new();
        let mut prints = |arguments: &[&str]| -> Result<()> {
            let mut command = namespace.command(vrrpx())?;
            command.args(arguments);
            let (text, _) = on_terminal(command, COLUMNS)?;
            let wide = wide(&text);
            if !wide.is_empty() {
                faults.push(format!("vrrpx {}:\n{}", arguments.join(" "), wide.join("\n")));
            }
            if let Some(folder) = std::env::var_os("VRRPX_SCREENS") {
                let name = arguments.join(" ").replace('/', "+");
                fs::write(std::path::Path::new(&folder).join(name), &text)?;
            }
            Ok(())
        };
        for arguments in &lines {
            prints(arguments)?;
        }
        reload(&text.replace("weight -2", "weight -3").replace("dddd:201", "dddd:202"))?;
        for more in ["--dry-run", "--confirm=60s", "--keep"] {
            prints(&["reload", place, more])?;
        }
        reload(&fs::read_to_string(broken)?)?;
        prints(&["reload", place])?;
        let commands = commands();
        let names = commands.get_subcommands().map(|it| it.get_name());
        for name in names.filter(|name| !APART.contains(name)) {
            ensure!(
                name == "reload" || lines.iter().any(|line| line.first() == Some(&name)),
                "{name} is not run"
            );
            if name != "keepalived" {
                prints(&[name, "--help"])?;
                prints(&[name, "--no-such-option-of-this-command"])?;
            }
        }
        prints(&["--help"])?;
        ensure!(faults.is_empty(), "wider than {COLUMNS} columns:\n{}", faults.join("\n"));
        Ok(())
    })
}
