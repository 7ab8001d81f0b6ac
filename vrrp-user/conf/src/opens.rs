//! Opening braces that are missing, set as keepalived takes them: a keyword of a block opens it.
//!
//! Enters: the lines of a file that was written for keepalived. Leaves: the lines with these braces, and a finding for
//! each. `global_defs` is the exception: without its brace, its lines are unknown keywords.

use super::diagnostic::Report;
use super::lexer::{Line, Token};
use super::schema::{TOP_LEVEL, opens_block};
use super::source::Position;

pub(super) fn complete(mut lines: Vec<Line>, report: &mut Report) -> Vec<Line> {
    let mut open: Vec<String> = Vec::new();
    // The statement that the next brace belongs to.
    let mut head: Option<(String, Position)> = None;
    for number in 0..lines.len() {
        let is_open_next = begins_with_brace(&lines, number + 1);
        if !begins_with_brace(&lines, number) {
            head = None;
        }
        let Some(line) = lines.get_mut(number) else { break };
        for token in &line.tokens {
            match token {
                Token::Word(word) => {
                    head.get_or_insert_with(|| (word.text.clone(), word.at));
                }
                Token::Open(_) => open.push(head.take().map_or_else(String::new, |(keyword, _)| keyword)),
                Token::Close(_) => {
                    open.pop();
                    head = None;
                }
            }
        }
        let home = open.last().map_or(TOP_LEVEL, String::as_str);
        if let Some((keyword, at)) = head.take_if(|(keyword, _)| !is_open_next && opens_block(home, keyword))
        {
            report
                .left_out(at, format!("the `{{` of `{keyword}` is missing, and taken as written"))
                .help(format!("write `{keyword} {{`"));
            line.tokens.push(Token::Open(at));
            open.push(keyword);
        }
    }
    lines
}

fn begins_with_brace(lines: &[Line], number: usize) -> bool {
    lines.get(number).is_some_and(|line| matches!(line.tokens.first(), Some(Token::Open(_))))
}
