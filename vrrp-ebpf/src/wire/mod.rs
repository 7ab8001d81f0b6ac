//! Wire formats: parsing, checking and writing adverts and announcements.
//!
//! Program and daemon share one dissector, generic over [`ByteAccess`]: fuzzers test on the host the code that runs in
//! the kernel. Nothing here panics, allocates or indexes without a check.
//!
//! [`frame`] walks Ethernet, VLAN tags and IP to the VRRP message. [`advert::judge`] makes every receive check of
//! RFC 9568 §7.1 on it, one [`Reject`] each. [`advert`] also reads and writes whole messages; [`arp`] and [`ndisc`]
//! write announcements, [`mld`] recognises reports. [`address`] converts addresses to and from map form.

pub mod address;
pub mod advert;
pub mod ah;
mod allowed_peer;
pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod frame;
mod info;
pub mod ipv4;
pub mod ipv6;
pub mod mld;
pub mod ndisc;
mod octets;
mod reject;
mod rules;
mod trailer;
#[cfg(test)]
mod vectors;
pub mod vrrp;

pub use allowed_peer::{AllowedPeer, judge_sender};
pub use info::{AdvertInfo, ChecksumForm, Family, PAYLOAD_MAX, PROTOCOL};
pub use octets::ByteAccess;
pub(crate) use octets::put;
pub use reject::Reject;
pub use rules::InstanceRules;
pub use trailer::{TRAILER_LEN, Trailer};
