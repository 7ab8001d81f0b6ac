//! What happens to the router.

use std::net::IpAddr;

use vrrp_ebpf::time::Timestamp;

use super::units::{InstanceId, Interval, Priority, Version};

/// A thing whose state counts: a script or an interface, numbered by the configuration. Instances that name the
/// same thing share the number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TrackId(pub u32);

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// The daemon is ready: every instance leaves Init (RFC 9568 §6.4.1). Those that have left it do not notice.
    Startup,
    /// The daemon ends: masters release their addresses (RFC 9568 §6.4.3).
    Shutdown,
    /// A valid advert.
    Advert(InstanceId, Heard),
    /// The watched advert was seen again, last at the given time; it was equal to the one reported last.
    Seen(InstanceId, Timestamp),
    /// Adverts on the instance's interface do not come to us: that nothing is heard there says nothing.
    Deaf(InstanceId),
    /// An advert was sent, after none could be for so long that the lease has run out.
    Lapsed(InstanceId),
    /// An advert is about to be told, and ours have been refused by this host for as long as a lease.
    Refused(InstanceId),
    /// A question for an address is being answered, of which the instance wanted to hear.
    Asked(InstanceId),
    /// The instance's own interface can carry traffic, or cannot.
    Link(InstanceId, bool),
    /// The address that adverts are sent from, or its loss.
    Source(InstanceId, Option<IpAddr>),
    /// A tracked thing is up or down; it holds for every instance that tracks it.
    Track(TrackId, bool),
    /// The number in a tracked file.
    Value(TrackId, i32),
    /// Something that the instance sets as master was removed, maybe by this daemon itself.
    Lost(InstanceId, Loss),
}

/// What was removed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Loss {
    Address,
    /// A route or a rule.
    Path,
    /// What the kernel may have dropped with an interface or another address, what this daemon itself has removed with
    /// another instance, and what could not be set before. No other process is to blame.
    Flushed,
}

/// A valid advert of another router, as heard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Heard {
    pub source: IpAddr,
    /// Of the protocol that the advert speaks; a sender may speak both (RFC 9568 §8.4).
    pub version: Version,
    pub priority: Priority,
    /// As advertised by the sender.
    pub interval: Interval,
    /// When the kernel saw it. May lie before the time of handling.
    pub stamp: Timestamp,
}
