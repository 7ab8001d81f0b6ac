//! The allowlist of unicast peers (`check_unicast_src`).

use super::Reject;
use super::frame::Frame;

/// Bounds for the adverts of an allowed sender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Permit {
    /// Least TTL or hop limit of its adverts.
    pub min_ttl: u8,
    /// Greatest TTL or hop limit of its adverts.
    pub max_ttl: u8,
}

/// The check that follows [`super::advert::judge_envelope`] for instances with [`super::Slot::LISTED`] senders.
///
/// # Errors
/// [`Reject::Peer`] for a sender that is not on the list, [`Reject::Ttl`] outside its bounds.
#[inline(always)]
pub fn judge_sender(frame: &Frame, permit: Option<Permit>) -> Result<(), Reject> {
    let Some(permit) = permit else { return Err(Reject::Peer) };
    if frame.ttl < permit.min_ttl || frame.ttl > permit.max_ttl {
        return Err(Reject::Ttl);
    }
    Ok(())
}
