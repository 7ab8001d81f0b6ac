//! Reloads that change sync groups, or settings that do not justify giving up a mastership.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_tests::clock::{until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::group::{SECOND, second_lan};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::probe::Prober;
use vrrp_tests::process::Directory;
use vrrp_tests::starvation::Starvation;

const VIRTUAL_OTHER: &str = "10.77.0.201";
const VIRTUAL_SECOND: &str = "10.78.0.200";

const DAEMON: Daemon = Daemon::Vrrpx(Mode::Auto);

/// Between the reloads of the two nodes, and after them: several times a backup's Master_Down_Interval.
const APART: Duration = Duration::from_secs(1);

/// Members on the lab's LAN, 51 and 52, and one on the second LAN, 53; adverts each 100 ms.
fn member(priority: u8, vrid: u8) -> Instance {
    let instance = Instance::v3(priority).vrid(vrid);
    match vrid {
        51 => instance,
        52 => instance.addresses(&[&format!("{VIRTUAL_OTHER}/24")]),
        _ => instance.on(SECOND).addresses(&[&format!("{VIRTUAL_SECOND}/24")]),
    }
}

fn name(vrid: u8) -> String {
    format!("VI_{vrid}")
}

/// Instances, of which `members` form a sync group.
fn config(priority: u8, instances: &[u8], members: &[u8], hook: &str) -> Config {
    let names: Vec<String> = members.iter().map(|vrid| name(*vrid)).collect();
    let group =
        format!("vrrp_sync_group both {{\n    group {{\n        {}\n    }}\n}}\n", names.join("\n        "));
    let blocks = if members.is_empty() { String::new() } else { group };
    let instances = instances.iter().map(|vrid| member(priority, *vrid).line(hook)).collect();
    Config { globals: vec!["script_user root".to_owned()], blocks, instances }
}

/// All instances in one group; node 0 has the hook.
fn settled(instances: &[u8], hook: &str) -> Result<Pair> {
    let roles = [(200, hook), (100, "")]
        .map(|(priority, hook)| Role::new(DAEMON, config(priority, instances, instances, hook)));
    let mut pair = Pair::idle(roles)?;
    second_lan(&pair.lab)?;
    pair.start(0)?;
    pair.start(1)?;
    pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
    pair.wait_for_address(1, VIRTUAL_V4.parse()?, false)?;
    until("both daemons to answer", SETTLE, || {
        [0, 1].iter().all(|node| standings(&mut pair, *node).is_ok())
    })?;
    Ok(pair)
}

/// State and epoch of each instance of a node, by name.
fn standings(pair: &mut Pair, node: usize) -> Result<BTreeMap<String, (String, u64)>> {
    let status = pair.running(node)?.status()?;
    let instances = status["instances"].as_array().context("no instances")?;
    let standing = |it: &Value| {
        let text = |key: &str| it[key].as_str().unwrap_or_default().to_owned();
        Some((text("name"), (text("state"), it["epoch"].as_u64()?)))
    };
    instances.iter().map(|it| standing(it).context("no epoch")).collect()
}

/// A hook that appends instance, state and epoch to `reported`.
fn hook(directory: &Path) -> Result<String> {
    let reported = directory.join("reported");
    let script = format!("echo \"$VRRPX_INSTANCE $3 $VRRPX_EPOCH\" >> {}\n", reported.display());
    std::fs::write(directory.join("hook.sh"), script)?;
    Ok(format!("notify \"/bin/sh {}\"", directory.join("hook.sh").display()))
}

fn reported(directory: &Path) -> Vec<(String, String, u64)> {
    let text = std::fs::read_to_string(directory.join("reported")).unwrap_or_default();
    let line = |line: &str| {
        let [instance, state, epoch] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        Some((instance.to_owned(), state.to_owned(), epoch.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// The hook calls of each instance come in the order of its epochs, none twice.
fn ensure_growing(reported: &[(String, String, u64)]) -> Result<()> {
    let mut latest: BTreeMap<&str, u64> = BTreeMap::new();
    for (instance, _, epoch) in reported {
        let before = latest.insert(instance, *epoch).unwrap_or(0);
        ensure!(*epoch > before, "{instance}: epoch {epoch} after {before}: {reported:?}");
    }
    Ok(())
}

#[test]
#[needs("ours")]
fn a_member_joins_and_leaves_unnoticed_by_clients() -> Result<()> {
    let directory = Directory::new()?;
    let hook = hook(directory.path())?;
    settled(&[51, 52], &hook)?.check(|pair| {
        let before = [standings(pair, 0)?, standings(pair, 1)?];
        let clients = [VIRTUAL_V4, VIRTUAL_OTHER]
            .map(|address| Prober::new(&pair.lab, address.parse::<IpAddr>()?, Duration::from_millis(1)));
        let clients = clients.into_iter().collect::<Result<Vec<_>>>()?;
        for all in [&[51, 52, 53][..], &[51, 52][..]] {
            for (node, priority, hook) in [(0, 200, &*hook), (1, 100, "")] {
                pair.reload(node, &config(priority, all, all, hook))?;
                watch(APART);
            }
            let now = [standings(pair, 0)?, standings(pair, 1)?];
            for (now, before) in now.iter().zip(&before) {
                let stayed: BTreeMap<_, _> =
                    now.iter().filter(|(name, _)| before.contains_key(*name)).collect();
                ensure!(stayed == before.iter().collect(), "{before:?} has become {now:?}");
            }
            let expected =
                all.contains(&53).then(|| ["MASTER", "BACKUP"].map(|state| Some(state.to_owned())));
            let expected = expected.unwrap_or_default();
            until(&format!("the third member as {expected:?}"), SETTLE, || {
                let third = |node| Some(standings(pair, node).ok()?.get("VI_53")?.0.clone());
                [0, 1].map(third) == expected
            })?;
        }
        for client in &clients {
            let settled = client.settled();
            let lost = settled.iter().filter(|probe| probe.answered.is_none()).count();
            ensure!(settled.len() > 2000, "only {} probes", settled.len());
            ensure!(lost == 0, "{lost} of {} probes have no answer", settled.len());
            ensure!(settled.iter().all(|probe| probe.by == Some(0) && !probe.twice), "another node answers");
        }
        ensure_growing(&reported(directory.path()))
    })
}

/// An instance is removed and added, recreated under other settings, or moved to another group.
#[test]
#[needs("ours")]
fn epochs_in_hooks_only_grow() -> Result<()> {
    let directory = Directory::new()?;
    let hook = hook(directory.path())?;
    let alone = Role::new(DAEMON, config(200, &[51, 52, 53], &[51, 52, 53], &hook));
    let pair = Pair::idle([alone])?;
    second_lan(&pair.lab)?;
    pair.check(|pair| {
        pair.start(0)?;
        let vmac = |config: Config| Config {
            instances: config.instances.into_iter().map(|it| it.line("use_vmac")).collect(),
            ..config
        };
        let files = [
            config(200, &[51, 52], &[51, 52], &hook),
            config(200, &[51, 52, 53], &[51, 52], &hook),
            vmac(config(200, &[51, 52, 53], &[51, 52, 53], &hook)),
            config(200, &[52, 53], &[], &hook),
            config(200, &[51, 52, 53], &[53, 51], &hook),
        ];
        let are_masters = |pair: &mut Pair, count: usize| {
            let standings = standings(pair, 0).unwrap_or_default();
            standings.len() == count && standings.values().all(|(state, _)| state == "MASTER")
        };
        until("masters at first", SETTLE, || are_masters(pair, 3))?;
        for (file, number) in files.iter().zip(1..) {
            pair.reload(0, file)?;
            let what = format!("masters after reload {number}");
            until(&what, SETTLE, || are_masters(pair, file.instances.len()))?;
        }
        let now = standings(pair, 0)?;
        let is_reported = |name: &str, epoch: u64| {
            reported(directory.path())
                .iter()
                .any(|(instance, _, reported)| instance == name && *reported == epoch)
        };
        until("the hooks", SETTLE, || now.iter().all(|(name, (_, epoch))| is_reported(name, *epoch)))?;
        let reported = reported(directory.path());
        ensure!(reported.len() > 10, "{reported:?}");
        ensure_growing(&reported)
    })
}

/// The daemon makes the interface for it, which comes up a moment after the reload.
#[test]
#[needs("ours")]
fn a_member_with_a_virtual_mac_address_joins_a_mastership() -> Result<()> {
    settled(&[51, 52], "")?.check(|pair| {
        let before = standings(pair, 0)?;
        for round in 0..5 {
            let mut joined = config(200, &[51, 52], &[51, 52, 53], "");
            joined.instances.push(member(200, 53).line("use_vmac"));
            pair.reload(0, &joined)?;
            let is_master = |pair: &mut Pair| {
                standings(pair, 0)
                    .is_ok_and(|now| now.get("VI_53").is_some_and(|(state, _)| state == "MASTER"))
            };
            until("the new member as master", SETTLE, || is_master(pair))?;
            pair.reload(0, &config(200, &[51, 52], &[51, 52], ""))?;
            let now = standings(pair, 0)?;
            ensure!(now == before, "round {round}: {before:?} has become {now:?}");
        }
        Ok(())
    })
}

/// Members of one group, of which `vmac` has `use_vmac`.
fn with_vmac(priority: u8, members: &[u8], vmac: Option<u8>, line: &str, hook: &str) -> Config {
    let mut config = config(priority, members, members, hook);
    for (instance, vrid) in config.instances.iter_mut().zip(members) {
        if vmac == Some(*vrid) {
            *instance = member(priority, *vrid).line(hook).line("use_vmac").line(line);
        }
    }
    config
}

#[test]
#[needs("ours")]
fn a_virtual_mac_address_comes_and_goes_and_other_members_stay() -> Result<()> {
    let directory = Directory::new()?;
    let hook = hook(directory.path())?;
    settled(&[51, 52], &hook)?.check(|pair| {
        let before = [standings(pair, 0)?, standings(pair, 1)?];
        let other = Prober::new(&pair.lab, VIRTUAL_OTHER.parse::<IpAddr>()?, Duration::from_millis(1))?;
        let moved = Prober::new(&pair.lab, VIRTUAL_V4.parse::<IpAddr>()?, Duration::from_millis(1))?;
        for (vmac, line) in [(Some(51), ""), (Some(51), "vmac_xmit_base"), (Some(51), ""), (None, "")] {
            for (node, priority, hook) in [(0, 200, &*hook), (1, 100, "")] {
                pair.reload(node, &with_vmac(priority, &[51, 52], vmac, line, hook))?;
                let state = ["MASTER", "BACKUP"][node];
                until("the members in one state", SETTLE, || {
                    standings(pair, node).is_ok_and(|now| now.values().all(|(it, _)| it == state))
                })?;
                watch(APART);
            }
            for (node, before) in before.iter().enumerate() {
                let now = standings(pair, node)?;
                ensure!(now["VI_52"] == before["VI_52"], "{vmac:?} {line}: {before:?} has become {now:?}");
            }
        }
        let lost = |client: &Prober| {
            let settled = client.settled();
            let by_another = settled.iter().filter(|probe| probe.by == Some(1)).count();
            (settled.iter().filter(|probe| probe.answered.is_none()).count(), by_another, settled.len())
        };
        let (unanswered, by_another, all) = lost(&other);
        ensure!((unanswered, by_another) == (0, 0) && all > 4000, "{unanswered}, {by_another} of {all}");
        // Twice the address changes its MAC address and interface.
        let (unanswered, by_another, _) = lost(&moved);
        ensure!(by_another == 0, "the other node has answered {by_another} times");
        ensure!(unanswered < 1000, "{unanswered} probes of the address that moves have no answer");
        ensure_growing(&reported(directory.path()))
    })
}

/// Its interface is missing, or down, or its check fails; then it is mended.
#[test]
#[needs("ours")]
fn a_new_member_in_fault_costs_the_others_nothing() -> Result<()> {
    let directory = Directory::new()?;
    let hook = hook(directory.path())?;
    let flag = directory.path().join("flag");
    settled(&[51, 52], &hook)?.check(|pair| {
        let before = [standings(pair, 0)?, standings(pair, 1)?];
        let client = Prober::new(&pair.lab, VIRTUAL_V4.parse::<IpAddr>()?, Duration::from_millis(1))?;
        let is = |pair: &mut Pair, state: &str| {
            standings(pair, 0).is_ok_and(|now| now.get("VI_53").is_some_and(|(it, _)| it == state))
        };
        let node = |pair: &Pair, lines: &str| pair.node(0)?.namespace.ip(lines);
        let check = format!(
            "vrrp_script flag {{\n    script \"/usr/bin/test -e {}\"\n    interval 1\n}}\n",
            flag.display()
        );
        for (what, on, line) in [
            ("missing", "lan7", ""),
            ("down", SECOND, ""),
            ("failing", SECOND, "track_script {\n        flag\n    }"),
        ] {
            let mut joined = config(200, &[51, 52], &[51, 52, 53], &hook);
            joined.instances.push(member(200, 53).on(on).line(&hook).line(line));
            joined.blocks.push_str(if line.is_empty() { "" } else { &check });
            if what == "down" {
                node(pair, &format!("link set {SECOND} down"))?;
            }
            let output = pair.running(0)?.reload(&joined.to_string())?;
            ensure!(output.status.success(), "{what}: {output:?}");
            let named = String::from_utf8_lossy(&output.stdout).contains("goes on without it")
                || String::from_utf8_lossy(&output.stderr).contains("goes on without it");
            ensure!(named == (what == "missing"), "{what}: {output:?}");
            until(&format!("{what}: Fault of the new member"), SETTLE, || is(pair, "FAULT"))?;
            watch(APART);
            let status = pair.running(0)?.status()?;
            let third = status["instances"].as_array().into_iter().flatten().find(|it| it["name"] == "VI_53");
            let why = third.map(|it| it["why"].to_string()).unwrap_or_default();
            ensure!(why.contains("its sync group both is MASTER without it"), "{what}: {why}");
            match what {
                "missing" => node(pair, "link add lan7 type veth peer name far7\nlink set far7 up\nlink set lan7 up\naddress add 10.78.7.1/24 dev lan7")?,
                "down" => node(pair, &format!("link set {SECOND} up"))?,
                _ => std::fs::write(&flag, "")?,
            }
            until(&format!("{what}: the new member as master"), SETTLE, || is(pair, "MASTER"))?;
            let now = standings(pair, 0)?;
            ensure!(before[0].iter().all(|(name, it)| now.get(name) == Some(it)), "{what}: {now:?}");
            pair.reload(0, &config(200, &[51, 52], &[51, 52], &hook))?;
        }
        ensure!([standings(pair, 0)?, standings(pair, 1)?] == before, "a member has moved");
        let settled = client.settled();
        let lost = settled.iter().filter(|probe| probe.answered.is_none() || probe.by != Some(0)).count();
        ensure!(lost == 0 && settled.len() > 2000, "{lost} of {} probes have no answer of node 0", settled.len());
        ensure_growing(&reported(directory.path()))
    })
}

#[test]
#[needs("ours")]
fn adverts_leave_from_another_interface_without_another_election() -> Result<()> {
    let with = |priority: u8, lines: &[&str]| {
        Config::of(lines.iter().fold(Instance::v3(priority), |instance, line| instance.line(line)))
    };
    let base = &["use_vmac", "vmac_xmit_base"][..];
    let roles = [200, 100].map(|priority| Role::new(DAEMON, with(priority, base)));
    Pair::settled(roles)?.check(|pair| {
        let before = standings(pair, 0)?;
        let (machine, since) = (Starvation::of_machine()?, pair.mark());
        pair.observer.clear();
        for lines in [&["use_vmac"][..], base, &["use_vmac"][..]] {
            pair.reload(0, &with(200, lines))?;
            watch(APART);
        }
        ensure!(standings(pair, 0)? == before, "{before:?} has become {:?}", standings(pair, 0)?);
        pair.observer.ensure_only(0)?;
        let silence = pair.observer.longest_silence(since);
        let bound = Duration::from_millis(200) + machine.longest();
        ensure!(silence.is_some_and(|it| it < bound), "adverts are {silence:?} apart");
        Ok(())
    })
}

/// Each of these lines is added and removed by a reload of a master without a peer.
const LINES: &[&str] = &[
    "accept",
    "no_accept",
    "advert_int 0.2",
    "auth_hmac {\n        key 1 0123456789abcdef0123456789abcdef\n        active_key 1\n    }",
    "check_unicast_src",
    "checksum plain",
    "debug 2",
    "dont_track_primary",
    "down_timer_adverts 5",
    "garp_master_delay 1",
    "garp_master_refresh 1",
    "handover strict",
    "higher_prio_send_advert",
    "lower_prio_no_advert",
    "mcast_dst_ip 224.0.0.118",
    "mcast_src_ip 10.77.0.1",
    "nopreempt",
    "notify_master /bin/true",
    "preempt_delay 5",
    "priority 150",
    "state BACKUP",
    "track_interface {\n        lan1\n    }",
    "track_interface {\n        lan1 weight 20\n    }",
    "track_script {\n        alive\n    }",
    "unicast_peer {\n        10.77.0.2\n    }",
    "unicast_src_ip 10.77.0.1\n    unicast_peer {\n        10.77.0.2\n    }",
    "version 2\n    advert_int 1",
    "virtual_ipaddress_excluded {\n        10.77.0.210/24\n    }",
    "virtual_routes {\n        198.51.100.0/24 via 10.77.0.2\n    }",
    "virtual_rules {\n        from 198.51.100.0/24 lookup main priority 700\n    }",
];

#[test]
#[needs("ours")]
fn no_setting_costs_the_mastership_without_need() -> Result<()> {
    let with = |line: &str| Config {
        globals: vec!["script_user root".to_owned()],
        blocks: "vrrp_script alive {\n    script \"/bin/true\"\n    interval 1\n}\n".to_owned(),
        instances: vec![Instance::v3(200).line(line)],
    };
    let pair = Pair::idle([Role::new(DAEMON, with(""))])?;
    second_lan(&pair.lab)?;
    pair.check(|pair| {
        pair.start(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        let before = standings(pair, 0)?;
        let mut refused = Vec::new();
        for line in LINES {
            if let Err(error) = pair.reload(0, &with(line)) {
                refused.push(format!("{line}: {error:#}"));
                continue;
            }
            watch(Duration::from_millis(150));
            let inside = standings(pair, 0)?;
            pair.reload(0, &with(""))?;
            let after = standings(pair, 0)?;
            ensure!([&inside, &after] == [&before; 2], "{line}: {before:?}, {inside:?}, {after:?}");
        }
        ensure!(refused.is_empty(), "{refused:#?}");
        Ok(())
    })
}
