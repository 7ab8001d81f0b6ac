//! Adverts as they come, each with the verdict that this node would give.
//!
//! Enters: a configuration, and frames of an interface. Leaves: a line for each, at most 80 columns wide, and once for
//! each reason of a refusal what to compare. The checks are those of the daemon, on its rules; signatures are verified.

use std::collections::HashSet;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use vrrp_ebpf::map::InstanceRules;
use vrrp_ebpf::wire::address::{narrow, widen};
use vrrp_ebpf::wire::frame::{self, Frame};
use vrrp_ebpf::wire::{Family, Reject, advert, checksum, judge_sender};

use super::sighting::{Content, Seen, Sighting, message};
use crate::config::{Config, InstanceSettings, padded, width};
use crate::daemon::host::attach::rules::{allowed_peers, expected};
use crate::daemon::process::fit::Host;
use crate::daemon::status::detail;
use crate::daemon::wall::clock_millis;
use crate::driver::clock;
use crate::driver::socket::CapturedFrame;
use crate::protocol::auth::{AhVerifier, GROUP_SENDERS, Verifier};
use crate::protocol::{Auth, InstanceId, Unicast};

/// Columns of a line.
const WIDTH: usize = 80;
/// Least columns of an instance's name, or of the VRID without one.
const NAME: usize = 10;
/// Columns of the time.
pub const TIME: usize = "12:00:00.000".len();

/// What this node makes of an advert.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Sent by this host.
    Own,
    /// Its VRID, family or VLAN is of no instance here.
    NoInstance,
    Carp,
    Refused(Reject),
    /// A release.
    Release,
    /// By priority alone; of equal ones the address decides.
    Better,
    Equal,
    Lower,
}

/// The instances of an interface, ready to judge.
#[derive(Debug)]
pub struct Tracer<'a> {
    judges: Vec<Judge<'a>>,
    /// Only adverts of this instance's VRID and family are shown.
    only: Option<usize>,
    explained: HashSet<Reject>,
}

#[derive(Debug)]
struct Judge<'a> {
    settings: &'a InstanceSettings,
    rules: InstanceRules,
    gate: Gate,
}

/// Verification of signatures.
#[derive(Debug)]
enum Gate {
    None,
    Hmac(Box<Verifier>),
    Ah(Box<AhVerifier>),
}

impl<'a> Tracer<'a> {
    /// For the instances on `interface`, all of them or the one of this name.
    pub fn new(config: &'a Config, interface: &str, name: Option<&str>, host: &Host) -> Self {
        let here = config.instances.iter().map(|it| &it.settings).filter(|it| &*it.interface == interface);
        let judges: Vec<Judge<'_>> = here.map(|settings| Judge::new(settings, host)).collect();
        let only = name.and_then(|name| judges.iter().position(|judge| &*judge.settings.name == name));
        Self { judges, only, explained: HashSet::new() }
    }

    /// The line for a frame, and one more for the first refusal of its kind. `None`: no VRRP, or of another instance
    /// than the one asked for.
    pub fn line(&mut self, caught: &CapturedFrame<'_>) -> Option<String> {
        let sighting = Sighting::read(caught).filter(|it| !matches!(it.content, Content::Probe(_)))?;
        let frame = frame::dissect(caught.frame, caught.vlan).ok()?;
        let of = |judge: &Judge<'_>| {
            let settings = judge.settings;
            frame.vlan == 0 && settings.vrid.number() == frame.vrid && settings.family == frame.family
        };
        let index = self.judges.iter().position(of);
        if self.only.is_some() && self.only != index {
            return None;
        }
        let judge = index.and_then(|index| self.judges.get_mut(index));
        let vrid = || format!("vrid {}", frame.vrid);
        let name = judge.as_ref().map_or_else(vrid, |judge| judge.settings.name.to_string());
        let outcome = match (judge, &sighting.content) {
            _ if sighting.is_own => Outcome::Own,
            (_, Content::Carp) => Outcome::Carp,
            (None, _) => Outcome::NoInstance,
            (Some(judge), _) => judge.outcome(caught.frame, &frame),
        };
        let names = self.judges.iter().map(|judge| width(&judge.settings.name));
        let longest = names.max().map_or(NAME, |longest| longest.max(NAME));
        let mut text = line(&name, longest, &sighting, outcome);
        if let Outcome::Refused(reject) = outcome
            && self.explained.insert(reject)
            && let Some(why) = detail(reject)
        {
            let _ = write!(text, "\n{:TIME$} {reject}: {why}", "");
        }
        Some(text)
    }
}

impl<'a> Judge<'a> {
    fn new(settings: &'a InstanceSettings, host: &Host) -> Self {
        let source = settings.source.or_else(|| source(settings, host));
        let room = settings.unicast.as_ref().map_or(GROUP_SENDERS, |unicast| unicast.peers.len());
        let gate = match &settings.auth {
            Auth::Hmac(hmac) => {
                let peers = |unicast: &Unicast| unicast.peers.iter().map(|peer| peer.address).collect();
                let senders = settings.unicast.as_ref().map(peers);
                Gate::Hmac(Box::new(Verifier::new(hmac.clone(), settings.family, senders, room)))
            }
            Auth::Ah(password) => AhVerifier::new(password, settings.unicast.is_some(), room)
                .map_or(Gate::None, |guard| Gate::Ah(Box::new(guard))),
            Auth::None | Auth::Pass(_) => Gate::None,
        };
        Self { settings, rules: expected(settings, source), gate }
    }

    fn outcome(&mut self, bytes: &[u8], frame: &Frame) -> Outcome {
        match self.judge(bytes, frame) {
            Err(Reject::Carp) => Outcome::Carp,
            Err(reject) => Outcome::Refused(reject),
            Ok(0) => Outcome::Release,
            Ok(priority) => match priority.cmp(&self.settings.priority.0) {
                std::cmp::Ordering::Less => Outcome::Lower,
                std::cmp::Ordering::Equal => Outcome::Equal,
                std::cmp::Ordering::Greater => Outcome::Better,
            },
        }
    }

    /// The priority of a valid advert.
    fn judge(&mut self, bytes: &[u8], frame: &Frame) -> Result<u8, Reject> {
        advert::judge_header(frame, |at, length| advert::header_sum(bytes, at, length))?;
        advert::judge_length(bytes, frame)?;
        advert::judge_envelope(frame, &self.rules)?;
        if self.rules.unicast == InstanceRules::ALLOWED_PEERS_ONLY {
            let allowed = allowed_peers(InstanceId(0), self.settings);
            let peer = allowed.iter().find(|(key, _)| key.source == frame.source).map(|(_, peer)| *peer);
            judge_sender(frame, peer)?;
        }
        let octets = message(bytes, frame).ok_or(Reject::Truncated)?;
        let sum = |length| octets.get(..length).map(checksum::sum);
        let (info, _) = advert::judge_message(bytes, frame, &self.rules, sum)?;
        let source = narrow(frame.family, frame.source);
        match &mut self.gate {
            Gate::None => {}
            Gate::Hmac(verifier) => {
                verifier.admit(octets, source, clock::time_of_day())?;
            }
            Gate::Ah(guard) => {
                let packet = bytes.get(frame.ip..frame.at + frame.length).ok_or(Reject::Truncated)?;
                guard.admit(packet, source)?;
            }
        }
        Ok(info.priority)
    }
}

/// The address that the daemon would send from: the first one of the interface, link-local with IPv6.
pub(super) fn source(settings: &InstanceSettings, host: &Host) -> Option<IpAddr> {
    let index = host.links.iter().find(|(_, name)| *name == *settings.interface).map(|(index, _)| *index)?;
    let fits = |address: IpAddr| match (settings.family, address) {
        (Family::V4, IpAddr::V4(_)) => true,
        (Family::V6, IpAddr::V6(address)) => address.is_unicast_link_local(),
        _ => false,
    };
    let own = host.addresses.iter().filter(|it| it.ifindex == index && !it.marked && it.usable);
    own.map(|it| it.address).find(|address| fits(*address) && widen(*address) != [0; 16])
}

fn line(name: &str, name_width: usize, sighting: &Sighting, outcome: Outcome) -> String {
    let time = clock_millis(UNIX_EPOCH.checked_add(sighting.at).unwrap_or(UNIX_EPOCH));
    let vlan = if sighting.vlan == 0 { String::new() } else { format!(" vlan {}", sighting.vlan) };
    let mut text = format!("{time} {} {}{vlan}", padded(name, name_width), sighting.source);
    let verdict = verdict(outcome);
    if let Content::Advert(seen) = &sighting.content {
        let _ = write!(
            text,
            " v{} {} {}s",
            seen.version as u8,
            seen.priority,
            seen.interval.duration().as_secs_f64()
        );
        let room = WIDTH.saturating_sub(width(&text) + width(&verdict) + 3);
        let addresses = addresses(seen, room);
        if !addresses.is_empty() {
            let _ = write!(text, " {addresses}");
        }
    }
    let _ = write!(text, ": {verdict}");
    text
}

/// As many addresses as fit into this many columns, and the number of the others.
fn addresses(seen: &Seen, room: usize) -> String {
    for count in (0..=seen.addresses.len()).rev() {
        let shown: Vec<String> = seen.addresses.iter().take(count).map(ToString::to_string).collect();
        let mut text = shown.join(" ");
        if count < seen.addresses.len() {
            let separator = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{separator}+{}", seen.addresses.len() - count);
        }
        if width(&text) <= room {
            return text;
        }
    }
    String::new()
}

fn verdict(outcome: Outcome) -> String {
    match outcome {
        Outcome::Own => "sent",
        Outcome::NoInstance => "no instance",
        Outcome::Carp => "CARP",
        Outcome::Refused(reject) => return format!("refused {reject}"),
        Outcome::Release => "release",
        Outcome::Better => "better",
        Outcome::Equal => "equal",
        Outcome::Lower => "lower",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vrrp_ebpf::wire::ChecksumForm;
    use vrrp_ebpf::wire::advert::{Auth as AuthData, Dialect};

    use super::super::sighting::tests::{V3, advert, caught};
    use super::*;

    fn config(lines: &str) -> Config {
        let text = format!(
            "vrrp_instance web {{\ninterface eth0\nvirtual_router_id 51\n{lines}\nvirtual_ipaddress {{\n192.0.2.100/24\n}}\n}}\n"
        );
        crate::config::parse("t", &text).unwrap().config
    }

    fn traced(lines: &str, frame: &[u8], vlan: u16) -> Option<String> {
        let config = config(lines);
        let mut tracer = Tracer::new(&config, "eth0", None, &Host::default());
        tracer.line(&caught(frame, vlan, 3_723_004))
    }

    fn v3(vrid: u8, priority: u8, ttl: u8) -> Vec<u8> {
        advert(9, vrid, priority, ttl, V3, ChecksumForm::Pseudo)
    }

    #[test]
    fn a_line_has_the_advert_and_the_verdict() {
        let line = |priority| traced("version 3\npriority 100", &v3(51, priority, 255), 0).unwrap();
        let local = clock_millis(UNIX_EPOCH + Duration::from_millis(3_723_004));
        assert_eq!(line(110), format!("{local} web        192.0.2.9 v3 110 1s 192.0.2.100: better"));
        for (priority, verdict) in [(100, "equal"), (90, "lower"), (0, "release")] {
            assert!(line(priority).ends_with(&format!(": {verdict}")), "{}", line(priority));
        }
        let other = traced("version 3", &v3(52, 100, 255), 0).unwrap();
        assert!(other.contains(" vrid 52    192.0.2.9 v3") && other.ends_with(": no instance"), "{other}");
        let tagged = traced("version 3", &v3(51, 100, 255), 7).unwrap();
        assert!(tagged.contains(" vlan 7 ") && tagged.ends_with(": no instance"), "{tagged}");
    }

    #[test]
    fn a_refusal_is_explained_once() {
        let config = config("authentication {\nauth_type PASS\nauth_pass secret\n}");
        let mut tracer = Tracer::new(&config, "eth0", Some("web"), &Host::default());
        let of = |password: &[u8; 8]| {
            let dialect = Dialect::V2 { seconds: 1, auth: AuthData::Pass(*password) };
            advert(9, 51, 110, 255, dialect, ChecksumForm::Plain)
        };
        let other = of(b"other\0\0\0");
        let first = tracer.line(&caught(&other, 0, 0)).unwrap();
        assert!(first.contains(": refused auth_data\n") && first.ends_with("(`auth_pass`)"), "{first}");
        assert!(first.lines().all(|line| line.chars().count() <= WIDTH), "{first}");
        assert!(tracer.line(&caught(&other, 0, 0)).unwrap().ends_with(": refused auth_data"));
        assert!(tracer.line(&caught(&of(b"secret\0\0"), 0, 0)).unwrap().ends_with(": better"));
        assert_eq!(tracer.line(&caught(&v3(52, 1, 255), 0, 0)), None, "of another VRID");
    }

    #[test]
    fn the_checks_are_those_of_the_daemon() {
        for (lines, frame, word) in [
            ("version 3", v3(51, 100, 64), "ttl"),
            ("version 2", v3(51, 100, 255), "version_mismatch"),
            (
                "version 3\nunicast_src_ip 192.0.2.10\nunicast_peer {\n192.0.2.9\n}",
                v3(51, 100, 255),
                "destination",
            ),
            ("version 3\nmcast_src_ip 192.0.2.9", v3(51, 100, 255), "own_source"),
        ] {
            let line = traced(lines, &frame, 0).unwrap();
            assert!(line.contains(&format!(": refused {word}\n")), "{line}");
        }
    }

    #[test]
    fn addresses_give_way_to_the_verdict() {
        let mut sighting = Sighting::read(&caught(&v3(51, 100, 255), 0, 0)).unwrap();
        if let Content::Advert(seen) = &mut sighting.content {
            seen.addresses = (0..20).map(|last| IpAddr::from([192, 0, 2, last])).collect();
        }
        let text = line("ten-letter", NAME, &sighting, Outcome::Refused(Reject::VersionMismatch));
        assert!(text.chars().count() <= WIDTH && text.contains(" +20: refused version_mismatch"), "{text}");
        // Names are whole, so that they tell instances apart.
        let text = line("customer_1_web", 16, &sighting, Outcome::Better);
        assert!(text.contains(":00.000 customer_1_web   192.0.2.9 v3"), "{text}");
        let text = line("数据库", NAME, &sighting, Outcome::Better);
        assert!(text.contains(":00.000 数据库     192.0.2.9 v3"), "{text}");
    }
}
