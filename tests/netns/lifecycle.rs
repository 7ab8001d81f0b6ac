//! Election, death, return and stop, in every flavour.

use anyhow::Result;
use vrrp_tests::flavour::{Flavour, lifecycle};
use vrrp_tests::pair::Pair;
use vrrp_tests::{cases, needs};

use crate::subject;

fn live(flavour: Flavour) -> Result<()> {
    let daemon = subject();
    Pair::settled(flavour.roles(daemon, daemon))?.check(lifecycle)
}

cases! {
    #[waits]
    #[needs("subject")]
    fn version_2_with_password = live(Flavour::V2);
}

cases! {
    #[needs("subject")]
    fn version_3 = live(Flavour::V3);
    fn version_3_over_ipv6 = live(Flavour::V6);
    fn unicast = live(Flavour::Unicast);
    fn unicast_over_ipv6 = live(Flavour::UnicastV6);
}
