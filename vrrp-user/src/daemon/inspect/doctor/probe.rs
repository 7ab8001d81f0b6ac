//! Trials of the link between this host and its peers, without an effect on any election.
//!
//! Enters: a configuration, and what a daemon knows of its peers. Leaves: [`Tried`] for each interface, and findings.
//! Sent are echo requests, to each peer and to the group, and the kernel's reports of joined groups; a test group is
//! left again, which a querier asks about at once. Absent: adverts. A backup that sends one makes others answer, yield
//! or count a refusal; so nothing here proves that the peers receive adverts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::{Family, ipv4, ipv6};

use super::Facts;
use super::finding::{Finding, Findings, Level};
use super::interfaces::{here, on};
use crate::config::{Config, InstanceSettings};
use crate::daemon::inspect::sighting::{Content, Sighting};
use crate::driver::clock;
use crate::driver::netlink::neighbour::neighbours;
use crate::driver::socket::{EchoSocket, Membership, QueryTap, Tap, is_member};

/// How long the link is listened to, as the time for answers.
const SPAN: Duration = Duration::from_secs(3);

/// Between two looks at the sockets.
const LOOK: Duration = Duration::from_millis(20);

/// When the test groups are left, and when what was not answered is asked once more.
const LEAVES: Duration = Duration::from_millis(300);
const AGAIN: Duration = Duration::from_millis(800);

/// Interfaces, and peers of each, that are tried.
const INTERFACES: usize = 16;
const PEERS: usize = 16;

/// Groups without another use: of the organisation, and of the link.
const TEST_V4: [u8; 4] = [239, 255, 112, 18];
const TEST_V6: [u16; 8] = [0xff12, 0, 0, 0, 0, 0, 0x112, 0x18];

/// What is known beforehand.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// A daemon runs here.
    pub is_running: bool,
    /// Peers that it has heard, by instance.
    pub peers: BTreeMap<String, BTreeSet<IpAddr>>,
}

/// An advert that was seen.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Seen {
    vrid: u8,
    is_v6: bool,
    source: IpAddr,
    is_own: bool,
}

/// What was tried on an interface, and its outcome.
#[derive(Clone, Debug, Default)]
struct Tried {
    /// Time to the answer of each peer; `None` without one.
    peers: BTreeMap<IpAddr, Option<Duration>>,
    /// Peers beyond the number that is tried.
    left_out: BTreeSet<IpAddr>,
    /// Peers that have answered the kernel lately, and those that it has looked for in vain.
    resolved: BTreeSet<IpAddr>,
    unresolved: BTreeSet<IpAddr>,
    /// The hosts that have answered a request to a group, by group.
    members: BTreeMap<IpAddr, BTreeSet<IpAddr>>,
    adverts: BTreeSet<Seen>,
    queriers: BTreeSet<IpAddr>,
    /// Groups of which this host was a member before.
    joined: BTreeSet<IpAddr>,
}

/// Tries every interface of the configuration at once; the findings take about three seconds.
pub fn probe(config: &Config, facts: &Facts, known: &Known) -> Vec<Finding> {
    let all = here(config, facts);
    let (tried, rest) = all.split_at(all.len().min(INTERFACES));
    let outcomes: Vec<(&str, io::Result<Tried>)> = thread::scope(|scope| {
        let threads: Vec<_> = tried
            .iter()
            .map(|(name, ifindex)| (*name, scope.spawn(|| Trial::new(config, name, *ifindex, known)?.run())))
            .collect();
        let outcome = |thread: thread::ScopedJoinHandle<'_, io::Result<Tried>>| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the trial has panicked")))
        };
        threads.into_iter().map(|(name, thread)| (name, outcome(thread))).collect()
    });
    let mut findings = Findings { check: "probe", list: Vec::new() };
    for (name, outcome) in &outcomes {
        match outcome {
            Ok(tried) => judge(config, name, tried, known, &mut findings),
            Err(error) => findings.warn(
                format!("{name}: nothing could be tried: {error}"),
                "run as root: it needs CAP_NET_RAW; the interface must be up",
            ),
        }
    }
    if !rest.is_empty() {
        findings.skip(format!("{} more interfaces are not tried", rest.len()));
    }
    findings.list
}

/// A trial on one interface.
struct Trial<'a> {
    ifindex: u32,
    settings: Vec<&'a InstanceSettings>,
    /// For peers, by family.
    echoes: Vec<(Family, EchoSocket)>,
    /// For groups: a peer answers these beside those to itself.
    groups: Vec<(IpAddr, EchoSocket)>,
    tap: Tap,
    queries: QueryTap,
    tried: Tried,
}

/// The group that adverts of an instance are sent to.
pub(super) fn group(settings: &InstanceSettings) -> IpAddr {
    settings.group.unwrap_or_else(|| match settings.family {
        Family::V4 => ipv4::GROUP.into(),
        Family::V6 => ipv6::GROUP.into(),
    })
}

impl<'a> Trial<'a> {
    fn new(config: &'a Config, name: &str, ifindex: u32, known: &Known) -> io::Result<Self> {
        let settings: Vec<&InstanceSettings> = on(config, name).collect();
        let mut tried = Tried::default();
        for it in &settings {
            let of_file = it.unicast.iter().flat_map(|unicast| unicast.peers.iter().map(|peer| peer.address));
            let heard = known.peers.get(&*it.name).into_iter().flatten().copied();
            for peer in of_file.chain(heard) {
                if tried.peers.len() < PEERS {
                    tried.peers.insert(peer, None);
                } else if !tried.peers.contains_key(&peer) {
                    tried.left_out.insert(peer);
                }
            }
        }
        let multicast = settings.iter().filter(|it| it.unicast.is_none());
        let of_group: BTreeSet<IpAddr> = multicast.map(|it| group(it)).collect();
        tried.joined = of_group.iter().copied().filter(|group| is_member(*group, ifindex)).collect();
        let identifier = u16::try_from(std::process::id() & 0xffff).unwrap_or_default();
        let open = |family, identifier| EchoSocket::open(family, ifindex, identifier);
        let mut echoes = Vec::new();
        for family in [Family::V4, Family::V6] {
            if settings.iter().any(|it| it.family == family) {
                echoes.push((family, open(family, identifier)?));
            }
        }
        let mut groups = Vec::new();
        // Each raw socket receives the replies to all.
        for (group, number) in of_group.iter().zip(1..) {
            groups.push((*group, open(Family::of(*group), identifier.wrapping_add(number))?));
        }
        let joined: Vec<IpAddr> = of_group.into_iter().collect();
        let (tap, queries) = (Tap::open(ifindex, &joined)?, QueryTap::open(ifindex)?);
        Ok(Self { ifindex, settings, echoes, groups, tap, queries, tried })
    }

    fn run(mut self) -> io::Result<Tried> {
        let began = clock::now();
        let tests = [IpAddr::from(TEST_V4), IpAddr::from(TEST_V6)];
        let mut memberships: Vec<Membership> = Vec::new();
        if !self.groups.is_empty() {
            memberships.extend(tests.iter().filter_map(|test| Membership::join(*test, self.ifindex).ok()));
        }
        self.ask();
        let mut is_second = false;
        loop {
            let passed = clock::now().since(began);
            if passed >= SPAN {
                break;
            }
            if passed >= LEAVES {
                memberships.clear();
            }
            if passed >= AGAIN && !is_second {
                is_second = true;
                self.ask();
            }
            self.listen(began)?;
        }
        for (address, ifindex, has_answered) in neighbours().unwrap_or_default() {
            if ifindex == self.ifindex && self.tried.peers.contains_key(&address) {
                let set = if has_answered { &mut self.tried.resolved } else { &mut self.tried.unresolved };
                set.insert(address);
            }
        }
        Ok(self.tried)
    }

    /// Asks the groups, and the peers that have not answered. One that this host cannot send to does not answer.
    fn ask(&self) {
        let is_silent = |group: &IpAddr| !self.tried.members.contains_key(group);
        for (group, socket) in self.groups.iter().filter(|(group, _)| is_silent(group)) {
            let _ = socket.ask(*group);
        }
        for (peer, _) in self.tried.peers.iter().filter(|(_, answer)| answer.is_none()) {
            self.ask_peer(*peer);
        }
    }

    fn ask_peer(&self, peer: IpAddr) {
        let socket = self.echoes.iter().find(|(family, _)| *family == Family::of(peer));
        let _ = socket.map(|(_, socket)| socket.ask(peer));
    }

    /// Takes what has come, and waits for a moment.
    fn listen(&mut self, began: Timestamp) -> io::Result<()> {
        let mut seen = None;
        self.tap.next(LOOK, |caught| seen = Sighting::read(&caught))?;
        let is_advert = |it: &Sighting| it.vlan == 0 && matches!(it.content, Content::Advert(_));
        if let Some(it) = seen.filter(is_advert).filter(|it| self.is_ours(it))
            && self.tried.adverts.len() < PEERS * self.settings.len()
        {
            let (vrid, is_v6) = (it.vrid, it.family == Family::V6);
            self.tried.adverts.insert(Seen { vrid, is_v6, source: it.source, is_own: it.is_own });
            self.meet(&it);
        }
        for (_, socket) in &self.echoes {
            for source in socket.answers()? {
                if let Some(answer) = self.tried.peers.get_mut(&source) {
                    answer.get_or_insert(clock::now().since(began));
                }
            }
        }
        for (group, socket) in &self.groups {
            let answers = socket.answers()?;
            if !answers.is_empty() {
                self.tried.members.entry(*group).or_default().extend(answers);
            }
        }
        self.tried.queriers.extend(self.queries.queriers()?);
        Ok(())
    }

    fn is_ours(&self, it: &Sighting) -> bool {
        self.settings.iter().any(|own| own.vrid.number() == it.vrid && own.family == it.family)
    }

    /// Asks a sender of adverts of ours that was not known before.
    fn meet(&mut self, it: &Sighting) {
        let has_room = self.tried.peers.len() < PEERS && !self.tried.peers.contains_key(&it.source);
        if !it.is_own && has_room {
            self.tried.peers.insert(it.source, None);
            self.ask_peer(it.source);
        }
    }
}

fn judge(config: &Config, name: &str, tried: &Tried, known: &Known, findings: &mut Findings) {
    for (peer, answer) in &tried.peers {
        peer_answers(name, *peer, *answer, tried, findings);
    }
    if !tried.left_out.is_empty() {
        findings.skip(format!("{name}: {} more peers are not tried", tried.left_out.len()));
    }
    let settings: Vec<&InstanceSettings> = on(config, name).collect();
    settings.iter().for_each(|it| adverts_arrive(name, it, tried, findings));
    let groups: BTreeSet<IpAddr> =
        settings.iter().filter(|it| it.unicast.is_none()).map(|it| group(it)).collect();
    groups.iter().for_each(|group| group_answers(name, *group, tried, known, findings));
    for family in [Family::V4, Family::V6] {
        if groups.iter().any(|group| Family::of(*group) == family) {
            querier_asks(name, family, tried, findings);
        }
    }
    let own = tried.adverts.iter().any(|seen| seen.is_own);
    let text = match own {
        true => {
            format!("{name}: adverts leave this host; that its peers receive them is not proved from here")
        }
        false => {
            format!("{name}: that its peers would receive adverts of this host is not proved: it sends none")
        }
    };
    findings.add(Level::Skip, text, Some(format!("vrrpx trace {name} on a peer shows what arrives there")));
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
fn adverts_arrive(name: &str, settings: &InstanceSettings, tried: &Tried, findings: &mut Findings) {
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
        (false, none) if none.is_empty() && interval >= SPAN => {
            let (interval, span) = (interval.as_secs_f64(), SPAN.as_secs());
            findings.skip(format!("{instance}: one advert in {interval} s cannot be awaited in {span} s"));
        }
        (false, none) if none.is_empty() => findings.warn(
            format!("{instance}: no advert of VRID {vrid} in {} s: there is no master, or its adverts do not arrive", SPAN.as_secs()),
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
    use super::super::tests::instance;
    use super::*;

    const PEER: [u8; 4] = [192, 0, 2, 12];

    fn judged(lines: &str, tried: &Tried, is_running: bool) -> Vec<String> {
        let mut findings = Findings { check: "probe", list: Vec::new() };
        let known = Known { is_running, ..Known::default() };
        judge(&instance(lines, "192.0.2.1/24"), "eth0", tried, &known, &mut findings);
        findings.list.iter().map(|it| format!("{} {}", it.level.as_str().trim(), it.text)).collect()
    }

    fn has(lines: &[String], expected: &str) {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected}: {lines:#?}");
    }

    fn advert(source: [u8; 4], is_own: bool) -> Seen {
        Seen { vrid: 51, is_v6: false, source: source.into(), is_own }
    }

    #[test]
    fn each_way_of_a_peer_has_a_line_of_its_own() {
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
    fn adverts_are_named_by_their_senders_and_none_proves_what_peers_receive() {
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
        has(
            &of("", &[ours]),
            "skip eth0: adverts leave this host; that its peers receive them is not proved",
        );
        has(&of("", &[theirs]), "skip eth0: that its peers would receive adverts of this host is not proved");
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
