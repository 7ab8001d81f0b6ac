//! Inputs of the router: events.

use alloc::boxed::Box;
use core::net::IpAddr;

use vrrp_ebpf::time::Timestamp;

use super::steering::SteeringOrder;
use super::units::{InstanceId, Interval, Priority, Version};

/// A tracked object (script, interface, process, file), numbered by the configuration. Instances that track the same
/// object share the number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TrackId(pub u32);

/// An input.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// The daemon is ready: every instance leaves Init (RFC 9568 §6.4.1). No effect on those that have left it.
    Startup,
    /// The daemon stops: masters release their addresses (RFC 9568 §6.4.3).
    Shutdown,
    /// A valid advert.
    Advert(InstanceId, PeerAdvert),
    /// The watched advert was seen again, last at the given time; it was equal to the one reported last.
    Seen(InstanceId, Timestamp),
    /// Adverts do not reach us on the instance's interface: silence there proves nothing.
    NotReceiving(InstanceId),
    /// An advert was sent, after none could be sent for so long that the lease has expired.
    Lapsed(InstanceId),
    /// The machine was asleep: what was heard before says nothing about now.
    Slept(InstanceId),
    /// An advert follows, and this host has refused to send ours for as long as a lease.
    Refused(InstanceId),
    /// The trial that `Action::TrySending` asked for was not refused.
    SendsAgain(InstanceId),
    /// The ARP request or neighbour solicitation that `Action::Heed` asked for is being answered.
    Asked(InstanceId),
    /// The instance's own interface can carry traffic, or cannot.
    Link(InstanceId, bool),
    /// The address that adverts are sent from, or its loss.
    Source(InstanceId, Option<IpAddr>),
    /// A tracked object is up or down, for every instance that tracks it.
    Track(TrackId, bool),
    /// The number in a tracked file.
    Value(TrackId, i32),
    /// An address, route or rule that the instance sets as master was removed, maybe by this daemon itself. For
    /// [`Loss::Address`], with all addresses.
    Lost(InstanceId, Loss, Box<[IpAddr]>),
    /// Orders of an operator, of all instances that they concern together.
    Steer(Box<[SteeringOrder]>),
    /// A master is to announce its addresses again: an operator asks for it, or clients have to learn its MAC address.
    Announce(InstanceId),
}

/// The kind of object that was removed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Loss {
    Address,
    /// A route or a rule.
    Path,
    /// Objects that the kernel may have dropped with an interface or another address, that this daemon itself has
    /// removed with another instance, or that could not be set before. No other process is the cause.
    Flushed,
    /// Objects that another daemon of this program has too, and has removed: no contest.
    Shared,
    /// Nothing: an address is before one of the host's own in its subnet, and is to be set behind it.
    Order,
}

impl Loss {
    pub const ALL: [Self; 5] = [Self::Address, Self::Path, Self::Flushed, Self::Shared, Self::Order];

    /// Whether another process has removed something.
    pub fn is_of_other(self) -> bool {
        matches!(self, Self::Address | Self::Path)
    }
}

/// A valid advert of another router.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerAdvert {
    pub source: IpAddr,
    /// Version of the advert; a sender may speak both (RFC 9568 §8.4).
    pub version: Version,
    pub priority: Priority,
    /// As advertised by the sender.
    pub interval: Interval,
    /// When the kernel saw it; may lie before the time of handling.
    pub stamp: Timestamp,
}
