//! HAProxy with one backend of one server.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::until;
use crate::netns::Namespace;
use crate::process::{Directory, Process};

/// Backend `app` with server `one`, which HAProxy itself does not check.
#[derive(Debug)]
pub struct Haproxy {
    process: Process,
    directory: Directory,
}

impl Haproxy {
    pub fn start(namespace: &Namespace, server: SocketAddr) -> Result<Self> {
        let directory = Directory::new()?;
        let path = directory.path();
        let file = path.join("haproxy.cfg");
        let text = format!(
            "global\n  stats socket {} mode 600 level admin\ndefaults\n  mode http\n  timeout connect 1s\n\
             \x20 timeout client 1s\n  timeout server 1s\nbackend app\n  server one {server}\n",
            path.join("socket").display()
        );
        std::fs::write(&file, text)?;
        let mut command = namespace.command("haproxy")?;
        command.arg("-db").arg("-f").arg(&file);
        let process = Process::start(command, path.join("log"))?;
        let haproxy = Self { process, directory };
        let answers = || haproxy.ask("show info").is_ok();
        until("HAProxy", Duration::from_secs(10), answers).with_context(|| haproxy.process.log())?;
        Ok(haproxy)
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Sends a command and returns the answer.
    pub fn ask(&self, command: &str) -> Result<String> {
        let mut stream = UnixStream::connect(self.socket())?;
        writeln!(stream, "{command}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    pub fn die(&mut self) {
        self.process.kill();
    }
}
