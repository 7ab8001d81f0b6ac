//! Handover from ours to keepalived, without support from keepalived.

use anyhow::Result;
use vrrp_tests::daemon::{Daemon, Mode};
use vrrp_tests::leave::{Leaving, unnoticed};
use vrrp_tests::require;

fn leaves_unnoticed(leaving: Leaving) -> Result<()> {
    let daemons = [Daemon::Vrrpx(Mode::Auto), Daemon::Keepalived];
    let mut needs = ["root", "ip"].into_iter().chain(daemons.iter().map(|daemon| daemon.need()));
    if needs.all(require) { unnoticed(leaving, daemons) } else { Ok(()) }
}

#[test]
fn a_stop_is_not_noticed() -> Result<()> {
    leaves_unnoticed(Leaving::Stop)
}

#[test]
fn maintenance_is_not_noticed() -> Result<()> {
    leaves_unnoticed(Leaving::Maintenance)
}

#[test]
fn a_failover_is_not_noticed() -> Result<()> {
    leaves_unnoticed(Leaving::Failover)
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
