//! Ours hands over to keepalived as to its own kind, and keepalived need not know.

use std::time::Duration;

use anyhow::{Result, ensure};
use vrrp_tests::daemon::{Daemon, Mode};
use vrrp_tests::leave::{Leaving, Scene};
use vrrp_tests::require;

const GAP_MAX: Duration = Duration::from_millis(150);

fn leaves_unnoticed(leaving: Leaving) -> Result<()> {
    let daemons = [Daemon::Vrrpx(Mode::Auto), Daemon::Keepalived];
    if !["root", "ip"].into_iter().chain(daemons.iter().map(|daemon| daemon.need())).all(require) {
        return Ok(());
    }
    let mut scene = Scene::new(leaving, daemons, 1000, "")?;
    let outcome = scene.leave();
    let handover = outcome.map_err(|error| scene.pair.with_logs(&error))?;
    ensure!(handover.gap < GAP_MAX, "{leaving:?}: nobody has answered for {:?}", handover.gap);
    Ok(())
}

#[test]
fn a_stop_is_not_noticed() -> Result<()> {
    leaves_unnoticed(Leaving::Stop)
}

#[test]
fn a_failed_check_is_not_noticed() -> Result<()> {
    leaves_unnoticed(Leaving::FailedCheck)
}

#[test]
fn a_lowered_priority_is_not_noticed() -> Result<()> {
    leaves_unnoticed(Leaving::LoweredPriority)
}

#[test]
fn a_better_keepalived_is_not_noticed() -> Result<()> {
    leaves_unnoticed(Leaving::BetterNode)
}
