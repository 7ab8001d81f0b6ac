//! The same text read by keepalived: every line begins with an unknown keyword, so both report each of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use vrrp_tests::{find, needs};
use vrrp_user::config::Reader;

#[test]
#[needs("keepalived")]
fn the_grammar_is_read_as_keepalived_reads_it() {
    let [ours, theirs] = unknown("words.conf");
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 72, "{ours:?}");
}

/// Definitions, conditions and patterns of one file in others.
#[test]
#[needs("keepalived")]
fn included_files_are_read_as_keepalived_reads_them() {
    // Findings are in the order of their files.
    let [ours, theirs] = unknown("includes.conf").map(BTreeSet::from_iter);
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 29, "{ours:?}");
}

/// The unknown keywords that both report.
fn unknown(name: &str) -> [Vec<String>; 2] {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/compared").join(name);
    let theirs = Command::new(find("keepalived").unwrap())
        .args(["--config-test", "--log-console", "--config-id", "main", "--use-file"])
        .arg(&file)
        .output()
        .unwrap();
    let ours = Reader::new(Some("main")).load(&file).unwrap_err();
    let theirs = String::from_utf8_lossy(&theirs.stdout) + String::from_utf8_lossy(&theirs.stderr);
    let mut theirs =
        theirs.lines().filter_map(|line| line.split_once("Unknown keyword '")?.1.strip_suffix('\''));
    // Each of keepalived's processes reads the file again.
    let first = theirs.next().unwrap();
    let theirs = std::iter::once(first).chain(theirs.take_while(|word| *word != first));
    let ours = ours
        .iter()
        .filter_map(|finding| finding.message.split_once("unknown keyword `")?.1.split('`').next());
    [ours.map(str::to_owned).collect(), theirs.map(str::to_owned).collect()]
}
