//! Lexer: characters of a line to words and braces.
//!
//! `"…"` and `'…'` hold a word together; a backslash in them takes the next character as it is. Under keepalived's name
//! that is so for commands; in other lines `"…"` is a word, and all else are letters. A brace is a token at the edge of
//! a word; a pair inside a word (`{a,b}.conf`, `${NAME}`) belongs to the word.

use std::sync::Arc;

use super::command::is_command;
use super::diagnostic::Report;
use super::source::{At, Position};
#[cfg(test)]
use super::text;
use super::text::{SourceChar, trim_start};

/// One statement's worth of tokens; never empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) tokens: Vec<Token>,
}

#[derive(Clone, Debug)]
pub(super) enum Token {
    Word(Word),
    Open(Position),
    Close(Position),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Word {
    /// Without quotes and escapes.
    pub(super) text: String,
    /// As written.
    pub(super) raw: String,
    pub(super) at: Position,
    /// A comment follows it directly, without a blank.
    pub(super) comment_follows: bool,
}

impl Word {
    /// Its text and position.
    pub(super) fn placed(&self) -> At<Arc<str>> {
        At { value: self.text.as_str().into(), at: self.at }
    }

    /// The quote that the word begins with.
    pub(super) fn quote(&self) -> Option<char> {
        self.raw.chars().next().filter(|first| is_quote(*first))
    }

    /// As written, without the quotes around it; escapes stay.
    pub(super) fn inner(&self) -> &str {
        let Some(quote) = self.quote() else { return &self.raw };
        let body = self.raw.get(1..).unwrap_or_default();
        body.strip_suffix(quote).unwrap_or(body)
    }
}

/// The words and braces of one line.
pub(super) fn line(letters: &[SourceChar], comment_follows: bool, report: &mut Report) -> Line {
    let as_keepalived = report.is_tolerant();
    let mut lexer = Lexer { rest: trim_start(letters), report, splits: as_keepalived, is_open: false };
    let mut line = Line::default();
    while let Some(first) = lexer.rest.first() {
        lexer.word(first.at, &mut line);
        lexer.rest = trim_start(lexer.rest);
        let is_command = matches!(line.tokens.first(), Some(Token::Word(first)) if is_command(&first.text));
        lexer.splits = as_keepalived && !is_command;
    }
    if lexer.is_open {
        // Of a line with a command, keepalived ignores all words; of another one, those from the open quote on.
        if !lexer.splits {
            return Line::default();
        }
        line.tokens.pop();
    }
    if let Some(Token::Word(last)) = line.tokens.last_mut() {
        last.comment_follows = comment_follows;
    }
    line
}

struct Lexer<'a> {
    rest: &'a [SourceChar],
    report: &'a mut Report,
    /// As keepalived reads a line without a command: only `"` is a quote, it ends the word before it, and a backslash
    /// is a letter.
    splits: bool,
    /// Under keepalived's name: the last word has an unclosed quote.
    is_open: bool,
}

impl Lexer<'_> {
    fn word(&mut self, at: Position, line: &mut Line) {
        let length = self.rest.iter().take_while(|letter| !letter.is_blank() && letter.char != '"').count();
        let (letters, behind) = self.rest.split_at(length);
        let meets_quote = behind.first().is_some_and(|next| next.char == '"');
        // An apostrophe inside a word is a letter.
        let begins_quoted = !self.splits && letters.first().is_some_and(|first| first.char == '\'');
        if !begins_quoted && (!meets_quote || (self.splits && length > 0)) {
            self.rest = behind;
            self.odd_letters(letters);
            split_braces(letters, is_include(line), &mut line.tokens);
            return;
        }
        let mut word = Word { at, ..Word::default() };
        while let Some((next, behind)) = self.rest.split_first() {
            match next.char {
                _ if next.is_blank() => break,
                '"' => {
                    self.quoted(&mut word);
                    if self.splits {
                        break;
                    }
                }
                '\'' if word.raw.is_empty() && !self.splits => self.quoted(&mut word),
                // After a closing quote, a brace is a token.
                '{' | '}' if word.quote().is_some() => break,
                char => {
                    self.rest = behind;
                    word.text.push(char);
                    word.raw.push(char);
                }
            }
        }
        line.tokens.push(Token::Word(word));
    }

    /// Typographic quotes and blanks, common in text copied from a web page, are part of the word, as with keepalived.
    fn odd_letters(&mut self, letters: &[SourceChar]) {
        if let Some(SourceChar { char, at }) =
            letters.first().filter(|first| TYPOGRAPHIC_QUOTES.contains(&first.char))
        {
            self.report
                .warning(*at, format!("the typographic quote {char} does not quote: it is part of the word"))
                .help("write \" instead");
        }
        if let Some(SourceChar { char, at }) = letters.iter().find(|letter| is_odd_blank(letter.char)) {
            self.report
                .warning(*at, format!("U+{:04X} is not a blank: it is part of the word", u32::from(*char)))
                .help("write an ordinary blank instead");
        }
    }

    fn next(&mut self) -> Option<SourceChar> {
        let (next, behind) = self.rest.split_first()?;
        self.rest = behind;
        Some(*next)
    }

    /// Reads from the opening quote through the closing one.
    fn quoted(&mut self, word: &mut Word) {
        let Some(SourceChar { char: quote, at: opened }) = self.next() else { return };
        word.raw.push(quote);
        while let Some(SourceChar { char, .. }) = self.next() {
            word.raw.push(char);
            if char == quote {
                return;
            }
            if char == '\\' && !self.splits {
                let escaped = self.next().map(|escaped| escaped.char);
                word.raw.extend(escaped);
                word.text.extend(escaped);
            } else {
                word.text.push(char);
            }
        }
        self.report
            .left_out(opened, format!("the quote {quote} is not closed on this line"))
            .elects(true)
            .help(format!("close it with {quote}, or write \\{quote} for a literal one"));
        self.is_open = self.report.is_tolerant();
    }
}

const TYPOGRAPHIC_QUOTES: [char; 8] = ['“', '”', '„', '«', '»', '‘', '’', '‚'];

/// No-break, wide and zero-width spaces.
fn is_odd_blank(letter: char) -> bool {
    matches!(letter, '\u{a0}' | '\u{2000}'..='\u{200b}' | '\u{202f}' | '\u{3000}' | '\u{feff}')
}

fn is_quote(letter: char) -> bool {
    matches!(letter, '"' | '\'')
}

/// File names after `include` may contain braces anywhere.
fn is_include(line: &Line) -> bool {
    matches!(line.tokens.first(), Some(Token::Word(first)) if first.raw.starts_with("include"))
}

/// Splits braces off the edges of an unquoted word.
fn split_braces(letters: &[SourceChar], keep: bool, tokens: &mut Vec<Token>) {
    let count = |brace| letters.iter().filter(|letter| letter.char == brace).count();
    let (mut opens, mut closes) = (count('{'), count('}'));
    if keep || opens + closes == 0 {
        tokens.push(Token::Word(plain(letters)));
        return;
    }
    let mut body = letters;
    while let [first, rest @ ..] = body {
        match first.char {
            '}' => {
                tokens.push(Token::Close(first.at));
                closes -= 1;
            }
            '{' if opens != closes || body.last().is_some_and(|last| last.char == '}') => {
                tokens.push(Token::Open(first.at));
                opens -= 1;
            }
            _ => break,
        }
        body = rest;
    }
    let mut tail = Vec::new();
    while let [rest @ .., last] = body {
        match last.char {
            '}' if closes > opens => {
                tail.push(Token::Close(last.at));
                closes -= 1;
            }
            '{' if opens > closes => {
                tail.push(Token::Open(last.at));
                opens -= 1;
            }
            _ => break,
        }
        body = rest;
    }
    if !body.is_empty() {
        tokens.push(Token::Word(plain(body)));
    }
    tokens.extend(tail.into_iter().rev());
}

/// A word without quotes.
fn plain(letters: &[SourceChar]) -> Word {
    let raw: String = letters.iter().map(|letter| letter.char).collect();
    let at = letters.first().map(|first| first.at).unwrap_or_default();
    Word { text: raw.clone(), raw, at, comment_follows: false }
}

/// All lines of a text.
#[cfg(test)]
pub(super) fn lines(text: &str, file: super::source::FileId, report: &mut Report) -> Vec<Line> {
    text::lines(text, file, text::Quotes::Both)
        .map(|text| line(&text.clone().joined(), text.comment_follows, report))
        .filter(|line| !line.tokens.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;

    /// Words as they are, braces as braces, one string per line.
    fn shown(text: &str) -> Vec<String> {
        let (lines, report) = lexed(text);
        assert!(!report.has_errors(), "{report:?}");
        lines.iter().map(show).collect()
    }

    fn lexed(text: &str) -> (Vec<Line>, Report) {
        let mut report = Report::default();
        let file = Sources::default().add("t".into());
        let lines = lines(text, file, &mut report);
        (lines, report)
    }

    fn show(line: &Line) -> String {
        let tokens: Vec<String> = line
            .tokens
            .iter()
            .map(|token| match token {
                Token::Word(word) => format!("[{}]", word.text),
                Token::Open(_) => "{".to_owned(),
                Token::Close(_) => "}".to_owned(),
            })
            .collect();
        tokens.join(" ")
    }

    #[test]
    fn comments_end_a_line_unless_quoted() {
        assert_eq!(shown("a b # c\n! d\n\"e # f\" '! g'!h"), ["[a] [b]", "[e # f] [! g]"]);
        assert_eq!(shown(r"a\#b \!c"), ["[a#b] [!c]"]);
    }

    #[test]
    fn a_comment_right_behind_a_word_is_marked() {
        let (lines, _) = lexed("auth_pass abc#def\nauth_pass abc #def");
        let marks: Vec<bool> = lines
            .iter()
            .filter_map(|line| match line.tokens.last() {
                Some(Token::Word(word)) => Some(word.comment_follows),
                _ => None,
            })
            .collect();
        assert_eq!(marks, [true, false]);
    }

    #[test]
    fn braces_at_the_edge_of_a_word_are_braces() {
        assert_eq!(shown("a{\nb}\n{ c } d {e}"), ["[a] {", "[b] }", "{ [c] } [d] { [e] }"]);
        assert_eq!(shown("x ${NAME} {a,b}.conf ~{}"), ["[x] [${NAME}] [{a,b}.conf] [~{}]"]);
        assert_eq!(shown("}}} {{"), ["} } } { {"]);
        assert_eq!(shown("include {a,b}"), ["[include] [{a,b}]"]);
        assert_eq!(shown("script \"a {b\"{"), ["[script] [a {b] {"]);
    }

    #[test]
    fn quotes_keep_a_word_together_and_escapes_take_a_letter() {
        assert_eq!(shown(r#"a "b \"c\" d" 'e f'"#), [r#"[a] [b "c" d] [e f]"#]);
        assert_eq!(shown("router_id Bob's"), ["[router_id] [Bob's]"]);
        let (lines, _) = lexed(r#"s "x \"y\" \n""#);
        let Some(Token::Word(word)) = lines[0].tokens.last() else { panic!("a word") };
        assert_eq!(word.inner(), r#"x \"y\" \n"#);
    }

    #[test]
    fn a_backslash_joins_lines() {
        assert_eq!(shown("a \\\n b\nc"), ["[a] [b]", "[c]"]);
        assert_eq!(shown("a\\\r\nb"), ["[a] [b]"]);
    }

    #[test]
    fn positions_count_characters_from_one() {
        let (lines, _) = lexed("ä b\r\n\té{");
        let places: Vec<(u32, u32)> = lines
            .iter()
            .flat_map(|line| &line.tokens)
            .map(|token| match token {
                Token::Word(Word { at, .. }) | Token::Open(at) | Token::Close(at) => (at.line, at.column),
            })
            .collect();
        assert_eq!(places, [(1, 1), (1, 3), (2, 2), (2, 3)]);
    }

    #[test]
    fn an_open_quote_is_an_error_where_it_opens() {
        let (_, report) = lexed("a\nbb \"c\nd");
        let mut sources = Sources::default();
        sources.add("t".into());
        let diagnostics = report.into_diagnostics(&sources);
        assert_eq!((diagnostics[0].line, diagnostics[0].column), (2, 4));
    }
}
