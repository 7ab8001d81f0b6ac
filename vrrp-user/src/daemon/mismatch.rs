//! Differences between a peer's adverts and our own, for the operator.
//!
//! Enters: settings, and what the maps hold of a peer. Leaves: [`Difference`]s. Absent: any effect on elections; every
//! advert is a sign of life.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::map::Peer;
use vrrp_ebpf::wire::advert::Advert;

use super::status::interval;
use crate::config::InstanceSettings;
use crate::protocol::Priority;

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Difference {
    /// Addresses of ours that its adverts lack, and others that they have instead or in addition.
    Addresses {
        lacks: Vec<IpAddr>,
        has: Vec<IpAddr>,
    },
    /// Numbers of addresses, if the addresses themselves are unknown.
    AddressCount {
        theirs: usize,
        ours: usize,
    },
    Interval {
        theirs: Duration,
        ours: Duration,
    },
    /// Both have priority 255, as owners of the addresses.
    Owner,
}

impl Difference {
    pub const WORDS: [&'static str; 3] = ["addresses", "interval", "owner"];

    /// Name in status and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Addresses { .. } | Self::AddressCount { .. } => "addresses",
            Self::Interval { .. } => "interval",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |addresses: &[IpAddr]| {
            let shown: Vec<String> = addresses.iter().take(4).map(ToString::to_string).collect();
            let more = addresses.len().saturating_sub(shown.len());
            shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
        };
        match self {
            Self::Addresses { lacks, has } if has.is_empty() => write!(f, "its adverts lack {}", list(lacks)),
            Self::Addresses { lacks, has } if lacks.is_empty() => {
                write!(f, "its adverts have {}, which ours lack", list(has))
            }
            Self::Addresses { lacks, has } => {
                write!(f, "its adverts have {} and lack {}", list(has), list(lacks))
            }
            Self::AddressCount { theirs, ours } => {
                write!(f, "its adverts have {theirs} addresses and ours {ours}")
            }
            Self::Interval { theirs, ours } => {
                let (theirs, ours) = (theirs.as_secs_f64(), ours.as_secs_f64());
                write!(f, "it sends an advert every {theirs} s, and we do every {ours} s")
            }
            Self::Owner => write!(f, "it has priority 255, as we have: two nodes own the addresses"),
        }
    }
}

/// Differences of a peer's latest advert. `message` is that advert, if known.
pub fn differences(
    settings: &InstanceSettings,
    priority: Priority,
    peer: &Peer,
    message: Option<&[u8]>,
) -> Vec<Difference> {
    let mut found = Vec::new();
    found.extend(addresses(settings, peer, message));
    let ours = settings.advert_interval.duration();
    if let Some(theirs) = interval(peer).filter(|theirs| *theirs != ours) {
        found.push(Difference::Interval { theirs, ours });
    }
    if priority.is_owner() && Priority(peer.priority).is_owner() {
        found.push(Difference::Owner);
    }
    found
}

/// In any order.
fn addresses(settings: &InstanceSettings, peer: &Peer, message: Option<&[u8]>) -> Option<Difference> {
    let ours: Vec<IpAddr> = settings.addresses.advertised.iter().map(|address| address.address).collect();
    if let Some(advert) = message.and_then(|message| Advert::parse(message, settings.family).ok()) {
        let theirs: Vec<IpAddr> = advert.addresses().collect();
        let missing = |from: &[IpAddr], of: &[IpAddr]| -> Vec<IpAddr> {
            from.iter().filter(|address| !of.contains(address)).copied().collect()
        };
        let (lacks, has) = (missing(&ours, &theirs), missing(&theirs, &ours));
        let differs = !lacks.is_empty() || !has.is_empty();
        return differs.then_some(Difference::Addresses { lacks, has });
    }
    let (theirs, ours) = (usize::from(peer.address_count), ours.len());
    (theirs != ours).then_some(Difference::AddressCount { theirs, ours })
}
