//! Two masters that reject each other's adverts: each names the other, and the reason.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::{needs, waits};
use vrrp_tests::{smtp, webhook};

const AUTO: Daemon = Daemon::Vrrpx(Mode::Auto);
const SOCKET: Daemon = Daemon::Vrrpx(Mode::Socket);

/// Time for a rejection to end: its silence, two polls of the daemon, and a slow machine.
const OVER: Duration = Duration::from_secs(40);

/// Address of node 1.
const PEER: &str = "10.77.0.2";

const KEYS: [&str; 2] = [
    "key 1 hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "key 1 hex:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
];

fn role(daemon: Daemon, instance: Instance) -> Role {
    Role::new(daemon, Config::of(instance))
}

/// Peers that a node rejects, and the reasons.
fn rejected(pair: &mut Pair, node: usize) -> Result<Vec<(String, String)>> {
    let shown = pair.running(node)?.instance()?;
    let rows = shown["rejected"].as_array().context("no list of rejected peers")?;
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    Ok(rows.iter().map(|it| (text(it, "peer"), text(it, "reason"))).collect())
}

/// Log lines of a node about rejections: beginnings, ends.
fn reported(pair: &mut Pair, node: usize) -> [usize; 2] {
    let log = pair.running(node).map(|it| it.log()).unwrap_or_default();
    [
        "adverts of a router that should be a peer are refused",
        "a router that should be a peer are no longer refused",
    ]
    .map(|line| log.matches(line).count())
}

/// Waits until both are masters and node 0 reports that it rejects node 1, and why.
fn begins(pair: &mut Pair, peer: &str, reason: &str) -> Result<()> {
    pair.start(0)?;
    pair.start(1)?;
    let expected = [(peer.to_owned(), reason.to_owned())];
    until("the refused peer", SETTLE, || rejected(pair, 0).is_ok_and(|found| found == expected))?;
    until("a line in the log", SETTLE, || reported(pair, 0) == [1, 0])?;
    until("the instance to be master", SETTLE, || {
        pair.running(0).and_then(|it| it.instance()).is_ok_and(|it| it["state"] == "MASTER")
    })
}

fn names(roles: [Role; 2], peer: &str, reason: &str) -> Result<()> {
    Pair::idle(roles)?.check(|pair| begins(pair, peer, reason)).with_context(|| reason.to_owned())
}

#[waits]
#[test]
#[needs("ours")]
fn a_peer_that_is_refused_is_named_with_the_reason() -> Result<()> {
    let (v2, v3) = (Instance::v2, Instance::v3);
    let far = "unicast_ttl 64";
    let to_the_other = || v3(100).unicast("10.77.0.2", "10.77.0.1");
    for (ours, theirs, reason) in [
        (v2(200).pass("one"), v2(100), "auth_type"),
        (v3(200), v2(100), "version_mismatch"),
        (v3(200).hmac(&[KEYS[0]]), v3(100).hmac(&[KEYS[1]]), "auth_hmac"),
        (v3(200), to_the_other(), "destination"),
        (v3(200).unicast("10.77.0.1", "10.77.0.9").line("check_unicast_src"), to_the_other(), "peer"),
        (v3(50).unicast("10.77.0.1", "10.77.0.2 min_ttl 255"), to_the_other().line(far), "ttl"),
        (v3(200), v3(100).vrid(77), "other_vrid"),
    ] {
        names([role(AUTO, ours), role(AUTO, theirs)], PEER, reason)?;
    }
    names([role(SOCKET, v3(200)), role(SOCKET, v3(100).vrid(77))], PEER, "other_vrid")?;
    names(
        [role(AUTO, Instance::v6(200)), role(AUTO, Instance::v6(100).vrid(77))],
        "fe80::ff:fe00:2",
        "other_vrid",
    )
}

/// Two peers have other passwords, a third one another version: each is named with its own reason, in status, log and
/// events.
#[waits]
#[test]
#[needs("ours")]
fn peers_with_different_faults_are_named_side_by_side() -> Result<()> {
    const OTHERS: [&str; 2] = ["10.77.0.3", "10.77.0.4"];
    for daemon in [AUTO, SOCKET] {
        let roles = [
            role(daemon, Instance::v2(200).pass("one")),
            role(daemon, Instance::v2(100).pass("other")),
            role(daemon, Instance::v3(50)),
            role(daemon, Instance::v2(90).pass("third")),
        ];
        Pair::idle(roles)?.check(|pair| {
            (0..4).try_for_each(|node| pair.start(node))?;
            let named = [(PEER, "auth_data"), (OTHERS[0], "version_mismatch"), (OTHERS[1], "auth_data")];
            let sorted = |mut rows: Vec<(String, String)>| {
                rows.sort();
                rows
            };
            let expected = named.map(|(peer, reason)| (peer.to_owned(), reason.to_owned()));
            until("all in status", SETTLE, || rejected(pair, 0).is_ok_and(|it| sorted(it) == expected))?;
            until("all in the log", SETTLE, || reported(pair, 0) == [3, 0])?;
            let running = pair.running(0)?;
            let events = || running.ask(&["events", "--json"]).map(|it| it.stdout).unwrap_or_default();
            for (peer, reason) in named {
                until(&format!("one event of {peer}"), SETTLE, || {
                    let events = String::from_utf8_lossy(&events()).into_owned();
                    let of = |line: &&str| line.contains(peer) && line.contains(reason);
                    events.lines().filter(|line| line.contains("peer_rejected")).filter(of).count() == 1
                })?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Log, status and duration of two masters, from the beginning to the end, and again at the next split.
#[waits]
#[test]
#[needs("ours")]
fn a_split_by_passwords_begins_and_ends() -> Result<()> {
    for daemon in [AUTO, SOCKET] {
        let [one, other] = [(200, "one"), (100, "other")]
            .map(|(priority, word)| role(daemon, Instance::v2(priority).pass(word)));
        Pair::idle([one, other])?.check(|pair| {
            begins(pair, PEER, "auth_data")?;
            let dual = |pair: &mut Pair| -> f64 {
                let seconds = pair
                    .running(0)
                    .and_then(|it| it.instance())
                    .map(|it| it["counters"]["dual_master_seconds"].as_f64());
                seconds.ok().flatten().unwrap_or_default()
            };
            until("a time as two masters", SETTLE, || dual(pair) > 1.0)?;
            pair.die(1)?;
            until("nothing refused", OVER, || rejected(pair, 0).is_ok_and(|found| found.is_empty()))?;
            until("its end in the log", OVER, || reported(pair, 0) == [1, 1])?;
            let before = dual(pair);
            pair.revive(1)?;
            until("a second beginning", SETTLE, || reported(pair, 0) == [2, 1])?;
            until("more time as two masters", SETTLE, || dual(pair) > before)
        })?;
    }
    Ok(())
}

/// The lower master that node 0 names as not yielding, and what to look at there.
fn unyielding(pair: &mut Pair) -> Option<(String, String)> {
    let shown = pair.running(0).ok()?.instance().ok()?["unyielding"].take();
    Some((shown["peer"].as_str()?.to_owned(), shown["detail"].as_str()?.to_owned()))
}

/// Waits until node 0 names node 1 in status and log, and until it has ceased to after `mend`.
fn does_not_yield(mut pair: Pair, why: &str, mend: impl FnOnce(&mut Pair) -> Result<()>) -> Result<()> {
    const WARNING: &str = "another router is master too, and does not yield";
    pair.start(0)?;
    pair.start(1)?;
    pair.check(|pair| {
        until("its name", SETTLE, || {
            unyielding(pair).is_some_and(|(peer, detail)| peer == PEER && detail.contains(why))
        })?;
        let screen = pair.running(0)?.ask(&["status"])?;
        let text = String::from_utf8(screen.stdout)?.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(
            text.contains(&format!("! VI_1: another router is master too: {PEER} with 100; it does not")),
            "{text}"
        );
        let log = |pair: &mut Pair| pair.running(0).map(|it| it.log()).unwrap_or_default();
        ensure!(log(pair).matches(WARNING).count() == 1, "once");
        mend(pair)?;
        until("node 1 to yield", SETTLE, || {
            pair.running(1).and_then(|it| it.instance()).is_ok_and(|it| it["state"] == "BACKUP")
        })?;
        until("no name", OVER, || unyielding(pair).is_none())?;
        until("its end in the log", SETTLE, || log(pair).contains("the other master has yielded"))?;
        ensure!(log(pair).matches(WARNING).count() == 1, "no second time");
        let output = pair.running(0)?.ask(&["events", "--json", "--kind", "unyielding,unyielding_over"])?;
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut events: Vec<Value> = lines.map(serde_json::from_slice).collect::<Result<_, _>>()?;
        events.retain(|it| it["event"].is_string());
        let [begun, over] = &events[..] else { bail!("{events:?}") };
        ensure!(begun["event"] == "unyielding" && begun["peer"] == PEER, "{begun}");
        ensure!(begun["detail"].as_str().is_some_and(|it| it.contains(why)), "{begun}");
        ensure!(over["event"] == "unyielding_over" && over["peer"] == PEER, "{over}");
        Ok(())
    })
}

#[waits]
#[test]
#[needs("ours")]
fn a_master_that_our_adverts_do_not_reach_is_named() -> Result<()> {
    let unicast = |priority, own, other| Instance::v3(priority).unicast(own, other);
    let second = || role(AUTO, unicast(100, "10.77.0.2", "10.77.0.1"));
    let whole = unicast(200, "10.77.0.1", "10.77.0.2");
    let lacking = unicast(200, "10.77.0.1", "10.77.0.9");
    let listed = Config::of(whole.clone());
    does_not_yield(Pair::idle([role(AUTO, lacking), second()])?, "no `unicast_peer` here", |pair| {
        pair.reload(0, &listed).map(drop)
    })?;
    // A link that works in one direction only.
    let pair = Pair::idle([role(AUTO, whole), second()])?;
    pair.node(0)?.namespace.ip("neigh replace 10.77.0.2 lladdr 02:00:00:00:00:99 nud permanent dev lan0")?;
    does_not_yield(pair, "it does not receive our adverts", |pair| {
        pair.node(0)?.namespace.ip("neigh del 10.77.0.2 dev lan0").map(drop)
    })
}

/// Only to receivers that ask for it, at the beginning and at the end; the others get transitions alone.
#[waits]
#[test]
#[needs("ours")]
fn a_split_is_posted_and_mailed() -> Result<()> {
    let [one, other] =
        [(200, "one"), (100, "other")].map(|(priority, word)| Instance::v2(priority).pass(word));
    let mut pair = Pair::idle([role(AUTO, one), role(AUTO, other)])?;
    let namespace = &pair.node(0)?.namespace;
    let listen = || namespace.enter(|| Ok(TcpListener::bind("127.0.0.1:0")?));
    let [asks, asks_not] = [
        webhook::Receiver::new(listen()?, webhook::Manner::Takes)?,
        webhook::Receiver::new(listen()?, webhook::Manner::Takes)?,
    ];
    let mail = smtp::Receiver::new(namespace, smtp::Manner::Takes)?;
    let globals = &mut pair.roles.first_mut().context("no node")?.config.globals;
    globals.push(format!("notify_webhook {} peer_rejected on", asks.url("x")));
    globals.push(format!("notify_webhook {}", asks_not.url("x")));
    globals.extend(mail.globals());
    globals.extend(["smtp_alert", "smtp_alert_peer_rejected"].map(str::to_owned));
    pair.check(|pair| {
        begins(pair, PEER, "auth_data")?;
        let posts = || -> Vec<Value> {
            let bodies = asks.posted().into_iter().map(|posted| posted.body);
            bodies.filter(|body| body["event"] != "transition").collect()
        };
        until("a post", SETTLE, || posts().len() == 1)?;
        let [post] = &posts()[..] else { bail!("{:?}", posts()) };
        ensure!(post["event"] == "peer_rejected" && post["peer"] == PEER, "{post}");
        ensure!(
            post["reason"] == "auth_data" && post["detail"] == "it has another password (`auth_pass`)",
            "{post}"
        );
        let subject = format!("[lab] VRRP Instance VI_1 - {PEER} is not heard");
        until("a mail", SETTLE, || mail.subjects().contains(&subject))?;
        pair.die(1)?;
        until("a post of the end", OVER, || posts().len() == 2)?;
        ensure!(posts()[1]["event"] == "peer_rejection_over" && posts()[1]["peer"] == PEER, "{:?}", posts());
        let subject = format!("[lab] VRRP Instance VI_1 - {PEER} is no longer refused");
        until("a mail of the end", SETTLE, || mail.subjects().contains(&subject))?;
        ensure!(
            asks_not.reported("event").iter().all(|event| event == "transition"),
            "{:?}",
            asks_not.posted()
        );
        Ok(())
    })
}

#[waits]
#[test]
#[needs("ours", "keepalived")]
fn keepalived_with_another_password_is_named() -> Result<()> {
    let [one, other] = [(200, "one"), (100, "other")]
        .map(|(priority, word)| Instance::v2(priority).interval(1000).pass(word));
    names([role(AUTO, one), role(Daemon::Keepalived, other)], PEER, "auth_data")
}
