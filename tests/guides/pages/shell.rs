//! A bash that runs one piece of a script after the other, in mount and network namespaces as it likes.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use vrrp_tests::daemon::vrrpx;
use vrrp_tests::process::tree;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A line that no command prints.
const END: &str = "--- end of a piece";

pub(super) struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    /// In this directory, with the built `vrrpx` in its path.
    pub(super) fn start(directory: &Path) -> Result<Self> {
        let program = vrrpx();
        let folder = program.parent().context("no folder")?;
        let path =
            format!("{}:/usr/sbin:/sbin:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
        let mut child = Command::new("bash")
            .arg("--norc")
            .current_dir(directory)
            .env("PATH", path)
            .env("LC_ALL", "C.UTF-8")
            .env("NO_COLOR", "1")
            .env_remove("VRRPX_LOG")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("bash")?;
        let input = child.stdin.take().context("stdin")?;
        let output = BufReader::new(child.stdout.take().context("stdout")?);
        let mut shell = Self { child, input, output };
        // As in the terminal of a reader, where both outputs are one screen, and aliases count.
        shell.run("exec 2>&1\nshopt -s expand_aliases")?;
        Ok(shell)
    }

    /// Runs a piece of a script, and returns what it prints.
    pub(super) fn run(&mut self, piece: &str) -> Result<String> {
        // Background processes may go on printing to files of theirs only.
        write!(self.input, "{piece}\nprintf '%s\\n' '{END}'\n")?;
        self.input.flush()?;
        let mut text = String::new();
        loop {
            let mut line = String::new();
            ensure!(self.output.read_line(&mut line)? > 0, "the shell has ended: {text}");
            if line.trim_end() == END {
                return Ok(text);
            }
            // The line of a shell that is not interactive about a background process that was killed.
            let is_of_job = line.starts_with("bash: line ") && line.contains(" Killed ");
            if !is_of_job {
                text.push_str(&line);
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let own = Pid::from_raw(self.child.id().cast_signed());
        for pid in tree(own).into_iter().rev() {
            // It may be gone already.
            let _gone = kill(pid, Signal::SIGKILL);
        }
        let _status = self.child.wait();
    }
}
