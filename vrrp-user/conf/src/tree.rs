//! Parser: lines to nested blocks. Keywords have no meaning here, so unknown blocks stay whole.

use super::diagnostic::Report;
use super::lexer::{Line, Token, Word};
use super::source::Position;

/// No valid block nests deeper.
const DEPTH_MAX: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) keyword: Word,
    pub(super) args: Vec<Word>,
    pub(super) block: Option<Vec<Statement>>,
}

pub(super) fn build(lines: Vec<Line>, report: &mut Report) -> Vec<Statement> {
    let mut builder = Builder { open: Vec::new(), current: Vec::new(), too_deep: 0, report };
    for line in lines {
        if builder.report.is_full() {
            break;
        }
        builder.line(line);
    }
    builder.finish()
}

struct Builder<'a> {
    /// Open blocks: their heads, and the statements before them.
    open: Vec<(Statement, Vec<Statement>)>,
    /// Statements of the innermost block.
    current: Vec<Statement>,
    /// Blocks open beyond [`DEPTH_MAX`]; they are dropped.
    too_deep: usize,
    report: &'a mut Report,
}

impl Builder<'_> {
    fn line(&mut self, line: Line) {
        let mut words = Vec::new();
        for token in line.tokens {
            match token {
                Token::Word(word) => words.push(word),
                Token::Open(at) => {
                    self.end_statement(std::mem::take(&mut words));
                    self.open_block(at);
                }
                Token::Close(at) => {
                    self.end_statement(std::mem::take(&mut words));
                    self.close_block(at);
                }
            }
        }
        self.end_statement(words);
    }

    fn end_statement(&mut self, words: Vec<Word>) {
        let mut words = words.into_iter();
        if let Some(keyword) = words.next().filter(|_| self.too_deep == 0) {
            let mut args: Vec<Word> = words.collect();
            args.shrink_to_fit();
            self.current.push(Statement { keyword, args, block: None });
        }
    }

    /// The head is the statement before the brace, on this line or the one above.
    fn open_block(&mut self, at: Position) {
        if self.too_deep > 0 {
            self.too_deep += 1;
        } else if self.open.len() >= DEPTH_MAX {
            self.too_deep = 1;
            self.report.error(at, format!("blocks are nested more than {DEPTH_MAX} deep"));
        } else {
            let head = self.current.pop_if(|statement| statement.block.is_none()).unwrap_or_else(|| {
                let mut keyword = Word { at, ..Word::default() };
                if self.report.is_tolerant() {
                    // An unknown keyword like any other, as for keepalived.
                    (keyword.text, keyword.raw) = ("{".into(), "{".into());
                } else {
                    self.report.error(at, "`{` without a keyword before it");
                    // Holds the block until it closes, then it is dropped.
                }
                Statement { keyword, args: Vec::new(), block: None }
            });
            self.open.push((head, std::mem::take(&mut self.current)));
        }
    }

    fn close_block(&mut self, at: Position) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
        } else if let Some((mut head, before)) = self.open.pop() {
            head.block = Some(std::mem::replace(&mut self.current, before));
            if !head.keyword.raw.is_empty() {
                self.current.push(head);
            }
        } else {
            self.report.left_out(at, "`}` without a block to close").elects(true);
        }
    }

    fn finish(mut self) -> Vec<Statement> {
        while let Some((mut head, before)) = self.open.pop() {
            head.block = Some(std::mem::replace(&mut self.current, before));
            if !head.keyword.raw.is_empty() {
                self.report
                    .left_out(head.keyword.at, format!("the block of `{}` is not closed", head.keyword.text))
                    .elects(true)
                    .help("a `}` is missing");
                self.current.push(head);
            }
        }
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Diagnostic;
    use crate::lexer::lines;
    use crate::source::Sources;

    fn built(text: &str) -> (String, Vec<String>) {
        let mut report = Report::default();
        let mut sources = Sources::default();
        let file = sources.add("t".into());
        let statements = build(lines(text, file, &mut report), &mut report);
        let found = report.into_diagnostics(&sources).iter().map(Diagnostic::to_string).collect();
        (show(&statements), found)
    }

    fn show(statements: &[Statement]) -> String {
        let shown: Vec<String> = statements
            .iter()
            .map(|Statement { keyword, args, block }| {
                let words: Vec<&str> =
                    std::iter::once(keyword).chain(args).map(|word| word.text.as_str()).collect();
                match block {
                    Some(block) => format!("{}({})", words.join(" "), show(block)),
                    None => words.join(" "),
                }
            })
            .collect();
        shown.join("; ")
    }

    #[test]
    fn a_brace_may_stand_on_the_line_or_below_it() {
        let (shown, found) = built("a x {\n b\n c y\n}\nd\n{\n e { f }\n}\ng { h i }");
        assert_eq!(shown, "a x(b; c y); d(e(f)); g(h i)");
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn braces_that_do_not_match_are_reported_where_they_are() {
        assert_eq!(
            built("a {\n b {\n c\n }\n").1,
            ["t:1:1: error: the block of `a` is not closed\nhelp: a `}` is missing"]
        );
        assert_eq!(built("a\n}\nb").1, ["t:2:1: error: `}` without a block to close"]);
        let (shown, found) = built("{ x }\na");
        assert_eq!((shown.as_str(), found.len()), ("a", 1));
    }

    #[test]
    fn depth_is_limited_and_reported_once() {
        let deep = "a {\n".repeat(100_000) + "b\n" + &"}\n".repeat(100_000);
        let (_, found) = built(&deep);
        assert_eq!(found, ["t:17:3: error: blocks are nested more than 16 deep"]);
    }
}
