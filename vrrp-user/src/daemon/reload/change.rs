//! Difference between two configurations, as the engine receives it.
//!
//! Enters: two configurations whose numbers agree ([`crate::config::succeed`]). Leaves: removed instances, and
//! instances that are new or have other settings, each with its effects for the effect thread. Absent: the meaning of a
//! setting to a running instance; see [`crate::protocol`] and [`crate::daemon::effect`].

use crate::config::Config;
use crate::daemon::effect::InstanceEffects;
use crate::daemon::steering::Steerings;
use crate::protocol::{GroupSettings, InstanceId, InstanceSettings, SteeringOrder, TrackId};

#[derive(Debug, Default)]
pub struct Changes {
    pub removed: Vec<InstanceId>,
    /// New instances come in the order of their numbers, so that none leaves a gap.
    pub configured: Vec<Configured>,
    /// All sync groups, if any of them differs.
    pub groups: Option<Vec<GroupSettings>>,
    /// Latest results of everything that is tracked.
    pub known: Vec<(TrackId, i32)>,
    /// Orders of an operator, for every instance that remains or comes.
    pub steering: Box<[SteeringOrder]>,
}

#[derive(Debug)]
pub struct Configured {
    pub id: InstanceId,
    pub settings: InstanceSettings,
    pub effects: InstanceEffects,
}

impl Changes {
    pub fn between(
        before: &Config,
        after: &Config,
        known: Vec<(TrackId, i32)>,
        steerings: &Steerings,
    ) -> Self {
        let gone = before.instances.iter().map(|instance| instance.id);
        let removed = gone.filter(|id| after.instance(*id).is_none()).collect();
        let changed = after.instances.iter().filter(|instance| {
            before.instance(instance.id).is_none_or(|old| old.settings != instance.settings)
        });
        let mut configured: Vec<Configured> = changed
            .map(|instance| Configured {
                id: instance.id,
                settings: instance.settings.clone(),
                effects: InstanceEffects::from(&instance.settings),
            })
            .collect();
        configured.sort_unstable_by_key(|change| change.id);
        let groups = |config: &Config| -> Vec<GroupSettings> {
            config.groups.iter().map(|group| group.settings.clone()).collect()
        };
        let (old, new) = (groups(before), groups(after));
        Self {
            removed,
            configured,
            groups: (old != new).then_some(new),
            known,
            steering: steerings.orders(after),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.configured.is_empty() && self.groups.is_none()
    }
}
