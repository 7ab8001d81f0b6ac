//! Frames with the virtual MAC address, frames that must not have it, and traffic through it.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::{until, watch};
use vrrp_tests::daemon::{Config, Instance};
use vrrp_tests::lab::{Held, INTERFACE, VIRTUAL_V4, VIRTUAL_V6};
use vrrp_tests::needs;
use vrrp_tests::netns::Namespace;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::probe::Prober;
use vrrp_tests::starvation::Starvation;

use super::{MAC, VMAC, carrier, setting};
use crate::{ours, roles, subject};

/// Frames on a node's cable, as tcpdump prints them.
struct Dump {
    process: Child,
    /// tcpdump writes its summary here at the end, and would fail if it were closed.
    _outcome: BufReader<ChildStderr>,
}

impl Dump {
    /// Captures for as many seconds; the capture runs when this returns.
    fn start(lan: &Namespace, port: &str, seconds: u32, filter: &str) -> Result<Self> {
        let mut command = lan.command("timeout")?;
        command.arg(seconds.to_string());
        command.args(["tcpdump", "-i", port, "-Q", "in", "-nne", "--immediate-mode", filter]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut reported = BufReader::new(process.stderr.take().context("no output")?);
        let mut text = String::new();
        while !text.contains("listening on") {
            ensure!(reported.read_line(&mut text)? > 0, "tcpdump does not listen: {text}");
        }
        Ok(Self { process, _outcome: reported })
    }

    /// Output at the end of the capture.
    fn seen(self) -> Result<String> {
        Ok(String::from_utf8(self.process.wait_with_output()?.stdout)?)
    }
}

/// X02.
#[test]
#[needs("subject", "tcpdump")]
fn adverts_and_announcements_come_from_the_virtual_mac_address() -> Result<()> {
    for (lines, advertising) in [("use_vmac", MAC), ("use_vmac\n    vmac_xmit_base", "02:00:00:00:00:01")] {
        let instance = |priority| Instance::v3(priority).line(lines);
        let mut pair = Pair::idle(roles(subject(), instance(200), instance(100)))?;
        let filter = format!("ip proto 112 or (arp and src host {VIRTUAL_V4})");
        let dump = Dump::start(&pair.lab.lan, "port0", 6, &filter)?;
        pair.start(0)?;
        pair.start(1)?;
        pair.check(|pair| {
            pair.wait_for_master(0)?;
            ensure!(carrier(pair, 0, VIRTUAL_V4)? == VMAC, "the address is on another interface");
            let seen = dump.seen()?;
            let (adverts, announcements): (Vec<_>, Vec<_>) =
                seen.lines().filter(|line| !line.is_empty()).partition(|line| line.contains("VRRPv3"));
            let from = |lines: &[&str], mac| {
                !lines.is_empty() && lines.iter().all(|line| line.contains(&format!(" {mac} > ")))
            };
            ensure!(from(&adverts, advertising), "adverts: {adverts:#?}");
            ensure!(from(&announcements, MAC), "announcements: {announcements:#?}");
            Ok(())
        })?;
    }
    Ok(())
}

/// ARP requests for addresses of the parent are never answered with the virtual MAC address, which would draw the
/// master's traffic to a backup.
#[test]
#[needs("ours", "tcpdump")]
fn a_backup_never_uses_the_virtual_mac_address() -> Result<()> {
    let config = |priority| Config {
        instances: vec![
            Instance::v3(priority).line("use_vmac"),
            Instance::v6(priority).named("VI_6").line("use_vmac"),
        ],
        ..Config::default()
    };
    let pair = Pair::idle([200, 100].map(|priority| Role::new(subject(), config(priority))))?;
    pair.check(|pair| {
        let of_a_router = "ether src 00:00:5e:00:01:33 or 00:00:5e:00:02:33";
        let dump = Dump::start(&pair.lab.lan, "port1", 6, of_a_router)?;
        // The higher priority first, so that the other is backup all the time.
        pair.start(0)?;
        pair.wait_for_address(0, VIRTUAL_V6.parse()?, true)?;
        pair.start(1)?;
        let held = pair.node(1)?.addresses()?;
        let is_link_local = |held: &&Held| held.interface == INTERFACE && held.address.starts_with("fe80");
        let link_local = &held.iter().find(is_link_local).context("no link-local address")?.address;
        let is_backup = |(state, _): (String, u64)| state == "BACKUP";
        until("a backup", SETTLE, || pair.running(1).is_ok_and(|it| it.standing().is_ok_and(is_backup)))?;
        for address in ["10.77.0.2", "fd77::2", &format!("{link_local}%{INTERFACE}")] {
            pair.lab.client.run("ping", &["-n", "-c", "1", "-W", "5", address])?;
        }
        let seen = dump.seen()?;
        let seen = seen.trim();
        ensure!(seen.is_empty(), "the backup has sent {seen}");
        Ok(())
    })
}

/// Packets to the address arrive at the macvlan, while the route back leads through its parent.
#[test]
#[needs("subject")]
fn a_strict_reverse_path_filter_lets_traffic_through() -> Result<()> {
    let instance =
        |priority| Instance::v3(priority).addresses(&[&format!("{VIRTUAL_V4}/32")]).line("use_vmac");
    let mut pair = Pair::idle(roles(subject(), instance(200), instance(100)))?;
    for scope in ["all", "default", INTERFACE] {
        pair.node(0)?.namespace.sysctl(&format!("ipv4/conf/{scope}/rp_filter"), "1")?;
    }
    pair.start(0)?;
    pair.start(1)?;
    pair.check(|pair| {
        pair.wait_for_master(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        pair.lab.client.ip(&format!("route replace {VIRTUAL_V4} dev {INTERFACE}"))?;
        let ping = ["-n", "-c", "1", "-W", "1", VIRTUAL_V4];
        until("an answer", SETTLE, || pair.lab.client.run("ping", &ping).is_ok())?;
        ensure!(
            !ours() || setting(pair.node(0)?, "ipv4/conf/all/rp_filter")? == "1",
            "the setting of all interfaces was changed"
        );
        Ok(())
    })
}

/// A departing master reports the groups that it leaves. A switch learns the port of a MAC address from every frame, so
/// nothing that the old master sends after the new one's first advert may come from the virtual MAC address.
#[test]
#[needs("subject", "program", "tcpdump")]
fn group_reports_do_not_come_from_the_virtual_mac_address() -> Result<()> {
    // Without a BPF program they do.
    let instance = |priority| Instance::v6(priority).line("use_vmac");
    let mut pair = Pair::idle(roles(subject(), instance(200), instance(100)))?;
    let reports = "icmp6[0] == 143 or icmp6[0] == 131 or icmp6[0] == 132 or (ip6 proto 0 and ip6[40] == 58)";
    let dump = Dump::start(&pair.lab.lan, "port0", 7, reports)?;
    pair.start(0)?;
    pair.start(1)?;
    pair.check(|pair| {
        pair.wait_for_master(0)?;
        pair.wait_for_address(0, VIRTUAL_V6.parse()?, true)?;
        pair.stop(0)?;
        pair.wait_for_master(1)?;
        let seen = dump.seen()?;
        // keepalived's macvlan sends from the link-local address of its parent.
        let from_it = !ours() || seen.contains("fe80::200 > ");
        ensure!(from_it && !seen.is_empty(), "no reports were seen, so the test shows nothing: {seen}");
        ensure!(!seen.contains("00:00:5e"), "{seen}");
        Ok(())
    })
}

#[test]
#[needs("subject", "program")]
fn a_return_of_the_master_loses_no_traffic() -> Result<()> {
    // In mode `socket`, reports of the old master mislead the switch.
    for (instance, address) in [(Instance::v3 as fn(u8) -> Instance, VIRTUAL_V4), (Instance::v6, VIRTUAL_V6)]
    {
        // The next advert, which would correct the switch, is far away.
        let instance = |priority| instance(priority).interval(1000).line("use_vmac");
        let mut pair = Pair::idle(roles(subject(), instance(200), instance(100)))?;
        pair.start(1)?;
        pair.check(|pair| {
            pair.wait_for_address(1, address.parse()?, true)?;
            let prober = Prober::new(&pair.lab, address.parse()?, Duration::from_millis(5))?;
            until("an answer", SETTLE, || prober.probes().iter().any(|probe| probe.answered.is_some()))?;
            let (machine, since) = (Starvation::of_machine()?, pair.mark());
            pair.start(0)?;
            pair.wait_for_address(0, address.parse()?, true)?;
            // Reports are repeated within a second.
            watch(Duration::from_millis(1500));
            let outage = prober.longest_outage(since);
            let bound = Duration::from_millis(100) + machine.longest();
            ensure!(outage < bound, "{address} was unreachable for {outage:?}");
            Ok(())
        })?;
    }
    Ok(())
}
