//! The election between two masters (RFC 9568 §6.4.3).

use core::cmp::Ordering;
use core::net::IpAddr;

use super::action::Reason;
use super::event::PeerAdvert;
use super::units::Priority;

/// The reason for a master to yield to the sender of an advert; `None` if it stays master. Between equal priorities the
/// higher address wins, compared in network order; the preempt setting does not count.
pub(super) fn yields_to(priority: Priority, source: Option<IpAddr>, heard: &PeerAdvert) -> Option<Reason> {
    match heard.priority.cmp(&priority) {
        Ordering::Greater => Some(Reason::HigherPriority),
        Ordering::Equal if source.is_none_or(|source| heard.source > source) => Some(Reason::HigherAddress),
        Ordering::Equal | Ordering::Less => None,
    }
}

#[cfg(test)]
mod tests {
    use vrrp_ebpf::time::Timestamp;

    use super::super::units::Interval;
    use super::*;

    fn verdict(own: (u8, &str), other: (u8, &str)) -> Option<Reason> {
        let heard = PeerAdvert {
            version: crate::Version::V3,
            source: other.1.parse().unwrap(),
            priority: Priority(other.0),
            interval: Interval::SECOND,
            stamp: Timestamp::ZERO,
        };
        yields_to(Priority(own.0), Some(own.1.parse().unwrap()), &heard)
    }

    #[test]
    fn priority_decides_before_the_address() {
        assert_eq!(verdict((100, "10.0.0.9"), (101, "10.0.0.1")), Some(Reason::HigherPriority));
        assert_eq!(verdict((100, "10.0.0.1"), (99, "10.0.0.9")), None);
    }

    #[test]
    fn a11_addresses_are_unsigned_numbers_in_network_order() {
        assert_eq!(verdict((100, "10.0.0.9"), (100, "200.0.0.1")), Some(Reason::HigherAddress));
        assert_eq!(verdict((100, "10.0.2.0"), (100, "10.0.1.255")), None);
        assert_eq!(verdict((255, "10.0.0.1"), (255, "10.0.0.2")), Some(Reason::HigherAddress));
        assert_eq!(verdict((100, "fe80::1"), (100, "fe80::ffff:0:0:1")), Some(Reason::HigherAddress));
        assert_eq!(verdict((100, "fe80::8000:0:0:1"), (100, "fe80::7fff:0:0:2")), None);
    }
}
