//! The shipped alert rules on what failing daemons serve: for each rule a real fault, with scrapes before it, on which
//! the rule is silent, and after it, on which it fires. promtool judges both, and holds each scrape for as long as the
//! rules wait.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use vrrp_ebpf::wire::advert::AdvertRepr;
use vrrp_ebpf::wire::{Family, Trailer};
use vrrp_tests::clock::{Deadline, until};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, vrrpx};
use vrrp_tests::flood::Flooder;
use vrrp_tests::hider::Dropper;
use vrrp_tests::malformed::Forger;
use vrrp_tests::needs;
use vrrp_tests::packet::{self, Frame, V3_IPV4, VRID};
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::{Directory, Process};
use vrrp_tests::worker::Workers;
use vrrp_user::driver::clock;
use vrrp_user::protocol::auth::{Key, Sequence};

use crate::http::{get, serve};
use crate::named::Disk;
use crate::roles;

const OURS: Daemon = Daemon::Vrrpx(Mode::Auto);

/// A fault is in the scrapes within this time: a third near miss takes longest.
const FIRES: Duration = Duration::from_secs(90);

/// Minutes for which promtool holds the scrapes before a fault and after it. `VrrpxNotRealtime` waits for 15.
const HELD: [usize; 2] = [4, 40];

// The alerts of each test.
/// `VrrpxNoMaster` for the address of an instance whose interface is missing.
const DISPUTE: &[&str] = &[
    "VrrpxNoMaster",
    "VrrpxTwoMasters",
    "VrrpxDualMaster",
    "VrrpxAdvertsRejected",
    "VrrpxFault",
    "VrrpxConfigStale",
    "VrrpxHooksFailing",
];
const DIFFERS: &[&str] = &["VrrpxPeerDiffers"];
const UNYIELDING: &[&str] = &["VrrpxMasterUnyielding"];
const HOST: &[&str] =
    &["VrrpxUnanswered", "VrrpxLacking", "VrrpxFileUnwritten", "VrrpxHostFault", "VrrpxGuardGone"];
const CAPABILITY: &[&str] = &["VrrpxNotRealtime"];
const HIDDEN: &[&str] = &["VrrpxAdvertsHidden"];
const MISSED: &[&str] = &["VrrpxReceptionFault"];
const IN_VAIN: &[&str] = &["VrrpxHookSlow", "VrrpxFifoFailing", "VrrpxNotificationsFailing"];
const CLOCK: &[&str] = &["VrrpxClockSkew"];
const NEAR: &[&str] = &["VrrpxNearMisses"];
const FLAPPING: &[&str] = &["VrrpxFlapping"];
const DOWN: &[&str] = &["VrrpxDown"];

const ALL: [&[&str]; 12] =
    [DISPUTE, DIFFERS, UNYIELDING, HOST, CAPABILITY, HIDDEN, MISSED, IN_VAIN, CLOCK, NEAR, FLAPPING, DOWN];

fn rules() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vrrp-user/dist/vrrpx.rules.yml")
}

#[test]
fn every_rule_has_a_real_fault() -> Result<()> {
    let text = fs::read_to_string(rules())?;
    let alerts = text.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let shown: BTreeSet<&str> = ALL.concat().into_iter().collect();
    assert_eq!(alerts.collect::<BTreeSet<_>>(), shown);
    Ok(())
}

/// Values by their series.
type Scrape = BTreeMap<String, f64>;

/// What Prometheus has of the nodes: a scrape of each from before a fault.
struct Watch {
    addresses: Vec<String>,
    before: Vec<Scrape>,
}

impl Watch {
    /// Has each daemon serve metrics.
    fn begin(pair: &mut Pair) -> Result<Self> {
        let nodes = 0..pair.roles.len();
        let addresses = nodes.map(|node| serve(pair, node)).collect::<Result<Vec<_>>>()?;
        let before = scrapes(pair, &addresses)?;
        Ok(Self { addresses, before })
    }

    /// Waits until these alerts are silent before the fault and fire after it. Calls `again` before each scrape.
    fn until_fires(
        &self,
        pair: &mut Pair,
        alerts: &[&str],
        mut again: impl FnMut(&mut Pair) -> Result<()>,
    ) -> Result<()> {
        let deadline = Deadline::after(FIRES);
        loop {
            again(pair)?;
            let after = scrapes(pair, &self.addresses)?;
            let Some(wrong) = judge(&self.before, &after, alerts)? else { return Ok(()) };
            ensure!(!deadline.passed(), "{wrong}");
        }
    }
}

/// One of each node. `up` is what Prometheus itself adds to a scrape.
fn scrapes(pair: &Pair, addresses: &[String]) -> Result<Vec<Scrape>> {
    let each = addresses.iter().enumerate().map(|(node, address)| {
        let mut scrape = Scrape::new();
        let answer = get(pair, node, address, "/metrics").ok().filter(|(code, _)| *code == 200);
        scrape.insert("up{job=\"vrrpx\"}".to_owned(), f64::from(u8::from(answer.is_some())));
        let (_, text) = answer.unwrap_or_default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').context("no value")?;
            scrape.insert(series.to_owned(), value.parse()?);
        }
        Ok(scrape)
    });
    each.collect()
}

/// What promtool finds wrong.
fn judge(before: &[Scrape], after: &[Scrape], alerts: &[&str]) -> Result<Option<String>> {
    let rules = rules();
    let mut text = format!(
        "rule_files: ['{}']\nevaluation_interval: 15s\ntests:\n  - interval: 1m\n    input_series:\n",
        rules.display()
    );
    for (node, (before, after)) in before.iter().zip(after).enumerate() {
        let series: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for series in series {
            let held = [before, after].into_iter().zip(HELD).map(|(scrape, minutes)| {
                let value = scrape.get(series).map_or_else(|| "_".to_owned(), f64::to_string);
                [value.as_str()].repeat(minutes).join(" ")
            });
            let values = held.collect::<Vec<_>>().join(" ");
            let instance = format!("instance=\"node{node}\"");
            let series = match series.strip_suffix('}') {
                Some(labelled) => format!("{labelled},{instance}}}"),
                None => format!("{series}{{{instance}}}"),
            };
            text += &format!("      - {{ series: '{}', values: '{values}' }}\n", series.replace('\'', "''"));
        }
    }
    text += "    promql_expr_test:\n";
    let (silent_at, end) = (HELD[0] - 1, HELD[0] + HELD[1] - 1);
    for alert in alerts {
        let firing = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}");
        for (series, at, expected) in [
            (format!("ALERTS{{alertname=\"{alert}\"}}"), silent_at, 0),
            (format!("count_over_time({firing}[{end}m])"), end, 1),
        ] {
            text += &format!(
                "      - expr: '(count({series}) or vector(0)) > bool 0'\n        eval_time: {at}m\n        \
                 exp_samples: [{{ value: {expected} }}]\n"
            );
        }
    }
    let directory = Directory::private()?;
    fs::write(directory.path().join("real.test.yml"), &text)?;
    let mut promtool = Command::new("promtool");
    promtool.args(["test", "rules", "real.test.yml"]).current_dir(directory.path());
    let output = promtool.output()?;
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Ok((!output.status.success()).then(|| format!("{}\n{text}", said.join("\n"))))
}

/// Nothing more than the fault that is there.
fn nothing(_: &mut Pair) -> Result<()> {
    Ok(())
}

/// Hot restart of the daemon of node 0 by one that is run by these words, at the same address.
fn replace(pair: &mut Pair, addresses: &[String], by: &[&str]) -> Result<Process> {
    let directory = pair.running(0)?.directory().to_owned();
    let mut command = pair.node(0)?.namespace.command(by.first().context("no program")?)?;
    command.args(by.iter().skip(1)).arg(vrrpx()).args(["run", "--hot-restart", "--metrics"]).args(addresses);
    command.arg("--config").arg(directory.join("keepalived.conf")).arg("--runtime-dir").arg(&directory);
    command.env_remove("NOTIFY_SOCKET");
    let next = Process::start(command, directory.join("log.next"))?;
    let (running, pid) = (pair.running(0)?, next.pid().as_raw());
    until("an answer of the newer process", SETTLE, || {
        running.status().is_ok_and(|status| status["node"]["pid"] == pid)
    })
    .with_context(|| next.log())?;
    let [address] = addresses else { bail!("one daemon has one address") };
    until("its listener", SETTLE, || get(pair, 0, address, "/-/ready").is_ok_and(|(code, _)| code == 200))?;
    Ok(next)
}

#[test]
#[needs("ours", "promtool")]
fn two_masters_by_their_passwords_a_missing_interface_and_a_broken_file() -> Result<()> {
    let instance = |priority| Instance::v2(priority).pass("right");
    Pair::settled(roles(OURS, instance(200), instance(100)))?.check(|pair| {
        let watch = Watch::begin(pair)?;
        // Another password, a hook that fails, an interface that is missing; then a file with an error.
        let wrong = Instance::v2(100).pass("wrong").line("notify_master /bin/false");
        let missing = Instance::v3(100).named("VI_2").vrid(52).on("eth9").addresses(&["10.77.0.201/24"]);
        let globals = vec!["script_user root".to_owned()];
        let config = Config { globals, blocks: String::new(), instances: vec![wrong, missing] };
        pair.reload(1, &config)?;
        let refused = pair.running(1)?.reload("vrrp_instance VI_1 {\n    priority none\n}\n")?;
        ensure!(!refused.status.success(), "the broken file is in use");
        watch.until_fires(pair, DISPUTE, nothing)
    })
}

#[test]
#[needs("ours", "promtool")]
fn another_list_of_addresses_and_a_master_that_our_adverts_do_not_reach() -> Result<()> {
    let first = |peer| Instance::v3(200).unicast("10.77.0.1", peer);
    let second = Instance::v3(100).unicast("10.77.0.2", "10.77.0.1");
    Pair::settled(roles(OURS, first("10.77.0.2"), second.clone()))?.check(|pair| {
        let watch = Watch::begin(pair)?;
        pair.reload(1, &Config::of(second.clone().addresses(&["10.77.0.202/24"])))?;
        watch.until_fires(pair, DIFFERS, nothing)?;
        pair.reload(1, &Config::of(second))?;
        pair.reload(0, &Config::of(first("10.77.0.9")))?;
        watch.until_fires(pair, UNYIELDING, nothing)
    })
}

/// One that ignores ARP, has no way to a gateway, a full disk, a firewall of another owner, and kills the guard.
#[test]
#[needs("ours", "promtool", "nft")]
fn a_master_on_a_host_that_fails_it() -> Result<()> {
    let disk = Disk::new()?;
    Pair::settled([Role::new(OURS, Config::of(Instance::v3(200)))])?.check(|pair| {
        let watch = Watch::begin(pair)?;
        let state = format!("STATE_DIRECTORY={}", disk.path().display());
        let _daemon = replace(pair, &watch.addresses, &["env", &state])?;
        // An event makes it.
        pair.reload(0, &Config::of(Instance::v3(210)))?;
        until("the file of events", SETTLE, || disk.path().join("events.jsonl").exists())?;
        disk.fill()?;
        let host = &pair.node(0)?.namespace;
        host.sysctl("ipv4/conf/all/arp_ignore", "8")?;
        let mut owner = host.command("nft")?;
        let mut owner = owner.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let mut rules = owner.stdin.take().context("no input")?;
        rules.write_all(b"add table inet vrrpx { flags owner; }\n")?;
        until("a table of another process", SETTLE, || {
            host.run("nft", &["list", "tables"]).is_ok_and(|tables| tables.contains("vrrpx"))
        })?;
        let route = "virtual_routes {\n        198.51.100.0/24 via 10.78.0.254 dev lan0\n    }";
        pair.reload(0, &Config::of(Instance::v3(200).line("no_accept").line(route)))?;
        watch.until_fires(pair, HOST, |pair| {
            // The daemon starts another one after a second.
            let running = pair.running(0)?;
            if let Ok(guard) = running.guard() {
                kill(guard, Signal::SIGKILL)?;
                until("the guard to be gone", SETTLE, || running.guard().ok() != Some(guard))?;
            }
            Ok(())
        })?;
        drop(rules);
        owner.wait()?;
        Ok(())
    })
}

#[test]
#[needs("ours", "promtool", "setpriv")]
fn a_daemon_without_a_capability() -> Result<()> {
    Pair::settled([Role::new(OURS, Config::of(Instance::v3(200)))])?.check(|pair| {
        let watch = Watch::begin(pair)?;
        let without = ["setpriv", "--bounding-set", "-sys_nice", "--inh-caps=-all"];
        let daemon = replace(pair, &watch.addresses, &without)?;
        watch.until_fires(pair, CAPABILITY, nothing).with_context(|| daemon.log())
    })
}

#[test]
#[needs("ours", "promtool", "nft")]
fn a_backup_whose_host_keeps_adverts_from_it() -> Result<()> {
    // Not by XDP, whose hook is then free.
    let role = |priority| Role::new(Daemon::Vrrpx(Mode::Tcx), Config::of(Instance::v3(priority)));
    Pair::settled([role(200), role(100)])?.check(|pair| {
        let watch = Watch::begin(pair)?;
        let dropper = Dropper::on(pair.node(1)?)?;
        watch.until_fires(pair, HIDDEN, nothing)?;
        drop(dropper);
        pair.wait_for_master(0)?;
        let rules = "add table inet wall; add chain inet wall c { type filter hook input priority 0; }; \
                     add rule inet wall c meta l4proto 112 drop";
        pair.node(1)?.namespace.run("nft", &[rules])?;
        watch.until_fires(pair, MISSED, nothing)
    })
}

/// A hook that hangs, a FIFO that no process reads, and a webhook without a server.
#[test]
#[needs("ours", "promtool")]
fn changes_that_are_reported_in_vain() -> Result<()> {
    let directory = Directory::private()?;
    let config = |lines: &[&str]| {
        let globals = ["script_user root", "notify_webhook http://127.0.0.1:9/ retries 0"];
        let globals = [&globals[..], lines].concat().into_iter().map(str::to_owned).collect();
        Config { globals, ..Config::of(Instance::v3(100).line("notify_fault \"/bin/sleep 50\"")) }
    };
    Pair::settled([Role::new(OURS, Config::of(Instance::v3(200))), Role::new(OURS, config(&[]))])?.check(
        |pair| {
            let watch = Watch::begin(pair)?;
            let fifo = format!("notify_fifo {}", directory.path().join("fifo").display());
            pair.reload(1, &config(&[&fifo]))?;
            ensure!(pair.running(1)?.ask(&["maintenance", "on", "VI_1"])?.status.success(), "no order");
            watch.until_fires(pair, IN_VAIN, nothing)
        },
    )
}

/// A router that signs with the right key, and whose clock is three seconds fast: within the window.
#[test]
#[needs("ours", "promtool")]
fn a_peer_with_a_fast_clock() -> Result<()> {
    const SECRET: &[u8] = b"a-key-of-thirty-six-letters-and-more";
    const FAST: Duration = Duration::from_secs(3);
    let instance = Instance::v3(200).hmac(&["key 1 a-key-of-thirty-six-letters-and-more"]);
    Pair::settled([Role::new(OURS, Config::of(instance))])?.check(|pair| {
        let watch = Watch::begin(pair)?;
        let key = Key::new(1, SECRET).context("a key")?;
        let source: IpAddr = "10.77.0.77".parse()?;
        let group = Frame::to_group(Family::V4);
        let next = move || {
            let listed = packet::addresses(Family::V4, 1);
            let advert = AdvertRepr::new(VRID, 50, V3_IPV4, &listed).ok()?;
            let mut message = vec![0; advert.buffer_len()];
            advert.emit(&mut message)?;
            let sequence = Sequence::at(clock::time_of_day() + FAST).0;
            let mut trailer = Trailer { key_id: 1, sequence, hmac: [0; 16] };
            key.sign(&message, source, &mut trailer);
            Some(group.clone().source(source).advert(&advert).signed(&trailer).build())
        };
        let _adverts = Flooder::paced(&pair.lab, 10, next)?;
        watch.until_fires(pair, CLOCK, nothing)
    })
}

/// Two adverts of the master are missing again and again, and the third one comes.
#[test]
#[needs("ours", "promtool")]
fn a_backup_that_nearly_takes_over() -> Result<()> {
    /// Of the interval; the backup waits for 3.61 of them.
    const GAP: Duration = Duration::from_millis(3100);
    Pair::settled([Role::new(OURS, Config::of(Instance::v3(99).interval(1000)))])?.check(|pair| {
        let watch = Watch::begin(pair)?;
        let forger = Forger::new(&pair.lab.client, VRID)?;
        let master = packet::advert(V3_IPV4, 1).build();
        let _master =
            Workers::default().with_pace(GAP, move || forger.send_frame(&master).unwrap_or_default())?;
        watch.until_fires(pair, NEAR, nothing)
    })
}

#[test]
#[needs("ours", "promtool")]
fn a_node_that_flaps_and_one_that_is_dead() -> Result<()> {
    Pair::settled(roles(OURS, Instance::v3(200), Instance::v3(100)))?.check(|pair| {
        let flap = |pair: &mut Pair| -> Result<()> {
            for order in ["on", "off"] {
                let done = pair.running(1)?.ask(&["maintenance", order, "VI_1"])?;
                ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            }
            Ok(())
        };
        let mut watch = Watch::begin(pair)?;
        // A counter without a row before its first event has no increase at it.
        flap(pair)?;
        watch.before = scrapes(pair, &watch.addresses)?;
        watch.until_fires(pair, FLAPPING, flap)?;
        pair.die(1)?;
        watch.until_fires(pair, DOWN, nothing)
    })
}
