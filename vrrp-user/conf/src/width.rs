//! Columns that a text takes on a terminal: wide characters take two, combining ones none.

use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of a text without control characters.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Columns of a character; none if it joins the one before it.
pub(super) fn of_char(letter: char) -> usize {
    letter.width().unwrap_or(0)
}

/// The text, with blanks behind it up to this width.
pub fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// The beginning of a text that fits in this many columns, and the rest.
pub fn split_at_width(text: &str, columns: usize) -> (&str, &str) {
    let mut taken = 0;
    let beyond = text.char_indices().find(|(_, letter)| {
        taken += of_char(*letter);
        taken > columns
    });
    text.split_at(beyond.map_or(text.len(), |(at, _)| at))
}

/// A text behind its head, broken between words where the line is full; further lines are indented. A word that is too
/// long stays whole, unless it is of a script that has no blanks between words.
pub fn wrapped_at(columns: usize, out: &mut String, head: &str, text: &str, indent: usize) {
    let mut line = head.to_owned();
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && width(&line) + 1 + width(word) > columns {
            // The blanks before a word that is broken off.
            if word.is_empty() {
                continue;
            }
            let _ = writeln!(out, "{}", line.trim_end());
            line = " ".repeat(indent);
        } else if !is_empty {
            line.push(' ');
        }
        is_empty = false;
        let mut rest = word;
        while width(&line) + width(rest) > columns && rest.chars().any(|letter| of_char(letter) > 1) {
            let (fits, beyond) = split_at_width(rest, columns.saturating_sub(width(&line)));
            if fits.is_empty() && line.trim_end().is_empty() {
                break;
            }
            line.push_str(fits);
            let _ = writeln!(out, "{}", line.trim_end());
            (line, rest) = (" ".repeat(indent), beyond);
        }
        line.push_str(rest);
    }
    let _ = writeln!(out, "{}", line.trim_end());
}

/// The lines of a text, those in several that are wider than the screen.
pub fn folded(columns: usize, text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let bare = line.trim_start_matches(' ');
        let indent = line.len() - bare.len();
        match width(line) > columns {
            true => wrapped_at(columns, &mut out, &" ".repeat(indent), bare, (indent + 2).min(columns / 2)),
            false => out.extend([line, "\n"]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns_and_combining_ones_none() {
        assert_eq!(["web", "数据库", "Zu\u{308}rich", "한글", ""].map(width), [3, 6, 6, 4, 0]);
        assert_eq!(padded("数据", 6), "数据  ");
        assert_eq!(padded("数据库", 3), "数据库");
        assert_eq!(split_at_width("数据库", 5), ("数据", "库"));
        assert_eq!(split_at_width("u\u{308}x", 1), ("u\u{308}", "x"));
    }

    #[test]
    fn a_text_is_broken_where_the_line_is_full() {
        let of = |columns, text: &str| {
            let mut out = String::new();
            wrapped_at(columns, &mut out, "- ", text, 2);
            out
        };
        assert_eq!(of(10, "ab cd ef gh"), "- ab cd ef\n  gh\n");
        assert_eq!(of(10, "数据库 故障 ab"), "- 数据库\n  故障 ab\n");
        assert_eq!(of(10, "数据库故障数据库"), "- 数据库故\n  障数据库\n");
        assert_eq!(of(10, "a /a/path/that/is/long b"), "- a\n  /a/path/that/is/long\n  b\n");
        assert_eq!(of(1, "数"), "-\n  数\n");
        assert_eq!(of(10, "ab            cd"), "- ab\n  cd\n");
        assert_eq!(folded(9, "ab\n\n  cd ef gh\n"), "ab\n\n  cd ef\n    gh\n");
    }
}
