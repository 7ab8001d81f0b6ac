//! Adverts: judged as they come in, read and written as a whole.
//!
//! [`judge()`] is what kernel and user make of a frame; of what passed, the daemon reads the message by [`Advert`]. Its
//! own adverts it writes by [`AdvertRepr`] and completes by [`fill_checksum`], once per destination.

mod judge;
mod message;
mod repr;
#[cfg(test)]
mod tests;

pub use judge::{header_sum, judge, judge_envelope, judge_header, judge_message};
pub use message::{Addresses, Advert};
pub use repr::{AdvertRepr, Auth, Dialect, Illegal, fill_checksum};
