//! Trials of the link between this host and its peers, without an effect on any election.
//!
//! Enters: a configuration, and what a daemon knows of its peers. Leaves: [`Tried`] for each interface, and findings.
//! Sent are wire probes ([`ProbeMessage`]), echo requests to each peer and to the group, and the kernel's reports of
//! joined groups; a test group is left again, which a querier asks about at once. Absent: adverts. A backup that sends
//! one makes others answer, yield or count a refusal. A probe passes where adverts pass; no router takes it for one.
//!
//! A daemon answers a probe (`daemon::wire_answers`), and so does another run of
//! this command: the probes of each say which of the other's it has heard. [`ways`] judges both ways of each peer.

mod judge;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Family;

use self::judge::judge;
use self::ways::Way;
use super::Facts;
use super::finding::{Finding, Findings};
use super::interfaces::{here, on};
use crate::config::{Config, InstanceSettings};
use crate::daemon::inspect::sighting::{Content, Sighting};
use crate::daemon::inspect::trace::source;
use crate::driver::clock;
use crate::driver::netlink::neighbour::neighbours;
use crate::driver::socket::{
    AdvertSender, EchoSocket, HeardProbe, Membership, ProbeMessage, QueryTap, Tap, is_member,
};

/// Between two looks at the sockets.
const LOOK: Duration = Duration::from_millis(20);

/// When the test groups are left, and when what was not answered is asked once more.
const LEAVES: Duration = Duration::from_millis(300);
const AGAIN: Duration = Duration::from_millis(800);

/// From one probe of the wire to the next. A daemon looks for probes once a second.
const ROUND: Duration = Duration::from_millis(300);

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
    /// What probes of the wire have shown, by peer.
    ways: BTreeMap<IpAddr, Way>,
    /// Errors of this host as it sent probes, by destination.
    refused: BTreeMap<IpAddr, i32>,
}

/// Tries every interface of the configuration at once, for a time.
pub fn probe(config: &Config, facts: &Facts, known: &Known, span: Duration) -> Vec<Finding> {
    let all = here(config, facts);
    let (tried, rest) = all.split_at(all.len().min(INTERFACES));
    let outcomes: Vec<(&str, io::Result<Tried>)> = thread::scope(|scope| {
        let threads: Vec<_> = tried
            .iter()
            .map(|(name, ifindex)| {
                let trial = move || Trial::new(config, facts, (*name, *ifindex), known)?.run(span);
                (*name, scope.spawn(trial))
            })
            .collect();
        let outcome = |thread: thread::ScopedJoinHandle<'_, io::Result<Tried>>| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the trial has panicked")))
        };
        threads.into_iter().map(|(name, thread)| (name, outcome(thread))).collect()
    });
    let mut findings = Findings { check: "probe", list: Vec::new() };
    for (name, outcome) in &outcomes {
        match outcome {
            Ok(tried) => judge(config, name, tried, (known, span), &mut findings),
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
    /// Number of this trial among those that run on the link.
    run: u32,
    sender: AdvertSender,
    /// Sources and destinations of adverts.
    paths: BTreeSet<(IpAddr, IpAddr)>,
    /// The latest probe of each other run.
    others: BTreeMap<IpAddr, ProbeMessage>,
    rounds: usize,
    /// For peers, by family.
    echoes: Vec<(Family, EchoSocket)>,
    /// For groups: a peer answers these beside those to itself.
    groups: Vec<(IpAddr, EchoSocket)>,
    tap: Tap,
    queries: QueryTap,
    tried: Tried,
}

impl<'a> Trial<'a> {
    fn new(
        config: &'a Config,
        facts: &Facts,
        (name, ifindex): (&str, u32),
        known: &Known,
    ) -> io::Result<Self> {
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
        let of_group: BTreeSet<IpAddr> = multicast.map(|it| it.group()).collect();
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
        let paths = settings.iter().flat_map(|it| paths(it, facts)).collect();
        let [.., high, low] = identifier.to_be_bytes();
        let [.., first, second] = (clock::now().as_nanos() >> 10).to_be_bytes();
        Ok(Self {
            ifindex,
            settings,
            run: u32::from_be_bytes([first | 1, second, high, low]),
            sender: AdvertSender::new()?,
            paths,
            others: BTreeMap::new(),
            rounds: 0,
            echoes,
            groups,
            tap,
            queries,
            tried,
        })
    }

    fn run(mut self, span: Duration) -> io::Result<Tried> {
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
            if passed >= span {
                break;
            }
            if passed >= ROUND * u32::try_from(self.rounds).unwrap_or(u32::MAX) {
                self.probe();
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
        let age = clock::now().since(began);
        if let Some(it) = seen.filter(|it| it.vlan == 0) {
            match it.content {
                Content::Probe(probe) => self.hear(&it, probe, age),
                _ => self.note(&it),
            }
        }
        let mut met = Vec::new();
        for (_, socket) in &self.echoes {
            let answers = socket.answers()?;
            for source in answers.hosts {
                if let Some(answer) = self.tried.peers.get_mut(&source) {
                    answer.get_or_insert(age);
                }
            }
            for (source, probe) in answers.probes {
                if let Some(way) = way(&mut self.tried.ways, source) {
                    way.said_by_echo(&probe, self.run);
                    met.push(source);
                }
            }
        }
        met.into_iter().for_each(|source| self.meet(source));
        for (group, socket) in &self.groups {
            let answers = socket.answers()?.hosts;
            if !answers.is_empty() {
                self.tried.members.entry(*group).or_default().extend(answers);
            }
        }
        self.tried.queriers.extend(self.queries.queriers()?);
        Ok(())
    }

    /// Sends a probe each way that adverts leave by. It names one that was heard, of several in turn. Other runs get it
    /// by echo replies as well: this host may refuse protocol 112, and the wire may take none.
    fn probe(&mut self) {
        let heard =
            |(source, other): (&IpAddr, &ProbeMessage)| HeardProbe { source: *source, run: other.run };
        let in_turn = self.rounds.checked_rem(self.others.len()).unwrap_or_default();
        let sequence = self.echoes.first().map_or(0, |(_, socket)| socket.sequence());
        let said = ProbeMessage {
            asks: true,
            is_refused: false,
            run: self.run,
            sequence,
            heard: self.others.iter().nth(in_turn).map(heard),
        };
        self.rounds += 1;
        for (source, to) in &self.paths {
            self.sender.queue_probe(&said, self.ifindex, *source, *to);
        }
        let refused = &mut self.tried.refused;
        self.sender.flush(|_, to, result| match result {
            Ok(()) => drop(refused.remove(&to)),
            Err(errno) => drop(refused.insert(to, errno)),
        });
        for (source, other) in &self.others {
            let is_refused = self.tried.refused.keys().any(|to| Family::of(*to) == Family::of(*source));
            let said = ProbeMessage { asks: false, is_refused, heard: Some(heard((source, other))), ..said };
            let is_peer = self.paths.iter().any(|(_, to)| to == source);
            // It is a second way only.
            let _ = self.answer(*source, other, &said, !is_peer);
        }
    }

    /// Answers another run by an echo reply, from the address that its adverts would have.
    fn answer(&self, to: IpAddr, asked: &ProbeMessage, said: &ProbeMessage, stays: bool) -> io::Result<()> {
        let family = Family::of(to);
        let socket = EchoSocket::open(family, self.ifindex, 0)?;
        let own = self.paths.iter().find(|(source, _)| Family::of(*source) == family);
        own.map_or(Ok(()), |(source, _)| socket.bind(*source))?;
        socket.answer(to, asked, said, stays)
    }

    /// Takes a probe, or an answer to one.
    fn hear(&mut self, it: &Sighting, probe: ProbeMessage, age: Duration) {
        if it.is_own || probe.run == self.run {
            return;
        }
        let Some(way) = way(&mut self.tried.ways, it.source) else { return };
        way.said_by_wire(&probe, self.run, age);
        if probe.asks {
            self.others.insert(it.source, probe);
        }
        self.meet(it.source);
    }

    /// Takes an advert of a virtual router of ours.
    fn note(&mut self, it: &Sighting) {
        let has_room = self.tried.adverts.len() < PEERS * self.settings.len();
        if has_room && self.is_ours(it) && matches!(it.content, Content::Advert(_)) {
            let (vrid, is_v6) = (it.vrid, it.family == Family::V6);
            self.tried.adverts.insert(Seen { vrid, is_v6, source: it.source, is_own: it.is_own });
            if !it.is_own {
                self.meet(it.source);
            }
        }
    }

    fn is_ours(&self, it: &Sighting) -> bool {
        self.settings.iter().any(|own| own.vrid.number() == it.vrid && own.family == it.family)
    }

    /// Asks a sender of adverts of ours, or of a probe, that was not known before.
    fn meet(&mut self, source: IpAddr) {
        if self.tried.peers.len() < PEERS && !self.tried.peers.contains_key(&source) {
            self.tried.peers.insert(source, None);
            self.ask_peer(source);
        }
    }
}

/// Sources and destinations of the adverts of an instance.
fn paths(settings: &InstanceSettings, facts: &Facts) -> Vec<(IpAddr, IpAddr)> {
    let Some(source) = settings.source.or_else(|| source(settings, &facts.host)) else { return Vec::new() };
    let destinations: Vec<IpAddr> = match &settings.unicast {
        None => vec![settings.group()],
        Some(unicast) => unicast.peers.iter().map(|peer| peer.address).take(PEERS).collect(),
    };
    destinations.into_iter().map(|to| (source, to)).collect()
}

/// The record of a peer; `None` if there are too many.
fn way(ways: &mut BTreeMap<IpAddr, Way>, source: IpAddr) -> Option<&mut Way> {
    if ways.len() >= PEERS && !ways.contains_key(&source) {
        return None;
    }
    Some(ways.entry(source).or_default())
}
