//! The allowlist of unicast peers (`check_unicast_src`).

use super::Reject;
use super::frame::Frame;

/// Bounds for the adverts of an allowed sender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct AllowedPeer {
    /// Least TTL or hop limit of its adverts.
    pub min_ttl: u8,
    /// Greatest TTL or hop limit of its adverts.
    pub max_ttl: u8,
}

/// The check that follows [`super::advert::judge_envelope`] for instances with
/// [`super::InstanceRules::ALLOWED_PEERS_ONLY`] senders.
///
/// # Errors
/// [`Reject::Peer`] for a sender that is not on the list, [`Reject::Ttl`] outside its bounds.
#[inline(always)]
pub fn judge_sender(frame: &Frame, allowed_peer: Option<AllowedPeer>) -> Result<(), Reject> {
    let Some(allowed_peer) = allowed_peer else { return Err(Reject::Peer) };
    if frame.ttl < allowed_peer.min_ttl || frame.ttl > allowed_peer.max_ttl {
        return Err(Reject::Ttl);
    }
    Ok(())
}
