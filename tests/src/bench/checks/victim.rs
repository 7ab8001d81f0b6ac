//! Services that a bench kills, their checks, and their times of death.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::block;
use crate::clock::realtime;
use crate::daemon::Daemon;
use crate::netns::Namespace;
use crate::process::{Directory, Process};
use crate::service::{Engine, Nginx, Systemd};

/// Where nginx listens.
pub(super) const WEB: &str = "127.0.0.1:8080";

/// Settings of keepalived's script, the fastest that it has.
const SCRIPT: [&str; 3] = ["interval 1", "fall 1", "rise 1"];

/// Gives each sleeping process its own duration, by which its command line is found.
static SLEEPERS: AtomicU32 = AtomicU32::new(0);

const CONTAINER: &str = "service";

/// Kind of service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Process,
    Container,
    Unit,
    Port,
    Page,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Process, Self::Container, Self::Unit, Self::Port, Self::Page];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Container => "docker",
            Self::Unit => "systemd",
            Self::Port => "tcp",
            Self::Page => "http",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Process => "process killed (`process`)",
            Self::Container => "container stopped, from the engine's event (`docker`)",
            Self::Unit => "unit failed, stand-in on a private bus (`systemd`)",
            Self::Port => "nginx killed (`tcp`, interval 0.1)",
            Self::Page => "nginx killed (`http`, interval 0.1)",
        }
    }

    pub(super) fn goal(self) -> Duration {
        Duration::from_millis(match self {
            Self::Process => 25,
            Self::Container | Self::Unit => 50,
            Self::Port | Self::Page => 150,
        })
    }

    /// Whether a script can check it: the stand-in for systemd does not answer `systemctl`.
    pub(super) fn has_script(self) -> bool {
        self != Self::Unit
    }
}

/// A service of one kind.
#[derive(Debug)]
pub(super) struct Victim {
    kind: Kind,
    /// Seconds that the process sleeps, unique to it.
    seconds: String,
    directory: Directory,
    process: Option<Process>,
    engine: Option<Engine>,
    systemd: Option<Systemd>,
    nginx: Option<Nginx>,
}

/// Time of death, in nanoseconds of CLOCK_REALTIME.
#[derive(Clone, Copy, Debug)]
pub(super) enum Death {
    At(u64),
    /// The engine has an event for it, not earlier than this.
    Reported(u64),
}

impl Victim {
    pub(super) fn new(kind: Kind) -> Result<Self> {
        let engine = (kind == Kind::Container).then(Engine::start).transpose()?;
        let systemd = (kind == Kind::Unit).then(Systemd::start).transpose()?;
        if let Some(engine) = &engine {
            engine.run(CONTAINER, &[])?;
        }
        let seconds = format!("86031.{}", SLEEPERS.fetch_add(1, Ordering::Relaxed));
        Ok(Self {
            kind,
            seconds,
            directory: Directory::private()?,
            process: None,
            engine,
            systemd,
            nginx: None,
        })
    }

    /// Starts it, for the first time or again.
    pub(super) fn start(&mut self, namespace: &Namespace) -> Result<()> {
        match self.kind {
            Kind::Process => {
                let mut command = Command::new("sleep");
                command.arg(&self.seconds);
                self.process = Some(Process::start(command, "/dev/null".into())?);
            }
            Kind::Container => self.engine()?.docker(&["start", CONTAINER]).map(drop)?,
            Kind::Unit => self.systemd()?.set("active", "running")?,
            Kind::Port | Kind::Page => self.nginx = Some(Nginx::start(namespace, WEB.parse()?)?),
        }
        Ok(())
    }

    pub(super) fn die(&mut self) -> Result<Death> {
        let now = realtime();
        match self.kind {
            Kind::Process => {
                self.process.as_mut().context("no process")?.signal(Signal::SIGKILL)?;
                self.process = None;
            }
            Kind::Container => {
                self.engine()?.docker(&["stop", "--time", "0", CONTAINER])?;
                return Ok(Death::Reported(now));
            }
            Kind::Unit => self.systemd()?.set("failed", "failed")?,
            Kind::Port | Kind::Page => self.nginx.take().context("no nginx")?.die(),
        }
        Ok(Death::At(now))
    }

    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        let bus = self.systemd.as_ref().map(|it| ("DBUS_SYSTEM_BUS_ADDRESS", it.address()));
        bus.into_iter().collect()
    }

    /// The check, named `service`.
    pub(super) fn block(&self, daemon: Daemon) -> Result<String> {
        if daemon == Daemon::Keepalived {
            let script = format!("script {}", self.script()?);
            return Ok(block("vrrp_script", "service", &[&[&*script], &SCRIPT[..]].concat()));
        }
        let target = match self.kind {
            Kind::Process => format!("process cmdline \"sleep {}\"", self.seconds),
            Kind::Container => {
                format!("docker {CONTAINER}\n    docker_socket {}", self.engine()?.socket().display())
            }
            Kind::Unit => "systemd service".to_owned(),
            Kind::Port => format!("tcp {WEB}\n    interval 0.1"),
            Kind::Page => format!("http http://{WEB}/health\n    body ready\n    interval 0.1"),
        };
        Ok(block("vrrp_check", "service", &[&target]))
    }

    /// A script as a user would write it.
    fn script(&self) -> Result<String> {
        let body = match self.kind {
            Kind::Process => format!("exec pgrep -f -x 'sleep {}'", self.seconds),
            Kind::Container => {
                let socket = self.engine()?.socket();
                format!(
                    "docker --host unix://{} inspect --format '{{{{.State.Running}}}}' {CONTAINER} | grep -q true",
                    socket.display()
                )
            }
            Kind::Unit => "exec systemctl is-active --quiet service".to_owned(),
            Kind::Port | Kind::Page => port_script(),
        };
        script(&self.directory, &body)
    }

    fn engine(&self) -> Result<&Engine> {
        self.engine.as_ref().context("no engine")
    }

    fn systemd(&self) -> Result<&Systemd> {
        self.systemd.as_ref().context("no systemd")
    }
}

impl Death {
    /// Nanoseconds of CLOCK_REALTIME.
    pub(super) fn at(self, victim: &Victim) -> Result<u64> {
        let since = match self {
            Self::At(at) => return Ok(at),
            Self::Reported(since) => since,
        };
        let seconds = |nanos: u64| format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
        let (since, until) = (seconds(since), seconds(realtime()));
        let filter = ["--filter", "event=die", "--format", "{{.TimeNano}}"];
        let reported = victim
            .engine()?
            .docker(&[&["events", "--since", &since, "--until", &until], &filter[..]].concat())?;
        reported.lines().next().context("no event")?.parse().context("time of an event")
    }
}

/// A script that succeeds if the port accepts connections.
pub(super) fn port_script() -> String {
    format!("exec 3<>/dev/tcp/{}", WEB.replace(':', "/"))
}

/// Writes an executable script for bash, which has `/dev/tcp`.
pub(super) fn script(directory: &Directory, body: &str) -> Result<String> {
    let path = directory.path().join("check");
    std::fs::write(&path, format!("#!/bin/bash\n{body}\n"))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path.display().to_string())
}
