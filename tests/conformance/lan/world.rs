//! Nodes on a LAN under one virtual clock. Every run is reproducible from its seed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_user::protocol::{State, TrackId, Transition};

use super::node::{Frame, Node, Outcome};
use super::random::Random;

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
    Question {
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
    /// Adverts lost on the way to one receiver, in permille.
    pub(crate) loss: u64,
    /// Whether all frames are blocked.
    pub(crate) is_split: bool,
    pub(crate) log: Vec<(usize, Transition)>,
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
    latency: Range<Duration>,
    /// Time from a new master's advert to its announcement.
    announcing: Range<Duration>,
    /// Arrival of the latest frame from one node to another: none overtakes it.
    latest: BTreeMap<(usize, usize), Timestamp>,
    /// Time from a timeout or an advert to the engine's turn.
    pub(crate) wake: Range<Duration>,
    /// Time from the end of a freeze to the first turn, and to the first frame from the NIC, in any order.
    thaw: Range<Duration>,
    future: BTreeMap<(Timestamp, u64), Happening>,
    scheduled: u64,
}

impl World {
    pub(crate) fn new(seed: u64, nodes: Vec<Node>) -> Self {
        Self {
            now: Timestamp::from_nanos(1_000_000_000_000),
            sent: vec![0; nodes.len()],
            nodes,
            random: Random::new(seed),
            loss: 0,
            is_split: false,
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
            latency: micros(20, 200),
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
        world.log.clear();
        world.shared = Duration::ZERO;
        world.overlap = Duration::ZERO;
        world.orphaned = Duration::ZERO;
        world
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
        let count = |is_so: fn(&Node) -> bool| self.nodes.iter().filter(|node| is_so(node)).count();
        let (having, answering) = (count(|node| node.has_addresses), count(|node| node.answers));
        if having == 0 {
            self.orphaned += span;
        }
        if having > 1 {
            self.overlap += span;
        }
        if answering > 1 {
            self.shared += span;
        }
        self.now = to;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Delivery { to, .. } | Happening::Question { to, .. }
                if self.backlog.contains_key(&to) =>
            {
                let queue = self.queue;
                self.backlog.entry(to).and_modify(|waiting| {
                    if waiting.len() < queue {
                        waiting.push(happening);
                    }
                });
            }
            Happening::Delivery { to, .. } | Happening::Question { to, .. } => self.happen_to(to, happening),
            Happening::Ask => {
                let number = self.answered.len();
                self.answered.push(0);
                for to in 0..self.nodes.len() {
                    let at = self.arrival(self.nodes.len(), to);
                    self.schedule(at, Happening::Question { to, number });
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
            Happening::Delivery { frame, .. } => self.nodes[to].receive(frame, local),
            Happening::Question { number, .. } => {
                let (answers, wakes) = self.nodes[to].ask(local);
                if answers {
                    self.answered[number] += 1;
                    self.tell(to, Duration::ZERO);
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
            self.tell(node, after);
        }
        self.log.extend(outcome.transitions.into_iter().map(|transition| (node, transition)));
        for frame in outcome.sent {
            self.sent[node] += 1;
            for to in (0..self.nodes.len()).filter(|&to| to != node) {
                if !self.is_split && !self.random.permille(self.loss) {
                    let at = self.arrival(node, to);
                    self.schedule(at, Happening::Delivery { to, frame });
                }
            }
        }
        if let Some(due) = self.nodes[node].router.as_ref().and_then(|router| router.poll_timeout()) {
            let at = (due + self.nodes[node].behind).max(self.now) + self.random.span(&self.wake);
            self.wake(node, at);
        }
    }

    /// Arrival of a frame sent now: none overtakes another. The client's number follows the nodes'.
    fn arrival(&mut self, from: usize, to: usize) -> Timestamp {
        let latest = self.latest.entry((from, to)).or_default();
        *latest = (self.now + self.random.span(&self.latency)).max(*latest);
        *latest
    }

    /// Schedules an answer or announcement of a node for the client.
    fn tell(&mut self, node: usize, after: Duration) {
        let at = self.arrival(node, self.nodes.len()).max(self.now + after);
        self.schedule(at, Happening::Word { of: node });
    }

    fn wake(&mut self, node: usize, at: Timestamp) {
        if self.nodes[node].next_turn.is_none_or(|planned| at < planned) {
            self.nodes[node].next_turn = Some(at);
            self.schedule(at, Happening::Turn { node });
        }
    }

    fn schedule(&mut self, at: Timestamp, happening: Happening) {
        self.scheduled += 1;
        self.future.insert((at, self.scheduled), happening);
    }
}
