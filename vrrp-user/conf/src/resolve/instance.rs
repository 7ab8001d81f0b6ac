//! One `vrrp_instance`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vrrp_ebpf::wire::{ChecksumForm, Family, ipv4, ipv6};

use super::super::diagnostic::Report;
use super::super::schema::{AuthDraft, AuthType, Checksum, GlobalsDraft, InstanceDraft, NAME_MAX, seconds};
use super::super::source::At;
use super::address;
use super::announcing::{Announcing, announce};
use super::hmac;
use super::policy::Policy;
use crate::{InstanceSettings, VmacSettings};
use vrrp_proto::{Auth, Interval, Priority, TrackSettings, Unicast, UnicastPeer, Version, Vrid, Weight};

/// Longest interval of the VRRP version 3 field (RFC 9568 §5.2.7).
const V3_MAX: Duration = Duration::from_millis(40_950);

/// That of its first address, source, group or peer, or IPv6 by `native_ipv6`, as with keepalived.
pub(crate) fn family(draft: &InstanceDraft) -> Family {
    draft.family.unwrap_or(Family::V4)
}

pub(super) fn priority(draft: &InstanceDraft) -> Priority {
    match draft.priority {
        Some(written) => Priority(u8::try_from(written.value).unwrap_or(Priority::DEFAULT.0)),
        None if is_master(draft) => Priority::OWNER,
        None => Priority::DEFAULT,
    }
}

/// `None` if something required is missing or wrong, which has been reported.
pub(super) fn settings(
    draft: InstanceDraft,
    priority: Priority,
    policy: Policy,
    tracks: Vec<TrackSettings>,
    globals: &GlobalsDraft,
    inherited: &Announcing,
    report: &mut Report,
) -> Option<InstanceSettings> {
    let family = family(&draft);
    let version = version(&draft, family, globals, report);
    let also_v2 = also_version_2(&draft, family, version, report);
    let (preempt, preempt_delay) = preemption(&draft, priority, &tracks, report);
    let source = same_family("source address", draft.source.as_ref(), family, report);
    let unicast = unicast(&draft, policy, family, report);
    let default = if family == Family::V4 { globals.group4 } else { globals.group6 };
    let group = same_family("group", draft.group.as_ref(), family, report);
    let group = group.or(default.map(|group| group.value)).filter(|group| !is_common(*group));
    let advert_interval = interval(&draft, version, report);
    let auth = match (&draft.hmac, &draft.auth) {
        (Some(hmac), _) => {
            let interval = advert_interval.unwrap_or(Interval::SECOND);
            hmac::resolve(hmac, &draft, interval, report).unwrap_or(Auth::None)
        }
        (None, Some(auth)) => authentication(auth, version == Version::V2 || also_v2, draft.flawed, report),
        (None, None) => Auth::None,
    };
    if let (Auth::Ah(_), Version::V3, Some(written)) = (&auth, version, &draft.auth) {
        report.error(written.at, "`auth_type AH` and `also_version_2` cannot be combined");
    }
    let (checksum, answers_checksum) = checksum(&draft, version, family, globals);
    let down_timer_adverts = draft.down_timer_adverts.or(globals.down_timer_adverts);
    if let Some(At { at, .. }) = down_timer_adverts.filter(|count| count.value == 1) {
        report
            .warning(at, "`down_timer_adverts 1` is raised to 2")
            .help("with 1, a master would have to remove its addresses before its next advert is due");
    }
    let down_timer_adverts = down_timer_adverts.map_or(3, |count| count.value.max(2));
    let announce = announce(&draft.announce, inherited, report);
    let addresses = address::resolve(&draft, family, report);
    count_addresses(&draft, version, report);

    let interface = interface(&draft, report);
    let vrid = required(draft.vrid.as_ref(), "virtual_router_id", &draft, report);
    Some(InstanceSettings {
        routes: Arc::new(draft.routes),
        rules: Arc::new(super::rule::rules(draft.rules)),
        interface: interface?,
        vrid: Vrid::new(u8::try_from(vrid?.value).ok()?)?,
        advert_interval: advert_interval?,
        initial_master: draft.master.map_or(priority.is_owner(), |master| master.value),
        checksum,
        answers_checksum,
        down_timer_adverts: u8::try_from(down_timer_adverts).unwrap_or(3),
        lower_prio_no_advert: draft.lower_prio_no_advert.map_or(globals.lower_prio_no_advert, |on| on.value),
        higher_prio_send_advert: draft
            .higher_prio_send_advert
            .map(|on| on.value)
            .or(globals.higher_prio_send_advert),
        handover: policy.handover,
        ignore_own_link: draft.ignore_own_link,
        accept: policy.accept,
        owner_ignores: policy.owner_ignores,
        name: draft.name.value,
        addresses: Arc::new(addresses),
        family,
        version,
        also_v2,
        priority,
        preempt,
        preempt_delay,
        auth,
        source,
        unicast,
        group,
        announce: announce.settings,
        announce_pauses: announce.pauses,
        extra_announce: announce.extra,
        tracks,
        vmacs: VmacSettings::default(),
    })
}

/// Whether it is the standard VRRP group of its family.
fn is_common(group: IpAddr) -> bool {
    group == IpAddr::from(ipv4::GROUP) || group == IpAddr::from(ipv6::GROUP)
}

/// Whether the kernel allows the name.
pub(super) fn is_interface_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len()) && !name.contains('/')
}

/// Checks that the kernel allows the name.
pub(super) fn interface_name(name: &At<Arc<str>>, report: &mut Report) -> Arc<str> {
    if !is_interface_name(&name.value) {
        report.error(
            name.at,
            format!("`{}` cannot be an interface: a name has 1 to {NAME_MAX} bytes and no `/`", name.value),
        );
    }
    name.value.clone()
}

/// Whether `interface` may be missing, as with keepalived: unicast from an address by which the interface is found. A
/// virtual MAC interface needs the name of its parent.
pub(super) fn finds_interface(draft: &InstanceDraft) -> bool {
    let makes_one = draft.vmacs.own.is_some()
        || draft.vmacs.further
        || draft.addresses.iter().chain(&draft.excluded).any(|address| address.vmac);
    draft.interface.is_none() && draft.source.is_some() && !draft.peers.is_empty() && !makes_one
}

fn interface(draft: &InstanceDraft, report: &mut Report) -> Option<Arc<str>> {
    if draft.finds_interface {
        return Some(Arc::default());
    }
    let name = required(draft.interface.as_ref(), "interface", draft, report)?;
    Some(interface_name(name, report))
}

fn required<'a, T>(
    value: Option<&'a T>,
    keyword: &str,
    draft: &InstanceDraft,
    report: &mut Report,
) -> Option<&'a T> {
    if value.is_none() && !report.refuses(draft.findings.clone(), keyword) {
        report.error(draft.name.at, format!("vrrp_instance `{}` has no `{keyword}`", draft.name.value));
    }
    value
}

fn is_master(draft: &InstanceDraft) -> bool {
    draft.master.is_some_and(|master| master.value)
}

fn version(draft: &InstanceDraft, family: Family, globals: &GlobalsDraft, report: &mut Report) -> Version {
    match (family, draft.version.or(globals.version).map(|version| version.value)) {
        (Family::V4, Some(3)) => Version::V3,
        (Family::V4, _) => Version::V2,
        (Family::V6, _) => {
            if let Some(written) = draft.version.filter(|version| version.value == 2) {
                report
                    .warning(written.at, "version 2 has no IPv6; version 3 is used")
                    .help("write `version 3`");
            }
            Version::V3
        }
    }
}

/// Whether to use version 2 in addition to version 3 (RFC 9568 §8.4).
fn also_version_2(draft: &InstanceDraft, family: Family, version: Version, report: &mut Report) -> bool {
    let Some(at) = draft.also_version_2 else { return false };
    if family == Family::V6 {
        report.error(at, "version 2 has no IPv6");
        return false;
    }
    if version == Version::V2 {
        report
            .warning(at, "`also_version_2` has no effect: the instance uses version 2")
            .help("write `version 3`");
        return false;
    }
    let interval = written_interval(draft).unwrap_or(Duration::from_secs(1));
    if interval.subsec_nanos() != 0 {
        report
            .warning(at, "version 2 counts whole seconds: its adverts carry the interval rounded up")
            .help("use whole seconds for `advert_int` as long as a node uses version 2");
    }
    true
}

/// The checksum form, and whether to answer in the form received. Only version 3 over IPv4 has a choice.
fn checksum(
    draft: &InstanceDraft,
    version: Version,
    family: Family,
    globals: &GlobalsDraft,
) -> (ChecksumForm, bool) {
    let plain = draft.checksum_as_v2.map_or(globals.checksum_as_v2, |on| on.value);
    let global = if plain { ChecksumForm::Plain } else { ChecksumForm::Pseudo };
    match (version, family, draft.checksum.map(|written| written.value)) {
        (Version::V2, ..) => (ChecksumForm::Plain, false),
        (Version::V3, Family::V6, _) => (ChecksumForm::Pseudo, false),
        (Version::V3, Family::V4, Some(Checksum::Form(form))) => (form, false),
        (Version::V3, Family::V4, auto) => (global, auto.is_some()),
    }
}

fn preemption(
    draft: &InstanceDraft,
    priority: Priority,
    tracks: &[TrackSettings],
    report: &mut Report,
) -> (bool, Duration) {
    let mut preempt = true;
    if let Some(written) = draft.preempt.filter(|preempt| !preempt.value) {
        if priority.is_owner() {
            report.warning(written.at, "`nopreempt` has no effect with priority 255, as with keepalived");
        } else if is_master(draft) {
            report
                .warning(written.at, "`nopreempt` has no effect with `state MASTER`, as with keepalived")
                .help("write `state BACKUP` on all nodes");
        } else {
            preempt = false;
            if tracks.iter().any(|track| track.weight != Weight(0)) {
                report
                    .warning(
                        written.at,
                        "with `nopreempt` a master stays although its priority has fallen: if all nodes have it, a \
                         weight never moves the master",
                    )
                    .help("track without a weight: a failure is then FAULT, and another node takes over");
            }
        }
    }
    let mut delay = Duration::ZERO;
    if let Some(written) = draft.preempt_delay.filter(|delay| !delay.value.is_zero()) {
        if is_master(draft) {
            report
                .warning(written.at, "`preempt_delay` has no effect with `state MASTER`, as with keepalived")
                .help("write `state BACKUP` on all nodes");
        } else if !preempt {
            report.warning(written.at, "`preempt_delay` has no effect with `nopreempt`");
        } else {
            delay = written.value;
        }
    }
    (preempt, delay)
}

/// `advert_int`, if it is in the range of either version.
fn written_interval(draft: &InstanceDraft) -> Option<Duration> {
    let range = Duration::from_millis(10)..=Duration::from_secs(255);
    seconds(&draft.advert_interval.as_ref()?.value).filter(|span| range.contains(span))
}

fn interval(draft: &InstanceDraft, version: Version, report: &mut Report) -> Option<Interval> {
    let Some(At { value: text, at }) = &draft.advert_interval else { return Some(Interval::SECOND) };
    let range = match version {
        Version::V2 => "1 to 255 in version 2",
        Version::V3 => "0.01 to 40.95 in version 3",
    };
    let Some(written) = written_interval(draft) else {
        let message = format!("`advert_int` is a number of seconds from {range}, not `{text}`");
        report.left_out(*at, message).elects(true);
        return Some(Interval::SECOND);
    };
    let written = At { value: written, at: *at };
    let span = match version {
        Version::V2 => written.value,
        Version::V3 => centiseconds(written, report),
    };
    match Interval::new(span, version) {
        Ok(interval) => Some(interval),
        Err(error) => {
            let finding = report.left_out(written.at, format!("`advert_int`: {error}"));
            finding.elects(true);
            if finding.is_left_out() {
                // As keepalived rounds it.
                let whole = (written.value + Duration::from_millis(500)).as_secs().max(1);
                finding
                    .help(format!("{whole} s counts instead; write `version 3` on all nodes for fractions"));
                return Interval::new(Duration::from_secs(whole), version).ok();
            }
            finding.help("write whole seconds, or `version 3` in the vrrp_instance on all nodes");
            None
        }
    }
}

/// Rounds to the nearest span that version 3 can advertise, as keepalived does.
fn centiseconds(written: At<Duration>, report: &mut Report) -> Duration {
    let nearest = (written.value.as_nanos() + 5_000_000) / 10_000_000;
    let rounded =
        Duration::from_millis(u64::try_from(nearest).unwrap_or(u64::MAX).saturating_mul(10)).min(V3_MAX);
    if rounded != written.value {
        report.warning(
            written.at,
            format!(
                "version 3 counts in steps of 0.01 s up to 40.95 s; {} s is used, as with keepalived",
                rounded.as_secs_f64()
            ),
        );
    }
    rounded
}

fn authentication(auth: &At<AuthDraft>, speaks_v2: bool, flawed: bool, report: &mut Report) -> Auth {
    let AuthDraft { kind, password } = &auth.value;
    let kind = kind.map(|kind| kind.value);
    let pass = matches!(kind, Some(AuthType::Pass | AuthType::Ah));
    if !speaks_v2 {
        if pass {
            report
                .warning(
                    auth.at,
                    "version 3 has no authentication; the password is not used, as with keepalived",
                )
                .help("remove the block");
        }
        return Auth::None;
    }
    match password {
        Some(password) if pass && !password.value.is_empty() => {
            let password = padded(password, report);
            if kind == Some(AuthType::Ah) { Auth::Ah(password) } else { Auth::Pass(password) }
        }
        _ if pass => {
            report.warning(auth.at, "without `auth_pass` adverts are not authenticated, as with keepalived");
            Auth::None
        }
        Some(password) if kind.is_none() && !flawed => {
            report
                .warning(password.at, "without `auth_type` the password is not used, as with keepalived")
                .help("write `auth_type PASS`");
            Auth::None
        }
        _ => Auth::None,
    }
}

/// Pads or truncates a password to eight bytes (RFC 2338 §5.3.10).
fn padded(password: &At<String>, report: &mut Report) -> [u8; 8] {
    let mut padded = [0; 8];
    for (to, from) in padded.iter_mut().zip(password.value.bytes()) {
        *to = from;
    }
    if password.value.len() > padded.len() {
        report
            .warning(password.at, "only the first 8 bytes of `auth_pass` are used")
            .harmless()
            .help("keepalived truncates it too, so the nodes still agree");
    }
    padded
}

fn unicast(draft: &InstanceDraft, policy: Policy, family: Family, report: &mut Report) -> Option<Unicast> {
    let peers: Vec<UnicastPeer> = draft
        .peers
        .iter()
        .filter_map(|peer| {
            let address = same_family("peer", Some(&peer.address), family, report)?;
            Some(UnicastPeer { address, min_ttl: peer.min_ttl, max_ttl: peer.max_ttl })
        })
        .collect();
    if let Some(At { at, .. }) = draft.ttl.filter(|ttl| ttl.value == 0) {
        report.warning(at, "`unicast_ttl 0` is raised to 1: the kernel sends no packet with TTL 0");
    }
    let ttl = draft.ttl.map_or(255, |ttl| u8::try_from(ttl.value.max(1)).unwrap_or(255));
    match draft.unicast {
        Some(at) if draft.peers.is_empty() && draft.needs_peer => {
            report.warning(at, "without a `unicast_peer` the instance stays in FAULT");
            Some(Unicast { peers, ttl, checks_source: policy.checks_source })
        }
        Some(at) if draft.peers.is_empty() => {
            report
                .warning(at, "without a `unicast_peer` adverts go to the group, as with keepalived")
                .help("list the other nodes in `unicast_peer { … }`");
            None
        }
        _ if peers.is_empty() => None,
        _ => Some(Unicast { peers, ttl, checks_source: policy.checks_source }),
    }
}

fn same_family(
    what: &str,
    address: Option<&At<IpAddr>>,
    family: Family,
    report: &mut Report,
) -> Option<IpAddr> {
    let address = address?;
    if address.value.is_ipv6() != (family == Family::V6) {
        report
            .left_out(
                address.at,
                format!("the {what} {} is not of the same family as the instance", address.value),
            )
            .elects(true);
        return None;
    }
    Some(address.value)
}

fn count_addresses(draft: &InstanceDraft, version: Version, report: &mut Report) {
    let InstanceDraft { addresses, no_addresses: false, flawed: false, name, .. } = draft else { return };
    if !addresses.is_empty() {
        return;
    }
    let message = format!("vrrp_instance `{}` has no address in `virtual_ipaddress`", name.value);
    let help = "write `no_virtual_ipaddress` if that is intended";
    match version {
        Version::V2 => report.warning(name.at, message).help(help),
        Version::V3 => report.error(name.at, message).help(help),
    }
}
