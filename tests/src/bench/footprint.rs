//! `bench memory` and `bench start`: what a daemon takes of a machine that it only guards, by its number of instances.
//!
//! One node of four interfaces, on which each daemon in turn becomes master of all. Memory is the proportional set size
//! (PSS) of all its processes, in which pages that processes share count once. A start ends for ours when it reports
//! itself ready to systemd, and for both when the last instance has its first state in the log.

use std::fs::{File, read_to_string};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::unistd::Pid;
use vrrp_ebpf::time::Timestamp;
use vrrp_user::driver::clock;

use super::{Cell, Figure, Plan, Row, Sheet};
use crate::clock::{elapse, until};
use crate::daemon::{Config, Daemon, Instance, Running, vrrpx};
use crate::http::scrape_in_all_forms;
use crate::lab::Node;
use crate::netns::Namespace;
use crate::process::Directory;

const INTERFACES: [&str; 4] = ["lan0", "lan1", "lan2", "lan3"];
/// Of metrics.
const ADDRESS: &str = "127.0.0.1:9112";
/// VRIDs of an interface that are used.
const VRIDS: usize = 250;
const PATIENCE: Duration = Duration::from_secs(60);
/// From the last change of state to the sample: the daemon has released what its start has used, and tokio has ended
/// idle threads.
const REST: Duration = Duration::from_secs(12);

/// Goals for one number of instances.
#[derive(Clone, Copy, Debug)]
struct Size {
    instances: usize,
    /// PSS of all processes.
    mebibytes: f64,
    /// Start to ready.
    millis: f64,
}

const SIZES: [Size; 3] = [
    Size { instances: 1, mebibytes: 7.0, millis: 40.0 },
    Size { instances: 250, mebibytes: 9.0, millis: 60.0 },
    Size { instances: 1000, mebibytes: 14.0, millis: 120.0 },
];

/// Instances of a daemon that is scraped.
const SCRAPED: usize = 250;
/// Rounds of scrapes, each in both formats, plain and compressed: Prometheus asks as often in five minutes.
const SCRAPES: usize = 20;
/// KiB that metrics and their scrapes may add: one answer that is kept, or two stacks of a thread, would be more.
const ADDED: f64 = 2048.0;
/// Most bytes of a compressed scrape.
const COMPRESSED: f64 = 100_000.0;

/// How far a value may be above its goal.
const TOLERANCE: f64 = 10.0;

/// Most resident memory of the guard, in KiB.
const GUARD: f64 = 2048.0;

pub fn memory(plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    evict(&vrrpx())?;
    for size in SIZES {
        let (mut all, mut guards) = (Vec::new(), Vec::new());
        let (mut added, mut scrapes) = (Vec::new(), Vec::new());
        for &daemon in &plan.daemons {
            eprintln!("memory: {} with {} instances", daemon.need(), size.instances);
            let bench = Bench::new(size.instances)?;
            let rest = if plan.quick { Duration::from_secs(1) } else { REST };
            let mut running = bench.start(daemon, &[])?;
            bench.wait_for("MASTER", &running)?;
            elapse(rest);
            let pss = pss(&running.process().tree())? as f64;
            all.push(mebibytes("PSS", pss, size.mebibytes * 1024.0));
            guards.push(match daemon {
                Daemon::Vrrpx(_) => {
                    let guard = field(&format!("/proc/{}/status", running.guard()?), "VmRSS:")? as f64;
                    mebibytes("RSS of the guard", guard, GUARD)
                }
                _ => Cell::none(),
            });
            if size.instances != SCRAPED {
                continue;
            }
            drop(running);
            let scraped =
                matches!(daemon, Daemon::Vrrpx(_)).then(|| bench.scraped(daemon, rest)).transpose()?;
            let (more, bytes) = scraped.unzip();
            added.push(more.map_or_else(Cell::none, |it| mebibytes("added PSS", it - pss, ADDED)));
            scrapes.push(bytes.map_or_else(Cell::none, |bytes| {
                let figure = Figure::new("compressed scrape", bytes, "B").at_most(COMPRESSED);
                Cell::new(format!("{:.0} kB", bytes / 1e3)).with(figure)
            }));
        }
        let of = plural(size.instances);
        sheet.add(&Row::new(
            format!("{of}: memory (PSS of all processes)"),
            format!("≤ {} MiB", size.mebibytes),
            all,
        ))?;
        sheet.add(&Row::new(
            format!("{of}: resident memory of the guard"),
            format!("≤ {} MiB", GUARD / 1024.0),
            guards,
        ))?;
        if size.instances == SCRAPED {
            let goal = format!("≤ {} MiB more", ADDED / 1024.0);
            let what = format!("metrics on, {SCRAPES} scrapes in each form");
            sheet.add(&Row::new(format!("{of}, {what}: memory that this adds"), goal, added))?;
            let goal = format!("≤ {:.0} kB", COMPRESSED / 1e3);
            sheet.add(&Row::new(format!("{of}: a scrape, compressed"), goal, scrapes))?;
        }
    }
    Ok(())
}

pub fn start(plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let rounds = if plan.quick { 1 } else { 7 };
    evict(&vrrpx())?;
    for size in SIZES {
        let bench = Bench::new(size.instances)?;
        let mut times: Vec<(Vec<Duration>, Vec<Duration>)> = vec![Default::default(); plan.daemons.len()];
        // In alternation, so that a busy machine meets both.
        for _ in 0..rounds {
            for (&daemon, (ready, up)) in plan.daemons.iter().zip(&mut times) {
                let Times { to_ready, to_up } = bench.time(daemon)?;
                ready.extend(to_ready);
                up.push(to_up);
            }
        }
        let (mut ready, mut up) = (Vec::new(), Vec::new());
        for (to_ready, to_up) in times {
            for (measure, times, cells) in [("ready", to_ready, &mut ready), ("up", to_up, &mut up)] {
                let cell = |median: Duration| {
                    let figure = Figure::millis(measure, median).at_most(size.millis * TOLERANCE);
                    Cell::new(format!("{:.0} ms", median.as_secs_f64() * 1e3)).with(figure)
                };
                cells.push(median(times).map_or_else(Cell::none, cell));
            }
        }
        let of = plural(size.instances);
        let goal = format!("≤ {} ms", size.millis);
        sheet.add(&Row::new(format!("{of}: start to ready, median of {rounds}"), goal, ready))?;
        sheet.add(&Row::new(
            format!("{of}: start to the last instance in BACKUP, median of {rounds}"),
            "–",
            up,
        ))?;
    }
    Ok(())
}

fn plural(instances: usize) -> String {
    format!("{instances} instance{}", if instances == 1 { "" } else { "s" })
}

fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// Both in KiB.
fn mebibytes(name: &'static str, value: f64, goal: f64) -> Cell {
    let figure = Figure::new(name, value, "KiB").at_most(goal * TOLERANCE);
    Cell::new(format!("{:.1} MiB", value / 1024.0)).with(figure)
}

/// A node and its configuration.
#[derive(Debug)]
struct Bench {
    node: Node,
    config: Config,
    instances: usize,
}

#[derive(Debug)]
struct Times {
    /// Ours only.
    to_ready: Option<Duration>,
    to_up: Duration,
}

impl Bench {
    fn new(instances: usize) -> Result<Self> {
        let namespace = Namespace::new("node")?;
        for (index, name) in INTERFACES.iter().enumerate() {
            namespace.ip(&format!(
                "link add {name} type veth peer name peer{index}\naddress add 10.77.{index}.1/16 dev {name}\n\
                 link set {name} up\nlink set peer{index} up"
            ))?;
        }
        let instance = |index: usize| -> Result<Instance> {
            let (place, vrid) = (index / VRIDS, index % VRIDS + 1);
            let interface = INTERFACES.get(place).context("more instances than there are VRIDs")?;
            let address = format!("10.77.{}.{vrid}/16", 100 + place);
            let instance = Instance::v3(100).interval(1000).vrid(u8::try_from(vrid)?).on(interface);
            Ok(instance.named(&format!("VI_{index}")).addresses(&[&address]))
        };
        let instances_of = (0..instances).map(instance).collect::<Result<_>>()?;
        Ok(Self {
            node: Node { namespace, index: 0 },
            config: Config { instances: instances_of, ..Config::default() },
            instances,
        })
    }

    fn start(&self, daemon: Daemon, environment: &[(&'static str, String)]) -> Result<Running> {
        daemon.start_in(&self.node, &self.config, None, environment)
    }

    /// KiB of one that serves metrics and was scraped, and the bytes of a compressed scrape.
    fn scraped(&self, daemon: Daemon, rest: Duration) -> Result<(f64, f64)> {
        let mut running = daemon.start_by(&self.node, &self.config, &["--metrics", ADDRESS])?;
        self.wait_for("MASTER", &running)?;
        let mut bytes = 0;
        for _ in 0..SCRAPES {
            bytes = self.node.namespace.enter(|| scrape_in_all_forms(ADDRESS))?.max(bytes);
        }
        elapse(rest);
        Ok((pss(&running.process().tree())? as f64, bytes as f64))
    }

    /// Waits until the log has this state for each instance.
    fn wait_for(&self, state: &str, running: &Running) -> Result<()> {
        let line = format!("Entering {state} STATE");
        until("every instance's state", PATIENCE, || running.log().matches(&line).count() >= self.instances)
            .with_context(|| running.log())
    }

    fn time(&self, daemon: Daemon) -> Result<Times> {
        let directory = Directory::new()?;
        let path = directory.path().join("notify");
        let notify = UnixDatagram::bind(&path)?;
        notify.set_read_timeout(Some(PATIENCE))?;
        let begun = clock::now();
        let mut running = self.start(daemon, &[("NOTIFY_SOCKET", path.display().to_string())])?;
        let to_ready = match daemon {
            Daemon::Vrrpx(_) => Some(wait_until_ready(&notify, begun).with_context(|| running.log())?),
            _ => None,
        };
        self.wait_for("BACKUP", &running)?;
        let to_up = clock::now().since(begun);
        running.stop()?;
        Ok(Times { to_ready, to_up })
    }
}

fn wait_until_ready(notify: &UnixDatagram, begun: Timestamp) -> Result<Duration> {
    let mut text = [0; 4096];
    loop {
        let length = notify.recv(&mut text).context("no message to systemd")?;
        let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
        if text.lines().any(|line| line == "READY=1") {
            return Ok(clock::now().since(begun));
        }
    }
}

/// KiB of all processes together.
fn pss(processes: &[Pid]) -> Result<u64> {
    processes.iter().map(|pid| field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")).sum()
}

fn field(file: &str, name: &str) -> Result<u64> {
    let text = read_to_string(file).with_context(|| file.to_owned())?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no such field")?;
    Ok(line.split_whitespace().next().context("an empty field")?.parse()?)
}

/// Has the kernel read the program from the disk again, as after a boot: of a file that was just written it may keep
/// large pieces, and map each of them as a whole.
fn evict(program: &Path) -> Result<()> {
    let file = File::open(program).with_context(|| program.display().to_string())?;
    file.sync_all()?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}
