//! `vrrpx doctor` on the link of an interface: bridges, filters of tc, what the driver allows.

use std::fs;

use serde_json::Value;
use vrrp_tests::daemon::vrrpx;
use vrrp_tests::hider::Hider;
use vrrp_tests::needs;

use crate::doctor::{Host, PLAIN, Said, VIRTUAL};

/// The bridge takes the frames: the instance belongs on it.
#[test]
#[needs("lab")]
fn a_port_of_a_bridge_is_named_until_the_bridge_is_configured() {
    let host = Host::new();
    host.springs(
        PLAIN,
        ("interface", "fail", "lan0 is a port of the bridge br1, which takes the frames"),
        |it| it.ip("link add br1 type bridge\nlink set br1 up\nlink set lan0 master br1"),
        |it| it.ip("link set lan0 nomaster"),
    );
}

/// A program of tc is run on an advert.
#[test]
#[needs("lab", "tc")]
fn a_tc_program_that_drops_adverts_is_named_until_it_is_gone() {
    let host = Host::new();
    let tc = |it: &Host, line: &str| {
        it.lab.nodes[0].namespace.run("tc", &line.split(' ').collect::<Vec<_>>()).unwrap();
    };
    tc(&host, "qdisc add dev lan0 clsact");
    for (place, level) in [("ingress", "warn"), ("egress", "fail")] {
        let text = format!("lan0 has a tc filter at {place} that drops adverts (bpf, pref 1)");
        let removal = format!("filter del dev lan0 {place} pref 1 handle 0x1 bpf");
        host.springs(
            PLAIN,
            ("filters", level, &text),
            |it| Hider::filter_that_drops(&it.lab.nodes[0], place).unwrap(),
            |it| tc(it, &removal),
        );
    }
    // It drops what is IPv4.
    Hider::filter_that_drops(&host.lab.nodes[0], "egress").unwrap();
    assert!(host.ask("", "fd77::200/64").of("filters").is_empty());
}

/// veth has native XDP, and a device without a wire has none; since Linux 6.3 the kernel says so.
#[test]
#[needs("lab")]
fn the_driver_of_an_interface_says_whether_it_has_native_xdp() {
    let host = Host::new();
    let of = |name: &str| {
        let file = host.file("", VIRTUAL);
        let text = fs::read_to_string(&file).unwrap().replace("interface lan0", &format!("interface {name}"));
        fs::write(&file, text).unwrap();
        let mut command = host.command(vrrpx().to_str().unwrap());
        let said = Said::read(&command.args(["doctor", "--json", "--config", &file]).output().unwrap());
        let mut command = host.command(vrrpx().to_str().unwrap());
        let detected = command.args(["detect", name, "--for", "100ms", "--json"]).output().unwrap();
        let detected: Value = serde_json::from_slice(&detected.stdout).unwrap();
        (said, detected["native_xdp"].clone())
    };
    host.ip("link add quiet0 type ifb\naddress add 10.78.0.1/24 dev quiet0\nlink set quiet0 up");
    let (veth, quiet) = (of("lan0"), of("quiet0"));
    if veth.1.is_null() {
        let unknown = "whether its driver has native XDP is not known before the daemon tries";
        assert!(
            veth.0.of("receive-path").iter().any(|(level, text)| level == "skip" && text.contains(unknown))
        );
        eprintln!("skipped: the kernel does not report it");
        return;
    }
    assert!(veth.0.has("receive-path", "ok", "lan0: its driver has native XDP, with frags"), "{:?}", veth.0);
    assert!(quiet.0.has("receive-path", "ok", "quiet0: its driver has no native XDP"), "{:?}", quiet.0);
    assert_eq!((veth.1, quiet.1), (true.into(), false.into()));
}
