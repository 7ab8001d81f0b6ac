//! A configuration that takes the place of another one: the same things keep their numbers.
//!
//! An instance is the same if its interface, VRID, family and virtual MAC interfaces are; its name and its sync group
//! may change. A tracked thing is the same if its kind and name are. Whatever compares settings by
//! number afterwards finds what has changed; a new setting needs nothing more than to be compared.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use thiserror::Error;
use vrrp_ebpf::wire::Family;

use super::model::{Config, Instance};
use crate::protocol::{InstanceId, InstanceSettings, Track, TrackId, Vmac, Vrid};

/// The running daemon was made for fewer instances.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("there is room for {0} instances, those that leave now among them, until the daemon is restarted")]
pub struct NoRoom(pub usize);

/// Numbers `after` as what follows `before`, with instances below `capacity`.
///
/// # Errors
/// There are more instances than numbers; `after` is of no use then.
pub fn succeed(before: &Config, after: &mut Config, capacity: usize) -> Result<(), NoRoom> {
    number_tracks(before, after);
    number_instances(before, after, capacity)
}

fn number_tracks(before: &Config, after: &mut Config) {
    let tracks = |config: &Config| -> Vec<(Track, TrackId)> {
        let tracks = config.instances.iter().flat_map(|instance| &instance.settings.tracks);
        tracks.map(|track| (track.track.clone(), track.id)).collect()
    };
    let mut numbers: HashMap<Track, TrackId> = tracks(before).into_iter().collect();
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
    let tracks = after.instances.iter_mut().flat_map(|instance| &mut instance.settings.tracks);
    tracks.for_each(|track| renumber(&mut track.id));
    after.checks.iter_mut().for_each(|script| renumber(&mut script.id));
    after.tracked_interfaces.iter_mut().for_each(|(id, _)| renumber(id));
}

/// What makes an instance the same.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Identity {
    interface: Arc<str>,
    vrid: Vrid,
    family: Family,
    /// The one that adverts may leave from, and the further ones.
    vmacs: (Option<VmacIdentity>, Vec<VmacIdentity>),
}

/// What makes an interface with a virtual MAC address the same: its name, what it is made on, and the address.
type VmacIdentity = (Arc<str>, Arc<str>, [u8; 6]);

fn identity(instance: &Instance) -> Identity {
    let InstanceSettings { interface, vrid, family, vmacs, .. } = &instance.settings;
    let vmac = |vmac: &Vmac| (Arc::clone(vmac.name.as_arc()), Arc::clone(&vmac.parent), vmac.mac);
    Identity {
        interface: Arc::clone(interface),
        vrid: *vrid,
        family: *family,
        vmacs: (vmacs.own.as_ref().map(vmac), vmacs.further.iter().map(vmac).collect()),
    }
}

fn number_instances(before: &Config, after: &mut Config, capacity: usize) -> Result<(), NoRoom> {
    let known: Vec<(Identity, InstanceId)> =
        before.instances.iter().map(|instance| (identity(instance), instance.id)).collect();
    let same = after.instances.iter().map(|instance| {
        let identity = identity(instance);
        known.iter().find(|(known, _)| *known == identity).map(|(_, id)| *id)
    });
    let same: Vec<Option<InstanceId>> = same.collect();
    let used: HashSet<InstanceId> = before.instances.iter().map(|instance| instance.id).collect();
    let numbers = (0..u32::try_from(capacity).unwrap_or(u32::MAX)).map(InstanceId);
    // Not those that are left only now: their instances are still leaving.
    let mut free = numbers.filter(|id| !used.contains(id));
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
