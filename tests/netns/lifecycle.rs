//! Election, death, return and stop, in every flavour.

use anyhow::Result;
use vrrp_tests::flavour::{Flavour, lifecycle};
use vrrp_tests::pair::Pair;

use crate::subject;

fn live(flavour: Flavour) -> Result<()> {
    let Some(daemon) = subject() else { return Ok(()) };
    Pair::settled(flavour.roles(daemon, daemon))?.check(lifecycle)
}

#[test]
fn version_2_with_password() -> Result<()> {
    live(Flavour::V2)
}

#[test]
fn version_3() -> Result<()> {
    live(Flavour::V3)
}

#[test]
fn version_3_over_ipv6() -> Result<()> {
    live(Flavour::V6)
}

#[test]
fn unicast() -> Result<()> {
    live(Flavour::Unicast)
}

#[test]
fn unicast_over_ipv6() -> Result<()> {
    live(Flavour::UnicastV6)
}
