//! Findings about a file: fault, place, remedy.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

use super::source::{Position, Sources};
use super::tolerance::{Tolerance, digest};
use super::tree::Statement;
use super::words::words;

/// One finding, for the user.
///
/// Displayed as `file:line:column: error: message`, with a second line `help: …` if there is advice.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The file, as given.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    pub message: String,
    pub help: Option<String>,
    /// A warning about something valid that keepalived does too.
    pub is_harmless: bool,
    /// A line that is left out, on which the election may depend.
    pub elects: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The configuration can be used; something in it may not do what its author expects.
    #[default]
    Warning,
    /// The line is ignored, as keepalived does; the rest of the configuration is used.
    LeftOut,
    /// The configuration is refused as a whole.
    Error,
    /// The file itself could not be read.
    Unreadable,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::LeftOut => "left out",
            Self::Error | Self::Unreadable => "error",
        })
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, file, line, column, message, help, .. } = self;
        let message = Printable(message);
        match severity {
            // Of the file as a whole.
            Severity::Unreadable => write!(f, "{file}: {severity}: {message}")?,
            _ => write!(f, "{file}:{line}:{column}: {severity}: {message}")?,
        }
        match help {
            Some(help) => write!(f, "\nhelp: {}", Printable(help)),
            None => Ok(()),
        }
    }
}

/// A text that may quote the file: control characters, which could steer the terminal, are escaped, and an overlong
/// quotation is cut.
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

/// Most findings kept of each severity: a broken file has no end of them, and the first ones are fixed first.
const KEPT_MAX: usize = 100;

/// Bytes kept of a message, which may quote a word of any length.
const MESSAGE_MAX: usize = 4 * Printable::MOST;

/// Follows the message of a left-out line that the election may depend on.
const ELECTS: &str = "; this may change who is master";

/// A block, and whether a keyword belongs to it.
pub(super) type Home = (&'static str, fn(&str) -> bool);

/// Findings being collected: positions are still numbers, and repeated findings are counted.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
    /// Index of the first finding of each kind that is reported only once.
    counted: HashMap<&'static str, usize>,
    errors: usize,
    /// Errors and left-out words so far.
    faults: usize,
    /// Findings that are kept: a sequence or a definition may be read several times.
    reported: HashSet<(Severity, Position, String)>,
    kept: BTreeMap<Severity, usize>,
    /// Place of the first finding beyond [`KEPT_MAX`].
    more: BTreeMap<Severity, Position>,
    /// The latest finding is the last one of `findings`.
    latest_is_kept: bool,
    /// Receives the help of findings that are not kept.
    dropped: Finding,
    tolerance: Tolerance,
    /// Digests of the findings left out.
    left_out: HashSet<u64>,
    /// Lines after a brace that keepalived ignores: for the enclosing block, the one enclosing that, and so on.
    pub(super) moved: VecDeque<Vec<Statement>>,
    /// For the help with a keyword in the wrong block.
    pub(super) homes: &'static [Home],
}

#[derive(Debug, Default)]
pub(super) struct Finding {
    severity: Severity,
    at: Position,
    message: String,
    help: Option<String>,
    /// Later findings of the same kind.
    more: usize,
    is_kept: bool,
    /// It is left out, and the election may depend on it.
    elects: bool,
    is_harmless: bool,
    /// The cause of others.
    is_first: bool,
}

impl Finding {
    pub(super) fn help(&mut self, text: impl Into<String>) {
        self.help = Some(text.into());
    }

    pub(super) fn help_maybe(&mut self, text: Option<String>) {
        self.help = text;
    }

    pub(super) fn is_left_out(&self) -> bool {
        self.is_kept && self.severity == Severity::LeftOut
    }

    /// Marks a left-out line that the election may depend on; it is reported first.
    pub(super) fn elects(&mut self, elects: bool) -> &mut Self {
        if elects && self.severity == Severity::LeftOut && !self.elects {
            self.elects = true;
            self.message.push_str(ELECTS);
        }
        self
    }

    /// Marks the cause of other findings; it is reported before them.
    pub(super) fn first(&mut self) -> &mut Self {
        self.is_first = true;
        self
    }

    /// Marks a warning for which `--strict` does not refuse the file.
    pub(super) fn harmless(&mut self) -> &mut Self {
        self.is_harmless = true;
        self
    }

    /// Help that is costly to find: `find` runs only if the finding is kept.
    pub(super) fn help_with(&mut self, find: impl FnOnce() -> Option<String>) {
        if self.is_kept {
            self.help = find();
        }
    }
}

impl Report {
    pub(super) fn new(tolerance: Tolerance) -> Self {
        Self { tolerance, ..Self::default() }
    }

    /// A line that keepalived ignores: left out, or an error, by the tolerance.
    pub(super) fn left_out(&mut self, at: Position, message: impl Into<String>) -> &mut Finding {
        let message = message.into();
        if !self.tolerance.leaves_out(&message) {
            return self.error(at, message);
        }
        self.left_out.insert(digest(&message));
        self.add(Severity::LeftOut, at, message)
    }

    /// Whether wrong lines are left out.
    pub(super) fn is_tolerant(&self) -> bool {
        self.tolerance != Tolerance::Strict
    }

    /// The tolerance for the next reading of the same file.
    pub(super) fn known(&self) -> Tolerance {
        match &self.tolerance {
            Tolerance::Strict => Tolerance::Strict,
            _ => Tolerance::Known(Arc::new(self.left_out.clone())),
        }
    }

    pub(super) fn error(&mut self, at: Position, message: impl Into<String>) -> &mut Finding {
        self.add(Severity::Error, at, message.into())
    }

    pub(super) fn warning(&mut self, at: Position, message: impl Into<String>) -> &mut Finding {
        self.add(Severity::Warning, at, message.into())
    }

    pub(super) fn unreadable(&mut self, at: Position, message: impl Into<String>) -> &mut Finding {
        self.add(Severity::Unreadable, at, message.into())
    }

    /// A warning reported at its first place; later ones of the same `kind` are only counted.
    pub(super) fn warning_once(
        &mut self,
        kind: &'static str,
        at: Position,
        message: impl Into<String>,
    ) -> &mut Finding {
        let index = self.counted.get(kind).copied().unwrap_or(self.findings.len());
        if let Some(first) = self.findings.get_mut(index) {
            first.more += 1;
        } else if self.warning(at, message).is_kept {
            self.counted.insert(kind, index);
        }
        self.findings.get_mut(index).unwrap_or(&mut self.dropped)
    }

    /// Gives the latest finding its help, if it is a line that is left out.
    pub(super) fn help_last(&mut self, text: String) {
        let is_kept = self.latest_is_kept;
        if let Some(last) = self.findings.last_mut().filter(|last| is_kept && last.is_left_out()) {
            last.help(text);
        }
    }

    /// Whether nothing is wrong.
    pub(super) fn is_clean(&self) -> bool {
        !self.has_errors() && self.left_out.is_empty()
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// Errors and left-out words so far: more after a line than before it if something in the line is wrong.
    pub(super) fn faults(&self) -> usize {
        self.faults
    }

    /// How many findings are kept so far.
    pub(super) fn count(&self) -> usize {
        self.findings.len()
    }

    /// Whether one of these findings refuses a line of this keyword. If the line was left out, the finding becomes an
    /// error: the block cannot be used without it.
    pub(super) fn refuses(&mut self, findings: Range<usize>, keyword: &str) -> bool {
        let quoted = format!("`{keyword}` ");
        let of_block = self.findings.get_mut(findings).unwrap_or_default();
        let is_it = |it: &&mut Finding| it.severity >= Severity::LeftOut && it.message.starts_with(&quoted);
        let Some(finding) = of_block.iter_mut().rfind(is_it) else { return false };
        if finding.severity == Severity::LeftOut {
            (finding.severity, finding.elects) = (Severity::Error, false);
            finding.message.truncate(finding.message.trim_end_matches(ELECTS).len());
            self.errors += 1;
        }
        true
    }

    /// Whether no further error would be shown.
    pub(super) fn is_full(&self) -> bool {
        self.more.keys().any(|severity| *severity >= Severity::Error)
    }

    /// Causes of others first, then findings that may change the master, then the rest, each in the order of files and
    /// lines; last, a note if there are more. A line read several times, by a sequence or a definition, is reported
    /// once.
    pub(super) fn into_diagnostics(mut self, sources: &Sources) -> Vec<Diagnostic> {
        self.findings.sort_by_key(|finding| (!finding.is_first, !finding.elects, finding.at));
        let more = self.more.into_iter().rev().map(|(severity, at)| Finding {
            severity,
            at,
            message: match severity {
                Severity::LeftOut => {
                    format!("more than {KEPT_MAX} lines are left out; from here on they are not shown")
                }
                _ => format!("more than {KEPT_MAX} {severity}s; from here on they are not shown"),
            },
            ..Finding::default()
        });
        let mut reported = HashSet::new();
        self.findings
            .into_iter()
            .chain(more)
            .map(|finding| finding.into_diagnostic(sources))
            .filter(|diagnostic| reported.insert(diagnostic.clone()))
            .collect()
    }

    fn add(&mut self, severity: Severity, at: Position, mut message: String) -> &mut Finding {
        self.errors += usize::from(severity >= Severity::Error);
        self.faults += usize::from(severity >= Severity::LeftOut);
        message = words(message);
        message.truncate(message.floor_char_boundary(MESSAGE_MAX));
        self.latest_is_kept = false;
        let kept = self.kept.entry(severity).or_default();
        if *kept >= KEPT_MAX {
            if !self.reported.contains(&(severity, at, message)) {
                self.more.entry(severity).or_insert(at);
            }
            return &mut self.dropped;
        }
        let is_kept = self.reported.insert((severity, at, message.clone()));
        if !is_kept {
            return &mut self.dropped;
        }
        *kept += 1;
        self.latest_is_kept = true;
        self.findings.push_mut(Finding {
            severity,
            at,
            message,
            help: None,
            more: 0,
            is_kept,
            ..Finding::default()
        })
    }
}

impl Finding {
    fn into_diagnostic(self, sources: &Sources) -> Diagnostic {
        let Self { severity, at, mut message, help, more, is_harmless, elects, .. } = self;
        if more > 0 {
            message.push_str(&format!(" (and {more} more)"));
        }
        if let Some(origin) = sources.origin(at) {
            message.push_str(&format!(" (from {origin})"));
        }
        let (file, Position { line, column, .. }) = (sources.name(at.file), at);
        Diagnostic { severity, file, line, column, message, help, is_harmless, elects }
    }
}

/// The known word most similar to an unknown one, if it is similar enough.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // One slip in a short word is near; of several, the words must be longer.
    const NEAR: f64 = 0.7;
    const NEAR_OF_SEVERAL: f64 = 0.8;
    // The comparison takes time in proportion to the length; no keyword is this long.
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    known
        .into_iter()
        .filter_map(|candidate| {
            let other = candidate.to_ascii_lowercase();
            let likeness = strsim::normalized_damerau_levenshtein(&lower, &other);
            let has_one_slip = || strsim::damerau_levenshtein(&lower, &other) <= 1;
            let is_near = likeness >= NEAR_OF_SEVERAL || (likeness >= NEAR && has_one_slip());
            is_near.then_some((likeness, candidate))
        })
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?` for the nearest of the known words.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|known| format!("did you mean `{known}`?"))
}

/// Help with the name of a block that does not exist: the most similar name, else all there are, if they are few.
pub(super) fn named<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const FEW: usize = 8;
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    did_you_mean(word, names.iter().copied()).or_else(|| match names[..] {
        [] => None,
        [only] => Some(format!("there is only `{only}`")),
        _ if names.len() > FEW => None,
        _ => {
            let listed: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            Some(format!("there are {}", listed.join(", ")))
        }
    })
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
        for (word, known, is_near) in [
            ("nosuchscript", "vs", false),
            ("vs", "vx", false),
            ("web", "db", false),
            ("web1", "web2", true),
            ("check_web", "check_db", false),
            ("chk_nginx", "chk_ngnix", true),
            ("chk_haproxy", "check_haproxy", true),
            ("eth0", "eth0.100", false),
        ] {
            assert_eq!(nearest(word, [known]).is_some(), is_near, "{word}, {known}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }

    #[test]
    fn a_name_that_is_like_none_gets_those_that_there_are() {
        assert_eq!(named("ngnix", ["web", "nginx"]).as_deref(), Some("did you mean `nginx`?"));
        assert_eq!(named("nosuchscript", ["vs"]).as_deref(), Some("there is only `vs`"));
        assert_eq!(named("db", ["web", "nginx"]).as_deref(), Some("there are `nginx`, `web`"));
        assert_eq!(named("db", []), None);
        let many: Vec<String> = (10..30).map(|number| format!("chk{number}")).collect();
        assert_eq!(named("db", many.iter().map(String::as_str)), None);
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
            is_harmless: false,
            elects: false,
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
