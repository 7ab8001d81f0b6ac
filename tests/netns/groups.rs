//! Sync groups.

use anyhow::Result;
use vrrp_tests::group::lifecycle;

use crate::subject;

#[test]
fn members_on_two_links_move_together() -> Result<()> {
    let Some(daemon) = subject() else { return Ok(()) };
    lifecycle([daemon, daemon])
}
