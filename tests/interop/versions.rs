//! Migration between versions: a node that speaks both beside nodes that speak one.

use anyhow::{Result, ensure};
use vrrp_tests::clock::watch;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::pair::{Pair, Role};
use vrrp_tests::{needs, waits};

/// Both versions; version 2 has whole seconds.
fn both(priority: u8) -> Role {
    let instance = Instance::v3(priority).interval(1000).line("also_version_2").pass("migrate");
    Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(instance))
}

fn keepalived(instance: Instance) -> Role {
    Role::new(Daemon::Keepalived, Config::of(instance))
}

/// I01.
#[waits]
#[test]
#[needs("lab", "keepalived")]
fn both_versions_hear_the_one_master() -> Result<()> {
    let others = [keepalived(Instance::v2(100).pass("migrate")), keepalived(Instance::v3(50).interval(1000))];
    Pair::settled_in_turn([[both(200)].to_vec(), others.to_vec()].concat())?.check(|pair| {
        pair.observer.clear();
        watch(2 * Instance::v2(100).master_down_interval());
        pair.ensure_alive()?;
        let adverts = pair.observer.adverts();
        ensure!(adverts.iter().all(|advert| advert.1 == 0), "another node is master too");
        for version in [2, 3] {
            let count = adverts.iter().filter(|advert| advert.2.version == version).count();
            ensure!(count >= 5, "{count} adverts of version {version}");
        }
        Ok(())
    })
}

#[waits]
#[test]
#[needs("lab", "keepalived")]
fn each_version_is_obeyed_and_followed() -> Result<()> {
    for master in [Instance::v2(200).pass("migrate"), Instance::v3(200).interval(1000)] {
        Pair::settled([keepalived(master), both(100)])?.check(|pair| {
            pair.observer.clear();
            watch(Instance::v2(100).master_down_interval());
            pair.observer.ensure_only(0)?;
            pair.die(0)?;
            pair.wait_for_master(1)
        })?;
    }
    Ok(())
}
