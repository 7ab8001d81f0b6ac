//! Commands, and the users that run them.

use std::sync::Arc;

use super::super::command::{Parsed, UnclosedQuote, parse, unquoted};
use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::model::{NotifyCommand, ScriptCommand, ScriptUser};
use super::super::source::Position;

pub(super) const FORM: &str = "COMMAND [USER [GROUP]]";

/// As in keepalived, the first word is the whole command; a user and a group may follow.
pub(super) fn hook(slot: &mut Option<NotifyCommand>, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some((first, args)) = args.split_first() else {
        let message = format!("`{}` needs a command", keyword.text);
        // keepalived ends at a hook without its command, and ignores these.
        match matches!(&*keyword.text, "startup_script" | "shutdown_script") {
            true => report.left_out(keyword.at, message),
            false => report.error(keyword.at, message),
        };
        return;
    };
    if slot.is_some() {
        report.warning(keyword.at, format!("`{}` is written already; this one is ignored", keyword.text));
        return;
    }
    if let Some(argument) = args.iter().enumerate().find(|(index, word)| *index > 1 || !is_name(&word.text)) {
        report
            .left_out(argument.1.at, format!("`{}` is neither a user nor a group", argument.1.text))
            .help("put the command and its arguments in quotes; a user and a group may follow");
        return;
    }
    let user = if args.is_empty() { None } else { user(keyword, args, report) };
    *slot =
        read(first.inner(), first.quote(), first.at, report).map(|command| NotifyCommand { command, user });
}

/// Parses the command in a word; quotes inside it belong to the command. `outer`: the quote around it.
pub(super) fn read(
    text: &str,
    outer: Option<char>,
    at: Position,
    report: &mut Report,
) -> Option<ScriptCommand> {
    let inner = outer.map(|quote| unquoted(text, quote));
    match parse(inner.as_deref().unwrap_or(text)) {
        Ok(Some(Parsed { command, for_shell })) => {
            if let Some(word) = for_shell {
                report
                    .warning(
                        at,
                        format!("no shell runs the command: `{word}` is an argument, as with keepalived"),
                    )
                    .help("for a shell, write /bin/sh -c '…'");
            }
            Some(command)
        }
        Ok(None) => {
            report.left_out(at, "the command is empty");
            None
        }
        Err(UnclosedQuote(quote)) => {
            report.left_out(at, format!("a quote {quote} inside the command is not closed"));
            None
        }
    }
}

/// Reads `USER [[:]GROUP]` after `keyword`.
pub(super) fn user(keyword: &Word, args: &[Word], report: &mut Report) -> Option<ScriptUser> {
    let (first, rest) = match args {
        [] => {
            report.left_out(keyword.at, format!("`{}` needs a user name", keyword.text));
            return None;
        }
        [first, rest @ ..] => (first, rest),
    };
    if let [_, extra, ..] = rest {
        report.left_out(extra.at, format!("unexpected `{}` after a user and a group", extra.text));
        return None;
    }
    let (name, group) = match (first.text.split_once(':'), rest.first()) {
        (Some((name, group)), None) => (name, Some(group)),
        (_, group) => (first.text.as_str(), group.map(|group| group.text.trim_start_matches(':'))),
    };
    Some(ScriptUser { name: name.into(), group: group.filter(|group| !group.is_empty()).map(Arc::from) })
}

/// Whether `text` may be a user or a group.
fn is_name(text: &str) -> bool {
    !text.starts_with('-')
        && text.chars().all(|letter| letter.is_alphanumeric() || "_-.:$@\\".contains(letter))
}
