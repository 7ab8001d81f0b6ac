//! Outputs of the router: actions, states and transitions.

use core::net::IpAddr;

use vrrp_ebpf::time::Timestamp;

use super::event::Loss;
use super::units::{Epoch, GroupId, InstanceId, Priority};

/// Something that the caller of [`super::Router`] is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Send an advert with this priority now.
    Advertise(InstanceId, Priority),
    /// Send an advert with this priority to the destinations that this host has refused:
    /// [`super::Event::SendsAgain`] if it refuses none of them.
    TrySending(InstanceId, Priority),
    /// The advert handled last is the master's: watch for equal ones in the kernel.
    Watch(InstanceId),
    /// Stop watching: every advert is an event again.
    Unwatch(InstanceId),
    /// Add the addresses to their interfaces; then, once the lease runs, announce each once.
    AddAddresses(InstanceId, Epoch),
    /// Treat the addresses as set: an earlier process has set them.
    HoldAddresses(InstanceId, Epoch),
    /// The addresses are served until this time, for a heir that waits with its group: the lease ends no earlier.
    ProlongLease(InstanceId, Timestamp),
    /// The heir is there: keep the addresses set, but no longer answer for them nor announce them.
    StopAnswering(InstanceId, Epoch),
    /// Remove the addresses. Announcements still queued for an earlier epoch are void.
    RemoveAddresses(InstanceId, Epoch),
    /// Announce every address again.
    Announce(InstanceId, Announcement),
    /// Report the first ARP request or neighbour solicitation that is answered from this time on, by `Event::Asked`.
    Heed(InstanceId, Timestamp),
    /// Set missing addresses, routes and rules, and announce each address that was missing.
    PutBack(InstanceId, Epoch, Missing),
    /// Report that routes and rules keep being removed, and are not set again until the next takeover.
    ReportAbandoned(InstanceId),
    /// Log a transition and run its hooks.
    Report(InstanceId, Transition),
    /// Report a change of the effective priority.
    ReportPriority(InstanceId, Priority),
    /// Report that a master heard a lower one; its advert was answered (keepalived's notify_master_rx_lower_pri).
    ReportContest(InstanceId, IpAddr),
    /// Report that all members of a sync group have changed their state; each of them has been reported.
    ReportGroup(GroupId, GroupTransition),
}

/// The kinds of a master's objects that may be missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Missing {
    pub loss: Loss,
    /// Set routes and rules too; false if they are left to another process that keeps removing them.
    pub paths: bool,
}

/// One set of gratuitous ARPs or unsolicited neighbour advertisements.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Announcement {
    pub epoch: Epoch,
    /// Messages per address; all addresses are announced once before any is repeated.
    pub repeat: u32,
}

vrrp_ebpf::words! {
    /// The states of RFC 9568 §6.3, and Fault, as keepalived writes them.
    #[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
    #[repr(u8)]
    pub enum State {
        #[default]
        Init = 0 => "INIT",
        Backup = 1 => "BACKUP",
        Master = 2 => "MASTER",
        Fault = 3 => "FAULT",
    }
}

/// A transition of an instance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transition {
    pub from: State,
    pub to: State,
    pub reason: Reason,
    pub epoch: Epoch,
    pub at: Timestamp,
    /// Effective priority at that moment.
    pub priority: Priority,
    /// The other router concerned: the master that was heard, fell silent, released its addresses or was preempted.
    pub peer: Option<IpAddr>,
}

/// A transition of a sync group as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GroupTransition {
    pub from: State,
    pub to: State,
    /// The reason of the member that moved the others.
    pub reason: Reason,
    pub member: InstanceId,
    /// Of the group: incremented by each of its transitions.
    pub epoch: Epoch,
    pub at: Timestamp,
}

vrrp_ebpf::words! {
    /// Why a transition happened. The words are those of metrics, status and hooks.
    #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
    #[repr(u8)]
    pub enum Reason {
        /// The daemon started.
        Startup = 0 => "startup",
        /// Priority 255: the addresses are ours.
        Owner = 1 => "owner",
        /// The master was not heard for master_down_interval.
        MasterSilent = 2 => "master_silent",
        /// The master released its addresses by priority 0.
        MasterReleased = 3 => "master_released",
        /// A lower master was obeyed for preempt_delay, or not at all.
        Preempted = 4 => "preempted",
        /// A master with a higher priority was heard.
        HigherPriority = 5 => "higher_priority",
        /// A master of equal priority and higher address was heard.
        HigherAddress = 6 => "higher_address",
        /// The instance's interface cannot carry traffic.
        LinkDown = 7 => "link_down",
        /// The interface has no address to send from.
        NoSource = 8 => "no_source",
        /// A tracked object fails the instance; see [`super::TrackSettings::fails`].
        TrackDown = 9 => "track_down",
        /// Every cause of Fault is gone.
        Recovered = 10 => "recovered",
        /// The daemon stops.
        Shutdown = 11 => "shutdown",
        /// A member of its sync group is in Fault.
        GroupFault = 12 => "group_fault",
        /// A member of its sync group has yielded to a better master.
        GroupYielded = 13 => "group_yielded",
        /// The instance is no longer in the configuration.
        Removed = 14 => "removed",
        /// Unicast without a peer.
        NoPeer = 15 => "no_peer",
        /// Another process keeps removing the addresses.
        TakenAway = 16 => "taken_away",
        /// This node was suspended while it was master, and no other router has taken over.
        Resumed = 17 => "resumed",
        /// While this node was suspended, a master took over that it does not preempt.
        Superseded = 18 => "superseded",
        /// This host has refused to send the adverts for so long that another router is master and does not hear ours.
        Refused = 19 => "refused",
        /// The instance has joined a sync group that is master.
        GroupJoined = 20 => "group_joined",
        /// An operator keeps the instance out.
        Maintenance = 21 => "maintenance",
        /// An operator had it hand over its addresses.
        HandedOver = 22 => "handed_over",
    }
}

impl Reason {
    /// Whether the cause is the instance itself, not another member of its sync group.
    pub(super) const fn is_own(self) -> bool {
        !matches!(self, Self::GroupFault | Self::GroupYielded | Self::GroupJoined)
    }
}
