//! Whether systemd ends this process to start its unit again, asked on the system bus.

use std::time::Duration;

use tokio::time::timeout;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath};

/// The bus may hang while the machine goes down.
const LIMIT: Duration = Duration::from_millis(500);

/// The type of the job that systemd has for the unit of this process: `restart`, `stop` and others; `None`: it has
/// none.
///
/// # Errors
/// There is no bus or no systemd, or they do not answer.
pub async fn job() -> zbus::Result<Option<String>> {
    let asked = timeout(LIMIT, ask()).await;
    asked.unwrap_or_else(|_| Err(zbus::Error::Failure(format!("no answer within {LIMIT:?}"))))
}

async fn ask() -> zbus::Result<Option<String>> {
    let bus = Connection::system().await?;
    let unit = ManagerProxy::new(&bus).await?.get_unit_by_pid(std::process::id()).await?;
    let unit = UnitProxy::builder(&bus).path(unit).cache_properties(CacheProperties::No).build().await?;
    let (number, job) = unit.job().await?;
    if number == 0 {
        return Ok(None);
    }
    let job = JobProxy::builder(&bus).path(job).cache_properties(CacheProperties::No).build().await?;
    job.job_type().await.map(Some)
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    #[zbus(name = "GetUnitByPID")]
    fn get_unit_by_pid(&self, pid: u32) -> zbus::Result<OwnedObjectPath>;
}

#[zbus::proxy(interface = "org.freedesktop.systemd1.Unit", default_service = "org.freedesktop.systemd1")]
trait Unit {
    /// Number 0: none.
    #[zbus(property)]
    fn job(&self) -> zbus::Result<(u32, OwnedObjectPath)>;
}

#[zbus::proxy(interface = "org.freedesktop.systemd1.Job", default_service = "org.freedesktop.systemd1")]
trait Job {
    #[zbus(property)]
    fn job_type(&self) -> zbus::Result<String>;
}
