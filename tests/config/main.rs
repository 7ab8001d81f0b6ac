//! Configurations as users write them, sound and broken, and what is said about them.
//!
//! `UPDATE_EXPECTED=1` writes the expectations anew; read the difference before it is committed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers as well")]

mod addresses;
mod checks;
mod corpus;
mod documentation;
mod explain;
mod grammar;
mod groups;
mod hmac;
mod include;
mod keepalived;
mod links;
mod mail;
mod names;
mod policy;
mod process;
mod random;
mod routes;
mod rules;
mod settings;
mod succession;
mod tolerance;
mod tracked;
mod vmac;
mod webhooks;
