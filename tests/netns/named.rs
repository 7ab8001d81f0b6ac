//! Faults that an operator must see: each is named in status, log and metric while it lasts, and is gone from the
//! status after its repair.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use vrrp_tests::clock::{poll, until};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, vrrpx};
use vrrp_tests::hider::{DROPPER, Dropper};
use vrrp_tests::lab::INTERFACE;
use vrrp_tests::netns::Namespace;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::{Directory, Process};
use vrrp_tests::starvation::Starvation;
use vrrp_tests::{needs, waits};
use vrrp_user::daemon::status::{Status, View, overview};

use crate::http::{get, sample, serve};
use crate::roles;

pub(crate) const OURS: Daemon = Daemon::Vrrpx(Mode::Auto);

/// A fault is named within this time.
const NAMED: Duration = Duration::from_secs(2);

/// Between two looks, each of which asks for a status and the metrics.
const LOOK: Duration = Duration::from_millis(20);

/// It is gone from the status within this time after its repair.
pub(crate) const GONE: Duration = Duration::from_secs(10);

/// Of adverts, ms. Without an advert in the time in which a fault is to be named, nothing shows it.
const INTERVALS: [u64; 2] = [100, 1000];

/// Of a tmpfs.
const PAGE: usize = 4096;

/// What names a fault.
pub(crate) struct Words<'a> {
    /// On the screen of `vrrpx status`, without its line breaks.
    pub(crate) screen: &'a str,
    pub(crate) log: &'a str,
    /// A sample above 0, with all its labels; with `!` before its name, one that is 0.
    pub(crate) metric: &'a str,
}

/// The node whose words count, with the address of its HTTP.
pub(crate) struct Witness {
    node: usize,
    address: String,
    /// The daemon, if it is none of the pair.
    process: Option<Process>,
}

impl Witness {
    pub(crate) fn of(pair: &mut Pair, node: usize) -> Result<Self> {
        Ok(Self { node, address: serve(pair, node)?, process: None })
    }

    fn screen(&self, pair: &Pair) -> Result<String> {
        let (_, text) = get(pair, self.node, &self.address, "/api/v1/status")?;
        let status: Status = serde_json::from_str(&text)?;
        let screen = overview(&status, View::default());
        Ok(screen.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// What does not name the fault yet.
    fn lacks(&self, pair: &mut Pair, words: &Words<'_>) -> Result<Option<String>> {
        let screen = self.screen(pair)?;
        if !screen.contains(words.screen) {
            return Ok(Some(format!("status: {screen}")));
        }
        let (_, metrics) = get(pair, self.node, &self.address, "/metrics")?;
        let name = words.metric.trim_start_matches('!');
        let is_zero = name != words.metric;
        if sample(&metrics, name).is_none_or(|value| (value == 0.0) != is_zero) {
            return Ok(Some(format!("metrics: {metrics}")));
        }
        let log = match &self.process {
            Some(process) => process.log(),
            None => pair.running(self.node)?.log(),
        };
        let has_line = log.contains(words.log);
        Ok((!has_line).then(|| "the log".to_owned()))
    }

    /// Waits until the fault is named everywhere.
    pub(crate) fn names(&self, pair: &mut Pair, words: &Words<'_>) -> Result<()> {
        let threads = Starvation::of_ordinary_threads()?;
        // The engine, the main thread, HTTP and the writer of the log wait in turn.
        let within = || NAMED + 3 * threads.longest();
        let mut lack = None;
        let named = threads.poll_each(LOOK, words.screen, within, || {
            lack = self.lacks(pair, words)?;
            Ok(lack.is_none().then_some(()))
        });
        named.with_context(|| lack.map_or_else(String::new, |lack| format!("not named in {lack}")))
    }

    pub(crate) fn forgets(&self, pair: &mut Pair, words: &Words<'_>) -> Result<()> {
        let threads = Starvation::of_ordinary_threads()?;
        let mut screen = String::new();
        let gone = threads.poll_each(
            LOOK,
            "the end of a fault on the screen",
            || GONE,
            || {
                screen = self.screen(pair)?;
                Ok((!screen.contains(words.screen)).then_some(()))
            },
        );
        gone.with_context(|| format!("still there: {screen}"))
    }
}

#[test]
#[needs("ours")]
fn a_stopped_guard() -> Result<()> {
    Pair::settled(roles(OURS, Instance::v3(200), Instance::v3(100)))?.check(|pair| {
        let witness = Witness::of(pair, 0)?;
        let guard = pair.running(0)?.guard()?;
        kill(guard, Signal::SIGSTOP)?;
        let stopped = format!(
            "is stopped: the addresses of a killed daemon stay set; continue it (kill -CONT {guard})"
        );
        let words = Words {
            screen: &format!("guard: {stopped}"),
            log: &format!("guard: {stopped}"),
            metric: "!vrrpx_guard_up",
        };
        witness.names(pair, &words)?;
        kill(guard, Signal::SIGCONT)?;
        witness.forgets(pair, &words)?;
        kill(guard, Signal::SIGSTOP)?;
        witness.names(pair, &words)?;
        kill(guard, Signal::SIGKILL)?;
        witness.forgets(pair, &words)?;
        until("another guard", SETTLE, || {
            pair.running(0).and_then(|it| it.guard()).is_ok_and(|it| it != guard)
        })
    })
}

/// Another password, another version, another VRID with our address.
#[waits]
#[test]
#[needs("ours")]
fn routers_that_do_not_understand_each_other() -> Result<()> {
    const REFUSED: &str = "adverts of a router that should be a peer are refused: ";
    let (v2, v3) = (Instance::v2, Instance::v3);
    let cases = [
        ("it has another password (`auth_pass`)", "auth_data", v2(100).pass("right"), v2(100).pass("wrong")),
        ("it speaks another version of VRRP (`vrrp_version`)", "version_mismatch", v3(100), v2(100)),
        ("it has 10.77.0.200 under VRID 51", "other_vrid", v3(100), v3(100).vrid(77)),
        (
            "it has 10.77.0.200 under VRID 51",
            "other_vrid",
            v3(100).interval(1000),
            v3(100).interval(1000).vrid(77),
        ),
    ];
    for (detail, reason, right, wrong) in cases {
        let master = match reason {
            "auth_data" => v2(200).pass("right"),
            _ => v3(200).interval(u64::try_from(right.advert_interval().as_millis())?),
        };
        Pair::settled(roles(OURS, master, right.clone()))?.check(|pair| {
            let witness = Witness::of(pair, 1)?;
            let name = if reason == "other_vrid" { "VI_77" } else { "VI_1" };
            let labels = format!("vrrp_instance=\"{name}\",peer=\"10.77.0.1\",reason=\"{reason}\"");
            let words = Words {
                screen: &format!("10.77.0.1 is not heard: {detail}"),
                log: &format!("{REFUSED}{detail}"),
                metric: &format!("vrrpx_peer_rejected{{{labels}}}"),
            };
            ensure!(!witness.screen(pair)?.contains("is not heard"), "before there is a fault");
            pair.reload(1, &Config::of(wrong))?;
            // As a second master, it changes its words.
            let words = Words { screen: detail, ..words };
            witness.names(pair, &words)?;
            pair.reload(1, &Config::of(right))?;
            witness.forgets(pair, &words)
        })?;
    }
    Ok(())
}

/// One that keeps adverts from the sockets of a backup, and one that keeps those of a master alone on its host.
#[waits]
#[test]
#[needs("ours", "nft")]
fn firewalls() -> Result<()> {
    let rules = |hook: &str| {
        format!(
            "add table inet wall; add chain inet wall c {{ type filter hook {hook} priority 0; }}; \
             add rule inet wall c meta l4proto 112 drop"
        )
    };
    for millis in INTERVALS {
        let instance = |priority| Instance::v3(priority).interval(millis);
        Pair::settled(roles(OURS, instance(200), instance(100)))?.check(|pair| {
            let witness = Witness::of(pair, 1)?;
            let words = Words {
                screen: "adverts reach the program and no socket of this host: look for a firewall",
                log: "look for a firewall",
                metric: "vrrpx_reception_fault{vrrp_instance=\"VI_1\",receiver=\"host\"}",
            };
            pair.node(1)?.namespace.run("nft", &[&rules("input")])?;
            witness.names(pair, &words)?;
            pair.node(1)?.namespace.run("nft", &["delete table inet wall"])?;
            witness.forgets(pair, &words)?;

            let witness = Witness::of(pair, 0)?;
            let words = Words {
                screen: "cannot send adverts: Operation not permitted",
                log: "cannot send an advert",
                metric: "vrrpx_send_errors_total{vrrp_instance=\"VI_1\"}",
            };
            pair.node(0)?.namespace.run("nft", &[&rules("output")])?;
            witness.names(pair, &words)?;
            // Its heir is there, so it keeps out. Trials go on failing.
            let kept_out =
                Words { screen: "this host refuses to send its adverts", log: "reason=refused", ..words };
            pair.wait_for_master(1)?;
            witness.names(pair, &kept_out)?;
            let before = refusals(pair)?;
            poll("another refused trial", GONE, || Ok((refusals(pair)? > before).then_some(())))?;
            ensure!(witness.screen(pair)?.contains(kept_out.screen), "a refused trial ended the fault");
            pair.node(0)?.namespace.run("nft", &["delete table inet wall"])?;
            witness.forgets(pair, &kept_out)?;
            witness.forgets(pair, &words)?;
            pair.wait_for_master(0)
        })?;
    }
    Ok(())
}

/// One on the interface of a master, which drops adverts without an error for sockets that have not asked for it.
#[waits]
#[test]
#[needs("ours", "nft", "egress hook")]
fn a_filter_on_the_interface() -> Result<()> {
    let rules = format!(
        "add table netdev wall; \
         add chain netdev wall c {{ type filter hook egress device \"{INTERFACE}\" priority 0; }}; \
         add rule netdev wall c meta l4proto {{ 51, 112 }} drop"
    );
    let ah = |priority| Instance::v2(priority).ah("secret");
    for (master, backup) in
        [(Instance::v3(200), Instance::v3(100)), (Instance::v6(200), Instance::v6(100)), (ah(200), ah(100))]
    {
        Pair::settled(roles(OURS, master, backup))?.check(|pair| {
            let witness = Witness::of(pair, 0)?;
            let words = Words {
                screen: "cannot send adverts: No buffer space available; the interface drops them",
                log: "cannot send an advert",
                metric: "vrrpx_send_errors_total{vrrp_instance=\"VI_1\"}",
            };
            pair.node(0)?.namespace.run("nft", &[&rules])?;
            witness.names(pair, &words)?;
            let kept_out =
                Words { screen: "this host refuses to send its adverts", log: "reason=refused", ..words };
            pair.wait_for_master(1)?;
            witness.names(pair, &kept_out)?;
            pair.node(0)?.namespace.run("nft", &["delete table netdev wall"])?;
            witness.forgets(pair, &kept_out)?;
            witness.forgets(pair, &words)?;
            pair.wait_for_master(0)
        })?;
    }
    Ok(())
}

/// Adverts that the first node's host has refused.
fn refusals(pair: &mut Pair) -> Result<u64> {
    pair.running(0)?.instance()?["counters"]["send_errors"].as_u64().context("no `send_errors`")
}

#[test]
#[needs("ours")]
fn a_foreign_xdp_program() -> Result<()> {
    // Not by XDP, whose hook is then free.
    let role = |priority| Role::new(Daemon::Vrrpx(Mode::Tcx), Config::of(Instance::v3(priority)));
    Pair::settled([role(200), role(100)])?.check(|pair| {
        let witness = Witness::of(pair, 1)?;
        let words = Words {
            screen: &format!("another XDP program ({DROPPER}, id "),
            log: "another XDP program keeps adverts from this node",
            metric: &format!("vrrpx_adverts_hidden{{interface=\"lan0\",program=\"{DROPPER}\"}}"),
        };
        let dropper = Dropper::on(pair.node(1)?)?;
        witness.names(pair, &words)?;
        drop(dropper);
        witness.forgets(pair, &words)?;
        pair.wait_for_master(0)
    })
}

#[test]
#[needs("ours")]
fn a_setting_that_silences_a_master() -> Result<()> {
    // The one for all interfaces, which `arp_ignore` of the interface does not undo; and ARP off on the interface.
    type Set = fn(&Namespace, bool) -> Result<()>;
    let ignore: Set = |host, is_on| host.sysctl("ipv4/conf/all/arp_ignore", if is_on { "8" } else { "0" });
    let off: Set =
        |host, is_on| host.ip(&format!("link set {INTERFACE} arp {}", if is_on { "off" } else { "on" }));
    for (set, why) in [(ignore, "arp_ignore 8 of all"), (off, "ARP is off on lan0")] {
        Pair::settled(roles(OURS, Instance::v3(200), Instance::v3(100)))?.check(|pair| {
            let witness = Witness::of(pair, 0)?;
            let words = Words {
                screen: &format!("10.77.0.200/24 is not answered, although this node is MASTER: {why}"),
                log: "this master does not answer for an address of its own",
                metric: "vrrpx_unanswered{vrrp_instance=\"VI_1\",address=\"10.77.0.200\"}",
            };
            ensure!(!witness.screen(pair)?.contains("is not answered"), "before there is a fault");
            set(&pair.node(0)?.namespace, true)?;
            witness.names(pair, &words)?;
            set(&pair.node(0)?.namespace, false)?;
            witness.forgets(pair, &words)
        })?;
    }
    Ok(())
}

#[test]
#[needs("ours")]
fn a_missing_interface() -> Result<()> {
    Pair::settled(roles(OURS, Instance::v3(200), Instance::v3(100)))?.check(|pair| {
        let witness = Witness::of(pair, 1)?;
        let missing = Instance::v3(100).vrid(52).on("eth9").addresses(&["10.99.0.200/24"]);
        let config = Config { instances: vec![Instance::v3(100), missing], ..Config::default() };
        pair.reload(1, &config)?;
        let words = Words {
            screen: "there is no interface eth9",
            log: "interface not found",
            metric: "vrrpx_instance_state{vrrp_instance=\"VI_52\",state=\"FAULT\"}",
        };
        witness.names(pair, &words)?;
        let path = Words { metric: "vrrpx_receive_path{interface=\"eth9\",receive_path=\"none\"}", ..words };
        witness.names(pair, &path)?;
        let made = "link add eth9 type veth peer name eth9p\naddress add 10.99.0.1/24 dev eth9\n\
                    link set eth9 up\nlink set eth9p up";
        pair.node(1)?.namespace.ip(made)?;
        witness.forgets(pair, &words)?;
        let (_, metrics) = get(pair, 1, &witness.address, "/metrics")?;
        ensure!(sample(&metrics, path.metric).is_none(), "{metrics}");
        Ok(())
    })
}

/// A small disk of its own, unmounted when dropped.
pub(crate) struct Disk(Directory);

impl Disk {
    pub(crate) fn new() -> Result<Self> {
        let disk = Self(Directory::private()?);
        let mount = ["-t", "tmpfs", "-o", "size=256k", "tmpfs"];
        let done = Command::new("mount").args(mount).arg(disk.0.path()).status()?;
        ensure!(done.success(), "mount: {done}");
        Ok(disk)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it, also the last page of the file of events. Returns the file whose removal makes room.
    pub(crate) fn fill(&self) -> Result<PathBuf> {
        let mut events = fs::OpenOptions::new().append(true).open(self.path().join("events.jsonl"))?;
        let length = usize::try_from(events.metadata()?.len())?;
        events.write_all(&vec![b'\n'; length.next_multiple_of(PAGE) - length])?;
        let filler = self.path().join("filler");
        let _full = fs::write(&filler, vec![0; 1 << 20]);
        Ok(filler)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// The events since then are in the file after the repair.
#[test]
#[needs("ours")]
fn a_full_disk() -> Result<()> {
    let disk = Disk::new()?;
    let folder = disk.path();
    let (directory, config) =
        (Directory::private()?, |priority| Config::of(Instance::v3(priority)).to_string());
    let (file, runtime) = (directory.path().join("vrrpx.conf"), directory.path().join("run"));
    fs::create_dir(&runtime)?;
    fs::set_permissions(&runtime, Permissions::from_mode(0o755))?;
    fs::write(&file, config(200))?;
    Pair::idle([Role::new(OURS, Config::of(Instance::v3(200)))])?.check(|pair| {
        let node = pair.node(0)?;
        let address = format!("{}:9112", node.v4());
        let mut command = node.namespace.command(vrrpx())?;
        command
            .args(["run", "--metrics", &address, "--config"])
            .arg(&file)
            .arg("--runtime-dir")
            .arg(&runtime);
        command.env("STATE_DIRECTORY", folder);
        let process = Process::start(command, directory.path().join("log"))?;
        let witness = Witness { node: 0, address, process: Some(process) };
        let is_ready = || get(pair, 0, &witness.address, "/-/ready").is_ok_and(|(code, _)| code == 200);
        // Nothing more is written by itself then.
        let has_events = || {
            let events = fs::read_to_string(folder.join("events.jsonl")).unwrap_or_default();
            events.contains(r#""to":"MASTER""#)
        };
        until("the daemon", SETTLE, || is_ready() && has_events() && folder.join("last-good.json").exists())?;
        let filler = disk.fill()?;
        let ask = |word: &str| Command::new(vrrpx()).arg(word).arg("--runtime-dir").arg(&runtime).output();
        fs::write(&file, config(150))?;
        let reloaded = ask("reload")?;
        ensure!(reloaded.status.success(), "{}", String::from_utf8_lossy(&reloaded.stderr));
        let full = |file: &str| format!("{file}: cannot be written: No space left on device");
        for (file, line) in [
            ("events.jsonl", "cannot write events; tried again each second"),
            ("last-good.json", "cannot keep a copy of the configuration"),
        ] {
            let metric = format!("vrrpx_file_unwritten{{file=\"{file}\"}}");
            witness.names(pair, &Words { screen: &full(file), log: line, metric: &metric })?;
        }
        ensure!(ask("status")?.status.code() == Some(10), "no problem for the exit code");
        fs::remove_file(&filler)?;
        let gone = Words { screen: "cannot be written", log: "", metric: "" };
        witness.forgets(pair, &gone)?;
        let kept = fs::read_to_string(folder.join("events.jsonl"))?;
        let reloads = kept.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        ensure!(reloads.filter(|it| it["event"] == "reload").count() == 1, "{kept}");
        let copy = fs::read_to_string(folder.join("last-good.json"))?;
        ensure!(copy.contains(r#"\"150\""#), "an old copy");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_runtime_directory_without_room() -> Result<()> {
    let disk = Disk::new()?;
    let runtime = disk.0.path();
    // A new tmpfs is open to all, and such a runtime directory is refused.
    fs::set_permissions(runtime, Permissions::from_mode(0o755))?;
    let directory = Directory::private()?;
    let (file, filler) = (directory.path().join("vrrpx.conf"), runtime.join("filler"));
    fs::write(&file, Config::of(Instance::v3(200)).to_string())?;
    Pair::idle([Role::new(OURS, Config::of(Instance::v3(200)))])?.check(|pair| {
        let node = pair.node(0)?;
        let address = format!("{}:9112", node.v4());
        let mut command = node.namespace.command(vrrpx())?;
        command.args(["run", "--metrics", &address, "--config"]).arg(&file).arg("--runtime-dir").arg(runtime);
        command.env("STATE_DIRECTORY", directory.path());
        let process = Process::start(command, directory.path().join("log"))?;
        let witness = Witness { node: 0, address, process: Some(process) };
        until("the daemon", SETTLE, || {
            get(pair, 0, &witness.address, "/-/ready").is_ok_and(|(code, _)| code == 200)
        })?;
        ensure!(!witness.screen(pair)?.contains("runtime directory"), "before there is a fault");
        let words = Words {
            screen: "runtime directory: cannot be written: No space left on device; orders (vrrpx maintenance,",
            log: "cannot write to the runtime directory: No space left on device",
            metric: "vrrpx_file_unwritten{file=\"runtime directory\"}",
        };
        let _full = fs::write(&filler, vec![0; 1 << 20]);
        witness.names(pair, &words)?;
        fs::remove_file(&filler)?;
        witness.forgets(pair, &words)?;
        let process = witness.process.context("no process")?;
        let log = process.log();
        ensure!(log.contains("the runtime directory can be written again"), "{log}");
        Ok(())
    })
}
