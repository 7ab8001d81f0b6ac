//! The state machine against its requirements.
//!
//! [`rows`] tests them one by one, keyed by their number in `docs/requirements.md`; [`matrix`] all combinations of an
//! advert and a state; [`disturbance`] inputs that must change nothing; [`random`] invariants of any sequence of
//! events; [`world`] simulates several nodes that run the turn of the daemon on LANs with latency, loss and frozen
//! nodes; [`lan`] and [`group`] test instances and sync groups in it; [`requirements`] the page itself.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod approach;
mod disturbance;
mod group;
mod lan;
mod matrix;
mod random;
mod requirements;
mod rows;
mod script;
mod setup;
mod world;
