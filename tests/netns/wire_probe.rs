//! `vrrpx doctor --probe` between two hosts: both ways open, each one closed at each place that can close it, a peer
//! without our daemon, no peer, and a flood of probes.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::net::if_::if_nametoindex;
use serde_json::Value;
use vrrp_tests::clock::{Deadline, monotonic, poll};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, vrrpx};
use vrrp_tests::lab::INTERFACE;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role};
use vrrp_tests::process::Directory;
use vrrp_user::driver::socket::{AdvertSender, CapturedFrame, ProbeMessage, Tap};

use crate::{ensure_unmoved, roles, standings};

const OURS: Daemon = Daemon::Vrrpx(Mode::Auto);

/// Several probes of three seconds: the answers of a busy machine may come too late for one.
const PATIENCE: Duration = Duration::from_secs(60);

const THERE: &str = "what this host sends by protocol 112 arrives at";
const BACK: &str = "by protocol 112 arrives here";

/// Lines of the check `probe`, each with its level, and with its fix behind it.
fn probe(pair: &Pair, node: usize, instance: &Instance, arguments: &[&str]) -> Result<String> {
    let directory = Directory::new()?;
    let file = directory.path().join("probe.conf");
    std::fs::write(&file, Config::of(instance.clone()).to_string())?;
    let mut command = pair.node(node)?.namespace.command(vrrpx())?;
    command.args(["doctor", "--probe", "--json", "--config"]).arg(&file).args(arguments);
    let output = command.arg("--runtime-dir").arg(directory.path()).output()?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let findings = report["findings"].as_array().context("no findings")?;
    let mut lines = String::new();
    for it in findings.iter().filter(|it| it["check"] == "probe") {
        let text = |key: &str| it[key].as_str().unwrap_or_default();
        writeln!(lines, "{} {} | {}", text("level"), text("text"), text("fix"))?;
    }
    Ok(lines)
}

/// Probes until there are all these lines, by their beginnings.
fn shows(pair: &Pair, node: usize, instance: &Instance, wanted: &[String]) -> Result<String> {
    let mut last = String::new();
    let shown = poll(&format!("{wanted:#?}"), PATIENCE, || {
        last = probe(pair, node, instance, &[])?;
        let has = |wanted: &String| last.lines().any(|line| line.starts_with(wanted));
        Ok(wanted.iter().all(has).then(|| last.clone()))
    });
    shown.with_context(|| last)
}

fn ok_there(peer: &str) -> String {
    format!("ok lan0: {THERE} {peer}")
}

fn ok_back(peer: &str) -> String {
    format!("ok lan0: what {peer} sends {BACK}")
}

/// The link-local address of a node, beside the virtual one.
fn link_local(pair: &Pair, node: usize) -> Result<String> {
    let addresses = pair.node(node)?.addresses()?;
    let own = addresses.into_iter().find(|held| held.address.starts_with("fe80::ff:"));
    Ok(own.context("no link-local address")?.address)
}

/// Drops protocol 112 at a hook of a node.
fn wall(pair: &Pair, node: usize, hook: &str) -> Result<()> {
    let rules = format!(
        "add table inet wall; add chain inet wall c {{ type filter hook {hook} priority 0; }}; \
         add rule inet wall c meta l4proto 112 drop"
    );
    pair.node(node)?.namespace.run("nft", &[&rules]).map(drop)
}

/// Drops protocol 112 of a node on the bridge between the nodes.
fn wall_on_the_wire(pair: &Pair, from: usize) -> Result<()> {
    let rules = format!(
        "add table bridge wall; add chain bridge wall c {{ type filter hook forward priority 0; }}; \
         add rule bridge wall c iifname \"port{from}\" ether type ip ip protocol 112 drop"
    );
    pair.lab.lan.run("nft", &[&rules]).map(drop)
}

/// A settled pair. The probe is made on node 1, the backup: node 0 sends adverts, and node 1 nothing by itself.
fn settled(mode: Mode, of: impl Fn(usize, Instance) -> Instance) -> Result<Pair> {
    let [master, backup] = [(0, 200), (1, 100)].map(|(node, priority)| of(node, Instance::v3(priority)));
    Pair::settled(roles(Daemon::Vrrpx(mode), master, backup))
}

/// On each receive path, from the master and from the backup, by multicast of both families and by unicast.
#[test]
#[needs("ours")]
fn both_ways_are_proved_from_either_host() -> Result<()> {
    let unicast = |node: usize, it: Instance| {
        let [own, peer] = if node == 0 { ["10.77.0.1", "10.77.0.2"] } else { ["10.77.0.2", "10.77.0.1"] };
        it.unicast(own, peer)
    };
    for (mode, is_unicast) in [
        (Mode::Auto, false),
        (Mode::Auto, true),
        (Mode::Native, false),
        (Mode::Tc, false),
        (Mode::Socket, false),
    ] {
        let of = |node, it: Instance| if is_unicast { unicast(node, it) } else { it };
        settled(mode, of)?.check(|pair| {
            let before = standings(pair)?;
            for node in [0, 1] {
                let peer = format!("10.77.0.{}", 2 - node);
                shows(pair, node, &of(node, Instance::v3(100)), &[ok_there(&peer), ok_back(&peer)])?;
            }
            // Nothing is left of it that looks like a router.
            for node in [0, 1] {
                let status = pair.running(node)?.status()?;
                let unknown = status["unknown_routers"].as_array().context("no list")?;
                ensure!(unknown.is_empty(), "{mode:?}: {unknown:?}");
            }
            ensure_unmoved(pair, &before)
        })?;
    }
    let v6 = |priority| Role::new(OURS, Config::of(Instance::v6(priority)));
    Pair::settled([v6(200), v6(100)])?.check(|pair| {
        let peer = link_local(pair, 0)?;
        let lines = shows(pair, 1, &Instance::v6(100), &[ok_there(&peer), ok_back(&peer)])?;
        // The master's echo reply does not come from its virtual address.
        ensure!(!lines.contains("fail "), "{lines}");
        Ok(())
    })
}

#[test]
#[needs("ours", "nft")]
fn a_rule_on_the_way_out_is_named_on_the_host_that_has_it() -> Result<()> {
    settled(Mode::Auto, |_, it| it)?.check(|pair| {
        let instance = Instance::v3(100);
        // The backup, so that no election follows.
        wall(pair, 1, "output")?;
        let refused = "fail lan0: no protocol 112 leaves this host for 224.0.0.18: Operation not permitted";
        let lines = shows(pair, 1, &instance, &[refused.to_owned(), ok_back("10.77.0.1")])?;
        ensure!(lines.contains("a rule drops it on its way out") && !lines.contains(THERE), "{lines}");
        // The other host hears why.
        let refused_there =
            "fail lan0: what 10.77.0.2 sends by protocol 112 does not leave it: its own host refuses it";
        let lines = shows(pair, 0, &Instance::v3(200), &[ok_there("10.77.0.2"), refused_there.to_owned()])?;
        ensure!(lines.contains("vrrpx doctor on 10.77.0.2 names the rule"), "{lines}");
        pair.node(1)?.namespace.run("nft", &["delete table inet wall"])?;
        shows(pair, 1, &instance, &[ok_there("10.77.0.1"), ok_back("10.77.0.1")])?;
        // One on the way in does not keep adverts from vrrpx.
        wall(pair, 1, "input")?;
        shows(pair, 1, &instance, &[ok_there("10.77.0.1"), ok_back("10.77.0.1")]).map(drop)
    })
}

#[test]
#[needs("ours", "nft")]
fn a_loss_between_the_hosts_is_named_with_its_way() -> Result<()> {
    settled(Mode::Auto, |_, it| it)?.check(|pair| {
        let before = standings(pair)?;
        let (master, backup) = (Instance::v3(200), Instance::v3(100));
        // The backup sends in vain: no election follows.
        wall_on_the_wire(pair, 1)?;
        let lost =
            "fail lan0: what 10.77.0.2 sends by protocol 112 does not arrive here, and its echo reply does";
        shows(pair, 0, &master, &[ok_there("10.77.0.2"), lost.to_owned()])?;
        // The backup itself hears the master, and no answer.
        let unknown = "skip lan0: 10.77.0.1 answers no probe";
        let lines = shows(pair, 1, &backup, &[unknown.to_owned(), ok_back("10.77.0.1")])?;
        ensure!(!lines.contains(THERE), "{lines}");
        // With a probe on both at a time, it knows.
        let deaf = "fail lan0: what this host sends by protocol 112 does not arrive at 10.77.0.1";
        let lines = std::thread::scope(|scope| {
            let pair = &*pair;
            let other = scope.spawn(|| probe(pair, 0, &master, &["--for", "12s"]));
            let lines = probe(pair, 1, &backup, &["--for", "10s"]);
            other.join().map_err(|_| anyhow::anyhow!("a probe panicked"))??;
            lines
        })?;
        ensure!(lines.lines().any(|line| line.starts_with(deaf)), "{lines}");
        ensure_unmoved(pair, &before)
    })
}

/// Probes from node 1 until it shows that it hears node 0, which answers no probe.
fn unanswered(pair: &Pair, instance: &Instance) -> Result<String> {
    let unknown =
        "skip lan0: 10.77.0.1 answers no probe: whether it receives what this host sends is not known";
    shows(pair, 1, instance, &[unknown.to_owned(), ok_back("10.77.0.1")])
}

/// Its adverts are heard; nothing else is known, until the probe runs there too. It takes no probe for an advert.
#[test]
#[needs("ours", "keepalived")]
fn keepalived_answers_no_probe_and_a_second_one_does() -> Result<()> {
    let instance = Instance::v3(100);
    let keepalived = Role::new(Daemon::Keepalived, Config::of(Instance::v3(200)));
    Pair::settled([keepalived, Role::new(OURS, Config::of(instance.clone()))])?.check(|pair| {
        let before = pair.running(0)?.log();
        let lines = unanswered(pair, &instance)?;
        ensure!(lines.contains("run vrrpx doctor --probe --for 1m on 10.77.0.1"), "{lines}");
        let lines = std::thread::scope(|scope| {
            let pair = &*pair;
            let other = scope.spawn(|| probe(pair, 0, &Instance::v3(200), &["--for", "12s"]));
            let lines = probe(pair, 1, &instance, &["--for", "10s"]);
            let there = other.join().map_err(|_| anyhow::anyhow!("a probe panicked"))??;
            ensure!(
                there.contains(&ok_there("10.77.0.2")) && there.contains(&ok_back("10.77.0.2")),
                "{there}"
            );
            lines
        })?;
        ensure!(lines.contains(&ok_there("10.77.0.1")) && lines.contains(&ok_back("10.77.0.1")), "{lines}");
        pair.wait_for_master(0)?;
        let after = pair.running(0)?.log();
        // Its own announcements are no notice.
        let news = after.strip_prefix(&*before).context("another log")?.replace("10.77.0.200", "");
        let has_noticed = ["10.77.0.2", "nvalid", "nknown", "VRID"].iter().any(|word| news.contains(word));
        ensure!(!has_noticed, "keepalived has taken notice: {news}");
        Ok(())
    })
}

/// As with keepalived: FRR stays master, and logs nothing of the probes.
#[test]
#[needs("ours", "vrrpd")]
fn frr_answers_no_probe_and_ignores_it() -> Result<()> {
    let instance = Instance::v3(100);
    let frr = Role::new(Daemon::Frr, Config::of(Instance::v3(200)));
    Pair::settled([frr, Role::new(OURS, Config::of(instance.clone()))])?.check(|pair| {
        let before = pair.running(0)?.log();
        unanswered(pair, &instance)?;
        pair.wait_for_master(0)?;
        let after = pair.running(0)?.log();
        let news = after.strip_prefix(&*before).context("another log")?;
        ensure!(!news.contains("10.77.0.2"), "FRR has taken notice: {news}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn without_a_peer_nothing_is_proved() -> Result<()> {
    let instance = Instance::v3(200);
    let mut pair = Pair::idle([Role::new(OURS, Config::of(instance.clone()))])?;
    pair.start(0)?;
    pair.check(|pair| {
        pair.wait_for_master(0)?;
        let alone = "skip lan0: no peer is known, and none answers probes: whether adverts pass is not known";
        let lines = shows(pair, 0, &instance, &[alone.to_owned()])?;
        ensure!(!lines.contains(THERE) && !lines.contains(BACK), "{lines}");
        ensure!(lines.contains("vrrpx doctor --probe --for 1m on the other host"), "{lines}");
        Ok(())
    })
}

/// Turns of the master's engine.
fn turns(pair: &mut Pair) -> Result<u64> {
    pair.running(0)?.status()?["engine"]["turns"].as_u64().context("no turns")
}

/// Each of many probes costs the master no wake-up, and few are answered.
#[test]
#[needs("ours")]
fn a_flood_of_probes_is_answered_once_a_second_and_wakes_nothing() -> Result<()> {
    const PROBES: usize = 20_000;
    const BATCH: usize = 100;
    const SECONDS: usize = 4;
    for mode in [Mode::Auto, Mode::Socket] {
        settled(mode, |_, it| it)?.check(|pair| {
            let before = standings(pair)?;
            let start = turns(pair)?;
            let (answers, allowed) = pair.lab.client.enter(|| {
                let ifindex = if_nametoindex(INTERFACE)?;
                let mut sender = AdvertSender::new()?;
                let said = ProbeMessage { asks: true, run: 7, ..ProbeMessage::default() };
                let (source, group) = ("10.77.0.100".parse()?, "224.0.0.18".parse()?);
                let mut send = |count| {
                    (0..count).for_each(|_| sender.queue_probe(&said, ifindex, source, group));
                    sender.flush(|_, _, _| ())
                };
                let sent: usize = (0..PROBES / BATCH).map(|_| send(BATCH)).sum();
                ensure!(sent > PROBES / 2, "{sent} probes have left");
                let (tap, mut answers, began) = (Tap::open(ifindex, &[])?, 0, monotonic());
                for _ in 0..10 * SECONDS {
                    send(1);
                    let pause = Deadline::after(Duration::from_millis(100));
                    while !pause.passed() {
                        tap.next(pause.left(), |caught| answers += u64::from(is_answer(&caught)))?;
                    }
                }
                // Of two hosts, each a second, and one at either end.
                Ok((answers, 2 * ((monotonic() - began) / 1_000_000_000 + 2)))
            })?;
            ensure!((1..=allowed).contains(&answers), "{mode:?}: {answers} answers");
            let woken = turns(pair)? - start;
            // On the socket path every frame of protocol 112 wakes the engine, as it does without probes.
            ensure!(mode == Mode::Socket || woken < u64::try_from(PROBES)? / 10, "{woken} turns");
            ensure_unmoved(pair, &before)
        })?;
    }
    Ok(())
}

fn is_answer(caught: &CapturedFrame<'_>) -> bool {
    let Some(message) = caught.frame.get(34..) else { return false };
    let probe = ProbeMessage::parse(message, vrrp_ebpf::wire::Family::V4);
    !caught.is_outgoing && probe.is_some_and(|probe| probe.heard.is_some())
}
