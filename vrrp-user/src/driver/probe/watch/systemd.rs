//! systemd checks: a unit, by the system bus.
//!
//! Active, reloading and refreshing units are well, as they serve; activating, deactivating, failed, inactive and
//! unknown ones are not.

use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{MissedTickBehavior, interval, sleep};
use zbus::fdo::PropertiesProxy;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath};

use super::super::attempt::Failure;
use super::{Health, within};

/// Reports the state of the unit, for ever. `limit` bounds each request.
pub(super) async fn watch(
    unit: &str,
    every: Duration,
    limit: Duration,
    mut tell: impl FnMut(Health),
) -> Infallible {
    loop {
        let Err(failure) = session(unit, every, limit, &mut tell).await;
        tell(Err(failure.or_shortage()));
        sleep(every).await;
    }
}

/// Runs as long as the bus and systemd answer.
async fn session(
    unit: &str,
    every: Duration,
    limit: Duration,
    tell: &mut impl FnMut(Health),
) -> Result<Infallible, Failure> {
    let failure = |error: &zbus::Error| Failure::of("systemd", error);
    let open = async {
        let bus = Connection::system().await?;
        let manager = ManagerProxy::new(&bus).await?;
        manager.subscribe().await?;
        let path = manager.load_unit(unit).await?;
        let properties = PropertiesProxy::builder(&bus)
            .destination("org.freedesktop.systemd1")
            .path(path.clone())
            .build()
            .await?;
        let changes = properties.receive_properties_changed().await?;
        let unit = UnitProxy::builder(&bus).path(path).cache_properties(CacheProperties::No).build().await?;
        Ok((changes, unit))
    };
    let opened = within(limit, "systemd", async { open.await.map_err(|error| failure(&error)) }).await;
    let (mut changes, proxy) = opened?;
    let mut due = interval(every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            change = changes.next() => if change.is_none() {
                return Err(Failure::new("systemd: the connection to the bus has ended"));
            },
            _ = due.tick() => {}
        }
        let state = async {
            Ok::<(String, String), zbus::Error>((proxy.active_state().await?, proxy.sub_state().await?))
        };
        let state = async { state.await.map_err(|error| failure(&error)) };
        let (active, sub) = within(limit, "systemd", state).await?;
        tell(judge(unit, &active, &sub));
    }
}

fn judge(unit: &str, active: &str, sub: &str) -> Health {
    match active {
        "active" | "reloading" | "refreshing" => Ok(()),
        _ => Err(Failure::new(format_args!("{unit}: {active} ({sub})"))),
    }
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    /// Without a subscriber, systemd sends no signals.
    fn subscribe(&self) -> zbus::Result<()>;

    /// The object of a unit, even of one without a unit file.
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
}

#[zbus::proxy(interface = "org.freedesktop.systemd1.Unit", default_service = "org.freedesktop.systemd1")]
trait Unit {
    #[zbus(property)]
    fn active_state(&self) -> zbus::Result<String>;

    #[zbus(property)]
    fn sub_state(&self) -> zbus::Result<String>;
}
