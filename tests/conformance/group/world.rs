//! Nodes under one virtual clock, with a LAN for each member. Every run is reproducible from its seed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_user::protocol::{GroupTransition, State};

use super::node::{Frame, Node, Outcome};
use crate::lan::random::Random;

/// Time from a timeout or an advert to the engine's turn.
const WAKE: Range<Duration> = Duration::from_micros(5)..Duration::from_micros(80);

const LATENCY: Range<Duration> = Duration::from_micros(20)..Duration::from_micros(200);

#[derive(Debug)]
enum Happening {
    Delivery { to: usize, frame: Frame },
    Turn { node: usize },
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) nodes: Vec<Node>,
    pub(crate) random: Random,
    /// By LAN: transit time of an advert, and loss in permille.
    pub(crate) latency: Vec<Range<Duration>>,
    pub(crate) loss: Vec<u64>,
    pub(crate) log: Vec<(usize, GroupTransition)>,
    /// Time with more than one master, and time with none.
    pub(crate) shared: Duration,
    pub(crate) orphaned: Duration,
    /// Arrival of the latest frame from one node to another: none overtakes it.
    latest: BTreeMap<(usize, usize, usize), Timestamp>,
    future: BTreeMap<(Timestamp, u64), Happening>,
    scheduled: u64,
}

impl World {
    pub(crate) fn new(seed: u64, nodes: Vec<Node>) -> Self {
        let lans = nodes[0].members.len();
        Self {
            now: Timestamp::from_nanos(1_000_000_000_000),
            nodes,
            random: Random::new(seed),
            latency: vec![LATENCY; lans],
            loss: vec![0; lans],
            log: Vec::new(),
            shared: Duration::ZERO,
            orphaned: Duration::ZERO,
            latest: BTreeMap::new(),
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

    pub(crate) fn forget(&mut self) {
        self.log.clear();
        self.shared = Duration::ZERO;
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
        let outcome = self.nodes[node].start(self.now);
        self.follow(node, outcome);
    }

    pub(crate) fn stop(&mut self, node: usize) {
        let outcome = self.nodes[node].stop(self.now);
        self.follow(node, outcome);
    }

    pub(crate) fn reload(&mut self, node: usize, present: &[bool]) {
        let outcome = self.nodes[node].reload(present, self.now);
        self.follow(node, outcome);
    }

    pub(crate) fn set_link(&mut self, node: usize, member: usize, up: bool) {
        let outcome = self.nodes[node].set_link(member, up, self.now);
        self.follow(node, outcome);
    }

    pub(crate) fn masters(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&node| self.nodes[node].state() == State::Master).collect()
    }

    fn pass(&mut self, to: Timestamp) {
        match self.masters().len() {
            0 => self.orphaned += to.since(self.now),
            1 => {}
            _ => self.shared += to.since(self.now),
        }
        self.now = to;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Delivery { to, frame } => {
                if self.nodes[to].receive(frame, self.now) {
                    let at = self.now + self.random.span(&WAKE);
                    self.wake(to, at);
                }
            }
            Happening::Turn { node } => {
                if self.nodes[node].next_turn == Some(self.now) {
                    self.nodes[node].next_turn = None;
                    let outcome = self.nodes[node].turn(self.now);
                    self.follow(node, outcome);
                }
            }
        }
    }

    fn follow(&mut self, node: usize, outcome: Outcome) {
        self.log.extend(outcome.moves.into_iter().map(|transition| (node, transition)));
        for frame in outcome.sent {
            let lan = frame.member.index();
            for to in (0..self.nodes.len()).filter(|&to| to != node) {
                if !self.random.permille(self.loss[lan]) {
                    let latest = self.latest.entry((node, to, lan)).or_default();
                    *latest = (self.now + self.random.span(&self.latency[lan])).max(*latest);
                    let at = *latest;
                    self.schedule(at, Happening::Delivery { to, frame });
                }
            }
        }
        if let Some(due) = self.nodes[node].router.as_ref().and_then(|router| router.poll_timeout()) {
            let at = due.max(self.now) + self.random.span(&WAKE);
            self.wake(node, at);
        }
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
