//! Source addresses that are missing for a moment: the instance keeps its source until they are back.
//!
//! Enters: the source in use, and what the interface offers now. Leaves: the source that counts, and when to look
//! again. Network managers remove all addresses of an interface to configure it again, and scripts set an address by
//! removing it first. Nothing depends on the address meanwhile: adverts leave with it all the same
//! ([`crate::driver::socket::AdvertSender`]), and the program still hears the master.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;

/// The longest time that a missing source still counts. A network manager sets an IPv4 address again within some 20 ms.
/// An IPv6 address is usable after duplicate address detection: 1 s at most until it begins, and 1 s of waiting for an
/// answer (RFC 4862 §5.4, the kernel's defaults).
pub const HOLD: Duration = Duration::from_secs(3);

/// The source of one instance.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SourceHold {
    /// Since when the source in use has been missing.
    missing: Option<Timestamp>,
}

impl SourceHold {
    /// The source that counts. `used` is the one in use, if it is missing and the link can carry traffic; `offered` is
    /// what the interface has in its place.
    pub(super) fn settle(
        &mut self,
        used: Option<IpAddr>,
        offered: Option<IpAddr>,
        now: Timestamp,
    ) -> Option<IpAddr> {
        let Some(used) = used else {
            self.missing = None;
            return offered;
        };
        let since = *self.missing.get_or_insert(now);
        if now.since(since) < HOLD {
            return Some(used);
        }
        self.missing = None;
        offered
    }

    /// When a missing source will no longer count.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.missing.map(|since| since + HOLD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    fn own() -> Option<IpAddr> {
        Some([192, 0, 2, 1].into())
    }

    #[test]
    fn a_source_that_is_back_in_time_was_never_gone() {
        let mut hold = SourceHold::default();
        assert_eq!(hold.settle(None, own(), at(1000)), own());
        assert_eq!(hold.settle(own(), None, at(2000)), own());
        assert_eq!(hold.next(), Some(at(5000)));
        assert_eq!(hold.settle(own(), Some([192, 0, 2, 9].into()), at(4999)), own());
        assert_eq!(hold.settle(None, own(), at(4999)), own());
        assert_eq!(hold.next(), None);
        // The next loss has its own time.
        assert_eq!(hold.settle(own(), None, at(6000)), own());
        assert_eq!(hold.next(), Some(at(9000)));
    }

    #[test]
    fn a_source_that_stays_away_is_lost_or_replaced() {
        for offered in [None, Some([192, 0, 2, 9].into())] {
            let mut hold = SourceHold::default();
            assert_eq!(hold.settle(own(), offered, at(2000)), own());
            assert_eq!(hold.settle(own(), offered, at(5000)), offered);
            assert_eq!(hold.next(), None);
        }
    }
}
