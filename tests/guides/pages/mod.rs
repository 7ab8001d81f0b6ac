//! Commands and screens of the documentation, run and compared.
//!
//! Every fenced block of a page has a name: the page, its heading, and its number below that heading, as in
//! `operations.md: Status 1`. A block is run by [`tutorial`] or by a [`scene`], or it is a [`synopsis`], or it stands
//! in [`not_run`] with the reason; the test fails for any other.

mod blocks;
mod compare;
mod not_run;
mod scene;
mod shell;
mod synopsis;
mod tutorial;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use self::blocks::{Block, all};

#[test]
fn every_block_is_run_or_has_a_reason() -> Result<()> {
    let blocks = all()?;
    let names: BTreeSet<String> = blocks.iter().map(Block::name).collect();
    let run: BTreeSet<String> =
        scene::shown()?.into_iter().chain(tutorial::shown(&blocks)).chain(synopsis::shown(&blocks)).collect();
    let listed: BTreeSet<String> = not_run::NOT_RUN.iter().map(|(name, _)| (*name).to_owned()).collect();
    let absent: Vec<_> = run.union(&listed).filter(|name| !names.contains(*name)).collect();
    ensure!(absent.is_empty(), "no page has these blocks any more: {absent:#?}");
    let twice: Vec<_> = run.intersection(&listed).collect();
    ensure!(twice.is_empty(), "these blocks are run, and listed in not_run.rs: {twice:#?}");
    let neither: Vec<_> =
        names.iter().filter(|name| !run.contains(*name) && !listed.contains(*name)).collect();
    ensure!(neither.is_empty(), "run these blocks by a scene, or list them in not_run.rs: {neither:#?}");
    Ok(())
}
