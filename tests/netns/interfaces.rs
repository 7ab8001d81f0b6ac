//! Requirements of an instance on its interface, and the settings that the daemon makes there.

use std::time::Duration;

use anyhow::{Result, ensure};
use vrrp_tests::clock::{outage, until, watch};
use vrrp_tests::daemon::{Config, Instance};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::netns::Namespace;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::starvation::Starvation;

use crate::{roles, subject};

/// State and reason of the instance of a node.
fn standing(pair: &mut Pair, node: usize) -> Result<(String, String)> {
    let status = pair.running(node)?.status()?;
    let of = |key: &str| status["instances"][0][key].as_str().unwrap_or_default().to_owned();
    Ok((of("state"), of("reason")))
}

fn wait_for(pair: &mut Pair, node: usize, state: &str, reason: &str) -> Result<()> {
    until(&format!("{state} by {reason}"), SETTLE, || {
        standing(pair, node).is_ok_and(|found| (&*found.0, &*found.1) == (state, reason))
    })
}

#[test]
#[needs("subject")]
fn a_link_that_bounces_is_no_fault_and_one_that_stays_down_is() -> Result<()> {
    let role = |priority| {
        let blocks = "interface_up_down_delays {\n    lan0 1.5\n}\n".to_owned();
        let instances = vec![Instance::v3(priority).interval(1000)];
        Role::new(subject(), Config { blocks, instances, ..Config::default() })
    };
    let address = VIRTUAL_V4.parse()?;
    Pair::settled([role(200), role(100)])?.check(|pair| {
        pair.wait_for_address(0, address, true)?;
        pair.lab.set_cable(0, false)?;
        outage(Duration::from_millis(400));
        pair.wait_for_address(0, address, true)?;
        pair.lab.set_cable(0, true)?;
        watch(Duration::from_millis(1500));
        ensure!(
            pair.node(0)?.addresses()?.iter().any(|held| held.address == VIRTUAL_V4),
            "the address is gone"
        );
        pair.lab.set_cable(0, false)?;
        pair.wait_for_address(0, address, false)?;
        pair.wait_for_address(1, address, true)
    })
}

#[test]
#[needs("subject")]
fn promote_secondaries_holds_as_long_as_the_daemon_runs() -> Result<()> {
    let instance = |priority| Instance::v3(priority).line("promote_secondaries");
    Pair::idle(roles(subject(), instance(200), instance(100)))?.check(|pair| {
        let node = pair.node(0)?;
        node.namespace.sysctl("ipv4/conf/all/promote_secondaries", "0")?;
        node.namespace.sysctl("ipv4/conf/lan0/promote_secondaries", "0")?;
        let value = |pair: &Pair| -> Result<String> {
            let path = "/proc/sys/net/ipv4/conf/lan0/promote_secondaries";
            Ok(pair.node(0)?.namespace.run("cat", &[path])?.trim().to_owned())
        };
        pair.start(0)?;
        pair.wait_for_master(0)?;
        ensure!(value(pair)? == "1", "not set");
        pair.stop(0)?;
        ensure!(value(pair)? == "0", "not set back");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn the_group_is_joined_again_when_the_kernel_has_left_it() -> Result<()> {
    Pair::settled(roles(subject(), Instance::v6(200), Instance::v6(100)))?.check(|pair| {
        let is_member = |pair: &Pair| -> Result<bool> {
            Ok(pair
                .node(1)?
                .namespace
                .run("ip", &["-6", "maddress", "show", "dev", "lan0"])?
                .contains("ff02::12"))
        };
        ensure!(is_member(pair)?, "not a member at first");
        // IPv6 needs an MTU of 1280 and is gone with a smaller one.
        pair.node(1)?.namespace.ip("link set lan0 mtu 1000")?;
        wait_for(pair, 1, "FAULT", "no_source")?;
        ensure!(!is_member(pair)?, "the kernel has not left the group");
        let threads = Starvation::of_ordinary_threads()?;
        pair.node(1)?.namespace.ip("link set lan0 mtu 1500")?;
        wait_for(pair, 1, "BACKUP", "recovered")?;
        threads.until("a member again", Duration::from_secs(1), || is_member(pair).is_ok_and(|it| it))?;
        pair.wait_for_master(0)
    })
}

#[test]
#[needs("ours")]
fn unicast_without_a_peer_is_a_fault_if_configured() -> Result<()> {
    let lonely = Instance::v3(200).line("unicast_src_ip 10.77.0.1").line("unicast_fault_no_peer");
    let befriended = lonely.clone().line("unicast_peer {\n        10.77.0.2\n    }");
    Pair::idle(roles(subject(), lonely, Instance::v3(100)))?.check(|pair| {
        pair.start(0)?;
        wait_for(pair, 0, "FAULT", "no_peer")?;
        pair.running(0)?.reload(&Config::of(befriended).to_string())?;
        wait_for(pair, 0, "MASTER", "master_silent")
    })
}

#[test]
#[needs("ours")]
fn without_its_source_address_an_instance_is_in_fault() -> Result<()> {
    let instance = |priority| Instance::v3(priority).line("mcast_src_ip 10.77.0.91").line("track_src_ip");
    Pair::idle(roles(subject(), instance(200), instance(100)))?.check(|pair| {
        pair.node(0)?.namespace.ip("address add 10.77.0.91/24 dev lan0")?;
        pair.start(0)?;
        wait_for(pair, 0, "MASTER", "master_silent")?;
        pair.node(0)?.namespace.ip("address delete 10.77.0.91/24 dev lan0")?;
        wait_for(pair, 0, "FAULT", "no_source")?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)?;
        pair.node(0)?.namespace.ip("address add 10.77.0.91/24 dev lan0")?;
        wait_for(pair, 0, "MASTER", "master_silent")
    })
}

#[test]
#[needs("ours")]
fn a_unicast_instance_finds_its_interface() -> Result<()> {
    let daemon = subject();
    let text = |own: &str| {
        let instance = Instance::v3(200).unicast(own, "10.77.0.2");
        Config::of(instance).to_string().replace("    interface lan0\n", "")
    };
    Pair::idle(roles(daemon, Instance::v3(200), Instance::v3(100)))?.check(|pair| {
        let mut running = daemon.start_with(pair.node(0)?, &text("10.77.0.1"))?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        let refused = running.reload(&text("10.77.0.99"))?;
        let reported = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(reported.contains("no interface has its source address 10.77.0.99"), "{reported}");
        running.stop()?;
        ensure!(!pair.node(0)?.addresses()?.iter().any(|held| held.address == VIRTUAL_V4), "left behind");
        Ok(())
    })
}

/// A client there knows another owner of the addresses.
#[test]
#[needs("ours")]
fn addresses_of_a_link_that_was_down_are_announced_when_it_comes_up() -> Result<()> {
    const ADDRESSES: [&str; 2] = ["10.78.0.200", "fd78::200"];
    const MAC: &str = "02:00:00:00:78:01";
    let addresses = ADDRESSES.map(|address| format!("        {address} dev lan1\n")).concat();
    let instance = Instance::v3(200).line(&format!("virtual_ipaddress_excluded {{\n{addresses}    }}"));
    let client = Namespace::new("client")?;
    Pair::idle([Role::new(subject(), Config::of(instance))])?.check(|pair| {
        let far = format!("type veth peer name far1 netns {}", client.name());
        pair.node(0)?.namespace.ip(&format!("link add lan1 address {MAC} {far}"))?;
        client.ip("link set far1 up")?;
        pair.start(0)?;
        pair.wait_for_master(0)?;
        until("the address", SETTLE, || pair.lab.has_address(0, ADDRESSES[0]).is_ok_and(|it| it))?;
        for address in ADDRESSES {
            client.ip(&format!("neigh add {address} lladdr 02:00:00:00:78:99 dev far1 nud stale"))?;
        }
        pair.node(0)?.namespace.ip("link set lan1 up")?;
        until("the client to know the master", SETTLE, || {
            client.run("ip", &["neigh"]).is_ok_and(|all| all.matches(MAC).count() == ADDRESSES.len())
        })
    })
}
