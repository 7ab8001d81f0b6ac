//! The table of a block: one row per keyword, and how lines are read with it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::diagnostic::{Report, did_you_mean};
use super::super::lexer::Word;
use super::super::model::NotifyCommand;
use super::super::source::At;
use super::super::tree::Statement;
use super::command;
use super::value::{self, elects};

pub(crate) const TOP_LEVEL: &str = "the top level";

pub(crate) const GLOBAL_DEFS: &str = "global_defs";

/// A keyword of one block; `T` is the draft it fills.
pub(super) struct Row<T: 'static> {
    pub(super) keyword: &'static str,
    /// Older and equivalent spellings.
    pub(super) aliases: &'static [&'static str],
    pub(super) kind: Kind<T>,
    pub(super) effect: Effect,
    /// For display; empty if there is none.
    pub(super) default: &'static str,
    pub(super) summary: &'static str,
    /// The number that keepalived takes for a wrong one; `None`: as if the line were not there.
    pub(super) instead: Option<i64>,
}

/// Values of a keyword, and the function that stores them.
pub(super) enum Kind<T> {
    /// No value.
    Flag(fn(&mut T, At<()>)),
    /// `on`, `off`, `true`, `false`, `yes`, `no`, or nothing, which is `on`.
    Bool(fn(&mut T, At<bool>)),
    Integer(i64, i64, fn(&mut T, At<i64>)),
    /// Seconds with decimals, within the two bounds.
    Seconds(Duration, Duration, fn(&mut T, At<Duration>)),
    Text(fn(&mut T, At<Arc<str>>)),
    /// One word, in this form; it is judged when the other lines of the block are known.
    Form(&'static str, fn(&mut T, At<Arc<str>>)),
    /// A command, and the user that runs it.
    Hook(fn(&mut T) -> &mut Option<NotifyCommand>),
    /// Words in a form of their own.
    Own(&'static str, fn(&mut T, &Word, &[Word], &mut Report)),
    /// Words, then a block.
    Block(&'static str, fn(&mut T, &Statement, &[Statement], &mut Report)),
    /// Words, then a block or none.
    Open(&'static str, fn(&mut T, &Statement, &mut Report)),
    /// Any words.
    Any,
}

/// Effect of a keyword here.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    Works,
    /// Accepted with a warning that names the consequence.
    Missing(&'static str),
    /// Accepted silently, as the requested behaviour is the only one here.
    Moot(&'static str),
    /// An error: without it, this node would not work with its peers.
    Refused(&'static str),
    /// Belongs to keepalived's load balancer or its other processes.
    Foreign,
}

impl<T> Row<T> {
    pub(super) const fn works(
        keyword: &'static str,
        kind: Kind<T>,
        default: &'static str,
        summary: &'static str,
    ) -> Self {
        Self { keyword, aliases: &[], kind, effect: Effect::Works, default, summary, instead: None }
    }

    pub(super) const fn hook(
        keyword: &'static str,
        slot: fn(&mut T) -> &mut Option<NotifyCommand>,
        summary: &'static str,
    ) -> Self {
        Self::works(keyword, Kind::Hook(slot), "", summary)
    }

    pub(super) const fn missing(
        keyword: &'static str,
        summary: &'static str,
        consequence: &'static str,
    ) -> Self {
        Self::inert(keyword, Effect::Missing(consequence), summary)
    }

    pub(super) const fn moot(keyword: &'static str, summary: &'static str, reason: &'static str) -> Self {
        Self::inert(keyword, Effect::Moot(reason), summary)
    }

    pub(super) const fn refused(keyword: &'static str, summary: &'static str, reason: &'static str) -> Self {
        Self::inert(keyword, Effect::Refused(reason), summary)
    }

    pub(super) const fn foreign(keyword: &'static str) -> Self {
        Self::inert(keyword, Effect::Foreign, "load balancer")
    }

    pub(super) const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Names the number that counts in place of a wrong one.
    pub(super) const fn instead(mut self, number: i64) -> Self {
        self.instead = Some(number);
        self
    }

    /// Takes no value, so that the options after it are read.
    pub(super) const fn flag(mut self) -> Self {
        self.kind = Kind::Flag(|_, _| {});
        self
    }

    const fn inert(keyword: &'static str, effect: Effect, summary: &'static str) -> Self {
        Self { keyword, aliases: &[], kind: Kind::Any, effect, default: "", summary, instead: None }
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.keyword == word || self.aliases.contains(&word)
    }
}

impl<T> Kind<T> {
    fn takes_block(&self) -> bool {
        matches!(self, Self::Block(..) | Self::Open(..) | Self::Any)
    }

    /// Whether it holds one value, which a second one replaces.
    fn is_single(&self) -> bool {
        !matches!(self, Self::Hook(_) | Self::Own(..) | Self::Block(..) | Self::Open(..) | Self::Any)
    }
}

/// The keywords of one block, in one or more tables.
pub(super) type Tables<T> = &'static [&'static [Row<T>]];

pub(super) fn rows<T>(tables: Tables<T>) -> impl Iterator<Item = &'static Row<T>> {
    tables.iter().copied().flatten()
}

/// Reads the statements of a block with the tables of its keywords.
pub(super) fn read_block<T>(
    tables: Tables<T>,
    place: &str,
    statements: &[Statement],
    target: &mut T,
    report: &mut Report,
) {
    read_lines(tables, place, statements, &mut HashSet::new(), target, report);
}

fn read_lines<T>(
    tables: Tables<T>,
    place: &str,
    statements: &[Statement],
    seen: &mut HashSet<&'static str>,
    target: &mut T,
    report: &mut Report,
) {
    let mut rest = statements;
    while let Some((statement, behind)) = rest.split_first() {
        rest = behind;
        if report.is_full() {
            return;
        }
        let keyword = &statement.keyword;
        let Some(row) = rows(tables).find(|row| row.is(&keyword.text)) else {
            unknown(tables, place, statement, report);
            // keepalived ignores the brace too: the lines belong to this block, and their `}` closes it.
            if let Some(inner) = statement.block.as_ref().filter(|_| report.is_tolerant()) {
                read_lines(tables, place, inner, seen, target, report);
                if place != TOP_LEVEL {
                    report.moved.push_back(rest.to_vec());
                    return;
                }
            }
            continue;
        };
        if row.kind.is_single() && !seen.insert(row.keyword) {
            report.warning(
                keyword.at,
                format!("`{}` is written twice in this block; the last one counts", row.keyword),
            );
        }
        if let Some(inner) = statement.block.as_ref().filter(|_| !row.kind.takes_block())
            && report.is_tolerant()
        {
            let message = format!("`{}` takes no block: its `{{` is ignored", row.keyword);
            report.left_out(keyword.at, message).elects(true);
            if takes_effect(row, keyword, &statement.args, report) {
                read_value(row, keyword, &statement.args, target, report);
            }
            read_lines(tables, place, inner, seen, target, report);
            if place != TOP_LEVEL {
                report.moved.push_back(rest.to_vec());
                return;
            }
            continue;
        }
        // Lines moved to the enclosing blocks do not apply to the inner ones.
        let pending = std::mem::take(&mut report.moved);
        read_statement(row, statement, target, report);
        let mut moved = std::mem::replace(&mut report.moved, pending);
        if place == TOP_LEVEL && row.keyword == GLOBAL_DEFS && !moved.is_empty() {
            // The process that reads instances skips this block by its braces.
            report
                .left_out(keyword.at, "all to the `}` that matches the `{` of `global_defs` is skipped")
                .elects(true)
                .help("is a `}` missing?");
        } else if place == TOP_LEVEL {
            // No brace closes the top level.
            moved.iter().for_each(|lines| read_lines(tables, place, lines, seen, target, report));
        } else if let Some(lines) = moved.pop_front() {
            read_lines(tables, place, &lines, seen, target, report);
            report.moved.extend(moved);
            report.moved.push_back(rest.to_vec());
            return;
        }
    }
}

fn unknown<T>(tables: Tables<T>, place: &str, statement: &Statement, report: &mut Report) {
    let keyword = &statement.keyword;
    let what = if statement.block.is_some() { "block" } else { "keyword" };
    let homes = report.homes;
    let help = || {
        let mut homes = homes.iter().filter(|(_, has)| has(&keyword.text)).map(|(home, _)| *home);
        match (homes.next(), homes.next()) {
            (Some(TOP_LEVEL), None) => {
                Some(format!("`{}` belongs at the top level; is a `}}` missing before it?", keyword.text))
            }
            (Some(home), None) => Some(format!("`{}` belongs in `{home}`", keyword.text)),
            _ => did_you_mean(&keyword.text, rows(tables).map(|row| row.keyword)),
        }
    };
    let preposition = if place == TOP_LEVEL { "at" } else { "in" };
    let message = format!("unknown {what} `{}` {preposition} {place}", keyword.text);
    let finding = report.left_out(keyword.at, message);
    finding.help_with(help);
    if finding.is_left_out() {
        finding.elects(statement.block.is_some() || elects(&keyword.text));
    }
}

fn read_statement<T>(row: &Row<T>, statement: &Statement, target: &mut T, report: &mut Report) {
    let Statement { keyword, args, block } = statement;
    if !takes_effect(row, keyword, args, report) {
        return;
    }
    match (&row.kind, block) {
        (Kind::Open(_, read), _) => read(target, statement, report),
        (Kind::Block(_, read), Some(inner)) => read(target, statement, inner, report),
        (Kind::Block(..), None) => {
            report
                .left_out(keyword.at, format!("`{}` needs a block", row.keyword))
                .help(format!("write `{} {{`, one statement per line, and `}}`", row.keyword));
        }
        (_, Some(_)) => {
            report.error(keyword.at, format!("`{}` takes no block", row.keyword));
        }
        (_, None) => read_value(row, keyword, args, target, report),
    }
}

/// Whether the keyword takes effect; if not, reports the consequence.
fn takes_effect<T>(row: &Row<T>, keyword: &Word, args: &[Word], report: &mut Report) -> bool {
    let name = row.keyword;
    match row.effect {
        Effect::Works => return true,
        Effect::Moot(_) => {}
        // Switched off, or set to its default, it has no consequence.
        Effect::Missing(_) | Effect::Refused(_) if is_off(args) || is_default(row, args) => {}
        Effect::Missing(consequence) => {
            report.warning_once(name, keyword.at, format!("`{name}` has no effect: {consequence}"));
        }
        Effect::Refused(reason) => {
            report.error(keyword.at, format!("`{name}` is not supported: {reason}"));
        }
        Effect::Foreign => {
            let message = format!(
                "`{name}` is skipped: it belongs to keepalived's load balancer; this daemon does VRRP only"
            );
            report
                .warning_once("load balancer", keyword.at, message)
                .harmless()
                .help("run `keepalived -C` beside it: the load balancer without VRRP");
        }
    }
    false
}

fn is_off(args: &[Word]) -> bool {
    matches!(args, [only] if value::boolean(&only.text) == Some(false))
}

fn is_default<T>(row: &Row<T>, args: &[Word]) -> bool {
    matches!(args, [only] if only.text == row.default)
}

fn read_value<T>(row: &Row<T>, keyword: &Word, args: &[Word], target: &mut T, report: &mut Report) {
    let at = keyword.at;
    match &row.kind {
        Kind::Flag(set) => {
            if let Some(extra) = args.first() {
                report.warning(
                    extra.at,
                    format!("`{}` takes no value; `{}` is ignored", row.keyword, extra.text),
                );
            }
            set(target, At { value: (), at });
        }
        Kind::Bool(set) => {
            let faults = report.faults();
            if let Some(value) = value::read_bool(row.keyword, at, args, report) {
                set(target, value);
            } else if row.instead.is_some() && report.is_tolerant() && report.faults() > faults {
                report.help_last("`on` counts instead, as with keepalived".to_owned());
                set(target, At { value: true, at });
            }
        }
        Kind::Integer(low, high, set) => {
            let faults = report.faults();
            if let Some(value) = value::read_integer(row.keyword, at, args, *low, *high, report) {
                set(target, value);
            } else if let Some(number) = instead(row, args, faults, report) {
                set(target, At { value: number, at });
            }
        }
        Kind::Seconds(low, high, set) => {
            let faults = report.faults();
            if let Some(value) = value::read_seconds(row.keyword, at, args, *low, *high, report) {
                set(target, value);
            } else if let Some(number) = instead(row, args, faults, report) {
                set(target, At { value: Duration::from_secs(number.unsigned_abs()), at });
            }
        }
        Kind::Text(set) | Kind::Form(_, set) => {
            if let Some(word) = value::read_only_word(row.keyword, at, args, report) {
                set(target, word.placed());
            }
        }
        Kind::Hook(slot) => command::hook(slot(target), keyword, args, report),
        Kind::Own(_, read) => read(target, keyword, args, report),
        Kind::Block(..) | Kind::Open(..) | Kind::Any => {}
    }
}

/// The number in place of a wrong one, which has just been left out.
fn instead<T>(row: &Row<T>, args: &[Word], faults: usize, report: &mut Report) -> Option<i64> {
    let number =
        row.instead.filter(|_| report.is_tolerant() && !args.is_empty() && report.faults() > faults)?;
    report.help_last(format!("{number} counts instead, as with keepalived"));
    Some(number)
}

/// Reads `option [value] …` after an address or a name.
pub(super) fn read_options<T>(
    rows: &'static [Row<T>],
    place: &str,
    words: &[Word],
    target: &mut T,
    report: &mut Report,
) {
    let mut rest = words;
    let mut seen = Vec::new();
    while let Some((option, after)) = rest.split_first() {
        let Some(row) = rows.iter().find(|row| row.is(&option.text)) else {
            let elects = elects(&option.text);
            let message = format!("unknown option `{}` {place}", option.text);
            report.left_out(option.at, message).elects(elects).help_with(|| {
                let known = did_you_mean(&option.text, rows.iter().map(|row| row.keyword));
                known.or_else(|| Some("write one entry per line, followed by its options".to_owned()))
            });
            if !report.is_tolerant() {
                return;
            }
            rest = after;
            continue;
        };
        let takes = match (&row.kind, row.effect) {
            (Kind::Flag(_), _) => 0,
            _ => after.len().min(1),
        };
        if takes > 0 && seen.contains(&row.keyword) {
            report.warning(
                option.at,
                format!("`{}` is written twice on this line; the last one counts", row.keyword),
            );
        }
        seen.push(row.keyword);
        let (values, after) = after.split_at(takes);
        if takes_effect(row, option, values, report) {
            read_value(row, option, values, target, report);
        }
        rest = after;
    }
}
