//! The state machine against its requirements.
//!
//! [`rows`] holds them one by one, keyed by their number in `docs/requirements.md`; [`matrix`] all combinations of an
//! advert and a state; [`disturbance`] what must change nothing; [`random`] what holds for any sequence of events;
//! [`lan`] several nodes on a simulated LAN that delays, loses and freezes; [`group`] the sync groups;
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
