//! Election, death, return and stop, in every flavour.

use anyhow::Result;
use vrrp_tests::flavour::{Flavour, lifecycle};
use vrrp_tests::pair::Pair;
use vrrp_tests::{needs, waits};

use crate::subject;

fn live(flavour: Flavour) -> Result<()> {
    let daemon = subject();
    Pair::settled(flavour.roles(daemon, daemon))?.check(lifecycle)
}

#[waits]
#[test]
#[needs("subject")]
fn version_2_with_password() -> Result<()> {
    live(Flavour::V2)
}

#[test]
#[needs("subject")]
fn version_3() -> Result<()> {
    live(Flavour::V3)
}

#[test]
#[needs("subject")]
fn version_3_over_ipv6() -> Result<()> {
    live(Flavour::V6)
}

#[test]
#[needs("subject")]
fn unicast() -> Result<()> {
    live(Flavour::Unicast)
}

#[test]
#[needs("subject")]
fn unicast_over_ipv6() -> Result<()> {
    live(Flavour::UnicastV6)
}
