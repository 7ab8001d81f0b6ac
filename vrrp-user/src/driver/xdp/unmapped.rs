//! Maps of the program that are not mapped into memory: per-CPU counters and hash maps, which cannot be, and what would
//! take too much of it.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use aya::maps::{HashMap, MapData, MapError, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use vrrp_ebpf::map::{Counters, Gaps, InstanceKey, UnknownRouter, WatchedMessage};

use super::element::Elements;
use super::load_error::LoadError;
use super::pod::Layout;
use crate::driver::maps::ProgramMaps;
use crate::protocol::InstanceId;

/// A second descriptor of a map.
pub(super) fn second(map: &MapData) -> Result<MapData, LoadError> {
    let second = map.fd().as_fd().try_clone_to_owned().map_err(MapError::from);
    second.and_then(MapData::from_fd).map_err(|error| LoadError::from_map(&error))
}

pub(super) struct Unmapped {
    pub(super) counters: PerCpuArray<MapData, Layout<Counters>>,
    /// A second descriptor of the counters, for writing.
    pub(super) zeroed: Mutex<PerCpuArray<MapData, Layout<Counters>>>,
    pub(super) unknown_routers: Mutex<HashMap<MapData, Layout<InstanceKey>, Layout<UnknownRouter>>>,
    pub(super) gaps: Elements,
    pub(super) messages: Elements,
}

impl fmt::Debug for Unmapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unmapped").finish_non_exhaustive()
    }
}

impl ProgramMaps for Unmapped {
    fn counters(&self, slot: Option<InstanceId>) -> Counters {
        let mut sum = Counters::ZERO;
        let row = slot.map_or(0, |slot| slot.0.saturating_add(1));
        for cpu in self.counters.get(&row, 0).iter().flat_map(|values| values.iter()) {
            for (total, count) in sum.counts.iter_mut().zip(cpu.0.counts) {
                *total = total.wrapping_add(count);
            }
        }
        sum
    }

    fn clear(&self, slot: InstanceId) {
        let zeros =
            nr_cpus().ok().and_then(|cpus| PerCpuValues::try_from(vec![Layout(Counters::ZERO); cpus]).ok());
        if let Some(zeros) = zeros {
            let mut counters = self.zeroed.lock().unwrap_or_else(PoisonError::into_inner);
            // Setting an existing row cannot fail.
            let _ = counters.set(slot.0.saturating_add(1), zeros, 0);
        }
    }

    fn unknown_routers(&self) -> Vec<(InstanceKey, UnknownRouter)> {
        let unknown_routers = self.unknown_routers.lock().unwrap_or_else(PoisonError::into_inner);
        unknown_routers.iter().flatten().map(|(key, unknown_router)| (key.0, unknown_router.0)).collect()
    }

    fn forget_unknown_router(&self, key: InstanceKey) {
        let mut unknown_routers = self.unknown_routers.lock().unwrap_or_else(PoisonError::into_inner);
        // Mostly there is none.
        let _ = unknown_routers.remove(&Layout(key));
    }

    fn gaps(&self, place: usize) -> Gaps {
        let gaps = u32::try_from(place).ok().and_then(|place| self.gaps.get::<Layout<Gaps>>(place).ok());
        gaps.map_or(Gaps::NONE, |gaps| gaps.0)
    }

    fn clear_gaps(&self, place: usize) {
        if let Ok(place) = u32::try_from(place) {
            // Writing an existing element of an array cannot fail for want of memory in the map.
            let _ = self.gaps.set(place, &Layout(Gaps::NONE));
        }
    }

    fn message(&self, slot: InstanceId) -> Option<WatchedMessage> {
        self.messages.get::<Layout<WatchedMessage>>(slot.0).ok().map(|message| message.0)
    }

    fn set_message(&self, slot: InstanceId, message: &WatchedMessage) -> bool {
        self.messages.set(slot.0, &Layout(*message)).is_ok()
    }
}
