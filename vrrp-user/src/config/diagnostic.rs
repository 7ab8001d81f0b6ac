//! What is wrong with a file, where, and what to write instead.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::source::{Position, Sources};

/// One finding, for a person to read.
///
/// Displayed as `file:line:column: error: message`, with a second line `help: …` where there is advice.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The file as it was named.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    pub message: String,
    pub help: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The configuration can be used; something in it does less, or other, than its author may think.
    Warning,
    /// The configuration is refused as a whole.
    Error,
    /// The file itself could not be read.
    Unreadable,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error | Self::Unreadable => "error",
        })
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, file, line, column, message, help } = self;
        let message = Printable(message);
        write!(f, "{file}:{line}:{column}: {severity}: {message}")?;
        match help {
            Some(help) => write!(f, "\nhelp: {}", Printable(help)),
            None => Ok(()),
        }
    }
}

/// A text that may quote the file: what would move the cursor or hide letters of a terminal is escaped, and a quotation
/// without end is cut.
pub(super) struct Printable<'a>(pub(super) &'a str);

impl Printable<'_> {
    const MOST: usize = 400;
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars().take(Self::MOST) {
            match letter.is_control() {
                true => write!(f, "{}", letter.escape_debug())?,
                false => f.write_char(letter)?,
            }
        }
        if self.0.chars().nth(Self::MOST).is_some() { f.write_char('…') } else { Ok(()) }
    }
}

/// Findings in the making: positions are still numbers, and repeated ones are counted.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
    /// Index of the first finding of a kind that is told only once.
    counted: HashMap<&'static str, usize>,
    errors: usize,
}

#[derive(Debug)]
pub(super) struct Finding {
    severity: Severity,
    at: Position,
    message: String,
    help: Option<String>,
    /// Later findings of the same kind.
    more: usize,
}

impl Finding {
    pub(super) fn help(&mut self, text: impl Into<String>) {
        self.help = Some(text.into());
    }

    pub(super) fn help_maybe(&mut self, text: Option<String>) {
        self.help = text;
    }
}

impl Report {
    pub(super) fn error(&mut self, at: Position, message: impl Into<String>) -> &mut Finding {
        self.add(Severity::Error, at, message.into())
    }

    pub(super) fn warning(&mut self, at: Position, message: impl Into<String>) -> &mut Finding {
        self.add(Severity::Warning, at, message.into())
    }

    pub(super) fn unreadable(&mut self, at: Position, message: impl Into<String>) -> &mut Finding {
        self.add(Severity::Unreadable, at, message.into())
    }

    /// A warning that is told where it is met first; later ones of the same `kind` only count.
    pub(super) fn warning_once(&mut self, kind: &'static str, at: Position, message: impl Into<String>) {
        match self.counted.get(kind).and_then(|index| self.findings.get_mut(*index)) {
            Some(first) => first.more += 1,
            None => {
                self.counted.insert(kind, self.findings.len());
                self.warning(at, message);
            }
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// In the order of the files and lines. What is read several times, by a sequence or a definition, is told once.
    pub(super) fn into_diagnostics(mut self, sources: &Sources) -> Vec<Diagnostic> {
        self.findings.sort_by_key(|finding| finding.at);
        let mut told = HashSet::new();
        self.findings
            .into_iter()
            .map(|finding| finding.into_diagnostic(sources))
            .filter(|diagnostic| told.insert(diagnostic.clone()))
            .collect()
    }

    fn add(&mut self, severity: Severity, at: Position, message: String) -> &mut Finding {
        self.errors += usize::from(severity > Severity::Warning);
        self.findings.push_mut(Finding { severity, at, message, help: None, more: 0 })
    }
}

impl Finding {
    fn into_diagnostic(self, sources: &Sources) -> Diagnostic {
        let Self { severity, at, mut message, help, more } = self;
        if more > 0 {
            message.push_str(&format!(" (and {more} more)"));
        }
        if let Some(origin) = sources.origin(at) {
            message.push_str(&format!(" (from {origin})"));
        }
        Diagnostic { severity, file: sources.name(at.file), line: at.line, column: at.column, message, help }
    }
}

/// Help that names the known word nearest to an unknown one, where one is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const NEAR: f64 = 0.7;
    // Comparing takes time in proportion to the length; no keyword is this long.
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    known
        .into_iter()
        .map(|candidate| {
            (strsim::normalized_damerau_levenshtein(&lower, &candidate.to_ascii_lowercase()), candidate)
        })
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?` for the nearest of the known words.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|known| format!("did you mean `{known}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_near_and_another_word_is_not() {
        let known = ["priority", "interface", "virtual_ipaddress"];
        assert_eq!(nearest("prioirty", known), Some("priority"));
        assert_eq!(nearest("virtual_ipadress", known), Some("virtual_ipaddress"));
        assert_eq!(nearest("Interface", known), Some("interface"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }

    #[test]
    fn display_is_one_line_and_the_help_another() {
        let mut diagnostic = Diagnostic {
            severity: Severity::Error,
            file: "a.conf".into(),
            line: 3,
            column: 7,
            message: "no".to_owned(),
            help: None,
        };
        assert_eq!(diagnostic.to_string(), "a.conf:3:7: error: no");
        diagnostic.help = Some("yes".to_owned());
        assert_eq!(diagnostic.to_string(), "a.conf:3:7: error: no\nhelp: yes");
        diagnostic.message = "unknown `\u{1b}[2Jä\r\n`".to_owned();
        assert_eq!(diagnostic.to_string(), "a.conf:3:7: error: unknown `\\u{1b}[2Jä\\r\\n`\nhelp: yes");
        diagnostic.message = "x".repeat(1_000_000);
        assert!(diagnostic.to_string().len() < 500);
    }

    #[test]
    fn repeated_warnings_are_counted_at_the_first() {
        let mut sources = Sources::default();
        let file = sources.add("a.conf".into());
        let at = |line| Position { line, ..Position::start_of(file) };
        let mut report = Report::default();
        report.warning_once("mail", at(2), "no mail");
        report.warning_once("mail", at(5), "no mail");
        report.error(at(1), "first in the file");
        assert!(report.has_errors());
        let text: Vec<String> = report.into_diagnostics(&sources).iter().map(Diagnostic::to_string).collect();
        assert_eq!(
            text,
            ["a.conf:1:1: error: first in the file", "a.conf:2:1: warning: no mail (and 1 more)"]
        );
    }
}
