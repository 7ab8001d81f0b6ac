//! Elections among daemons of different kinds.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::watch;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::pair::{Pair, Role};
use vrrp_tests::process::Directory;
use vrrp_tests::{needs, waits};

const OURS: Daemon = Daemon::Vrrpx(Mode::Auto);

/// Runs `scenario` with ours on node 0 and keepalived on node 1, then with both exchanged.
fn both_ways(scenario: impl Fn([Daemon; 2]) -> Result<()>) -> Result<()> {
    for daemons in [[OURS, Daemon::Keepalived], [Daemon::Keepalived, OURS]] {
        scenario(daemons).with_context(|| format!("{daemons:?}"))?;
    }
    Ok(())
}

fn role(daemon: Daemon, instance: Instance) -> Role {
    Role::new(daemon, Config::of(instance))
}

/// Ours, keepalived and FRR on one wire, each at each rank: the highest priority alive is master, also when a higher
/// one comes back.
#[test]
#[needs("lab", "keepalived", "vrrpd")]
fn three_kinds_of_daemon_succeed_one_another() -> Result<()> {
    let kinds = [OURS, Daemon::Keepalived, Daemon::Frr];
    for first in 0..kinds.len() {
        let mut order = kinds;
        order.rotate_left(first);
        let mut priority = 250;
        let roles = order.map(|daemon| {
            priority -= 50;
            role(daemon, Instance::v3(priority))
        });
        let succession = |group: &mut Pair| {
            for (dying, heir) in [(0, 1), (1, 2)] {
                group.die(dying)?;
                group.wait_for_master(heir).with_context(|| format!("node {dying} has died"))?;
            }
            for returning in [1, 0] {
                group.observer.clear();
                group.revive(returning)?;
                group.wait_for_master(returning).with_context(|| format!("node {returning} is back"))?;
            }
            Ok(())
        };
        Pair::settled(roles)?.check(succession).with_context(|| format!("{order:?}"))?;
    }
    Ok(())
}

/// Both kinds send adverts without addresses, and accept them.
#[waits]
#[test]
#[needs("lab", "keepalived")]
fn instances_that_advertise_no_addresses_have_one_master() -> Result<()> {
    let excluded = "virtual_ipaddress_excluded {\n        10.77.0.210/24\n    }";
    let instance = |priority| Instance::v2(priority).addresses(&[]).line(excluded);
    both_ways(|[first, second]| {
        Pair::settled([role(first, instance(200)), role(second, instance(100))])?.check(|pair| {
            pair.die(0)?;
            pair.wait_for_master(1)?;
            pair.observer.clear();
            pair.revive(0)?;
            pair.wait_for_master(0)
        })
    })
}

/// Two masters of one priority, after a cable was cut and repaired: the higher address stays master (RFC 9568 §6.4.3).
#[test]
#[needs("lab", "keepalived")]
fn the_higher_address_wins_a_tie() -> Result<()> {
    both_ways(|daemons| {
        let mut pair = Pair::idle(daemons.map(|daemon| role(daemon, Instance::v3(100))))?;
        pair.lab.part(true)?;
        pair.start(0)?;
        pair.start(1)?;
        pair.check(|pair| {
            let address: IpAddr = VIRTUAL_V4.parse()?;
            for node in [0, 1] {
                pair.wait_for_address(node, address, true)?;
            }
            pair.observer.clear();
            pair.lab.part(false)?;
            pair.wait_for_master(1)?;
            pair.wait_for_address(0, address, false)
        })
    })
}

/// A failing check lowers the priority, and the other node takes over; the check succeeds, and the master is back.
#[test]
#[needs("lab", "keepalived")]
fn a_weight_moves_the_master() -> Result<()> {
    both_ways(|daemons| {
        let directory = Directory::new()?;
        let flag = directory.path().join("healthy");
        std::fs::write(&flag, "")?;
        let script = format!(
            "vrrp_script healthy {{\n    script \"/usr/bin/test -e {}\"\n    interval 1\n    weight -60\n    user root\n}}\n",
            flag.display()
        );
        let tracking = Instance::v3(150).line("track_script {\n        healthy\n    }");
        let config = Config { blocks: script, ..Config::of(tracking) };
        let roles = [Role::new(daemons[0], config), role(daemons[1], Instance::v3(100))];
        Pair::settled(roles)?.check(|pair| {
            std::fs::remove_file(&flag)?;
            pair.observer.clear();
            pair.wait_for_master(1).context("the check fails")?;
            std::fs::write(&flag, "")?;
            pair.observer.clear();
            pair.wait_for_master(0).context("the check passes")
        })
    })
}

/// With `nopreempt` a returning node of higher priority does not preempt the master.
#[test]
#[needs("lab", "keepalived")]
fn nopreempt_leaves_a_lower_master_alone() -> Result<()> {
    both_ways(|daemons| {
        let roles = [
            role(daemons[0], Instance::v3(200).line("nopreempt")),
            role(daemons[1], Instance::v3(100).line("nopreempt")),
        ];
        Pair::settled_in_turn(roles)?.check(|pair| {
            pair.die(0)?;
            pair.wait_for_master(1)?;
            pair.observer.clear();
            pair.revive(0)?;
            watch(5 * Instance::v3(200).master_down_interval());
            pair.ensure_alive()?;
            let adverts = pair.observer.adverts();
            ensure!(adverts.iter().all(|advert| advert.1 == 1), "node 0 has sent adverts");
            ensure!(!adverts.is_empty(), "node 1 is silent");
            Ok(())
        })
    })
}

/// Ours answers clients while it is isolated from keepalived, and yields with an advert: keepalived then announces its
/// addresses again.
#[test]
#[needs("lab", "keepalived")]
fn after_a_split_keepalived_corrects_the_clients_of_ours() -> Result<()> {
    let roles = [role(Daemon::Keepalived, Instance::v3(200)), role(OURS, Instance::v3(100))];
    Pair::settled(roles)?.check(|pair| [0, 25, 50, 75].into_iter().try_for_each(|moment| pair.split(moment)))
}
