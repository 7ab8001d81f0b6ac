//! `vrrpx doctor` on a host in a namespace: each trap is set for real, named, and no longer named after its repair.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use serde_json::Value;
use vrrp_tests::daemon::vrrpx;
use vrrp_tests::hider::Hider;
use vrrp_tests::lab::{INTERFACE, Lab};
use vrrp_tests::needs;
use vrrp_tests::process::{Directory, Process};
use vrrp_user::driver::clock;
use vrrp_user::driver::socket::Membership;

use crate::setup::Folder;

pub(crate) const VIRTUAL: &str = "10.77.0.200/24";

/// A host with one interface.
pub(crate) struct Host {
    pub(crate) lab: Lab,
    folder: Folder,
}

/// What the doctor has said.
#[derive(Debug)]
pub(crate) struct Said {
    code: Option<i32>,
    pub(crate) report: Value,
}

impl Said {
    pub(crate) fn read(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let report = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        Self { code: output.status.code(), report }
    }

    /// Level and text of the findings of a check.
    pub(crate) fn of(&self, check: &str) -> Vec<(String, String)> {
        let text = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
        let findings = self.report["findings"].as_array().unwrap().iter();
        findings.filter(|it| it["check"] == check).map(|it| (text(it, "level"), text(it, "text"))).collect()
    }

    /// Whether the check has such a finding, and a fix for it.
    pub(crate) fn has(&self, check: &str, level: &str, words: &str) -> bool {
        self.report["findings"].as_array().unwrap().iter().any(|it| {
            let is_wrong = it["level"] == "warn" || it["level"] == "fail";
            it["check"] == check
                && it["level"] == level
                && it["text"].as_str().unwrap().contains(words)
                && it["fix"].is_string() == is_wrong
        })
    }
}

impl Host {
    pub(crate) fn new() -> Self {
        Self { lab: Lab::new(1).unwrap(), folder: Folder::new() }
    }

    pub(crate) fn file(&self, lines: &str, addresses: &str) -> String {
        let file = self.folder.file("vrrpx.conf");
        let text = format!(
            "vrrp_instance web {{\n    interface {INTERFACE}\n    virtual_router_id 51\n    version 3\n{lines}\n    \
             virtual_ipaddress {{\n        {addresses}\n    }}\n}}\n"
        );
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        self.lab.nodes[0].namespace.command(program).unwrap()
    }

    pub(crate) fn ask(&self, lines: &str, addresses: &str) -> Said {
        let file = self.file(lines, addresses);
        let mut command = self.command(vrrpx().to_str().unwrap());
        Said::read(&command.args(["doctor", "--json", "--config", &file]).output().unwrap())
    }

    /// In a mount namespace of its own, behind these lines of a shell.
    fn ask_behind(&self, preparation: &str) -> Said {
        let file = self.file("", VIRTUAL);
        let line = format!("set -e; {preparation}\nexec {} doctor --json --config {file}", vrrpx().display());
        Said::read(&self.command("unshare").args(["--mount", "sh", "-c", &line]).output().unwrap())
    }

    pub(crate) fn ip(&self, lines: &str) {
        self.lab.nodes[0].namespace.ip(lines).unwrap();
    }

    fn sysctl(&self, key: &str, value: &str) {
        self.lab.nodes[0].namespace.sysctl(key, value).unwrap();
    }

    fn nft(&self, line: &str) {
        self.lab.nodes[0].namespace.run("nft", &[line]).unwrap();
    }

    /// The trap is named after `set` and no longer after `mend`.
    pub(crate) fn springs(
        &self,
        (lines, addresses): (&str, &str),
        (check, level, words): (&str, &str, &str),
        set: impl FnOnce(&Self),
        mend: impl FnOnce(&Self),
    ) {
        set(self);
        let said = self.ask(lines, addresses);
        assert!(said.has(check, level, words), "{check} {level} {words}: {:#}", said.report);
        let code = if level == "fail" { 20 } else { 10 };
        assert!(said.code >= Some(code), "{said:?}");
        mend(self);
        let said = self.ask(lines, addresses);
        assert!(!said.has(check, level, words), "still: {check} {words}: {:?}", said.of(check));
    }
}

pub(crate) const PLAIN: (&str, &str) = ("", VIRTUAL);

#[test]
#[needs("lab")]
fn interfaces_that_cannot_serve_are_named_until_they_can() {
    let host = Host::new();
    host.springs(
        PLAIN,
        ("interface", "fail", "interface lan0 not found"),
        |it| it.ip("link set lan0 down\nlink set lan0 name gone0"),
        |it| it.ip("link set gone0 name lan0\nlink set lan0 up"),
    );
    host.springs(
        PLAIN,
        ("interface", "fail", "lan0 is down"),
        |it| it.ip("link set lan0 down"),
        |it| it.ip("link set lan0 up"),
    );
    host.springs(
        PLAIN,
        ("interface", "fail", "lan0 has no IPv4 address"),
        |it| it.ip("address del 10.77.0.1/24 dev lan0"),
        |it| it.ip("address add 10.77.0.1/24 dev lan0"),
    );
    host.springs(
        PLAIN,
        ("multicast", "fail", "lan0 takes no multicast"),
        |it| it.ip("link set lan0 multicast off"),
        |it| it.ip("link set lan0 multicast on"),
    );
    host.springs(
        ("", "198.51.100.1/24"),
        ("subnet", "warn", "198.51.100.1 is in no subnet of lan0"),
        |_| {},
        |it| it.ip("address add 198.51.100.10/24 dev lan0"),
    );
    host.springs(
        ("", "fd77::200/64"),
        ("interface", "fail", "IPv6 is off on lan0"),
        |it| it.sysctl("ipv6/conf/lan0/disable_ipv6", "1"),
        |it| it.sysctl("ipv6/conf/lan0/disable_ipv6", "0"),
    );
}

/// A daemon would be in FAULT.
#[test]
#[needs("lab")]
fn a_source_address_that_is_missing_is_a_failure() {
    let host = Host::new();
    host.springs(
        ("mcast_src_ip 10.77.0.77", VIRTUAL),
        ("interface", "fail", "its source address 10.77.0.77 is on no interface"),
        |_| {},
        |it| it.ip("address add 10.77.0.77/24 dev lan0"),
    );
}

#[test]
#[needs("lab")]
fn a_bridge_that_snoops_without_a_querier_is_named() {
    let host = Host::new();
    let snoops = "lan0: its bridge br1 snoops multicast, and no querier is known";
    // The usual group of IPv4, 224.0.0.18, is never snooped.
    let group = ("mcast_dst_ip 239.1.1.1", VIRTUAL);
    host.springs(
        group,
        ("snooping", "warn", snoops),
        |it| it.ip("link add br1 type bridge\nlink set br1 up\nlink set lan0 master br1"),
        |it| it.ip("link set br1 type bridge mcast_querier 1"),
    );
    assert!(host.ask(group.0, VIRTUAL).has("snooping", "ok", "sends queries itself"));
    assert!(host.ask("", VIRTUAL).of("snooping").is_empty());
    host.ip("link set br1 type bridge mcast_snooping 0");
    assert!(host.ask(group.0, VIRTUAL).of("snooping").is_empty());
}

/// Echo requests to a peer and to the group, and a querier; no advert leaves.
#[test]
#[needs("lab")]
fn a_probe_tells_what_passes_and_what_is_not_proved() {
    let host = Host { lab: Lab::new(2).unwrap(), folder: Folder::new() };
    let peer = &host.lab.nodes[1].namespace;
    let ask = |lines: &str| {
        let file = host.file(lines, VIRTUAL);
        let mut command = host.command(vrrpx().to_str().unwrap());
        let began = clock::now();
        let said =
            Said::read(&command.args(["doctor", "--probe", "--json", "--config", &file]).output().unwrap());
        assert!(clock::now().since(began) < Duration::from_secs(10), "it is bounded");
        said
    };
    let unicast = "unicast_peer {\n10.77.0.2\n}";
    let said = ask(unicast);
    let answers = "lan0: 10.77.0.2 answers an echo request: packets pass both ways";
    assert!(said.of("probe").contains(&("ok".to_owned(), answers.to_owned())), "{:#}", said.report);
    assert!(said.has("probe", "warn", "no advert of VRID 51 in 3 s"), "{:#}", said.report);

    peer.ip("link set lan0 down").unwrap();
    host.ip("neigh flush dev lan0");
    let said = ask(unicast);
    assert!(said.has("probe", "fail", "10.77.0.2 answers no ARP request"), "{:#}", said.report);
    assert_eq!(said.code, Some(20));

    peer.ip("link set lan0 up").unwrap();
    peer.sysctl("ipv4/icmp_echo_ignore_broadcasts", "0").unwrap();
    host.lab.lan.ip("link set br0 type bridge mcast_snooping 1 mcast_querier 1").unwrap();
    let member =
        peer.enter(|| Ok(Membership::join([224, 0, 0, 18].into(), if_nametoindex("lan0")?)?)).unwrap();
    let said = ask("");
    let group = "lan0: 10.77.0.2 answers an echo request to 224.0.0.18: multicast passes to it";
    assert!(said.of("probe").contains(&("ok".to_owned(), group.to_owned())), "{:#}", said.report);
    assert!(
        said.of("probe").iter().any(|(level, text)| level == "ok" && text.contains("sends IGMP queries"))
    );
    // No daemon runs there.
    let unknown = "10.77.0.2 answers no probe: whether it receives what this host sends is not known";
    assert!(said.of("probe").iter().any(|(level, text)| level == "skip" && text.contains(unknown)));
    drop(member);
}

#[test]
#[needs("lab", "nft")]
fn firewalls_that_drop_adverts_are_named_with_the_chain() {
    let host = Host::new();
    let chain = |hook: &str| {
        format!(
            "add table inet filter; add chain inet filter {hook} {{ type filter hook {hook} priority 0; policy drop; }}"
        )
    };
    host.springs(
        PLAIN,
        ("firewall", "fail", "inet filter chain output drops protocol 112 by its policy"),
        |it| it.nft(&chain("output")),
        |it| it.nft("insert rule inet filter output ip protocol vrrp accept"),
    );
    let rules = "add rule inet filter input ct state established,related accept; add rule inet filter input tcp dport 22 accept";
    host.springs(
        PLAIN,
        ("firewall", "warn", "inet filter chain input drops protocol 112 by its policy"),
        |it| it.nft(&format!("{}; {rules}", chain("input"))),
        |it| it.nft("add rule inet filter input ip daddr 224.0.0.0/4 accept"),
    );
    host.springs(
        PLAIN,
        ("firewall", "fail", "inet filter chain output drops protocol 112,"),
        |it| it.nft("insert rule inet filter output oifname \"lan0\" ip daddr 224.0.0.18 drop"),
        |it| it.nft("flush ruleset"),
    );
}

#[test]
#[needs("lab")]
fn settings_that_work_against_addresses_are_named() {
    let host = Host::new();
    for (key, wrong, right, level, words) in [
        ("ipv4/conf/lan0/arp_ignore", "8", "1", "fail", "arp_ignore 8 answers no ARP request"),
        ("ipv4/conf/all/proxy_arp", "1", "0", "warn", "proxy_arp lets a backup answer"),
        ("ipv4/conf/lan0/drop_gratuitous_arp", "1", "0", "warn", "drop_gratuitous_arp ignores"),
        ("ipv4/conf/lan0/accept_local", "1", "0", "warn", "accept_local takes packets"),
    ] {
        host.springs(PLAIN, ("arp", level, words), |it| it.sysctl(key, wrong), |it| it.sysctl(key, right));
    }
    host.ip("link add second type veth peer third\naddress add 10.77.0.9/24 dev second\nlink set second up\nlink set third up");
    for (key, wrong, right, words) in [
        ("ipv4/conf/second/arp_ignore", "0", "1", "second answers ARP requests"),
        ("ipv4/conf/second/arp_announce", "0", "2", "ARP requests from a virtual address may leave second"),
        ("ipv4/conf/all/rp_filter", "1", "2", "rp_filter 1 drops"),
    ] {
        host.springs(PLAIN, ("arp", "warn", words), |it| it.sysctl(key, wrong), |it| it.sysctl(key, right));
    }
    let routes = "virtual_routes {\n198.51.100.0/24 via 10.77.0.100 dev lan0\n}";
    host.springs(
        (routes, VIRTUAL),
        ("forwarding", "warn", "web has virtual_routes, and this host forwards nothing"),
        |it| it.sysctl("ipv4/ip_forward", "0"),
        |it| it.sysctl("ipv4/ip_forward", "1"),
    );
}

#[test]
#[needs("lab")]
fn a_service_on_the_virtual_address_is_named() {
    let host = Host::new();
    host.sysctl("ipv4/ip_nonlocal_bind", "1");
    let bound = host.lab.nodes[0].namespace.enter(|| Ok(TcpListener::bind("10.77.0.200:8080")?)).unwrap();
    host.springs(
        PLAIN,
        ("listener", "warn", "listens on 10.77.0.200:8080, which it cannot do on a backup"),
        |it| it.sysctl("ipv4/ip_nonlocal_bind", "0"),
        |it| it.sysctl("ipv4/ip_nonlocal_bind", "1"),
    );
    drop(bound);
}

#[test]
#[needs("lab")]
fn a_program_of_another_is_named_with_its_hook() {
    let host = Host::new();
    let Ok(hider) = Hider::before_all(&host.lab.nodes[0]) else {
        eprintln!("skipped: needs tcx");
        return;
    };
    let mut hider = Some(hider);
    host.springs(
        PLAIN,
        ("programs", "warn", "lan0 has another program at tcx"),
        |_| {},
        |_| {
            drop(hider.take());
        },
    );
    assert!(host.ask("", VIRTUAL).has("receive-path", "ok", "lan0: adverts are received by tc"));
}

#[test]
#[needs("lab")]
fn scripts_that_do_not_run_are_named() {
    let host = Host::new();
    let script = host.folder.file("hook.sh");
    let line = format!("notify_master {}", script.display());
    host.springs(
        (&line, VIRTUAL),
        ("scripts", "fail", "notify_master of web does not run"),
        |_| {},
        |_| {
            fs::write(&script, "#!/bin/sh\n").unwrap();
            let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&script, executable).unwrap();
        },
    );
}

#[test]
#[needs("lab", "unshare")]
fn network_managers_are_named_for_their_interfaces() {
    let host = Host::new();
    let ifindex = host.lab.nodes[0].namespace.run("cat", &["/sys/class/net/lan0/ifindex"]);
    let ifindex = ifindex.ok().or_else(|| {
        let text = host.lab.nodes[0].namespace.run("ip", &["-o", "link", "show", "lan0"]).ok()?;
        Some(text.split(':').next()?.to_owned())
    });
    let ifindex = ifindex.unwrap();
    let ifindex = ifindex.trim();
    let networkd = format!(
        "mkdir -p /run/systemd/netif; mount -t tmpfs tmpfs /run/systemd/netif; mkdir /run/systemd/netif/links\n\
         echo ADMIN_STATE=configured > /run/systemd/netif/links/{ifindex}"
    );
    let said = host.ask_behind(&networkd);
    assert!(said.has("networkd", "ok", "systemd-networkd manages lan0"), "{:#}", said.report);

    let manager = |managed: bool| {
        format!(
            "mkdir -p /run/NetworkManager; mount -t tmpfs tmpfs /run/NetworkManager; mkdir /run/NetworkManager/devices\n\
             printf '[device]\\nmanaged={managed}\\n' > /run/NetworkManager/devices/{ifindex}"
        )
    };
    let said = host.ask_behind(&manager(true));
    assert!(said.has("networkmanager", "ok", "NetworkManager manages lan0"), "{:#}", said.report);
    assert!(host.ask_behind(&manager(false)).of("networkmanager").is_empty());
}

#[test]
#[needs("lab", "keepalived")]
fn keepalived_beside_is_named_while_it_runs() {
    let host = Host::new();
    let directory = Directory::new().unwrap();
    let file = host.folder.file("keepalived.conf");
    let text = format!(
        "vrrp_instance other {{\n    interface {INTERFACE}\n    virtual_router_id 51\n    priority 50\n    virtual_ipaddress {{\n        \
         10.77.0.201/24\n    }}\n}}\n"
    );
    fs::write(&file, text).unwrap();
    let mut command = host.command("keepalived");
    command.args(["--dont-fork", "--vrrp", "--log-console", "-f"]).arg(&file);
    for (option, name) in [("-p", "pid"), ("-r", "vrrp_pid")] {
        command.arg(option).arg(directory.path().join(name));
    }
    let mut process = Process::start_in(command, directory).unwrap();
    let is_named = || host.ask("", VIRTUAL).has("keepalived", "fail", "with VRID 51 too");
    vrrp_tests::clock::until("keepalived is named", Duration::from_secs(10), is_named).unwrap();
    process.kill();
    assert!(!is_named());
}

#[test]
#[needs("lab")]
fn the_screen_is_80_columns_wide_and_ends_with_a_count() {
    let host = Host::new();
    host.sysctl("ipv4/conf/all/proxy_arp", "1");
    let file = host.file("track_interface {\n    gone1\n}", "198.51.100.1/24");
    let mut command = host.command(vrrpx().to_str().unwrap());
    let output = command.args(["doctor", "--config", &file]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let is_path = |line: &str| line.contains('/') && !line.contains("  ");
    assert!(text.lines().all(|line| line.chars().count() <= 80 || is_path(line)), "{text}");
    assert!(text.starts_with("configuration /"), "{text}");
    assert!(text.contains("\n warn  lan0: proxy_arp lets a backup answer"), "{text}");
    assert!(text.contains("\n         sysctl -w net.ipv4.conf.all.proxy_arp=0"), "{text}");
    assert!(text.trim_end().lines().last().unwrap().contains("warnings"), "{text}");
}

#[test]
#[needs("vrrpx")]
fn a_refused_file_is_a_failure_beside_those_of_the_host() {
    let folder = Folder::new();
    let file = folder.file("vrrpx.conf");
    fs::write(&file, "vrrp_instance web {\n    prioirty 100\n}\n").unwrap();
    let arguments = ["doctor", "--json", "--config", file.to_str().unwrap()];
    let said = Said::read(&Command::new(vrrpx()).args(arguments).output().unwrap());
    assert_eq!(said.code, Some(20));
    assert!(said.has("configuration", "fail", "unknown keyword `prioirty`"), "{:#}", said.report);
    assert_eq!(said.of("kernel").len(), 1);
}
