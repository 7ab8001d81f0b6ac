//! The guest's agent, which runs what the host requests.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::protocol::{Report, Request};
use crate::worker::lock;

/// The first port of the first card.
const PORT: &str = "/dev/vport0p1";

#[derive(Clone, Debug)]
struct Agent {
    port: Arc<Mutex<File>>,
    running: Arc<Mutex<BTreeMap<u64, Pid>>>,
}

/// Serves the host until it closes the port.
pub fn serve() -> Result<()> {
    let port = File::options().read(true).write(true).open(PORT).context(PORT)?;
    let requests = BufReader::new(port.try_clone()?);
    let agent = Agent { port: Arc::new(Mutex::new(port)), running: Arc::default() };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    agent.report(&Report::Ready { release });
    for line in requests.lines() {
        let line = line?;
        let request = serde_json::from_str(&line).with_context(|| format!("no request: {line}"))?;
        agent.act(request);
    }
    Ok(())
}

impl Agent {
    fn act(&self, request: Request) {
        let (id, done) = match request {
            Request::Run { id, program, arguments, environment } => {
                let mut command = Command::new(program);
                command.args(arguments).envs(environment);
                (id, self.run(id, command))
            }
            Request::Signal { id, number } => {
                // It may have ended meanwhile.
                if let (Some(pid), Ok(signal)) = (lock(&self.running).get(&id), Signal::try_from(number)) {
                    let _gone = kill(*pid, signal);
                }
                return;
            }
            Request::Write { id, path, content } => {
                let done = write(Path::new(&path), &content);
                if done.is_ok() {
                    self.report(&Report::Ended { id, status: 0 });
                }
                (id, done)
            }
        };
        if let Err(error) = done {
            self.report(&Report::Refused { id, why: format!("{error:#}") });
        }
    }

    fn run(&self, id: u64, mut command: Command) -> Result<()> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child =
            command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()))?;
        lock(&self.running).insert(id, Pid::from_raw(child.id().cast_signed()));
        let agent = self.clone();
        std::thread::spawn(move || agent.follow(id, child));
        Ok(())
    }

    /// Reports a process's output, and its end.
    fn follow(&self, id: u64, mut child: Child) {
        std::thread::scope(|scope| {
            if let Some(output) = child.stderr.take() {
                scope.spawn(|| self.copy(id, true, output));
            }
            if let Some(output) = child.stdout.take() {
                self.copy(id, false, output);
            }
        });
        let ended = child.wait();
        lock(&self.running).remove(&id);
        self.report(&match ended {
            Ok(ended) => {
                let status = ended.code().or(ended.signal().map(|number| -number)).unwrap_or(i32::MIN);
                Report::Ended { id, status }
            }
            Err(error) => Report::Refused { id, why: error.to_string() },
        });
    }

    fn copy(&self, id: u64, error: bool, output: impl Read) {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            self.report(&Report::Printed { id, error, text });
            line.clear();
        }
    }

    fn report(&self, report: &Report) {
        let Ok(mut line) = serde_json::to_vec(report) else { return };
        line.push(b'\n');
        // Without a host, no reader is left.
        let _closed = lock(&self.port).write_all(&line);
    }
}

fn write(path: &Path, content: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content).with_context(|| path.display().to_string())
}
