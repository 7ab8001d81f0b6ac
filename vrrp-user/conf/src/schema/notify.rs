//! `notify` and the other hooks of an instance.

use super::super::diagnostic::Report;
use super::super::lexer::Word;
use super::super::model::NotifyCommand;
use super::instance::InstanceDraft;
use super::{Kind, Row, globals, script};

pub(super) const FORM: &str = "COMMAND [USER [GROUP]]";

/// The row of a hook, by its place in the draft.
macro_rules! hook_row {
    ($keyword:literal, $($place:ident).+, $summary:literal) => {
        crate::schema::Row::works(
            $keyword,
            crate::schema::Kind::Own(crate::schema::notify::FORM, |it, word, args, report| {
                crate::schema::notify::hook(&mut it.$($place).+, word, args, report);
            }),
            "",
            $summary,
        )
    };
}
pub(super) use hook_row;

/// Hooks other than those for states.
pub(super) const MORE: &[Row<InstanceDraft>] = &[
    Row::works(
        "notify_deleted",
        Kind::Own("[COMMAND [USER [GROUP]]]", deleted),
        "off",
        "an instance that a reload removes is reported as `DELETED`, not as `FAULT`; runs the command",
    ),
    hook_row!(
        "notify_master_rx_lower_pri",
        notify.lower,
        "run when a master receives an advert of a master with lower priority"
    ),
    Row::works(
        "notify_priority_changes",
        Kind::Bool(|it, on| it.notify_priority_changes = Some(on)),
        "`vrrp_notify_priority_changes`",
        "write changes of the priority to FIFOs",
    ),
];

fn deleted(it: &mut InstanceDraft, keyword: &Word, args: &[Word], report: &mut Report) {
    it.notify.reports_deleted = true;
    if !args.is_empty() {
        hook(&mut it.notify.deleted, keyword, args, report);
    }
}

/// As in keepalived, the first word is the whole command; a user and a group may follow.
pub(super) fn hook(slot: &mut Option<NotifyCommand>, keyword: &Word, args: &[Word], report: &mut Report) {
    let Some((first, user)) = args.split_first() else {
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
    if let Some(argument) = user.iter().enumerate().find(|(index, word)| *index > 1 || !is_name(&word.text)) {
        report
            .left_out(argument.1.at, format!("`{}` is neither a user nor a group", argument.1.text))
            .help("put the command and its arguments in quotes; a user and a group may follow");
        return;
    }
    let user = if user.is_empty() { None } else { globals::user(keyword, user, report) };
    *slot = script::command(first.inner(), first.at, report).map(|command| NotifyCommand { command, user });
}

/// Whether `text` may be a user or a group.
fn is_name(text: &str) -> bool {
    !text.starts_with('-')
        && text.chars().all(|letter| letter.is_alphanumeric() || "_-.:$@\\".contains(letter))
}
