//! Keyword tables for the documentation: as Markdown, and by field for the man page.

use std::fmt::Write;
use std::time::Duration;

use super::table::{Effect, Kind, Row, TOP_LEVEL, Tables, rows};
use super::{
    address, adverts, auth, check, command, group, hmac, instance, root, script, track, watch, webhook,
};

/// Keywords of one block.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeywordTable {
    pub block: &'static str,
    pub keywords: Vec<Keyword>,
}

/// A keyword, for display. Words of the language stand in backquotes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Keyword {
    /// With older and equivalent spellings.
    pub names: Vec<&'static str>,
    pub value: String,
    pub default: &'static str,
    /// Whether it works here.
    pub state: String,
    pub meaning: &'static str,
}

impl KeywordTable {
    /// A Markdown table: one line per keyword.
    pub fn markdown(&self) -> String {
        let mut markdown =
            String::from("| keyword | value | default | state | meaning |\n|---|---|---|---|---|\n");
        for Keyword { names, value, default, state, meaning } in &self.keywords {
            let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            // Writing to a string cannot fail.
            let _ = writeln!(markdown, "| {names} | {value} | {default} | {state} | {meaning} |");
        }
        markdown
    }
}

/// All keywords of a file, by block.
pub fn keywords() -> Vec<KeywordTable> {
    vec![
        table(TOP_LEVEL, root::TABLES),
        table("global_defs", root::GLOBALS),
        table("vrrp_script", script::TABLES),
        table("vrrp_check", check::TABLES),
        table("vrrp_track_process", watch::PROCESS),
        table("track_file", watch::FILE),
        table("vrrp_instance", instance::TABLES),
        table("vrrp_sync_group", group::TABLES),
        table("authentication", &[auth::ROWS]),
        table("auth_hmac", &[hmac::ROWS]),
        table("notify_webhook", &[webhook::OPTIONS]),
        table("virtual_ipaddress", &[address::OPTIONS]),
        table("track_script, track_interface, track_process, track_file", &[track::OPTIONS]),
        table("unicast_peer", &[adverts::PEER_OPTIONS]),
    ]
}

fn table<T>(block: &'static str, tables: Tables<T>) -> KeywordTable {
    KeywordTable { block, keywords: rows(tables).map(keyword).collect() }
}

fn keyword<T>(row: &Row<T>) -> Keyword {
    Keyword {
        names: [&[row.keyword], row.aliases].concat(),
        value: value(&row.kind),
        default: row.default,
        state: state(row.effect),
        meaning: row.summary,
    }
}

fn value<T>(kind: &Kind<T>) -> String {
    let seconds = Duration::as_secs_f64;
    match kind {
        Kind::Flag(_) => String::new(),
        Kind::Bool(_) => "`[on\\|off]`".to_owned(),
        Kind::Integer(low, high, _) => format!("{low} to {high}"),
        Kind::Seconds(low, high, _) => format!("seconds, {} to {}", seconds(low), seconds(high)),
        Kind::Text(_) => "text".to_owned(),
        Kind::Hook(_) => command::FORM.to_owned(),
        Kind::Own(form, _) | Kind::Form(form, _) => (*form).to_owned(),
        Kind::Block("", _) => "block".to_owned(),
        Kind::Block(form, _) => format!("{form}, block"),
        Kind::Open(form, _) => format!("{form}, or a block of options"),
        Kind::Any => "any".to_owned(),
    }
}

fn state(effect: Effect) -> String {
    match effect {
        Effect::Works => "works".to_owned(),
        Effect::Missing(consequence) => format!("without effect: {consequence}"),
        Effect::Moot(reason) => format!("not needed: {reason}"),
        Effect::Refused(reason) => format!("refused: {reason}"),
        Effect::Foreign => "skipped".to_owned(),
    }
}
