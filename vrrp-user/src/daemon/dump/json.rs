//! keepalived.json.

use serde::{Serialize, Serializer};

use super::path;
use super::tally::Tally;
use super::view::{self, View};
use crate::daemon::status::DaemonContext;
use crate::protocol::{Auth, State, TrackedObject};

/// The whole file: a list of instances, or with `json_version 2` an object that holds it.
pub(super) fn json(context: &DaemonContext, tallies: &[Tally]) -> String {
    let views = view::all(context);
    let vrrp: Vec<Entry<'_>> = views
        .iter()
        .zip(tallies)
        .map(|(view, &stats)| Entry { data: Data::of(view, context), stats })
        .collect();
    let text = if context.config.globals.dumps.nested_json {
        serde_json::to_string(&Nested { vrrp, track_process: [] })
    } else {
        serde_json::to_string(&vrrp)
    };
    // Cannot fail for strings and numbers.
    text.unwrap_or_default() + "\n"
}

#[derive(Serialize)]
struct Nested<'a> {
    vrrp: Vec<Entry<'a>>,
    track_process: [(); 0],
}

#[derive(Serialize)]
struct Entry<'a> {
    data: Data<'a>,
    stats: Tally,
}

/// Names and types are keepalived's.
#[derive(Serialize)]
struct Data<'a> {
    iname: &'a str,
    dont_track_primary: u8,
    skip_check_adv_addr: u8,
    strict_mode: u8,
    vmac_ifname: &'a str,
    ifp_ifname: &'a str,
    master_priority: u8,
    last_transition: f64,
    garp_delay: u64,
    garp_refresh: u64,
    garp_rep: u32,
    garp_refresh_rep: u32,
    garp_lower_prio_delay: u64,
    garp_lower_prio_rep: u32,
    lower_prio_no_advert: u8,
    higher_prio_send_advert: u8,
    vrid: u8,
    base_priority: u8,
    effective_priority: u8,
    vipset: bool,
    promote_secondaries: bool,
    #[serde(serialize_with = "short")]
    adver_int: f64,
    #[serde(serialize_with = "short")]
    master_adver_int: f64,
    accept: u8,
    nopreempt: bool,
    #[serde(serialize_with = "short")]
    preempt_delay: f64,
    state: u8,
    wantstate: u8,
    version: u8,
    smtp_alert: bool,
    notify_deleted: bool,
    #[serde(flatten)]
    scripts: Scripts,
    vips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vroutes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vrules: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_ifp: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_script: Vec<String>,
    auth_type: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_data: Option<&'static str>,
}

#[derive(Serialize)]
struct Scripts {
    #[serde(skip_serializing_if = "Option::is_none")]
    script_backup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_master: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_fault: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_stop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_deleted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_master_rx_lower_pri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<String>,
}

impl<'a> Data<'a> {
    fn of(view: &View<'a>, context: &'a DaemonContext) -> Self {
        let settings = &view.instance.settings;
        let announce = &settings.announce;
        let state = view.state as u8;
        let tracked_scripts = settings.tracks.iter().filter_map(|track| {
            let script = context.config.checks.iter().find(|script| script.id == track.id)?;
            matches!(track.object, TrackedObject::Script(_)).then(|| view::target(&script.target))
        });
        Self {
            iname: &settings.name,
            dont_track_primary: settings.ignore_own_link.into(),
            skip_check_adv_addr: 0,
            strict_mode: view.instance.is_strict.into(),
            vmac_ifname: settings.vmacs.own.as_ref().map_or("", |vmac| vmac.name.as_arc()),
            ifp_ifname: settings.address_interface(),
            master_priority: view.master.as_ref().map_or(0, |peer| peer.priority),
            last_transition: view.since.as_secs_f64(),
            garp_delay: announce.delay.as_secs(),
            garp_refresh: announce.refresh.as_secs(),
            garp_rep: announce.repeat,
            garp_refresh_rep: announce.refresh_repeat,
            garp_lower_prio_delay: announce.lower_prio_delay.as_secs(),
            garp_lower_prio_rep: announce.lower_prio_repeat,
            lower_prio_no_advert: settings.lower_prio_no_advert.into(),
            higher_prio_send_advert: settings.higher_prio_send_advert.unwrap_or_default().into(),
            vrid: settings.vrid.number(),
            base_priority: settings.priority.0,
            effective_priority: view.effective.0,
            vipset: view.state == State::Master,
            promote_secondaries: view.instance.promote_secondaries,
            adver_int: view.interval().duration().as_secs_f64(),
            master_adver_int: view.master_interval().as_secs_f64(),
            accept: settings.accept.into(),
            nopreempt: !settings.preempt,
            preempt_delay: settings.preempt_delay.as_secs_f64(),
            state,
            wantstate: state,
            version: settings.version as u8,
            smtp_alert: view.instance.notify.mail,
            notify_deleted: view.instance.notify.reports_deleted,
            scripts: Scripts::of(view),
            vips: view.addresses(),
            evips: view.excluded(),
            vroutes: settings.routes.iter().map(path::route).collect(),
            vrules: settings.rules.iter().map(path::rule).collect(),
            track_ifp: settings.tracks.iter().filter_map(|track| interface(&track.object)).collect(),
            track_script: tracked_scripts.collect(),
            auth_type: match settings.auth {
                Auth::None | Auth::Hmac(_) => 0,
                Auth::Pass(_) => 1,
                Auth::Ah(_) => 2,
            },
            auth_data: matches!(settings.auth, Auth::Pass(_) | Auth::Ah(_)).then_some("********"),
        }
    }
}

impl Scripts {
    fn of(view: &View<'_>) -> Self {
        let notify = &view.instance.notify;
        Self {
            script_backup: view::hook(notify.backup.as_ref()),
            script_master: view::hook(notify.master.as_ref()),
            script_fault: view::hook(notify.fault.as_ref()),
            script_stop: view::hook(notify.stop.as_ref()),
            script_deleted: view::hook(notify.deleted.as_ref()),
            script_master_rx_lower_pri: view::hook(notify.lower.as_ref()),
            script: view::hook(notify.any.as_ref()),
        }
    }
}

fn interface(object: &TrackedObject) -> Option<&str> {
    if let TrackedObject::Interface(name) = object { Some(name) } else { None }
}

/// `1`, not `1.0`, for programs that read an integer.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn short<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::cast_possible_truncation, reason = "spans in the configuration are below 2^53 seconds")]
    let whole = *seconds as i64;
    if seconds.fract() == 0.0 { serializer.serialize_i64(whole) } else { serializer.serialize_f64(*seconds) }
}
