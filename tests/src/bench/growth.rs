//! Rows i and j: growth of a long-running daemon over many reloads and transitions.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;

use super::{Cell, Figure, Plan, Row};
use crate::clock::{elapse, pace, realtime, until};
use crate::daemon::{Config, Daemon, Instance, Running};
use crate::pair::{Pair, Role, SETTLE};
use crate::process::Directory;

/// keepalived loses a signal that arrives while it reads a file.
const PAUSE: Duration = Duration::from_millis(100);

/// Number of rounds. Both counts are even.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// Before the first sample.
    pub before: u32,
    /// Between the two samples.
    pub count: u32,
    /// Idle time before each sample.
    pub rest: Duration,
}

impl Rounds {
    fn of(plan: &Plan) -> Self {
        if plan.quick {
            return Self { before: 100, count: 100, rest: Duration::ZERO };
        }
        // The daemon keeps 4096 events and grows until it has them. A thread that has read a file ends after 10 s
        // without work (tokio).
        Self { before: 4200, count: 2000, rest: Duration::from_secs(12) }
    }

    fn all(self) -> impl Iterator<Item = u32> {
        0..=self.before + self.count
    }
}

/// Resources that a process holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Holding {
    /// Resident memory of its own: pages of the program come and go with their use.
    pub kibibytes: i64,
    pub descriptors: i64,
    pub threads: i64,
}

impl Holding {
    /// Of one process, without children, which come and go.
    fn of(pid: Pid) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> Result<i64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such field")?;
            Ok(line.split_whitespace().next().context("an empty field")?.parse()?)
        };
        Ok(Self { kibibytes: field("RssAnon:")?, descriptors: held(pid)?, threads: field("Threads:")? })
    }

    /// Of the working process: of ours the first, of keepalived the VRRP child.
    fn of_daemon(daemon: Daemon, running: &mut Running) -> Result<Self> {
        let tree = running.process().tree();
        let place = usize::from(daemon == Daemon::Keepalived);
        Self::of(*tree.get(place).context("no such process")?)
    }

    fn cell(self) -> Cell {
        // A daemon that grows by a page each round is far beyond both.
        let [kibibytes, descriptors, threads] =
            [self.kibibytes, self.descriptors, self.threads].map(|it| it as f64);
        Cell::new(self.to_string())
            .with(Figure::new("memory", kibibytes, "KiB").at_most(2000.0))
            .with(Figure::new("descriptors", descriptors, "").at_most(10.0))
            .with(Figure::new("threads", threads, "").at_most(10.0))
    }

    fn since(self, before: Self) -> Self {
        Self {
            kibibytes: self.kibibytes - before.kibibytes,
            descriptors: self.descriptors - before.descriptors,
            threads: self.threads - before.threads,
        }
    }
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+} KiB / {:+} / {:+}", self.kibibytes, self.descriptors, self.threads)
    }
}

/// The fewest descriptors that are open within half a second: those of a connection or a file that is being read
/// come and go.
fn held(pid: Pid) -> Result<i64> {
    let mut fewest = i64::MAX;
    for _ in 0..10 {
        let open = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        fewest = fewest.min(i64::try_from(open)?);
        pace(Duration::from_millis(50));
    }
    Ok(fewest)
}

pub fn reloads(plan: &Plan) -> Result<Row> {
    let rounds = Rounds::of(plan);
    row(plan, format!("i: {} reloads that change checks, hooks and mail", rounds.count), |daemon| {
        after_reloads(daemon, rounds)
    })
}

pub fn transitions(plan: &Plan) -> Result<Row> {
    let rounds = Rounds::of(plan);
    row(plan, format!("j: {} transitions", rounds.count), |daemon| after_transitions(daemon, rounds))
}

fn row(plan: &Plan, what: String, measure: impl Fn(Daemon) -> Result<Holding>) -> Result<Row> {
    let values = plan.daemons.iter().map(|&daemon| Ok(measure(daemon)?.cell()));
    let values = values.collect::<Result<Vec<_>>>()?;
    Ok(Row::new(format!("{what}: growth of memory / descriptors / threads"), "≤ 200 KiB / 0 / 0", values))
}

/// Alternates two configurations that have only the instance in common.
pub fn after_reloads(daemon: Daemon, rounds: Rounds) -> Result<Holding> {
    eprintln!("growth: {} for {} reloads", daemon.need(), rounds.count);
    let directory = Directory::new()?;
    let files = [plain(), full(directory.path())].map(|config| config.to_string());
    let pair = Pair::idle([Role::new(daemon, plain())])?;
    pair.check(|pair| {
        pair.start(0)?;
        pair.wait_for_master(0)?;
        let mut first = Holding::default();
        for round in rounds.all() {
            let file = files.get(usize::from(round % 2 == 1)).context("no such file")?;
            let outcome = pair.running(0)?.reload(file)?;
            ensure!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
            if daemon == Daemon::Keepalived {
                pace(PAUSE);
            }
            if round == rounds.before {
                elapse(rounds.rest);
                first = Holding::of_daemon(daemon, pair.running(0)?)?;
            }
        }
        elapse(rounds.rest);
        // Both samples are taken with the plain configuration.
        Ok(Holding::of_daemon(daemon, pair.running(0)?)?.since(first))
    })
}

fn plain() -> Config {
    let globals = vec!["script_user root".to_owned()];
    Config { globals, ..Config::of(Instance::v3(200)) }
}

/// Checks of several kinds, hooks and mail, all of them idle.
fn full(directory: &Path) -> Config {
    let file = directory.join("number");
    let mut config = plain();
    config.globals.push("notification_email {\n        root@localhost\n    }".to_owned());
    config.globals.push("smtp_server 127.0.0.1".to_owned());
    config.blocks = format!(
        "vrrp_script a {{\n    script /bin/true\n    interval 60\n    weight 1\n}}\n\
         vrrp_script b {{\n    script /bin/true\n    interval 60\n    weight 1\n}}\n\
         vrrp_track_process c {{\n    process none-of-this-name\n    weight 1\n}}\n\
         vrrp_track_file d {{\n    file {}\n    weight 1\n    init_file 0\n}}\n",
        file.display()
    );
    let tracking = Instance::v3(200)
        .line("track_script {\n        a\n        b\n    }")
        .line("track_process {\n        c\n    }")
        .line("track_file {\n        d\n    }")
        .line("notify /bin/true");
    config.instances = vec![tracking];
    config
}

/// A tracked file makes the first of two nodes master and backup in turn. The result is the growth of the node that
/// grows more.
pub fn after_transitions(daemon: Daemon, rounds: Rounds) -> Result<Holding> {
    eprintln!("growth: {} for {} transitions", daemon.need(), rounds.count);
    let directory = Directory::new()?;
    let file = directory.path().join("number");
    fs::write(&file, "0")?;
    let blocks = format!("vrrp_track_file f {{\n    file {}\n    weight 1\n}}\n", file.display());
    let leader =
        Instance::v3(200).interval(10).line("track_file {\n        f\n    }").line("notify /bin/true");
    let globals = vec!["script_user root".to_owned()];
    let leader = Config { globals, blocks, instances: vec![leader] };
    let roles = [leader, Config::of(Instance::v3(100).interval(10))];
    Pair::settled(roles.map(|config| Role::new(daemon, config)))?.check(|pair| {
        let mut first = [Holding::default(); 2];
        for round in rounds.all() {
            let (number, master) = if round % 2 == 1 { ("-150", 1) } else { ("0", 0) };
            let since = realtime();
            pair.observer.clear();
            fs::write(&file, number)?;
            pair.observer.wait_for_advert(master, since, SETTLE)?;
            // The other node is silent, so that the next change is a transition too.
            until("the other node to be silent", SETTLE, || {
                let adverts = pair.observer.adverts();
                adverts.iter().rev().take(2).all(|(_, node, _)| *node == master) && adverts.len() >= 2
            })?;
            if round == rounds.before {
                elapse(rounds.rest);
                first = both(daemon, pair)?;
            }
        }
        elapse(rounds.rest);
        let last = both(daemon, pair)?;
        let grown = last.into_iter().zip(first).map(|(last, first)| last.since(first));
        grown.max_by_key(|grown| grown.kibibytes).context("no node")
    })
}

fn both(daemon: Daemon, pair: &mut Pair) -> Result<[Holding; 2]> {
    Ok([Holding::of_daemon(daemon, pair.running(0)?)?, Holding::of_daemon(daemon, pair.running(1)?)?])
}
