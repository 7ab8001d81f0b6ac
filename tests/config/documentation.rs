//! Agreement of `docs/configuration.md` and the parser about the keywords.

use std::path::Path;

use vrrp_user::config::keywords;

#[test]
fn the_tables_of_keywords_are_those_of_the_parser() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let written = std::fs::read_to_string(&path).unwrap();
    let mut current = written.clone();
    for table in keywords() {
        current = replaced(&current, table.block, &table.markdown());
    }
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, &current).unwrap();
    } else {
        assert!(written == current, "docs/configuration.md is behind the parser; run with UPDATE_EXPECTED=1");
    }
}

/// The text, with the table of a block between its marks replaced.
fn replaced(text: &str, block: &str, table: &str) -> String {
    let begin = format!("<!-- keywords: {block} -->\n");
    let end = "<!-- end -->";
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no table for {block}"));
    let (_, after) = rest.split_once(end).unwrap_or_else(|| panic!("the table for {block} has no end"));
    format!("{before}{begin}{table}{end}{after}")
}
