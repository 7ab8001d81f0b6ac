//! A daemon that another one replaces: what it leaves to it, and what it leaves alone.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::{until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::Directory;

const OURS: Daemon = Daemon::Vrrpx(Mode::Auto);

/// Hooks that write their states to a file in `folder`; that of BACKUP takes its time.
fn hooked(priority: u8, folder: &Directory) -> Instance {
    let log = folder.path().join("hooks");
    let hook = |keyword: &str, before: &str, word: &str| {
        format!("{keyword} \"/bin/sh -c '{before}echo {word} >> {}'\"", log.display())
    };
    Instance::v3(priority).line(&hook("notify_backup", "sleep 4; ", "BACKUP")).line(&hook(
        "notify_master",
        "",
        "MASTER",
    ))
}

fn hooks(folder: &Directory) -> Vec<String> {
    let text = fs::read_to_string(folder.path().join("hooks")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
#[needs("ours")]
fn a_hook_that_waits_behind_a_slow_one_is_run_by_the_next_daemon() -> Result<()> {
    let folder = Directory::new()?;
    Pair::settled([Role::new(OURS, Config::of(hooked(200, &folder)))])?.check(|pair| {
        ensure!(hooks(&folder).is_empty(), "the hook of BACKUP has ended already");
        for _ in 0..2 {
            ensure!(pair.hot_restart(0, &[])?.success(), "the old process ended with an error");
        }
        until("both hooks", SETTLE, || hooks(&folder).len() >= 2)?;
        watch(Duration::from_millis(500));
        ensure!(hooks(&folder) == ["BACKUP", "MASTER"], "{:?}", hooks(&folder));
        Ok(())
    })
}

/// The other daemon is this test, which has asked for the offer and takes its time.
#[test]
#[needs("ours")]
fn a_transition_while_another_daemon_prepares_is_reported() -> Result<()> {
    let folder = Directory::new()?;
    let backup = hooked(100, &folder);
    let roles = [Instance::v3(200), backup].map(|instance| Role::new(OURS, Config::of(instance)));
    Pair::settled(roles)?.check(|pair| {
        until("the hook of BACKUP", SETTLE, || hooks(&folder) == ["BACKUP"])?;
        // It may have been master for a moment, before the other one was up.
        let (_, epoch) = pair.running(1)?.standing()?;
        let mut stream = UnixStream::connect(pair.running(1)?.directory().join("control.sock"))?;
        stream.set_read_timeout(Some(SETTLE))?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let mut next = move || lines.next().context("the connection is closed")?.context("nothing comes");
        stream.write_all(b"{\"command\":\"hot_restart\"}\n")?;
        ensure!(next()?.starts_with("{\"offer\""), "no offer");
        // The old daemon waits for two seconds.
        let death = pair.mark();
        pair.die(0)?;
        pair.observer.wait_for_advert(1, death, SETTLE)?;
        stream.write_all(b"\"go\"\n")?;
        let snapshot: serde_json::Value = serde_json::from_str(&next()?)?;
        let left = &snapshot["snapshot"]["hooks"][0];
        ensure!(left["subject"]["instance"] == 0 && left["unreported"]["state"] == "MASTER", "{snapshot}");
        ensure!(
            left["unreported"]["previous"] == "BACKUP" && left["unreported"]["epoch"] == epoch + 1,
            "{snapshot}"
        );
        stream.write_all(b"\"leases\"\n")?;
        ensure!(next()? == "\"leases\"", "no leases");
        stream.write_all(b"\"adopted\"\n")?;
        let old = pair.running(1)?.process();
        ensure!(old.wait(SETTLE)?.success(), "the old process ended with an error");
        ensure!(old.log().contains("(VI_1) Entering MASTER STATE"), "{}", old.log());
        ensure!(hooks(&folder) == ["BACKUP"], "both daemons would run it");
        Ok(())
    })
}

/// The other daemon is this test again; it has the state, and does not confirm.
#[test]
#[needs("ours")]
fn an_order_that_another_daemon_would_not_know_is_refused() -> Result<()> {
    Pair::settled([Role::new(OURS, Config::of(Instance::v3(200)))])?.check(|pair| {
        let mut stream = UnixStream::connect(pair.running(0)?.directory().join("control.sock"))?;
        stream.set_read_timeout(Some(SETTLE))?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        stream.write_all(b"{\"command\":\"hot_restart\"}\n")?;
        lines.next().context("no offer")??;
        stream.write_all(b"\"go\"\n")?;
        lines.next().context("no snapshot")??;
        let order = ["priority", "VI_1", "150"];
        let refused = pair.running(0)?.ask(&order)?;
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(why.contains("another daemon takes the place of this one; try again"), "{refused:?}");
        drop((stream, lines));
        until("it goes on", SETTLE, || {
            pair.running(0).and_then(|it| it.ask(&order)).is_ok_and(|output| output.status.success())
        })
    })
}

/// The old one ends late, because the script of a FIFO does; meanwhile it would look after its program once a second.
#[test]
#[needs("ours")]
fn the_program_of_the_next_daemon_stays_attached() -> Result<()> {
    let folder = Directory::new()?;
    let script = folder.path().join("reader");
    fs::write(&script, "#!/bin/sh\nexec sleep 60\n")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let globals = vec![
        format!("vrrp_notify_fifo {}", folder.path().join("fifo").display()),
        format!("vrrp_notify_fifo_script {}", script.display()),
    ];
    let config = |priority| Config { globals: globals.clone(), ..Config::of(Instance::v3(priority)) };
    for mode in [Mode::Tcx, Mode::Tc] {
        Pair::settled([Role::new(Daemon::Vrrpx(mode), config(200))])?.check(|pair| {
            for _ in 0..5 {
                ensure!(pair.hot_restart(0, &[])?.success(), "the old process ended with an error");
            }
            for entry in fs::read_dir(pair.running(0)?.directory())? {
                let path = entry?.path();
                let is_log = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log"));
                let text = if is_log { fs::read_to_string(&path)? } else { String::new() };
                ensure!(!text.contains("detached the program"), "{}: {text}", path.display());
            }
            Ok(())
        })?;
    }
    Ok(())
}
