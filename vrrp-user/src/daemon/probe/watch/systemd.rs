//! systemd checks: a unit, by the system bus.
//!
//! Active, reloading and refreshing units are well, as they serve; activating, deactivating, failed, inactive and
//! unknown ones are not.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::super::attempt::Failure;
use super::{Health, within};
use crate::driver::bus::{Argument, Bus, BusError, Call};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const UNIT: &str = "org.freedesktop.systemd1.Unit";

/// Reports the state of the unit, for ever. `limit` bounds each request.
pub(super) async fn watch(
    unit: &str,
    every: Duration,
    limit: Duration,
    mut report: impl FnMut(Health),
) -> Infallible {
    loop {
        let Err(failure) = session(unit, every, limit, &mut report).await;
        report(Err(failure.or_shortage()));
        sleep(every).await;
    }
}

/// Runs as long as the bus and systemd answer.
async fn session(
    unit: &str,
    every: Duration,
    limit: Duration,
    report: &mut impl FnMut(Health),
) -> Result<Infallible, Failure> {
    let failure = |error: BusError| Failure::of("systemd", &error);
    let opened = within(limit, "systemd", async { open(unit).await.map_err(failure) }).await;
    let (mut bus, path) = opened?;
    let mut due = interval(every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = bus.changed() => changed.map_err(failure)?,
            _ = due.tick() => {}
        }
        let state = async { state(&mut bus, &path).await.map_err(failure) };
        let (active, sub) = within(limit, "systemd", state).await?;
        report(judge(unit, &active, &sub));
    }
}

fn judge(unit: &str, active: &str, sub: &str) -> Health {
    match active {
        "active" | "reloading" | "refreshing" => Ok(()),
        _ => Err(Failure::new(format_args!("{unit}: {active} ({sub})"))),
    }
}

/// A connection that hears of changes of the unit, and the unit's object.
async fn open(unit: &str) -> Result<(Bus, String), BusError> {
    let mut bus = Bus::system().await?;
    // Without a subscriber, systemd sends no signals.
    bus.call(manager("Subscribe", &[])).await?;
    // Finds the object even of a unit without a file.
    let path = bus.call(manager("LoadUnit", &[Argument::Text(unit)])).await?.text()?;
    bus.follow(SYSTEMD, &path).await?;
    Ok((bus, path))
}

fn manager<'a>(method: &'a str, arguments: &'a [Argument<'a>]) -> Call<'a> {
    let interface = "org.freedesktop.systemd1.Manager";
    Call { destination: SYSTEMD, path: "/org/freedesktop/systemd1", interface, method, arguments }
}

/// `ActiveState` and `SubState`.
async fn state(bus: &mut Bus, path: &str) -> Result<(String, String), BusError> {
    let active = bus.property(SYSTEMD, path, UNIT, "ActiveState").await?.text()?;
    Ok((active, bus.property(SYSTEMD, path, UNIT, "SubState").await?.text()?))
}
