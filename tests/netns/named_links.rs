//! Faults of an interface whose cause the kernel shows: each is named with it and with the command that mends it.

use anyhow::Result;
use vrrp_tests::clock::poll;
use vrrp_tests::daemon::Instance;
use vrrp_tests::hider::Hider;
use vrrp_tests::lab::INTERFACE;
use vrrp_tests::needs;
use vrrp_tests::pair::Pair;

use crate::named::{GONE, OURS, Witness, Words};
use crate::{roles, standing};

/// One of tc at this place of the interface, in its words, is named for what it does there while it lasts.
fn names_the_filter(
    pair: &mut Pair,
    place: &str,
    filter: &str,
    removal: &str,
    add: impl Fn(&Pair, usize) -> Result<()>,
) -> Result<()> {
    let (node, receiver) = if place == "ingress" { (1, true) } else { (0, false) };
    let tc = |pair: &Pair, words: &str| {
        pair.node(node)?.namespace.run("tc", &words.split(' ').collect::<Vec<_>>())
    };
    // The daemon may have made one.
    let _there = tc(pair, &format!("qdisc add dev {INTERFACE} clsact"));
    let witness = Witness::of(pair, node)?;
    let removal = format!("filter del dev {INTERFACE} {place} {removal}");
    let cause = format!("a tc filter at {place} ({filter}) drops them: tc {removal}");
    let screen = match receiver {
        true => format!("adverts reach the program and no socket of this host: {cause}"),
        false => format!("cannot send adverts: No buffer space available; {cause}"),
    };
    let words = Words {
        screen: &screen,
        log: if receiver { &cause } else { "cannot send an advert" },
        metric: match receiver {
            true => "vrrpx_reception_fault{vrrp_instance=\"VI_1\",receiver=\"host\"}",
            false => "vrrpx_send_errors_total{vrrp_instance=\"VI_1\"}",
        },
    };
    add(pair, node)?;
    witness.names(pair, &words)?;
    tc(pair, &removal)?;
    witness.forgets(pair, &words)?;
    pair.wait_for_master(0)
}

/// A tc filter that is a program, one on the way in and one on the way out.
#[test]
#[needs("ours", "tc")]
fn a_tc_filter_with_a_program() -> Result<()> {
    Pair::settled(roles(OURS, Instance::v3(200), Instance::v3(100)))?.check(|pair| {
        for place in ["ingress", "egress"] {
            let add = |pair: &Pair, node: usize| Hider::filter_that_drops(pair.node(node)?, place);
            names_the_filter(pair, place, "bpf, pref 1", "pref 1 handle 0x1 bpf", add)?;
        }
        Ok(())
    })
}

/// The interface of a backup becomes a port of a bridge of its host.
#[test]
#[needs("ours")]
fn a_port_of_a_bridge() -> Result<()> {
    Pair::settled(roles(OURS, Instance::v3(200), Instance::v3(100)))?.check(|pair| {
        let witness = Witness::of(pair, 1)?;
        let cause = format!(
            "{INTERFACE} is a port of the bridge br1, which takes the frames that arrive there: write `interface br1`, \
             and give br1 the addresses of {INTERFACE}"
        );
        let words = Words {
            screen: &format!("adverts reach the program and no socket of this host: {cause}"),
            log: &cause,
            metric: "vrrpx_reception_fault{vrrp_instance=\"VI_1\",receiver=\"host\"}",
        };
        let host = &pair.node(1)?.namespace;
        host.ip(&format!("link add br1 type bridge\nlink set br1 up\nlink set {INTERFACE} master br1"))?;
        witness.names(pair, &words)?;
        pair.node(1)?.namespace.ip(&format!("link set {INTERFACE} nomaster"))?;
        witness.forgets(pair, &words)
    })
}

/// IPv6 is turned off on the interface of a backup.
#[test]
#[needs("ours")]
fn ipv6_that_is_off() -> Result<()> {
    Pair::settled(roles(OURS, Instance::v6(200), Instance::v6(100)))?.check(|pair| {
        let witness = Witness::of(pair, 1)?;
        let words = Words {
            screen: &format!(
                "in FAULT: {INTERFACE} has no link-local IPv6 address to send adverts from: IPv6 is off there (sysctl -w \
                 net.ipv6.conf.{INTERFACE}.disable_ipv6=0)"
            ),
            log: "reason=no_source",
            metric: "vrrpx_instance_state{vrrp_instance=\"VI_1\",state=\"FAULT\"}",
        };
        pair.node(1)?.namespace.sysctl(&format!("ipv6/conf/{INTERFACE}/disable_ipv6"), "1")?;
        // A source that is missing is awaited for three seconds.
        poll("FAULT", GONE, || Ok((standing(pair, 1)?.0 == "FAULT").then_some(())))?;
        witness.names(pair, &words)?;
        pair.node(1)?.namespace.sysctl(&format!("ipv6/conf/{INTERFACE}/disable_ipv6"), "0")?;
        witness.forgets(pair, &words)?;
        pair.wait_for_master(0)
    })
}
