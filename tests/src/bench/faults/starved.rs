//! Machines short of CPU time: busy processors, short memory, a busy disk, and suspended backups.

use std::fs::File;
use std::io::{Seek, Write};
use std::time::Duration;

use anyhow::{Result, anyhow};
use nix::sys::signal::{Signal, kill};

use super::{HEIR, Probes, QUIET, cell, cells_side_by_side, pair};
use crate::bench::load::{Busy, takeovers};
use crate::bench::{Cell, Figure, Plan, Row, Sheet};
use crate::clock::{elapse, outage, realtime, watch};
use crate::daemon::Daemon;
use crate::pair::Pair;
use crate::process::Directory;
use crate::worker::Workers;

const INTERVAL: Duration = Duration::from_millis(10);
const LOOPS: usize = 8;
/// Bytes of the file that is written again and again.
const FILE: usize = 64 << 20;

/// All daemons at the same time, so that all have the same machine.
pub(super) fn loaded(plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let span = Duration::from_secs(if plan.quick { 15 } else { 600 });
    let scenes: Vec<Result<Scene>> = plan.daemons.iter().map(|daemon| Scene::new(*daemon)).collect();
    let pressed = press(span);
    let values = plan.daemons.iter().zip(scenes).map(|(daemon, scene)| {
        let seen = scene.and_then(|scene| {
            let (start, end) = pressed.as_ref().map_err(|error| anyhow!("{error:#}"))?;
            Ok(scene.seen(*start, *end))
        });
        cell("load", *daemon, seen)
    });
    let measure = format!(
        "{LOOPS} busy loops, memory and disk, {INTERVAL:?} adverts, {} s: false takeovers / both answered ARP (adverts \
         seen)",
        span.as_secs()
    );
    sheet.add(&Row::new(measure, "0 / 0", values.collect()))
}

pub(super) fn paused(plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let (rounds, span) = if plan.quick { (5, 1) } else { (100, 5) };
    let values = cells_side_by_side(plan, "pause", |daemon| pause(daemon, rounds, Duration::from_secs(span)));
    let measure =
        format!("SIGSTOP to the backup for {span} s, {INTERVAL:?} adverts, {rounds} times: takeovers");
    sheet.add(&Row::new(measure, "0", values))
}

/// A pair with its client.
#[derive(Debug)]
struct Scene {
    probes: Probes,
    pair: Pair,
}

impl Scene {
    fn new(daemon: Daemon) -> Result<Self> {
        let pair = pair(daemon, INTERVAL)?;
        Ok(Self { probes: Probes::new(&pair.lab)?, pair })
    }

    fn seen(&self, start: u64, end: u64) -> Cell {
        let adverts = self.pair.observer.adverts();
        let meanwhile = adverts.iter().filter(|advert| (start..end).contains(&advert.0));
        let nodes: Vec<usize> = meanwhile.map(|advert| advert.1).collect();
        let twice = self.probes.arp.answered_twice(start);
        let takeovers = takeovers(&nodes);
        Cell::new(format!("{takeovers} / {} ms ({})", twice.as_millis(), nodes.len()))
            .with(Figure::count("takeovers", takeovers).at_most(0.0))
            .with(Figure::millis("both answered", twice).at_most(20.0))
            .with(Figure::count("adverts", nodes.len()))
    }
}

/// Keeps the machine busy for `span`; returns start and end (CLOCK_REALTIME).
fn press(span: Duration) -> Result<(u64, u64)> {
    let processors = std::thread::available_parallelism()?.get();
    let loops: Vec<usize> = (0..LOOPS).map(|number| number % processors).collect();
    eprintln!("load: for {span:?}");
    let start = realtime();
    let busy = (Busy::new(&loops)?, Greedy::new()?);
    outage(span);
    drop(busy);
    let end = realtime();
    // The observers have frames left to read.
    elapse(QUIET);
    Ok((start, end))
}

fn pause(daemon: Daemon, rounds: u32, span: Duration) -> Result<Cell> {
    pair(daemon, INTERVAL)?.check(|pair| {
        pair.observer.clear();
        let tree = pair.running(HEIR)?.process().tree();
        for _ in 0..rounds {
            tree.iter().try_for_each(|pid| kill(*pid, Signal::SIGSTOP))?;
            outage(span);
            tree.iter().try_for_each(|pid| kill(*pid, Signal::SIGCONT))?;
            watch(20 * INTERVAL);
        }
        let nodes: Vec<usize> = pair.observer.adverts().iter().map(|advert| advert.1).collect();
        let takeovers = takeovers(&nodes);
        Ok(Cell::new(takeovers.to_string()).with(Figure::count("takeovers", takeovers).at_most(0.0)))
    })
}

/// Takes half of the memory that is free, touches it over and over, and keeps the disk busy, until dropped.
#[derive(Debug)]
struct Greedy {
    _threads: Workers,
    _files: Directory,
}

impl Greedy {
    fn new() -> Result<Self> {
        let files = Directory::new()?;
        let mut file = File::create(files.path().join("disk"))?;
        let block = vec![0x5a; 1 << 20];
        let share = free_memory() / 2;
        let threads = Workers::default()
            .with(move |stop| {
                while !stop.is_set() {
                    // A full disk loads it as well.
                    let _full = (0..FILE / block.len()).try_for_each(|_| file.write_all(&block));
                    let _synced = file.sync_all().and_then(|()| file.rewind());
                }
            })
            .with(move |stop| {
                const PAGE: usize = 4096;
                while !stop.is_set() {
                    let mut taken = vec![0_u8; share];
                    for page in taken.iter_mut().step_by(PAGE) {
                        *page = page.wrapping_add(1);
                        if stop.is_set() {
                            return;
                        }
                    }
                    std::hint::black_box(&taken);
                }
            });
        Ok(Self { _threads: threads, _files: files })
    }
}

/// Bytes that the kernel reports as available without swapping.
fn free_memory() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kilobytes.unwrap_or(0) << 10
}
