//! The lock of all network interfaces (RTNL), which another process holds: no advert waits for it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::realtime;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::needs;
use vrrp_tests::netns::Namespace;
use vrrp_tests::pair::{Pair, Role};

/// Pairs of interfaces. Their removal holds the lock for 200 ms at least.
const CROWD: usize = 2000;
/// Before the takeover: time for the command to start.
const EARLY: Duration = Duration::from_millis(90);

const SERVED: u8 = 52;

#[test]
#[needs("ours")]
fn a_removal_of_many_interfaces_delays_no_advert() -> Result<()> {
    let served = Instance::v3(100).vrid(SERVED).addresses(&["10.77.0.210/24"]);
    let heir = Instance::v3(100);
    let patience = heir.master_down_interval();
    for mode in [Mode::Tcx, Mode::Tc] {
        let daemon = Daemon::Vrrpx(mode);
        let both = Config { instances: vec![heir.clone(), served.clone()], ..Config::default() };
        let roles = [Role::new(daemon, Config::of(Instance::v3(200))), Role::new(daemon, both)];
        let mut pair = Pair::idle(roles)?;
        // Another network namespace of this host.
        let crowd = Namespace::new("crowd")?;
        let line = |index| format!("link add a{index} group 42 type veth peer name b{index}");
        crowd.ip(&(0..CROWD).map(line).collect::<Vec<_>>().join("\n"))?;
        pair.start(0)?;
        pair.wait_for_address(0, "10.77.0.200".parse()?, true)?;
        pair.start(1)?;
        pair.wait_for_address(1, "10.77.0.210".parse()?, true)?;
        pair.check(|pair| {
            pair.die(0)?;
            let adverts = pair.observer.adverts();
            let last = adverts.iter().rev().find(|(_, node, _)| *node == 0).context("no advert of node 0")?.0;
            let start = last + u64::try_from((patience - EARLY).as_nanos())?;
            std::thread::sleep(Duration::from_nanos(start.saturating_sub(realtime())));
            let begun = realtime();
            crowd.ip("link del group 42")?;
            let took = Duration::from_nanos(realtime().saturating_sub(begun));
            ensure!(took > Duration::from_millis(250), "the lock was held for less than {took:?}");
            pair.wait_for_address(1, "10.77.0.200".parse()?, true)?;
            let sent: Vec<u64> = pair
                .observer
                .adverts()
                .iter()
                .filter(|(at, node, advert)| *at > last && *node == 1 && advert.vrid == SERVED)
                .map(|(at, ..)| *at)
                .collect();
            let gaps =
                sent.iter().zip(sent.iter().skip(1)).map(|(one, next)| Duration::from_nanos(next - one));
            let longest = gaps.max().context("no adverts")?;
            ensure!(longest < Duration::from_millis(200), "{mode:?}: {longest:?} without an advert");
            pair.observer.wait_for_advert(1, last, Duration::from_secs(1)).map(drop)
        })?;
    }
    Ok(())
}
