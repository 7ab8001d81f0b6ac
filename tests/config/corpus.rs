//! Every file of the corpus, with its expected findings in `NAME.expected`.

use std::path::{Path, PathBuf};

use vrrp_user::config::{self, Reader, Severity};

#[test]
fn the_guides_configurations_are_accepted() {
    assert_eq!(each("guides", Verdict::Accepted), 7);
}

#[test]
fn valid_configurations_are_accepted_and_their_traps_reported() {
    assert_eq!(each("valid", Verdict::Accepted), 5);
}

#[test]
fn broken_configurations_are_refused_with_places() {
    assert_eq!(each("broken", Verdict::Refused), 14);
}

#[test]
fn the_example_configuration_is_clean() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vrrp-user/dist/vrrpx.conf");
    let loaded = config::load(&path).unwrap();
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.config.instances.len(), 1);
}

#[derive(Debug, Eq, PartialEq)]
enum Verdict {
    Accepted,
    Refused,
}

/// Compares all files of a directory and returns their number.
fn each(directory: &str, expected: Verdict) -> usize {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(directory);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    files.sort();
    for path in &files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let (verdict, findings) = match Reader::new(Some("node1")).parse(name, &text) {
            Ok(loaded) => (Verdict::Accepted, loaded.diagnostics),
            Err(findings) => (Verdict::Refused, findings),
        };
        let shown: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        assert_eq!(verdict, expected, "{name}:\n{shown}");
        assert_eq!(
            findings.iter().any(|finding| finding.severity == Severity::Error),
            verdict == Verdict::Refused
        );
        compare(&path.with_extension("expected"), &shown);
    }
    files.len()
}

pub(crate) fn compare(path: &Path, shown: &str) {
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(path, shown).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(shown, expected, "{}", path.display());
}
