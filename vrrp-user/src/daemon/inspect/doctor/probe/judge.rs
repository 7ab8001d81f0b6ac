//! Findings of a trial.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::wire::Family;

use super::super::finding::{Findings, Level};
use super::super::interfaces::on;
use super::ways::ways;
use super::{Known, TEST_V4, TEST_V6, Tried};
use crate::config::{Config, InstanceSettings};

pub(super) fn judge(
    config: &Config,
    name: &str,
    tried: &Tried,
    (known, span): (&Known, Duration),
    findings: &mut Findings,
) {
    for (peer, answer) in &tried.peers {
        peer_answers(name, *peer, *answer, tried, findings);
    }
    if !tried.left_out.is_empty() {
        findings.skip(format!("{name}: {} more peers are not tried", tried.left_out.len()));
    }
    let settings: Vec<&InstanceSettings> = on(config, name).collect();
    settings.iter().for_each(|it| adverts_arrive(name, it, (tried, span), findings));
    ways(name, tried, findings);
    let groups: BTreeSet<IpAddr> =
        settings.iter().filter(|it| it.unicast.is_none()).map(|it| it.group()).collect();
    groups.iter().for_each(|group| group_answers(name, *group, tried, known, findings));
    for family in [Family::V4, Family::V6] {
        if groups.iter().any(|group| Family::of(*group) == family) {
            querier_asks(name, family, tried, findings);
        }
    }
}

fn peer_answers(name: &str, peer: IpAddr, answer: Option<Duration>, tried: &Tried, findings: &mut Findings) {
    let asked = if peer.is_ipv4() { "ARP request" } else { "neighbour solicitation" };
    match answer {
        Some(_) => findings.ok(format!("{name}: {peer} answers an echo request: packets pass both ways")),
        None if tried.resolved.contains(&peer) => findings.warn(
            format!("{name}: {peer} was there in the last minute, and answers no echo request: a firewall, there or between"),
            "adverts may pass all the same, or not: allow ICMP echo and protocol 112 there",
        ),
        None if tried.unresolved.contains(&peer) => findings.fail(
            format!("{name}: {peer} answers no {asked}: it is down, or on another LAN"),
            "look at that host, at the cable, at the VLAN and the port of the switch",
        ),
        None => findings.fail(
            format!("{name}: {peer} answers no echo request"),
            format!("ip route get {peer}; look at that host, and at firewalls between"),
        ),
    }
}

/// The adverts of others, and our own.
fn adverts_arrive(
    name: &str,
    settings: &InstanceSettings,
    (tried, span): (&Tried, Duration),
    findings: &mut Findings,
) {
    let (instance, vrid) = (&settings.name, settings.vrid.number());
    let is_v6 = settings.family == Family::V6;
    let all = || tried.adverts.iter().filter(|it| (it.vrid, it.is_v6) == (vrid, is_v6));
    let others: Vec<String> = all().filter(|it| !it.is_own).map(|it| it.source.to_string()).collect();
    let interval = settings.advert_interval.duration();
    match (all().any(|it| it.is_own), others.join(", ")) {
        (true, none) if none.is_empty() => {
            findings.ok(format!("{instance}: this host sends the adverts of VRID {vrid} on {name}"));
        }
        (true, others) => findings.fail(
            format!("{instance}: this host and {others} send adverts of VRID {vrid}: two masters"),
            "vrrpx status on each of them names the reason",
        ),
        (false, none) if none.is_empty() && interval >= span => {
            let (interval, span) = (interval.as_secs_f64(), span.as_secs());
            findings.skip(format!("{instance}: one advert in {interval} s cannot be awaited in {span} s"));
        }
        (false, none) if none.is_empty() => findings.warn(
            format!("{instance}: no advert of VRID {vrid} in {} s: there is no master, or its adverts do not arrive", span.as_secs()),
            "vrrpx status on the other nodes; look at VLANs, at snooping, and with unicast at `unicast_peer` there",
        ),
        (false, others) => {
            findings.ok(format!("{instance}: adverts of VRID {vrid} arrive from {others}"));
        }
    }
}

/// A group that answers has the same way through switches as adverts have.
fn group_answers(name: &str, group: IpAddr, tried: &Tried, known: &Known, findings: &mut Findings) {
    let family = Family::of(group);
    if known.is_running && !tried.joined.contains(&group) {
        findings.fail(
            format!("{name}: a daemon runs, and this host is no member of {group}: switches may keep adverts from it"),
            "vrrpx status --verbose has the receive path; vrrpx reload joins the group again",
        );
    }
    let of_peers = tried.peers.iter().filter(|(_, answer)| answer.is_some()).map(|(peer, _)| *peer);
    let has_peers = of_peers.clone().any(|peer| Family::of(peer) == family);
    let members: Vec<String> =
        tried.members.get(&group).into_iter().flatten().map(ToString::to_string).collect();
    match (members.join(", "), family) {
        (none, Family::V4) if none.is_empty() => findings.add(
            Level::Skip,
            format!(
                "{name}: no router answers an echo request to {group}, which proves nothing: Linux ignores it"
            ),
            Some(
                "sysctl -w net.ipv4.icmp_echo_ignore_broadcasts=0 on the peers, for the time of a trial"
                    .to_owned(),
            ),
        ),
        (none, Family::V6) if none.is_empty() && has_peers => findings.warn(
            format!("{name}: no router answers an echo request to {group}, although a peer is there"),
            "is VRRP running there? look at MLD snooping: vrrpx trace on both nodes",
        ),
        (none, Family::V6) if none.is_empty() => {
            findings.skip(format!("{name}: no router answers an echo request to {group}"));
        }
        (members, _) => {
            findings
                .ok(format!("{name}: {members} answers an echo request to {group}: multicast passes to it"));
        }
    }
}

/// A querier asks at once whether a group that was left has other members.
fn querier_asks(name: &str, family: Family, tried: &Tried, findings: &mut Findings) {
    let (protocol, test) = match family {
        Family::V4 => ("IGMP", IpAddr::from(TEST_V4)),
        Family::V6 => ("MLD", IpAddr::from(TEST_V6)),
    };
    let queriers: Vec<String> =
        tried.queriers.iter().filter(|it| Family::of(**it) == family).map(ToString::to_string).collect();
    if queriers.is_empty() {
        findings.add(
            Level::Skip,
            format!("{name}: no {protocol} querier asks about {test}, which was joined and left: fine without snooping"),
            Some(format!("where a switch snoops, let it or a router send {protocol} queries")),
        );
    } else {
        findings.ok(format!(
            "{name}: {} sends {protocol} queries: snooping keeps the group",
            queriers.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use vrrp_ebpf::wire::ipv4;

    use super::super::super::tests::instance;
    use super::super::Seen;
    use super::*;

    const SPAN: Duration = Duration::from_secs(3);

    const PEER: [u8; 4] = [192, 0, 2, 12];

    fn judged(lines: &str, tried: &Tried, is_running: bool) -> Vec<String> {
        let mut findings = Findings { check: "probe", list: Vec::new() };
        let known = Known { is_running, ..Known::default() };
        judge(&instance(lines, "192.0.2.1/24"), "eth0", tried, (&known, SPAN), &mut findings);
        findings.list.iter().map(|it| format!("{} {}", it.level.as_str().trim(), it.text)).collect()
    }

    fn has(lines: &[String], expected: &str) {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected}: {lines:#?}");
    }

    fn advert(source: [u8; 4], is_own: bool) -> Seen {
        Seen { vrid: 51, is_v6: false, source: source.into(), is_own }
    }

    #[test]
    fn an_echo_request_that_is_not_answered_has_the_reason_that_the_kernel_knows() {
        let peer = IpAddr::from(PEER);
        let of = |tried: Tried| {
            let tried = Tried { peers: [(peer, tried.peers.get(&peer).copied().flatten())].into(), ..tried };
            judged("", &tried, false)
        };
        let answered = Tried { peers: [(peer, Some(Duration::from_millis(1)))].into(), ..Tried::default() };
        has(&of(answered), "ok eth0: 192.0.2.12 answers an echo request: packets pass both ways");
        has(&of(Tried::default()), "FAIL eth0: 192.0.2.12 answers no echo request");
        let resolved = Tried { resolved: [peer].into(), ..Tried::default() };
        has(&of(resolved), "warn eth0: 192.0.2.12 was there in the last minute, and answers no echo request");
        let unresolved = Tried { unresolved: [peer].into(), ..Tried::default() };
        has(&of(unresolved), "FAIL eth0: 192.0.2.12 answers no ARP request");
    }

    #[test]
    fn adverts_are_named_by_their_senders() {
        let of = |lines: &str, adverts: &[Seen]| {
            judged(lines, &Tried { adverts: adverts.iter().copied().collect(), ..Tried::default() }, false)
        };
        let (theirs, ours) = (advert(PEER, false), advert([192, 0, 2, 10], true));
        has(&of("", &[theirs]), "ok web: adverts of VRID 51 arrive from 192.0.2.12");
        has(&of("", &[ours]), "ok web: this host sends the adverts of VRID 51 on eth0");
        has(
            &of("", &[ours, theirs]),
            "FAIL web: this host and 192.0.2.12 send adverts of VRID 51: two masters",
        );
        has(&of("", &[]), "warn web: no advert of VRID 51 in 3 s");
        has(&of("advert_int 10", &[]), "skip web: one advert in 10 s cannot be awaited");
        has(&of("", &[Seen { vrid: 52, ..theirs }]), "warn web: no advert of VRID 51 in 3 s");
    }

    #[test]
    fn a_group_is_proved_by_an_answer_and_a_querier_by_its_query() {
        let silent = judged("", &Tried::default(), true);
        has(&silent, "FAIL eth0: a daemon runs, and this host is no member of 224.0.0.18");
        has(&silent, "skip eth0: no router answers an echo request to 224.0.0.18, which proves nothing");
        has(&silent, "skip eth0: no IGMP querier asks about 239.255.112.18");
        let (peer, group) = (IpAddr::from(PEER), IpAddr::from(ipv4::GROUP));
        let (members, queriers) = ([(group, BTreeSet::from([peer]))].into(), BTreeSet::from([peer]));
        let tried = Tried { members, queriers, joined: [group].into(), ..Tried::default() };
        let lines = judged("", &tried, true);
        has(&lines, "ok eth0: 192.0.2.12 answers an echo request to 224.0.0.18: multicast passes to it");
        has(&lines, "ok eth0: 192.0.2.12 sends IGMP queries");
        assert!(!lines.iter().any(|line| line.contains("no member")), "{lines:#?}");
        let other = judged("mcast_dst_ip 239.1.1.1", &tried, true);
        has(&other, "FAIL eth0: a daemon runs, and this host is no member of 239.1.1.1");
        has(&other, "skip eth0: no router answers an echo request to 239.1.1.1");
        let unicast = judged("unicast_peer {\n192.0.2.12\n}", &Tried::default(), true);
        assert!(
            !unicast.iter().any(|line| line.contains("224.0.0.18") || line.contains("IGMP")),
            "{unicast:#?}"
        );
    }
}
