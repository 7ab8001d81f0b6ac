//! Sync groups.

use anyhow::Result;
use vrrp_tests::group::lifecycle;
use vrrp_tests::needs;

use crate::subject;

#[test]
#[needs("subject")]
fn members_on_two_links_move_together() -> Result<()> {
    let daemon = subject();
    lifecycle([daemon, daemon])
}
