//! Interfaces with virtual MAC addresses, from one configuration to the next.

use anyhow::Result;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use vrrp_tests::needs;
use vrrp_tests::process::Directory;
use vrrp_user::config::{Config, parse};
use vrrp_user::daemon::host::vmacs::Vmacs;
use vrrp_user::driver::netlink::link::Link;
use vrrp_user::driver::netlink::socket::RouteSocket;

use crate::cable::Cable;

fn config(lines: &str) -> Config {
    parse("t", &instance(51, lines)).unwrap().config
}

fn instance(vrid: u8, lines: &str) -> String {
    format!(
        "vrrp_instance i{vrid} {{\ninterface eth0\nversion 3\nvirtual_router_id {vrid}\npriority 100\n{lines}\n\
         virtual_ipaddress {{\n192.0.2.{vrid}/24\n}}\n}}\n"
    )
}

/// Names of all macvlans, with index and group.
fn macvlans(cable: &Cable) -> Vec<(String, u64, String)> {
    let text = cable.left.run("ip", &["-j", "-d", "link", "show", "type", "macvlan"]).unwrap();
    let links: Vec<Value> = serde_json::from_str(&text).unwrap();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    links
        .iter()
        .map(|link| (word(&link["ifname"]), link["ifindex"].as_u64().unwrap(), word(&link["group"])))
        .collect()
}

fn names(cable: &Cable) -> Vec<String> {
    macvlans(cable).into_iter().map(|(name, ..)| name).collect()
}

fn arp_ignore(cable: &Cable) -> String {
    let read = || Ok(std::fs::read_to_string("/proc/sys/net/ipv4/conf/eth0/arp_ignore")?);
    cable.left.enter(read).unwrap().trim().to_owned()
}

#[test]
#[needs("root", "ip")]
fn interfaces_of_both_configurations_stay() {
    let cable = Cable::new();
    let folder = Directory::new().unwrap();
    let work = || {
        let mut vmacs = Vmacs::prepare(&mut config("use_vmac"), folder.path())?;
        let before = macvlans(&cable);
        assert_eq!(names(&cable), ["vrrp.51"]);
        let mut same = config("use_vmac\npreempt_delay 5");
        vmacs.add(&mut same)?;
        vmacs.prune(&same);
        assert_eq!(macvlans(&cable), before);

        let mut changed = config("use_vmac group 7");
        vmacs.add(&mut changed)?;
        vmacs.prune(&changed);
        assert_eq!(macvlans(&cable), [("vrrp.51".to_owned(), before[0].1, "7".to_owned())]);

        let mut other = config("use_vmac web0 02:00:00:00:00:99");
        vmacs.add(&mut other)?;
        assert_eq!(names(&cable).len(), 2, "the old interface is in use until it is pruned");
        vmacs.prune(&other);
        assert_eq!(names(&cable), ["web0"]);
        assert_eq!(arp_ignore(&cable), "1");

        let mut none = config("");
        vmacs.add(&mut none)?;
        vmacs.prune(&none);
        assert_eq!(names(&cable), [""; 0]);
        assert_eq!(arp_ignore(&cable), "0");
        Ok(())
    };
    cable.left.enter(work).unwrap();
}

#[test]
#[needs("root", "ip")]
fn the_end_removes_all_macvlans() {
    let cable = Cable::new();
    let folder = Directory::new().unwrap();
    let work = || {
        let vmacs = Vmacs::prepare(&mut config("use_vmac"), folder.path())?;
        assert_eq!((names(&cable), arp_ignore(&cable).as_str()), (vec!["vrrp.51".to_owned()], "1"));
        drop(vmacs);
        assert_eq!((names(&cable), arp_ignore(&cable).as_str()), (vec![], "0"));
        Ok(())
    };
    cable.left.enter(work).unwrap();
}

#[test]
#[needs("root", "ip")]
fn several_macvlans_are_removed_together_and_no_others() {
    let cable = Cable::new();
    let folder = Directory::new().unwrap();
    cable.left.ip("link add other0 link eth0 type macvlan mode private").unwrap();
    let work = || {
        let text: String = (1..=5).map(|vrid| instance(vrid, "use_vmac")).collect();
        let mut vmacs = Vmacs::prepare(&mut parse("t", &text).unwrap().config, folder.path())?;
        let before = macvlans(&cable);
        assert_eq!(before.len(), 6);
        // Another process has removed one of them before.
        cable.left.ip("link del vrrp.3")?;
        let text: String = [1, 2].map(|vrid| instance(vrid, "use_vmac")).concat();
        let mut fewer = parse("t", &text).unwrap().config;
        vmacs.add(&mut fewer)?;
        vmacs.prune(&fewer);
        let kept =
            |(name, ..): &&(String, u64, String)| ["other0", "vrrp.1", "vrrp.2"].contains(&name.as_str());
        assert_eq!(macvlans(&cable), before.iter().filter(kept).cloned().collect::<Vec<_>>());
        drop(vmacs);
        assert_eq!(macvlans(&cable), before[..1]);
        Ok(())
    };
    cable.left.enter(work).unwrap();
}

#[test]
#[needs("root", "ip")]
fn the_next_run_restores_settings_after_a_kill() {
    let cable = Cable::new();
    let folder = Directory::new().unwrap();
    cable.left.sysctl("ipv4/conf/eth0/arp_ignore", "2").unwrap();
    let work = || {
        let prepare = || Vmacs::prepare(&mut config("use_vmac"), folder.path());
        let killed = prepare()?;
        let before = macvlans(&cable);
        std::mem::forget(killed);
        assert_eq!(arp_ignore(&cable), "1");
        let next = prepare()?;
        assert_eq!(macvlans(&cable), before, "the interface is reused");
        drop(next);
        assert_eq!((names(&cable), arp_ignore(&cable).as_str()), (vec![], "2"));
        // Also if the next configuration does not use the interface.
        std::mem::forget(prepare()?);
        drop(Vmacs::prepare(&mut config(""), folder.path())?);
        assert_eq!(arp_ignore(&cable), "2");
        // No settings are saved of a run that has ended cleanly.
        cable.left.sysctl("ipv4/conf/eth0/arp_ignore", "1")?;
        drop(prepare()?);
        assert_eq!(arp_ignore(&cable), "1");
        Ok(())
    };
    cable.left.enter(work).unwrap();
}

#[test]
#[needs("root", "ip")]
fn settings_reach_the_kernel_without_a_writable_proc() {
    let cable = Cable::new();
    let folder = Directory::new().unwrap();
    let work = || {
        // For this thread only.
        unshare(CloneFlags::CLONE_NEWNS)?;
        let flags = |flags| -> Result<()> { Ok(mount(Some("/proc/sys"), "/proc/sys", NONE, flags, NONE)?) };
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
        flags(MsFlags::MS_BIND)?;
        flags(MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY)?;
        assert!(std::fs::write("/proc/sys/net/ipv4/conf/eth0/arp_ignore", "0").is_err());
        let vmacs = Vmacs::prepare(&mut config("use_vmac"), folder.path())?;
        let read =
            |path: &str| Ok(std::fs::read_to_string(format!("/proc/sys/net/{path}"))?.trim().to_owned());
        let values: Result<Vec<String>> = [
            "ipv4/conf/eth0/arp_ignore",
            "ipv4/conf/eth0/arp_filter",
            "ipv4/conf/vrrp.51/arp_ignore",
            "ipv4/conf/vrrp.51/accept_local",
            "ipv4/conf/vrrp.51/promote_secondaries",
            "ipv4/conf/vrrp.51/rp_filter",
            "ipv6/conf/vrrp.51/addr_gen_mode",
        ]
        .into_iter()
        .map(read)
        .collect();
        assert_eq!(values?, ["1", "1", "1", "1", "1", "0", "1"]);
        drop(vmacs);
        assert_eq!(names(&cable), [""; 0]);
        Ok(())
    };
    cable.left.sysctl("ipv4/conf/default/rp_filter", "1").unwrap();
    cable.left.enter(work).unwrap();
}

const NONE: Option<&str> = None;

/// The effect thread's own parser reads an interface as the library does.
#[test]
#[needs("root", "ip")]
fn an_interface_that_is_read_by_name_is_as_in_the_list() {
    let cable = Cable::new();
    let made = "link add one link eth0 type macvlan mode bridge\nlink add two link eth0 type macvlan mode private\n\
                link set one group 7\nlink set one up\nlink set eth0 arp off\nlink add br0 type bridge\n\
                link add tun0 type ipip local 192.0.2.1 remote 192.0.2.2";
    made.lines().for_each(|line| _ = cable.left.ip(line.trim()));
    let (found, by_name) = cable
        .left
        .enter(|| {
            let mut socket = RouteSocket::open()?;
            let found = Link::list(&mut socket)?;
            let by_name = found.iter().map(|link| Link::by_name(&mut socket, &link.name));
            let by_name = by_name.collect::<Result<Vec<_>, _>>()?;
            let missing = Link::by_name(&mut socket, "missing").unwrap_err();
            assert_eq!(missing.raw_os_error(), Some(libc::ENODEV));
            Ok((found, by_name))
        })
        .unwrap();
    assert_eq!(found, by_name);
    let one = found.iter().find(|link| link.name == "one").unwrap();
    assert!(one.macvlan.is_some() && one.group == 7 && one.parent.is_some() && one.set_up, "{one:?}");
    let eth0 = found.iter().find(|link| link.name == "eth0").unwrap();
    assert!(eth0.mac.is_none() && eth0.hardware.is_some() && eth0.parent_namespace.is_some(), "{eth0:?}");
}
