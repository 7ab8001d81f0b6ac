//! A master's daemon that dies without a goodbye, or stands still: who answers for the address then.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::{Signal, kill};

use super::{HEIR, INTERVALS, MASTER, Probes, cells, pair, patience};
use crate::bench::{Plan, Row, Sheet, millis};
use crate::clock::realtime;
use crate::daemon::Daemon;

/// Watched at least, once the heir is there.
const AFTER: Duration = Duration::from_millis(700);

pub(super) fn killed(plan: &Plan, sheet: &mut Sheet) {
    for interval in INTERVALS {
        let values = cells(plan, "kill", |daemon| kill_all(daemon, interval));
        let measure = format!(
            "SIGKILL to all processes of the master, {interval:?} adverts: both answered ARP / longest gap at the \
             client"
        );
        sheet.add(&Row::new(measure, "0 / ≤ 3 ms", values));
    }
}

pub(super) fn hung(plan: &Plan, sheet: &mut Sheet) {
    for interval in INTERVALS {
        let values = cells(plan, "hang", |daemon| hang(daemon, interval));
        let measure = format!(
            "SIGSTOP to all processes of the master, {interval:?} adverts: both answered ARP / longest gap at the \
             client / ARP requests that both answered after SIGCONT"
        );
        sheet.add(&Row::new(measure, "0 / ≤ 3 ms / ≤ 1", values));
    }
}

fn kill_all(daemon: Daemon, interval: Duration) -> Result<String> {
    let mut pair = pair(daemon, interval)?;
    let probes = Probes::new(&pair.lab)?;
    let start = realtime();
    pair.kill(MASTER);
    pair.observer.wait_for_advert(HEIR, start, 2 * patience(interval)?)?;
    sleep(AFTER.max(patience(interval)?));
    let watched = Duration::from_nanos(realtime() - start);
    let twice = probes.arp.answered_twice(start);
    let gap = probes.echo.longest_outage(start);
    Ok(format!("{} ms in {:.0} / {} ms", twice.as_millis(), watched.as_secs_f64() * 1e3, millis(gap)))
}

fn hang(daemon: Daemon, interval: Duration) -> Result<String> {
    pair(daemon, interval)?.check_with(|pair| {
        let probes = Probes::new(&pair.lab)?;
        let start = realtime();
        let tree = pair.running(MASTER)?.process().tree();
        tree.iter().try_for_each(|pid| kill(*pid, Signal::SIGSTOP))?;
        pair.observer.wait_for_advert(HEIR, start, 2 * patience(interval)?)?;
        sleep(AFTER);
        let twice = probes.arp.answered_twice(start);
        let watched = Duration::from_nanos(realtime() - start);
        let gap = probes.echo.longest_outage(start);
        let again = realtime();
        tree.iter().try_for_each(|pid| kill(*pid, Signal::SIGCONT))?;
        sleep(2 * patience(interval)? + AFTER);
        let after = probes.arp.asks(again).iter().filter(|ask| ask.by.len() > 1).count();
        Ok(format!(
            "{} ms in {:.0} / {} ms / {after}",
            twice.as_millis(),
            watched.as_secs_f64() * 1e3,
            millis(gap)
        ))
    })
}
