//! Changes of priority beside a steady master, whose latest adverts wake no daemon: Master_Down_Interval counts from
//! the last advert that the backup obeyed (RFC 9568 §6.4.2).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::{elapse, poll, realtime};
use vrrp_tests::daemon::{Config, Daemon, Instance, Running};
use vrrp_tests::lab::Lab;
use vrrp_tests::needs;
use vrrp_tests::observe::Observer;
use vrrp_tests::pair::SETTLE;
use vrrp_tests::process::Directory;
use vrrp_tests::starvation::Starvation;

use crate::subject;

const INTERVAL: u64 = 200;
const ROUNDS: u32 = 5;
/// The observer's stamp of a frame is a moment earlier than the backup's.
const EARLY: Duration = Duration::from_millis(2);

/// Nodes of these priorities; that of the last one follows a number in a file.
struct Scene {
    lab: Lab,
    observer: Observer,
    daemons: Vec<Running>,
    number: PathBuf,
    _directory: Directory,
}

impl Scene {
    fn new(daemon: Daemon, priorities: &[u8], moving: usize, number: i32) -> Result<Self> {
        let (lab, directory) = (Lab::new(priorities.len())?, Directory::new()?);
        let observer = Observer::new(&lab)?;
        let file = directory.path().join("number");
        std::fs::write(&file, number.to_string())?;
        let mut scene = Self { lab, observer, daemons: Vec::new(), number: file, _directory: directory };
        for (index, &priority) in priorities.iter().enumerate() {
            let config = config(priority, (index == moving).then_some(scene.number.as_path()));
            let node = scene.lab.nodes.get(index).context("no such node")?;
            scene.daemons.push(daemon.start(node, &config)?);
        }
        scene.wait_for(0)?;
        Ok(scene)
    }

    fn set(&self, number: i32) -> Result<()> {
        Ok(std::fs::write(&self.number, number.to_string())?)
    }

    /// Waits until this node has sent the latest five adverts.
    fn wait_for(&self, node: usize) -> Result<()> {
        poll(&format!("node {node} to be master"), SETTLE, || {
            Ok((self.observer.latest(5) == [node; 5]).then_some(()))
        })
    }

    /// Time from the last advert of `of` with this priority to the first advert of `node` after `since`.
    fn takeover(&self, node: usize, since: u64, of: usize, priority: u8) -> Result<Duration> {
        let first = self.observer.wait_for_advert(node, since, SETTLE)?;
        let adverts = self.observer.adverts();
        let obeyed = adverts
            .iter()
            .filter(|(at, from, advert)| *at < first && *from == of && advert.priority == priority);
        let last = obeyed.map(|advert| advert.0).max().context("no advert of the master")?;
        Ok(Duration::from_nanos(first - last))
    }
}

fn config(priority: u8, file: Option<&Path>) -> Config {
    let instance = Instance::v3(priority).interval(INTERVAL);
    let Some(file) = file else { return Config::of(instance) };
    let blocks = format!("track_file number {{\n    file {}\n    weight 1\n}}\n", file.display());
    let instances = vec![instance.line("track_file {\n        number\n    }")];
    Config { instances, blocks, ..Config::default() }
}

/// What other daemons than ours may take in addition.
fn of_others() -> Duration {
    if matches!(subject(), Daemon::Vrrpx(_)) { Duration::ZERO } else { Duration::from_secs(1) }
}

#[test]
#[needs("subject")]
fn a_master_that_falls_below_is_followed_by_the_highest_after_master_down_interval() -> Result<()> {
    // The lower backup would be 120 ms later, also where the machine does not run for a moment.
    let scene = Scene::new(subject(), &[200, 150, 1], 0, 0)?;
    let heir = Instance::v3(150).interval(INTERVAL);
    let patience = heir.master_down_interval();
    for round in 0..ROUNDS {
        // At changing phases of three intervals.
        elapse(Duration::from_millis(u64::from(round) * 110));
        let (threads, since) = (Starvation::of_ordinary_threads()?, realtime());
        scene.set(-150)?;
        let waited = scene.takeover(1, since, 0, 200)?;
        ensure!(
            waited + EARLY >= patience && waited < patience + (threads.slack(&heir) + of_others()),
            "round {round}: {waited:?} of {patience:?}: {}",
            scene.daemons[1].log()
        );
        scene.wait_for(1)?;
        let lower =
            scene.observer.adverts().iter().filter(|advert| advert.0 > since && advert.1 == 2).count();
        ensure!(lower == 0, "round {round}: the lower backup was master: {}", scene.daemons[2].log());
        scene.set(0)?;
        scene.wait_for(0)?;
    }
    Ok(())
}

#[test]
#[needs("subject")]
fn a_backup_that_rises_above_takes_over_after_master_down_interval() -> Result<()> {
    let scene = Scene::new(subject(), &[200, 100], 1, 0)?;
    let heir = Instance::v3(250).interval(INTERVAL);
    let patience = heir.master_down_interval();
    for round in 0..ROUNDS {
        elapse(Duration::from_millis(u64::from(round) * 110));
        let (threads, since) = (Starvation::of_ordinary_threads()?, realtime());
        scene.set(150)?;
        let first = scene.observer.wait_for_advert(1, since, SETTLE)?;
        // The daemon reads the file a moment after it was written: an advert of the master may lie between.
        let adverts = scene.observer.adverts();
        let obeyed =
            adverts.iter().filter(|advert| advert.1 == 0 && advert.0 <= since).map(|advert| advert.0);
        let waited = Duration::from_nanos(first - obeyed.max().context("no advert of the master")?);
        let latest = patience + heir.advert_interval() + (threads.slack(&heir) + of_others());
        ensure!(
            waited + EARLY >= patience && waited < latest,
            "round {round}: {waited:?} of {patience:?}: {}",
            scene.daemons[1].log()
        );
        scene.wait_for(1)?;
        scene.set(0)?;
        scene.wait_for(0)?;
    }
    Ok(())
}
