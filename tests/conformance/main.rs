//! The state machine against its requirements.
//!
//! [`rows`] tests them one by one, keyed by their number in `docs/requirements.md`; [`matrix`] all combinations of an
//! advert and a state; [`disturbance`] inputs that must change nothing; [`random`] invariants of any sequence of
//! events; [`lan`] several nodes on a simulated LAN with latency, loss and frozen nodes; [`group`] the sync groups;
//! [`requirements`] the page itself.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod disturbance;
mod group;
mod lan;
mod matrix;
mod random;
mod requirements;
mod rows;
mod script;
mod setup;
