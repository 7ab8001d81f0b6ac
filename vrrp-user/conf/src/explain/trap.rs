//! Traps: settings that are legal but often not intended. Warnings of `vrrpx check` are not repeated.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::outline::{Location, Written};
use super::super::{Config, Instance};
use super::track::{Effect, Tracked};
use super::{Finding, FindingSeverity, Origin, Surroundings};
use vrrp_proto::Version;

pub(super) fn of_globals(outline: &[Written]) -> Vec<Finding> {
    let lines = outline.iter().filter(|block| block.is("global_defs")).flat_map(Written::inner);
    let zero_pauses = lines.filter(|line| {
        ["vrrp_garp_interval", "vrrp_gna_interval"].iter().any(|keyword| line.is(keyword))
            && line.first().is_some_and(|value| value.parse() == Ok(0.0))
    });
    let finding = |line: &Written| {
        note(
            line.place(),
            format!("`{} 0` means no pause; keepalived reports it as out of range", line.keyword.text),
        )
    };
    zero_pauses.map(finding).collect()
}

/// keepalived's own sample configures a server and receivers, but no instance that sends mail.
pub(super) fn of_mail(config: &Config, outline: &[Written]) -> Option<Finding> {
    let instances = config.instances.iter().map(|instance| &instance.notify);
    let mut notified = instances.chain(config.groups.iter().map(|group| &group.notify));
    if config.globals.mail.is_none() || notified.any(|notify| notify.mail) {
        return None;
    }
    let mut globals = outline.iter().filter(|block| block.is("global_defs")).flat_map(Written::inner);
    let server = globals.find(|line| line.is("smtp_server"))?;
    let message = "no mail is sent: no instance or group has `smtp_alert`";
    let help = Some("write `smtp_alert` into global_defs for all of them".to_owned());
    Some(Finding { help, ..note(server.place(), message.to_owned()) })
}

/// Kernel settings that affect services bound to a virtual address.
pub(super) fn of_host(instances: &[Instance], host: Surroundings) -> Vec<Finding> {
    let addresses = || instances.iter().flat_map(|instance| instance.settings.addresses.all());
    let rows = [
        (host.nonlocal_bind_v4, "net.ipv4.ip_nonlocal_bind", addresses().any(|it| it.address.is_ipv4())),
        (host.nonlocal_bind_v6, "net.ipv6.ip_nonlocal_bind", addresses().any(|it| it.address.is_ipv6())),
    ];
    let off = rows.into_iter().filter(|(setting, _, concerns)| *setting == Some(false) && *concerns);
    off.map(|(_, key, _)| Finding {
        severity: FindingSeverity::Note,
        place: None,
        message: format!("{key} is 0: a service that binds to a virtual address does not start on a backup"),
        help: Some(format!("bind the service to all addresses, or set {key} to 1")),
    })
    .collect()
}

pub(super) fn of_instance(instance: &Instance, block: &Written, tracked: &[Tracked]) -> Vec<Finding> {
    let mut findings = weights(tracked);
    let settings = &instance.settings;
    let line = |keyword: &str| block.inner().iter().rev().find(|line| line.is(keyword));
    if let Some(state) = line("state").filter(|state| state.first() == Some("MASTER"))
        && !settings.priority.is_owner()
    {
        let message = "`state MASTER` changes nothing with a priority below 255: the election decides";
        findings.push(note(state.place(), message.to_owned()));
    }
    if let Some(nopreempt) = line("nopreempt").filter(|_| !settings.preempt) {
        let message = "`nopreempt` does not replace a master of lower priority; as master, this node still yields to a \
                       higher one";
        findings.push(note(nopreempt.place(), message.to_owned()));
    }
    if let Some(version) = line("version").or_else(|| line("advert_int"))
        && settings.version == Version::V2
    {
        let message = "version 2 counts whole seconds, so a backup detects a silent master after 3 s at best";
        let help = "version 3 with `advert_int 0.1` on all nodes detects it in 0.4 s";
        findings.push(Finding { help: Some(help.to_owned()), ..note(version.place(), message.to_owned()) });
    }
    findings.extend(off_subnet(instance, block));
    findings
}

/// Whether a failure can change the master depends on the peer's priority.
fn weights(tracked: &[Tracked]) -> Vec<Finding> {
    let weighted = tracked.iter().filter_map(|track| Some((track, track.reaction?)));
    let finding = |(track, reaction): (&Tracked, Effect)| {
        let Effect::Priority { good, failed } = reaction else { return None };
        let place = match &track.weight_from {
            Origin::Written(place) | Origin::Globals(place) | Origin::Check(place) | Origin::Group(place) => {
                place
            }
            Origin::Default | Origin::Follows(_) => return None,
        };
        let name = &track.name;
        Some(match reaction.decides_against() {
            Some((low, high)) => note(
                place,
                format!(
                    "`{name}` moves the priority between {good} and {failed}, which changes the master only if a peer \
                     has priority {low} to {high}"
                ),
            ),
            None => Finding {
                severity: FindingSeverity::Warning,
                help: Some(
                    "use a weight above the difference of the nodes' priorities, or no weight".to_owned(),
                ),
                ..note(
                    place,
                    format!(
                        "`{name}` moves the priority between {good} and {failed}: it can never change the master"
                    ),
                )
            },
        })
    };
    weighted.filter_map(finding).collect()
}

/// Addresses of more than one subnet in one instance, which may be a mistake.
fn off_subnet(instance: &Instance, block: &Written) -> Option<Finding> {
    let mut subnets = BTreeSet::new();
    for address in &instance.settings.addresses.advertised {
        let (IpAddr::V4(it), 1..=31) = (address.address, address.prefix) else { continue };
        let mask = u32::MAX.checked_shl(u32::from(32 - address.prefix)).unwrap_or(0);
        subnets.insert((u32::from(it) & mask, address.prefix, address.device.clone()));
    }
    let devices: BTreeSet<_> = subnets.iter().map(|(_, _, device)| device).collect();
    (subnets.len() > 1 && devices.len() == 1).then(|| {
        note(block.place(), format!("the addresses are in {} subnets on one interface", subnets.len()))
    })
}

fn note(place: &Location, message: String) -> Finding {
    Finding { severity: FindingSeverity::Note, place: Some(place.clone()), message, help: None }
}
