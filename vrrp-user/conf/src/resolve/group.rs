//! `vrrp_sync_group`: members, and the objects they track for the group.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::diagnostic::{self, Report};
use super::super::model::{Group, Instance, NotifySettings};
use super::super::schema::{GroupDraft, InstanceDraft, ScriptDraft};
use super::super::source::{At, Position};
use super::super::template;
use super::super::webhook::WebhookSettings;
use super::tracking;
use vrrp_proto::{GroupSettings, InstanceId, Priority};

/// Finds the members of each group and adds its tracked objects to theirs. Returns the names of the members.
pub(super) fn join(
    groups: &[GroupDraft],
    instances: &mut [InstanceDraft],
    scripts: &[ScriptDraft],
    report: &mut Report,
) -> Vec<Vec<Arc<str>>> {
    let mut taken: HashMap<Arc<str>, Arc<str>> = HashMap::new();
    let mut joined = Vec::with_capacity(groups.len());
    for group in groups {
        let mut members = Vec::with_capacity(group.members.len());
        for At { value: name, at } in &group.members {
            if instances.iter().all(|instance| instance.name.value != *name) {
                unknown(name, *at, instances, report);
                continue;
            }
            match taken.insert(name.clone(), group.name.value.clone()) {
                None => members.push(name.clone()),
                Some(other) if other == group.name.value => {
                    report.warning(*at, format!("`{name}` is listed already"));
                }
                Some(other) => {
                    report
                        .left_out(*at, format!("`{name}` is in vrrp_sync_group `{other}` already"))
                        .help("an instance can move with one group only");
                }
            }
        }
        if !group.flawed {
            count(group, report);
        }
        tracking::share(group, &members, instances, scripts, report);
        joined.push(members);
    }
    joined
}

/// Groups with the members that were resolved; `members` are their names, group by group.
pub(super) fn resolve(
    groups: Vec<GroupDraft>,
    members: Vec<Vec<Arc<str>>>,
    instances: &[Instance],
    (mail_by_default, webhooks): (bool, &[WebhookSettings]),
    report: &mut Report,
) -> Vec<Group> {
    let numbers: HashMap<Arc<str>, InstanceId> =
        instances.iter().map(|instance| instance.settings.name.clone()).zip((0..).map(InstanceId)).collect();
    let mut resolved = Vec::with_capacity(groups.len());
    for (group, names) in groups.into_iter().zip(members) {
        let members: Vec<InstanceId> = names.iter().filter_map(|name| numbers.get(name).copied()).collect();
        if members.is_empty() {
            continue;
        }
        owners(&group, &members, instances, report);
        let settings = GroupSettings { name: group.name.value, members };
        let webhooks = template::joined(webhooks, group.webhooks);
        let mail = group.mail.map_or(mail_by_default, |on| on.value);
        let notify = NotifySettings { mail, webhooks, ..group.notify };
        resolved.push(Group { settings, notify: notify.into() });
    }
    resolved
}

fn unknown(name: &str, at: Position, instances: &[InstanceDraft], report: &mut Report) {
    let names = instances.iter().map(|instance| &*instance.name.value);
    report
        .left_out(at, format!("there is no vrrp_instance `{name}`"))
        .elects(true)
        .help_with(|| diagnostic::named(name, names));
}

fn count(group: &GroupDraft, report: &mut Report) {
    let At { value: name, at } = &group.name;
    if group.members.is_empty() {
        report
            .warning(*at, format!("vrrp_sync_group `{name}` has no members, so it does nothing"))
            .help("list its instances in `group { … }`");
    } else if group.members.len() == 1 {
        report.warning(*at, format!("vrrp_sync_group `{name}` has one member only"));
    }
}

/// An address owner never waits and never yields; the others do both.
fn owners(group: &GroupDraft, members: &[InstanceId], instances: &[Instance], report: &mut Report) {
    let priorities = members.iter().filter_map(|member| instances.get(member.index()));
    let owners = priorities.filter(|member| member.settings.priority == Priority::OWNER).count();
    if owners > 0 && owners < members.len() {
        report
            .warning(
                group.name.at,
                format!("vrrp_sync_group `{}` has members with and without priority 255", group.name.value),
            )
            .help("members move together, so those with 255 wait like the others; use less than 255 for all");
    }
}
