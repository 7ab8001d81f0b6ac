//! What the program does in the kernel, for frames of a packet socket: find the instance, judge, record.

use vrrp_ebpf::map::InstanceKey;
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::{ChecksumForm, Sighting, advert, checksum, frame};

use crate::driver::maps::{Maps, Recorded};

/// A valid advert that somebody must look at.
#[derive(Clone, Copy, Debug)]
pub struct Sighted<'a> {
    pub slot: u32,
    /// The sender's index among the peers of the slot, or [`vrrp_ebpf::map::NO_PEER`].
    pub peer: u32,
    /// The VRRP message, from its first byte on.
    pub message: &'a [u8],
    pub sighting: Sighting,
    pub checksum: ChecksumForm,
    pub stamp: Timestamp,
}

/// Judges a frame that came in at an interface. `None`: it is no advert, of no instance (counted), refused (counted),
/// or equal to the watched one (noted in the maps).
pub fn sight<'a>(
    bytes: &'a [u8],
    ifindex: u32,
    stamp: Timestamp,
    maps: &Maps,
    lookup: impl Fn(InstanceKey) -> Option<u32>,
) -> Option<Sighted<'a>> {
    let frame = frame::dissect(bytes, 0).ok()?;
    let Some(slot) = lookup(InstanceKey::new(ifindex, frame.vlan, frame.family, frame.vrid)) else {
        maps.count_unknown();
        return None;
    };
    let message = bytes.get(frame.at..).and_then(|rest| rest.get(..frame.length));
    let sum = || message.map(checksum::sum);
    let (sighting, checksum) = advert::judge(bytes, &frame, &maps.slot(slot), sum)
        .inspect_err(|reject| maps.count_reject(slot, *reject))
        .ok()?;
    let message = message?;
    match maps.record(slot, &sighting, checksum, message, stamp) {
        Recorded::Steady => None,
        Recorded::Event { peer } => Some(Sighted { slot, peer, message, sighting, checksum, stamp }),
    }
}
