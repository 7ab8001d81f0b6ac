//! The receive checks (RFC 9568 §7.1, RFC 3768 §7.1), in the order of [`Reject`]: the first that fails names the
//! counter.
//!
//! Enters: a dissected frame that is addressed to this host, the rules of its instance, and sums on demand. Leaves: the
//! fields of the advert, or the failed check. Absent: states and priorities; a valid advert may still have no effect.
//!
//! The caller computes the sum, because the program must not loop over a message here: the verifier would check an
//! inlined loop once per path that leads to it.

use crate::wire::frame::Frame;
use crate::wire::vrrp::{ADVERTISEMENT, AUTH_LEN, HEADER_LEN, Header};
use crate::wire::{
    AdvertInfo, ByteAccess, ChecksumForm, Family, InstanceRules, PAYLOAD_MAX, PROTOCOL, Reject, TRAILER_LEN,
    checksum,
};

/// Checks the message of `frame` in `octets`. `sum` returns the one's complement sum of the message's first bytes, as
/// many as its argument says, in the machine's byte order, not folded, as by [`checksum::sum`]; `None` if the caller
/// cannot reach all of them. It is called only when the cheaper checks have passed, with a multiple of 4.
///
/// # Errors
/// The first check that failed.
#[inline(always)]
pub fn judge<O: ByteAccess + ?Sized>(
    octets: &O,
    frame: &Frame,
    slot: &InstanceRules,
    sum: impl FnOnce(usize) -> Option<u64>,
) -> Result<(AdvertInfo, ChecksumForm), Reject> {
    judge_header(frame, |at, length| header_sum(octets, at, length))?;
    judge_length(octets, frame)?;
    judge_envelope(frame, slot)?;
    judge_message(octets, frame, slot, sum)
}

/// The checks that the stack makes on an IP header (`ip_rcv_core`, `ip6_rcv_core` of Linux): it delivers a packet that
/// fails here to no socket of the host. `sum` returns the one's complement sum of bytes of the frame; its arguments are
/// offset and length.
///
/// # Errors
/// [`Reject::IpHeader`], [`Reject::IpChecksum`].
#[inline(always)]
pub fn judge_header(frame: &Frame, sum: impl FnOnce(usize, usize) -> Option<u64>) -> Result<(), Reject> {
    if !frame.has_ip_header() {
        return Err(Reject::IpHeader);
    }
    if matches!(frame.family, Family::V4) && !sum(frame.ip, frame.ip_len()).is_some_and(checksum::is_right) {
        return Err(Reject::IpChecksum);
    }
    Ok(())
}

/// The sum for [`judge_header`], for callers that may loop.
pub fn header_sum<O: ByteAccess + ?Sized>(octets: &O, at: usize, length: usize) -> Option<u64> {
    (at..at + length).step_by(2).try_fold(0, |sum, at| Some(sum + checksum::sum(&octets.get::<2>(at)?)))
}

/// RFC 9568 §7.1: the message is complete (R05).
///
/// # Errors
/// [`Reject::Truncated`].
#[inline(always)]
pub fn judge_length<O: ByteAccess + ?Sized>(octets: &O, frame: &Frame) -> Result<(), Reject> {
    if frame.length < HEADER_LEN || octets.get::<1>(frame.at + frame.length - 1).is_none() {
        return Err(Reject::Truncated);
    }
    Ok(())
}

/// The checks that need neither the message nor its length. An advert whose source and message equal those of a valid
/// one has to pass only these and [`judge_header`].
///
/// # Errors
/// [`Reject::Ttl`] or [`Reject::Destination`].
#[inline(always)]
pub fn judge_envelope(frame: &Frame, slot: &InstanceRules) -> Result<(), Reject> {
    if slot.unicast == 0 {
        // RFC 9568 §5.1.1.3, §5.1.2.3: TTL or hop limit 255 (R01); a packet that passed a router has less.
        if frame.ttl != 255 {
            return Err(Reject::Ttl);
        }
        // As keepalived: a multicast instance takes no unicast, and the reverse (R16).
        let expected = slot.group == [0; 16] && frame.is_to_group() || slot.group == frame.destination;
        if !expected {
            return Err(Reject::Destination);
        }
    } else if !frame.is_to_host() {
        return Err(Reject::Destination);
    }
    Ok(())
}

/// The rest of [`judge`].
///
/// # Errors
/// The first check that failed, from [`Reject::Source`] on; [`Reject::Truncated`] if the message is out of reach.
#[inline(always)]
pub fn judge_message<O: ByteAccess + ?Sized>(
    octets: &O,
    frame: &Frame,
    slot: &InstanceRules,
    sum: impl FnOnce(usize) -> Option<u64>,
) -> Result<(AdvertInfo, ChecksumForm), Reject> {
    check_source(frame, slot)?;
    let header = Header(octets.get::<HEADER_LEN>(frame.at).ok_or(Reject::Truncated)?);
    check_version(header, frame.family, frame.length)?;
    let (version, length) = (header.version(), frame.length);
    // RFC 9568 §7.1, RFC 3768 §7.1: the version is the instance's (I09), or its second one (RFC 9568 §8.4; I01).
    if version != slot.version && version != slot.other_version {
        return Err(Reject::VersionMismatch);
    }
    let signed =
        slot.trailer != InstanceRules::UNSIGNED && length == header.message_len(frame.family) + TRAILER_LEN;
    let body = if signed { length - TRAILER_LEN } else { length };
    check_layout(header, frame.family, body, slot.no_addresses != 0)?;
    if length > PAYLOAD_MAX {
        return Err(Reject::TooLong);
    }
    // Over IPv4 keepalived's checksum ends before the trailer; over IPv6 the kernel's covers it.
    let summed = if matches!(frame.family, Family::V4) { body } else { length };
    let sum = sum(summed).ok_or(Reject::Truncated)?;
    let form = checksum_form(frame, version, summed, sum).ok_or(Reject::Checksum)?;
    // An IPsec header is there exactly if the instance verifies it.
    if (frame.prefix != 0) != (slot.auth_type == InstanceRules::AH) {
        return Err(Reject::AuthType);
    }
    if version == 2 {
        // RFC 3768 §7.1: the authentication type is ours (V03), also types 1 and 2 of RFC 2338 §5.3.6 (W02, W03).
        if header.auth_type() != slot.auth_type {
            return Err(Reject::AuthType);
        }
        // RFC 3768 §5.3.10: without authentication its data is ignored (V04); behind an IPsec header too.
        if slot.auth_type == 1 {
            let at = frame.at + length - AUTH_LEN;
            if octets.get::<AUTH_LEN>(at).ok_or(Reject::Truncated)? != slot.auth_data {
                return Err(Reject::AuthData);
            }
        }
    }
    let interval = header.interval();
    // RFC 9568 §7.1, erratum 8301: no interval 0 (R08). A backup that learned it would become master at once.
    if interval == 0 {
        return Err(Reject::IntervalZero);
    }
    if slot.trailer == InstanceRules::SIGNED && !signed {
        return Err(Reject::AuthMissing);
    }
    let info = AdvertInfo {
        source: frame.source,
        interval,
        version,
        vrid: header.vrid(),
        priority: header.priority(),
        address_count: header.address_count(),
    };
    Ok((info, form))
}

/// [`Reject::Source`] and [`Reject::OwnSource`].
#[inline(always)]
fn check_source(frame: &Frame, slot: &InstanceRules) -> Result<(), Reject> {
    // The source is a host (R17).
    if !frame.is_from_host() {
        return Err(Reject::Source);
    }
    // The source is another host (R17): our own advert that comes back changes nothing (A15).
    if frame.source == slot.source {
        return Err(Reject::OwnSource);
    }
    Ok(())
}

/// [`Reject::Carp`] and [`Reject::Version`].
#[inline(always)]
pub(super) fn check_version(header: Header, family: Family, length: usize) -> Result<(), Reject> {
    // CARP must not pass for version 2: only the length distinguishes them (R14).
    if header.is_carp(length) {
        return Err(Reject::Carp);
    }
    // RFC 9568 §7.1: a version that we know (R02). RFC 3768 §5: version 2 is IPv4 only (V01).
    match (header.version(), family) {
        (3, _) | (2, Family::V4) => Ok(()),
        _ => Err(Reject::Version),
    }
}

/// [`Reject::Type`] to [`Reject::TooLong`].
#[inline(always)]
pub(super) fn check_layout(
    header: Header,
    family: Family,
    length: usize,
    may_be_empty: bool,
) -> Result<(), Reject> {
    // RFC 9568 §7.1: type 1 (R03).
    if header.kind() != ADVERTISEMENT {
        return Err(Reject::Type);
    }
    // RFC 9568 §7.1, erratum 8299: at least one address (R07).
    if header.address_count() == 0 && !may_be_empty {
        return Err(Reject::CountZero);
    }
    // RFC 9568 §7.1: the message is complete (R05), and no longer: version 2 and 3 must not pass for each other (R14).
    if length != header.message_len(family) {
        return Err(Reject::Length);
    }
    if length > PAYLOAD_MAX {
        return Err(Reject::TooLong);
    }
    Ok(())
}

/// The form in which the checksum is correct, if any. In version 3 (RFC 9568 §5.2.8) it covers a pseudo-header over
/// IPv6 (P20), and may over IPv4 (P19, P21); in version 2 it covers the message alone (RFC 3768 §5.3.8; V06). If both
/// forms are correct, the sender is taken to include the pseudo-header, as most do.
#[inline(always)]
fn checksum_form(frame: &Frame, version: u8, length: usize, sum: u64) -> Option<ChecksumForm> {
    let may_be_plain = matches!(frame.family, Family::V4);
    if version == 3 {
        let length = u16::try_from(length).ok()?;
        let pseudo = checksum::pseudo(PROTOCOL, &frame.source, &frame.destination, length);
        if checksum::is_right(sum + pseudo) {
            return Some(ChecksumForm::Pseudo);
        }
    }
    (may_be_plain && checksum::is_right(sum)).then_some(ChecksumForm::Plain)
}
