//! What we write, as others read it, and what others may write, as we read it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod seeds;
mod tshark;
