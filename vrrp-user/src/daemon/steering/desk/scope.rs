//! The instances that an order concerns, by name.

use super::No;
use crate::config::{Config, Instance, did_you_mean, quoted};

/// Names that are shown where none is near.
const SHOWN: usize = 8;

/// The instances that an order concerns: all, or those of the name and the other members of their sync groups.
pub(super) fn scope<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<&'a Instance>, No> {
    let Some(name) = name else { return Ok(config.instances.iter().collect()) };
    let mut scope = named(config, name)?;
    let groups = config.groups.iter().filter(|group| {
        group.settings.members.iter().any(|member| scope.iter().any(|instance| instance.id == *member))
    });
    let members: Vec<&Instance> =
        groups.flat_map(|group| &group.settings.members).filter_map(|id| config.instance(*id)).collect();
    for member in members {
        if !scope.iter().any(|known| known.id == member.id) {
            scope.push(member);
        }
    }
    Ok(scope)
}

/// The instance, or the members of the sync group, of this name.
pub(super) fn named<'a>(config: &'a Config, name: &str) -> Result<Vec<&'a Instance>, No> {
    if let Some(instance) = config.instances.iter().find(|it| *it.settings.name == *name) {
        return Ok(vec![instance]);
    }
    let group = config.groups.iter().find(|group| *group.settings.name == *name);
    match group {
        Some(group) => {
            Ok(group.settings.members.iter().filter_map(|member| config.instance(*member)).collect())
        }
        None => Err(unknown(config, name)),
    }
}

/// The instance of this name; a sync group has no priority of its own.
pub(super) fn single<'a>(config: &'a Config, name: &str) -> Result<&'a Instance, No> {
    if let Some(instance) = config.instances.iter().find(|it| *it.settings.name == *name) {
        return Ok(instance);
    }
    let members = named(config, name)?;
    let members: Vec<String> = members.iter().map(|it| quoted(&it.settings.name)).collect();
    Err(No::Refused(vec![format!("{name} is a sync group; name one of its members: {}", members.join(", "))]))
}

pub(super) fn unknown(config: &Config, name: &str) -> No {
    let instances = config.instances.iter().map(|it| &*it.settings.name);
    let names = instances.chain(config.groups.iter().map(|group| &*group.settings.name));
    No::Unknown(unknown_name(name, names))
}

/// Error text for a name that is none of `names`: the one that was meant, or some of them.
pub(crate) fn unknown_name<'a>(name: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    unknown_of(name, "neither an instance nor a sync group", names)
}

/// The same of a name that is none of these `kinds`.
pub(crate) fn unknown_of<'a>(
    name: &str,
    kinds: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> String {
    let text = format!("{name} is {kinds} of the daemon");
    if let Some(near) = did_you_mean(name, names.clone()) {
        return format!("{text}; {near}");
    }
    let shown: Vec<String> = names.clone().take(SHOWN).map(quoted).collect();
    match names.count().saturating_sub(shown.len()) {
        0 if shown.is_empty() => format!("{text}; it has none"),
        0 => format!("{text}; it has {}", shown.join(", ")),
        more => format!("{text}; it has {} and {more} more: vrrpx status --all", shown.join(", ")),
    }
}
