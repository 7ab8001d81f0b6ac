//! Virtual routers on a link.
//!
//! Enters: [`Sighting`]s of some seconds. Leaves: a [`Census`]: a row for each sender and VRID, with what looks wrong;
//! and the configuration of a backup for one of them ([`join`]). A backup is silent: only masters are seen.

mod join;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use vrrp_ebpf::wire::{ChecksumForm, Family, Reject};

pub use join::join;

use super::sighting::{AuthSeen, Content, Seen, Sighting};
use crate::config::{self, Config, wrapped_at};
use crate::daemon::inspect::doctor::driver_allows;
use crate::daemon::status::{columns, detail, family, stacked};
use crate::driver::xdp::DriverXdp;

/// Senders that are kept; a flood of made-up ones must not fill the memory.
const ROUTERS: usize = 4096;

/// Other masters that are named beside a router.
const RIVALS: usize = 4;

/// Columns before a second line.
const INDENT: usize = 6;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Key {
    vlan: u16,
    is_v6: bool,
    vrid: u8,
    source: IpAddr,
}

/// What a sender was heard to say.
#[derive(Clone, Debug)]
struct Heard {
    adverts: u64,
    first: Duration,
    last: Duration,
    latest: Sighting,
    /// Its latest advert that is well-formed.
    seen: Option<Seen>,
    /// Versions of its adverts.
    versions: BTreeSet<u8>,
    refused: Option<Reject>,
}

/// All senders of a link.
#[derive(Clone, Debug, Default)]
pub struct Census {
    heard: BTreeMap<Key, Heard>,
    /// More were heard than are kept.
    is_full: bool,
}

/// A router, for the table and as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Router {
    /// 0 without a tag.
    pub vlan: u16,
    /// 0 for CARP, which has other numbers.
    pub vrid: u8,
    /// `ipv4` or `ipv6`.
    pub family: &'static str,
    /// `vrrp` or `carp`.
    pub protocol: &'static str,
    /// `None` if no advert was well-formed.
    pub version: Option<u8>,
    pub source: String,
    pub priority: Option<u8>,
    pub interval_seconds: Option<f64>,
    /// Mean time between two adverts; `None` with fewer than two.
    pub measured_seconds: Option<f64>,
    pub adverts: u64,
    /// `none`, `PASS`, `AH` or `HMAC`.
    pub auth: Option<String>,
    /// `pseudo` or `plain`.
    pub checksum: Option<&'static str>,
    pub addresses: Vec<String>,
    /// Sent by this host.
    pub own: bool,
    pub notes: Vec<String>,
}

/// What was seen on an interface.
#[derive(Clone, Debug, Serialize)]
pub struct Detected {
    pub interface: String,
    /// Whether the interface's driver has native XDP; `None` if the kernel does not report it.
    pub native_xdp: Option<bool>,
    #[serde(skip)]
    pub driver: Option<DriverXdp>,
    pub seconds: f64,
    pub routers: Vec<Router>,
    /// More senders were heard than are kept.
    pub is_full: bool,
    /// VRIDs that were not heard without a tag, by family.
    pub unheard_ipv4: Vec<u8>,
    pub unheard_ipv6: Vec<u8>,
}

impl Census {
    pub fn add(&mut self, sighting: Sighting) {
        // Its sender is no router.
        if matches!(sighting.content, Content::Probe(_)) {
            return;
        }
        let key = Key {
            vlan: sighting.vlan,
            is_v6: sighting.family == Family::V6,
            vrid: sighting.vrid,
            source: sighting.source,
        };
        if self.heard.len() >= ROUTERS && !self.heard.contains_key(&key) {
            self.is_full = true;
            return;
        }
        let heard = self.heard.entry(key).or_insert_with(|| Heard {
            adverts: 0,
            first: sighting.at,
            last: sighting.at,
            latest: sighting.clone(),
            seen: None,
            versions: BTreeSet::new(),
            refused: None,
        });
        heard.adverts += 1;
        heard.last = heard.last.max(sighting.at);
        match &sighting.content {
            Content::Advert(seen) => {
                heard.versions.insert(seen.version as u8);
                heard.seen = Some(seen.clone());
            }
            Content::Broken(reject) => heard.refused = Some(*reject),
            Content::Carp | Content::Probe(_) => {}
        }
        heard.latest = sighting;
    }

    /// The rows, in the order of VLAN, family, VRID and source.
    pub fn detected(&self, interface: &str, span: Duration, config: Option<&Config>) -> Detected {
        let unheard = |is_v6: bool| {
            let is_heard = |vrid: u8| {
                self.heard.iter().any(|(key, heard)| {
                    key.vlan == 0
                        && key.is_v6 == is_v6
                        && key.vrid == vrid
                        && heard.latest.content != Content::Carp
                })
            };
            (1..=u8::MAX).filter(|vrid| !is_heard(*vrid)).collect()
        };
        Detected {
            interface: interface.to_owned(),
            native_xdp: None,
            driver: None,
            seconds: span.as_secs_f64(),
            routers: self
                .heard
                .iter()
                .map(|(key, heard)| self.router(*key, heard, interface, config))
                .collect(),
            is_full: self.is_full,
            unheard_ipv4: unheard(false),
            unheard_ipv6: unheard(true),
        }
    }

    fn router(&self, key: Key, heard: &Heard, interface: &str, config: Option<&Config>) -> Router {
        let latest = &heard.latest;
        let seen = heard.seen.as_ref();
        let is_carp = latest.content == Content::Carp;
        let checksum = |seen: &Seen| match seen.checksum {
            ChecksumForm::Pseudo => "pseudo",
            ChecksumForm::Plain => "plain",
        };
        Router {
            vlan: key.vlan,
            vrid: if is_carp { 0 } else { key.vrid },
            family: family(latest.family),
            protocol: if is_carp { "carp" } else { "vrrp" },
            version: seen.map(|seen| seen.version as u8),
            source: key.source.to_string(),
            priority: seen.map(|seen| seen.priority),
            interval_seconds: seen.map(|seen| seen.interval.duration().as_secs_f64()),
            measured_seconds: heard.measured().map(|gap| gap.as_secs_f64()),
            adverts: heard.adverts,
            auth: seen.map(|seen| match seen.auth {
                AuthSeen::None => "none".to_owned(),
                other => other.word(),
            }),
            checksum: seen.map(checksum),
            addresses: seen.into_iter().flat_map(|seen| &seen.addresses).map(ToString::to_string).collect(),
            own: latest.is_own,
            notes: self.notes(key, heard, interface, config),
        }
    }

    fn notes(&self, key: Key, heard: &Heard, interface: &str, config: Option<&Config>) -> Vec<String> {
        let (latest, mut notes) = (&heard.latest, Vec::new());
        if latest.content == Content::Carp {
            notes.push(format!("CARP, vhid {0}: it has the MAC address of VRID {0}", key.vrid));
            return notes;
        }
        let mut others =
            self.heard.iter().filter(|(other, of)| other.is_beside(&key) && of.is_master_with(heard));
        let too = |other: &Key| format!("! {} is master of VRID {} too", other.source, key.vrid);
        notes.extend(others.by_ref().take(RIVALS).map(|(other, _)| too(other)));
        match others.count() {
            0 => {}
            more => notes.push(format!("! {more} more sent adverts of VRID {} at the same time", key.vrid)),
        }
        if heard.versions.len() > 1 {
            notes.push(
                "sends version 2 and version 3: a migration, or two routers with one address".to_owned(),
            );
        }
        if let Some(why) = heard.refused.and_then(detail) {
            notes.push(format!("! not valid: {why}"));
        }
        if latest.has_wrong_ttl() {
            notes.push(format!("! TTL {} instead of 255: every receiver refuses it", latest.ttl));
        }
        if !latest.destination.is_multicast() {
            notes.push(format!("by unicast to {}", latest.destination));
        }
        match &heard.seen {
            Some(Seen { priority: 0, .. }) => notes.push("has left: its last advert is a release".to_owned()),
            Some(Seen { priority: u8::MAX, .. }) => notes.push("owner of the addresses".to_owned()),
            _ => {}
        }
        if heard.seen.as_ref().is_some_and(|it| it.version as u8 == 3 && it.checksum == ChecksumForm::Plain) {
            notes.push("checksum without the pseudo-header (`checksum plain`)".to_owned());
        }
        if latest.is_own {
            notes.push("sent by this host".to_owned());
        }
        notes.extend(configured(key, interface, config));
        notes
    }
}

/// Which instance of the configuration here has this VRID.
fn configured(key: Key, interface: &str, config: Option<&Config>) -> Option<String> {
    let settings = config?.instances.iter().map(|it| &it.settings).find(|it| {
        let is_here = key.vlan == 0 && &*it.interface == interface;
        is_here && it.vrid.number() == key.vrid && (it.family == Family::V6) == key.is_v6
    })?;
    Some(format!("{} in the configuration here", settings.name))
}

impl Key {
    /// Another sender for the same virtual router.
    fn is_beside(&self, other: &Self) -> bool {
        let router = |key: &Self| (key.vlan, key.is_v6, key.vrid);
        router(self) == router(other) && self.source != other.source
    }
}

impl Heard {
    /// Mean time between two adverts.
    fn measured(&self) -> Option<Duration> {
        let gaps = u32::try_from(self.adverts.checked_sub(1)?).ok()?;
        self.last.checked_sub(self.first)?.checked_div(gaps)
    }

    /// Whether both were masters at the same time: each has sent after the other's first advert. One that follows
    /// another has taken over.
    fn is_master_with(&self, other: &Self) -> bool {
        self.first.max(other.first) < self.last.min(other.last)
    }
}

impl Detected {
    #[must_use]
    pub fn with_driver(self, driver: Option<DriverXdp>) -> Self {
        Self { native_xdp: driver.map(|driver| driver.is_native), driver, ..self }
    }
}

/// The table; ends with a line feed.
pub fn screen(detected: &Detected, width: usize) -> String {
    let mut out = String::new();
    let Detected { interface, seconds, routers, .. } = detected;
    if routers.is_empty() {
        let text = format!(
            "no VRRP was heard on {interface} in {seconds:.0} s: no master there, or a switch that snoops does not \
             forward the group to this port"
        );
        wrapped_at(width, &mut out, "", &text, 2);
        wrapped_at(width, &mut out, "", &of_driver(detected), 2);
        return out;
    }
    let has_vlans = routers.iter().any(|router| router.vlan != 0);
    let head = ["VRID", "FAM", "VER", "PRIO", "INTERVAL", "MEASURED", "AUTH"].map(str::to_owned);
    let place =
        |vlan: &str, source: &str| if has_vlans { format!("{vlan:<4}  {source}") } else { source.to_owned() };
    let mut rows = vec![row(head, place("VLAN", "SOURCE"))];
    rows.extend(routers.iter().map(|router| {
        let vlan = if router.vlan == 0 { "-".to_owned() } else { router.vlan.to_string() };
        row(cells(router), place(&vlan, &router.source))
    }));
    let mut table = String::new();
    columns(usize::MAX, &mut table, &rows);
    let is_narrow = table.lines().any(|line| config::width(line) > width);
    for (index, line) in table.lines().enumerate() {
        match (index.checked_sub(1), &rows[..]) {
            (Some(index), [head, rows @ ..]) if is_narrow => {
                let row = rows.get(index).map(|row| [head.clone(), row.clone()]);
                stacked(width, &mut out, row.as_ref().map_or(&[], |rows| &rows[..]));
            }
            (None, _) if is_narrow => {}
            _ => drop(writeln!(out, "{line}")),
        }
        let Some(router) = index.checked_sub(1).and_then(|index| routers.get(index)) else { continue };
        let indent = " ".repeat(INDENT);
        if !router.addresses.is_empty() {
            wrapped_at(width, &mut out, &indent, &router.addresses.join(", "), INDENT);
        }
        for note in &router.notes {
            wrapped_at(width, &mut out, &indent, note, INDENT + 2);
        }
    }
    out.push('\n');
    if detected.is_full {
        let text = format!("! more than {ROUTERS} senders were heard: later ones are not shown");
        wrapped_at(width, &mut out, "", &text, 2);
    }
    for (name, unheard) in [("IPv4", &detected.unheard_ipv4), ("IPv6", &detected.unheard_ipv6)] {
        if unheard.len() < usize::from(u8::MAX) {
            wrapped_at(width, &mut out, &format!("VRIDs not heard ({name}): "), &ranges(unheard), 2);
        }
    }
    wrapped_at(
        width,
        &mut out,
        "",
        &format!("heard for {seconds:.0} s; a backup is silent, and so is a VRID without a master"),
        2,
    );
    wrapped_at(width, &mut out, "", &of_driver(detected), 2);
    out
}

/// What the interface's driver allows the daemon.
fn of_driver(Detected { interface, driver, .. }: &Detected) -> String {
    driver.map_or_else(
        || format!("{interface}: whether its driver has native XDP is not known: the kernel reports it since Linux 6.3"),
        |driver| format!("{interface}: {}", driver_allows(driver)),
    )
}

fn row(cells: [String; 7], place: String) -> [String; 8] {
    let [vrid, family, version, priority, interval, measured, auth] = cells;
    [vrid, family, version, priority, interval, measured, auth, place]
}

fn cells(router: &Router) -> [String; 7] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let auth = router.auth.clone().map(|word| if word == "none" { "-".to_owned() } else { word });
    [
        if router.protocol == "carp" { "CARP".to_owned() } else { router.vrid.to_string() },
        router.family.to_owned(),
        or_dash(router.version.map(|version| version.to_string())),
        or_dash(router.priority.map(|priority| priority.to_string())),
        or_dash(router.interval_seconds.map(|seconds| format!("{seconds} s"))),
        or_dash(router.measured_seconds.map(|seconds| format!("{seconds:.3} s"))),
        or_dash(auth),
    ]
}

/// Numbers as ranges: `1-6, 8, 10-255`.
fn ranges(numbers: &[u8]) -> String {
    let mut found: Vec<(u8, u8)> = Vec::new();
    for &number in numbers {
        match found.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => found.push((number, number)),
        }
    }
    let text =
        |(first, last): &(u8, u8)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    found.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::sighting::tests::{V3, advert, caught};
    use super::*;

    fn census(adverts: &[(u8, u8, u8, u16, u64)]) -> Census {
        let mut census = Census::default();
        for (host, vrid, priority, vlan, millis) in adverts {
            let frame = advert(*host, *vrid, *priority, 255, V3, ChecksumForm::Pseudo);
            census.add(Sighting::read(&caught(&frame, *vlan, *millis)).unwrap());
        }
        census
    }

    fn notes(census: &Census) -> Vec<String> {
        let detected = census.detected("eth0", Duration::from_secs(10), None);
        detected.routers.into_iter().flat_map(|router| router.notes).collect()
    }

    #[test]
    fn a_row_has_what_its_sender_says_and_does() {
        let census = census(&[(9, 51, 110, 0, 0), (9, 51, 110, 0, 1000), (9, 51, 110, 0, 2010)]);
        let detected = census.detected("eth0", Duration::from_secs(10), None);
        let [router] = detected.routers.as_slice() else { panic!("{detected:?}") };
        assert_eq!(
            (router.vrid, router.version, router.priority, router.adverts),
            (51, Some(3), Some(110), 3)
        );
        assert_eq!((router.interval_seconds, router.measured_seconds), (Some(1.0), Some(1.005)));
        assert_eq!(detected.unheard_ipv4.len(), 254);
        let text = screen(&detected, 80);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("VRIDs not heard (IPv4): 1-50, 52-255\n"), "{text}");
    }

    #[test]
    fn two_masters_at_a_time_are_named_and_a_takeover_is_none() {
        let both = [(9, 51, 110, 0, 0), (8, 51, 100, 0, 500), (9, 51, 110, 0, 1000), (8, 51, 100, 0, 1500)];
        assert_eq!(
            notes(&census(&both)),
            ["! 192.0.2.9 is master of VRID 51 too", "! 192.0.2.8 is master of VRID 51 too"]
        );
        let takeover = [(9, 51, 110, 0, 0), (9, 51, 0, 0, 900), (8, 51, 100, 0, 1000), (8, 51, 100, 0, 2000)];
        assert_eq!(notes(&census(&takeover)), ["has left: its last advert is a release"]);
        // Another VLAN is another link.
        let apart = [(9, 51, 110, 0, 0), (8, 51, 100, 7, 500), (9, 51, 110, 0, 1000), (8, 51, 100, 7, 1500)];
        assert!(notes(&census(&apart)).is_empty());
    }

    #[test]
    fn a_flood_of_senders_fills_neither_the_memory_nor_the_notes() {
        let round = |at: u64| (1..=7_u8).map(move |host| (host, 51, 100, 0, at));
        let all: Vec<(u8, u8, u8, u16, u64)> = round(0).chain(round(1000)).collect();
        let notes = notes(&census(&all));
        assert_eq!(notes.len(), 7 * (RIVALS + 1));
        assert_eq!(notes[RIVALS], "! 2 more sent adverts of VRID 51 at the same time");
        let mut flooded = census(&[(9, 51, 100, 0, 0)]);
        let (key, heard) = flooded.heard.pop_first().unwrap();
        let of = |vlan: u16| (Key { vlan, ..key }, heard.clone());
        flooded.heard = (1..).take(ROUTERS).map(of).collect();
        let frame = advert(8, 51, 100, 255, V3, ChecksumForm::Pseudo);
        flooded.add(Sighting::read(&caught(&frame, 0, 0)).unwrap());
        let text = screen(&flooded.detected("eth0", Duration::from_secs(10), None), 80);
        assert!(text.contains("! more than 4096 senders were heard"), "{text}");
    }

    #[test]
    fn what_is_wrong_with_an_advert_is_noted() {
        let note = |frame: &[u8]| {
            let mut census = Census::default();
            census.add(Sighting::read(&caught(frame, 0, 0)).unwrap());
            notes(&census)
        };
        assert_eq!(
            note(&advert(9, 51, 110, 64, V3, ChecksumForm::Pseudo)),
            ["! TTL 64 instead of 255: every receiver refuses it"]
        );
        assert_eq!(
            note(&advert(9, 51, 255, 255, V3, ChecksumForm::Plain)),
            ["owner of the addresses", "checksum without the pseudo-header (`checksum plain`)"]
        );
        let mut broken = advert(9, 51, 110, 255, V3, ChecksumForm::Pseudo);
        *broken.last_mut().unwrap() ^= 1;
        assert_eq!(note(&broken), ["! not valid: the checksum of its adverts is wrong in every known form"]);
    }

    #[test]
    fn our_own_vrid_is_named() {
        let text = "vrrp_instance web {\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress {\n192.0.2.1\n}\n}\n";
        let config = crate::config::parse("t", text).unwrap().config;
        let census = census(&[(9, 51, 110, 0, 0), (9, 52, 110, 0, 0)]);
        let detected = census.detected("eth0", Duration::from_secs(1), Some(&config));
        assert_eq!(detected.routers[0].notes, ["web in the configuration here"]);
        assert!(detected.routers[1].notes.is_empty());
    }

    #[test]
    fn numbers_are_shown_as_ranges() {
        assert_eq!(ranges(&[1, 2, 3, 5, 9, 10]), "1-3, 5, 9-10");
        assert_eq!(ranges(&[254, 255]), "254-255");
        assert_eq!(ranges(&[]), "");
    }
}
