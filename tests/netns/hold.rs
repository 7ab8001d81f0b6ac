//! A flapping check moves the address once; the address returns when the check has been quiet.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::{until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::Directory;

/// Long enough to show that nothing happens, and well within `hold`.
const WATCH: Duration = Duration::from_millis(1500);

#[test]
#[needs("ours")]
fn a_check_that_flaps_is_held_over_a_reload_until_it_is_quiet() -> Result<()> {
    let directory = Directory::new()?;
    let well = directory.path().join("well");
    fs::write(&well, "")?;
    let blocks = format!(
        "vrrp_check service {{\n    exec /usr/bin/test -e {}\n    interval 0.1\n    damping 2 60 hold 6\n}}\n",
        well.display()
    );
    let config = |priority| {
        let tracking = Instance::v3(priority).line("track_check {\n        service\n    }");
        Config {
            globals: vec!["script_user root".to_owned()],
            blocks: blocks.clone(),
            instances: vec![tracking],
        }
    };
    let daemon = Daemon::Vrrpx(Mode::Auto);
    let roles = [Role::new(daemon, config(200)), Role::new(daemon, Config::of(Instance::v3(100)))];
    Pair::settled(roles)?.check(|pair| {
        // A failure counts at once.
        fs::remove_file(&well)?;
        pair.wait_for_master(1)?;
        ensure!(held(pair)?.is_null(), "held: {}", held(pair)?);
        // The recovery is one change too many.
        fs::write(&well, "")?;
        until("the check is held", SETTLE, || held(pair).is_ok_and(|held| held["reason"] == "flapping"))?;
        pair.reload(0, &config(210))?;
        pair.observer.clear();
        watch(WATCH);
        pair.observer.ensure_only(1)?;
        ensure!(held(pair)?["seconds"].as_f64().is_some_and(|left| (0.0..6.0).contains(&left)));
        pair.wait_for_master(0)?;
        ensure!(held(pair)?.is_null(), "held: {}", held(pair)?);
        pair.wait_for_log(0, "changes too often")?;
        pair.wait_for_log(0, "no longer held")
    })
}

/// The hold on the check of node 0.
fn held(pair: &mut Pair) -> Result<serde_json::Value> {
    let status = pair.running(0)?.status()?;
    Ok(status["checks"].get(0).context("no check")?["held"].clone())
}
