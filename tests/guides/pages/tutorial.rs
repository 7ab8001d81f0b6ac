//! The tutorial as a script: its commands in one shell, in order, each with the screen that follows it.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use vrrp_tests::needs;

use super::blocks::{Block, all};
use super::compare::{difference, words};
use super::shell::Shell;

/// The heading behind the last block that is run here; the rest is for two hosts.
const LAST: &str = "Clean up";
const FOLDER: &str = "/run/tut";
const NAMESPACES: [&str; 3] = ["tut1", "tut2", "tutc"];

/// The blocks that are run here.
fn of_one_machine(blocks: &[Block]) -> Vec<&Block> {
    let is_after = |block: &&Block| block.heading != "Install";
    let mut part: Vec<&Block> =
        blocks.iter().filter(|it| it.page == "tutorial.md").skip_while(|it| !is_after(it)).collect();
    let end = part.iter().rposition(|it| it.heading == LAST).map_or(0, |at| at + 1);
    part.truncate(end);
    part
}

pub(super) fn shown(blocks: &[Block]) -> Vec<String> {
    of_one_machine(blocks).into_iter().map(Block::name).collect()
}

/// Removes what a killed run has left, and what a failed one leaves.
struct Cleanup;

impl Cleanup {
    fn clean() {
        for name in NAMESPACES {
            let pids = Command::new("ip").args(["netns", "pids", name]).output();
            let pids = pids.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default();
            for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
                let _gone = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
            let _absent = Command::new("ip").args(["netns", "delete", name]).output();
        }
        let _absent = fs::remove_dir_all(FOLDER);
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        Self::clean();
    }
}

#[test]
#[needs("lab", "bash", "curl", "nsenter", "ping", "python3")]
fn the_tutorial_prints_what_it_says() -> Result<()> {
    Cleanup::clean();
    let _cleanup = Cleanup;
    let blocks = all()?;
    let mut shell = Shell::start(&std::env::temp_dir())?;
    let (mut printed, mut wrong) = (None, Vec::new());
    for block in of_one_machine(&blocks) {
        if block.language == "sh" {
            let text = shell.run(&block.text()).with_context(|| block.name())?;
            printed = Some((block.name(), text));
            continue;
        }
        let (commands, real) =
            printed.take().with_context(|| format!("{} follows no command", block.name()))?;
        let (said, done) = (words(&block.text()), words(&real));
        if said != done {
            wrong.push(format!("{}, of {commands}: {}\n{real}", block.name(), difference(&said, &done)));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    Ok(())
}
