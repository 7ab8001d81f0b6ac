//! Ours with Debian's keepalived and FRR, each in both roles: election, death, return and stop.

mod authentication;
mod elections;
mod groups;
mod handover;
mod interface;
mod mail;
mod routes;
mod versions;
mod vmac;

use anyhow::Result;
use vrrp_tests::daemon::{Daemon, Mode};
use vrrp_tests::flavour::{Flavour, lifecycle};
use vrrp_tests::pair::Pair;
use vrrp_tests::{needs, waits};

fn get_along(mode: Mode, flavour: Flavour) -> Result<()> {
    get_along_with(Daemon::Keepalived, mode, flavour)
}

/// Ours as master and as heir.
fn get_along_with(theirs: Daemon, mode: Mode, flavour: Flavour) -> Result<()> {
    let ours = Daemon::Vrrpx(mode);
    Pair::settled(flavour.roles(ours, theirs))?.check(lifecycle)?;
    Pair::settled(flavour.roles(theirs, ours))?.check(lifecycle)
}

#[waits]
#[test]
#[needs("lab", "keepalived")]
fn version_2_with_password() -> Result<()> {
    get_along(Mode::Auto, Flavour::V2)
}

#[waits]
#[test]
#[needs("lab", "keepalived")]
fn version_2_behind_ipsec() -> Result<()> {
    get_along(Mode::Auto, Flavour::Ah)
}

#[waits]
#[test]
#[needs("lab", "keepalived")]
fn version_2_behind_ipsec_by_unicast() -> Result<()> {
    get_along(Mode::Auto, Flavour::AhUnicast)
}

#[waits]
#[test]
#[needs("lab", "keepalived")]
fn version_2_behind_ipsec_on_sockets() -> Result<()> {
    get_along(Mode::Socket, Flavour::Ah)
}

#[test]
#[needs("lab", "keepalived")]
fn version_3() -> Result<()> {
    get_along(Mode::Auto, Flavour::V3)
}

#[test]
#[needs("lab", "keepalived")]
fn version_3_on_the_native_hook() -> Result<()> {
    get_along(Mode::Native, Flavour::V3)
}

#[test]
#[needs("lab", "keepalived")]
fn version_3_over_ipv6() -> Result<()> {
    get_along(Mode::Auto, Flavour::V6)
}

#[test]
#[needs("lab", "keepalived")]
fn another_group() -> Result<()> {
    get_along(Mode::Auto, Flavour::Group)
}

#[test]
#[needs("lab", "keepalived")]
fn unicast() -> Result<()> {
    get_along(Mode::Auto, Flavour::Unicast)
}

#[test]
#[needs("lab", "keepalived")]
fn unicast_over_ipv6() -> Result<()> {
    get_along(Mode::Auto, Flavour::UnicastV6)
}

#[test]
#[needs("lab", "keepalived")]
fn version_3_on_sockets() -> Result<()> {
    get_along(Mode::Socket, Flavour::V3)
}

#[waits]
#[test]
#[needs("lab", "keepalived")]
fn version_2_with_password_on_sockets() -> Result<()> {
    get_along(Mode::Socket, Flavour::V2)
}

#[test]
#[needs("lab", "keepalived")]
fn version_3_over_ipv6_on_sockets() -> Result<()> {
    get_along(Mode::Socket, Flavour::V6)
}

#[test]
#[needs("lab", "keepalived")]
fn unicast_on_sockets() -> Result<()> {
    get_along(Mode::Socket, Flavour::Unicast)
}

#[waits]
#[test]
#[needs("lab", "vrrpd")]
fn frr_version_2() -> Result<()> {
    get_along_with(Daemon::Frr, Mode::Auto, Flavour::V2Open)
}

#[test]
#[needs("lab", "vrrpd")]
fn frr_version_3() -> Result<()> {
    get_along_with(Daemon::Frr, Mode::Auto, Flavour::V3)
}

#[test]
#[needs("lab", "vrrpd")]
fn frr_version_3_over_ipv6() -> Result<()> {
    get_along_with(Daemon::Frr, Mode::Auto, Flavour::V6)
}
