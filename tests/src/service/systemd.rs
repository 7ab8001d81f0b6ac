//! A private bus with a stand-in for systemd, the program of `tests/bus`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::{poll, until};
use crate::daemon::built;
use crate::process::{Directory, Process};

const STAND_IN: &str = "systemd-stand-in";
const START: Duration = Duration::from_secs(10);

/// Every unit name leads to the same unit.
#[derive(Debug)]
pub struct Systemd {
    states: UnixStream,
    _stand_in: Process,
    // Dropped after its clients.
    bus: Process,
    directory: Directory,
}

impl Systemd {
    /// With an active unit.
    pub fn start() -> Result<Self> {
        let directory = Directory::new()?;
        let path = |name: &str| directory.path().join(name);
        let text = format!(
            "<busconfig><listen>{}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
             <allow send_destination=\"*\"/><allow receive_sender=\"*\"/><allow own=\"*\"/><allow user=\"*\"/>\
             </policy></busconfig>",
            address(&directory)
        );
        std::fs::write(path("bus.conf"), text)?;
        let mut command = Command::new("dbus-daemon");
        command.arg("--nofork").arg(format!("--config-file={}", path("bus.conf").display()));
        let bus = Process::start(command, path("log"))?;
        // The socket's file exists a moment before the bus listens.
        until("the bus", START, || UnixStream::connect(path("bus")).is_ok()).with_context(|| bus.log())?;
        let mut command = Command::new(built(STAND_IN));
        command.arg(address(&directory)).arg(path("states"));
        let stand_in = Process::start(command, path("stand-in.log"))?;
        let states = poll("the stand-in for systemd", START, || Ok(UnixStream::connect(path("states")).ok()));
        let states = states.with_context(|| stand_in.log())?;
        states.set_read_timeout(Some(START))?;
        Ok(Self { states, _stand_in: stand_in, bus, directory })
    }

    /// For `DBUS_SYSTEM_BUS_ADDRESS`.
    pub fn address(&self) -> String {
        address(&self.directory)
    }

    /// Sets the state of the unit, and emits the signal as systemd does.
    pub fn set(&self, active: &str, sub: &str) -> Result<()> {
        let (order, mut answer) = (format!("{active} {sub}\n"), String::new());
        let mut states = &self.states;
        states.write_all(order.as_bytes()).context("the stand-in for systemd has ended")?;
        BufReader::new(states).read_line(&mut answer).context("the signal was not sent")?;
        ensure!(answer == order, "the signal was not sent: {answer}");
        Ok(())
    }

    /// The bus ends, and systemd with it.
    pub fn die(&mut self) {
        self.bus.kill();
    }
}

fn address(directory: &Directory) -> String {
    format!("unix:path={}", directory.path().join("bus").display())
}
