//! Wire formats: our messages read by others, and others' messages read by us.

#![expect(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod seeds;
mod tshark;
