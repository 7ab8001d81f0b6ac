//! Adverts at full rate, of kinds that nobody may act upon.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{HEIR, MASTER, cells, pair, patience};
use crate::bench::load::takeovers;
use crate::bench::{Plan, Row, Sheet, millis};
use crate::clock::realtime;
use crate::daemon::Daemon;
use crate::flood::{Flood, Flooder};

const VRID: u8 = 51;
const INTERVAL: Duration = Duration::from_millis(100);

pub(super) fn measure(plan: &Plan, sheet: &mut Sheet) {
    let span = Duration::from_secs(if plan.quick { 3 } else { 10 });
    for flood in Flood::ALL {
        let values = cells(plan, flood.word(), |daemon| run(daemon, flood, span));
        let measure = format!(
            "adverts at full rate: {}, {INTERVAL:?} adverts, {} s: takeovers / adverts of the master of {} / CPU of the \
             backup's daemon / excess of a real failover (frames a second)",
            flood.word(),
            span.as_secs(),
            span.as_millis() / INTERVAL.as_millis()
        );
        sheet.add(&Row::new(measure, "0 / all / ≤ 1 % / ≤ 2 ms", values));
    }
}

fn run(daemon: Daemon, flood: Flood, span: Duration) -> Result<String> {
    pair(daemon, INTERVAL)?.check_with(|pair| {
        let flooder = Flooder::new(&pair.lab, flood, VRID)?;
        // What is new is told once.
        sleep(Duration::from_secs(1));
        pair.observer.clear();
        let (sent, used, start) = (flooder.sent(), pair.running(HEIR)?.cpu_time()?, realtime());
        sleep(span);
        let (sent, end) = (flooder.sent() - sent, realtime());
        let used = pair.running(HEIR)?.cpu_time()?.saturating_sub(used);
        let ours = |at: &u64, node: usize| *at < end && node < 2;
        let nodes: Vec<usize> = pair
            .observer
            .adverts()
            .iter()
            .filter(|(at, node, _)| ours(at, *node))
            .map(|advert| advert.1)
            .collect();
        let took = Duration::from_nanos(end - start).as_secs_f64();
        let share = used.as_secs_f64() / took * 100.0;
        pair.die(MASTER)?;
        let excess = match pair.observer.wait_for_advert(
            HEIR,
            end,
            3 * patience(INTERVAL)? + Duration::from_secs(3),
        ) {
            Ok(at) => {
                let adverts = pair.observer.adverts();
                let last = adverts.iter().rev().find(|advert| advert.1 == MASTER && advert.0 < at);
                let silence = Duration::from_nanos(at - last.context("no last advert of the master")?.0);
                format!("{} ms", millis(silence.saturating_sub(patience(INTERVAL)?)))
            }
            Err(_) => "never".to_owned(),
        };
        let count = nodes.iter().filter(|node| **node == MASTER).count();
        let rate = u32::try_from(sent).map_or(f64::NAN, f64::from) / took;
        Ok(format!("{} / {count} / {share:.1} % / {excess} ({:.0} k)", takeovers(&nodes), rate / 1e3))
    })
}
