//! The same text read by keepalived: every line begins with an unknown keyword, so both report each of them.

use std::path::Path;
use std::process::Command;

use vrrp_tests::{find, needs};
use vrrp_user::config::Reader;

#[test]
#[needs("keepalived")]
fn the_grammar_is_read_as_keepalived_reads_it() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/compared/words.conf");
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
    let theirs: Vec<&str> = std::iter::once(first).chain(theirs.take_while(|word| *word != first)).collect();
    let ours: Vec<&str> = ours
        .iter()
        .filter_map(|finding| finding.message.split_once("unknown keyword `")?.1.split('`').next())
        .collect();
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 62, "{ours:?}");
}
