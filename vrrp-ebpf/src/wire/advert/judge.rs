//! Every receive check (RFC 9568 §7.1, RFC 3768 §7.1), in the order of [`Reject`]: the first that fails names the
//! counter.
//!
//! Enters: a dissected frame that is addressed to this host, the form that its instance expects, and sums on demand.
//! Leaves: what was sighted, or the failed check. Absent: states and priorities; a valid advert may still mean nothing
//! to anybody.
//!
//! The sum is the caller's, for the program must not loop over a message here: each way into an inlined loop would be
//! verified by itself.

use crate::wire::frame::Frame;
use crate::wire::vrrp::{ADVERTISEMENT, AUTH_LEN, HEADER_LEN, Header};
use crate::wire::{
    ChecksumForm, Family, Octets, PAYLOAD_MAX, PROTOCOL, Reject, Sighting, Slot, TRAILER_LEN, checksum,
};

/// Judges the message of `frame`, which lies in `octets`. `sum` is the one's complement sum of the message's first
/// bytes, as many as it is asked for, in the machine's byte order, not folded, as by [`checksum::sum`]; `None` where
/// the caller cannot reach all of them. It is asked for only when the cheaper checks have passed, and for a length that
/// is a multiple of 4.
///
/// # Errors
/// The first check that failed.
#[inline(always)]
pub fn judge<O: Octets + ?Sized>(
    octets: &O,
    frame: &Frame,
    slot: &Slot,
    sum: impl FnOnce(usize) -> Option<u64>,
) -> Result<(Sighting, ChecksumForm), Reject> {
    judge_header(frame, |at, length| header_sum(octets, at, length))?;
    judge_envelope(octets, frame, slot)?;
    judge_message(octets, frame, slot, sum)
}

/// What the stack asks of an IP header before it looks behind it (`ip_rcv_core`, `ip6_rcv_core` of Linux): what fails here
/// is heard by nothing else on the host. `sum` is the one's complement sum of bytes of the frame, from the first
/// place for the second many.
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

/// What [`judge_header`] asks for, where loops are free.
pub fn header_sum<O: Octets + ?Sized>(octets: &O, at: usize, length: usize) -> Option<u64> {
    (at..at + length).step_by(2).try_fold(0, |sum, at| Some(sum + checksum::sum(&octets.get::<2>(at)?)))
}

/// What shows without the message. With [`judge_header`] it is all that an advert has to pass whose source and message
/// equal those of one that was judged already.
///
/// # Errors
/// The first check that failed, from [`Reject::Truncated`] to [`Reject::Destination`].
#[inline(always)]
pub fn judge_envelope<O: Octets + ?Sized>(octets: &O, frame: &Frame, slot: &Slot) -> Result<(), Reject> {
    // R05.
    if frame.length < HEADER_LEN || octets.get::<1>(frame.at + frame.length - 1).is_none() {
        return Err(Reject::Truncated);
    }
    if slot.unicast == 0 {
        // R01: whatever comes from beyond a router has less.
        if frame.ttl != 255 {
            return Err(Reject::Ttl);
        }
        // R16.
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
/// The first check that failed, from [`Reject::Source`] on; [`Reject::Truncated`] where the message is not there.
#[inline(always)]
pub fn judge_message<O: Octets + ?Sized>(
    octets: &O,
    frame: &Frame,
    slot: &Slot,
    sum: impl FnOnce(usize) -> Option<u64>,
) -> Result<(Sighting, ChecksumForm), Reject> {
    check_source(frame, slot)?;
    let header = Header(octets.get::<HEADER_LEN>(frame.at).ok_or(Reject::Truncated)?);
    check_version(header, frame.family, frame.length)?;
    let (version, length) = (header.version(), frame.length);
    // I01, I09.
    if version != slot.version && version != slot.other_version {
        return Err(Reject::VersionMismatch);
    }
    let signed = slot.trailer != Slot::UNSIGNED && length == header.message_len(frame.family) + TRAILER_LEN;
    let body = if signed { length - TRAILER_LEN } else { length };
    check_layout(header, frame.family, body, slot.no_addresses != 0)?;
    if length > PAYLOAD_MAX {
        return Err(Reject::TooLong);
    }
    // A trailer lies beyond what keepalived sums up over IPv4, and within what the kernel does over IPv6.
    let summed = if matches!(frame.family, Family::V4) { body } else { length };
    let sum = sum(summed).ok_or(Reject::Truncated)?;
    let form = checksum_form(frame, version, summed, sum).ok_or(Reject::Checksum)?;
    // A header of IPsec with nobody to look at it is none of ours.
    if (frame.prefix != 0) != (slot.auth_type == Slot::AH) {
        return Err(Reject::AuthType);
    }
    if version == 2 {
        // V03, W02, W03.
        if header.auth_type() != slot.auth_type {
            return Err(Reject::AuthType);
        }
        // V04: without authentication the data says nothing, and neither behind a header of IPsec.
        if slot.auth_type == 1 {
            let at = frame.at + length - AUTH_LEN;
            if octets.get::<AUTH_LEN>(at).ok_or(Reject::Truncated)? != slot.auth_data {
                return Err(Reject::AuthData);
            }
        }
    }
    let interval = header.interval();
    // R08: learned, it would make every backup master at once.
    if interval == 0 {
        return Err(Reject::IntervalZero);
    }
    if slot.trailer == Slot::SIGNED && !signed {
        return Err(Reject::AuthMissing);
    }
    let sighting = Sighting {
        source: frame.source,
        interval,
        version,
        vrid: header.vrid(),
        priority: header.priority(),
        address_count: header.address_count(),
    };
    Ok((sighting, form))
}

/// [`Reject::Source`] and [`Reject::OwnSource`].
#[inline(always)]
fn check_source(frame: &Frame, slot: &Slot) -> Result<(), Reject> {
    // R17.
    if !frame.is_from_host() {
        return Err(Reject::Source);
    }
    // A15, R17.
    if frame.source == slot.source {
        return Err(Reject::OwnSource);
    }
    Ok(())
}

/// [`Reject::Carp`] and [`Reject::Version`].
#[inline(always)]
pub(super) fn check_version(header: Header, family: Family, length: usize) -> Result<(), Reject> {
    // R14.
    if header.is_carp(length) {
        return Err(Reject::Carp);
    }
    // R02, V01.
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
    // R03.
    if header.kind() != ADVERTISEMENT {
        return Err(Reject::Type);
    }
    // R07.
    if header.address_count() == 0 && !may_be_empty {
        return Err(Reject::CountZero);
    }
    // R05, R14: exact, or version 2 and 3 could be taken for each other.
    if length != header.message_len(family) {
        return Err(Reject::Length);
    }
    if length > PAYLOAD_MAX {
        return Err(Reject::TooLong);
    }
    Ok(())
}

/// The form in which the checksum is right, if any: P19, P20, P21, V06. Where both are, the sender is taken for one that
/// includes the pseudo-header, as most do.
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
