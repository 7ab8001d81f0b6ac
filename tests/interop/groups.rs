//! Sync groups, one of ours and one of keepalived.

use anyhow::{Context, Result};
use vrrp_tests::daemon::{Daemon, Mode};
use vrrp_tests::group::lifecycle;
use vrrp_tests::require;

#[test]
fn members_on_two_links_move_together() -> Result<()> {
    let (ours, theirs) = (Daemon::Vrrpx(Mode::Auto), Daemon::Keepalived);
    if !["root", "ip", ours.need(), theirs.need()].into_iter().all(require) {
        return Ok(());
    }
    for daemons in [[ours, theirs], [theirs, ours]] {
        lifecycle(daemons).with_context(|| format!("{daemons:?}"))?;
    }
    Ok(())
}
