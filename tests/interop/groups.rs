//! Sync groups, one of ours and one of keepalived.

use anyhow::{Context, Result};
use vrrp_tests::daemon::{Daemon, Mode};
use vrrp_tests::group::lifecycle;
use vrrp_tests::needs;

#[test]
#[needs("lab", "keepalived")]
fn members_on_two_links_move_together() -> Result<()> {
    let (ours, theirs) = (Daemon::Vrrpx(Mode::Auto), Daemon::Keepalived);
    for daemons in [[ours, theirs], [theirs, ours]] {
        lifecycle(daemons).with_context(|| format!("{daemons:?}"))?;
    }
    Ok(())
}
