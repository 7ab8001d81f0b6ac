//! Addresses, routes, rules and static items: ours and keepalived set the same for the same file.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};

const VIRTUAL: &str = "virtual_routes {
        192.0.2.0/24 via 10.77.0.254 dev lan0
        src 10.77.0.200 to 198.51.100.0/24 via 10.77.0.254 metric 7 tos 0x10
        203.0.113.9 dev lan0 scope link table 77
        203.0.113.10 dev lan0
        multicast 239.9.0.0/16 dev lan0
        blackhole 203.0.113.0/24
        unreachable 203.0.113.64/26 metric 3
        default via 10.77.0.253 table 100 onlink dev lan0
        192.0.2.128/25 nexthop via 10.77.0.251 dev lan0 weight 1 nexthop via 10.77.0.252 dev lan0 weight 2
        198.51.100.128/25 via 10.77.0.254 mtu lock 1400 advmss 1300 initcwnd 20
        192.0.2.192/26 via 10.77.0.254 realms 3/4 features ecn congctl reno ssthresh lock 107 quickack 1
        192.0.2.32/27 via 10.77.0.254 append fastopen_no_cookie 1
        2001:db8:78::/48 via fd77::fe dev lan0 pref high
        2001:db8:77::/48 via fd77::fe dev lan0 metric 9
    }";

const RULES: &str = "virtual_rules {
        from 192.0.2.0/24 table 100 preference 1000
        not from 10.77.0.0/24 to 198.51.100.0/24 iif lan0 lookup 77 priority 1001
        from all oif lan0 fwmark 0x10/0xff tos 0x10 table main order 1002
        to 203.0.113.0/24 fwmark 7 preference 1003 goto 1005
        from 203.0.113.0/24 type unreachable preference 1004
        nop preference 1005
        from 192.0.2.7 prohibit preference 1006
        blackhole from 192.0.2.8 preference 1007
        table main sup_pl 0 preference 1008
        lookup main suppress_ifgroup 5 preference 1009
        l3mdev preference 1010
        table 100 uidrange 1000-1999 ipproto 6 sport 1000-2000 dport 80-90 preference 1011
        from 192.0.2.0/25 table 100 realms 3/4 preference 1012
        from 2001:db8::/33 table 101 dsfield AF11 preference 1013
        from 2001:db8::/32 table 101 preference 1000
        table 1234567 not preference 1001 inet6
        from 192.0.2.9 table 100
        to 192.0.2.9 table 100
        to 2001:db8:9::9 table 100
        from 192.0.2.10 table 100 protocol 18 preference 1014 no_track
    }";

const ADDRESSES: &str = "virtual_ipaddress_excluded {
        fd98::1 peer fd98::2
        fd98:1::1/64 home mngtmpaddr
        fd98:2::1/64 preferred_lft 0
        fd98:3::1 preferred_lft forever
        fd98:4::1/64 preferred_lft 1000 no_track
        fd98:5::1/64 -nodad noprefixroute
        fd98:6::1
        ff05::98/128 autojoin
    }";

const STATIC: &str = "static_ipaddress {
    10.77.0.222/24 dev lan0 label lan0:s
    fd77::222/64 dev lan0
}
static_routes {
    192.0.2.64/26 via 10.77.0.254 dev lan0
}
static_rules {
    from 192.0.2.64/26 table 100 preference 2000
    from 192.0.2.64 table 100
}
";

#[test]
#[needs("lab", "keepalived")]
fn the_same_file_sets_the_same_addresses_routes_and_rules() -> Result<()> {
    let (ours, theirs) = (Daemon::Vrrpx(Mode::Auto), Daemon::Keepalived);
    let config = Config {
        blocks: STATIC.to_owned(),
        instances: vec![Instance::v3(200).line(VIRTUAL).line(RULES).line(ADDRESSES)],
        ..Config::default()
    };
    let [ours, theirs] = [ours, theirs].map(|daemon| {
        let mut pair = Pair::idle([Role::new(daemon, config.clone())])?;
        let before = addresses(&pair)?;
        pair.start(0)?;
        let address: IpAddr = VIRTUAL_V4.parse()?;
        pair.check(|pair| {
            pair.wait_for_address(0, address, true)?;
            until("the last route", SETTLE, || {
                routes(pair).is_ok_and(|found| found.contains("2001:db8:77::/48"))
                    && addresses(pair).is_ok_and(|found| found.contains("ff05::98"))
                    && rules(pair).is_ok_and(|found| found.contains("2001:db8:9::9"))
            })?;
            let held = [routes(pair)?, rules(pair)?, addresses(pair)?];
            pair.stop(0)?;
            let left = [routes(pair)?, rules(pair)?, addresses(pair)?];
            ensure!(left == [String::new(), String::new(), before], "left behind: {left:#?}");
            Ok(held)
        })
        .with_context(|| format!("{daemon:?}"))
    });
    let (ours, theirs): ([String; 3], [String; 3]) = (ours?, theirs?);
    ensure!(ours[0].lines().count() == 15, "routes:\n{}", ours[0]);
    ensure!(ours[1].lines().count() == 22, "rules:\n{}", ours[1]);
    ensure!(ours == theirs, "ours:\n{}\nkeepalived's:\n{}", ours.join("\n"), theirs.join("\n"));
    Ok(())
}

/// Routes of both families and all tables, without those of the kernel and of the lab.
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

/// Rules of both families, in their order.
fn rules(pair: &Pair) -> Result<String> {
    let namespace = &pair.node(0)?.namespace;
    let all = ["-4", "-6"].map(|family| namespace.run("ip", &[family, "-details", "rule", "show"]));
    let [v4, v6] = all;
    let text = v4? + &v6?;
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| is_ours(line)).collect();
    Ok(lines.join("\n"))
}

fn is_ours(line: &str) -> bool {
    ["proto keepalived", "proto 18"].iter().any(|word| line.contains(word))
}

/// Addresses with their options, and with those lifetimes that are the same each time.
fn addresses(pair: &Pair) -> Result<String> {
    let text =
        pair.node(0)?.namespace.run("ip", &["-oneline", "-details", "address", "show", "dev", "lan0"])?;
    let of_line = |line: &str| {
        let words = line.split_whitespace().skip(1).map(|word| match word {
            "0sec" | "forever" => word,
            _ if word.ends_with("sec") => "sec",
            _ => word,
        });
        words.collect::<Vec<_>>().join(" ")
    };
    Ok(text.lines().map(of_line).collect::<Vec<_>>().join("\n"))
}
