//! Text to lines of words and braces.
//!
//! A `#` or `!` outside quotes begins a comment. `"…"` and `'…'` hold a word together; a backslash in them takes the
//! next character as it is. A backslash at the end of a line joins the next one. A brace is one where it stands at
//! the edge of a word; a pair inside a word (`{a,b}.conf`, `${NAME}`) belongs to the word.

use super::diagnostic::Report;
use super::source::{FileId, Position};

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
    /// A comment begins right behind it, without a blank.
    pub(super) comment_follows: bool,
}

impl Word {
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

pub(super) fn lines(text: &str, file: FileId, report: &mut Report) -> Vec<Line> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lexer = Lexer { rest: text.chars().peekable(), line: 1, column: 1, file, report };
    let mut lines = Vec::new();
    while lexer.rest.peek().is_some() {
        let line = lexer.line();
        if !line.tokens.is_empty() {
            lines.push(line);
        }
    }
    lines
}

struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: u32,
    column: u32,
    file: FileId,
    report: &'a mut Report,
}

impl Lexer<'_> {
    /// Up to and including the end of the line.
    fn line(&mut self) -> Line {
        let mut line = Line::default();
        while let Some(next) = self.rest.peek().copied() {
            match next {
                '\n' => {
                    self.bump();
                    break;
                }
                blank if is_blank(blank) => {
                    self.bump();
                }
                '#' | '!' => self.skip_comment(),
                _ => self.word(&mut line),
            }
        }
        line
    }

    fn word(&mut self, line: &mut Line) {
        let mut word = Word { at: self.position(), ..Word::default() };
        let mut plain = true;
        while let Some(next) = self.rest.peek().copied() {
            match next {
                '\n' => break,
                blank if is_blank(blank) => break,
                '#' | '!' => {
                    word.comment_follows = true;
                    break;
                }
                '"' => {
                    plain = false;
                    self.quoted(&mut word);
                }
                // An apostrophe inside a word is a letter.
                '\'' if word.raw.is_empty() => {
                    plain = false;
                    self.quoted(&mut word);
                }
                '\\' => {
                    self.bump();
                    if !self.escape_outside_quotes(&mut word) {
                        break;
                    }
                }
                // What stands behind a closing quote is a brace, not a letter.
                '{' | '}' if word.quote().is_some() => break,
                letter => {
                    self.bump();
                    word.text.push(letter);
                    word.raw.push(letter);
                }
            }
        }
        if !plain {
            line.tokens.push(Token::Word(word));
        } else if !word.raw.is_empty() {
            split_braces(word, is_include(line), &mut line.tokens);
        }
    }

    /// After a backslash outside quotes; `false` where the line goes on below it, which ends the word.
    fn escape_outside_quotes(&mut self, word: &mut Word) -> bool {
        match self.rest.peek().copied() {
            Some(next @ ('#' | '!')) => {
                self.bump();
                word.text.push(next);
                word.raw.push(next);
                true
            }
            Some('\n') => {
                self.bump();
                false
            }
            Some('\r') => {
                self.bump();
                if self.rest.peek() == Some(&'\n') {
                    self.bump();
                }
                false
            }
            _ => {
                word.text.push('\\');
                word.raw.push('\\');
                true
            }
        }
    }

    /// From the opening quote to behind the closing one.
    fn quoted(&mut self, word: &mut Word) {
        let opened = self.position();
        let Some(quote) = self.bump() else { return };
        word.raw.push(quote);
        loop {
            match self.rest.peek().copied() {
                None | Some('\n') => {
                    self.report
                        .error(opened, format!("the quote {quote} is not closed on this line"))
                        .help(format!("close it with {quote}, or write \\{quote} where it is a letter"));
                    return;
                }
                Some('\\') => {
                    self.bump();
                    self.escape_in_quotes(word);
                }
                Some(next) => {
                    self.bump();
                    word.raw.push(next);
                    if next == quote {
                        return;
                    }
                    word.text.push(next);
                }
            }
        }
    }

    fn escape_in_quotes(&mut self, word: &mut Word) {
        match self.rest.peek().copied() {
            None => {}
            Some('\n') => {
                self.bump();
            }
            Some(next) => {
                self.bump();
                word.raw.push('\\');
                word.raw.push(next);
                word.text.push(next);
            }
        }
    }

    fn skip_comment(&mut self) {
        while self.rest.peek().is_some_and(|next| *next != '\n') {
            self.bump();
        }
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        if next == '\n' {
            self.line = self.line.saturating_add(1);
            self.column = 1;
        } else {
            self.column = self.column.saturating_add(1);
        }
        Some(next)
    }

    fn position(&self) -> Position {
        Position { file: self.file, line: self.line, column: self.column }
    }
}

fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\u{b}' | '\u{c}')
}

fn is_quote(letter: char) -> bool {
    matches!(letter, '"' | '\'')
}

/// The names of files to include may hold braces anywhere.
fn is_include(line: &Line) -> bool {
    matches!(line.tokens.first(), Some(Token::Word(first)) if first.raw.starts_with("include"))
}

/// Takes braces off the edges of an unquoted word.
fn split_braces(word: Word, keep: bool, tokens: &mut Vec<Token>) {
    let Word { raw, at, comment_follows, .. } = word;
    let mut body = raw.as_str();
    let mut column = at.column;
    let mut opens = body.matches('{').count();
    let mut closes = body.matches('}').count();
    if keep || opens + closes == 0 {
        tokens.push(Token::Word(Word { text: raw.clone(), raw, at, comment_follows }));
        return;
    }
    let place = |column| Position { column, ..at };
    loop {
        let wrapped = body.starts_with('{') && body.ends_with('}');
        if let Some(rest) = body.strip_prefix('}') {
            tokens.push(Token::Close(place(column)));
            closes -= 1;
            body = rest;
        } else if let Some(rest) = body.strip_prefix('{').filter(|_| opens != closes || wrapped) {
            tokens.push(Token::Open(place(column)));
            opens -= 1;
            body = rest;
        } else {
            break;
        }
        column = column.saturating_add(1);
    }
    let mut tail = Vec::new();
    let mut end = column.saturating_add(u32::try_from(body.chars().count()).unwrap_or(u32::MAX));
    while opens != closes {
        end = end.saturating_sub(1);
        if let Some(rest) = body.strip_suffix('}').filter(|_| closes > opens) {
            tail.push(Token::Close(place(end)));
            closes -= 1;
            body = rest;
        } else if let Some(rest) = body.strip_suffix('{').filter(|_| opens > closes) {
            tail.push(Token::Open(place(end)));
            opens -= 1;
            body = rest;
        } else {
            break;
        }
    }
    if !body.is_empty() {
        tokens.push(Token::Word(Word {
            text: body.to_owned(),
            raw: body.to_owned(),
            at: place(column),
            comment_follows: comment_follows && tail.is_empty(),
        }));
    }
    tokens.extend(tail.into_iter().rev());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Sources;

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
