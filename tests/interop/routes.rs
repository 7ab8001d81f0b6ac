//! Routes and static items: the same file sets the same with ours and with keepalived.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::require;

const VIRTUAL: &str = "virtual_routes {
        192.0.2.0/24 via 10.77.0.254 dev lan0
        src 10.77.0.200 to 198.51.100.0/24 via 10.77.0.254 metric 7 tos 0x10
        203.0.113.9 dev lan0 scope link table 77
        blackhole 203.0.113.0/24
        unreachable 203.0.113.64/26 metric 3
        default via 10.77.0.253 table 100 onlink dev lan0
        192.0.2.128/25 nexthop via 10.77.0.251 dev lan0 weight 1 nexthop via 10.77.0.252 dev lan0 weight 2
        198.51.100.128/25 via 10.77.0.254 mtu lock 1400 advmss 1300 initcwnd 20
        2001:db8:77::/48 via fd77::fe dev lan0 metric 9
    }";

const STATIC: &str = "static_ipaddress {
    10.77.0.222/24 dev lan0 label lan0:s
    fd77::222/64 dev lan0
}
static_routes {
    192.0.2.64/26 via 10.77.0.254 dev lan0
}
";

#[test]
fn the_same_file_sets_the_same_routes_and_static_items() -> Result<()> {
    let (ours, theirs) = (Daemon::Vrrpx(Mode::Auto), Daemon::Keepalived);
    if !["root", "ip", ours.need(), theirs.need()].into_iter().all(require) {
        return Ok(());
    }
    let config = Config {
        blocks: STATIC.to_owned(),
        instances: vec![Instance::v3(200).line(VIRTUAL)],
        ..Config::default()
    };
    let [ours, theirs] = [ours, theirs].map(|daemon| {
        let mut pair = Pair::idle([Role::new(daemon, config.clone())])?;
        pair.start(0)?;
        let address: IpAddr = VIRTUAL_V4.parse()?;
        pair.check_with(|pair| {
            pair.wait_for_address(0, address, true)?;
            until("the last route", SETTLE, || {
                routes(pair).is_ok_and(|found| found.contains("2001:db8:77::/48"))
            })?;
            let held = (routes(pair)?, addresses(pair)?);
            pair.stop(0)?;
            let left = (routes(pair)?, addresses(pair)?);
            ensure!(left == Default::default(), "left behind: {left:?}");
            Ok(held)
        })
        .with_context(|| format!("{daemon:?}"))
    });
    let (ours, theirs): ((String, String), (String, String)) = (ours?, theirs?);
    ensure!(ours.0.lines().count() == 10, "routes:\n{}", ours.0);
    ensure!(ours == theirs, "ours:\n{}\n{}\nkeepalived's:\n{}\n{}", ours.0, ours.1, theirs.0, theirs.1);
    Ok(())
}

/// Of both families and all tables, without those of the kernel and of the lab.
fn routes(pair: &Pair) -> Result<String> {
    let namespace = &pair.node(0)?.namespace;
    let all = ["-4", "-6"].map(|family| {
        namespace.run("ip", &[family, "-details", "-oneline", "route", "show", "table", "all"])
    });
    let [v4, v6] = all;
    let text = v4? + &v6?;
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| is_ours(line)).collect();
    lines.sort_unstable();
    Ok(lines.join("\n"))
}

fn is_ours(line: &str) -> bool {
    ["proto keepalived", "proto 18"].iter().any(|word| line.contains(word))
}

/// The static ones.
fn addresses(pair: &Pair) -> Result<String> {
    let text =
        pair.node(0)?.namespace.run("ip", &["-oneline", "-details", "address", "show", "dev", "lan0"])?;
    let lines = text.lines().filter(|line| line.contains("222"));
    // The index and, behind the backslash, lifetimes are others each time.
    let words = lines
        .map(|line| line.split('\\').next().unwrap_or_default().split_once(' ').map_or("", |(_, rest)| rest));
    Ok(words.map(str::trim_end).collect::<Vec<_>>().join("\n"))
}
