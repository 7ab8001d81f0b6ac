//! `docs`: the documentation as a site, and the check of its pages.
//!
//! Enters: the Markdown files of the project, in the order of docs/SUMMARY.md. Leaves: HTML under `target/site`, made
//! by mdBook. Links to files that are not in the site, such as sources, become plain text there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::cargo::{root, run, show, target};
use crate::setup;

/// Folder of the pages.
const DOCS: &str = "docs";
/// Lists the pages, for mdBook.
const SUMMARY: &str = "SUMMARY.md";

/// A page by its path from the root of the workspace.
type Pages = BTreeMap<PathBuf, String>;

/// Makes the site.
pub(crate) fn docs() -> Result<()> {
    check()?;
    let mdbook = setup::mdbook()?;
    let (root, site) = (root()?, target()?.join("site"));
    let staged = target()?.join("book");
    if staged.exists() {
        fs::remove_dir_all(&staged).with_context(|| staged.display().to_string())?;
    }
    let source = staged.join("src");
    let pages = pages(&root)?;
    let others = files(&root, &root.join(DOCS))?
        .into_iter()
        .filter(|path| path.extension().is_none_or(|it| it != "md"));
    let others: BTreeSet<PathBuf> = others.collect();
    for (path, text) in &pages {
        let text = if *path == Path::new(DOCS).join(SUMMARY) {
            continue;
        } else {
            without_links(text, |target| {
                let there = beside(path, target);
                pages.contains_key(&there) || others.contains(&there)
            })
        };
        write(&source.join(path), &text)?;
    }
    for path in &others {
        let to = source.join(path);
        fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        fs::copy(root.join(path), &to).with_context(|| path.display().to_string())?;
    }
    let summary = pages.get(&Path::new(DOCS).join(SUMMARY)).context("docs/SUMMARY.md")?;
    write(&source.join(SUMMARY), &moved(summary))?;
    fs::copy(root.join(DOCS).join("book.toml"), staged.join("book.toml")).context("docs/book.toml")?;
    let mut build = std::process::Command::new(&mdbook);
    build.arg("build").arg("--dest-dir").arg(&site).arg(&staged);
    let line = show(&build);
    run(build).context(line)?;
    println!("{}", site.join("index.html").display());
    Ok(())
}

/// Each page is in the summary once, and each link between pages leads to a file and a heading.
pub(crate) fn check() -> Result<()> {
    let root = root()?;
    let pages = pages(&root)?;
    let summary = Path::new(DOCS).join(SUMMARY);
    let listed: Vec<PathBuf> =
        links(pages.get(&summary).context("docs/SUMMARY.md")?).map(|link| beside(&summary, link)).collect();
    let mut faults = Vec::new();
    for path in pages.keys().filter(|path| **path != summary) {
        match listed.iter().filter(|listed| *listed == path).count() {
            1 => {}
            0 => faults.push(format!("docs/SUMMARY.md lacks {}", path.display())),
            _ => faults.push(format!("docs/SUMMARY.md has {} twice", path.display())),
        }
    }
    for (path, text) in &pages {
        for link in links(text) {
            faults
                .extend(fault(&root, &pages, path, link).map(|fault| format!("{}: {fault}", path.display())));
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

fn fault(root: &Path, pages: &Pages, page: &Path, link: &str) -> Option<String> {
    let (target, heading) = link.split_once('#').unwrap_or((link, ""));
    let there = if target.is_empty() { page.to_owned() } else { beside(page, target) };
    if !root.join(&there).exists() {
        return Some(format!("{link} leads to no file"));
    }
    let text = pages.get(&there).filter(|_| !heading.is_empty())?;
    let found = headings(text).any(|it| it == heading);
    (!found).then(|| format!("{link} leads to no heading"))
}

/// All Markdown files of the documentation.
fn pages(root: &Path) -> Result<Pages> {
    let top = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(PathBuf::from);
    let docs = files(root, &root.join(DOCS))?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|it| it == "md"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(root.join(&path)).with_context(|| path.display().to_string())?;
        Ok((path, text))
    };
    top.into_iter().chain(docs).map(read).collect()
}

/// All files below a folder, by their paths from the root.
fn files(root: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(root, &path)?);
        } else {
            all.push(path.strip_prefix(root)?.to_owned());
        }
    }
    Ok(all)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(path.parent().context("a file has a folder")?)?;
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// Path from the root of what a page links to.
fn beside(page: &Path, target: &str) -> PathBuf {
    let target = target.split('#').next().unwrap_or_default();
    let mut path = page.parent().map(PathBuf::from).unwrap_or_default();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

/// Targets of the links to files, outside of code.
fn links(text: &str) -> impl Iterator<Item = &str> {
    prose(text).flat_map(|line| {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets.filter(|target| !target.contains("://") && !target.is_empty())
    })
}

/// Lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Anchors of the headings, as mdBook and forges make them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter(|line| line.starts_with('#')).map(|line| {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
        kept.map(|it| if it == ' ' { '-' } else { it }).collect()
    })
}

/// The text with links that do not `lead` anywhere replaced by their words.
fn without_links(text: &str, leads: impl Fn(&str) -> bool) -> String {
    let mut left = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let (Some((start, words)), Some((target, end))) = (before.rsplit_once('['), after.split_once(')'))
        else {
            break;
        };
        let stays = target.contains("://") || target.starts_with('#') || leads(target);
        let link = if stays { format!("[{words}]({target})") } else { words.to_owned() };
        left.push_str(start);
        left.push_str(&link);
        rest = end;
    }
    left + rest
}

/// The summary as seen from the root.
fn moved(summary: &str) -> String {
    let mut moved = String::new();
    let mut rest = summary;
    while let Some((before, after)) = rest.split_once("](") {
        moved.push_str(before);
        moved.push_str("](");
        match after.strip_prefix("../") {
            Some(after) => rest = after,
            None => {
                moved.push_str("docs/");
                rest = after;
            }
        }
    }
    moved + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_from_their_page() {
        let page = Path::new("docs/recipes/README.md");
        assert_eq!(beside(page, "nginx/README.md"), Path::new("docs/recipes/nginx/README.md"));
        assert_eq!(beside(page, "../../README.md#use"), Path::new("README.md"));
        assert_eq!(moved("[A](a.md)\n[B](../B.md)"), "[A](docs/a.md)\n[B](B.md)");
    }

    #[test]
    fn links_to_sources_become_words() {
        let text = "See [the map](../src/map.rs) and [how](how.md#so), [web](https://a.b).";
        let there = |target: &str| target.starts_with("how");
        assert_eq!(without_links(text, there), "See the map and [how](how.md#so), [web](https://a.b).");
    }

    #[test]
    fn links_and_headings_in_code_do_not_count() {
        let text = "# One `two`, three\n```sh\n# no heading\n[a](b)\n```\n[c](d.md)\n";
        assert_eq!(links(text).collect::<Vec<_>>(), ["d.md"]);
        assert_eq!(headings(text).collect::<Vec<_>>(), ["one-two-three"]);
    }

    #[test]
    fn a_link_to_nothing_is_a_fault() -> Result<()> {
        let root = root()?;
        let pages = pages(&root)?;
        let page = Path::new("docs/operations.md");
        for wrong in ["nowhere.md", "operations.md#no-such-heading", "#no-such-heading"] {
            ensure!(fault(&root, &pages, page, wrong).is_some(), "{wrong} is no fault");
        }
        ensure!(fault(&root, &pages, page, "failures.md").is_none());
        Ok(())
    }
}
