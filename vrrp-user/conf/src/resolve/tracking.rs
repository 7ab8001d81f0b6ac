//! Tracked objects of an instance and of its sync group. Conflicting lines and weights are resolved as in keepalived.

use std::sync::Arc;

use super::super::check::CheckTarget;
use super::super::diagnostic::Report;
use super::super::schema::{Class, GroupDraft, InstanceDraft, ScriptDraft, TrackDraft};
use super::super::source::At;
use super::instance;

/// Kind of objects in a list; `None` for interfaces.
type Kind = Option<Class>;

/// Default weight of a file.
const FILE_DEFAULT: i64 = 1;

/// Removes an instance's own interface from its tracked objects.
pub(super) fn leave_own_interface_out(instance: &mut InstanceDraft, report: &mut Report) {
    let Some(own) = instance.interface.as_ref().map(|name| name.value.clone()) else { return };
    instance.interfaces.retain(|track| {
        let is_own = track.name.value == own;
        if is_own && track.weight.is_some_and(|weight| weight.value != 0) {
            report
                .warning(
                    track.name.at,
                    format!("`{own}` is the instance's own interface: its weight is ignored, as with keepalived"),
                )
                .help("without its link the instance is in FAULT, unless it has `dont_track_primary`");
        } else if is_own && instance.ignore_own_link {
            report.warning(
                track.name.at,
                format!(
                    "`{own}` is the instance's own interface, which `dont_track_primary` excludes, as with keepalived"
                ),
            );
        }
        !is_own
    });
}

/// Adds the tracked objects of a group to its members.
pub(super) fn share(
    group: &GroupDraft,
    members: &[Arc<str>],
    instances: &mut [InstanceDraft],
    scripts: &[ScriptDraft],
    report: &mut Report,
) {
    let is_member = |it: &&mut InstanceDraft| members.contains(&it.name.value);
    let has_owner = instances.iter_mut().filter(is_member).any(|it| instance::priority(it).is_owner());
    let lists = lists_of_group(group).map(|(kind, tracks)| {
        let mut tracks = tracks.clone();
        if has_owner {
            clear_weights(kind, &mut tracks, scripts, group, report);
        }
        (kind, tracks)
    });
    for member in instances.iter_mut().filter(is_member) {
        for (kind, of_group) in &lists {
            let own_link = (kind.is_none() && !member.ignore_own_link)
                .then(|| member.interface.as_ref().map(|name| name.value.clone()))
                .flatten();
            let name = member.name.value.clone();
            let own = match kind {
                Some(Class::Check) => &mut member.scripts,
                Some(Class::Process) => &mut member.processes,
                Some(Class::File) => &mut member.files,
                None => &mut member.interfaces,
            };
            let member = Member { name: &name, own_link: own_link.as_deref(), group };
            if !group.tracking_weight {
                member.leave_weights_out(*kind, own, scripts, report);
            }
            member.inherit(*kind, own, of_group, scripts, report);
        }
    }
}

fn lists_of_group(group: &GroupDraft) -> [(Kind, &Vec<TrackDraft>); 4] {
    [
        (Some(Class::Check), &group.scripts),
        (Some(Class::Process), &group.processes),
        (Some(Class::File), &group.files),
        (None, &group.interfaces),
    ]
}

/// The weight of the line, or of the block.
fn weight(kind: Kind, track: &TrackDraft, scripts: &[ScriptDraft]) -> i64 {
    let of_block = || {
        let name = &track.name.value;
        let block = scripts.iter().find(|it| Some(it.class()) == kind && it.name.value == *name)?;
        let is_file = matches!(&block.target, Some(At { value: CheckTarget::File(_), .. }));
        block.weight.map(|weight| weight.value).or(is_file.then_some(FILE_DEFAULT))
    };
    track.weight.map(|weight| weight.value).or_else(of_block).unwrap_or(0)
}

/// Clears weights for a group with an owner: priority 255 never changes, and the members move together.
fn clear_weights(
    kind: Kind,
    tracks: &mut [TrackDraft],
    scripts: &[ScriptDraft],
    group: &GroupDraft,
    report: &mut Report,
) {
    for track in tracks {
        if weight(kind, track, scripts) != 0 {
            report.warning(
                track.name.at,
                format!(
                    "`{}` is tracked without a weight, because vrrp_sync_group `{}` has a member of priority 255, as \
                     with keepalived",
                    track.name.value, group.name.value
                ),
            );
            track.weight = Some(At { value: 0, at: track.name.at });
        }
    }
}

struct Member<'a> {
    name: &'a str,
    /// The member's own interface, if its link counts.
    own_link: Option<&'a str>,
    group: &'a GroupDraft,
}

impl Member<'_> {
    /// Clears weights of a member's own lines, in a group without `sync_group_tracking_weight`.
    fn leave_weights_out(
        &self,
        kind: Kind,
        own: &mut Vec<TrackDraft>,
        scripts: &[ScriptDraft],
        report: &mut Report,
    ) {
        let group = &self.group.name.value;
        own.retain_mut(|track| {
            let weight = weight(kind, track, scripts);
            let (At { value: name, at }, written) = (&track.name, track.weight);
            let (message, stays) = match kind {
                _ if weight == 0 => return true,
                // keepalived logs that it ignores the weight of an interface, but counts it.
                None | Some(Class::Process) => (
                    format!("the weight of `{name}` counts although it is in vrrp_sync_group `{group}`"),
                    true,
                ),
                Some(Class::File) if weight == FILE_DEFAULT => {
                    track.weight = Some(At { value: 0, at: written.map_or(*at, |weight| weight.at) });
                    (format!("`{name}` is tracked without a weight in vrrp_sync_group `{group}`"), true)
                }
                Some(_) => {
                    (format!("`{name}` is not tracked: vrrp_sync_group `{group}` ignores its weight"), false)
                }
            };
            report
                .warning(*at, format!("{message}, as with keepalived"))
                .help("write `sync_group_tracking_weight` in the group, or no weight here");
            stays
        });
    }

    fn inherit(
        &self,
        kind: Kind,
        own: &mut Vec<TrackDraft>,
        of_group: &[TrackDraft],
        scripts: &[ScriptDraft],
        report: &mut Report,
    ) {
        let Self { name: member, own_link, group } = self;
        for track in of_group {
            let At { value: name, at } = &track.name;
            if *own_link == Some(&**name) {
                if weight(kind, track, scripts) != 0 {
                    report.warning(
                        *at,
                        format!(
                            "`{name}` is the own interface of `{member}`: its weight is ignored there, as with \
                             keepalived"
                        ),
                    );
                }
                continue;
            }
            // The member's own line does not count if its object is below it.
            let counts = |other: &TrackDraft| kind.is_none() || other.is_above || !report.is_tolerant();
            let Some(of_member) = own.iter_mut().find(|other| other.name.value == *name && counts(other))
            else {
                own.push(track.clone());
                continue;
            };
            let counts = if weight(kind, of_member, scripts) == 0 {
                "the instance's line, which has no weight, counts"
            } else {
                of_member.weight = track.weight;
                // keepalived keeps the member's sign of a process.
                if kind != Some(Class::Process) {
                    of_member.reverse = track.reverse;
                }
                "the group's line counts"
            };
            report
                .warning(
                    of_member.name.at,
                    format!(
                        "`{name}` is tracked by `{member}` and by vrrp_sync_group `{}`: {counts}, as with keepalived",
                        group.name.value
                    ),
                )
                .help("write it once");
        }
    }
}
