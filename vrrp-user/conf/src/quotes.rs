//! Quotes that keepalived reads in another way, for a file that need not be one for keepalived.

use super::command::is_command;
use super::diagnostic::Report;
use super::lexer::Word;
use super::tree::Statement;

/// Blocks that keepalived does not have.
const OWN: &[&str] = &["auth_hmac", "notify_webhook", "vrrp_check"];

pub(super) fn check(statements: &[Statement], report: &mut Report) {
    for Statement { keyword, args, block } in statements {
        if OWN.contains(&keyword.text.as_str()) {
            continue;
        }
        // Single quotes of a password are a part of it here too.
        let is_alike = keyword.text == "auth_pass" && args.iter().all(|word| !word.raw.contains(['#', '!']));
        if !is_command(&keyword.text) && !is_alike {
            std::iter::once(keyword).chain(args).for_each(|word| word_of(word, report));
        }
        check(block.as_deref().unwrap_or_default(), report);
    }
}

fn word_of(word: &Word, report: &mut Report) {
    let Word { raw, at, .. } = word;
    if word.quote() == Some('\'') {
        report
            .warning_once(
                "single quote",
                *at,
                "the single quotes hold a word together; to keepalived, ' is a letter",
            )
            .help("write \" instead");
        return;
    }
    let inner = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    if word.quote().is_some() && raw.contains('\\') {
        report
            .warning_once("backslash in quotes", *at, "to keepalived, a backslash between quotes is a letter")
            .help("write the word without it");
    } else if raw.contains('"') && inner.is_none_or(|inner| inner.contains('"')) {
        report
            .warning_once("quote in a word", *at, "this is one word; keepalived ends a word at a \"")
            .help("put the whole word in quotes, or none of it");
    }
}
