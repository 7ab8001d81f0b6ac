//! A node: the turn that the daemon runs, over a simulated kernel.

use std::net::IpAddr;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_user::protocol::{
    ConfigurationChanges, ConfiguredInstance, ElectionSettings, Event, GroupId, GroupSettings, Instance,
    InstanceId, NextTurn, Order, Priority, SendError, State, Steering, SteeringOrder, TrackId, Turn,
};

use super::kernel::{Input, Kernel, Member, Outcome};
use crate::setup::{ID, Variant, centiseconds};

pub(crate) struct Node {
    pub(crate) kernel: Kernel,
    /// `None` while the daemon does not run.
    turn: Option<Turn>,
    /// The turn of the process that is about to replace it.
    successor: Option<Turn>,
    pub(super) next: NextTurn,
    /// Until then nothing on the host runs.
    pub(crate) frozen_until: Timestamp,
    /// Until then the daemon does not run, but the kernel does.
    pub(crate) starved_until: Timestamp,
    /// Lag of its clock behind the world's: total time that its hypervisor has paused it.
    pub(crate) behind: Duration,
    pub(crate) next_turn: Option<Timestamp>,
    pub(crate) turns: u64,
    /// Ring entries lost, in permille.
    pub(crate) ring_loss: u64,
}

impl Node {
    /// A node with one instance.
    pub(crate) fn single(member: Member) -> Self {
        Self::of(vec![member], false)
    }

    /// A node whose instances are one group; those of the start come first.
    pub(crate) fn grouped(members: Vec<Member>) -> Self {
        Self::of(members, true)
    }

    fn of(members: Vec<Member>, is_grouped: bool) -> Self {
        Self {
            kernel: Kernel { members, is_grouped, ..Kernel::default() },
            turn: None,
            successor: None,
            next: NextTurn::Sleep(None),
            frozen_until: Timestamp::ZERO,
            starved_until: Timestamp::ZERO,
            behind: Duration::ZERO,
            next_turn: None,
            turns: 0,
            ring_loss: 0,
        }
    }

    /// Settings of the only instance, for the next start.
    pub(crate) fn settings(&mut self) -> &mut ElectionSettings {
        &mut self.kernel.members[0].settings
    }

    pub(crate) fn source(&self) -> IpAddr {
        self.kernel.members[0].source
    }

    /// The only instance, or the first of the group, of a running daemon.
    pub(crate) fn instance(&self) -> &Instance {
        self.instances().first().unwrap()
    }

    pub(crate) fn instances(&self) -> &[Instance] {
        self.turn.as_ref().unwrap().router().instances()
    }

    pub(crate) fn state(&self) -> State {
        let Some(router) = self.turn.as_ref().map(Turn::router) else { return State::Init };
        match router.group(GroupId(0)) {
            Some(group) => group.state(),
            None => router.instance(ID).map_or(State::Init, Instance::state),
        }
    }

    pub(crate) fn has_addresses(&self) -> bool {
        self.kernel.members.iter().any(|member| member.side.has_addresses)
    }

    /// Time at which the kernel last saw the watched master.
    pub(crate) fn last_seen(&self) -> Timestamp {
        self.kernel.members[0].side.last_seen
    }

    /// Makes sends of all instances fail, or lets them succeed again.
    pub(crate) fn fail_sends(&mut self, error: Option<SendError>) {
        self.kernel.members.iter_mut().for_each(|member| member.fails = error);
    }

    pub(crate) fn start(&mut self, now: Timestamp) -> Outcome {
        self.kernel.reset();
        let settings = self.ids().map(|id| self.member(id).settings.clone()).collect();
        let groups = self.kernel.is_grouped.then(|| self.group());
        self.turn = Some(Turn::new(settings, groups.into_iter().collect()));
        self.connect(self.ids().collect());
        self.input(Event::Startup);
        self.turn(now)
    }

    /// Another process is about to replace this one, which only sends from now on.
    pub(crate) fn pause(&mut self, now: Timestamp) -> Outcome {
        let mut successor =
            Turn::new(self.ids().map(|id| self.member(id).settings.clone()).collect(), vec![]);
        successor.begin(&mut self.kernel);
        self.successor = Some(successor);
        self.kernel.inputs.push_back(Input::Pause);
        self.turn(now)
    }

    /// The other process does not replace it.
    pub(crate) fn go_on(&mut self, now: Timestamp) -> Outcome {
        self.kernel.inputs.push_back(Input::GoOn);
        self.turn(now)
    }

    /// The other process resumes.
    pub(crate) fn resume(&mut self, now: Timestamp) -> Outcome {
        let (mut snapshots, taken) = (std::mem::take(&mut self.kernel.paused), self.kernel.taken);
        let old = self.turn.take().unwrap();
        snapshots.iter_mut().for_each(|(id, snapshot)| snapshot.entitled_until = old.leased_until(*id));
        self.kernel.reset();
        self.turn = self.successor.take();
        self.next = NextTurn::Sleep(None);
        self.connect(self.ids().collect());
        self.kernel.inputs.push_back(Input::Restore(snapshots, taken));
        self.input(Event::Startup);
        self.turn(now)
    }

    pub(crate) fn stop(&mut self, now: Timestamp) -> Outcome {
        self.input(Event::Shutdown);
        self.turn(now)
    }

    pub(crate) fn kill(&mut self) {
        (self.turn, self.next_turn, self.next) = (None, None, NextTurn::Sleep(None));
        self.kernel.clear();
    }

    /// Applies a configuration with exactly these members; those of the start are always present.
    pub(crate) fn reload(&mut self, present: &[bool], now: Timestamp) -> Outcome {
        let before: Vec<InstanceId> = self.ids().collect();
        for (member, present) in self.kernel.members.iter_mut().zip(present) {
            member.present = *present;
        }
        let after: Vec<InstanceId> = self.ids().collect();
        let new: Vec<InstanceId> = after.iter().copied().filter(|id| !before.contains(id)).collect();
        let configured = |&id: &InstanceId| {
            let settings = self.member(id).settings.clone();
            ConfiguredInstance { id, settings, has_new_addresses: false, effects: () }
        };
        let changes = ConfigurationChanges {
            removed: before.into_iter().filter(|id| !after.contains(id)).collect(),
            configured: new.iter().map(configured).collect(),
            groups: Some(vec![self.group()]),
            ..ConfigurationChanges::default()
        };
        self.kernel.inputs.push_back(Input::Reconfigure(changes));
        self.connect(new);
        self.input(Event::Startup);
        self.turn(now)
    }

    pub(crate) fn set_link(&mut self, member: usize, up: bool, now: Timestamp) -> Outcome {
        self.kernel.members[member].link = up;
        self.input(Event::Link(InstanceId(u32::try_from(member).unwrap()), up));
        self.turn(now)
    }

    /// Sets the state of a track.
    pub(crate) fn track(&mut self, track: TrackId, up: bool, now: Timestamp) -> Outcome {
        self.input(Event::Track(track, up));
        self.turn(now)
    }

    /// Orders of an operator.
    pub(crate) fn steer(&mut self, steering: Steering, now: Timestamp) -> Outcome {
        let order = SteeringOrder { instance: ID, steering, hands_over: false };
        self.input(Event::Steer(Box::new([order])));
        self.turn(now)
    }

    /// One turn of the engine, which ends after the handover of a stop. An input that comes while it spins waits.
    pub(crate) fn turn(&mut self, now: Timestamp) -> Outcome {
        if matches!(self.next, NextTurn::Spin(due) if now < due) {
            return Outcome::default();
        }
        let Some(turn) = &mut self.turn else { return Outcome::default() };
        self.turns += 1;
        self.kernel.now = now;
        self.next = turn.run(&mut self.kernel);
        if turn.has_ended() {
            self.kill();
        }
        std::mem::take(&mut self.kernel.outcome)
    }

    /// Whether the daemon runs.
    pub(super) fn is_running(&self) -> bool {
        self.turn.is_some()
    }

    fn connect(&mut self, ids: Vec<InstanceId>) {
        for id in ids {
            let Member { link, source, .. } = *self.member(id);
            self.input(Event::Link(id, link));
            self.input(Event::Source(id, Some(source)));
        }
    }

    fn input(&mut self, event: Event) {
        self.kernel.inputs.push_back(Input::Event(event));
    }

    fn member(&self, id: InstanceId) -> &Member {
        &self.kernel.members[id.index()]
    }

    fn group(&self) -> GroupSettings {
        GroupSettings { name: "G".into(), members: self.ids().collect() }
    }

    fn ids(&self) -> impl Iterator<Item = InstanceId> + use<> {
        let present: Vec<bool> = self.kernel.members.iter().map(|member| member.present).collect();
        (0..).map(InstanceId).zip(present).filter(|(_, present)| *present).map(|(id, _)| id)
    }
}

/// An instance of version 3 over IPv4, with the interval in centiseconds.
pub(crate) fn member(address: u8, priority: u8, interval: u16) -> Member {
    let mut settings = Variant::V3Ipv4.settings();
    settings.priority = Priority(priority);
    settings.advert_interval = centiseconds(interval);
    Member::new(settings, Variant::V3Ipv4.address(address))
}

/// A node with one such instance, and handover by overlap.
pub(crate) fn node(address: u8, priority: u8, interval: u16) -> Node {
    let mut node = Node::single(member(address, priority, interval));
    node.settings().handover = Order::Overlap;
    node
}
