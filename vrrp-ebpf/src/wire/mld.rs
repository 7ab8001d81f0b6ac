//! Multicast listener discovery (RFC 2710, RFC 3810): recognition of reports.

use super::ByteAccess;
use super::ethernet::{self, field::ETHERTYPE};
use super::ipv6::{self, field::NEXT_HEADER};
use super::ndisc::ICMPV6;

/// Bytes of the hop-by-hop options before a report, a router alert (RFC 2710 §3, RFC 3810 §5).
const OPTIONS_LEN: usize = 8;
const HOP_BY_HOP: u8 = 0;

const REPORT: u8 = 131;
const DONE: u8 = 132;
const REPORT_V2: u8 = 143;

/// Bytes of an untagged frame that recognising a report takes.
pub const RECOGNISED_LEN: usize = TYPE + 1;

const OPTIONS: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN;
const TYPE: usize = OPTIONS + OPTIONS_LEN;

/// Whether an untagged frame reports groups that its sender listens to, or no longer does.
#[inline(always)]
pub fn is_report<O: ByteAccess + ?Sized>(frame: &O) -> bool {
    let is = |at, value: &[u8]| value.iter().zip(at..).all(|(byte, at)| frame.get(at) == Some([*byte]));
    is(ETHERTYPE, &ethernet::IPV6.to_be_bytes())
        && is(ethernet::HEADER_LEN + NEXT_HEADER, &[HOP_BY_HOP])
        && is(OPTIONS, &[ICMPV6, 0])
        && frame.get(TYPE).is_some_and(|[kind]| matches!(kind, REPORT | DONE | REPORT_V2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ethertype: u16, next_header: u8, options: [u8; 2], kind: u8) -> [u8; RECOGNISED_LEN] {
        let mut frame = [0; RECOGNISED_LEN];
        frame[ETHERTYPE..ETHERTYPE + 2].copy_from_slice(&ethertype.to_be_bytes());
        frame[ethernet::HEADER_LEN + NEXT_HEADER] = next_header;
        frame[OPTIONS..OPTIONS + 2].copy_from_slice(&options);
        frame[TYPE] = kind;
        frame
    }

    #[test]
    fn reports_are_distinguished_from_all_else() {
        let report = |kind| is_report(&frame(ethernet::IPV6, HOP_BY_HOP, [ICMPV6, 0], kind)[..]);
        assert!(report(REPORT) && report(DONE) && report(REPORT_V2));
        // A query, a neighbour solicitation.
        assert!(!report(130) && !report(135));
        assert!(!is_report(&frame(ethernet::IPV4, HOP_BY_HOP, [ICMPV6, 0], REPORT)[..]));
        assert!(!is_report(&frame(ethernet::IPV6, ICMPV6, [ICMPV6, 0], REPORT)[..]));
        assert!(!is_report(&frame(ethernet::IPV6, HOP_BY_HOP, [17, 0], REPORT)[..]));
        assert!(!is_report(&frame(ethernet::IPV6, HOP_BY_HOP, [ICMPV6, 1], REPORT)[..]));
        assert!(!is_report(&frame(ethernet::IPV6, HOP_BY_HOP, [ICMPV6, 0], REPORT)[..TYPE]));
    }
}
