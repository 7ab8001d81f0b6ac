//! keepalived.conf to settings.
//!
//! Enters: the text of a file and what it includes. Leaves: a [`Config`], or [`Diagnostic`]s that say what is wrong,
//! where (file:line:column) and what to write. Absent: sockets, interfaces, running anything.
//!
//! The way of a line: `source` (text with positions) → `lexer` (words, comments, quotes) → `expand` (include) →
//! `tree` (blocks) → `schema` (tables of keywords) → `resolve` (names, defaults, units).

mod model;

pub use model::{
    Config, Globals, Instance, NotifyCommand, NotifySettings, ScriptCommand, ScriptSettings, ScriptUser,
};
