//! Rows k and l: takeovers by priority, when the master's falls below that of two backups, and when a backup's rises
//! above the master's.
//!
//! No node has died, and no advert wakes a backup before the takeover: it has to remember the arrival of the last
//! advert that it obeyed (RFC 9568 §6.4.2). Tracked files change the priorities, between two adverts of the master.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Cell, Figure, Plan, Row, Samples};
use crate::clock::{elapse, realtime, watch};
use crate::daemon::{Config, Daemon, Instance};
use crate::pair::{Pair, Role, SETTLE};
use crate::process::Directory;

const INTERVAL_MS: u64 = 100;
const MASTER: usize = 0;
const HEIR: usize = 1;
const LOWER: usize = 2;
const PRIORITIES: [u8; 3] = [200, 150, 140];
/// Priority that the heir's rises to.
const RISEN: u8 = 250;
/// Seconds that count as on time.
const CLOSE: f64 = 0.001;

/// The node whose priority changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mover {
    Master,
    Heir,
}

pub fn falling(plan: &Plan) -> Result<Row> {
    row(plan, Mover::Master, "k: heir of a master whose priority falls")
}

pub fn rising(plan: &Plan) -> Result<Row> {
    row(plan, Mover::Heir, "l: heir whose own priority rises")
}

fn row(plan: &Plan, mover: Mover, what: &str) -> Result<Row> {
    let rounds = if plan.quick { 10 } else { 100 };
    let values = plan.daemons.iter().map(|&daemon| run(daemon, mover, rounds));
    Ok(Row::new(
        format!("{what}: first advert beyond Master_Down_Interval, {INTERVAL_MS} ms adverts, median / p95"),
        format!("{rounds} within 1 ms, 0 early"),
        values.collect::<Result<_>>()?,
    ))
}

#[derive(Debug, Default)]
struct Found {
    excess: Samples,
    close: u32,
    early: u32,
    /// Rounds in which the lower backup was master.
    lower: u32,
}

fn run(daemon: Daemon, mover: Mover, rounds: u32) -> Result<Cell> {
    eprintln!("patience: {} for {rounds} rounds", daemon.need());
    let directory = Directory::new()?;
    let file = directory.path().join("number");
    fs::write(&file, "0")?;
    let roles = PRIORITIES.into_iter().enumerate().map(|(node, priority)| {
        let moves = node == if mover == Mover::Master { MASTER } else { HEIR };
        Role::new(daemon, config(priority, moves.then_some(file.as_path())))
    });
    Pair::settled_in_turn(roles.collect::<Vec<_>>())?.check(|pair| {
        let mut found = Found::default();
        for round in 0..rounds {
            one(pair, mover, &file, round, &mut found).with_context(|| format!("round {round}"))?;
        }
        let Found { excess, close, early, lower } = found;
        let text =
            format!("{}, {close} within 1 ms, {early} early, {lower} by the lower one", excess.summary());
        Ok(Cell::new(text)
            .with(Figure::new("median", excess.millis(50), "ms").at_most(10.0))
            .with(Figure::new("p95", excess.millis(95), "ms"))
            .with(Figure::new("close", f64::from(close), ""))
            .with(Figure::new("early", f64::from(early), "").at_most(0.0))
            .with(Figure::new("lower", f64::from(lower), "").at_most(0.0)))
    })
}

fn instance(priority: u8) -> Instance {
    Instance::v3(priority).interval(INTERVAL_MS)
}

fn config(priority: u8, file: Option<&Path>) -> Config {
    let Some(file) = file else { return Config::of(instance(priority)) };
    let blocks = format!("vrrp_track_file f {{\n    file {}\n    weight 1\n}}\n", file.display());
    let tracking = instance(priority).line("track_file {\n        f\n    }");
    Config { blocks, ..Config::of(tracking) }
}

fn one(pair: &Pair, mover: Mover, file: &Path, round: u32, found: &mut Found) -> Result<()> {
    pair.observer.clear();
    pair.observer.wait_for_advert(MASTER, 0, SETTLE)?;
    // A tenth to seven tenths of an interval after an advert: no advert arrives while the file is read.
    let interval = instance(0).advert_interval();
    elapse(interval * (10 + round * 7 % 60) / 100);
    let moved = realtime();
    let (number, priority) = match mover {
        Mover::Master => ("-150", PRIORITIES[HEIR]),
        Mover::Heir => ("100", RISEN),
    };
    fs::write(file, number)?;
    let taken = pair.observer.wait_for_advert(HEIR, moved, SETTLE)?;
    // Time for the lower one to show up, should it take over as well.
    watch(interval);
    let adverts = pair.observer.adverts();
    let obeyed = adverts
        .iter()
        .rev()
        .find(|(at, node, advert)| *node == MASTER && *at < moved && advert.priority == PRIORITIES[MASTER]);
    let obeyed = obeyed.context("no advert of the master before")?.0;
    let excess = Duration::from_nanos(taken - obeyed).as_secs_f64()
        - instance(priority).master_down_interval().as_secs_f64();
    found.excess.push(excess);
    found.close += u32::from(excess.abs() <= CLOSE);
    found.early += u32::from(excess < -CLOSE);
    found.lower += u32::from(adverts.iter().any(|advert| advert.1 == LOWER));
    fs::write(file, "0")?;
    pair.wait_for_master(MASTER)
}
