//! QEMU's monitor: stops a machine as a hypervisor does, resumes it, and pulls its cables.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// QEMU answers from its main loop, which a busy guest may block for a while.
const ANSWER: Duration = Duration::from_secs(30);

/// A connection that speaks QMP.
#[derive(Debug)]
pub struct Monitor {
    output: UnixStream,
    input: BufReader<UnixStream>,
}

impl Monitor {
    pub(super) fn new(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(ANSWER))?;
        let mut monitor = Self { input: BufReader::new(stream.try_clone()?), output: stream };
        let greeting = monitor.read()?;
        if greeting.get("QMP").is_none() {
            bail!("no greeting of the monitor: {greeting}");
        }
        monitor.command("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Runs a QMP command and returns its result.
    pub fn command(&mut self, name: &str, arguments: &Value) -> Result<Value> {
        let mut line = json!({ "execute": name, "arguments": arguments }).to_string();
        line.push('\n');
        self.output.write_all(line.as_bytes()).with_context(|| format!("monitor: {name}"))?;
        loop {
            let mut answer = self.read().with_context(|| format!("monitor: {name}"))?;
            if let Some(result) = answer.get_mut("return") {
                return Ok(result.take());
            }
            if let Some(error) = answer.get("error") {
                bail!("monitor: {name}: {error}");
            }
            // Any other message is an event.
        }
    }

    /// Stops the machine, its clock too.
    pub fn stop(&mut self) -> Result<()> {
        self.command("stop", &json!({})).map(drop)
    }

    /// Resumes the machine.
    pub fn resume(&mut self) -> Result<()> {
        self.command("cont", &json!({})).map(drop)
    }

    /// Plugs in or pulls the cable of a card, which is named by its position in the hardware.
    pub fn set_cable(&mut self, card: usize, plugged: bool) -> Result<()> {
        self.command("set_link", &json!({ "name": format!("card{card}"), "up": plugged })).map(drop)
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        let length = self.input.read_line(&mut line)?;
        if length == 0 {
            bail!("QEMU has ended");
        }
        serde_json::from_str(&line).with_context(|| format!("no JSON: {line}"))
    }
}
