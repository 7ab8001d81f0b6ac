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
use vrrp_tests::{cases, needs};

fn get_along(mode: Mode, flavour: Flavour) -> Result<()> {
    get_along_with(Daemon::Keepalived, mode, flavour)
}

/// Ours as master and as heir.
fn get_along_with(theirs: Daemon, mode: Mode, flavour: Flavour) -> Result<()> {
    let ours = Daemon::Vrrpx(mode);
    Pair::settled(flavour.roles(ours, theirs))?.check(lifecycle)?;
    Pair::settled(flavour.roles(theirs, ours))?.check(lifecycle)
}

cases! {
    #[waits]
    #[needs("lab", "keepalived")]
    fn version_2_with_password = get_along(Mode::Auto, Flavour::V2);
    fn version_2_behind_ipsec = get_along(Mode::Auto, Flavour::Ah);
    fn version_2_behind_ipsec_by_unicast = get_along(Mode::Auto, Flavour::AhUnicast);
    fn version_2_behind_ipsec_on_sockets = get_along(Mode::Socket, Flavour::Ah);
    fn version_2_with_password_on_sockets = get_along(Mode::Socket, Flavour::V2);
}

cases! {
    #[needs("lab", "keepalived")]
    fn version_3 = get_along(Mode::Auto, Flavour::V3);
    fn version_3_on_the_native_hook = get_along(Mode::Native, Flavour::V3);
    fn version_3_over_ipv6 = get_along(Mode::Auto, Flavour::V6);
    fn another_group = get_along(Mode::Auto, Flavour::Group);
    fn unicast = get_along(Mode::Auto, Flavour::Unicast);
    fn unicast_over_ipv6 = get_along(Mode::Auto, Flavour::UnicastV6);
    fn version_3_on_sockets = get_along(Mode::Socket, Flavour::V3);
    fn version_3_over_ipv6_on_sockets = get_along(Mode::Socket, Flavour::V6);
    fn unicast_on_sockets = get_along(Mode::Socket, Flavour::Unicast);
}

cases! {
    #[waits]
    #[needs("lab", "vrrpd")]
    fn frr_version_2 = get_along_with(Daemon::Frr, Mode::Auto, Flavour::V2Open);
}

cases! {
    #[needs("lab", "vrrpd")]
    fn frr_version_3 = get_along_with(Daemon::Frr, Mode::Auto, Flavour::V3);
    fn frr_version_3_over_ipv6 = get_along_with(Daemon::Frr, Mode::Auto, Flavour::V6);
}
