//! The report as text, in lines of the width that is asked for.

use std::fmt::Write;

use super::{Finding, Report};
use crate::config::wrapped_at;

/// Columns before a text: a blank, the level, two blanks.
const INDENT: usize = 7;

/// Ends with a line feed.
pub fn screen(report: &Report, columns: usize) -> String {
    let mut out = String::new();
    wrapped_at(columns, &mut out, "", &head(report), 2);
    out.push('\n');
    for Finding { level, text, fix, .. } in &report.findings {
        wrapped_at(columns, &mut out, &format!(" {}  ", level.as_str()), text, INDENT);
        if let Some(fix) = fix {
            wrapped_at(columns, &mut out, &" ".repeat(INDENT + 2), fix, INDENT + 4);
        }
    }
    let _ = writeln!(out, "\n{}", foot(report));
    out
}

fn head(report: &Report) -> String {
    let Some(configuration) = &report.configuration else {
        return "no configuration: only what concerns the host itself is looked at".to_owned();
    };
    let instances = counted(report.instances, "instance");
    match report.interfaces.join(", ") {
        none if none.is_empty() => format!("configuration {configuration}, {instances}"),
        interfaces => format!("configuration {configuration}, {instances} on {interfaces}"),
    }
}

fn foot(report: &Report) -> String {
    match (report.failures, report.warnings) {
        (0, 0) => "no problem found".to_owned(),
        (0, warnings) => counted(warnings, "warning"),
        (failures, 0) => counted(failures, "failure"),
        (failures, warnings) => format!("{}, {}", counted(failures, "failure"), counted(warnings, "warning")),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::super::{Level, Report};
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_finding_has_its_fix_below_it_and_no_line_is_too_wide() {
        let finding = |level, text: &str, fix: Option<&str>| Finding {
            check: "x",
            level,
            text: text.to_owned(),
            fix: fix.map(str::to_owned),
        };
        let findings = vec![
            finding(Level::Ok, "kernel 6.1", None),
            finding(Level::Fail, &"many words ".repeat(12), Some("do this")),
        ];
        let report = Report::new(Some("/etc/vrrpx/vrrpx.conf".to_owned()), &Config::default(), findings);
        let text = screen(&report, 80);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.starts_with(
            "configuration /etc/vrrpx/vrrpx.conf, 0 instances\n\n ok    kernel 6.1\n FAIL  many"
        ));
        assert!(text.ends_with("\n         do this\n\n1 failure\n"), "{text}");
        let narrow = screen(&report, 40);
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
    }
}
