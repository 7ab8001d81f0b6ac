//! Adverts: judged as they come in, read and written as a whole.
//!
//! [`judge()`] is what kernel and user make of a frame; [`Advert`] is what the daemon reads in a judged message.

mod judge;
mod message;

pub use judge::{judge, judge_envelope, judge_message};
pub use message::{Advert, fill_checksum, set_priority};
