//! Findings about more than one keyword: conflicts and common traps.
//!
//! A value that is changed before use is reported where it is changed, in `resolve`.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use vrrp_ebpf::wire::Family;

use vrrp_proto::InstanceId;

use super::check::CheckTarget;
use super::diagnostic::Report;
use super::resolve::{family, is_strict, lacks_link_local, repeated};
use super::schema::{AddressDraft, Class, Draft, InstanceDraft, ScriptDraft, TrackDraft};
use super::source::{At, Position, Sources};

const INSTANCES_MAX: usize = InstanceId::COUNT_MAX as usize;

pub(super) fn check(draft: &mut Draft, sources: &Sources, report: &mut Report) {
    for class in [Class::Check, Class::Process, Class::File] {
        let is_of_class = |script: &ScriptDraft| script.class() == class;
        let block = class.blocks().1;
        first_of_each(&mut draft.scripts, is_of_class, |it| &it.name, block, sources, report);
    }
    first_of_each(&mut draft.instances, |_| true, |it| &it.name, "vrrp_instance", sources, report);
    first_of_each(&mut draft.groups, |_| true, |it| &it.name, "vrrp_sync_group", sources, report);
    let draft = &*draft;
    if let Some(instance) = draft.instances.get(INSTANCES_MAX) {
        report.error(instance.name.at, format!("more than {INSTANCES_MAX} instances"));
    }
    if draft.instances.is_empty() && !report.has_errors() {
        report.warning(Position::default(), "there is no vrrp_instance: the daemon has nothing to do");
    }
    kinds(&draft.scripts, sources, report);
    routers(&draft.instances, sources, report);
    addresses(&draft.instances, sources, report);
    unused_scripts(draft, report);
    pauses(draft, report);
    for instance in &draft.instances {
        host_prefixes(instance, report);
        odd_addresses(instance, report);
        link_local_first(instance, is_strict(instance, &draft.globals), report);
        reach_of_weights(instance, &draft.scripts, report);
    }
}

/// Keeps the first block of each name, as keepalived does.
fn first_of_each<T>(
    blocks: &mut Vec<T>,
    counts: impl Fn(&T) -> bool,
    name: impl Fn(&T) -> &At<Arc<str>>,
    block: &str,
    sources: &Sources,
    report: &mut Report,
) {
    let mut first = HashMap::new();
    blocks.retain(|it| {
        let At { value, at } = name(it);
        if !counts(it) {
            return true;
        }
        match first.entry(Arc::clone(value)) {
            Entry::Vacant(vacant) => {
                vacant.insert(*at);
                true
            }
            Entry::Occupied(earlier) => {
                report
                    .left_out(*at, format!("there are two blocks `{block} {value}`"))
                    .elects(true)
                    .help(format!("the other one is at {}", sources.place(*earlier.get())));
                !report.is_tolerant()
            }
        }
    });
}

/// A `vrrp_check` of a file or a process shares the names of `track_file` or `vrrp_track_process`.
fn kinds(scripts: &[ScriptDraft], sources: &Sources, report: &mut Report) {
    for check in scripts.iter().filter(|script| script.class() == Class::Check) {
        let class = match check.target.as_ref().map(|target| &target.value) {
            Some(CheckTarget::File(_)) => Class::File,
            Some(CheckTarget::Process(_)) => Class::Process,
            _ => continue,
        };
        let name = &check.name.value;
        if let Some(other) = scripts.iter().find(|it| it.class() == class && it.name.value == *name) {
            report
                .error(check.name.at, format!("there is also a block `{} {name}`", class.blocks().1))
                .help(format!("it is at {}; give each its own name", sources.place(other.name.at)));
        }
    }
}

/// A VRID on one interface and family identifies one virtual router, to the peers and in the BPF maps.
fn routers(instances: &[InstanceDraft], sources: &Sources, report: &mut Report) {
    let mut first = HashMap::new();
    for instance in instances {
        let (Some(interface), Some(vrid)) = (&instance.interface, &instance.vrid) else { continue };
        let version = if family(instance) == Family::V4 { "IPv4" } else { "IPv6" };
        if let Some(earlier) = first.insert((&interface.value, version, vrid.value), vrid.at) {
            report
                .error(
                    vrid.at,
                    format!(
                        "virtual_router_id {} is used twice on {} for {version}",
                        vrid.value, interface.value
                    ),
                )
                .help(format!("the other one is at {}; each instance needs its own", sources.place(earlier)));
        }
    }
}

/// The same address may be on two interfaces, as is common for link-local ones.
fn addresses(instances: &[InstanceDraft], sources: &Sources, report: &mut Report) {
    let mut first = HashMap::new();
    for (index, instance) in instances.iter().enumerate() {
        for (again, earlier) in repeated(instance) {
            let AddressDraft { address: At { value, at }, .. } = again;
            report.warning(*at, format!("{value} is written twice: this line is not used")).help(format!(
                "the line at {} is used, as with keepalived 2.4; 2.2 sends both, and refuses adverts without",
                sources.place(earlier.address.at)
            ));
        }
        for address in instance.addresses.iter().chain(&instance.excluded) {
            let device = address.device.as_ref().or(instance.interface.as_ref()).map(|name| &name.value);
            let AddressDraft { address: At { value, at }, .. } = address;
            let Some((holder, earlier)) = first.insert((value, device), (index, *at)) else { continue };
            if holder == index {
                continue;
            }
            let message = format!("{value} is written twice for the same interface");
            let finding = if report.is_tolerant() {
                let until = "the address stays while either instance is master, as with keepalived";
                report.warning(*at, format!("{message}; {until}"))
            } else {
                report.error(*at, message)
            };
            finding.help(format!("the other one is at {}", sources.place(earlier)));
        }
    }
}

fn unused_scripts(draft: &Draft, report: &mut Report) {
    let instances = draft.instances.iter().map(|it| (&it.scripts, &it.processes, &it.files));
    let groups = draft.groups.iter().map(|it| (&it.scripts, &it.processes, &it.files));
    let tracked: HashSet<(Class, &str)> = instances
        .chain(groups)
        .flat_map(|(scripts, processes, files)| {
            let scripts = scripts.iter().map(|track| (Class::Check, &*track.name.value));
            let processes = processes.iter().map(|track| (Class::Process, &*track.name.value));
            scripts.chain(processes).chain(files.iter().map(|track| (Class::File, &*track.name.value)))
        })
        .collect();
    let is_tracked = |script: &&ScriptDraft| tracked.contains(&(script.class(), &*script.name.value));
    for script in draft.scripts.iter().filter(|script| !is_tracked(script)) {
        let (name, keyword) = (&script.name.value, script.class().track());
        report
            .warning(script.name.at, format!("no instance tracks `{name}`, so it is not run"))
            .help(format!("write `{keyword} {{ {name} }}` in a vrrp_instance"));
    }
}

fn pauses(draft: &Draft, report: &mut Report) {
    for pause in [draft.globals.garp_interval, draft.globals.gna_interval].into_iter().flatten() {
        if pause.value >= Duration::from_secs(1) {
            report.warning(
                pause.at,
                format!("each announcement waits {} s after the previous one", pause.value.as_secs_f64()),
            );
        }
    }
}

fn host_prefixes(instance: &InstanceDraft, report: &mut Report) {
    let all = instance.addresses.iter().chain(&instance.excluded);
    for address in all.filter(|address| address.prefix.is_none() && address.peer.is_none()) {
        let (kind, host, example) = match address.address.value {
            IpAddr::V4(_) => ("no prefix, IPv4", 32, "/24"),
            IpAddr::V6(_) => ("no prefix, IPv6", 128, "/64"),
        };
        report.warning_once(
            kind,
            address.address.at,
            format!(
                "{} has no prefix, so it is a /{host}, as with keepalived; write the prefix of the subnet, such as \
                 {example}, if the address is meant to be in it",
                address.address.value
            ),
        )
        .harmless();
    }
}

/// Addresses that clients cannot use. The kernel would accept most of them.
fn odd_addresses(instance: &InstanceDraft, report: &mut Report) {
    for draft in instance.addresses.iter().chain(&instance.excluded) {
        let At { value: address, at } = draft.address;
        let kind = match address {
            _ if address.is_unspecified() => "is the unspecified address",
            _ if address.is_loopback() => "is a loopback address",
            _ if address.is_multicast() && !draft.autojoin => "is a multicast group",
            IpAddr::V4(Ipv4Addr::BROADCAST) => "is the limited broadcast address",
            _ => continue,
        };
        report.warning(at, format!("{address} {kind}: no client can reach a router with it"));
    }
}

fn link_local_first(instance: &InstanceDraft, strict: bool, report: &mut Report) {
    let Some(at) = lacks_link_local(instance) else { return };
    if strict {
        report
            .error(at, "strict mode: the first IPv6 address must be link-local (RFC 9568 §5.2.9)")
            .help("write a link-local address before it, for example `fe80::1/64`, the same on all nodes");
    } else if instance.peers.is_empty() && !instance.addresses.iter().any(is_link_local) {
        report
            .warning(at, "the first IPv6 address should be link-local (RFC 9568 §5.2.9)")
            .help("other routers may refuse the adverts; keepalived accepts them");
    }
}

fn is_link_local(address: &AddressDraft) -> bool {
    matches!(address.address.value, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// The effective priority stays within 1–254, so a weight that would take it further has less effect than written.
fn reach_of_weights(instance: &InstanceDraft, scripts: &[ScriptDraft], report: &mut Report) {
    let Some(priority) = instance.priority.filter(|priority| priority.value != 255) else { return };
    let own = instance.interface.as_ref().map(|name| &name.value);
    let of_script = |track: &TrackDraft| scripts.iter().find(|it| it.name.value == track.name.value);
    let scripts = instance.scripts.iter().filter_map(|track| {
        let script = of_script(track)?;
        Some((track.weight.or(script.weight)?, track.reverse.unwrap_or(script.reverse)))
    });
    let interfaces = instance.interfaces.iter().filter(|track| Some(&track.name.value) != own);
    let interfaces = interfaces.filter_map(|track| Some((track.weight?, track.reverse == Some(true))));
    let weights =
        scripts.chain(interfaces).map(|(weight, reverse)| if reverse { -weight.value } else { weight.value });
    let (up, down) = weights.fold((0_i64, 0_i64), |(up, down), weight| {
        if weight > 0 { (up.saturating_add(weight), down) } else { (up, down.saturating_add(weight)) }
    });
    let (highest, lowest) = (priority.value.saturating_add(up), priority.value.saturating_add(down));
    if highest > 254 || lowest < 1 {
        report
            .warning(
                priority.at,
                format!("weights take the priority from {lowest} to {highest}; it is limited to 1 to 254"),
            )
            .help("between nodes at the same limit only their addresses decide");
    }
}
