//! A stand-in for systemd on a private bus: `LoadUnit`, `GetUnitByPID` and `Subscribe` of its manager, and one unit,
//! with states that the test sets and a restart job.

use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::mpsc as answers;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tokio::time::timeout;
use zbus::names::WellKnownName;
use zbus::wire::OwnedObjectPath;
use zbus::{Connection, connection, interface};

use crate::clock::until;
use crate::process::{Directory, Process};

const PATH: &str = "/org/freedesktop/systemd1";
const JOB: &str = "/org/freedesktop/systemd1/job/7";
const UNIT: &str = "/org/freedesktop/systemd1/unit/one";
const START: Duration = Duration::from_secs(10);

/// Every unit name leads to the same unit.
#[derive(Debug)]
pub struct Systemd {
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
    // Dropped after its clients.
    bus: Process,
    directory: Directory,
}

/// New states, and a channel for the reply when the signal is sent.
type Order = ([&'static str; 2], answers::Sender<()>);

impl Systemd {
    /// With an active unit.
    pub fn start() -> Result<Self> {
        let directory = Directory::new()?;
        let file = directory.path().join("bus.conf");
        let socket = directory.path().join("bus");
        let text = format!(
            "<busconfig><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
             <allow send_destination=\"*\"/><allow receive_sender=\"*\"/><allow own=\"*\"/><allow user=\"*\"/>\
             </policy></busconfig>",
            socket.display()
        );
        std::fs::write(&file, text)?;
        let mut command = Command::new("dbus-daemon");
        command.arg("--nofork").arg(format!("--config-file={}", file.display()));
        let bus = Process::start(command, directory.path().join("log"))?;
        // The socket's file exists a moment before the bus listens.
        until("the bus", START, || UnixStream::connect(&socket).is_ok()).with_context(|| bus.log())?;
        let (orders, taken) = mpsc::unbounded_channel();
        let (ready, is_ready) = answers::channel();
        let mut systemd = Self { orders: Some(orders), thread: None, bus, directory };
        let address = systemd.address();
        systemd.thread = Some(std::thread::spawn(move || {
            let outcome = serve(address, taken, &ready);
            // If it ends later, the caller no longer waits.
            let _nobody = ready.send(outcome);
        }));
        is_ready.recv_timeout(START).with_context(|| systemd.bus.log())??;
        Ok(systemd)
    }

    /// For `DBUS_SYSTEM_BUS_ADDRESS`.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.directory.path().join("bus").display())
    }

    /// Sets the state of the unit, and emits the signal as systemd does.
    pub fn set(&self, active: &'static str, sub: &'static str) -> Result<()> {
        let (done, is_done) = answers::channel();
        self.orders.as_ref().context("the stand-in has ended")?.send(([active, sub], done))?;
        is_done.recv_timeout(START).context("the signal was not sent")
    }

    /// The bus ends, and systemd with it.
    pub fn die(&mut self) {
        self.bus.kill();
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed already.
            let _panicked = thread.join();
        }
    }
}

fn serve(
    address: String,
    mut orders: mpsc::UnboundedReceiver<Order>,
    ready: &answers::Sender<Result<()>>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let bus = connection::Builder::address(address.as_str())
            .serve_at(PATH, Manager)
            .serve_at(UNIT, Unit { states: ["active", "running"] })
            .serve_at(JOB, Job)
            .name(WellKnownName::try_from("org.freedesktop.systemd1")?);
        let bus: Connection = timeout(START, bus.build()).await??;
        ready.send(Ok(()))?;
        let unit = bus.object_server().interface::<_, Unit>(UNIT).await?;
        while let Some((states, done)) = orders.recv().await {
            unit.get_mut().await.states = states;
            let shown = unit.get().await;
            shown.active_state_changed(unit.signal_emitter()).await?;
            if done.send(()).is_err() {
                bail!("no receiver for the outcome");
            }
        }
        Ok(())
    })
}

struct Manager;

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
    /// `ActiveState` and `SubState`.
    states: [&'static str; 2],
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property)]
    fn job(&self) -> (u32, OwnedObjectPath) {
        (7, OwnedObjectPath::try_from(JOB).unwrap_or_default())
    }

    #[zbus(property)]
    fn active_state(&self) -> String {
        self.states[0].to_owned()
    }

    #[zbus(property)]
    fn sub_state(&self) -> String {
        self.states[1].to_owned()
    }
}
