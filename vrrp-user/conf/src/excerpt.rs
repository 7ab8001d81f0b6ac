//! The line of a finding, with its word underlined, for a terminal.

use super::diagnostic::Diagnostic;
use super::width::{of_char, split_at_width, width};

/// Longest part of a line that is shown, in characters.
const MOST: usize = 100;

/// Columns of a tab.
const TAB: usize = 4;

/// Keywords whose values may be secret: a screen may be seen by others than the reader of the file.
const SECRET: &[&str] = &["auth_pass", "header", "http", "key", "notify_webhook", "password", "url"];

impl Diagnostic {
    /// Two lines: that of the file, and below it a mark under the word where the finding is, in so many columns: of a
    /// line that is too long the part around the word. `None` if the text, which is that of its file, has no such line,
    /// or if the line may hold a secret.
    pub fn excerpt(&self, text: &str, columns: usize) -> Option<String> {
        let line = text.lines().nth(usize::try_from(self.line).ok()?.checked_sub(1)?)?;
        let column = usize::try_from(self.column).ok()?.checked_sub(1)?;
        let mut words = line.split(|it: char| it.is_whitespace() || matches!(it, '{' | '}'));
        // A definition may hold anything.
        let is_secret = line.trim_start().starts_with('$') || words.any(|word| SECRET.contains(&word));
        if is_secret || line.trim().is_empty() || line.chars().count() > MOST {
            return None;
        }
        let length = word(line.chars().skip(column));
        let (before, rest) = split_at_char(line, column);
        let (marked, behind) = split_at_char(rest, length);
        // The end of a file may be behind its last line.
        let gap = " ".repeat(column.saturating_sub(line.chars().count()));
        let [before, marked, behind] = [before, marked, behind.trim_end()].map(shown);
        let number = self.line.to_string();
        let room = columns.saturating_sub(number.len() + 5);
        let marks = width(&marked).max(1);
        let (before, behind) = if width(&before) + marks + width(&behind) <= room {
            (before, behind)
        } else {
            let kept = room.saturating_sub(marks);
            let before = end(&before, kept.saturating_sub(width(&behind).min(kept / 2)));
            let behind = beginning(&behind, kept.saturating_sub(width(&before)));
            (before, behind)
        };
        let gutter = " ".repeat(number.len());
        let blanks = " ".repeat(width(&before) + gap.len());
        let line = format!("{before}{marked}{behind}");
        Some(format!("  {number} | {}\n  {gutter} | {blanks}{}", line.trim_end(), "^".repeat(marks)))
    }
}

/// Tabs as blanks, and no control characters.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        match letter {
            '\t' => shown.push_str(&" ".repeat(TAB)),
            letter if letter.is_control() => shown.push('?'),
            letter => shown.push(letter),
        }
    }
    shown
}

fn split_at_char(text: &str, count: usize) -> (&str, &str) {
    text.split_at(text.char_indices().nth(count).map_or(text.len(), |(at, _)| at))
}

/// As much of the beginning as fits, with a sign that there is more.
fn beginning(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    format!("{}…", split_at_width(text, room).0)
}

/// As much of the end as fits, with a sign that there is more.
fn end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let mut rest = split_at_width(text, width(text).saturating_sub(room)).1;
    while width(rest) > room || rest.chars().next().is_some_and(|letter| of_char(letter) == 0) {
        rest = split_at_char(rest, 1).1;
    }
    format!("…{rest}")
}

/// Characters of the word at the beginning, as the language reads it: with its quotes, or one brace.
fn word(mut letters: impl Iterator<Item = char>) -> usize {
    match letters.next() {
        None => 0,
        Some('{' | '}') => 1,
        Some(quote @ ('"' | '\'')) => {
            let mut length = 1;
            for letter in letters {
                length += 1;
                if letter == quote {
                    break;
                }
            }
            length
        }
        Some(_) => {
            1 + letters.take_while(|it| !it.is_whitespace() && !matches!(it, '{' | '}' | '#' | '!')).count()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::diagnostic::Severity;
    use super::*;

    fn excerpt(text: &str, line: u32, column: u32) -> Option<String> {
        let (severity, message, help) = (Severity::Error, "no".to_owned(), None);
        let finding = Diagnostic {
            severity,
            file: "a.conf".into(),
            line,
            column,
            message,
            help,
            is_harmless: false,
            elects: false,
        };
        finding.excerpt(text, 80)
    }

    #[test]
    fn the_word_is_underlined() {
        let text = "vrrp_instance a {\n    prioirty 110\n}\n";
        assert_eq!(excerpt(text, 2, 5).unwrap(), "  2 |     prioirty 110\n    |     ^^^^^^^^");
        assert_eq!(excerpt(text, 2, 14).unwrap(), "  2 |     prioirty 110\n    |              ^^^");
        assert_eq!(excerpt(text, 1, 17).unwrap(), "  1 | vrrp_instance a {\n    |                 ^");
        assert_eq!(excerpt("script \"a b\" x", 1, 8).unwrap(), "  1 | script \"a b\" x\n    |        ^^^^^");
        assert_eq!(excerpt("\tpriority x", 1, 2).unwrap(), "  1 |     priority x\n    |     ^^^^^^^^");
    }

    #[test]
    fn the_mark_stands_under_its_word_whatever_the_letters_before_it() {
        let text = "vrrp_instance 数据库 {\n    notify /opt/Zu\u{308}rich 数据\n}\n";
        assert_eq!(excerpt(text, 1, 15).unwrap(), "  1 | vrrp_instance 数据库 {\n    |               ^^^^^^");
        assert_eq!(
            excerpt(text, 1, 19).unwrap(),
            "  1 | vrrp_instance 数据库 {\n    |                      ^"
        );
        let expected = "  2 |     notify /opt/Zu\u{308}rich 数据\n    |                        ^^^^";
        assert_eq!(excerpt(text, 2, 25).unwrap(), expected);
    }

    #[test]
    fn of_a_line_that_is_too_long_the_part_around_the_word_is_shown() {
        let line = format!("{} wrong {}", "数据 ".repeat(8).trim_end(), "behind ".repeat(5).trim_end());
        let finding = Diagnostic {
            severity: Severity::Error,
            file: "a.conf".into(),
            line: 1,
            column: 25,
            message: String::new(),
            help: None,
            is_harmless: false,
            elects: false,
        };
        let shown = finding.excerpt(&line, 40).unwrap();
        assert_eq!(shown, "  1 | …据 数据 数据 wrong behind behind…\n    |               ^^^^^");
        for columns in 20..90 {
            let shown = finding.excerpt(&line, columns).unwrap();
            let (text, marks) = shown.split_once('\n').unwrap();
            assert!(width(text) <= columns && width(marks) <= columns, "{columns}:\n{shown}");
            let blanks = marks.find('^').unwrap();
            let (before, rest) = split_at_width(text, blanks);
            assert!(rest.starts_with("wrong") && width(before) == blanks, "{columns}:\n{shown}");
        }
    }

    #[test]
    fn what_is_not_there_or_secret_is_not_shown() {
        assert_eq!(excerpt("a", 2, 1), None);
        assert_eq!(excerpt("a", 0, 1), None);
        assert_eq!(excerpt("    auth_pass secret\n", 1, 5), None);
        assert_eq!(excerpt(&"x".repeat(1000), 1, 1), None);
        for line in
            ["notify_webhook https://a.b/secret {", "authentication { auth_pass secret }", "$P=secret"]
        {
            assert_eq!(excerpt(line, 1, 1), None, "{line}");
        }
        assert_eq!(excerpt("\u{1b}[2J", 1, 9).unwrap(), "  1 | ?[2J\n    |         ^");
    }
}
