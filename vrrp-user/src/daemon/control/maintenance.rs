//! The instances in maintenance, from the orders in force: no status is collected for them.

use crate::config::Instance;
use crate::daemon::status::{DaemonContext, NamedOrder, Steering};
use crate::daemon::steering::{Kind, unknown_name};

/// All, or those of the instance or sync group of this name.
///
/// # Errors
/// None has the name; the text says which there are.
pub(super) fn in_maintenance(context: &DaemonContext, name: Option<&str>) -> Result<Vec<NamedOrder>, String> {
    let instances = || context.config.instances.iter();
    let groups = || context.config.groups.iter();
    let names = instances().map(|it| &*it.settings.name).chain(groups().map(|it| &*it.settings.name));
    if let Some(name) = name.filter(|name| !names.clone().any(|it| it == *name)) {
        return Err(unknown_name(name, names));
    }
    let group = groups().find(|group| name == Some(&*group.settings.name));
    let is_meant = |it: &&Instance| {
        name.is_none_or(|name| *it.settings.name == *name)
            || group.is_some_and(|group| group.settings.members.contains(&it.id))
    };
    let history = context.history.read();
    let orders = instances().filter(is_meant).flat_map(|it| {
        let orders = Steering::of(&history, &it.settings.name).into_iter();
        let orders = orders.filter(|order| order.what == Kind::Maintenance.as_str());
        orders.map(|order| NamedOrder { instance: it.settings.name.to_string(), order })
    });
    Ok(orders.collect())
}
