//! Ports of a turn: the clock, queues, records, sockets and threads that it works with.

use core::net::IpAddr;
use core::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::narrow;
use vrrp_ebpf::wire::advert::Advert;
use vrrp_ebpf::wire::{ChecksumForm, Family};

use super::Turn;
use crate::action::Action;
use crate::event::PeerAdvert;
use crate::lease::SendError;
use crate::router::Router;
use crate::units::{GroupId, InstanceId, Interval, Priority, Version};

/// Most senders of an instance that have a record.
pub const RECORDS_MAX: u32 = 8;

/// An advert whose form was judged, as the kernel recorded it.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedAdvert<'a> {
    /// In map form.
    pub source: [u8; 16],
    /// Index of its sender's record; `None` if there was no room.
    pub record: Option<u32>,
    pub message: &'a [u8],
    pub checksum: ChecksumForm,
    pub stamp: Timestamp,
}

/// The latest advert of a sender, as its record has it.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub heard: PeerAdvert,
    pub checksum: ChecksumForm,
}

/// Count of the adverts of an instance that sockets of this host have received.
#[derive(Clone, Copy, Debug)]
pub struct SocketCount {
    pub adverts: u64,
    /// False if they could not be counted now, as when the interface goes.
    pub is_current: bool,
}

/// An event of an instance that is counted and causes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tally {
    /// A release was heard.
    ReleaseHeard,
    /// An advert of the obeyed master, which has this address, came in the last interval of master_down_interval.
    NearMiss(IpAddr),
}

impl ReceivedAdvert<'_> {
    /// The advert; `None` for a message that [`Advert`] refuses.
    pub(super) fn decode(&self, family: Family) -> Option<PeerAdvert> {
        let advert = Advert::parse(self.message, family).ok()?;
        let version = if advert.version() == Version::V2 as u8 { Version::V2 } else { Version::V3 };
        Some(PeerAdvert {
            version,
            source: narrow(family, self.source),
            priority: Priority(advert.priority()),
            interval: Interval::from_wire(advert.interval(), version)?,
            stamp: self.stamp,
        })
    }
}

/// The surroundings of a [`Turn`]. A port moves data and decides nothing: each decision is one of the turn, which a
/// simulation runs as the daemon does.
pub trait Ports {
    /// Settings of an instance outside the protocol. The turn passes them on.
    type Effects;

    // The clock and the queues.

    /// The time, read once in a turn.
    fn now(&mut self) -> Timestamp;

    /// Bounds of the time for which the machine has been asleep, with its clock, since some moment: the clocks that
    /// tell it are not read at once.
    fn asleep(&mut self) -> (Duration, Duration);

    /// Hands inputs of other threads to the turn, in bounded number.
    fn take_inputs(&mut self, turn: &mut Turn, now: Timestamp);

    /// Hands received adverts, and requests that the router has asked for, to the turn, in bounded number.
    fn take_adverts(&mut self, turn: &mut Turn, now: Timestamp);

    /// Empties the queues of adverts unread.
    fn discard_adverts(&mut self);

    /// The turn ends.
    fn settle(&mut self, now: Timestamp);

    // Adverts received: the watch, and the records of their senders.

    /// Verifies the signature of an advert, if the instance has a key. `None` for an advert to drop.
    fn admit<'a>(
        &mut self,
        id: InstanceId,
        received: ReceivedAdvert<'a>,
        family: Family,
        now: Timestamp,
    ) -> Option<ReceivedAdvert<'a>>;

    /// When the watched advert was last seen; `None` while nothing is watched.
    fn last_seen(&self, id: InstanceId) -> Option<Timestamp>;

    /// Checksum form of the watched advert.
    fn watched_form(&self, id: InstanceId) -> Option<ChecksumForm>;

    /// A sender's record, of [`RECORDS_MAX`]; `None` if there is none with the proof of origin that the instance
    /// requires.
    fn record(&self, id: InstanceId, index: u32, family: Family) -> Option<Record>;

    /// Gives a sender without a record one, if another sender's has become free.
    fn make_room(
        &self,
        id: InstanceId,
        received: &ReceivedAdvert<'_>,
        family: Family,
        is_master: bool,
    ) -> Option<u32>;

    /// The gap before the latest advert of a sender, within its mastership.
    fn latest_gap(&self, id: InstanceId, source: IpAddr) -> Option<Duration>;

    /// Watches for adverts equal to this one. `None`: the message is not at hand, and each advert stays an event.
    fn watch(&mut self, id: InstanceId, received: Option<&ReceivedAdvert<'_>>);

    fn unwatch(&mut self, id: InstanceId);

    // Other counts of adverts than the program's.

    /// Whether the program has been detached from the instance's interface, as far as is known now. The answer may be
    /// one of the latest question: a silent master is in doubt several times before a takeover.
    fn is_detached(&self, id: InstanceId) -> bool;

    /// Adverts that an ordinary socket on the instance's interface has received. `None` if the program does not hear
    /// for it, or sockets cannot be compared with it.
    fn socket_count(&mut self, id: InstanceId, now: Timestamp) -> Option<SocketCount>;

    /// Adverts that the program has counted.
    fn program_count(&self, id: InstanceId) -> u64;

    /// No silence is in doubt: the sockets of [`Self::socket_count`] are not needed.
    fn close_sockets(&mut self);

    /// Whether the instance's adverts are signed.
    fn is_signed(&self, id: InstanceId) -> bool;

    /// When a signed advert of the watched source, or of another one, was last dropped unjudged.
    fn missed(&self, id: InstanceId, of_watched: bool) -> Option<Timestamp>;

    /// When a queue was last left with more than one turn takes.
    fn fell_behind(&self) -> Option<Timestamp>;

    // Sends and leases.

    /// Queues an advert to these destinations; none means all of its own. False if there is no interface or source to
    /// send from.
    fn advertise(&mut self, id: InstanceId, priority: Priority, only: &[IpAddr]) -> bool;

    /// Sends the queued adverts. `outcome` gets the result for each destination, and returns the end of the lease that
    /// the advert gives, if it gives one.
    fn flush(
        &mut self,
        now: Timestamp,
        outcome: impl FnMut(InstanceId, IpAddr, Result<(), SendError>) -> Option<Timestamp>,
    );

    /// Sets the end of a lease for the fence; `None`: no lease.
    fn set_lease(&mut self, id: InstanceId, until: Option<Timestamp>);

    /// Whether replies for the instance's addresses depend on its lease. Without a fence, the kernel answers for an
    /// address as long as it is set.
    fn is_fenced(&self, id: InstanceId) -> bool;

    /// Sets the checksum form of adverts to the one that was heard last.
    fn answer_form(&mut self, id: InstanceId, form: ChecksumForm);

    // Actions and counters.

    /// Carries out an action for addresses, announcements or a report.
    fn carry_out(&mut self, action: Action, router: &Router);

    fn tally(&mut self, id: InstanceId, tally: Tally);

    /// All actions of an input are carried out; `handled` is the instance of the advert that it was.
    fn publish(&mut self, router: &Router, handled: Option<InstanceId>);

    // Sources and settings.

    /// The address that adverts are sent from.
    fn set_source(&mut self, id: InstanceId, source: Option<IpAddr>);

    /// Applies the settings of a new or changed instance, before the router gets them: the first advert under them is
    /// already theirs.
    fn prepare(&mut self, id: InstanceId, effects: Self::Effects);

    /// The instance was removed.
    fn forget(&mut self, id: InstanceId);

    /// Each group's earlier number.
    fn regroup(&mut self, before: &[Option<GroupId>]);

    /// From here on, transitions of groups have their new names and numbers.
    fn reconfigured(&mut self);
}
