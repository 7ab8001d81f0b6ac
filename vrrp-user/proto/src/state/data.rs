//! Data of the states, apart from their timers. An instance has all of them; a transition resets those of the state
//! that it enters or leaves.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;

use vrrp_ebpf::time::Timestamp;

use crate::event::PeerAdvert;
use crate::removals::RemovalCounter;
use crate::units::{Priority, Version};

/// The master that a Backup obeys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RemoteMaster {
    /// Its latest advert; the stamp is that of the latest equal one.
    pub heard: PeerAdvert,
    /// Adverts equal to this one come as `Event::Seen`.
    pub watched: bool,
}

/// Data of a Backup, apart from its timers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backup {
    pub(super) master: Option<RemoteMaster>,
    pub(super) why_expiring: WhyExpiring,
    /// Stamp of the latest advert that the timer or the choice of the master relies on.
    pub(super) latest: Option<Timestamp>,
    /// Until then a lower master is obeyed; `None` while none is heard.
    pub(super) endure_until: Option<Timestamp>,
    /// The latest suspension of this node that was detected.
    pub(super) suspension: Option<Suspension>,
    /// When an input last set the timers.
    pub(super) armed: Timestamp,
    /// The first and the latest check of a silent master since then.
    pub(super) checks: Option<(Timestamp, Timestamp)>,
}

/// A suspension of this node, while it was backup. Suspensions between which no advert was heard count as one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspension {
    /// When it was detected.
    pub(super) resumed: Timestamp,
    /// Its length at least: how late the timers were. `None`: unknown.
    pub(super) late: Option<Duration>,
    /// Its length at most; see [`Backup::unchecked`].
    pub(super) absent: Duration,
}

impl RemoteMaster {
    /// Whether to ignore an advert: version 2 of a watched master that speaks version 3 too (RFC 9568 §8.4.2, I04).
    pub(super) fn says_better(&self, heard: &PeerAdvert) -> bool {
        let versions = (self.heard.version, heard.version);
        self.watched && self.heard.source == heard.source && versions == (Version::V3, Version::V2)
    }
}

impl Backup {
    pub(crate) fn master(&self) -> Option<&RemoteMaster> {
        self.master.as_ref()
    }

    pub(crate) fn latest(&self) -> Option<Timestamp> {
        self.latest
    }

    pub(crate) fn endures_until(&self) -> Option<Timestamp> {
        self.endure_until
    }

    pub(super) fn note(&mut self, stamp: Timestamp) {
        self.latest = self.latest.max(Some(stamp));
    }

    pub(crate) fn suspension(&self) -> Option<Suspension> {
        self.suspension
    }

    /// How long this node may have been suspended until now: since the latest check, advert or input, whichever is
    /// last. Checks prove that it ran only if they have gone on for long enough for a master that was suspended before
    /// them, together with this node, to advert.
    pub(super) fn unchecked(&self, settle: Duration, now: Timestamp) -> Duration {
        let checked = self.checks.filter(|(first, last)| last.since(*first) >= settle).map(|(_, last)| last);
        now.since(checked.max(self.latest).max(Some(self.armed)).unwrap_or_default())
    }

    pub(super) fn unwatch(&mut self) -> bool {
        self.master.as_mut().is_some_and(|master| core::mem::take(&mut master.watched))
    }
}

/// Why the master-down timer is running out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum WhyExpiring {
    /// No master is heard.
    #[default]
    Silence,
    /// The master released its addresses.
    Released(PeerAdvert),
    /// Only a lower master is heard, and not obeyed.
    Overruled(PeerAdvert),
}

/// Data of a Master, apart from its timers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Master {
    /// End of the lease that the latest advert gives.
    pub(crate) entitled_until: Option<Timestamp>,
    /// When it was sent.
    pub(super) advertised: Option<Timestamp>,
    pub(super) heir: Heir,
    /// When another master, or a release, was answered last, or will be.
    pub(super) answered: Option<Timestamp>,
    pub(super) contest_announced: Option<Timestamp>,
    /// When the addresses were announced once more, for a lower master that was heard again just after.
    pub(super) contest_followed: Option<Timestamp>,
    /// When a lower master was heard last.
    pub(super) rivalled: Option<Timestamp>,
    /// This host has refused our adverts, or those to one of several peers, before the advert that is handled next.
    pub(crate) refused: bool,
    pub(super) addresses_lost: BTreeMap<IpAddr, RemovalCounter>,
    pub(super) paths_lost: RemovalCounter,
}

impl Master {
    /// When the addresses were announced last because of another master.
    pub(crate) fn contest_announced(&self) -> Option<Timestamp> {
        self.contest_announced
    }
}

/// What an heir knows of the master before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heir {
    /// The master fell silent, and is expected back until then.
    pub(super) expected_until: Option<Timestamp>,
    /// The source of the lower master, which was heard until this one preempted it.
    pub(super) overruled: Option<IpAddr>,
}

/// Trials whether this host still refuses adverts, in Fault.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trials {
    /// The other master, which does not hear this one.
    pub(super) other: Option<OtherMaster>,
    /// The one before has ended just before this Fault.
    pub(super) is_soon: bool,
    /// When a trial last ended a Fault.
    pub(super) ended: Option<Timestamp>,
    /// Trials in a row that have left, and whether the latest one has not yet.
    run: u8,
    is_open: bool,
}

/// Another master, as it was heard last.
#[derive(Clone, Copy, Debug)]
pub(super) struct OtherMaster {
    /// When it counts as gone.
    pub(super) until: Timestamp,
    pub(super) priority: Priority,
}

impl Trials {
    pub(super) fn begin(&mut self, now: Timestamp, soon: Duration) {
        self.is_soon = self.ended.is_some_and(|ended| now.since(ended) < soon);
        (self.run, self.is_open) = (0, false);
    }

    /// Another trial is due.
    pub(super) fn try_again(&mut self) {
        if core::mem::replace(&mut self.is_open, true) {
            self.run = 0;
        }
    }

    /// The trial has left. Returns how many have in a row.
    pub(super) fn leave(&mut self) -> u8 {
        self.is_open = false;
        self.run = self.run.saturating_add(1);
        self.run
    }
}
