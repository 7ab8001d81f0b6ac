//! Adverts: judged as they come in, read and written as a whole.
//!
//! [`judge`] is what kernel and user make of a frame.

mod judge;

pub use judge::{judge, judge_envelope, judge_message};
