//! Keywords: one table per block, one row per keyword.
//!
//! Enters: the tree. Leaves: drafts, which are values with their positions. Absent: defaults and relations between
//! keywords; `resolve` adds them. Known keywords are never "unknown": a row says whether its keyword works, is accepted
//! without effect, or is refused. The tables in `docs/configuration.md` are generated from the rows.
//!
//! From below: `value` and `command` read words, `table` reads lines, `draft` holds the values. Then a file per block,
//! or per part of one, with its rows. `root` joins them, and `reference` shows them.

mod address;
mod adverts;
mod auth;
mod check;
mod command;
mod daemon;
mod delay;
mod draft;
mod globals;
mod group;
mod hmac;
mod hold;
mod ignored;
mod instance;
mod mail;
mod names;
mod policy;
mod process;
mod reference;
mod root;
mod route;
mod rule;
mod script;
mod table;
mod track;
mod value;
mod vmac;
mod watch;
mod webhook;

pub(super) use address::{AddressDraft, Broadcast, NAME_MAX};
pub(super) use auth::{AuthDraft, AuthType};
pub(super) use check::targets;
pub(super) use daemon::is_start_only;
pub use daemon::mask;
pub(super) use draft::{
    AnnounceDraft, Checksum, Draft, GlobalsDraft, GroupDraft, InstanceDraft, ScriptDraft, VmacDraft,
    WebhookDraft, Written,
};
pub(super) use hmac::{HmacDraft, KeyDraft, Secret, not_hex};
pub(super) use process::fifos;
pub use reference::{Keyword, KeywordTable, keywords};
pub(super) use root::{homes_of, opens_block};
pub(super) use rule::RuleDraft;
pub(super) use script::Class;
pub(super) use table::{GLOBAL_DEFS, TOP_LEVEL};
pub(super) use track::TrackDraft;
pub(super) use value::seconds;

use super::diagnostic::Report;
use super::tree::Statement;

/// Reads a whole file.
pub(super) fn read(statements: &[Statement], report: &mut Report) -> Draft {
    let mut draft = Draft::default();
    report.homes = root::HOMES;
    table::read_block(root::TABLES, TOP_LEVEL, statements, &mut draft, report);
    draft
}
