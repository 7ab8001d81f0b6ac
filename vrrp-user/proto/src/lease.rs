//! The lease of an instance: how long its adverts entitle it to its addresses.
//!
//! Enters: the beginning and the end of a mastership, and the outcome of each send. Leaves: the end of the lease, for
//! the fence; a lease that has lapsed; the knowledge that this host refuses the adverts. A master whose adverts do not
//! leave stops owning its addresses.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

/// Why an advert has not left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SendError {
    /// This host refuses to send it: a firewall, or no memory.
    Refused,
    /// No route, or a failed neighbour: the peer may be dead.
    Unreachable,
}

#[derive(Clone, Copy, Debug)]
struct Suspect {
    address: IpAddr,
    /// The latest send to it was refused.
    is_refused: bool,
}

/// Sends of an instance, and the lease that they give.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lease {
    until: Option<Timestamp>,
    /// The instance holds its addresses.
    is_serving: bool,
    /// The latest advert renews the lease: it was not a release.
    is_renewing: bool,
    /// The latest advert left after the lease had run out.
    has_lapsed: bool,
    /// The latest advert has left, at least a part of it.
    has_left: bool,
    /// Destinations to which this host has refused the latest advert or a trial since.
    suspects: Vec<Suspect>,
    /// Since when this host has refused each advert.
    refused_since: Option<Timestamp>,
}

impl Lease {
    /// Starts the lease, after the send of the first advert and whether or not it has left; with `None` it ends.
    pub(crate) fn serve(&mut self, until: Option<Timestamp>) {
        (self.until, self.is_serving) = (until, until.is_some());
    }

    /// Continues a lease from the latest advert, which another process has sent.
    pub(crate) fn hold(&mut self, until: Option<Timestamp>) {
        (self.until, self.is_serving, self.is_renewing) = (until, true, true);
    }

    /// The addresses are served until this time. Whether the lease is longer for it: one that has run out stays so.
    pub(crate) fn prolong(&mut self, until: Timestamp, now: Timestamp) -> bool {
        let is_longer = self.is_serving && self.until.is_some_and(|old| now < old && old < until);
        if is_longer {
            self.until = Some(until);
        }
        is_longer
    }

    /// The lease ends now. Whether it would have run longer.
    pub(crate) fn expire(&mut self, now: Timestamp) -> bool {
        let runs = self.until.is_some_and(|until| until > now);
        if runs {
            self.until = Some(now);
        }
        runs
    }

    /// An advert is about to be sent.
    pub(crate) fn advertise(&mut self, is_release: bool) {
        if !self.refuses() {
            self.refused_since = None;
        }
        self.suspects.clear();
        (self.has_left, self.is_renewing) = (false, !is_release);
    }

    /// A trial is about to be sent. Returns its destinations, those first that the one before did not reach; none means
    /// all. `is_peer`: it is still a destination.
    pub(crate) fn try_sending(&mut self, is_peer: impl Fn(IpAddr) -> bool) -> [Vec<IpAddr>; 2] {
        (self.has_left, self.is_renewing) = (false, false);
        self.suspects.retain(|it| is_peer(it.address));
        let (refused, others): (Vec<_>, Vec<_>) = self.suspects.iter().partition(|it| it.is_refused);
        self.suspects.iter_mut().for_each(|it| it.is_refused = false);
        [refused, others].map(|part| part.iter().map(|it: &Suspect| it.address).collect())
    }

    /// The advert has left. Returns the end of the lease that it gives for `span`. The lease runs from before the send:
    /// peers cannot have heard the advert earlier.
    pub(crate) fn sent(&mut self, span: Duration, now: Timestamp) -> Option<Timestamp> {
        self.has_left = true;
        if !(self.is_serving && self.is_renewing) {
            return None;
        }
        self.has_lapsed = self.until.is_none_or(|until| until <= now);
        if self.has_lapsed {
            return None;
        }
        self.until = Some(now + span);
        self.until
    }

    /// The advert has not left.
    pub(crate) fn failed(&mut self, to: IpAddr, error: SendError, now: Timestamp) {
        if error == SendError::Refused {
            match self.suspects.iter_mut().find(|it| it.address == to) {
                Some(known) => known.is_refused = true,
                None => self.suspects.push(Suspect { address: to, is_refused: true }),
            }
            self.refused_since.get_or_insert(now);
        }
    }

    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.until
    }

    pub(crate) fn has_lapsed(&self) -> bool {
        self.has_lapsed
    }

    /// Whether the lease had lapsed before the latest advert was sent; true once.
    pub(crate) fn take_lapsed(&mut self) -> bool {
        core::mem::take(&mut self.has_lapsed)
    }

    /// The latest advert has left, at least a part of it.
    pub(crate) fn has_left(&self) -> bool {
        self.has_left
    }

    /// This host has refused the latest advert, or a part of it.
    pub(crate) fn refuses(&self) -> bool {
        self.suspects.iter().any(|it| it.is_refused)
    }

    /// Adverts have been refused for a whole lease of `span`: a router that should have heard this instance may have
    /// timed it out.
    pub(crate) fn is_refused(&self, span: Duration, now: Timestamp) -> bool {
        self.refuses() && self.refused_since.is_some_and(|since| now.since(since) >= span)
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const SPAN: Duration = Duration::from_millis(30);

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_nanos(ms * 1_000_000)
    }

    fn serving(until: u64) -> Lease {
        let mut lease = Lease::default();
        lease.advertise(false);
        lease.serve(Some(at(until)));
        lease
    }

    #[test]
    fn an_advert_in_time_renews_the_lease_and_a_late_one_does_not() {
        let mut lease = serving(130);
        assert_eq!(lease.sent(SPAN, at(129)), Some(at(159)));
        assert!(!lease.take_lapsed());
        assert_eq!(lease.sent(SPAN, at(159)), None);
        assert!(lease.take_lapsed() && !lease.take_lapsed());
        // It has lapsed until the next mastership.
        assert_eq!(lease.sent(SPAN, at(160)), None);
        lease.serve(Some(at(190)));
        assert_eq!(lease.sent(SPAN, at(170)), Some(at(200)));
    }

    #[test]
    fn a_release_and_an_advert_without_addresses_renew_nothing() {
        let mut lease = serving(130);
        lease.advertise(true);
        assert_eq!(lease.sent(SPAN, at(110)), None);
        lease.advertise(false);
        lease.serve(None);
        assert_eq!(lease.sent(SPAN, at(120)), None);
        assert!(!lease.has_lapsed());
    }

    #[test]
    fn a_lease_that_has_expired_early_is_one_that_has_lapsed() {
        let mut lease = serving(130);
        assert!(lease.expire(at(110)) && !lease.expire(at(111)));
        assert_eq!((lease.sent(SPAN, at(110)), lease.take_lapsed()), (None, true));
        lease.serve(None);
        assert!(!lease.expire(at(120)));
    }

    #[test]
    fn a_lease_is_prolonged_while_it_runs() {
        let mut lease = serving(130);
        assert!(!lease.prolong(at(120), at(110)) && lease.prolong(at(200), at(129)));
        assert!(!lease.prolong(at(300), at(200)));
        lease.serve(None);
        assert!(!lease.prolong(at(300), at(150)));
    }

    #[test]
    fn refusals_count_from_the_first_of_an_unbroken_row() {
        let mut lease = serving(130);
        let refuse = |lease: &mut Lease, ms, error| {
            lease.advertise(false);
            lease.failed(PEER, error, at(ms));
        };
        refuse(&mut lease, 100, SendError::Refused);
        assert!(!lease.is_refused(SPAN, at(129)) && lease.is_refused(SPAN, at(130)));
        refuse(&mut lease, 110, SendError::Refused);
        assert!(lease.is_refused(SPAN, at(130)));
        // One that left, or that found no peer, ends the row.
        refuse(&mut lease, 130, SendError::Unreachable);
        assert!(!lease.is_refused(SPAN, at(200)));
        refuse(&mut lease, 140, SendError::Refused);
        assert!(!lease.is_refused(SPAN, at(169)) && lease.is_refused(SPAN, at(170)));
    }

    #[test]
    fn a_trial_goes_to_what_was_refused_those_first_that_the_last_one_did_not_reach() {
        let other = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
        let mut lease = serving(130);
        lease.advertise(false);
        for to in [PEER, other] {
            lease.failed(to, SendError::Refused, at(100));
        }
        lease.serve(None);
        assert_eq!(lease.try_sending(|_| true), [vec![PEER, other], vec![]]);
        assert!(!lease.has_left() && !lease.refuses());
        assert_eq!(lease.sent(SPAN, at(110)), None);
        lease.failed(other, SendError::Refused, at(110));
        assert!(lease.has_left() && lease.refuses());
        assert_eq!(lease.try_sending(|_| true), [vec![other], vec![PEER]]);
        assert_eq!(lease.try_sending(|it| it == PEER), [vec![], vec![PEER]]);
        lease.advertise(false);
        assert_eq!(lease.try_sending(|_| true), [Vec::<IpAddr>::new(), Vec::new()]);
    }
}
