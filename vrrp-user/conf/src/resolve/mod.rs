//! Resolution of drafts to settings: defaults, units, names in any order.
//!
//! Values that cannot be used as written are changed as keepalived changes them, with a warning, or refused.

mod address;
mod announcing;
mod delay;
mod group;
mod hmac;
mod instance;
mod policy;
mod rule;
mod tracking;
mod vmac;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) use address::repeated;
pub(super) use instance::family;
pub(super) use policy::{is_strict, lacks_link_local};

use self::announcing::clamped_u32;
use self::policy::Policy;
use super::check::CheckTarget;
use super::diagnostic::{self, Report};
use super::model::{CheckSettings, Config, Globals, Instance, Statics};
use super::schema::{Class, Draft, InstanceDraft, ScriptDraft, TrackDraft, fifos, targets};
use super::source::At;
use super::template;
use vrrp_proto::{InstanceId, Priority, TrackId, TrackSettings, TrackedObject, Weight};

/// The result is valid only if the report has no errors.
pub(super) fn resolve(mut draft: Draft, report: &mut Report) -> Config {
    rule::number(&mut draft, report);
    let mut vmacs = vmac::Names::new(&draft, report);
    let Draft {
        mut globals,
        scripts,
        mut instances,
        groups,
        static_addresses,
        static_routes,
        static_rules,
        link_delays,
    } = draft;
    let webhooks = template::joined(&[], std::mem::take(&mut globals.webhooks));
    let mail_by_default = globals.mail.default_alert();
    let alerts = instances.iter().map(|it| it.mail).chain(groups.iter().map(|it| it.mail)).flatten();
    let mail = std::mem::take(&mut globals.mail).settings(alerts, report);
    for instance in &mut instances {
        tracking::leave_own_interface_out(instance, report);
    }
    let members = group::join(&groups, &mut instances, &scripts, report);
    let default = globals.default_interface.as_ref().map_or("eth0".into(), |name| name.value.clone());
    let announce = announcing::defaults(&globals, report);
    let mut names = Names::new(&scripts, report);
    let mut resolved: Vec<Instance> = Vec::with_capacity(instances.len());
    for mut draft in instances {
        let priority = instance::priority(&draft);
        let tracks = names.tracks(&draft, priority, report);
        let mut notify = draft.notify.clone();
        notify.priority_changes =
            draft.notify_priority_changes.map_or(globals.notify_priority_changes, |on| on.value);
        notify.webhooks = template::joined(&webhooks, std::mem::take(&mut draft.webhooks));
        notify.mail = draft.mail.map_or(mail_by_default, |on| on.value);
        let is_strict = is_strict(&draft, &globals);
        let policy = Policy::new(&mut draft, priority, &globals, report);
        draft.finds_interface = instance::finds_interface(&draft);
        let promote_secondaries = promotes(&draft, report);
        let plan = vmac::Plan::new(&mut draft, report);
        let settings = instance::settings(draft, priority, policy, tracks, &globals, &announce, report);
        if let Some(mut settings) = settings {
            vmacs.place(plan, &mut settings, report);
            let id = InstanceId(u32::try_from(resolved.len()).unwrap_or(u32::MAX));
            let notify = match resolved.last() {
                Some(before) if *before.notify == notify => Arc::clone(&before.notify),
                _ => Arc::new(notify),
            };
            resolved.push(Instance {
                id,
                settings: Arc::new(settings),
                notify,
                promote_secondaries,
                is_strict,
            });
        }
    }
    let groups = group::resolve(groups, members, &resolved, (mail_by_default, &webhooks), report);
    let Names { mut tracked_scripts, mut tracked_interfaces, .. } = names;
    // Groups have dropped some tracks. An object that no instance tracks is not checked.
    let tracks = |id| resolved.iter().any(|it| it.settings.tracks.iter().any(|track| track.id == id));
    tracked_scripts.retain(|script| tracks(script.id));
    tracked_interfaces.retain(|(id, _)| tracks(*id));
    Config {
        link_delays: delay::resolve(&link_delays, &resolved, report),
        globals: Globals {
            router_id: globals.router_id.map(|name| name.value),
            script_user: globals.script_user,
            script_security: globals.script_security,
            startup_delay: globals.startup_delay.map_or(Duration::ZERO, |span| span.value),
            silent_igmp: globals.silent_igmp,
            fifo_states_on_reload: globals.fifo_states_on_reload,
            delay_after_boot: globals.delay_after_boot.map_or(Duration::ZERO, |span| span.value),
            fifos: fifos([globals.fifo, globals.vrrp_fifo], report),
            dumps: globals.dumps,
            mail,
            process: globals.daemon.settings(),
            firewall: globals.policies.firewall,
            log_unknown_vrids: globals.policies.log_unknown_vrids,
        },
        instances: resolved,
        groups,
        checks: tracked_scripts,
        statics: Statics {
            addresses: static_addresses.iter().map(|it| address::on_device(it, &default, report)).collect(),
            routes: static_routes,
            rules: rule::rules(static_rules),
        },
        tracked_interfaces,
    }
}

/// Whether to set `promote_secondaries`; virtual MAC interfaces are created with it.
fn promotes(draft: &InstanceDraft, report: &mut Report) -> bool {
    let Some(at) = draft.promote_secondaries else { return false };
    let has_vmac = draft.vmacs.own.is_some();
    if has_vmac {
        report.warning(at, "with `use_vmac` it is always set, as with keepalived");
    }
    !has_vmac
}

/// Scripts by name, and the numbers of tracked objects.
struct Names {
    /// By kind and name; `None` if the block is invalid.
    scripts: HashMap<(Class, Arc<str>), Option<CheckSettings>>,
    /// A track's index is its number.
    tracked: Vec<TrackedObject>,
    tracked_scripts: Vec<CheckSettings>,
    tracked_interfaces: Vec<(TrackId, Arc<str>)>,
}

impl Names {
    fn new(drafts: &[ScriptDraft], report: &mut Report) -> Self {
        let scripts = drafts
            .iter()
            .map(|draft| ((draft.class(), draft.name.value.clone()), script(draft, report)))
            .collect();
        Self { scripts, tracked: Vec::new(), tracked_scripts: Vec::new(), tracked_interfaces: Vec::new() }
    }

    fn tracks(
        &mut self,
        draft: &InstanceDraft,
        priority: Priority,
        report: &mut Report,
    ) -> Vec<TrackSettings> {
        let InstanceDraft { scripts, processes, files, .. } = draft;
        let lists = [(Class::Check, scripts), (Class::Process, processes), (Class::File, files)];
        let tracked = lists.into_iter().flat_map(|(class, tracks)| tracks.iter().map(move |it| (class, it)));
        let mut tracks: Vec<TrackSettings> =
            tracked.filter_map(|(class, track)| self.check(class, track, priority, report)).collect();
        tracks.extend(draft.interfaces.iter().filter_map(|track| self.interface(track, priority, report)));
        tracks
    }

    fn check(
        &mut self,
        class: Class,
        track: &TrackDraft,
        priority: Priority,
        report: &mut Report,
    ) -> Option<TrackSettings> {
        let name = &track.name.value;
        let Some(script) = self.scripts.get(&(class, name.clone())) else {
            let (what, block) = class.blocks();
            let names = self.scripts.keys().filter(|(other, _)| *other == class).map(|(_, name)| &**name);
            let elsewhere = self.scripts.keys().find(|(_, other)| other == name).map(|(other, _)| *other);
            report.left_out(track.name.at, format!("there is no {what} `{name}`")).elects(true).help_with(
                || match elsewhere {
                    Some(other) => {
                        Some(format!("it is a {}: track it in `{}`", other.blocks().0, other.track()))
                    }
                    None => diagnostic::named(name, names)
                        .or_else(|| Some(format!("write a block `{block} {name} {{ … }}`"))),
                },
            );
            return None;
        };
        if report.is_tolerant() && !track.is_above {
            let (what, block) = class.blocks();
            report
                .left_out(
                    track.name.at,
                    format!("`{name}` is not tracked: there is no {what} `{name}` above"),
                )
                .elects(true)
                .help(format!("move the block `{block} {name}` above the place that tracks it"));
            return None;
        }
        let script = script.clone()?;
        let weight = track.weight.map_or(script.weight, |written| weight_of(class, written, report));
        let is_file = matches!(script.target, CheckTarget::File(_));
        let weight = match weight {
            Weight(1) if priority.is_owner() && is_file => {
                report.warning(
                    track.name.at,
                    format!(
                        "`{name}` is tracked without a weight: priority 255 never changes, as with keepalived"
                    ),
                );
                Weight(0)
            }
            weight if priority.is_owner() && weight != Weight(0) => {
                ignored_by_owner(&track.name, report);
                return None;
            }
            weight => weight,
        };
        let reverse = track.reverse.unwrap_or(script.reverse);
        // A file counts by its number, whichever keyword tracks it.
        let object = match (&script.target, class) {
            (CheckTarget::File(_), _) => TrackedObject::File(name.clone()),
            (_, Class::Process) => TrackedObject::Process(name.clone()),
            _ => TrackedObject::Script(name.clone()),
        };
        let initial = match object {
            TrackedObject::File(_) => None,
            _ => before_first_result(script.init_fail, weight),
        };
        let id = self.number(object.clone());
        if self.tracked_scripts.iter().all(|other| other.id != id) {
            self.tracked_scripts.push(CheckSettings { id, ..script.clone() });
        }
        Some(TrackSettings { id, object, weight, reverse, initial })
    }

    fn interface(
        &mut self,
        track: &TrackDraft,
        priority: Priority,
        report: &mut Report,
    ) -> Option<TrackSettings> {
        let name = instance::interface_name(&track.name, report);
        let weight = track.weight.map_or(Weight(0), |written| weight(written, report));
        if priority.is_owner() && weight != Weight(0) {
            ignored_by_owner(&track.name, report);
            return None;
        }
        let id = self.number(TrackedObject::Interface(name.clone()));
        if self.tracked_interfaces.iter().all(|(other, _)| *other != id) {
            self.tracked_interfaces.push((id, name.clone()));
        }
        let reverse = track.reverse.unwrap_or(false);
        // The link state is known before the election begins.
        Some(TrackSettings { id, object: TrackedObject::Interface(name), weight, reverse, initial: None })
    }

    fn number(&mut self, object: TrackedObject) -> TrackId {
        let index = self.tracked.iter().position(|other| *other == object).unwrap_or_else(|| {
            self.tracked.push(object);
            self.tracked.len() - 1
        });
        TrackId(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

/// As in keepalived: without a weight the instance waits for the first result; with one it takes part at once, at its
/// priority without the script's contribution.
fn before_first_result(init_fail: bool, weight: Weight) -> Option<bool> {
    match weight.0 {
        _ if init_fail => Some(false),
        0 => None,
        weight => Some(weight < 0),
    }
}

fn script(draft: &ScriptDraft, report: &mut Report) -> Option<CheckSettings> {
    if draft.target.is_none() && !draft.flawed {
        let (what, help) = match draft.block {
            "track_file" => ("`file`".to_owned(), "write `file /path/to/number` into its block".to_owned()),
            "vrrp_track_process" => {
                ("`process`".to_owned(), "write `process NAME` into its block".to_owned())
            }
            "vrrp_check" => ("target".to_owned(), format!("write one of {} into its block", targets())),
            _ => ("`script`".to_owned(), "write `script \"/path/to/check\"` into its block".to_owned()),
        };
        report
            .left_out(draft.name.at, format!("{} `{}` has no {what}", draft.block, draft.name.value))
            .help(help);
    }
    let is_file = matches!(&draft.target, Some(At { value: CheckTarget::File(_), .. }));
    if let (true, Some((keyword, at))) = (is_file, draft.hold.written()) {
        report.error(at, format!("`{keyword}` has no effect with `file`: its number counts as it is"));
    }
    let default = Weight(i16::from(is_file));
    let interval = draft.interval.map_or(Duration::from_secs(1), |span| positive("interval", span, report));
    let count = |count: Option<At<i64>>| count.map_or(1, |count| clamped_u32(count.value));
    Some(CheckSettings {
        id: TrackId(0),
        name: draft.name.value.clone(),
        target: draft.target.clone()?.value,
        interval,
        timeout: draft.timeout.map_or(interval, |span| positive("timeout", span, report)),
        weight: draft.weight.map_or(default, |written| weight_of(draft.class(), written, report)),
        reverse: draft.reverse,
        rise: count(draft.rise),
        fall: count(draft.fall),
        user: draft.user.clone(),
        init_fail: draft.init_fail,
        hold: draft.hold.settings(),
    })
}

fn positive(keyword: &str, span: At<Duration>, report: &mut Report) -> Duration {
    if span.value.is_zero() {
        report.warning(span.at, format!("`{keyword} 0` is raised to 1, as with keepalived"));
        return Duration::from_secs(1);
    }
    span.value
}

fn weight_of(class: Class, written: At<i64>, report: &mut Report) -> Weight {
    match i16::try_from(written.value) {
        Ok(weight) if class == Class::File && (-254..=254).contains(&weight) => Weight(weight),
        _ => weight(written, report),
    }
}

fn weight(written: At<i64>, report: &mut Report) -> Weight {
    let within = written.value.clamp(-253, 253);
    if within != written.value {
        report.warning(written.at, format!("a weight is -253 to 253; {within} is used, as with keepalived"));
    }
    Weight(i16::try_from(within).unwrap_or_default())
}

fn ignored_by_owner(name: &At<Arc<str>>, report: &mut Report) {
    report.warning(
        name.at,
        format!("`{}` is not tracked: priority 255 never changes, so a weight has no effect", name.value),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_the_first_result_a_weight_adds_nothing() {
        for (weight, reverse) in [(20, false), (20, true), (-20, false), (-20, true)] {
            let (weight, object) = (Weight(weight), TrackedObject::Script("check".into()));
            let initial = before_first_result(false, weight);
            let track = TrackSettings { id: TrackId(0), object, weight, reverse, initial };
            assert_eq!(track.adds(i32::from(initial.unwrap())), 0, "{weight:?} {reverse}");
        }
        assert_eq!(before_first_result(false, Weight(0)), None);
        assert_eq!(before_first_result(true, Weight(0)), Some(false));
    }
}
