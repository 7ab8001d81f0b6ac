//! Synopses: the commands and options that they name are those of the program, all of them.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use clap::Command;
use vrrp_user::cli::commands;

use super::blocks::{Block, all};

/// Options that every command has, and the synopses leave out.
const COMMON: [&str; 2] = ["help", "version"];

/// Commands without options of clap.
const OTHERS: [&str; 2] = ["help", "keepalived"];

/// Blocks that begin with a command and its options in brackets.
fn is_synopsis(block: &Block) -> bool {
    let first = block.lines.first().map(String::as_str).unwrap_or_default();
    first.starts_with("vrrpx ") && first.contains('[') && !first.contains('#')
}

pub(super) fn shown(blocks: &[Block]) -> Vec<String> {
    let mut shown: Vec<String> = blocks.iter().filter(|it| is_synopsis(it)).map(Block::name).collect();
    // Without options in its first line.
    shown.extend(blocks.iter().map(Block::name).filter(|name| name == "doctor.md: vrrpx tune 1"));
    shown.sort();
    shown.dedup();
    shown
}

/// Each command of a synopsis with its long options.
fn written(block: &Block) -> Vec<(String, BTreeSet<String>)> {
    let mut all: Vec<(String, BTreeSet<String>)> = Vec::new();
    for line in &block.lines {
        if let Some(name) = line.strip_prefix("vrrpx ").and_then(|it| it.split_whitespace().next()) {
            all.push((name.to_owned(), BTreeSet::new()));
        }
        let words = line.split(|it: char| it.is_whitespace() || "[]|".contains(it));
        let options = words.filter_map(|word| word.strip_prefix("--")).map(str::to_owned);
        if let Some((_, known)) = all.last_mut() {
            known.extend(options);
        }
    }
    all
}

fn options(command: &Command) -> BTreeSet<String> {
    let options = command.get_arguments().filter(|it| !it.is_hide_set()).filter_map(|it| it.get_long());
    options.filter(|it| !COMMON.contains(it)).map(str::to_owned).collect()
}

#[test]
fn synopses_are_those_of_the_program() -> Result<()> {
    let program = commands();
    let blocks = all()?;
    let mut named = BTreeSet::new();
    for block in blocks.iter().filter(|it| shown(&blocks).contains(&it.name())) {
        for (name, written) in written(block) {
            let command = program.find_subcommand(&name).with_context(|| format!("no command {name}"))?;
            let real = if OTHERS.contains(&name.as_str()) { BTreeSet::new() } else { options(command) };
            ensure!(written == real, "{}: {name}: written {written:?}, real {real:?}", block.name());
            if block.page == "operations.md" {
                named.insert(name);
            }
        }
    }
    let visible = program.get_subcommands().filter(|it| !it.is_hide_set()).map(|it| it.get_name().to_owned());
    let missing: Vec<_> =
        visible.filter(|name| !named.contains(name) && !OTHERS.contains(&name.as_str())).collect();
    ensure!(missing.is_empty(), "commands without a synopsis: {missing:?}");
    Ok(())
}
