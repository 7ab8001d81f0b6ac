//! `authentication` of an instance.

use super::super::diagnostic::{Report, did_you_mean};
use super::super::lexer::Word;
use super::super::source::At;
use super::super::tree::Statement;
use super::table::{self, Kind, Row};
use super::value;

#[derive(Debug, Default)]
pub(crate) struct AuthDraft {
    pub(crate) kind: Option<At<AuthType>>,
    /// As sent, before truncation to eight bytes.
    pub(crate) password: Option<At<String>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AuthType {
    None,
    Pass,
    Ah,
}

pub(super) const ROWS: &[Row<AuthDraft>] = &[
    Row::works(
        "auth_type",
        Kind::Own("PASS or AH", auth_type),
        "none",
        "PASS sends the password; AH signs with it, in an IPsec authentication header",
    ),
    Row::works("auth_pass", Kind::Own("TEXT", auth_pass), "", "password; its first 8 bytes count"),
];

pub(super) fn read(
    slot: &mut Option<At<AuthDraft>>,
    statement: &Statement,
    inner: &[Statement],
    report: &mut Report,
) {
    let at = statement.keyword.at;
    if slot.is_some() {
        report.warning(
            at,
            "a second `authentication` block: its lines replace the same lines of the first one",
        );
    }
    // keepalived keeps lines that the second block does not repeat.
    let auth = slot.get_or_insert_with(|| At { value: AuthDraft::default(), at });
    table::read_block(&[ROWS], "authentication", inner, &mut auth.value, report);
}

fn auth_type(auth: &mut AuthDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word(&keyword.text, keyword.at, args, report) else { return };
    let value = match word.text.as_str() {
        "PASS" => AuthType::Pass,
        "NONE" => AuthType::None,
        "AH" => AuthType::Ah,
        other => {
            let help = did_you_mean(other, ["PASS", "AH"]);
            report
                .left_out(word.at, format!("`auth_type` is PASS or AH, not `{other}`"))
                .elects(true)
                .help_maybe(help);
            AuthType::None
        }
    };
    auth.kind = Some(At { value, at: word.at });
}

fn auth_pass(auth: &mut AuthDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some(word) = value::read_only_word(&keyword.text, keyword.at, args, report) else { return };
    let text = password(word, "password", report);
    auth.password = Some(At { value: text.to_owned(), at: word.at });
}

/// The same bytes as in keepalived: double quotes are removed, single quotes and backslashes are part of the password.
pub(super) fn password<'a>(word: &'a Word, what: &str, report: &mut Report) -> &'a str {
    // In keepalived a backslash is a literal here; the next quote, or outside of quotes a blank, ends the password.
    let (written, text) = if word.quote() == Some('"') {
        (word.inner(), word.inner().split('"').next())
    } else {
        (word.raw.as_str(), word.raw.split(|letter: char| letter == '"' || letter.is_whitespace()).next())
    };
    let text = text.unwrap_or(written);
    if text.len() < written.len() {
        report
            .warning(
                word.at,
                format!("the {what} ends at the first quote or blank in it, as with keepalived"),
            )
            .help(format!("use a {what} without quotes and blanks"));
    }
    if word.quote() == Some('\'') {
        report
            .warning(word.at, format!("single quotes are part of the {what}, as with keepalived"))
            .help("use double quotes, or no quotes");
    }
    if word.comment_follows {
        report
            .warning(word.at, format!("the {what} ends at the comment that directly follows it"))
            .help(format!("put the {what} in double quotes if `#` or `!` is part of it"));
    }
    if text.contains('\u{fffd}') {
        report.left_out(word.at, format!("the {what} contains bytes that are not UTF-8"));
    }
    text
}
