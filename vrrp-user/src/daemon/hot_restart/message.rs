//! Messages between two daemons in a hot restart, perhaps of different versions: numbers and words, no types of this
//! build.
//!
//! Enters: instances by the numbers and names of one daemon. Leaves: the same by those of the other. Instances are
//! identified by interface, family and VRID, groups by their names, tracked objects by kind and name.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vrrp_ebpf::time::Timestamp;

use super::hooks::HooksMessage;
use super::{HotRestartError, RouterSnapshot};
use crate::config::{Config, Instance, Name, VirtualAddress, Vmac};
use crate::daemon::status::family;
use crate::protocol::{
    Epoch, GroupId, InstanceId, InstanceSnapshot, Interval, PeerAdvert, Priority, Reason, State, TrackId,
    TrackedObject, Version,
};

/// How long the old daemon waits for the new one at most before it goes on by itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Raised when the meaning of anything here changes. A daemon of another format ends before this one starts.
pub const FORMAT: u32 = 5;

/// Identities of a daemon's instances, before it sends its state.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Offer {
    pub format: u32,
    /// Version of the program.
    pub version: String,
    pub instances: Vec<InstanceIdentity>,
    /// Settings of the host that belong to no instance, in the words of this version.
    pub host: Vec<String>,
}

/// An instance, and what must be the same on both sides: its addresses stay set, and its group moves as one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct InstanceIdentity {
    pub interface: String,
    pub family: String,
    pub vrid: u8,
    pub addresses: Vec<String>,
    pub vmacs: Vec<String>,
    pub group: Option<String>,
    /// Other settings made for it, in the words of this version.
    pub further: Vec<String>,
}

/// The state of all instances and groups. Instances are in the order of the [`Offer`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SnapshotMessage {
    /// When this was written.
    now: u64,
    /// When the state was taken; older versions do not send it.
    #[serde(default)]
    taken: Option<u64>,
    instances: Vec<InstanceMessage>,
    /// Epochs by name.
    groups: Vec<(String, u64)>,
    /// Older versions do not send them.
    #[serde(default)]
    hooks: Vec<HooksMessage>,
}

/// Times are ns of the host's CLOCK_MONOTONIC: each daemon has added the offset of its own time namespace.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct InstanceMessage {
    /// Older versions do not send it.
    #[serde(default)]
    name: Option<String>,
    state: String,
    epoch: u64,
    reason: Option<String>,
    since: u64,
    /// Older versions do not send it.
    #[serde(default)]
    source: Option<IpAddr>,
    advert: Option<u64>,
    entitled_until: Option<u64>,
    master_down: Option<u64>,
    master: Option<Master>,
    /// Older versions do not send it.
    #[serde(default)]
    endures_until: Option<u64>,
    results: Vec<(String, i32)>,
    /// Older versions do not send it.
    #[serde(default)]
    apart: bool,
    /// Rows of metrics that are kept; older versions do not send them.
    #[serde(default)]
    rows: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Master {
    source: IpAddr,
    version: u8,
    priority: u8,
    interval_ns: u64,
    stamp: u64,
}

impl Offer {
    pub(super) fn of(config: &Config) -> Self {
        let instances =
            config.instances.iter().map(|instance| InstanceIdentity::of(instance, config)).collect();
        let firewall =
            config.instances.iter().any(|it| !it.settings.accept).then_some(&config.globals.firewall);
        let igmp = config.globals.silent_igmp;
        let host = [format!("{:?}", config.statics), format!("{firewall:?}"), format!("silent IGMP {igmp}")];
        Self { format: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned(), instances, host: host.into() }
    }

    /// The instances of a configuration that go on, in this order.
    ///
    /// # Errors
    /// One of them is missing there or differs.
    pub(super) fn matching_instances<'a>(
        &self,
        config: &'a Config,
    ) -> Result<Vec<&'a Instance>, HotRestartError> {
        let own = Self::of(config);
        // Another version may have other words for the same.
        let is_alike = self.version == own.version;
        if is_alike && self.host != own.host {
            let what = "static addresses, routes or rules, or the firewall, differ";
            return Err(HotRestartError::Differs(what.to_owned()));
        }
        let instance = |identity: &InstanceIdentity| {
            let found = config.instances.iter().map(|it| (it, InstanceIdentity::of(it, config)));
            let same = |(_, own): &(_, InstanceIdentity)| {
                (&own.interface, &own.family, own.vrid)
                    == (&identity.interface, &identity.family, identity.vrid)
            };
            let InstanceIdentity { interface, family, vrid, .. } = identity;
            match found.into_iter().find(same) {
                Some((instance, own)) => match identity.difference(&own, is_alike) {
                    Some(what) => Err(format!("`{}` has other {what}", instance.settings.name)),
                    None => Ok(instance),
                },
                None => Err(format!("virtual router {vrid} ({family}) on {interface} is not in the file")),
            }
        };
        let matching_instances: Result<Vec<_>, String> = self.instances.iter().map(instance).collect();
        let matching_instances = matching_instances.map_err(HotRestartError::Differs)?;
        for group in &config.groups {
            let goes_on = |id: &InstanceId| matching_instances.iter().any(|instance| instance.id == *id);
            let members = &group.settings.members;
            if members.iter().any(goes_on) && !members.iter().all(goes_on) {
                return Err(HotRestartError::Differs(format!("`{}` has a new member", group.settings.name)));
            }
        }
        Ok(matching_instances)
    }
}

impl InstanceIdentity {
    fn of(instance: &Instance, config: &Config) -> Self {
        let settings = &instance.settings;
        let group = config.groups.iter().find(|group| group.settings.members.contains(&instance.id));
        Self {
            interface: settings.interface.to_string(),
            family: family(settings.family).to_owned(),
            vrid: settings.vrid.number(),
            addresses: settings.addresses.all().map(address).collect(),
            vmacs: settings.vmacs.all().map(vmac).collect(),
            group: group.map(|group| group.settings.name.to_string()),
            further: vec![
                format!("{:?}", settings.routes),
                format!("{:?}", settings.rules),
                format!("accept {}, secondaries {}", settings.accept, instance.promote_secondaries),
            ],
        }
    }

    /// Settings on the host that would stay although `other` lacks them.
    fn difference(&self, other: &Self, is_alike: bool) -> Option<&'static str> {
        if self.addresses != other.addresses {
            Some("addresses")
        } else if self.vmacs != other.vmacs {
            Some("virtual MAC addresses")
        } else if self.group != other.group {
            Some("members in its group")
        } else if is_alike && self.further != other.further {
            Some("routes, rules or sysctls, or accepts otherwise")
        } else {
            None
        }
    }
}

fn address(address: &VirtualAddress) -> String {
    let VirtualAddress { address, prefix, device, label, scope, broadcast, peer, .. } = address;
    let device = device.as_deref().unwrap_or_default();
    let label = label.as_deref().unwrap_or_default();
    let text = |address: &Option<IpAddr>| address.map_or_else(String::new, |it| it.to_string());
    format!("{address}/{prefix} {device} {label} {scope} {} {}", text(broadcast), text(peer))
}

/// A chosen name is left out: it may have given way to others.
fn vmac(vmac: &Vmac) -> String {
    let name = match &vmac.name {
        Name::Written(name) => name.to_string(),
        Name::Chosen { prefix, vrid, .. } => format!("{prefix} {}", vrid.number()),
    };
    format!("{name} {} {:02x?}", vmac.parent, vmac.mac)
}

impl SnapshotMessage {
    pub(super) fn of(snapshot: &RouterSnapshot, config: &Config, now: Timestamp) -> Self {
        let message = |instance: &Instance| {
            let instance_snapshot = snapshot.instances.iter().find(|(id, _)| *id == instance.id);
            let rows = snapshot.rows.iter().find(|(id, _)| *id == instance.id);
            InstanceMessage {
                rows: rows.map(|(_, rows)| rows.clone()).unwrap_or_default(),
                ..InstanceMessage::of(
                    instance_snapshot.map(|(_, instance_snapshot)| instance_snapshot),
                    instance,
                )
            }
        };
        let group = |(id, epoch): &(GroupId, Epoch)| {
            let group = config.groups.get(id.index())?;
            Some((group.settings.name.to_string(), epoch.0))
        };
        Self {
            now: now.as_nanos(),
            taken: Some(snapshot.taken.as_nanos()),
            instances: config.instances.iter().map(message).collect(),
            groups: snapshot.groups.iter().filter_map(group).collect(),
            hooks: snapshot.hooks.iter().filter_map(|left| HooksMessage::of(left, config)).collect(),
        }
    }

    /// The state of these instances, which are in the order of the offer.
    ///
    /// # Errors
    /// It is not from just before `now`: one of the daemons does not know the offset of its time namespace.
    pub(super) fn snapshot(
        &self,
        matching_instances: &[&Instance],
        config: &Config,
        now: Timestamp,
    ) -> Result<RouterSnapshot, HotRestartError> {
        let written = Timestamp::from_nanos(self.now);
        let apart = now.since(written).max(written.since(now));
        if apart > PATIENCE {
            return Err(HotRestartError::Clock(apart));
        }
        let instances = matching_instances.iter().zip(&self.instances);
        let group = |(name, epoch): &(String, u64)| {
            let index = config.groups.iter().position(|group| *group.settings.name == **name)?;
            Some((GroupId(u32::try_from(index).ok()?), Epoch(*epoch)))
        };
        let name = |(instance, message): (&&Instance, &InstanceMessage)| {
            Some((instance.id, message.name.as_deref()?.into()))
        };
        Ok(RouterSnapshot {
            taken: self.taken.map_or(written, Timestamp::from_nanos),
            names: instances.clone().filter_map(name).collect(),
            rows: instances.clone().map(|(instance, it)| (instance.id, it.rows.clone())).collect(),
            instances: instances.map(|(instance, it)| (instance.id, it.snapshot(instance))).collect(),
            groups: self.groups.iter().filter_map(group).collect(),
            hooks: self.hooks.iter().filter_map(|it| it.left(matching_instances, config)).collect(),
        })
    }
}

impl InstanceMessage {
    fn of(instance_snapshot: Option<&InstanceSnapshot>, instance: &Instance) -> Self {
        let nanos = |at: Option<Timestamp>| at.map(Timestamp::as_nanos);
        let result = |(id, value): &(TrackId, i32)| {
            let track = instance.settings.tracks.iter().find(|track| track.id == *id)?;
            Some((label(&track.object), *value))
        };
        Self {
            name: Some(instance.settings.name.to_string()),
            state: instance_snapshot.map_or(State::Init, |it| it.state).as_str().to_owned(),
            epoch: instance_snapshot.map_or(0, |it| it.epoch.0),
            reason: instance_snapshot.and_then(|it| it.reason).map(|reason| reason.as_str().to_owned()),
            since: instance_snapshot.map_or(0, |it| it.since.as_nanos()),
            source: instance_snapshot.and_then(|it| it.source),
            advert: nanos(instance_snapshot.and_then(|it| it.advert)),
            entitled_until: nanos(instance_snapshot.and_then(|it| it.entitled_until)),
            master_down: nanos(instance_snapshot.and_then(|it| it.master_down)),
            master: instance_snapshot.and_then(|it| it.master.as_ref()).map(Master::of),
            endures_until: nanos(instance_snapshot.and_then(|it| it.endures_until)),
            results: instance_snapshot
                .map_or_else(Vec::new, |it| it.results.iter().filter_map(result).collect()),
            apart: instance_snapshot.is_some_and(|it| it.apart),
            rows: Vec::new(),
        }
    }

    fn snapshot(&self, instance: &Instance) -> InstanceSnapshot {
        let time = |nanos: Option<u64>| nanos.map(Timestamp::from_nanos);
        let state = State::ALL.into_iter().find(|state| state.as_str() == self.state);
        let word = self.reason.as_deref();
        let result = |(name, value): &(String, i32)| {
            let track = instance.settings.tracks.iter().find(|track| label(&track.object) == *name)?;
            Some((track.id, *value))
        };
        InstanceSnapshot {
            state: state.unwrap_or_default(),
            epoch: Epoch(self.epoch),
            reason: Reason::ALL.into_iter().find(|reason| Some(reason.as_str()) == word),
            since: Timestamp::from_nanos(self.since),
            // The file may have another one now.
            source: self.source.filter(|_| instance.settings.source.is_none()),
            advert: time(self.advert),
            entitled_until: time(self.entitled_until),
            master_down: time(self.master_down),
            master: self.master.as_ref().and_then(Master::heard),
            endures_until: time(self.endures_until),
            results: self.results.iter().filter_map(result).collect(),
            apart: self.apart,
        }
    }
}

impl Master {
    fn of(heard: &PeerAdvert) -> Self {
        Self {
            source: heard.source,
            version: heard.version as u8,
            priority: heard.priority.0,
            interval_ns: u64::try_from(heard.interval.duration().as_nanos()).unwrap_or(u64::MAX),
            stamp: heard.stamp.as_nanos(),
        }
    }

    fn heard(&self) -> Option<PeerAdvert> {
        let version = [Version::V2, Version::V3].into_iter().find(|it| *it as u8 == self.version)?;
        Some(PeerAdvert {
            source: self.source,
            version,
            priority: Priority(self.priority),
            interval: Interval::new(Duration::from_nanos(self.interval_ns), version).ok()?,
            stamp: Timestamp::from_nanos(self.stamp),
        })
    }
}

fn label(object: &TrackedObject) -> String {
    format!("{} {}", object.kind(), object.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use crate::daemon::notify::hooks::{LeftHooks, Notification, Subject};
    use crate::daemon::notify::line::NotifyState;

    const FILE: &str = "\
        vrrp_script web { script /bin/true }\n\
        vrrp_sync_group G { group { A B } }\n\
        vrrp_instance A { interface eth0; virtual_router_id 1; virtual_ipaddress { 192.0.2.1/24 }\n\
          track_script { web } }\n\
        vrrp_instance B { interface eth0; virtual_router_id 2; virtual_ipaddress { 192.0.2.2/24 } }\n";

    /// Statements end with their lines.
    fn config(text: &str) -> Config {
        parse("t", &text.replace("; ", "\n").replace("{ ", "{\n").replace(" }", "\n}")).unwrap().config
    }

    fn snapshot(config: &Config) -> RouterSnapshot {
        let heard = PeerAdvert {
            source: "192.0.2.9".parse().unwrap(),
            version: Version::V3,
            priority: Priority(200),
            interval: Interval::SECOND,
            stamp: Timestamp::from_nanos(17),
        };
        let instance_snapshot = |id: &InstanceId| InstanceSnapshot {
            state: State::Backup,
            epoch: Epoch(u64::from(id.0) + 5),
            reason: Some(Reason::HigherPriority),
            since: Timestamp::from_nanos(11),
            source: Some([192, 0, 2, 3].into()),
            advert: None,
            entitled_until: Some(Timestamp::from_nanos(31)),
            master_down: Some(Timestamp::from_nanos(99)),
            master: Some(heard),
            endures_until: Some(Timestamp::from_nanos(23)),
            results: config.instance(*id).unwrap().settings.tracks.iter().map(|it| (it.id, 1)).collect(),
            apart: id.0 == 1,
        };
        let instances = config.instances.iter().map(|it| (it.id, instance_snapshot(&it.id))).collect();
        let rows =
            config.instances.iter().map(|it| (it.id, vec![format!("rejects ttl {}", it.settings.name)]));
        let groups = vec![(GroupId(0), Epoch(3))];
        let unreported = Notification {
            word: NotifyState::Master,
            previous: State::Backup,
            reason: Reason::MasterReleased,
            epoch: Epoch(3),
            priority: Priority(7),
            peer: Some(heard.source),
        };
        let of_group = LeftHooks {
            subject: Subject::Group(GroupId(0)),
            running: Some((12, 13)),
            unreported: Some((unreported, true)),
        };
        let of_instance = |it: &Instance| LeftHooks {
            subject: Subject::Instance(it.id),
            unreported: Some((
                Notification { epoch: Epoch(u64::from(it.settings.vrid.number())), ..unreported },
                false,
            )),
            ..of_group.clone()
        };
        let hooks = config.instances.iter().map(of_instance).chain([of_group.clone()]).collect();
        let (taken, names) = (Timestamp::from_nanos(7), Vec::new());
        RouterSnapshot { taken, instances, names, groups, rows: rows.collect(), hooks }
    }

    #[test]
    fn everything_arrives_under_the_numbers_of_the_other_side() {
        let before = config(FILE);
        // In another order, so that all numbers are others.
        let lines: Vec<&str> = FILE.lines().collect();
        let after = config(&[lines[4], lines[2], lines[3], lines[1], lines[0]].join("\n"));
        let arrived_name = |id| &*after.instance(id).unwrap().settings.name;
        let now = Timestamp::from_nanos(7_000_000_000);
        let sent = serde_json::to_string(&SnapshotMessage::of(&snapshot(&before), &before, now)).unwrap();
        let received: SnapshotMessage = serde_json::from_str(&sent).unwrap();
        let offer = Offer::of(&before);
        let matching_instances = offer.matching_instances(&after).unwrap();
        let arrived =
            received.snapshot(&matching_instances, &after, now + Duration::from_millis(10)).unwrap();
        for name in ["A", "B"] {
            let number = |config: &Config| {
                config.instances.iter().find(|it| &*it.settings.name == name).map(|it| it.id).unwrap()
            };
            let find = |snapshot: &RouterSnapshot, id| {
                snapshot
                    .instances
                    .iter()
                    .find(|(known, _)| *known == id)
                    .map(|(_, instance_snapshot)| instance_snapshot.clone())
            };
            let (left, came) = (find(&snapshot(&before), number(&before)), find(&arrived, number(&after)));
            assert_eq!(left, came, "{name}");
            let rows =
                arrived.rows.iter().find(|(id, _)| *id == number(&after)).map(|(_, rows)| rows.clone());
            assert_eq!(rows, Some(vec![format!("rejects ttl {name}")]));
        }
        assert_eq!(arrived.groups, [(GroupId(0), Epoch(3))]);
        assert!(arrived.names.iter().all(|(id, name)| **name == *arrived_name(*id)));
        assert_eq!(arrived.names.len(), 2);
        let mut expected = snapshot(&after).hooks;
        expected.swap(0, 1);
        assert_eq!(arrived.hooks, expected);
    }

    #[test]
    fn times_of_another_clock_are_refused() {
        let config = config(FILE);
        let now = Timestamp::from_nanos(500_000_000_000);
        let message = SnapshotMessage::of(&snapshot(&config), &config, now);
        let matching_instances = Offer::of(&config).matching_instances(&config).unwrap();
        for other in [now + Duration::from_secs(100), now - Duration::from_secs(100)] {
            let error = message.snapshot(&matching_instances, &config, other).unwrap_err().to_string();
            assert!(error.contains("100s apart") && error.contains("time namespaces"), "{error}");
        }
    }

    #[test]
    fn what_must_be_the_same_is_compared() {
        let offer = Offer::of(&config(FILE));
        let refusal = |text: &str| offer.matching_instances(&config(text)).unwrap_err().to_string();
        assert!(refusal(&FILE.replace("192.0.2.1/24", "192.0.2.7/24")).contains("`A` has other addresses"));
        assert!(refusal(&FILE.replace("virtual_router_id 2", "virtual_router_id 3")).contains("router 2"));
        assert!(
            refusal(&FILE.replace("sync_group G", "sync_group H")).contains("other members in its group")
        );
        for (further, what) in [
            ("virtual_ipaddress { 192.0.2.1/24 dev eth1 }", "`A` has other addresses"),
            ("use_vmac; virtual_ipaddress { 192.0.2.1/24 }", "`A` has other virtual MAC addresses"),
            ("no_accept; virtual_ipaddress { 192.0.2.1/24 }", "the firewall"),
            (
                "virtual_routes { 198.51.100.0/24 dev eth0 }; virtual_ipaddress { 192.0.2.1/24 }",
                "other routes",
            ),
        ] {
            let found = refusal(&FILE.replace("virtual_ipaddress { 192.0.2.1/24 }", further));
            assert!(found.contains(what), "{further}: {found}");
        }
        let statics = format!("static_ipaddress {{ 192.0.2.9/24 dev eth0 }}\n{FILE}");
        assert!(refusal(&statics).contains("static addresses"));
    }
}
