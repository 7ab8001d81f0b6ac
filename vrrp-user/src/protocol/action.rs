//! What the router wants done.

use std::net::IpAddr;

use vrrp_ebpf::time::Timestamp;

use super::event::Loss;
use super::units::{Epoch, GroupId, InstanceId, Priority};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Send an advert with this priority now.
    Advertise(InstanceId, Priority),
    /// The advert handled last is the master's: let the kernel refresh it by sameness.
    Watch(InstanceId),
    /// No master is watched any more: every advert is to be an event.
    Unwatch(InstanceId),
    /// Put the addresses on their interfaces, then announce each once.
    AddAddresses(InstanceId, Epoch),
    /// The addresses were set by an earlier process, and are as good as set by this one.
    HoldAddresses(InstanceId, Epoch),
    /// The heir is there: the addresses are still set, but it alone answers for them and announces them from now on.
    StopAnswering(InstanceId, Epoch),
    /// Take the addresses off. Announcements still queued for an earlier epoch are void.
    RemoveAddresses(InstanceId, Epoch),
    /// Announce every address again.
    Announce(InstanceId, Announcement),
    /// Tell the first question for an address that is answered from then on.
    Heed(InstanceId, Timestamp),
    /// Set what is missing of addresses, routes and rules, and announce each address that was.
    PutBack(InstanceId, Epoch, Missing),
    /// Routes and rules are taken away again and again, and are left alone until the next takeover.
    ReportAbandoned(InstanceId),
    /// Tell people and hooks.
    Report(InstanceId, Transition),
    /// The effective priority changed.
    ReportPriority(InstanceId, Priority),
    /// While master, a lower one was heard; its advert was answered (keepalived's notify_master_rx_lower_pri).
    ReportContest(InstanceId, IpAddr),
    /// All members of a sync group have changed their state; each of them has been reported.
    ReportGroup(GroupId, GroupTransition),
}

/// What may be missing of a master's addresses, routes and rules.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Missing {
    pub loss: Loss,
    /// Routes and rules are to be set, too, and not left to another process that keeps removing them.
    pub paths: bool,
}

/// One set of gratuitous ARPs or unsolicited neighbour advertisements.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Announcement {
    pub epoch: Epoch,
    /// Messages per address; every address is announced once before any is repeated.
    pub repeat: u32,
}

/// RFC 9568 §6.3, and Fault.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum State {
    #[default]
    Init = 0,
    Backup = 1,
    Master = 2,
    Fault = 3,
}

impl State {
    pub const ALL: [Self; 4] = [Self::Init, Self::Backup, Self::Master, Self::Fault];

    /// As keepalived writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
            Self::Fault => "FAULT",
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transition {
    pub from: State,
    pub to: State,
    pub reason: Reason,
    pub epoch: Epoch,
    pub at: Timestamp,
    /// Effective priority at that moment.
    pub priority: Priority,
    /// The other router concerned: the master that was heard, fell silent, released or was overruled.
    pub peer: Option<IpAddr>,
}

/// A transition of a sync group as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GroupTransition {
    pub from: State,
    pub to: State,
    /// That of the member that moved the others.
    pub reason: Reason,
    pub member: InstanceId,
    /// Of the group: raised by each of its transitions.
    pub epoch: Epoch,
    pub at: Timestamp,
}

/// Why a transition happened.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Reason {
    /// The daemon started.
    Startup = 0,
    /// Priority 255: the addresses are ours.
    Owner = 1,
    /// The master was not heard for master_down_interval.
    MasterSilent = 2,
    /// The master released its addresses by priority 0.
    MasterReleased = 3,
    /// A lower master was endured for preempt_delay, or was never accepted.
    Preempted = 4,
    /// A master with a higher priority was heard.
    HigherPriority = 5,
    /// A master of equal priority and higher address was heard.
    HigherAddress = 6,
    /// The instance's interface cannot carry traffic.
    LinkDown = 7,
    /// The interface has no address to send from.
    NoSource = 8,
    /// A tracked script or interface with weight 0 is down.
    TrackDown = 9,
    /// Every cause of Fault is gone.
    Recovered = 10,
    /// The daemon ends.
    Shutdown = 11,
    /// A member of its sync group is in Fault.
    GroupFault = 12,
    /// A member of its sync group has yielded to a better master.
    GroupYielded = 13,
    /// The configuration knows the instance no more.
    Removed = 14,
    /// Unicast without a peer.
    NoPeer = 15,
    /// Somebody removes the addresses again and again.
    TakenAway = 16,
    /// This node was away while it was master, and nobody has taken over.
    Returned = 17,
    /// While this node was away, a master took over that it does not preempt.
    Superseded = 18,
    /// This host has refused to send the adverts for so long that another master is there, which does not hear ours.
    Refused = 19,
    /// It has joined a sync group that is master.
    GroupJoined = 20,
}

impl Reason {
    pub const ALL: [Self; 21] = [
        Self::Startup,
        Self::Owner,
        Self::MasterSilent,
        Self::MasterReleased,
        Self::Preempted,
        Self::HigherPriority,
        Self::HigherAddress,
        Self::LinkDown,
        Self::NoSource,
        Self::TrackDown,
        Self::Recovered,
        Self::Shutdown,
        Self::GroupFault,
        Self::GroupYielded,
        Self::Removed,
        Self::NoPeer,
        Self::TakenAway,
        Self::Returned,
        Self::Superseded,
        Self::Refused,
        Self::GroupJoined,
    ];

    /// Whether it lies with the instance itself, and not with another member of its sync group.
    pub(super) const fn is_own(self) -> bool {
        !matches!(self, Self::GroupFault | Self::GroupYielded | Self::GroupJoined)
    }

    /// The word in metrics, status and hooks.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Owner => "owner",
            Self::MasterSilent => "master_silent",
            Self::MasterReleased => "master_released",
            Self::Preempted => "preempted",
            Self::HigherPriority => "higher_priority",
            Self::HigherAddress => "higher_address",
            Self::LinkDown => "link_down",
            Self::NoSource => "no_source",
            Self::TrackDown => "track_down",
            Self::Recovered => "recovered",
            Self::Shutdown => "shutdown",
            Self::GroupFault => "group_fault",
            Self::GroupYielded => "group_yielded",
            Self::Removed => "removed",
            Self::NoPeer => "no_peer",
            Self::TakenAway => "taken_away",
            Self::Returned => "returned",
            Self::Superseded => "superseded",
            Self::Refused => "refused",
            Self::GroupJoined => "group_joined",
        }
    }
}
