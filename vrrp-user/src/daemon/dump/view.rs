//! State of one instance, as both keepalived.data and keepalived.json have it.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use vrrp_ebpf::map::Peer;
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::address::narrow;

use crate::config::{
    CheckSettings, CheckTarget, Group, Instance, NotifyCommand, ScriptCommand, VirtualAddress,
};
use crate::daemon::history::Inner;
use crate::daemon::status::{DaemonContext, down_interval, master, master_interval};
use crate::driver::clock;
use crate::protocol::{Interval, Priority, State};

pub(super) struct View<'a> {
    pub(super) instance: &'a Instance,
    /// Name of its sync group.
    pub(super) group: Option<&'a str>,
    pub(super) state: State,
    pub(super) effective: Priority,
    /// Time of the last transition; the start of the daemon if there was none. Since 1970.
    pub(super) since: Duration,
    /// The master of a backup, if it is heard.
    pub(super) master: Option<Peer>,
    /// Source address of adverts, once known.
    pub(super) source: Option<IpAddr>,
}

/// All instances, in the order of the configuration.
pub(super) fn all(context: &DaemonContext) -> Vec<View<'_>> {
    let now = clock::now();
    let start = SystemTime::now().checked_sub(now.since(context.started)).unwrap_or(SystemTime::UNIX_EPOCH);
    let history = context.history.read();
    context
        .instances()
        .map(|(instance, live)| {
            let state = live.state();
            let past = history.instance(instance.id);
            let at = past.and_then(|past| past.history.back()).map_or(start, |passed| passed.at);
            let peers: Vec<Peer> = context.maps.peers(instance.id).map(|(_, peer)| peer).collect();
            let moved = live.since.load(std::sync::atomic::Ordering::Relaxed) != Timestamp::ZERO.as_nanos();
            let source = context.maps.slot(instance.id).source;
            let member = |group: &&Group| group.settings.members.contains(&instance.id);
            let group = context.config.groups.iter().find(member);
            View {
                instance,
                group: group.map(|group| &*group.settings.name),
                state,
                effective: if moved { live.priority() } else { instance.settings.priority },
                since: at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
                master: (state == State::Backup).then(|| master(&peers, now).copied()).flatten(),
                source: (source != [0; 16]).then(|| narrow(instance.settings.family, source)),
            }
        })
        .collect()
}

impl View<'_> {
    pub(super) fn master_address(&self) -> Option<IpAddr> {
        self.master.as_ref().map(|peer| narrow(self.instance.settings.family, peer.source))
    }

    /// The interval of master_down_interval: the master's in version 3, else its own.
    pub(super) fn master_interval(&self) -> Duration {
        master_interval(&self.instance.settings, self.master.as_ref()).duration()
    }

    pub(super) fn master_down_interval(&self) -> Duration {
        down_interval(&self.instance.settings, self.effective, self.master.as_ref())
    }

    /// An address as keepalived writes it. `set`: it is on its interface.
    pub(super) fn address(&self, entry: &VirtualAddress) -> String {
        let settings = &self.instance.settings;
        let device = settings.device_of(entry);
        let mut vmacs = settings.vmacs.own.iter().chain(&settings.vmacs.further);
        let base = vmacs.find(|vmac| vmac.name.as_arc() == device).map(|vmac| format!("@{}", vmac.parent));
        let base = base.unwrap_or_default();
        let whole = if entry.address.is_ipv4() { 32 } else { 128 };
        let prefix = if entry.prefix == whole { String::new() } else { format!("/{}", entry.prefix) };
        let broadcast = entry.broadcast.map(|address| format!(" brd {address}")).unwrap_or_default();
        let scope = scope(entry.scope);
        let mut text = format!("{}{prefix}{broadcast} dev {device}{base} scope {scope}", entry.address);
        // Writing to a string cannot fail.
        if let Some(label) = &entry.label {
            let _ = write!(text, " label {label}");
        }
        let options = [
            (entry.home, " home"),
            (entry.dad, " -nodad"),
            (entry.temporary, " mngtmpaddr"),
            (entry.no_prefix_route, " noprefixroute"),
            (entry.autojoin, " autojoin"),
            (!entry.tracked, " no_track"),
        ];
        options.iter().filter(|(is_set, _)| *is_set).for_each(|(_, word)| text.push_str(word));
        // As it is set: an address with a full prefix is never chosen as a source.
        match (entry.address, entry.prefix) {
            (IpAddr::V6(_), 128) => text.push_str(" preferred_lft 0"),
            (IpAddr::V6(_), _) => text.push_str(" preferred_lft forever"),
            (IpAddr::V4(_), _) => {}
        }
        if self.state == State::Master {
            text.push_str(" set");
        }
        text
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        self.instance.settings.addresses.advertised.iter().map(|entry| self.address(entry)).collect()
    }

    pub(super) fn excluded(&self) -> Vec<String> {
        self.instance.settings.addresses.excluded.iter().map(|entry| self.address(entry)).collect()
    }

    pub(super) fn is_ipv6(&self) -> bool {
        self.instance.settings.family == Family::V6
    }

    pub(super) fn interval(&self) -> Interval {
        self.instance.settings.advert_interval
    }
}

fn scope(number: u8) -> String {
    match number {
        0 => "global".to_owned(),
        200 => "site".to_owned(),
        253 => "link".to_owned(),
        254 => "host".to_owned(),
        255 => "nowhere".to_owned(),
        other => other.to_string(),
    }
}

/// The result of a check in keepalived's words.
pub(in crate::daemon) fn check_status(check: &CheckSettings, history: &Inner) -> &'static str {
    match history.check(check.id).map(|round| round.up) {
        Some(true) => "GOOD",
        Some(false) => "BAD",
        None if check.init_fail => "BAD",
        None => "INIT",
    }
}

/// Each word of a command in its own quotes, as keepalived writes it; a shell line as it is.
pub fn command(command: &ScriptCommand) -> String {
    match command {
        ScriptCommand::Direct(words) => {
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
        }
        ScriptCommand::Shell(line) => line.to_string(),
    }
}

/// The target of a check; only the keyword if keepalived does not know the kind.
pub(super) fn target(target: &CheckTarget) -> String {
    match target {
        CheckTarget::Command(line) => command(line),
        other => format!("'{}'", other.kind()),
    }
}

pub(super) fn hook(hook: Option<&NotifyCommand>) -> Option<String> {
    hook.map(|hook| command(&hook.command))
}
