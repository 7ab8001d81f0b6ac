//! Invariants of any text read as a configuration.

use std::collections::HashSet;

use vrrp_conf::{Diagnostic, Reader, Surroundings, explain_text};

/// Reads a text: reading ends, nothing panics, it can be explained, and every finding is unique and points into the
/// text.
pub fn read(text: &str) {
    let findings = match Reader::new(Some("x")).parse("text", text) {
        Ok(loaded) => {
            let explanation = loaded.explain(Surroundings::default());
            assert!(!explain_text(&explanation, true).is_empty());
            loaded.diagnostics
        }
        Err(findings) => findings,
    };
    let lines: Vec<&str> = text.split('\n').collect();
    let mut reported = HashSet::new();
    for finding in &findings {
        let Diagnostic { line, column, message, file, .. } = finding;
        assert_eq!(&**file, "text");
        assert!(!message.is_empty());
        let place = lines.get(*line as usize - 1).map(|line| line.chars().count() + 1);
        assert!(place.is_some_and(|end| (1..=end).contains(&(*column as usize))), "{finding}");
        assert!(reported.insert(finding), "{finding}");
    }
}
