//! Nodes under one virtual clock, with a LAN for each instance. Every run is reproducible from its seed.
//!
//! [`node`] runs the turn of the daemon over [`kernel`], the simulated ports. Latency, loss, splits, frozen, starved
//! and paused nodes, death, stop and return are here; lost ring entries, sends that fail and programs that do not
//! receive are the kernel's.

mod input;
pub(crate) mod kernel;
pub(crate) mod node;
mod outcome;
pub(crate) mod random;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_user::protocol::{InstanceId, NextTurn, State, Steering, TrackId};

use self::kernel::{Frame, Move, Outcome};
use self::node::Node;
use self::random::Random;

const fn micros(from: u64, to: u64) -> Range<Duration> {
    Duration::from_micros(from)..Duration::from_micros(to)
}

#[derive(Debug)]
enum Happening {
    Delivery {
        to: usize,
        frame: Frame,
    },
    Turn {
        node: usize,
    },
    /// A client broadcasts an ARP request.
    Ask,
    AddressRequest {
        to: usize,
        number: usize,
    },
    /// The client receives a node's answer or announcement.
    Word {
        of: usize,
    },
    /// A paused node resumes.
    Return {
        node: usize,
    },
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) nodes: Vec<Node>,
    pub(crate) random: Random,
    /// By LAN: adverts lost on the way to one receiver, in permille, and transit time.
    pub(crate) loss: Vec<u64>,
    pub(crate) latency: Vec<Range<Duration>>,
    /// Whether all frames are blocked.
    pub(crate) is_split: bool,
    /// It receives nothing.
    pub(crate) deaf: Option<usize>,
    pub(crate) log: Vec<(usize, Move)>,
    pub(crate) sent: Vec<u64>,
    pub(crate) contests: usize,
    /// Time with more than one node answering for the addresses, time with more than one holding them, time with none.
    pub(crate) shared: Duration,
    pub(crate) overlap: Duration,
    pub(crate) orphaned: Duration,
    /// Period of the client's requests, number of nodes that answered each of them, and the node in the client's cache.
    pub(crate) asking: Option<Duration>,
    pub(crate) answered: Vec<usize>,
    pub(crate) believed: Option<usize>,
    /// Frames queued for paused nodes, and the size of the queue.
    backlog: BTreeMap<usize, Vec<Happening>>,
    pub(crate) queue: usize,
    /// Time from a new master's advert to its announcement.
    announcing: Range<Duration>,
    /// Arrival of the latest frame from one node to another on a LAN: none overtakes it.
    latest: BTreeMap<(usize, usize, usize), Timestamp>,
    /// Time from a timeout or an advert to the engine's turn.
    pub(crate) wake: Range<Duration>,
    /// Time from the end of a freeze to the first turn, and to the first frame from the NIC, in any order.
    thaw: Range<Duration>,
    future: BTreeMap<(Timestamp, u64), Happening>,
    scheduled: u64,
}

impl World {
    pub(crate) fn new(seed: u64, nodes: Vec<Node>) -> Self {
        let lans = nodes[0].kernel.members.len();
        Self {
            now: Timestamp::from_nanos(1_000_000_000_000),
            sent: vec![0; nodes.len()],
            nodes,
            random: Random::new(seed),
            loss: vec![0; lans],
            latency: vec![micros(20, 200); lans],
            is_split: false,
            deaf: None,
            log: Vec::new(),
            contests: 0,
            shared: Duration::ZERO,
            overlap: Duration::ZERO,
            orphaned: Duration::ZERO,
            asking: None,
            answered: Vec::new(),
            believed: None,
            backlog: BTreeMap::new(),
            queue: 1000,
            announcing: micros(100, 2_000),
            latest: BTreeMap::new(),
            wake: micros(5, 80),
            thaw: micros(5, 2_000),
            future: BTreeMap::new(),
            scheduled: 0,
        }
    }

    /// Starts all nodes, and runs long enough for one to become master.
    pub(crate) fn settled(seed: u64, nodes: Vec<Node>) -> Self {
        let mut world = Self::new(seed, nodes);
        for node in 0..world.nodes.len() {
            world.start(node);
        }
        world.run(Duration::from_secs(10));
        world.forget();
        world
    }

    /// Forgets moves and times so far.
    pub(crate) fn forget(&mut self) {
        self.log.clear();
        self.shared = Duration::ZERO;
        self.overlap = Duration::ZERO;
        self.orphaned = Duration::ZERO;
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some((&(at, order), _)) = self.future.first_key_value()
            && at <= end
        {
            self.pass(at);
            if let Some(happening) = self.future.remove(&(at, order)) {
                self.happen(happening);
            }
        }
        self.pass(end);
    }

    pub(crate) fn start(&mut self, node: usize) {
        let local = self.local(node);
        let outcome = self.nodes[node].start(local);
        self.follow(node, outcome);
    }

    /// Another process is about to replace the daemon.
    pub(crate) fn begin_restart(&mut self, node: usize) {
        let local = self.local(node);
        let outcome = self.nodes[node].pause(local);
        self.follow(node, outcome);
    }

    /// It resumes, or does not.
    pub(crate) fn end_restart(&mut self, node: usize, resumes: bool) {
        let local = self.local(node);
        let it = &mut self.nodes[node];
        let outcome = if resumes { it.resume(local) } else { it.go_on(local) };
        self.follow(node, outcome);
    }

    pub(crate) fn stop(&mut self, node: usize) {
        let local = self.local(node);
        let outcome = self.nodes[node].stop(local);
        self.follow(node, outcome);
    }

    /// Sets the state of a node's track.
    pub(crate) fn track(&mut self, node: usize, track: TrackId, up: bool) {
        let local = self.local(node);
        let outcome = self.nodes[node].track(track, up, local);
        self.follow(node, outcome);
    }

    /// Gives the only instance of a node its orders.
    pub(crate) fn steer(&mut self, node: usize, steering: Steering) {
        let local = self.local(node);
        let outcome = self.nodes[node].steer(steering, local);
        self.follow(node, outcome);
    }

    pub(crate) fn reload(&mut self, node: usize, present: &[bool]) {
        let local = self.local(node);
        let outcome = self.nodes[node].reload(present, local);
        self.follow(node, outcome);
    }

    pub(crate) fn set_link(&mut self, node: usize, member: usize, up: bool) {
        let local = self.local(node);
        let outcome = self.nodes[node].set_link(member, up, local);
        self.follow(node, outcome);
    }

    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Suspends host and daemon.
    pub(crate) fn freeze(&mut self, node: usize, span: Duration) {
        self.nodes[node].frozen_until = self.now + span;
    }

    /// The hypervisor pauses the host, and its clock stops too. Frames that arrive meanwhile are queued in order.
    pub(crate) fn pause(&mut self, node: usize, span: Duration) {
        self.backlog.insert(node, Vec::new());
        self.freeze(node, span);
        self.nodes[node].behind += span;
        self.schedule(self.now + span, Happening::Return { node });
    }

    /// The host sleeps, and its clock stops. Its network card is off, and the daemon runs soon after the return.
    pub(crate) fn sleep(&mut self, node: usize, span: Duration) {
        self.queue = 0;
        self.pause(node, span);
        self.nodes[node].kernel.asleep += span;
        let at = self.now + span + self.random.span(&self.wake);
        self.wake(node, at);
    }

    /// Starts the client's requests.
    pub(crate) fn ask(&mut self, period: Duration) {
        self.asking = Some(period);
        self.schedule(self.now, Happening::Ask);
    }

    fn local(&self, node: usize) -> Timestamp {
        self.now - self.nodes[node].behind
    }

    /// Suspends the daemon, not its kernel.
    pub(crate) fn starve(&mut self, node: usize, span: Duration) {
        self.nodes[node].starved_until = self.now + span;
    }

    pub(crate) fn masters(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&node| self.nodes[node].state() == State::Master).collect()
    }

    fn pass(&mut self, to: Timestamp) {
        let span = to.since(self.now);
        match self.nodes.iter().filter(|node| node.has_addresses()).count() {
            0 => self.orphaned += span,
            1 => {}
            _ => self.overlap += span,
        }
        let until = |node: &Node| Some(to.min(node.kernel.answers_until()? + node.behind));
        let mut answering: Vec<Timestamp> = self.nodes.iter().filter_map(until).collect();
        answering.sort_unstable();
        // Until the second last of them stops.
        if let [.., second, _] = answering[..] {
            self.shared += second.since(self.now);
        }
        self.now = to;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Delivery { to, .. } | Happening::AddressRequest { to, .. }
                if self.backlog.contains_key(&to) =>
            {
                let queue = self.queue;
                self.backlog.entry(to).and_modify(|waiting| {
                    if waiting.len() < queue {
                        waiting.push(happening);
                    }
                });
            }
            Happening::Delivery { to, .. } | Happening::AddressRequest { to, .. } => {
                self.happen_to(to, happening);
            }
            Happening::Ask => {
                let number = self.answered.len();
                self.answered.push(0);
                for to in 0..self.nodes.len() {
                    let at = self.arrival(self.nodes.len(), to, 0);
                    self.schedule(at, Happening::AddressRequest { to, number });
                }
                if let Some(period) = self.asking {
                    self.schedule(self.now + period, Happening::Ask);
                }
            }
            Happening::Word { of } => self.believed = Some(of),
            Happening::Return { node } => {
                // In order, each a moment after the one before; frames that arrive meanwhile come after them.
                let mut waiting = self.backlog.remove(&node).unwrap_or_default().into_iter();
                if let Some(first) = waiting.next() {
                    self.backlog.insert(node, waiting.collect());
                    self.happen_to(node, first);
                    let at = self.now + self.random.span(&micros(1, 20));
                    self.schedule(at, Happening::Return { node });
                }
            }
            Happening::Turn { node } => {
                if self.nodes[node].next_turn != Some(self.now) {
                    return;
                }
                let runnable = self.nodes[node].frozen_until.max(self.nodes[node].starved_until);
                if runnable > self.now {
                    let at = runnable + self.random.span(&self.thaw);
                    self.nodes[node].next_turn = None;
                    return self.wake(node, at);
                }
                self.nodes[node].next_turn = None;
                let local = self.local(node);
                let outcome = self.nodes[node].turn(local);
                self.follow(node, outcome);
            }
        }
    }

    /// Delivers a frame.
    fn happen_to(&mut self, to: usize, happening: Happening) {
        let thawed = self.nodes[to].frozen_until;
        if thawed > self.now {
            let at = thawed + self.random.span(&self.thaw);
            return self.schedule(at, happening);
        }
        let local = self.local(to);
        let wakes = match happening {
            Happening::Delivery { .. } | Happening::AddressRequest { .. } if !self.nodes[to].is_running() => {
                false
            }
            Happening::Delivery { frame, .. } => {
                let lost = self.random.permille(self.nodes[to].ring_loss);
                self.nodes[to].kernel.receive(frame, lost, local)
            }
            Happening::AddressRequest { number, .. } => {
                let (answers, wakes) = self.nodes[to].kernel.ask(InstanceId(0), local);
                if answers {
                    self.answered[number] += 1;
                    self.report(to, Duration::ZERO);
                }
                wakes
            }
            _ => false,
        };
        if wakes {
            let at = self.now + self.random.span(&self.wake);
            self.wake(to, at);
        }
    }

    fn follow(&mut self, node: usize, outcome: Outcome) {
        self.contests += outcome.contests;
        if outcome.announced {
            let after = self.random.span(&self.announcing);
            self.report(node, after);
        }
        self.log.extend(outcome.moves.into_iter().map(|it| (node, it)));
        for frame in outcome.sent {
            self.sent[node] += 1;
            let lan = frame.id.index();
            for to in (0..self.nodes.len()).filter(|&to| to != node) {
                let is_addressed = frame.to.as_ref().is_none_or(|it| it.contains(&self.nodes[to].source()));
                let is_heard = is_addressed && !self.is_split && self.deaf != Some(to);
                if is_heard && !self.random.permille(self.loss[lan]) {
                    let at = self.arrival(node, to, lan);
                    self.schedule(at, Happening::Delivery { to, frame: frame.clone() });
                }
            }
        }
        if !self.nodes[node].is_running() {
            return;
        }
        let behind = self.nodes[node].behind;
        match self.nodes[node].next {
            NextTurn::Spin(due) => {
                let at = (due + behind).max(self.now);
                self.nodes[node].next_turn = Some(at);
                self.schedule(at, Happening::Turn { node });
            }
            NextTurn::Sleep(due) => {
                let is_due = self.nodes[node].kernel.has_work().then_some(self.now);
                let due = due.map(|due| (due + behind).max(self.now)).into_iter().chain(is_due).min();
                if let Some(due) = due {
                    let at = due + self.random.span(&self.wake);
                    self.wake(node, at);
                }
            }
        }
    }

    /// Arrival of a frame sent now: none overtakes another. The client's number follows the nodes'.
    fn arrival(&mut self, from: usize, to: usize, lan: usize) -> Timestamp {
        let latest = self.latest.entry((from, to, lan)).or_default();
        *latest = (self.now + self.random.span(&self.latency[lan])).max(*latest);
        *latest
    }

    /// Schedules an answer or announcement of a node for the client.
    fn report(&mut self, node: usize, after: Duration) {
        let at = self.arrival(node, self.nodes.len(), 0).max(self.now + after);
        self.schedule(at, Happening::Word { of: node });
    }

    /// A node that spins is awake.
    fn wake(&mut self, node: usize, at: Timestamp) {
        let spins =
            matches!(self.nodes[node].next, NextTurn::Spin(_)) && self.nodes[node].next_turn.is_some();
        if !spins && self.nodes[node].next_turn.is_none_or(|planned| at < planned) {
            self.nodes[node].next_turn = Some(at);
            self.schedule(at, Happening::Turn { node });
        }
    }

    fn schedule(&mut self, at: Timestamp, happening: Happening) {
        self.scheduled += 1;
        self.future.insert((at, self.scheduled), happening);
    }
}
