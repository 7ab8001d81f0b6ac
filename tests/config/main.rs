//! Configurations as users write them, valid and broken, and the findings about them.
//!
//! `UPDATE_EXPECTED=1` rewrites the expectations; read the difference before it is committed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers as well")]

mod addresses;
mod checks;
mod commands;
mod copies;
mod corpus;
mod difference;
mod documentation;
mod dumped;
mod explain;
mod grammar;
mod groups;
mod hmac;
mod include;
mod keepalived;
mod links;
mod mail;
mod names;
mod pages;
mod policy;
mod process;
mod random;
mod routes;
mod rules;
mod schema;
mod settings;
mod succession;
mod tolerance;
mod tracked;
mod vmac;
mod webhooks;
