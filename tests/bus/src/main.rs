//! A stand-in for systemd on a bus: `LoadUnit`, `GetUnitByPID` and `Subscribe` of its manager, and one unit, with
//! states that its client sets and a restart job.
//!
//! `systemd-stand-in ADDRESS SOCKET` connects to the bus at the address, and then listens on the socket. Each line
//! there has the new `ActiveState` and `SubState` of the unit; the line comes back once the signal is sent.

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use zbus::names::WellKnownName;
use zbus::wire::OwnedObjectPath;
use zbus::{connection, interface};

const PATH: &str = "/org/freedesktop/systemd1";
const JOB: &str = "/org/freedesktop/systemd1/job/7";
const UNIT: &str = "/org/freedesktop/systemd1/unit/one";

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let words = words.next().zip(words.next());
    let (address, socket) = words.context("usage: systemd-stand-in ADDRESS SOCKET")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(&address, &socket))
}

async fn serve(address: &str, socket: &str) -> Result<()> {
    let bus = connection::Builder::address(address)
        .serve_at(PATH, Manager)
        .serve_at(UNIT, Unit { active: "active".to_owned(), sub: "running".to_owned() })
        .serve_at(JOB, Job)
        .name(WellKnownName::try_from("org.freedesktop.systemd1")?);
    let bus = bus.build().await.with_context(|| address.to_owned())?;
    let unit = bus.object_server().interface::<_, Unit>(UNIT).await?;
    let listener = UnixListener::bind(socket).with_context(|| socket.to_owned())?;
    loop {
        let mut lines = BufReader::new(listener.accept().await?.0).lines();
        while let Some(line) = lines.next_line().await? {
            let (active, sub) = line.split_once(' ').context("not two states")?;
            *unit.get_mut().await = Unit { active: active.to_owned(), sub: sub.to_owned() };
            unit.get().await.active_state_changed(unit.signal_emitter()).await?;
            lines.get_mut().write_all(format!("{line}\n").as_bytes()).await?;
        }
    }
}

struct Manager;

/// Every unit name leads to the same unit.
#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn subscribe(&self) {}

    #[zbus(name = "GetUnitByPID")]
    fn unit_by_pid(&self, _pid: u32) -> zbus::fdo::Result<OwnedObjectPath> {
        self.load_unit("")
    }

    fn load_unit(&self, _name: &str) -> zbus::fdo::Result<OwnedObjectPath> {
        OwnedObjectPath::try_from(UNIT).map_err(|error| zbus::fdo::Error::Failed(error.to_string()))
    }
}

/// Pending job of the unit.
struct Job;

#[interface(name = "org.freedesktop.systemd1.Job")]
impl Job {
    #[zbus(property)]
    fn job_type(&self) -> &'static str {
        "restart"
    }
}

struct Unit {
    active: String,
    sub: String,
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property)]
    fn job(&self) -> (u32, OwnedObjectPath) {
        (7, OwnedObjectPath::try_from(JOB).unwrap_or_default())
    }

    #[zbus(property)]
    fn active_state(&self) -> String {
        self.active.clone()
    }

    #[zbus(property)]
    fn sub_state(&self) -> String {
        self.sub.clone()
    }
}
