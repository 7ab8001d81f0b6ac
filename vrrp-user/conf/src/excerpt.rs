//! The line of a finding, with its word underlined, for a terminal.

use super::diagnostic::Diagnostic;

/// Longest part of a line that is shown, in characters.
const MOST: usize = 100;

/// Columns of a tab.
const TAB: usize = 4;

/// Keywords whose values may be secret: a screen may be seen by others than the reader of the file.
const SECRET: &[&str] = &["auth_pass", "header", "http", "key", "notify_webhook", "password", "url"];

impl Diagnostic {
    /// Two lines: that of the file, and below it a mark under the word where the finding is. `None` if the text, which
    /// is that of its file, has no such line, or if the line may hold a secret.
    pub fn excerpt(&self, text: &str) -> Option<String> {
        let line = text.lines().nth(usize::try_from(self.line).ok()?.checked_sub(1)?)?;
        let column = usize::try_from(self.column).ok()?.checked_sub(1)?;
        let mut words = line.split(|it: char| it.is_whitespace() || matches!(it, '{' | '}'));
        // A definition may hold anything.
        let is_secret = line.trim_start().starts_with('$') || words.any(|word| SECRET.contains(&word));
        if is_secret || line.trim().is_empty() || line.chars().count() > MOST {
            return None;
        }
        let mut shown = String::new();
        let mut blanks = 0;
        for (place, letter) in line.chars().enumerate() {
            let width = if letter == '\t' { TAB } else { 1 };
            match letter {
                '\t' => shown.push_str(&" ".repeat(TAB)),
                letter if letter.is_control() => shown.push('?'),
                letter => shown.push(letter),
            }
            if place < column {
                blanks += width;
            }
        }
        // The end of a file may be behind its last line.
        blanks += column.saturating_sub(line.chars().count());
        let marks = "^".repeat(word(line.chars().skip(column)).max(1));
        let number = self.line;
        let gutter = " ".repeat(number.to_string().len());
        Some(format!("  {number} | {}\n  {gutter} | {}{marks}", shown.trim_end(), " ".repeat(blanks)))
    }
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
        finding.excerpt(text)
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
