//! Text of a file to lines: comments removed, continued lines joined.
//!
//! A `#` or `!` outside quotes begins a comment; `\#` and `\!` are literal. Under keepalived's name, only `"` quotes,
//! and a backslash keeps no comment from beginning: keepalived 2.2.7 removes it, and reads what it has written again.
//! A backslash at the end of a line continues it with the next one, also inside quotes. The rows of a line stay apart,
//! because a definition of several lines consists of its rows.

use std::iter::Peekable;
use std::str::Chars;

use super::source::{FileId, Position};

/// A character and its position.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct SourceChar {
    pub(super) char: char,
    pub(super) at: Position,
}

impl SourceChar {
    pub(super) fn is_blank(self) -> bool {
        is_blank(self.char)
    }
}

/// A line with its continuation lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    /// One for each line as written, without backslash and comment; a quote over several lines stays in one row.
    pub(super) rows: Vec<Vec<SourceChar>>,
    /// A comment follows the last character directly, without a blank.
    pub(super) comment_follows: bool,
    /// Start of the line, if it has more than [`LETTERS_MAX`] characters; the excess is left out.
    pub(super) too_long: Option<Position>,
    /// The first `\#` or `\!` outside quotes.
    pub(super) escaped: Option<Position>,
}

/// Most characters of a line with its continuation lines. No word or definition is that long.
pub(super) const LETTERS_MAX: usize = 1 << 20;

/// Room of a row for most lines.
const ROW: usize = 64;

impl Text {
    /// Joins the rows, with blanks between them.
    pub(super) fn joined(self) -> Vec<SourceChar> {
        let mut rows = self.rows.into_iter();
        let mut joined = rows.next().unwrap_or_default();
        for row in rows {
            joined.extend(row.first().map(|first| SourceChar { char: ' ', at: first.at }));
            joined.extend(row);
        }
        joined
    }
}

/// Strips the blanks at both ends.
pub(super) fn trim(letters: &[SourceChar]) -> &[SourceChar] {
    let letters = trim_start(letters);
    let blanks = letters.iter().rev().take_while(|letter| letter.is_blank()).count();
    letters.split_at(letters.len().saturating_sub(blanks)).0
}

/// Strips the leading blanks.
pub(super) fn trim_start(letters: &[SourceChar]) -> &[SourceChar] {
    let blanks = letters.iter().take_while(|letter| letter.is_blank()).count();
    letters.split_at(blanks).1
}

pub(super) fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\u{b}' | '\u{c}')
}

/// The lines of a text, including empty ones.
pub(super) fn lines(text: &str, file: FileId, quotes: Quotes) -> impl Iterator<Item = Text> + '_ {
    let mut reader =
        Reader { rest: text.chars().peekable(), next: Position::start_of(file), quotes, escaped: None };
    std::iter::from_fn(move || reader.rest.peek().is_some().then(|| reader.text()))
}

/// Place of the first expression of a template engine outside quotes and comments.
pub(super) fn unrendered(text: &str, file: FileId) -> Option<Position> {
    // Most files have none.
    if !text.contains("{{") && !text.contains("{%") {
        return None;
    }
    let mut rows = lines(text, file, Quotes::Both).flat_map(|text| text.rows);
    rows.find_map(|row| {
        let line: String = row.iter().map(|letter| letter.char).collect();
        let (before, _) = [("{{", "}}"), ("{%", "%}")].into_iter().find_map(|(open, close)| {
            let (before, inside) = line.split_once(open)?;
            (!before.contains(['"', '\'']) && inside.contains(close)).then_some((before, inside))
        })?;
        row.get(before.chars().count()).map(|letter| letter.at)
    })
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    next: Position,
    quotes: Quotes,
    escaped: Option<Position>,
}

/// Quotes that keep a comment from beginning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Quotes {
    /// As for keepalived.
    Double,
    Both,
}

/// How a line ends.
enum End {
    Line,
    Comment,
    Continued,
    /// Inside this quote.
    Quoted(char),
}

impl Reader<'_> {
    fn text(&mut self) -> Text {
        let mut text = Text::default();
        let mut row = Vec::with_capacity(ROW);
        let mut quote = None;
        let (begin, mut length) = (self.next, 0_usize);
        self.escaped = None;
        loop {
            let end = self.row(&mut row, quote.take());
            if length.saturating_add(row.len()) > LETTERS_MAX {
                text.too_long = Some(begin);
                return text;
            }
            if let End::Quoted(open) = end {
                quote = Some(open);
                continue;
            }
            length = length.saturating_add(row.len()).saturating_add(1);
            let is_empty = row.iter().all(|letter: &SourceChar| letter.is_blank());
            text.comment_follows =
                matches!(end, End::Comment) && row.last().is_some_and(|last| !last.is_blank());
            // A comment between continued lines does not end them.
            let only_comment = matches!(end, End::Comment) && is_empty && !text.rows.is_empty();
            text.rows.push(std::mem::take(&mut row));
            text.escaped = self.escaped;
            if !(only_comment || matches!(end, End::Continued)) || self.rest.peek().is_none() {
                return text;
            }
        }
    }

    /// Reads up to and including the end of the line.
    fn row(&mut self, row: &mut Vec<SourceChar>, mut quote: Option<char>) -> End {
        while let Some(char) = self.rest.peek().copied()
            && row.len() <= LETTERS_MAX
        {
            let letter = SourceChar { char, at: self.next };
            match (char, quote) {
                ('\n', _) => {
                    self.bump();
                    return End::Line;
                }
                ('#' | '!', None) => {
                    self.skip_comment();
                    return End::Comment;
                }
                ('\\', _) => {
                    self.bump();
                    if self.is_end_of_line() {
                        return quote.map_or(End::Continued, End::Quoted);
                    }
                    if quote.is_none() && matches!(self.rest.peek(), Some('#' | '!')) {
                        self.escaped.get_or_insert(letter.at);
                        if self.quotes == Quotes::Double {
                            self.skip_comment();
                            return End::Comment;
                        }
                    }
                    self.escape(row, letter, quote.is_some());
                    continue;
                }
                (_, Some(open)) if char == open => quote = None,
                ('"', None) => quote = Some(char),
                // An apostrophe inside a word is a letter.
                ('\'', None)
                    if self.quotes == Quotes::Both && row.last().is_none_or(|last| last.is_blank()) =>
                {
                    quote = Some(char);
                }
                _ => {}
            }
            self.bump();
            row.push(letter);
        }
        End::Line
    }

    /// Reads the character after a backslash: it begins neither a comment nor a quote, and continues no line.
    fn escape(&mut self, row: &mut Vec<SourceChar>, backslash: SourceChar, quoted: bool) {
        let Some(char) = self.rest.peek().copied() else {
            row.push(backslash);
            return;
        };
        if !quoted && matches!(char, '#' | '!') {
            row.push(SourceChar { char, ..backslash });
        } else {
            row.extend([backslash, SourceChar { char, at: self.next }]);
        }
        self.bump();
    }

    /// After a backslash: consumes the end of the line, if it is next.
    fn is_end_of_line(&mut self) -> bool {
        let mut ahead = self.rest.clone();
        let found = match ahead.next() {
            Some('\n') => 1,
            Some('\r') if matches!(ahead.next(), Some('\n')) => 2,
            _ => 0,
        };
        for _ in 0..found {
            self.bump();
        }
        found > 0
    }

    fn skip_comment(&mut self) {
        while let Some(next) = self.rest.peek().copied() {
            self.bump();
            if next == '\n' {
                return;
            }
        }
    }

    fn bump(&mut self) {
        match self.rest.next() {
            Some('\n') => {
                self.next.line = self.next.line.saturating_add(1);
                self.next.column = 1;
            }
            Some(_) => self.next.column = self.next.column.saturating_add(1),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a line separated by `/`; `#` for a comment that directly follows.
    fn shown(text: &str) -> Vec<String> {
        lines(text, FileId::default(), Quotes::Both)
            .map(|text| {
                let rows: Vec<String> = text.rows.iter().map(|row| as_text(row)).collect();
                rows.join("/") + if text.comment_follows { "#" } else { "" }
            })
            .collect()
    }

    fn as_text(row: &[SourceChar]) -> String {
        trim(row).iter().map(|letter| letter.char).collect()
    }

    #[test]
    fn comments_end_a_line_unless_quoted() {
        assert_eq!(shown("a b # c\n! d\n\"e # f\" '! g'!h"), ["a b", "", "\"e # f\" '! g'#"]);
        assert_eq!(shown(r"a\#b \!c"), ["a#b !c"]);
        assert_eq!(shown("Bob's # his"), ["Bob's"]);
        assert_eq!(shown(r"a \\# b"), [r"a \\#"]);
        assert_eq!(shown(r#"a \"b # c\" d"#), [r#"a \"b"#]);
    }

    #[test]
    fn a_backslash_goes_on_below_and_a_comment_between_does_not_matter() {
        assert_eq!(shown("a \\\n b\\\r\nc\nd"), ["a/b/c", "d"]);
        assert_eq!(shown("a \\\n  # c\nb"), ["a//b"]);
        assert_eq!(shown("a \\\n\nb"), ["a/", "b"]);
        assert_eq!(shown("a # b \\\nc"), ["a", "c"]);
        assert_eq!(shown("\"a \\\nb # c\" \\\nd"), ["\"a b # c\"/d"]);
        assert_eq!(shown("a \\\\\nb"), ["a \\\\", "b"]);
        assert_eq!(shown("a \\"), ["a \\"]);
        assert_eq!(shown("a \\\n"), ["a"]);
    }

    #[test]
    fn places_are_those_of_the_letters() {
        let text = lines("é \\\n\\#b", FileId::default(), Quotes::Both).next().unwrap_or_default();
        let places: Vec<(char, u32, u32)> =
            text.joined().iter().map(|letter| (letter.char, letter.at.line, letter.at.column)).collect();
        assert_eq!(places, [('é', 1, 1), (' ', 1, 2), (' ', 2, 1), ('#', 2, 1), ('b', 2, 3)]);
    }
}
