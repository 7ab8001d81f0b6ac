//! Findings of the checks.

use serde::Serialize;

use crate::config::words;
use crate::driver::output::escaped;

/// How a finding stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    /// Could not be looked at, or does not apply.
    Skip,
    /// Works, and may not when it matters.
    Warn,
    /// VRRP does not work here, or not as the configuration asks.
    Fail,
}

impl Level {
    /// The word on the screen, as wide as the widest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok  ",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// Name of the check, as in docs/doctor.md.
    pub check: &'static str,
    pub level: Level,
    pub text: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// Findings of one check, while it is made.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) check: &'static str,
    pub(super) list: Vec<Finding>,
}

impl Findings {
    pub(super) fn add(&mut self, level: Level, text: impl Into<String>, fix: Option<String>) {
        let fix = fix.map(|fix| escaped(&words(fix)));
        self.list.push(Finding { check: self.check, level, text: escaped(&words(text.into())), fix });
    }

    pub(super) fn ok(&mut self, text: impl Into<String>) {
        self.add(Level::Ok, text, None);
    }

    pub(super) fn skip(&mut self, text: impl Into<String>) {
        self.add(Level::Skip, text, None);
    }

    pub(super) fn warn(&mut self, text: impl Into<String>, fix: impl Into<String>) {
        self.add(Level::Warn, text, Some(fix.into()));
    }

    pub(super) fn fail(&mut self, text: impl Into<String>, fix: impl Into<String>) {
        self.add(Level::Fail, text, Some(fix.into()));
    }

    /// Whether nothing was found wrong so far.
    pub(super) fn is_well(&self) -> bool {
        self.list.iter().all(|finding| finding.level < Level::Warn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_named_cannot_control_the_terminal() {
        let mut findings = Findings::default();
        findings.warn("\u{1b}[31mEVIL\n\u{7} listens", "kill \r");
        let Finding { text, fix, .. } = &findings.list[0];
        assert_eq!(text, "\\u{1b}[31mEVIL\\n\\u{7} listens");
        assert_eq!(fix.as_deref(), Some("kill \\r"));
    }
}
