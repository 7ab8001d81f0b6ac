//! Handover from ours to keepalived, without support from keepalived.

use anyhow::Result;
use vrrp_tests::daemon::{Daemon, Mode};
use vrrp_tests::leave::{Leaving, unnoticed};
use vrrp_tests::{cases, needs};

fn leaves_unnoticed(leaving: Leaving) -> Result<()> {
    unnoticed(leaving, [Daemon::Vrrpx(Mode::Auto), Daemon::Keepalived])
}

cases! {
    #[needs("lab", "keepalived")]
    fn a_stop_is_not_noticed = leaves_unnoticed(Leaving::Stop);
    fn maintenance_is_not_noticed = leaves_unnoticed(Leaving::Maintenance);
    fn a_failover_is_not_noticed = leaves_unnoticed(Leaving::Failover);
    fn a_failed_check_is_not_noticed = leaves_unnoticed(Leaving::FailedCheck);
    fn a_lowered_priority_is_not_noticed = leaves_unnoticed(Leaving::LoweredPriority);
    fn a_better_keepalived_is_not_noticed = leaves_unnoticed(Leaving::BetterNode);
}
