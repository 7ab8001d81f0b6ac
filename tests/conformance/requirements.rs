//! `docs/requirements.md` against the project: the page has a line for each number that is cited, each of its numbers
//! is cited, and the tests that it names exist.
//!
//! A number is a letter and two digits. It is cited by a comment line, by a string that contains only numbers, by the
//! name of a function that begins with it, and by the header of a row.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../docs/requirements.md");

const CODE: [&str; 3] = ["vrrp-ebpf/src", "vrrp-user", "tests"];

/// This file, whose numbers only test the parser.
const SELF: &str = "conformance/requirements.rs";

/// Folder of the tests that "row" refers to.
const ROWS: &str = "tests/conformance/rows";

struct Line {
    number: &'static str,
    /// Names in backticks in the last column, and whether the column has "row".
    tests: Vec<&'static str>,
    is_row: bool,
}

struct File {
    /// Path from the root of the project.
    path: PathBuf,
    text: String,
}

#[test]
fn each_cited_number_is_on_the_page_and_each_number_is_cited() {
    let mut cited = BTreeMap::<String, BTreeSet<PathBuf>>::new();
    for File { path, text } in code() {
        for number in text.lines().flat_map(citations) {
            cited.entry(number).or_default().insert(path.clone());
        }
    }
    let page = page();
    let explained: BTreeSet<_> = page.iter().map(|line| line.number).collect();
    assert_eq!(explained.len(), page.len(), "a number has two lines");
    for line in &page {
        assert!(cited.contains_key(line.number), "{} is not cited", line.number);
        let has_row = cited[line.number].iter().any(|path| path.starts_with(ROWS));
        assert_eq!(line.is_row, has_row, "{} and its row", line.number);
    }
    cited.retain(|number, _| !explained.contains(&**number));
    assert!(cited.is_empty(), "not in docs/requirements.md: {cited:?}");
}

#[test]
fn the_tests_named_on_the_page_exist() {
    let code = code();
    for Line { number, tests, is_row } in page() {
        assert!(is_row || !tests.is_empty(), "no test shows {number}");
        for test in tests {
            let (places, function) = test.rsplit_once("::").unwrap();
            let is_there = |file: &File| {
                let parts: Vec<_> = file.path.iter().filter_map(|part| Path::new(part).file_stem()).collect();
                places.split("::").all(|place| parts.contains(&OsStr::new(place)))
                    // Also as one of `cases!`.
                    && ["(", " ="].iter().any(|after| file.text.contains(&format!("fn {function}{after}")))
            };
            assert!(code.iter().any(is_there), "{number}: there is no {test}");
        }
    }
}

#[test]
fn citations_are_distinguished_from_other_words() {
    let rows: [(&str, &[&str]); 12] = [
        ("    /// Q01, Q02: both.", &["Q01", "Q02"]),
        ("//! (Q01)", &["Q01"]),
        ("    // Q1, Q001, XQ01, Q01x, q01 and $Q01 are none.", &[]),
        ("Q01: a Backup stops", &["Q01"]),
        ("    Q01: is none", &[]),
        ("    (\"Q01\", 1),", &["Q01"]),
        ("    (Reject::Length, \"Q01, Q02\", |case| {", &["Q01", "Q02"]),
        ("    \"Q01 and Q02\", \"${Q01}\", Q01", &[]),
        ("    fn q01_is_kept() {", &["Q01"]),
        ("async fn q01_is_kept() {", &["Q01"]),
        ("    fn q1_or_q01() {}", &[]),
        ("    q01_is_kept();", &[]),
    ];
    for (line, expected) in rows {
        assert_eq!(citations(line), expected, "{line}");
    }
}

fn page() -> Vec<Line> {
    PAGE.lines().filter_map(line).collect()
}

/// A line of a table, if its first cell is a number.
fn line(text: &'static str) -> Option<Line> {
    let cells: Vec<_> = text.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
    let number = cells.first().copied().filter(|cell| is_number(cell))?;
    let [_, _source, _required, _here, shown] = cells[..] else {
        panic!("{number} has {} cells", cells.len())
    };
    Some(Line {
        number,
        tests: shown.split('`').skip(1).step_by(2).collect(),
        is_row: shown.split(", ").any(|part| part == "row"),
    })
}

/// All sources but this file.
fn code() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    let mut folders: Vec<_> = CODE.map(|folder| root.join(folder)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension() == Some(OsStr::new("rs")) && !path.ends_with(SELF) {
                let text = fs::read_to_string(&path).unwrap();
                files.push(File { path: path.strip_prefix(&root).unwrap().into(), text });
            }
        }
    }
    files
}

fn citations(line: &str) -> Vec<String> {
    let code = line.trim_start();
    if code.starts_with("//") {
        let words = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '$');
        return words.filter(|word| is_number(word)).map(str::to_owned).collect();
    }
    if let Some((number, _)) = line.split_once(": ").filter(|(number, _)| is_number(number)) {
        return vec![number.to_owned()];
    }
    let strings = code.split('"').skip(1).step_by(2);
    let mut numbers: Vec<_> = strings
        .filter(|string| string.split(", ").all(is_number))
        .flat_map(|string| string.split(", "))
        .map(str::to_owned)
        .collect();
    let function = code.split_once("fn ").and_then(|(_, name)| name.split_once('_'));
    let number = function.map(|(beginning, _)| beginning.to_ascii_uppercase());
    numbers.extend(number.filter(|number| is_number(number)));
    numbers
}

fn is_number(word: &str) -> bool {
    matches!(word.as_bytes(), [b'A'..=b'Z', b'0'..=b'9', b'0'..=b'9'])
}
