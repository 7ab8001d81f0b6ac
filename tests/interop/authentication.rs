//! IPsec authentication headers that are rejected.

use anyhow::{Context, Result};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::{needs, waits};

/// keepalived has another password, or another type: both nodes are masters, and ours counts the reason.
#[waits]
#[test]
#[needs("lab", "keepalived")]
fn a_wrong_ipsec_password_or_type_is_counted() -> Result<()> {
    let ours = Daemon::Vrrpx(Mode::Auto);
    let theirs = Daemon::Keepalived;
    for (instance, word) in [
        (Instance::v2(200).ah("other"), "auth_hmac"),
        (Instance::v2(200).pass("secret"), "auth_type"),
        (Instance::v2(200), "auth_type"),
    ] {
        let roles = [
            Role::new(theirs, Config::of(instance)),
            Role::new(ours, Config::of(Instance::v2(100).ah("secret"))),
        ];
        let mut pair = Pair::idle(roles)?;
        pair.start(0)?;
        pair.start(1)?;
        pair.check(|pair| {
            until("two masters, and a count", SETTLE, || {
                let Ok(status) = pair.running(1).and_then(|running| running.status()) else { return false };
                let instance = &status["instances"][0];
                let rejects = instance["counters"]["rejects"].as_array().cloned().unwrap_or_default();
                instance["state"] == "MASTER" && rejects.iter().any(|count| count["word"] == word)
            })
            .with_context(|| word.to_owned())?;
            // keepalived 2.2.7 falls silent when it hears adverts that it rejects, and keeps the address.
            [0, 1].into_iter().try_for_each(|node| pair.wait_for_address(node, VIRTUAL_V4.parse()?, true))
        })?;
    }
    Ok(())
}
