//! Scenes: scripts in `scenes/` that set up two nodes and show blocks of the pages.
//!
//! ```text
//! show PAGE: HEADING NUMBER -- COMMAND     the output of COMMAND has the block in it, now or within 15 s
//! session PAGE: HEADING NUMBER             each `$ COMMAND` of the block is run on node 1 and prints what follows it
//! anything else                            is run by bash
//! ```
//! `prelude.sh` comes before each scene. A screen may be a part of what its command prints.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use vrrp_tests::clock::poll_each;
use vrrp_tests::process::Directory;
use vrrp_tests::{cases, needs};

use super::blocks::{Block, all, root};
use super::compare::{difference, has, words};
use super::shell::Shell;

const FOLDER: &str = "tests/guides/scenes";
const PRELUDE: &str = "prelude.sh";

/// Within this time a screen shows what it should.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// One line of a scene.
enum Step<'a> {
    Show { block: &'a str, command: &'a str },
    Session { block: &'a str },
    Run(&'a str),
}

impl<'a> Step<'a> {
    fn of(line: &'a str) -> Result<Self> {
        if let Some(rest) = line.strip_prefix("show ") {
            let (block, command) =
                rest.split_once(" -- ").with_context(|| format!("no ` -- ` in: {line}"))?;
            return Ok(Self::Show { block, command });
        }
        Ok(match line.strip_prefix("session ") {
            Some(block) => Self::Session { block },
            None => Self::Run(line),
        })
    }

    fn block(&self) -> Option<&'a str> {
        match self {
            Self::Show { block, .. } | Self::Session { block } => Some(block),
            Self::Run(_) => None,
        }
    }
}

/// Names of the blocks that the scenes show.
pub(super) fn shown() -> Result<Vec<String>> {
    let mut shown = Vec::new();
    for entry in fs::read_dir(root().join(FOLDER))? {
        let text = fs::read_to_string(entry?.path())?;
        for line in text.lines() {
            shown.extend(Step::of(line)?.block().map(str::to_owned));
        }
    }
    Ok(shown)
}

/// Removes the namespaces of a scene, with the processes in them.
struct Cleanup {
    suffix: String,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        for role in ["a", "b", "l"] {
            let name = format!("{role}{}", self.suffix);
            let pids = Command::new("ip").args(["netns", "pids", &name]).output();
            let pids = pids.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default();
            for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
                let _gone = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
            let _absent = Command::new("ip").args(["netns", "delete", &name]).output();
        }
    }
}

/// Plays the scene of this name.
fn play(name: &str) -> Result<()> {
    let blocks = all()?;
    let directory = Directory::private()?;
    // A part of the names of namespaces, which a second run beside this one must not share.
    let suffix = format!("{name}{}", std::process::id());
    let _cleanup = Cleanup { suffix: suffix.clone() };
    let mut shell = Shell::start(directory.path())?;
    shell.run(&format!("SUFFIX={suffix}"))?;
    let mut wrong = Vec::new();
    for file in [PRELUDE.to_owned(), format!("{name}.sh")] {
        let text = fs::read_to_string(root().join(FOLDER).join(&file))?;
        let mut piece = String::new();
        for line in text.lines() {
            let step = Step::of(line)?;
            if let Step::Run(line) = step {
                piece.extend([line, "\n"]);
                continue;
            }
            let printed = shell.run(&std::mem::take(&mut piece))?;
            if printed.contains("never: ") {
                wrong.push(format!("before `{line}`: {printed}"));
            }
            let block = step.block().and_then(|name| blocks.iter().find(|it| it.name() == name));
            let block = block.with_context(|| format!("no page has the block of: {line}"))?;
            let outcome = match step {
                Step::Show { command, .. } => show(&mut shell, block, command),
                Step::Session { .. } | Step::Run(_) => session(&mut shell, block),
            };
            if let Err(error) = outcome {
                wrong.push(format!("{}: {error:#}\n{printed}", block.name()));
            }
        }
        let printed = shell.run(&piece)?;
        if !printed.trim().is_empty() && file == PRELUDE {
            bail!("{PRELUDE}: {printed}");
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let logs = shell.run("tail -n 20 log.*")?;
    Err(anyhow!("{}\n{logs}", wrong.join("\n\n")))
}

/// Runs the command until its output has the block in it.
fn show(shell: &mut Shell, block: &Block, command: &str) -> Result<()> {
    let lines = block.lines.iter().filter(|line| !line.starts_with("$ "));
    let said = words(&lines.map(|line| format!("{line}\n")).collect::<String>());
    let mut real = String::new();
    let shown = poll_each(PAUSE, command, PATIENCE, || {
        real = shell.run(command)?;
        Ok(has(&words(&real), &said).then_some(()))
    });
    shown.with_context(|| format!("{}\n{real}", difference(&said, &words(&real))))
}

/// Runs each command of the block once, on node 1.
fn session(shell: &mut Shell, block: &Block) -> Result<()> {
    let mut rest = block.lines.iter().peekable();
    while let Some(line) = rest.next() {
        let command = line.strip_prefix("$ ").with_context(|| format!("no command: {line}"))?;
        let mut said = String::new();
        while let Some(line) = rest.next_if(|line| !line.starts_with("$ ")) {
            said.extend([line.as_str(), "\n"]);
        }
        // Here its progress would be on the screen, which a terminal does not show.
        let real = shell.run(&format!("node1 {}", command.replacen("curl ", "curl -s ", 1)))?;
        let (said, done) = (words(&said), words(&real));
        ensure!(said == done, "{command}: {}\n{real}", difference(&said, &done));
    }
    Ok(())
}

cases! {
    #[needs("lab", "bash", "bridge", "curl", "nft", "nsenter", "setpriv")]
    fn operations = play("operations");
    fn handbook = play("handbook");
    fn status = play("status");
    fn disputes = play("disputes");
    fn faults = play("faults");
    fn inspect = play("inspect");
}

#[test]
#[needs("lab", "bash", "nft", "nginx", "nsenter")]
fn doctor() -> Result<()> {
    play("doctor")
}
