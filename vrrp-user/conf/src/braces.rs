//! Braces that are missing or too many, and where.
//!
//! Enters: the lines of a file. Leaves: the faults by their causes, and lines with the braces corrected, so that a
//! fault of one brace is not reported as a fault of each line behind it. Absent: whether the file is refused for it.
//!
//! Counting finds the end of the file, not the fault. Three observations find the fault: a keyword that belongs to an
//! outer block, or only to the top level; a keyword behind the end of its block; and, where there is one of these, a
//! brace at the indentation of an outer block.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::diagnostic::Report;
use super::lexer::{Line, Token, Word};
use super::schema::{TOP_LEVEL, homes_of};
use super::source::Position;

/// Lines of a file that are corrected; a longer one is reported as it is.
const LINES_MAX: usize = 100_000;

/// A token, by line and place in it.
type BracePlace = (usize, usize);

/// The faults of a file, at least one.
#[derive(Debug)]
pub(super) struct Braces {
    causes: Vec<Cause>,
    /// A brace is missing before these, as many as it is listed.
    missing: Vec<BracePlace>,
    surplus: HashSet<BracePlace>,
}

#[derive(Debug)]
struct Cause {
    at: Position,
    message: String,
    help: String,
}

impl Braces {
    /// `None` if all braces match, as far as can be seen.
    pub(super) fn examine(lines: &[Line]) -> Option<Self> {
        if lines.len() > LINES_MAX || Reading::of(lines, false).faults.causes.is_empty() {
            return None;
        }
        Some(Reading::of(lines, true).faults).filter(|faults| !faults.causes.is_empty())
    }

    /// Reports the causes, before all other findings.
    pub(super) fn report(&self, report: &mut Report) {
        for Cause { at, message, help } in &self.causes {
            report.left_out(*at, message.clone()).elects(true).first().help(help.clone());
        }
    }

    pub(super) fn correct(&self, lines: &[Line]) -> Vec<Line> {
        let mut missing = self.missing.iter().peekable();
        let mut corrected = Vec::with_capacity(lines.len());
        for (number, line) in lines.iter().enumerate() {
            let mut tokens = Vec::with_capacity(line.tokens.len());
            for (index, token) in line.tokens.iter().enumerate() {
                while missing.next_if_eq(&&(number, index)).is_some() {
                    tokens.push(Token::Close(position(token)));
                }
                if !self.surplus.contains(&(number, index)) {
                    tokens.push(token.clone());
                }
            }
            corrected.push(Line { tokens });
        }
        let end = lines.last().and_then(|line| line.tokens.last()).map_or_else(Position::default, position);
        let tokens: Vec<_> = missing.map(|_| Token::Close(end)).collect();
        corrected.extend((!tokens.is_empty()).then_some(Line { tokens }));
        corrected
    }
}

/// An open block.
#[derive(Clone, Debug)]
struct Open<'a> {
    keyword: &'a str,
    at: Position,
    /// Column of the first word on its line.
    indent: u32,
}

/// A reading of the lines from the first to the last.
struct Reading<'a> {
    open: Vec<Open<'a>>,
    /// Blocks closed since the latest statement, and the braces that did it.
    closed: Vec<(Open<'a>, BracePlace, Position)>,
    /// The blocks that keywords belong to: a file has few, and each many times.
    homes: HashMap<&'a str, Rc<[&'static str]>>,
    faults: Braces,
}

impl<'a> Reading<'a> {
    fn of(lines: &'a [Line], by_indentation: bool) -> Self {
        let faults = Braces { causes: Vec::new(), missing: Vec::new(), surplus: HashSet::new() };
        let mut this = Self { open: Vec::new(), closed: Vec::new(), homes: HashMap::new(), faults };
        let mut head: Option<(&Word, u32)> = None;
        for (number, line) in lines.iter().enumerate() {
            let Some(indent) = line.tokens.first().map(|token| position(token).column) else { continue };
            let mut is_start = true;
            for (index, token) in line.tokens.iter().enumerate() {
                let place = (number, index);
                match token {
                    Token::Word(word) if is_start => {
                        this.statement(word, place, has_block(lines, place));
                        head = Some((word, indent));
                    }
                    Token::Word(_) => {}
                    Token::Open(at) => {
                        let (keyword, at, indent) = head
                            .take()
                            .map_or(("", *at, indent), |(word, indent)| (&*word.text, word.at, indent));
                        this.open.push(Open { keyword, at, indent });
                        this.closed.clear();
                    }
                    Token::Close(at) => {
                        let indent = (by_indentation && index == 0).then_some(indent);
                        this.close(*at, place, indent);
                        head = None;
                    }
                }
                is_start = !matches!(token, Token::Word(_));
            }
        }
        let end = (lines.len(), 0);
        while let Some(block) = this.open.pop() {
            this.lacks_end(&block, end, "a `}` is missing".to_owned());
        }
        this
    }

    /// A keyword at the start of a statement. Names may be keywords as well, so only blocks are taken for a fault of
    /// the blocks around them.
    fn statement(&mut self, word: &'a Word, place: BracePlace, has_block: bool) {
        let homes = self.homes.entry(&word.text).or_insert_with(|| homes_of(&word.text).into());
        let homes = Rc::clone(homes);
        let around = self.open.last().map_or(TOP_LEVEL, |block| block.keyword);
        let is_home = |block: &str| homes.contains(&block);
        if homes.is_empty() || is_home(around) {
            self.closed.clear();
            return;
        }
        if let Some(first) = self.closed.iter().rposition(|(block, ..)| is_home(block.keyword)) {
            for (block, brace, at) in self.closed.split_off(first).into_iter().rev() {
                self.faults.surplus.insert(brace);
                self.faults.causes.push(Cause {
                    at,
                    message: format!("`}}` ends the block of `{}` too early", block.keyword),
                    help: format!(
                        "`{}` in line {} belongs in it; is this `}}` too many?",
                        word.text, word.at.line
                    ),
                });
                self.open.push(block);
            }
        } else if has_block {
            let outer = self.open.iter().rposition(|block| is_home(block.keyword)).map(|found| found + 1);
            let outer = outer.or_else(|| is_home(TOP_LEVEL).then_some(0));
            while outer.is_some_and(|outer| self.open.len() > outer)
                && let Some(block) = self.open.pop()
            {
                let help = format!("a `}}` is missing before `{}` in line {}", word.text, word.at.line);
                self.lacks_end(&block, place, help);
            }
        }
        self.closed.clear();
    }

    fn close(&mut self, at: Position, place: BracePlace, indent: Option<u32>) {
        let outer = indent.and_then(|indent| self.open.iter().rposition(|block| block.indent == indent));
        let is_within = |block: &Open<'_>| indent.is_some_and(|indent| block.indent > indent);
        if let Some(outer) = outer.filter(|outer| self.open.iter().skip(outer + 1).all(is_within)) {
            while self.open.len() > outer + 1
                && let Some(block) = self.open.pop()
            {
                self.lacks_end(&block, place, format!("a `}}` is missing before line {}", at.line));
            }
        }
        if let Some(block) = self.open.pop() {
            self.closed.push((block, place, at));
        } else {
            self.faults.surplus.insert(place);
            self.faults.causes.push(Cause {
                at,
                message: "`}` without a block to close".to_owned(),
                help: "is this `}` too many?".to_owned(),
            });
        }
    }

    fn lacks_end(&mut self, block: &Open<'_>, place: BracePlace, help: String) {
        // Nothing to say about a block without a keyword: that is a fault of its own.
        if !block.keyword.is_empty() {
            let message = format!("the block of `{}` is not closed", block.keyword);
            self.faults.causes.push(Cause { at: block.at, message, help });
            self.faults.missing.push(place);
        }
    }
}

/// Whether a brace follows the statement that begins here, on this line or at the start of the next.
fn has_block(lines: &[Line], (number, index): BracePlace) -> bool {
    let rest = lines.get(number).and_then(|line| line.tokens.get(index..)).unwrap_or_default();
    let next = rest.iter().find(|token| !matches!(token, Token::Word(_)));
    let below = || lines.get(number + 1).and_then(|line| line.tokens.first());
    matches!(next.or_else(below), Some(Token::Open(_)))
}

fn position(token: &Token) -> Position {
    match token {
        Token::Word(word) => word.at,
        Token::Open(at) | Token::Close(at) => *at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Diagnostic;
    use crate::lexer::lines;
    use crate::source::Sources;

    /// The causes, and the braces of the corrected lines.
    fn examined(text: &str) -> (Vec<String>, String) {
        let mut report = Report::default();
        let mut sources = Sources::default();
        let file = sources.add("t".into());
        let lines = lines(text, file, &mut report);
        let Some(braces) = Braces::examine(&lines) else { return (Vec::new(), String::new()) };
        braces.report(&mut report);
        let corrected = braces.correct(&lines);
        assert!(Braces::examine(&corrected).is_none(), "{text}: {corrected:?}");
        let shown = corrected.iter().flat_map(|line| &line.tokens).map(|token| match token {
            Token::Word(word) => format!(" {}", word.text),
            Token::Open(_) => " {".to_owned(),
            Token::Close(_) => " }".to_owned(),
        });
        let found = report.into_diagnostics(&sources).iter().map(Diagnostic::to_string).collect();
        (found, shown.collect::<String>().trim_start().to_owned())
    }

    #[test]
    fn matching_braces_are_no_fault() {
        for text in [
            "vrrp_instance a {\n interface x\n virtual_ipaddress { 192.0.2.1 }\n}",
            // Names that are keywords, and any indentation.
            "vrrp_sync_group g {\n group {\n state\n }\n}\nvrrp_instance state {\ntrack_script {\n priority\n}\n    }",
            "virtual_server 192.0.2.1 80 {\n real_server 192.0.2.2 80 {\n weight 1\n }\n }\n",
            "",
        ] {
            assert_eq!(examined(text), (Vec::new(), String::new()), "{text}");
        }
    }

    #[test]
    fn a_block_without_an_end_is_found_by_the_keyword_behind_it() {
        let (found, shown) = examined("vrrp_script c {\nscript x\nvrrp_instance a {\ninterface x\n}\n");
        assert_eq!(
            found,
            [
                "t:1:1: error: the block of `vrrp_script` is not closed\nhelp: a `}` is missing before `vrrp_instance` \
              in line 3"
            ]
        );
        assert_eq!(shown, "vrrp_script c { script x } vrrp_instance a { interface x }");
    }

    #[test]
    fn a_brace_lost_and_one_too_many_later_are_two_faults() {
        let text =
            "vrrp_instance a {\n    virtual_ipaddress {\n        192.0.2.1\n}\nvrrp_instance b {\n}\n}\n";
        let (found, shown) = examined(text);
        assert_eq!(
            found,
            [
                "t:2:5: error: the block of `virtual_ipaddress` is not closed\nhelp: a `}` is missing before line 4",
                "t:7:1: error: `}` without a block to close\nhelp: is this `}` too many?"
            ]
        );
        assert_eq!(shown, "vrrp_instance a { virtual_ipaddress { 192.0.2.1 } } vrrp_instance b { }");
    }

    #[test]
    fn a_keyword_behind_the_end_of_its_block_shows_the_brace_too_many() {
        let (found, shown) = examined("vrrp_instance a {\n interface x\n }\n}\npriority 9\n}\n");
        assert_eq!(
            found[0],
            "t:3:2: error: `}` ends the block of `vrrp_instance` too early\nhelp: `priority` in line 5 \
            belongs in it; is this `}` too many?",
            "{found:?}"
        );
        assert_eq!(shown, "vrrp_instance a { interface x priority 9 }");
    }
}
