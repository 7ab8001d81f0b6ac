//! Adverts: receive checks, reading and writing.
//!
//! Program and daemon check a frame with [`judge()`]; the daemon reads a message that passed with [`Advert`]. It writes
//! its own adverts with [`AdvertRepr`] and completes them with [`fill_checksum`], once per destination.

mod judge;
mod message;
mod repr;
#[cfg(test)]
mod tests;

pub use judge::{header_sum, judge, judge_envelope, judge_header, judge_length, judge_message};
pub use message::{Addresses, Advert};
pub use repr::{AdvertRepr, Auth, Dialect, Illegal, fill_checksum};
