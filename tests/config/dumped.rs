//! keepalived's dump of its state, as far as it follows from the file, and a configuration of ours in the same form.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use vrrp_user::config::{
    CheckSettings, CheckTarget, Config, Group, Instance, InstanceSettings, NotifySettings, VirtualAddress,
};
use vrrp_user::daemon::dump::{command, route, rule};
use vrrp_user::protocol::{Auth, TrackSettings, TrackedObject, Version};

/// By kind and name, such as `VRRP Instance = a`: values by their names.
pub(crate) type Dump = BTreeMap<String, Part>;

type Part = BTreeMap<String, Vec<String>>;

/// Behind a source address.
const CONFIGURED: &str = " (from configuration)";

const MEMBERS: &str = "VRRP member instances";

const KINDS: [&str; 3] = ["VRRP Instance", "VRRP Sync Group", "VRRP Script"];

/// Values of a part that follow from the file.
const VALUES: &[&str] = &[
    "Accept",
    "Advert interval",
    "Authentication type",
    "Backup state transition script",
    "Check unicast src",
    "Command",
    "Deleted state transition script",
    "Down timer adverts",
    "Enforcing strict VRRP compliance",
    "Fall",
    "Fault state transition script",
    "Generic state transition script",
    "Gratuitous ARP delay",
    "Gratuitous ARP lower priority delay",
    "Gratuitous ARP lower priority repeat",
    "Gratuitous ARP refresh",
    "Gratuitous ARP refresh repeat",
    "Gratuitous ARP repeat",
    "Interface",
    "Interval",
    "Master rx lower pri script",
    "Master state transition script",
    "Multicast address",
    "Notify deleted",
    "Notify priority changes",
    "Password",
    "Preempt",
    "Preempt delay",
    "Priority",
    "Promote_secondaries",
    "Rise",
    "Send advert after receive higher priority advert",
    "Send advert after receive lower priority advert",
    "Stop state transition script",
    "Sync group",
    "Timeout",
    "Tracked files",
    "Tracked interfaces",
    "Tracked processes",
    "Tracked scripts",
    "Unicast Peer",
    "Using Native IPv6",
    "Using smtp notification",
    "Using src_ip",
    "VRRP Version",
    "VRRP interface tracking disabled",
    MEMBERS,
    "Virtual IP",
    "Virtual IP Excluded",
    "Virtual Router ID",
    "Virtual Routes",
    "Virtual Rules",
    "Wantstate",
    "Weight",
];

/// Reads keepalived's dump.
pub(crate) fn theirs(text: &str) -> Dump {
    let mut dump = Dump::new();
    let (mut part, mut name) = (None, String::new());
    for line in text.lines() {
        let words = line.trim_start();
        match line.len() - words.len() {
            0 => part = None,
            1 => {
                // A group has its state behind its name.
                let title = words.split(", ").next().unwrap_or_default();
                let is_known = KINDS.iter().any(|kind| title.starts_with(kind));
                part = if is_known { Some(dump.entry(title.to_owned()).or_default()) } else { None };
            }
            3 => {
                let value;
                (name, value) = named(words);
                // The address in use, and the state of the moment.
                let is_of_file = (name != "Using src_ip" || value.ends_with(CONFIGURED)) && value != "FAULT";
                if let Some(part) = part.as_mut().filter(|_| is_of_file && VALUES.contains(&&*name)) {
                    part.entry(name.clone()).or_default().extend((!value.is_empty()).then_some(value));
                }
            }
            _ => {
                let Some(part) = part.as_mut().filter(|_| VALUES.contains(&&*name)) else { continue };
                part.entry(name.clone()).or_default().push(plain(words));
            }
        }
    }
    dump.values_mut().for_each(complete);
    share(&mut dump);
    dump
}

/// Without a timeout of its own, a script has its interval.
fn complete(part: &mut Part) {
    if part.get("Timeout").is_some_and(|timeout| timeout == &["0 sec"])
        && let Some(interval) = part.get("Interval").cloned()
    {
        part.insert("Timeout".to_owned(), interval);
    }
    // Its members decide together.
    if part.contains_key("Sync group") {
        part.remove("Wantstate");
    }
}

/// What a group tracks, its members track.
fn share(dump: &mut Dump) {
    let groups: Vec<Part> = dump.values().filter(|part| part.contains_key(MEMBERS)).cloned().collect();
    dump.values_mut().filter(|part| part.contains_key(MEMBERS)).for_each(|part| {
        part.retain(|name, _| !name.starts_with("Tracked"));
    });
    for group in groups {
        for member in &group[MEMBERS] {
            let Some(part) = dump.get_mut(&title("Instance", member)) else { continue };
            for (name, tracked) in group.iter().filter(|(name, _)| name.starts_with("Tracked")) {
                part.entry(name.clone()).or_default().extend(tracked.iter().cloned());
            }
        }
    }
    for part in dump.values_mut() {
        part.iter_mut()
            .filter(|(name, _)| name.starts_with("Tracked"))
            .for_each(|(_, tracked)| tracked.sort());
    }
}

/// Name and value of a line; a list begins without a value.
fn named(line: &str) -> (String, String) {
    let multicast = line.strip_prefix("Multicast address ").map(|group| ("Multicast address", group));
    let halves = multicast.or(line.split_once(" = ")).or(line.split_once(" :"));
    let (name, value) = halves.unwrap_or((line, ""));
    (name.split(" (").next().unwrap_or_default().to_owned(), plain(value))
}

/// A value without the moment's state, users of scripts, numbers of interfaces. keepalived follows links of programs.
fn plain(value: &str) -> String {
    let ends = [", uid:gid", ", ifindex", " set"];
    let value = ends.iter().fold(value, |value, end| value.split(end).next().unwrap_or_default());
    value.trim().replace("'/usr/bin/", "'/bin/")
}

/// Values that only one has, or that differ; `None` is a file that the daemon refuses.
pub(crate) fn differences(ours: Option<&Dump>, theirs: Option<&Dump>) -> Vec<String> {
    let (Some(ours), Some(theirs)) = (ours, theirs) else {
        let word = |dump: Option<&Dump>| if dump.is_some() { "runs" } else { "does not run" };
        let differ = ours.is_some() != theirs.is_some();
        return differ.then(|| format!("{}, {}", word(ours), word(theirs))).into_iter().collect();
    };
    let none = Part::new();
    let mut found = Vec::new();
    for title in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let [one, other] = [ours, theirs].map(|dump| dump.get(title).unwrap_or(&none));
        for name in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
            let (one, other) = (one.get(name), other.get(name));
            let is_of_moment = name == "Wantstate" && other.is_none();
            if one != other && !is_of_moment {
                found.push(format!("{title}: {name}: {one:?}, {other:?}"));
            }
        }
    }
    found
}

/// A configuration in the same form.
pub(crate) fn ours(config: &Config) -> Dump {
    let instances =
        config.instances.iter().map(|it| (title("Instance", &it.settings.name), instance(config, it)));
    let groups = config.groups.iter().map(|it| (title("Sync Group", &it.settings.name), group(config, it)));
    let scripts = config.checks.iter().filter(|it| matches!(it.target, CheckTarget::Command(_)));
    let scripts = scripts.map(|it| (title("Script", &it.name), script(it)));
    instances.chain(groups).chain(scripts).collect()
}

fn title(kind: &str, name: &str) -> String {
    format!("VRRP {kind} = {name}")
}

fn instance(config: &Config, instance: &Instance) -> Part {
    let settings = &*instance.settings;
    let announce = &settings.announce;
    let mut part = Part::new();
    let mut set = |name: &str, value: String| {
        part.insert(name.to_owned(), vec![value]);
    };
    set("VRRP Version", (settings.version as u8).to_string());
    set("Interface", interface(settings));
    set("Virtual Router ID", settings.vrid.number().to_string());
    set("Priority", settings.priority.to_string());
    set("Advert interval", interval(settings));
    set("Accept", enabled(settings.accept));
    set("Preempt", enabled(settings.preempt));
    set("Promote_secondaries", enabled(instance.promote_secondaries));
    set("Down timer adverts", settings.down_timer_adverts.to_string());
    set("Gratuitous ARP delay", announce.delay.as_secs().to_string());
    set("Gratuitous ARP repeat", announce.repeat.to_string());
    set("Gratuitous ARP refresh", announce.refresh.as_secs().to_string());
    set("Gratuitous ARP refresh repeat", announce.refresh_repeat.to_string());
    set("Gratuitous ARP lower priority delay", announce.lower_prio_delay.as_secs().to_string());
    set("Gratuitous ARP lower priority repeat", announce.lower_prio_repeat.to_string());
    set("Send advert after receive lower priority advert", (!settings.lower_prio_no_advert).to_string());
    let higher = settings.higher_prio_send_advert.unwrap_or_default();
    set("Send advert after receive higher priority advert", higher.to_string());
    set("Notify deleted", if instance.notify.reports_deleted { "Deleted" } else { "Fault" }.to_owned());
    set("Notify priority changes", instance.notify.priority_changes.to_string());
    if !settings.preempt_delay.is_zero() {
        set("Preempt delay", format!("{} secs", settings.preempt_delay.as_secs_f64()));
    }
    match &settings.auth {
        Auth::Pass(password) => {
            set("Authentication type", "SIMPLE_PASSWORD".to_owned());
            set("Password", String::from_utf8_lossy(password).trim_end_matches('\0').to_owned());
        }
        Auth::Ah(_) => set("Authentication type", "IPSEC_AH".to_owned()),
        _ if settings.version == Version::V2 => set("Authentication type", "none".to_owned()),
        _ => {}
    }
    if settings.unicast.is_none() {
        set("Multicast address", settings.group().to_string());
    }
    set("Wantstate", if settings.initial_master { "MASTER" } else { "BACKUP" }.to_owned());
    let is_member = |it: &&Group| it.settings.members.contains(&instance.id);
    if let Some(group) = config.groups.iter().find(is_member) {
        set("Sync group", group.settings.name.to_string());
    }
    if let Some(source) = settings.source {
        set("Using src_ip", format!("{source}{CONFIGURED}"));
    }
    for (name, is_set) in [
        ("Using Native IPv6", settings.addresses.all().next().is_some_and(|it| it.address.is_ipv6())),
        ("VRRP interface tracking disabled", settings.ignore_own_link),
        ("Enforcing strict VRRP compliance", instance.is_strict),
    ] {
        if is_set {
            part.insert(name.to_owned(), Vec::new());
        }
    }
    notify(&mut part, &instance.notify);
    lists(&mut part, settings);
    part
}

fn interface(settings: &InstanceSettings) -> String {
    settings.vmacs.own.as_ref().map_or_else(
        || settings.interface.to_string(),
        |vmac| {
            let base = if settings.vmacs.transmit_base { ", xmit base i/f" } else { "" };
            format!("{}, vmac on {}{base}", vmac.name.as_arc(), vmac.parent)
        },
    )
}

fn interval(settings: &InstanceSettings) -> String {
    let interval = settings.advert_interval.duration();
    match settings.version {
        Version::V2 => format!("{} sec", interval.as_secs()),
        Version::V3 => format!("{} milli-sec", interval.as_millis()),
    }
}

fn enabled(is_enabled: bool) -> String {
    if is_enabled { "enabled" } else { "disabled" }.to_owned()
}

fn notify(part: &mut Part, notify: &NotifySettings) {
    let mail = if notify.mail { "yes" } else { "no" };
    part.insert("Using smtp notification".to_owned(), vec![mail.to_owned()]);
    for (name, hook) in [
        ("Backup state transition script", &notify.backup),
        ("Master state transition script", &notify.master),
        ("Fault state transition script", &notify.fault),
        ("Stop state transition script", &notify.stop),
        ("Deleted state transition script", &notify.deleted),
        ("Generic state transition script", &notify.any),
        ("Master rx lower pri script", &notify.lower),
    ] {
        if let Some(hook) = hook {
            part.insert(name.to_owned(), vec![plain(&command(&hook.command))]);
        }
    }
}

fn lists(part: &mut Part, settings: &InstanceSettings) {
    let addresses = |list: &[VirtualAddress]| list.iter().map(|it| address(settings, it)).collect();
    let mut lists: Vec<(&str, Vec<String>)> = vec![
        ("Virtual IP", addresses(&settings.addresses.advertised)),
        ("Virtual IP Excluded", addresses(&settings.addresses.excluded)),
        ("Virtual Routes", settings.routes.iter().map(route).collect()),
        ("Virtual Rules", settings.rules.iter().map(rule).collect()),
    ];
    if let Some(unicast) = &settings.unicast {
        let peers = unicast.peers.iter();
        let peers = peers.map(|it| format!("{} min_ttl {} max_ttl {}", it.address, it.min_ttl, it.max_ttl));
        lists.push(("Unicast Peer", peers.collect()));
        let checks = if unicast.checks_source { "yes" } else { "no" };
        lists.push(("Check unicast src", vec![checks.to_owned()]));
    }
    for track in &settings.tracks {
        let name = match track.object {
            TrackedObject::Script(_) => "Tracked scripts",
            TrackedObject::Interface(_) => "Tracked interfaces",
            TrackedObject::Process(_) => "Tracked processes",
            TrackedObject::File(_) => "Tracked files",
        };
        lists.push((name, vec![tracked(track)]));
    }
    for (name, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
        let list: &mut Vec<String> = part.entry(name.to_owned()).or_default();
        list.extend(values);
        if name.starts_with("Tracked") {
            list.sort();
        }
    }
}

fn tracked(track: &TrackSettings) -> String {
    let (name, weight) = (track.object.name(), track.weight.0);
    let has_comma = matches!(track.object, TrackedObject::File(_) | TrackedObject::Process(_));
    format!("{name}{} weight {weight}{}", if has_comma { "," } else { "" }, reversed(track.reverse))
}

fn reversed(is_reversed: bool) -> &'static str {
    if is_reversed { " reverse" } else { "" }
}

fn address(settings: &InstanceSettings, entry: &VirtualAddress) -> String {
    let device = settings.device_of(entry);
    let base = settings.vmacs.all().find(|vmac| vmac.name.as_arc() == device);
    let base = base.map(|vmac| format!("@{}", vmac.parent)).unwrap_or_default();
    let whole = if entry.address.is_ipv4() { 32 } else { 128 };
    let prefix = if entry.prefix == whole { String::new() } else { format!("/{}", entry.prefix) };
    let scope = match entry.scope {
        0 => "global".to_owned(),
        200 => "site".to_owned(),
        253 => "link".to_owned(),
        254 => "host".to_owned(),
        255 => "nowhere".to_owned(),
        other => other.to_string(),
    };
    let broadcast = entry.broadcast.map(|it| format!(" brd {it}")).unwrap_or_default();
    let mut text = format!("{}{prefix}{broadcast} dev {device}{base} scope {scope}", entry.address);
    if let Some(label) = &entry.label {
        write!(text, " label {label}").unwrap();
    }
    for (is_set, word) in [
        (entry.home, " home"),
        (entry.dad, " -nodad"),
        (entry.temporary, " mngtmpaddr"),
        (entry.no_prefix_route, " noprefixroute"),
        (entry.autojoin, " autojoin"),
        (!entry.tracked, " no_track"),
    ] {
        text.push_str(if is_set { word } else { "" });
    }
    match (entry.address, entry.preferred) {
        (IpAddr::V6(_), Some(0)) => text.push_str(" deprecated"),
        (IpAddr::V6(_), Some(seconds)) => write!(text, " preferred_lft {seconds}").unwrap(),
        (IpAddr::V6(_), None) => text.push_str(" preferred_lft forever"),
        (IpAddr::V4(_), _) => {}
    }
    text
}

fn group(config: &Config, group: &Group) -> Part {
    let mut part = Part::new();
    let members =
        group.settings.members.iter().map(|id| config.instance(*id).unwrap().settings.name.to_string());
    part.insert(MEMBERS.to_owned(), members.collect());
    notify(&mut part, &group.notify);
    part
}

fn script(check: &CheckSettings) -> Part {
    let CheckTarget::Command(line) = &check.target else { return Part::new() };
    let seconds = |span: Duration| format!("{} sec", span.as_secs());
    let values = [
        ("Command", plain(&command(line))),
        ("Interval", seconds(check.interval)),
        ("Timeout", seconds(check.timeout)),
        ("Weight", format!("{}{}", check.weight.0, reversed(check.reverse))),
        ("Rise", check.rise.to_string()),
        ("Fall", check.fall.to_string()),
    ];
    values.into_iter().map(|(name, value)| (name.to_owned(), vec![value])).collect()
}
