//! Senders that an instance hears, where it does not hear just anybody.

use super::Reject;
use super::frame::Frame;

/// What is known of a sender beforehand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Permit {
    /// Least TTL or hop limit of its adverts.
    pub min_ttl: u8,
    /// The most of the same.
    pub max_ttl: u8,
}

/// The last check of what surrounds a message; it is for instances with [`super::Slot::LISTED`] senders only.
///
/// # Errors
/// [`Reject::Peer`] without a permit, [`Reject::Ttl`] outside its bounds.
#[inline(always)]
pub fn judge_sender(frame: &Frame, permit: Option<Permit>) -> Result<(), Reject> {
    let Some(permit) = permit else { return Err(Reject::Peer) };
    if frame.ttl < permit.min_ttl || frame.ttl > permit.max_ttl {
        return Err(Reject::Ttl);
    }
    Ok(())
}
