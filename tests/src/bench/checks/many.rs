//! CPU time and memory of 200 checks at one a second, child processes included.

use std::fs::read_to_string;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{Pid, SysconfVar, sysconf};

use super::victim::{WEB, port_script, script};
use super::{Cell, Figure, Plan, Row, Sheet, block, globals};
use crate::clock::{elapse, watch};
use crate::daemon::{Config, Daemon, Instance};
use crate::pair::{Pair, Role, SETTLE};
use crate::process::{Directory, tree};
use crate::service::Nginx;

const CHECKS: usize = 200;

/// With scripts for both daemons, and once more for ours with built-in TCP checks.
pub(super) fn measure(plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let span = Duration::from_secs(if plan.quick { 5 } else { 20 });
    for (what, built_in) in [("each a script", false), ("`vrrp_check tcp`", true)] {
        let run = |&daemon: &Daemon| {
            if built_in && daemon == Daemon::Keepalived {
                return Ok(Cell::none());
            }
            eprintln!("checks: {CHECKS}, {what}, {} for {} s", daemon.need(), span.as_secs());
            cost(daemon, built_in, span)
        };
        let values = plan.daemons.iter().map(run).collect::<Result<Vec<_>>>()?;
        let measure = format!("{CHECKS} checks each second, {what}: CPU, memory of the daemon");
        sheet.add(&Row::new(measure, "–", values))?;
    }
    Ok(())
}

fn cost(daemon: Daemon, built_in: bool, span: Duration) -> Result<Cell> {
    let directory = Directory::private()?;
    let line = match built_in {
        true => format!("tcp {WEB}"),
        false => format!("script {}", script(&directory, &port_script())?),
    };
    let keyword = if built_in { "vrrp_check" } else { "vrrp_script" };
    let names: Vec<String> = (0..CHECKS).map(|number| format!("service{number}")).collect();
    let blocks = names.iter().map(|name| block(keyword, name, &[&line, "interval 1"])).collect();
    let tracks: String = names.iter().map(|name| format!("        {name}\n")).collect();
    let instance = Instance::v3(200).line(&format!("track_script {{\n{tracks}    }}"));
    let mut pair =
        Pair::idle([Role::new(daemon, Config { globals: globals(), blocks, instances: vec![instance] })])?;
    let _nginx = Nginx::start(&pair.node(0)?.namespace, WEB.parse()?)?;
    pair.start(0)?;
    pair.wait_for_master(0)?;
    elapse(SETTLE / 5);
    let root = pair.running(0)?.process().pid();
    let before = processor_time(root)?;
    watch(span);
    let used = processor_time(root)?.saturating_sub(before);
    let share = used.as_secs_f64() / span.as_secs_f64() * 100.0;
    let memory = memory(root)?;
    // A script is a process, whose cost is the kernel's; a check that is built in has none.
    let most = if built_in { 30.0 } else { 100.0 };
    Ok(Cell::new(format!("{share:.1} % of a CPU, {:.1} MB", memory / 1e6))
        .with(Figure::new("CPU", share, "%").at_most(most))
        .with(Figure::new("memory", memory / 1e6, "MB").at_most(200.0)))
}

/// CPU time of a process, of its descendants, and of the children they have waited for.
fn processor_time(root: Pid) -> Result<Duration> {
    let unit = sysconf(SysconfVar::CLK_TCK)?.and_then(|unit| u64::try_from(unit).ok()).unwrap_or(100);
    let ticks = |pid: Pid| -> Option<u64> {
        let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        // utime, stime, cutime and cstime, from the 14th field of proc(5) on.
        rest.split(' ').skip(11).take(4).map(|field| field.parse::<u64>().ok()).sum()
    };
    ticks(root).context("the daemon has ended")?;
    // A script that ends meanwhile is counted by its parent, which waits for it.
    let total: u64 = tree(root).into_iter().filter_map(ticks).sum();
    Ok(Duration::from_millis(total * 1000 / unit))
}

/// Resident bytes of the daemon's own processes, without scripts, which are other programs.
fn memory(root: Pid) -> Result<f64> {
    let name = |pid: Pid| read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let own = name(root);
    let resident = |pid: Pid| {
        let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches(" kB").parse::<f64>().ok()
    };
    let all = tree(root).into_iter().filter(|pid| name(*pid) == own).filter_map(resident);
    Ok(all.sum::<f64>() * 1024.0)
}
