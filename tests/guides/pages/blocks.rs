//! Fenced blocks of the pages.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The pages whose blocks are run, from the root of the project.
pub(super) const PAGES: [&str; 13] = [
    "README.md",
    "docs/tutorial.md",
    "docs/handbook.md",
    "docs/troubleshooting.md",
    "docs/operations.md",
    "docs/configuration.md",
    "docs/doctor.md",
    "docs/packages.md",
    "docs/recipes/compose/README.md",
    "docs/recipes/haproxy/README.md",
    "docs/recipes/nginx/README.md",
    "docs/recipes/postgresql/README.md",
    "docs/recipes/router/README.md",
];

/// Languages of blocks that hold files, not commands or screens.
const FILES: [&str; 5] = ["conf", "dockerfile", "ini", "json", "yaml"];

pub(super) struct Block {
    pub(super) page: String,
    pub(super) heading: String,
    number: usize,
    /// `sh`, `console`, or nothing for a screen.
    pub(super) language: String,
    pub(super) lines: Vec<String>,
}

impl Block {
    pub(super) fn name(&self) -> String {
        format!("{}: {} {}", self.page, self.heading, self.number)
    }

    pub(super) fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All blocks with commands or screens, in the order of the pages.
pub(super) fn all() -> Result<Vec<Block>> {
    let mut all = Vec::new();
    for page in PAGES {
        let text = fs::read_to_string(root().join(page)).context(page)?;
        let page = page.trim_start_matches("docs/");
        all.extend(of(page, &text));
    }
    Ok(all)
}

fn of(page: &str, text: &str) -> Vec<Block> {
    let (mut all, mut heading) = (Vec::new(), "");
    let mut counts = BTreeMap::<&str, usize>::new();
    let mut open: Option<Block> = None;
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                let number = counts.entry(heading).or_default();
                *number += 1;
                open = Some(Block {
                    page: page.to_owned(),
                    heading: heading.to_owned(),
                    number: *number,
                    language: language.to_owned(),
                    lines: Vec::new(),
                });
            }
            (Some(_), Some(_)) => all.extend(open.take()),
            (None, Some(block)) => block.lines.push(line.to_owned()),
            (None, None) => {
                if let Some(text) = line.strip_prefix('#') {
                    heading = text.trim_start_matches('#').trim();
                }
            }
        }
    }
    all.retain(|block: &Block| !FILES.contains(&block.language.as_str()));
    all
}

#[test]
fn a_block_is_named_by_its_heading() {
    let text = "# A\n```sh\nx\n```\n## B\n```\ny\nz\n```\n```yaml\nq\n```\n```console\n$ w\n```\n";
    let names: Vec<_> = of("p.md", text).iter().map(Block::name).collect();
    assert_eq!(names, ["p.md: A 1", "p.md: B 1", "p.md: B 3"]);
}
