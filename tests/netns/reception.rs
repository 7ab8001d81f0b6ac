//! Differences between the adverts that the BPF program sees and those on the host's own sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::ethernet::Mac;
use vrrp_tests::clock::{Deadline, pace, until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::hider::Hider;
use vrrp_tests::malformed::Forger;
use vrrp_tests::packet::Frame;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::worker::Workers;
use vrrp_tests::{needs, waits};

use crate::roles;

/// Receiver of node 1 that misses adverts, by its status.
fn reception_fault(pair: &mut Pair) -> Result<Value> {
    Ok(pair.running(1)?.status()?["instances"][0]["reception_fault"]["receiver"].take())
}

#[test]
#[needs("ours", "nft")]
fn a_firewall_that_hides_adverts_from_sockets_is_named_without_a_takeover() -> Result<()> {
    for instance in [Instance::v3, Instance::v6] {
        Pair::settled(roles(Daemon::Vrrpx(Mode::Native), instance(200), instance(100)))?.check(|pair| {
            pair.observer.clear();
            ensure!(reception_fault(pair)?.is_null(), "a difference is reported before there is one");
            let rules = "add table inet deafness; \
                         add chain inet deafness input { type filter hook input priority 0; }; \
                         add rule inet deafness input meta l4proto 112 drop";
            pair.node(1)?.namespace.run("nft", &[rules])?;
            until("the reception fault of the host in the status", SETTLE, || {
                reception_fault(pair).is_ok_and(|who| who == "host")
            })?;
            pair.wait_for_log(1, "look for a firewall")?;
            pair.node(1)?.namespace.run("nft", &["delete table inet deafness"])?;
            until("the end of the difference", SETTLE, || {
                reception_fault(pair).is_ok_and(|who| who.is_null())
            })?;
            pair.observer.ensure_only(0)
        })?;
    }
    Ok(())
}

/// Behind an IPsec header, adverts are of another protocol: sockets of VRRP receive none of them, also where they
/// receive those of another instance, and when a reload changes the authentication of one node first.
#[waits]
#[test]
#[needs("ours")]
fn adverts_behind_an_authentication_header_are_no_fault() -> Result<()> {
    const LOOKS: Duration = Duration::from_secs(3);
    let config = |priority, is_signed: bool| {
        let first = Instance::v2(priority);
        let first = if is_signed { first.ah("secret") } else { first };
        let second = Instance::v2(priority).vrid(52).addresses(&["10.77.0.201/24"]);
        Config { instances: vec![first, second], ..Config::default() }
    };
    let role = |priority| Role::new(Daemon::Vrrpx(Mode::Auto), config(priority, true));
    Pair::settled([role(200), role(100)])?.check(|pair| {
        watch(LOOKS);
        pair.reload(1, &config(100, false))?;
        watch(LOOKS);
        let log = pair.running(1)?.log();
        ensure!(!log.contains("no socket of this host"), "a fault is reported:\n{log}");
        Ok(())
    })
}

/// A program before ours at tcx may end the chain. Silence for that reason must not cause a second master.
#[test]
#[needs("ours")]
fn a_program_that_hides_adverts_is_bypassed_without_a_takeover() -> Result<()> {
    for instance in [Instance::v3, Instance::v6] {
        Pair::settled(roles(Daemon::Vrrpx(Mode::Tcx), instance(200), instance(100)))?.check(|pair| {
            pair.observer.clear();
            let rx_path = |pair: &mut Pair| -> Result<Value> {
                Ok(pair.running(1)?.status()?["interfaces"][0]["receive_path"].take())
            };
            let overtaken = |pair: &mut Pair, times: usize| {
                until("the program to be attached first again", SETTLE, || {
                    let log = pair.running(1).map(|it| it.log()).unwrap_or_default();
                    log.matches("came before ours; attaching ours before it").count() >= times
                })
            };
            let mut all = Vec::new();
            for times in 1..=5 {
                all.push(Hider::before_all(pair.node(1)?)?);
                overtaken(pair, times)?;
                ensure!(rx_path(pair)? == "tcx", "another receive path");
            }
            all.push(Hider::before_all(pair.node(1)?)?);
            until("the packet socket", SETTLE, || rx_path(pair).is_ok_and(|rx_path| rx_path == "socket"))?;
            until("the end of the difference", SETTLE, || {
                reception_fault(pair).is_ok_and(|who| who.is_null())
            })?;
            pair.wait_for_master(0)?;
            pair.observer.ensure_only(0)?;
            pair.die(0)?;
            pair.wait_for_master(1).context("takeover by the packet socket")
        })?;
    }
    Ok(())
}

/// A program before ours may drop adverts, which then no socket receives either: nothing on the host contradicts the
/// silence.
#[test]
#[needs("ours", "tc")]
fn a_program_that_drops_adverts_is_bypassed_without_a_takeover() -> Result<()> {
    for mode in [Mode::Tcx, Mode::Tc] {
        Pair::settled(roles(Daemon::Vrrpx(mode), Instance::v3(200), Instance::v3(100)))?.check(|pair| {
            pair.observer.clear();
            let _dropper = match mode {
                Mode::Tc => Hider::filter_that_drops(pair.node(1)?, "ingress").map(|()| None)?,
                _ => Some(Hider::that_drops(pair.node(1)?)?),
            };
            pair.wait_for_log(1, "came before ours; attaching ours before it")?;
            pair.wait_for_master(0)?;
            pair.observer.ensure_only(0)?;
            pair.die(0)?;
            pair.wait_for_master(1)
        })?;
    }
    Ok(())
}

/// Adverts that sockets receive and the program does not read must neither delay an heir nor make the daemon give the
/// program up.
#[test]
#[needs("ours")]
fn adverts_that_only_the_stack_accepts_delay_no_takeover() -> Result<()> {
    const MORE_FRAGMENTS: u16 = 0x2000;
    const DESTINATION_OPTIONS: u8 = 60;
    let message = [0x31, 51, 250, 1, 0, 10, 0, 0, 10, 77, 0, 200];
    let (first, second) = message.split_at(8);
    let v4 = || Frame::to_group(Family::V4).source([10, 77, 0, 100].into());
    let v4 = vec![v4().fragment(MORE_FRAGMENTS).payload(first), v4().fragment(1).payload(second)];
    let v6 = vec![Frame::to_group(Family::V6).extension(DESTINATION_OPTIONS).payload(message)];
    let whole = || Frame::to_group(Family::V4).source([10, 77, 0, 100].into()).payload(message);
    // A subnet broadcast: sockets receive it, but it is not addressed to the VRRP routers.
    let subnet = whole().destination([10, 77, 0, 255].into()).destination_mac(Mac::BROADCAST);
    // The stack removes one tag before tcx.
    let tagged = (4..7).map(|count| (0..count).fold(whole(), |frame, _| frame.vlan(0))).collect();
    let v3: fn(u8) -> Instance = Instance::v3;
    for (instance, frames) in [(v3, v4), (Instance::v6, v6), (v3, tagged), (v3, vec![subnet])] {
        Pair::settled(roles(Daemon::Vrrpx(Mode::Tcx), instance(200), instance(100)))?.check(|pair| {
            let forger = Forger::new(&pair.lab.client, 51)?;
            let frames: Vec<_> = frames.iter().map(Frame::build).collect();
            let rounds = Arc::new(AtomicUsize::new(0));
            let forged = Arc::clone(&rounds);
            let _forging = Workers::default().with_pace(Duration::from_millis(20), move || {
                // A full queue makes a pause.
                frames.iter().for_each(|frame| drop(forger.send_frame(frame)));
                forged.fetch_add(1, Relaxed);
            })?;
            until("five rounds of frames", SETTLE, || rounds.load(Relaxed) >= 5)?;
            let death = pair.mark();
            pair.die(0)?;
            pair.observer.wait_for_advert(1, death, Duration::from_secs(2))?;
            ensure!(
                pair.running(1)?.status()?["interfaces"][0]["receive_path"] == "tcx",
                "another receive path"
            );
            Ok(())
        })?;
    }
    Ok(())
}

/// The macvlan with the virtual MAC address takes frames that a master sends from the same address, so the parent's
/// sockets do not receive them: no firewall is the cause.
#[waits]
#[test]
#[needs("ours")]
fn a_backup_with_a_virtual_mac_address_suspects_no_firewall() -> Result<()> {
    for (mode, instance) in [
        (Mode::Tcx, Instance::v3 as fn(u8) -> Instance),
        (Mode::Native, Instance::v3),
        (Mode::Tcx, Instance::v6),
    ] {
        let instance = |priority| instance(priority).line("use_vmac");
        Pair::settled(roles(Daemon::Vrrpx(mode), instance(200), instance(100)))?.check(|pair| {
            // A difference counts after three comparisons, at most two seconds apart.
            let end = Deadline::after(Duration::from_secs(9));
            while !end.passed() {
                ensure!(reception_fault(pair)?.is_null(), "{}", reception_fault(pair)?);
                pace(Duration::from_millis(500));
            }
            let log = pair.running(1)?.log();
            ensure!(!log.contains("no socket of this host"), "the log has a warning");
            pair.wait_for_master(0)
        })?;
    }
    Ok(())
}

/// The kernel drops adverts that claim to come from this host, and no firewall is the cause.
#[test]
#[needs("ours")]
fn an_address_of_the_master_on_its_backup_is_named() -> Result<()> {
    let roles = roles(Daemon::Vrrpx(Mode::Tcx), Instance::v3(200), Instance::v3(100));
    Pair::settled(roles)?.check(|pair| {
        let peer =
            pair.running(1)?.status()?["instances"][0]["master"].as_str().unwrap_or_default().to_owned();
        let change = |pair: &Pair, verb: &str| {
            pair.node(1)?.namespace.ip(&format!("address {verb} {peer}/32 dev lan0"))
        };
        change(pair, "add")?;
        let named = format!("which has {peer} too: remove it here");
        until("the address to be named", SETTLE, || {
            pair.running(1).and_then(|it| it.status()).is_ok_and(|it| it.to_string().contains(&named))
        })?;
        ensure!(!pair.running(1)?.log().contains("look for a firewall"), "{}", pair.running(1)?.log());
        change(pair, "del")?;
        until("the end of the fault", SETTLE, || reception_fault(pair).is_ok_and(|fault| fault.is_null()))?;
        pair.wait_for_master(0)
    })
}
