//! Difference between two configurations, as the engine receives it.
//!
//! Enters: two configurations whose numbers agree ([`crate::config::succeed`]). Leaves: removed instances, and
//! instances that are new or have other settings, each with its settings outside the protocol. Absent: the meaning of a
//! setting to a running instance; see [`crate::protocol`] and [`crate::daemon::effect`].

use std::sync::Arc;

use crate::config::{Config, InstanceSettings};
use crate::daemon::queue::ConfigurationChanges;
use crate::daemon::steering::Steerings;
use crate::protocol::{ConfiguredInstance, ElectionSettings, GroupSettings, TrackId};

pub fn between(
    before: &Config,
    after: &Config,
    known: Vec<(TrackId, i32)>,
    steerings: &Steerings,
) -> ConfigurationChanges {
    let gone = before.instances.iter().map(|instance| instance.id);
    let removed = gone.filter(|id| after.instance(*id).is_none()).collect();
    let changed = after
        .instances
        .iter()
        .filter(|instance| before.instance(instance.id).is_none_or(|old| old.settings != instance.settings));
    let mut configured: Vec<ConfiguredInstance<Arc<InstanceSettings>>> = changed
        .map(|instance| ConfiguredInstance {
            id: instance.id,
            settings: ElectionSettings::from(&*instance.settings),
            has_new_addresses: before
                .instance(instance.id)
                .is_some_and(|old| instance.settings.has_new_addresses(&old.settings)),
            effects: Arc::clone(&instance.settings),
        })
        .collect();
    configured.sort_unstable_by_key(|change| change.id);
    let groups = |config: &Config| -> Vec<GroupSettings> {
        config.groups.iter().map(|group| group.settings.clone()).collect()
    };
    let (old, new) = (groups(before), groups(after));
    ConfigurationChanges {
        removed,
        configured,
        groups: (old != new).then_some(new),
        known,
        steering: steerings.orders(after),
    }
}
