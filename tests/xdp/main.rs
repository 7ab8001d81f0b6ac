//! Tests of the BPF program, frame by frame: BPF_PROG_TEST_RUN, both entries, its maps and its ring. No network needed.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod accepted;
mod addressed;
mod agreement;
mod budget;
mod fence;
mod keys;
mod rejects;
mod rules;
mod signed;
mod stand;
mod steady;
