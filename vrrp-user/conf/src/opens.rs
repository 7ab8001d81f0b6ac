//! Opening braces that are missing, set as keepalived takes them: a keyword of a block opens it.
//!
//! Enters: the lines of a file that was written for keepalived. Leaves: the lines with these braces, and a finding for
//! each. `global_defs` is the exception: without its brace, its lines are unknown keywords.

use super::diagnostic::Report;
use super::lexer::{Line, Token};
use super::schema::{GLOBAL_DEFS, TOP_LEVEL, opens_block};
use super::source::Position;

/// An open block.
struct Open {
    keyword: String,
    /// Its brace is set, and it is in `global_defs`. The process that reads instances skips that block by the braces as
    /// they are written, so its `}` ends both.
    in_globals: bool,
}

pub(super) fn complete(mut lines: Vec<Line>, report: &mut Report) -> Vec<Line> {
    let mut open: Vec<Open> = Vec::new();
    // The statement that the next brace belongs to.
    let mut head: Option<(String, Position)> = None;
    for number in 0..lines.len() {
        let is_open_next = begins_with_brace(&lines, number + 1);
        if !begins_with_brace(&lines, number) {
            head = None;
        }
        let Some(line) = lines.get_mut(number) else { break };
        let mut closes = Vec::new();
        for (index, token) in line.tokens.iter().enumerate() {
            match token {
                Token::Word(word) => {
                    head.get_or_insert_with(|| (word.text.clone(), word.at));
                }
                Token::Open(_) => {
                    let keyword = head.take().map_or_else(String::new, |(keyword, _)| keyword);
                    open.push(Open { keyword, in_globals: false });
                }
                Token::Close(at) => {
                    if open.pop().is_some_and(|block| block.in_globals) {
                        closes.push((index, *at));
                        open.pop();
                    }
                    head = None;
                }
            }
        }
        for (index, at) in closes.into_iter().rev() {
            line.tokens.insert(index, Token::Close(at));
        }
        let home = open.last().map_or(TOP_LEVEL, |block| block.keyword.as_str());
        if let Some((keyword, at)) = head.take_if(|(keyword, _)| !is_open_next && opens_block(home, keyword))
        {
            report
                .left_out(at, format!("the `{{` of `{keyword}` is missing, and taken as written"))
                .help(format!("write `{keyword} {{`"));
            line.tokens.push(Token::Open(at));
            open.push(Open { in_globals: home == GLOBAL_DEFS, keyword });
        }
    }
    lines
}

fn begins_with_brace(lines: &[Line], number: usize) -> bool {
    lines.get(number).is_some_and(|line| matches!(line.tokens.first(), Some(Token::Open(_))))
}
