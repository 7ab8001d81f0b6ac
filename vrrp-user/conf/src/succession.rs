//! Stable numbers of instances and tracked objects across a reload.
//!
//! An instance is the same if its interface, VRID, family and virtual MAC interfaces are; its name and its sync group
//! may change. A tracked object is the same if its kind and name are. Comparing settings by number then finds all
//! changes; a new setting needs only to take part in the comparison.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use thiserror::Error;
use vrrp_ebpf::wire::Family;

use super::model::{Config, Instance};
use crate::{InstanceSettings, Vmac};
use vrrp_proto::{InstanceId, TrackId, TrackedObject, Vrid};

/// The running daemon has room for fewer instances.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "the daemon has room for {0} instances, including those that this reload removes; restart it to change that"
)]
pub struct NoRoom(pub usize);

/// Numbers `after`, the successor of `before`, with instance numbers below `capacity`. Numbers of earlier instances
/// that have left something come last.
///
/// # Errors
/// There are more instances than numbers; `after` must not be used then.
pub fn succeed(
    before: &Config,
    after: &mut Config,
    capacity: usize,
    is_clean: impl Fn(InstanceId) -> bool,
) -> Result<(), NoRoom> {
    number_tracks(before, after);
    number_instances(before, after, capacity, is_clean)
}

fn number_tracks(before: &Config, after: &mut Config) {
    let tracks = |config: &Config| -> Vec<(TrackedObject, TrackId)> {
        let tracks = config.instances.iter().flat_map(|instance| &instance.settings.tracks);
        tracks.map(|track| (track.object.clone(), track.id)).collect()
    };
    let mut numbers: HashMap<TrackedObject, TrackId> = tracks(before).into_iter().collect();
    let mut next = numbers.values().map(|id| id.0.saturating_add(1)).max().unwrap_or(0);
    let mut renumbered = HashMap::new();
    for (track, id) in tracks(after) {
        let number = *numbers.entry(track).or_insert_with(|| {
            next = next.saturating_add(1);
            TrackId(next - 1)
        });
        renumbered.insert(id, number);
    }
    let renumber = |id: &mut TrackId| *id = renumbered.get(id).copied().unwrap_or(*id);
    let tracking = after.instances.iter_mut().filter(|instance| !instance.settings.tracks.is_empty());
    let tracks = tracking.flat_map(|instance| &mut Arc::make_mut(&mut instance.settings).tracks);
    tracks.for_each(|track| renumber(&mut track.id));
    after.checks.iter_mut().for_each(|script| renumber(&mut script.id));
    after.tracked_interfaces.iter_mut().for_each(|(id, _)| renumber(id));
}

/// Identity of an instance across a reload.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Identity {
    interface: Arc<str>,
    vrid: Vrid,
    family: Family,
    /// The interface that may send adverts, and the others.
    vmacs: (Option<VmacIdentity>, Vec<VmacIdentity>),
}

/// Identity of a virtual MAC interface across a reload: its name, its parent, and the MAC address.
type VmacIdentity = (Arc<str>, Arc<str>, [u8; 6]);

fn identity(instance: &Instance) -> Identity {
    let InstanceSettings { interface, vrid, family, vmacs, .. } = &*instance.settings;
    let vmac = |vmac: &Vmac| (Arc::clone(vmac.name.as_arc()), Arc::clone(&vmac.parent), vmac.mac);
    Identity {
        interface: Arc::clone(interface),
        vrid: *vrid,
        family: *family,
        vmacs: (vmacs.own.as_ref().map(vmac), vmacs.further.iter().map(vmac).collect()),
    }
}

fn number_instances(
    before: &Config,
    after: &mut Config,
    capacity: usize,
    is_clean: impl Fn(InstanceId) -> bool,
) -> Result<(), NoRoom> {
    let known: Vec<(Identity, InstanceId)> =
        before.instances.iter().map(|instance| (identity(instance), instance.id)).collect();
    let same = after.instances.iter().map(|instance| {
        let identity = identity(instance);
        known.iter().find(|(known, _)| *known == identity).map(|(_, id)| *id)
    });
    let same: Vec<Option<InstanceId>> = same.collect();
    let used: HashSet<InstanceId> = before.instances.iter().map(|instance| instance.id).collect();
    let numbers = (0..u32::try_from(capacity).unwrap_or(u32::MAX)).map(InstanceId);
    // Numbers freed by this reload are not reused yet: their instances are still leaving.
    let free = || numbers.clone().filter(|id| !used.contains(id));
    let mut free = free().filter(|id| is_clean(*id)).chain(free().filter(|id| !is_clean(*id)));
    let mut renumbered = HashMap::new();
    for (instance, same) in after.instances.iter_mut().zip(same) {
        let id = same.or_else(|| free.next()).ok_or(NoRoom(capacity))?;
        renumbered.insert(instance.id, id);
        instance.id = id;
    }
    for member in after.groups.iter_mut().flat_map(|group| &mut group.settings.members) {
        *member = renumbered.get(member).copied().unwrap_or(*member);
    }
    Ok(())
}
