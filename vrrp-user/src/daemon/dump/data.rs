//! keepalived.data: configuration and state, as text.

use std::fmt::{self, Display, Write};
use std::time::{Duration, UNIX_EPOCH};

use nix::net::if_::if_nametoindex;

use super::path;
use super::view::{self, View};
use crate::config::{self, CheckSettings, NotifySettings};
use crate::daemon::history::Inner;
use crate::daemon::status::DaemonContext;
use crate::daemon::wall::local;
use crate::protocol::auth::AntiReplay;
use crate::protocol::{Auth, State, TrackedObject, Version};

/// The whole file. Lines that programs look for have keepalived's words and order; a blank before a line shows its
/// depth.
pub fn data(context: &DaemonContext) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut text, context);
    text
}

fn write_all(f: &mut String, context: &DaemonContext) -> fmt::Result {
    let globals = &context.config.globals;
    writeln!(f, "------< Global definitions >------")?;
    writeln!(f, " Router ID = {}", context.router_id)?;
    for fifo in &globals.fifos {
        writeln!(f, " VRRP notify fifo = {}", fifo.path)?;
        if let Some(script) = view::hook(fifo.script.as_ref()) {
            writeln!(f, " VRRP notify fifo script = {script}")?;
        }
    }
    writeln!(f, " Script security {}", if globals.script_security { "enabled" } else { "disabled" })?;
    writeln!(f, "------< VRRP Topology >------")?;
    for view in view::all(context) {
        write!(f, "{}", Instance(&view))?;
    }
    if !context.config.groups.is_empty() {
        writeln!(f, "------< VRRP Sync groups >------")?;
        for (group, live) in context.config.groups.iter().zip(&context.live.groups) {
            write!(f, "{}", Group { group, state: live.state(), context })?;
        }
    }
    if !context.config.checks.is_empty() {
        writeln!(f, "------< VRRP Scripts >------")?;
        let history = context.history.read();
        for settings in &context.config.checks {
            write!(f, "{}", Script { settings, history: &history, context })?;
        }
    }
    Ok(())
}

struct Instance<'a>(&'a View<'a>);

impl Display for Instance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.0.instance.settings;
        writeln!(f, " VRRP Instance = {}", settings.name)?;
        writeln!(f, "   VRRP Version = {}", settings.version as u8)?;
        if self.0.is_ipv6() {
            writeln!(f, "   Using Native IPv6")?;
        }
        if let Some(group) = self.0.group {
            writeln!(f, "   Sync group = {group}")?;
        }
        self.state(f)?;
        self.way(f)?;
        self.announcements(f)?;
        self.election(f)?;
        self.lists(f)?;
        let notify = &self.0.instance.notify;
        writeln!(f, "   Using smtp notification = {}", if notify.mail { "yes" } else { "no" })?;
        writeln!(f, "   Notify deleted = {}", if notify.reports_deleted { "Deleted" } else { "Fault" })?;
        hooks(f, notify)?;
        writeln!(f, "   Notify priority changes = {}", notify.priority_changes)
    }
}

impl Instance<'_> {
    fn state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = self.0;
        writeln!(f, "   State = {}", view.state.as_str())?;
        if let (Some(router), Some(peer)) = (view.master_address(), &view.master) {
            writeln!(f, "   Master router = {router}")?;
            writeln!(f, "   Master priority = {}", peer.priority)?;
            if view.instance.settings.version == Version::V3 {
                writeln!(f, "   Master advert int = {:.2} sec", view.master_interval().as_secs_f64())?;
            }
        }
        writeln!(f, "   Wantstate = {}", view.state.as_str())?;
        let (whole, micros) = (view.since.as_secs(), view.since.subsec_micros());
        writeln!(f, "   Last transition = {whole}.{micros:06} ({})", local(UNIX_EPOCH + view.since))?;
        writeln!(f, "   Master down timer = {} usecs", view.master_down_interval().as_micros())
    }

    fn way(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (view, settings) = (self.0, &self.0.instance.settings);
        match &settings.vmacs.own {
            Some(vmac) => {
                let base = if settings.vmacs.transmit_base { ", xmit base i/f" } else { "" };
                writeln!(f, "   Interface = {}, vmac on {}{base}", vmac.name.as_arc(), vmac.parent)?;
            }
            None => writeln!(f, "   Interface = {}", settings.interface)?,
        }
        if settings.ignore_own_link {
            writeln!(f, "   VRRP interface tracking disabled")?;
        }
        if view.instance.is_strict {
            writeln!(f, "   Enforcing strict VRRP compliance")?;
        }
        if let Some(source) = view.source.or(settings.source) {
            writeln!(f, "   Using src_ip = {source}")?;
        }
        if settings.unicast.is_none() {
            write!(f, "   Multicast address {}", settings.group())?;
            match if_nametoindex(&*settings.interface) {
                Ok(index) if view.is_ipv6() => writeln!(f, ", ifindex {index}")?,
                _ => writeln!(f)?,
            }
        }
        Ok(())
    }

    fn announcements(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let announce = &self.0.instance.settings.announce;
        writeln!(f, "   Gratuitous ARP delay = {}", announce.delay.as_secs())?;
        writeln!(f, "   Gratuitous ARP repeat = {}", announce.repeat)?;
        writeln!(f, "   Gratuitous ARP refresh = {}", announce.refresh.as_secs())?;
        writeln!(f, "   Gratuitous ARP refresh repeat = {}", announce.refresh_repeat)?;
        writeln!(f, "   Gratuitous ARP lower priority delay = {}", announce.lower_prio_delay.as_secs())?;
        writeln!(f, "   Gratuitous ARP lower priority repeat = {}", announce.lower_prio_repeat)
    }

    fn election(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (view, settings) = (self.0, &self.0.instance.settings);
        writeln!(f, "   Down timer adverts = {}", settings.down_timer_adverts)?;
        writeln!(
            f,
            "   Send advert after receive lower priority advert = {}",
            !settings.lower_prio_no_advert
        )?;
        writeln!(
            f,
            "   Send advert after receive higher priority advert = {}",
            settings.higher_prio_send_advert.unwrap_or_default()
        )?;
        writeln!(f, "   Virtual Router ID = {}", settings.vrid.number())?;
        writeln!(f, "   Priority = {}", settings.priority)?;
        writeln!(f, "   Effective priority = {}", view.effective)?;
        writeln!(f, "   Total priority = {}", view.effective)?;
        let span = |span: Duration| match settings.version {
            Version::V2 => format!("{} sec", span.as_secs()),
            Version::V3 => format!("{} milli-sec", span.as_millis()),
        };
        writeln!(f, "   Advert interval = {}", span(view.interval().duration()))?;
        if view.master.is_some() && settings.version == Version::V3 {
            writeln!(f, "   Master advert interval = {}", span(view.master_interval()))?;
        }
        writeln!(f, "   Accept = {}", if settings.accept { "enabled" } else { "disabled" })?;
        writeln!(f, "   Preempt = {}", if settings.preempt { "enabled" } else { "disabled" })?;
        if !settings.preempt_delay.is_zero() {
            writeln!(f, "   Preempt delay = {} secs", settings.preempt_delay.as_secs_f64())?;
        }
        let promotes = view.instance.promote_secondaries;
        writeln!(f, "   Promote_secondaries = {}", if promotes { "enabled" } else { "disabled" })?;
        if !matches!(settings.auth, Auth::Pass(_) | Auth::Ah(_)) && settings.version == Version::V2 {
            writeln!(f, "   Authentication type = none")?;
        }
        match &settings.auth {
            Auth::None => {}
            Auth::Pass(_) => {
                writeln!(f, "   Authentication type = SIMPLE_PASSWORD")?;
                writeln!(f, "   Password = ********")?;
            }
            Auth::Ah(_) => writeln!(f, "   Authentication type = IPSEC_AH")?,
            Auth::Hmac(hmac) => {
                writeln!(f, "   Authentication extension = HMAC-SHA256-128")?;
                writeln!(f, "     Keys = {}, active key id = {}", hmac.keys.len(), hmac.active)?;
                writeln!(f, "     Mode = {}", hmac.mode.as_str())?;
                let word = hmac.anti_replay.as_str();
                match hmac.anti_replay {
                    AntiReplay::Time => {
                        let window = hmac.window.as_secs();
                        writeln!(f, "     Anti replay = {word}, window = {window} sec")?;
                    }
                    AntiReplay::Monotonic => writeln!(f, "     Anti replay = {word}")?,
                }
            }
        }
        Ok(())
    }

    fn lists(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (view, settings) = (self.0, &self.0.instance.settings);
        let addresses = view.addresses();
        writeln!(f, "   Virtual IP ({}):", addresses.len())?;
        list(f, addresses)?;
        let excluded = view.excluded();
        if !excluded.is_empty() {
            writeln!(f, "   Virtual IP Excluded :")?;
            list(f, excluded)?;
        }
        if !settings.routes.is_empty() {
            writeln!(f, "   Virtual Routes :")?;
            list(f, settings.routes.iter().map(path::route))?;
        }
        if !settings.rules.is_empty() {
            writeln!(f, "   Virtual Rules :")?;
            list(f, settings.rules.iter().map(path::rule))?;
        }
        if let Some(unicast) = &settings.unicast {
            writeln!(f, "   Unicast Peer :")?;
            list(f, unicast.peers.iter().map(|peer| peer.address.to_string()))?;
        }
        let tracked = |name: fn(&TrackedObject) -> Option<&str>| {
            let lines = settings.tracks.iter().filter_map(move |track| {
                let way = reversed(track.reverse);
                Some(format!("{} weight {}{way}", name(&track.object)?, track.weight.0))
            });
            lines.collect::<Vec<_>>()
        };
        let interfaces =
            tracked(|it| if let TrackedObject::Interface(name) = it { Some(name) } else { None });
        let scripts = tracked(|it| if let TrackedObject::Script(name) = it { Some(name) } else { None });
        if !interfaces.is_empty() {
            writeln!(f, "   Tracked interfaces :")?;
            list(f, interfaces)?;
        }
        if !scripts.is_empty() {
            writeln!(f, "   Tracked scripts :")?;
            list(f, scripts)?;
        }
        Ok(())
    }
}

struct Group<'a> {
    group: &'a config::Group,
    state: State,
    context: &'a DaemonContext,
}

impl Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, state, context } = self;
        writeln!(f, " VRRP Sync Group = {}, {}", group.settings.name, state.as_str())?;
        writeln!(f, "   VRRP member instances :")?;
        let members = group.settings.members.iter().filter_map(|member| context.config.instance(*member));
        list(f, members.map(|member| member.settings.name.to_string()))?;
        writeln!(f, "   Using smtp notification = {}", if group.notify.mail { "yes" } else { "no" })?;
        hooks(f, &group.notify)
    }
}

struct Script<'a> {
    settings: &'a CheckSettings,
    history: &'a Inner,
    context: &'a DaemonContext,
}

impl Display for Script<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings, history, context } = self;
        let status = view::check_status(settings, history);
        writeln!(f, " VRRP Script = {}", settings.name)?;
        writeln!(f, "   Command = {}", view::target(&settings.target))?;
        writeln!(f, "   Interval = {} sec", settings.interval.as_secs_f64())?;
        writeln!(f, "   Timeout = {} sec", settings.timeout.as_secs_f64())?;
        writeln!(f, "   Weight = {}{}", settings.weight.0, reversed(settings.reverse))?;
        writeln!(f, "   Rise = {}", settings.rise)?;
        writeln!(f, "   Fall = {}", settings.fall)?;
        writeln!(f, "   Insecure = no")?;
        writeln!(f, "   Status = {status}")?;
        writeln!(f, "   Tracking instances :")?;
        for instance in &context.config.instances {
            for track in instance.settings.tracks.iter().filter(|track| track.id == settings.id) {
                let way = reversed(track.reverse);
                writeln!(f, "     {}, weight {}{way}", instance.settings.name, track.weight.0)?;
            }
        }
        writeln!(f, "   State = idle")
    }
}

/// The word after a weight.
fn reversed(is_reversed: bool) -> &'static str {
    if is_reversed { " reverse" } else { "" }
}

fn hooks(f: &mut fmt::Formatter<'_>, notify: &NotifySettings) -> fmt::Result {
    let hooks = [
        ("Backup", &notify.backup),
        ("Master", &notify.master),
        ("Fault", &notify.fault),
        ("Stop", &notify.stop),
        ("Deleted", &notify.deleted),
        ("Generic", &notify.any),
    ];
    for (kind, hook) in hooks {
        if let Some(command) = view::hook(hook.as_ref()) {
            writeln!(f, "   {kind} state transition script = {command}")?;
        }
    }
    if let Some(command) = view::hook(notify.lower.as_ref()) {
        writeln!(f, "   Master rx lower pri script = {command}")?;
    }
    Ok(())
}

fn list(f: &mut fmt::Formatter<'_>, lines: impl IntoIterator<Item = String>) -> fmt::Result {
    lines.into_iter().try_for_each(|line| writeln!(f, "     {line}"))
}
