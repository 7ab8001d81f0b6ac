//! XDP on interfaces below others: the kernel refuses XDP on an interface while one above it has an XDP program
//! (`dev_xdp_attach`), and accepts both if the lower one comes first.
//!
//! Enters: an interface to attach to. Leaves: the programs above it detached for that moment, and attached again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::Attachments;
use crate::driver::RxPath;
use crate::driver::xdp::{Attached, Card};
use crate::protocol::InstanceId;

/// VLAN on VLAN on bond, with room to spare.
const DEPTH: usize = 8;

impl Attachments {
    /// Attaches the program to an interface; our own programs above it are detached meanwhile.
    pub(super) fn attach_below(&mut self, ifindex: u32, interface: &str) -> Result<Attached, Vec<String>> {
        let above = self.above(ifindex);
        if let Some(program) = &mut self.program {
            above.keys().for_each(|ifindex| program.detach(*ifindex));
        }
        let attached = self.attach(ifindex, interface);
        for (ifindex, interface) in above {
            // It finds at least what it had: its own hook is free.
            let rx_path = self.climb_on(ifindex, &interface);
            let here = self.places.iter().filter(|(_, place)| place.ifindex == Some(ifindex));
            let ids: Vec<InstanceId> = here.map(|(id, _)| *id).collect();
            for live in ids.iter().filter_map(|id| self.live.instances.get(id.index())) {
                live.rx_path.store(rx_path as u8, Relaxed);
            }
        }
        attached
    }

    /// Interfaces above this one that have our XDP program, by index.
    fn above(&self, ifindex: u32) -> HashMap<u32, Arc<str>> {
        let has_xdp =
            |other: &u32| matches!(self.rx_paths.get(other), Some(RxPath::Native | RxPath::Generic));
        let places =
            self.places.iter().filter_map(|(id, place)| Some((place.ifindex?, self.instances.get(id)?)));
        let others = places.filter(|(other, _)| *other != ifindex && has_xdp(other));
        let above = others.filter(|(other, _)| stands_on(*other, ifindex));
        above.map(|(other, settings)| (other, Arc::clone(&settings.interface))).collect()
    }
}

fn stands_on(upper: u32, lower: u32) -> bool {
    let below = |ifindex: &u32| Card::of(*ifindex).ok()?.parent;
    std::iter::successors(below(&upper), below).take(DEPTH).any(|ifindex| ifindex == lower)
}
