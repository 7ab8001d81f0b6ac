//! Problems in a [`Status`], for the screen and for the exit code of `vrrpx status`.

use super::peer::PATIENCE;
use super::{
    Address, Check, Configuration, Differing, DisabledScript, Failure, Fifo, Group, Held, Hook, HostFault,
    Instance, Interface, Lacking, Leftover, Mail, Peer, ReceptionFault, Rejected, SlowHook, Status, Tracked,
    UnwrittenFile, Webhook, XdpProgram, rough, span,
};
use crate::daemon::history::NOT_FOUND;
use crate::daemon::host_faults::RETRY;
use crate::daemon::process::runtime_dir;
use crate::daemon::wall::shown_of;
use crate::daemon::{events, last_good};
use crate::driver::RxPath;
use crate::driver::causes;
use crate::driver::xdp::LIBXDP;
use crate::protocol::Reason;

/// Things that an instance lacks, or has left behind, which are shown one by one.
pub(super) const LACKS: usize = 16;

/// Seconds in BACKUP within which the addresses of a former master may still be set, and in MASTER until they are.
const HANDOVER: f64 = 1.0;
/// Seconds in MASTER until duplicate address detection is over, which takes up to two.
const DETECTION: f64 = 3.0;

/// The last adverts of a former master come within this share of its interval, and within these seconds, after those of
/// its heir.
const YIELDS: (f64, f64) = (0.5, 0.1);

/// Findings of a refused file that are shown.
const FINDINGS: usize = 3;

/// How things stand, the worst last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum StatusVerdict {
    Well,
    /// There is a problem, and the addresses are served.
    Look,
    /// An instance is in Fault, or has two masters, or none, or its master does not serve an address.
    Bad,
}

/// One problem, and the instance, group or check that it is of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Problem<'a> {
    pub(super) about: &'a str,
    pub(super) text: String,
}

impl Status {
    /// The worst of all.
    pub fn verdict(&self) -> StatusVerdict {
        let is_bad = |it: &Instance| {
            self.is_faulty(it) || it.is_unserved() || it.has_rival() || it.is_mute() || it.is_unreachable()
        };
        if self.instances.iter().any(is_bad) {
            StatusVerdict::Bad
        } else if self.problems().next().is_some() {
            StatusVerdict::Look
        } else {
            StatusVerdict::Well
        }
    }

    /// For each problem, the thing that it is of, and a text for people.
    pub(crate) fn problem_lines(&self) -> Vec<(String, String)> {
        self.problems().map(|it| (it.about.to_owned(), it.text)).collect()
    }

    /// Those of the configuration, the host, interfaces and files, of each instance, of hooks and of checks that are
    /// down.
    pub(super) fn problems(&self) -> impl Iterator<Item = Problem<'_>> {
        let configuration = self.configuration.stale().into_iter().chain(self.configuration.awaiting());
        let configuration = configuration.chain(self.configuration.left_out()).chain(self.idle());
        let configuration = configuration.map(|text| Problem { about: "configuration", text });
        let instances = self.instances.iter().flat_map(Instance::problems);
        let leftovers = self.leftovers.iter().take(LACKS).map(Leftover::problem);
        let statics = self.statics.problems();
        let groups = self.groups.iter().flat_map(Group::problems);
        let checks = self.checks.iter().flat_map(Check::problems);
        let disabled = self.disabled_scripts.iter().map(DisabledScript::problem);
        let fifos = self.fifos.iter().filter_map(Fifo::problem);
        let mail = self.mail.iter().filter_map(Mail::problem);
        let webhooks = self.webhooks.iter().filter_map(Webhook::problem);
        let interfaces = self.interfaces.iter().filter_map(Interface::problem);
        let files = self.unwritten.iter().map(UnwrittenFile::problem);
        let host = self.host_faults.iter().map(HostFault::problem);
        let of_host = configuration.chain(self.unguarded()).chain(host).chain(interfaces).chain(files);
        of_host
            .chain(instances)
            .chain(leftovers)
            .chain(statics)
            .chain(groups)
            .chain(checks)
            .chain(disabled)
            .chain(fifos)
            .chain(mail)
            .chain(webhooks)
    }

    /// In Fault, and not only because an operator keeps it, or its sync group, in maintenance.
    fn is_faulty(&self, instance: &Instance) -> bool {
        let group = self.groups.iter().find(|group| group.members.contains(&instance.name));
        let is_beside = |it: &&Instance| {
            it.name == instance.name || group.is_some_and(|group| group.members.contains(&it.name))
        };
        let mut faults = self.instances.iter().filter(is_beside).flat_map(|it| &it.faults).peekable();
        let is_kept = |fault: &String| fault == Reason::Maintenance.as_str();
        // The member that is kept may not be shown.
        let is_kept = match faults.peek() {
            Some(_) => faults.all(is_kept),
            None => group.is_some_and(|group| is_kept(&group.reason)),
        };
        instance.state == "FAULT" && !is_kept
    }
}

impl Leftover {
    fn problem(&self) -> Problem<'_> {
        let Self { instance, object, error } = self;
        let text =
            format!("removed by a reload; {object} cannot be removed: {error}; retried until it is gone");
        Problem { about: instance, text }
    }
}

impl HostFault {
    fn problem(&self) -> Problem<'_> {
        let text = format!("{}; tried again every {} s", self.detail, RETRY.as_secs());
        Problem { about: &self.about, text }
    }
}

impl DisabledScript {
    pub(super) fn problem(&self) -> Problem<'_> {
        Problem { about: &self.script, text: format!("disabled: {}", self.why) }
    }
}

impl Interface {
    fn problem(&self) -> Option<Problem<'_>> {
        // An interface that is not there is named by its instances.
        if let (true, Some(why)) = (self.receive_path == RxPath::None.as_str(), &self.why)
            && why != NOT_FOUND
        {
            let text =
                format!("no receive path, so that no other router is heard: {why}; retried every second");
            return Some(Problem { about: &self.name, text });
        }
        let XdpProgram { id, name } = self.hidden_by.as_ref()?;
        let remedy = match name.as_str() {
            LIBXDP => format!("unload the one that it calls (xdp-loader status {})", self.name),
            _ => format!("detach it (ip link set dev {} xdp off)", self.name),
        };
        let name = if name.is_empty() { String::new() } else { format!("{name}, ") };
        let text = format!(
            "another XDP program ({name}id {id}) keeps adverts from this node, so that it hears no other router: \
             {remedy}, or let IP protocol 112 pass"
        );
        Some(Problem { about: &self.name, text })
    }
}

impl UnwrittenFile {
    fn problem(&self) -> Problem<'_> {
        let fate = match self.file.as_str() {
            events::file::NAME => "a restart loses the events since then",
            runtime_dir::NAME => runtime_dir::UNWRITTEN,
            last_good::NAME => "a start with a broken file takes an older one, or fails",
            _ => "after a restart, adverts of now may be replayed",
        };
        Problem { about: &self.file, text: format!("cannot be written: {}; {fate}", self.error) }
    }
}

impl Configuration {
    /// Lines that are left out, with the first one.
    fn left_out(&self) -> Option<String> {
        let first = self.left_out.first()?;
        Some(match self.left_out.len() {
            1 => format!("a line has no effect, as with keepalived: {first}"),
            count => format!("{count} lines have no effect, as with keepalived, the first one: {first}"),
        })
    }

    /// Why the file is not in use, with the first findings; `None` if it is.
    fn stale(&self) -> Option<String> {
        let since = shown_of(self.stale_since.as_ref()?);
        let loaded = shown_of(&self.loaded);
        let mut text = match self.stale_cause.as_deref() {
            Some("not_kept") => {
                return Some(format!(
                    "STALE: a reload was undone at {since}, as it was not kept; the configuration of {loaded} is in use, \
                     and the file differs from it. Run vrrpx reload --confirm again, or restore the file and run vrrpx \
                     reload"
                ));
            }
            Some("refused_at_start") => {
                format!(
                    "STALE: the file was refused at the start; the last good one, of {loaded}, is in use. "
                )
            }
            _ => format!("STALE: the file was refused at {since}; the one read at {loaded} is in use. "),
        };
        for finding in self.findings.iter().take(FINDINGS) {
            let finding = finding.replace('\n', "; ");
            text.extend([finding.as_str(), if finding.ends_with(['.', '?']) { " " } else { ". " }]);
        }
        if self.findings.len() > FINDINGS {
            text.push_str(&format!("There are {} more findings. ", self.findings.len() - FINDINGS));
        }
        text.push_str("Correct the file, then run vrrpx reload");
        Some(text)
    }

    fn awaiting(&self) -> Option<String> {
        let until = shown_of(self.keep_by.as_ref()?);
        Some(format!("the latest reload is undone at {until}, unless: vrrpx reload --keep"))
    }
}

impl Instance {
    /// The best router that is master now and whose adverts are accepted, in whatever state this one is.
    pub fn heard_master(&self) -> Option<&Peer> {
        let is_heard = |peer: &&Peer| {
            let patience = peer.advert_interval_seconds.map(|interval| interval * f64::from(PATIENCE));
            peer.priority > 0 && patience.is_some_and(|patience| peer.last_advert_seconds <= patience)
        };
        let heard = self.peers.iter().filter(is_heard);
        heard.max_by_key(|peer| (Some(&peer.address) == self.master.as_ref(), peer.priority))
    }

    /// One that is master beside this one: still heard when the former master has heard this one and yielded.
    fn rival(&self) -> Option<&Peer> {
        let since = self.since_seconds.filter(|_| self.state == "MASTER")?;
        self.heard_master().filter(|peer| {
            let (share, most) = YIELDS;
            let yields = peer.advert_interval_seconds.map_or(most, |interval| most.min(interval * share));
            since - peer.last_advert_seconds > yields
        })
    }

    /// In Fault by an operator or by what it tracks, and no other router serves its addresses any more. With other
    /// faults it may hear none.
    fn is_unserved(&self) -> bool {
        let patience = self.advert_interval_seconds * f64::from(PATIENCE);
        let hears = [Reason::Maintenance, Reason::TrackDown].map(Reason::as_str);
        !self.faults.is_empty()
            && self.faults.iter().all(|fault| hears.contains(&fault.as_str()))
            && self.since_seconds.is_some_and(|since| since > patience)
            && self.heard_master().is_none()
    }

    /// A master without a lease, for whose addresses the fence answers no request.
    fn is_mute(&self) -> bool {
        self.state == "MASTER" && self.lease_seconds.is_none() && self.fenced
    }

    /// A master with an address that it lacks, or that this host does not answer for. A new one may be about to set it.
    fn is_unreachable(&self) -> bool {
        let settled = |it: &Address| if it.address.contains(':') { DETECTION } else { HANDOVER };
        let is_out = |it: &&Address| it.set == Some(false) || it.answered == Some(false);
        let mut out = self.addresses.iter().filter(is_out);
        self.state == "MASTER" && out.any(|it| self.since_seconds.is_some_and(|since| since >= settled(it)))
    }

    /// Two masters, whether or not each accepts the other's adverts.
    fn has_rival(&self) -> bool {
        self.rival().is_some() || (self.state == "MASTER" && !self.rejected.is_empty())
    }

    /// Whether it may still be handing its addresses over: they stay set until the heir has announced itself.
    fn may_hand_over(&self) -> bool {
        self.since_seconds.is_some_and(|since| since < HANDOVER)
    }

    /// A text for each problem of it.
    pub fn problem_texts(&self) -> Vec<String> {
        self.problems().into_iter().map(|it| it.text).collect()
    }

    pub(super) fn problems(&self) -> Vec<Problem<'_>> {
        let mut all = Vec::new();
        let mut add = |text: String| all.push(Problem { about: &self.name, text });
        if let Some(rival) = self.rival() {
            let named = self.unyielding.as_ref().filter(|it| it.peer == rival.address);
            let why = named.map(|it| format!("; it does not yield: {}", it.detail)).unwrap_or_default();
            add(format!("another router is master too: {} with {}{why}", rival.address, rival.priority));
        }
        let is_master = self.state == "MASTER";
        for missing in self.addresses.iter().filter(|it| is_master && it.set == Some(false)) {
            add(format!("{} is not set, although this node is MASTER", missing.address));
        }
        let is_unanswered = |it: &&Address| it.set == Some(true) && it.answered == Some(false);
        // Without a lease, that is the problem.
        let unanswered = self.addresses.iter().filter(|_| is_master && !self.is_mute()).filter(is_unanswered);
        for Address { address, answered_why, .. } in unanswered.take(LACKS) {
            let why = answered_why.as_deref().unwrap_or_default();
            add(format!("{address} is not answered, although this node is MASTER: {why}"));
        }
        for (stray, interface) in self.addresses.iter().filter_map(|it| Some((it, it.interface.as_ref()?))) {
            if self.state == "BACKUP" && !self.may_hand_over() {
                add(format!("{} is set on {interface}, although this node is BACKUP", stray.address));
            }
        }
        let is_down = |track: &&Tracked| track.is_down();
        let is_kept_by_track = self.tracks.iter().filter(is_down).any(|track| track.weight == 0);
        if self.state == "FAULT" && !is_kept_by_track {
            add(format!("in FAULT: {}", self.why));
        }
        if self.is_unserved() {
            // The cause has a line of its own.
            let is_ordered = self.faults.iter().any(|fault| fault == Reason::Maintenance.as_str());
            let advice = is_ordered.then(|| format!("; to serve here: vrrpx maintenance off {}", self.name));
            let advice = advice.unwrap_or_default();
            add(format!("no router serves its addresses: no master is heard{advice}"));
        }
        for track in self.tracks.iter().filter(is_down) {
            let effect = match track.weight {
                0 => "keeps it in FAULT".to_owned(),
                weight => format!("weight {weight}"),
            };
            let way = if track.up == Some(true) { "up (reverse)" } else { "down" };
            add(format!("{} {} is {way}: {effect}", track.kind_shown(), track.name));
        }
        self.vmacs.iter().filter_map(|vmac| vmac.missing.clone()).for_each(&mut add);
        for Differing { peer, detail, .. } in &self.differences {
            add(format!("{peer} differs: {detail}"));
        }
        for Rejected { peer, detail, .. } in &self.rejected {
            let two = if is_master { ": two masters" } else { "" };
            add(format!("{peer} is not heard{two}: {detail}"));
        }
        if let Some(ReceptionFault { detail, .. }) = &self.reception_fault {
            add(detail.clone());
        }
        if let Some(removed_by) = &self.removed_by {
            add(format!("{removed_by} has removed an address, route or rule of it"));
        }
        for Lacking { object, error } in self.lacks.iter().take(LACKS) {
            add(format!("lacks {object}: {error}; retried every second"));
        }
        if self.lacks.len() > LACKS {
            add(format!("lacks {} more", self.lacks.len() - LACKS));
        }
        for Lacking { object, error } in self.leftovers.iter().take(LACKS) {
            add(format!("{object} cannot be removed: {error}; retried until it is gone"));
        }
        if self.leftovers.len() > LACKS {
            add(format!("{} more cannot be removed", self.leftovers.len() - LACKS));
        }
        if self.paths_left_alone {
            let until = "not set again until the next takeover or reload";
            add(format!("another process keeps removing its routes or rules: {until}"));
        }
        if is_master && self.lease_seconds.is_none() {
            let fate = if self.fenced { "no request is answered" } else { "requests are still answered" };
            add(format!("no lease, because its adverts do not leave: {fate}"));
        }
        if let Some(why) = &self.send_error {
            let cause = self.send_error_cause.as_deref().or_else(|| causes::of_error(why));
            let advice = cause.map(|it| format!("; {it}")).unwrap_or_default();
            add(format!("cannot send adverts: {why}{advice}"));
        }
        all.extend(self.slow_hook.iter().map(|hook| hook.problem(&self.name)));
        all.extend(failed_hooks(&self.name, &self.hooks));
        all
    }
}

impl Group {
    pub(super) fn problems(&self) -> impl Iterator<Item = Problem<'_>> {
        let slow = self.slow_hook.iter().map(|hook| hook.problem(&self.name));
        slow.chain(failed_hooks(&self.name, &self.hooks))
    }
}

impl SlowHook {
    fn problem<'a>(&self, about: &'a str) -> Problem<'a> {
        let Self { keyword, state, started, seconds, seconds_left } = self;
        let (started, ran, left) = (shown_of(started), rough(*seconds), rough(seconds_left.ceil()));
        let text = format!(
            "{keyword} for {state} has run for {ran}, since {started}; it is ended in {left}, and hooks of later \
             changes wait until then"
        );
        Problem { about, text }
    }
}

impl Check {
    /// The reason for holding it, and the last line it printed while it is down.
    pub(super) fn problems(&self) -> Vec<Problem<'_>> {
        let mut all = Vec::new();
        let mut add = |text: String| all.push(Problem { about: &self.name, text });
        if let Some(Held { reason, seconds }) = &self.held {
            let left = span(*seconds);
            add(match reason.as_str() {
                "flapping" => format!("held down because it flaps, until {left} pass without a change"),
                _ => format!("held down by {reason}; {left} to go"),
            });
        }
        if let Some(why) = &self.skipped {
            add(format!("cannot run ({why}); its last result stays in force"));
        }
        let last = self.output.as_deref().and_then(|output| output.lines().last());
        if let (Some(false), Some(last)) = (self.up, last) {
            add(format!("printed: {last}"));
        }
        all
    }
}

impl Fifo {
    fn problem(&self) -> Option<Problem<'_>> {
        let Self { path, lost, fault } = self;
        let mut text = format!("{path}: {}", fault.as_ref()?);
        match lost {
            0 => {}
            1 => text.push_str("; 1 line is lost"),
            _ => text.push_str(&format!("; {lost} lines are lost")),
        }
        Some(Problem { about: "notify_fifo", text })
    }
}

impl Mail {
    fn problem(&self) -> Option<Problem<'_>> {
        let Failure { why, .. } = self.latest_failure.as_ref().filter(|_| self.failing)?;
        Some(Problem { about: "mail", text: format!("{} took none at the last try: {why}", self.server) })
    }
}

impl Webhook {
    fn problem(&self) -> Option<Problem<'_>> {
        let Failure { why, .. } = self.latest_failure.as_ref().filter(|_| self.failing)?;
        Some(Problem { about: "webhook", text: format!("{} failed at the last try: {why}", self.webhook) })
    }
}

/// Those of the latest runs that failed, and concern the present state and configuration.
fn failed_hooks<'a>(about: &'a str, hooks: &'a [Hook]) -> impl Iterator<Item = Problem<'a>> {
    hooks.iter().filter(|hook| !hook.success && !hook.is_past).map(move |hook| {
        let mut text = format!("{} for {} ended with: {}", hook.keyword, hook.state, hook.ended);
        if let Some(last) = last_line(hook) {
            text.push_str(&format!("; it printed: {last}"));
        }
        Problem { about, text }
    })
}

/// The last line that hooks without a problem printed, shown beside those with one.
pub(super) fn printing_hooks<'a>(about: &'a str, hooks: &'a [Hook]) -> impl Iterator<Item = Problem<'a>> {
    hooks.iter().filter(|hook| hook.success && !hook.is_past).filter_map(move |hook| {
        let text = format!("{} for {} printed: {}", hook.keyword, hook.state, last_line(hook)?);
        Some(Problem { about, text })
    })
}

fn last_line(hook: &Hook) -> Option<&str> {
    hook.output.as_deref().and_then(|output| output.lines().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hides_adverts_is_named_with_the_way_to_unload_it() {
        let of = |name: &str| {
            let interface = Interface {
                name: "eth0".to_owned(),
                receive_path: "tcx".to_owned(),
                why: None,
                hidden_by: Some(XdpProgram { id: 12, name: name.to_owned() }),
            };
            interface.problem().map(|it| it.text).unwrap_or_default()
        };
        assert!(of("drop_vrrp").contains("(drop_vrrp, id 12)"), "{}", of("drop_vrrp"));
        assert!(of("").contains("(id 12)") && of("").contains("ip link set dev eth0 xdp off"), "{}", of(""));
        // Without the dispatcher, the programs of its other users would end too.
        assert!(of(LIBXDP).contains("xdp-loader status eth0") && !of(LIBXDP).contains("xdp off"));
    }
}
