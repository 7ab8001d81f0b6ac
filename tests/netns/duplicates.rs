//! Two hosts that send adverts from one address, such as copies of a virtual machine: both are masters, and each names
//! the other by its MAC address. Our own adverts that come back are no such host.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::{INTERFACE, VIRTUAL_V4};
use vrrp_tests::malformed::Forger;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::tap::Tap;
use vrrp_tests::{cases, needs};

use crate::named::{Witness, Words};

/// Of both hosts, beside the addresses by which the lab knows them.
const SHARED: &str = "10.77.0.99";

/// Beginnings of lines of the log.
const BEGUN: &str = "adverts of a router that should be a peer are refused: another host (";
const OVER: &str = "adverts of a router that should be a peer are no longer refused";

fn instance(source: &str) -> Config {
    Config::of(Instance::v3(100).line(&format!("mcast_src_ip {source}")))
}

fn pair(daemons: [Daemon; 2]) -> Result<Pair> {
    let pair = Pair::idle(daemons.map(|daemon| Role::new(daemon, instance(SHARED))))?;
    for node in [0, 1] {
        // Duplicate address detection is that of IPv6 alone.
        pair.node(node)?.namespace.ip(&format!("address add {SHARED}/24 dev {INTERFACE}"))?;
    }
    Ok(pair)
}

fn detail(mac: &str) -> String {
    format!("another host ({mac}) sends from our own address too; give each an address of its own")
}

/// In the words of a master: the host with this MAC address.
fn with_words<T>(address: &str, mac: &str, then: impl FnOnce(&Words<'_>) -> T) -> T {
    let detail = detail(mac);
    then(&Words {
        screen: &format!("{address} is not heard: two masters: {detail}"),
        log: &format!("adverts of a router that should be a peer are refused: {detail}"),
        metric: &format!(
            "vrrpx_peer_rejected{{vrrp_instance=\"VI_1\",peer=\"{address}\",reason=\"duplicate_address\"}}"
        ),
    })
}

fn mac_of(node: usize) -> String {
    format!("02:00:00:00:00:0{}", node + 1)
}

fn wait_for_state(pair: &mut Pair, node: usize, state: &str) -> Result<()> {
    until(state, SETTLE, || pair.running(node).and_then(|it| it.standing()).is_ok_and(|it| it.0 == state))
}

/// Lines of the log that begin and that end a refusal.
fn lines(pair: &mut Pair, node: usize) -> Result<[usize; 2]> {
    let log = pair.running(node)?.log();
    Ok([BEGUN, OVER].map(|line| log.matches(line).count()))
}

/// Two copies of a host are masters until one gets another address.
fn name_each_other(mode: Mode) -> Result<()> {
    pair([Daemon::Vrrpx(mode); 2])?.check(|pair| {
        pair.start(0)?;
        wait_for_state(pair, 0, "MASTER")?;
        pair.start(1)?;
        wait_for_state(pair, 1, "MASTER")?;
        ensure!(pair.running(0)?.rx_path()? == mode.as_str(), "{}", pair.running(0)?.log());
        let witnesses = [Witness::of(pair, 0)?, Witness::of(pair, 1)?];
        for (witness, other) in witnesses.iter().zip([1, 0]) {
            with_words(SHARED, &mac_of(other), |words| witness.names(pair, words))?;
        }
        let epochs = [pair.running(0)?.standing()?, pair.running(1)?.standing()?];
        ensure!(epochs.iter().all(|it| it.0 == "MASTER"), "one has stepped back: {epochs:?}");
        let own = pair.node(1)?.v4();
        pair.reload(1, &instance(&own))?;
        pair.node(1)?.namespace.ip(&format!("address del {SHARED}/24 dev {INTERFACE}"))?;
        for (witness, other) in witnesses.iter().zip([1, 0]) {
            let screen = detail(&mac_of(other));
            witness.forgets(pair, &Words { screen: &screen, log: "", metric: "" })?;
        }
        for node in [0, 1] {
            until("its end in the log", SETTLE, || lines(pair, node).is_ok_and(|lines| lines[1] != 0))?;
            ensure!(lines(pair, node)? == [1, 1], "a line more: {:?}", lines(pair, node)?);
        }
        // They hear each other, and the shared address is the higher one.
        wait_for_state(pair, 1, "BACKUP")?;
        ensure!(pair.running(0)?.standing()? == epochs[0], "the other master has moved");
        Ok(())
    })
}

cases! {
    #[needs("ours")]
    fn copies_of_a_host_name_each_other_on_the_native_hook = name_each_other(Mode::Native);
    fn copies_of_a_host_name_each_other_on_generic_xdp = name_each_other(Mode::Generic);
    fn copies_of_a_host_name_each_other_at_tcx = name_each_other(Mode::Tcx);
    fn copies_of_a_host_name_each_other_as_a_filter = name_each_other(Mode::Tc);
    fn copies_of_a_host_name_each_other_on_sockets = name_each_other(Mode::Socket);
}

#[test]
#[needs("ours", "keepalived")]
fn a_keepalived_with_our_address_is_named() -> Result<()> {
    pair([Daemon::Vrrpx(Mode::Auto), Daemon::Keepalived])?.check(|pair| {
        pair.start(0)?;
        wait_for_state(pair, 0, "MASTER")?;
        let witness = Witness::of(pair, 0)?;
        pair.start(1)?;
        pair.wait_for_address(1, VIRTUAL_V4.parse()?, true)?;
        with_words(SHARED, &mac_of(1), |words| witness.names(pair, words))?;
        let own = pair.node(0)?.v4();
        pair.reload(0, &instance(&own))?;
        let screen = detail(&mac_of(1));
        witness.forgets(pair, &Words { screen: &screen, log: "", metric: "" })
    })
}

/// Reasons for which a node refuses adverts.
fn reasons(pair: &mut Pair) -> Result<Vec<String>> {
    let shown = pair.running(0)?.instance()?;
    let rows = shown["rejected"].as_array().context("no list of refused peers")?;
    let text = |it: &Value| it["reason"].as_str().unwrap_or_default().to_owned();
    Ok(rows.iter().map(text).collect())
}

/// A device that sends our own adverts back, and then one advert of another MAC address.
#[test]
#[needs("ours")]
fn our_own_adverts_that_come_back_are_no_other_host() -> Result<()> {
    let plain = || (Instance::v3(100), [2, 0, 0, 0, 0, 1]);
    let virtual_mac = || (Instance::v3(100).line("use_vmac"), [0, 0, 0x5e, 0, 1, 51]);
    for (mode, (instance, mac)) in [
        (Mode::Native, plain()),
        (Mode::Tcx, plain()),
        (Mode::Socket, plain()),
        (Mode::Tcx, virtual_mac()),
        (Mode::Socket, virtual_mac()),
    ] {
        let role = Role::new(Daemon::Vrrpx(mode), Config::of(instance));
        Pair::settled([role])?.check(|pair| {
            let tap = Tap::new(&pair.lab, 0)?;
            let forger = Forger::new(&pair.lab.client, 51)?;
            let mut advert = tap.adverts(1, SETTLE)?.pop().context("no advert")?;
            ensure!(advert.get(6..12) == Some(&mac), "another sender: {advert:02x?}");
            let before = pair.running(0)?.standing()?;
            until("a loop", SETTLE, || {
                let sent = forger.send_frame(&advert);
                sent.is_ok() && reasons(pair).is_ok_and(|reasons| !reasons.is_empty())
            })?;
            ensure!(reasons(pair)? == ["own_source"], "{:?}", reasons(pair)?);
            let witness = Witness::of(pair, 0)?;
            advert[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 0x55]);
            forger.send_frame(&advert)?;
            let own = pair.node(0)?.v4();
            with_words(&own, "02:00:00:00:00:55", |words| witness.names(pair, words))?;
            let screen = detail("02:00:00:00:00:55");
            witness.forgets(pair, &Words { screen: &screen, log: "", metric: "" })?;
            ensure!(lines(pair, 0)?[0] == 1, "{:?}", lines(pair, 0)?);
            ensure!(pair.running(0)?.standing()? == before, "it cost a mastership");
            Ok(())
        })?;
    }
    Ok(())
}
