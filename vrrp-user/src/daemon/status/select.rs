//! The part of a [`Status`] that is of one instance or sync group.

use super::{Group, Instance, Status};

impl Status {
    /// State of the instance or sync group of this name.
    pub fn state_of(&self, name: &str) -> Option<&str> {
        let instances = self.instances.iter().map(|it| (&it.name, &it.state));
        let groups = self.groups.iter().map(|it| (&it.name, &it.state));
        instances.chain(groups).find(|(of, _)| *of == name).map(|(_, state)| state.as_str())
    }

    /// Keeps this instance or sync group, with its members, interfaces and tracked objects, and everything of the
    /// whole daemon.
    #[must_use]
    pub fn of(self, name: &str) -> Self {
        let members = |group: &Group| group.name == name;
        let of_group: Vec<String> =
            self.groups.iter().filter(|it| members(it)).flat_map(|it| it.members.clone()).collect();
        let is_shown = |it: &Instance| it.name == name || of_group.contains(&it.name);
        let instances: Vec<Instance> = self.instances.into_iter().filter(is_shown).collect();
        let concerns = |group: &Group| {
            group.name == name
                || group.members.iter().any(|member| instances.iter().any(|it| it.name == *member))
        };
        let groups = self.groups.into_iter().filter(concerns).collect();
        let is_tracked = |check: &str| {
            instances
                .iter()
                .flat_map(|it| &it.tracks)
                .any(|track| track.kind != "interface" && track.name == check)
        };
        let checks = self.checks.into_iter().filter(|it| is_tracked(&it.name)).collect();
        let is_used = |interface: &str| {
            instances.iter().any(|it| {
                it.interface == interface || it.vmacs.iter().any(|vmac| vmac.interface == interface)
            })
        };
        let interfaces = self.interfaces.into_iter().filter(|it| is_used(&it.name)).collect();
        let unknown_routers = self.unknown_routers.into_iter().filter(|it| is_used(&it.interface)).collect();
        Self { instances, groups, checks, interfaces, unknown_routers, ..self }
    }
}
