//! Actions of the router, carried out: adverts and leases at once, everything else by the ports.

use alloc::vec::Vec;

use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::narrow;

use super::{Ports, ReceivedAdvert, Turn};
use crate::action::{Action, State};
use crate::event::Event;
use crate::instance::Instance;
use crate::units::{InstanceId, Priority};

/// Adverts of a send: more of them take memory, and save little.
const SEND: usize = 128;

/// The advert that was handled last, for the program to compare with.
pub(super) type Cause<'a> = Option<(InstanceId, ReceivedAdvert<'a>)>;

impl Turn {
    /// Carries out the router's actions.
    pub(super) fn act<P: Ports>(&mut self, ports: &mut P, cause: Cause<'_>, now: Timestamp) {
        self.carry_out(ports, cause, now);
        while self.has_lapsed
            && let Some(id) = self.take_lapsed()
        {
            self.router.handle(&Event::Lapsed(id), now);
            self.carry_out(ports, None, now);
        }
        self.watch_known(ports, cause);
        ports.publish(&self.router, cause.map(|(id, _)| id));
    }

    fn carry_out<P: Ports>(&mut self, ports: &mut P, cause: Cause<'_>, now: Timestamp) {
        while let Some(action) = self.router.poll_action() {
            match action {
                Action::Advertise(id, priority) => self.advertise(ports, id, priority, now),
                Action::TrySending(id, priority) => self.try_sending(ports, id, priority, now),
                Action::Watch(id) => watch(ports, id, cause),
                Action::Unwatch(id) => ports.unwatch(id),
                Action::AddAddresses(id, _) => {
                    // They are set while the advert leaves, and announced and answered for once the lease runs.
                    self.serve(ports, id, false, now);
                    ports.carry_out(action, &self.router);
                    self.flush(ports, now);
                    self.serve(ports, id, true, now);
                }
                Action::RemoveAddresses(id, _) => {
                    self.flush(ports, now);
                    self.serve(ports, id, false, now);
                    ports.carry_out(action, &self.router);
                }
                Action::HoldAddresses(id, _) => {
                    ports.carry_out(action, &self.router);
                    self.hold(ports, id);
                }
                Action::ProlongLease(id, until) => self.prolong(ports, id, until, now),
                Action::StopAnswering(id, epoch) => {
                    self.serve(ports, id, false, now);
                    let is_fenced = ports.is_fenced(id);
                    let action = if is_fenced { action } else { Action::RemoveAddresses(id, epoch) };
                    ports.carry_out(action, &self.router);
                }
                Action::Announce(..)
                | Action::Heed(..)
                | Action::PutBack(..)
                | Action::ReportAbandoned(..)
                | Action::Report(..)
                | Action::ReportPriority(..)
                | Action::ReportContest(..)
                | Action::ReportGroup(..) => ports.carry_out(action, &self.router),
            }
        }
        self.flush(ports, now);
    }

    fn advertise<P: Ports>(&mut self, ports: &mut P, id: InstanceId, priority: Priority, now: Timestamp) {
        let Some(watcher) = self.watchers.get_mut(id.index()) else { return };
        if ports.advertise(id, priority, &[]) {
            watcher.lease.advertise(priority == Priority::RELEASE);
            self.queued += 1;
        }
        if self.queued >= SEND {
            self.flush(ports, now);
        }
    }

    /// Sends an advert to learn whether this host still refuses them, to no destination at which it did not. One that
    /// finds no route, or no peer, shows nothing: it has not come to the firewall.
    fn try_sending<P: Ports>(&mut self, ports: &mut P, id: InstanceId, priority: Priority, now: Timestamp) {
        let Self { router, watchers, .. } = self;
        let (Some(view), Some(watcher)) = (router.instance(id), watchers.get_mut(id.index())) else { return };
        let peers = view.settings().unicast.as_ref().map_or(&[][..], |it| &it.peers);
        let is_peer = |address| peers.iter().any(|peer| peer.address == address);
        let mut parts = watcher.lease.try_sending(is_peer).to_vec();
        parts.retain(|part| !part.is_empty());
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        for part in parts {
            if !ports.advertise(id, priority, &part) {
                return;
            }
            self.flush(ports, now);
            if self.watchers.get(id.index()).is_none_or(|it| it.lease.refuses()) {
                return;
            }
        }
        if self.watchers.get(id.index()).is_some_and(|it| it.lease.has_left()) {
            self.router.handle(&Event::SendsAgain(id), now);
        }
    }

    fn flush<P: Ports>(&mut self, ports: &mut P, now: Timestamp) {
        self.queued = 0;
        let Self { router, watchers, has_lapsed, .. } = self;
        ports.flush(now, |id, to, outcome| {
            let watcher = watchers.get_mut(id.index())?;
            if let Err(error) = outcome {
                watcher.lease.failed(to, error, now);
                return None;
            }
            let until = watcher.lease.sent(router.instance(id)?.settings().lease(), now);
            *has_lapsed |= watcher.lease.has_lapsed();
            until
        });
    }

    /// Takes an instance whose lease had run out before its latest advert was sent.
    fn take_lapsed(&mut self) -> Option<InstanceId> {
        let mut watchers = self.watchers.iter_mut().zip(InstanceId::all());
        let found = watchers.find_map(|(watcher, id)| watcher.lease.take_lapsed().then_some(id));
        self.has_lapsed &= found.is_some();
        found
    }

    /// Starts the lease, after the send of the first advert and whether or not it has left, or ends it.
    pub(super) fn serve<P: Ports>(&mut self, ports: &mut P, id: InstanceId, serves: bool, now: Timestamp) {
        let until = serves.then(|| now + self.span(id));
        if let Some(watcher) = self.watchers.get_mut(id.index()) {
            watcher.lease.serve(until);
            ports.set_lease(id, until);
        }
    }

    fn prolong<P: Ports>(&mut self, ports: &mut P, id: InstanceId, until: Timestamp, now: Timestamp) {
        if let Some(watcher) = self.watchers.get_mut(id.index())
            && watcher.lease.prolong(until, now)
        {
            ports.set_lease(id, Some(until));
        }
    }

    /// The lease continues from the latest advert, which another process has sent.
    fn hold<P: Ports>(&mut self, ports: &mut P, id: InstanceId) {
        let until = self.view(id).and_then(Instance::entitled_until);
        if let Some(watcher) = self.watchers.get_mut(id.index()) {
            watcher.lease.hold(until);
            ports.set_lease(id, until);
        }
    }

    /// Watches a master whose advert came as an event although nothing about it changed: it was not watched yet.
    fn watch_known<P: Ports>(&self, ports: &mut P, cause: Cause<'_>) {
        let Some((id, received)) = cause else { return };
        let Some(view) = self.view(id) else { return };
        let master = view.remote_master().filter(|_| view.state() == State::Backup);
        let is_master = master.is_some_and(|master| {
            let source = narrow(view.settings().family, received.source);
            master.heard.source == source && master.heard.stamp == received.stamp
        });
        if is_master && received.record.is_some() && ports.last_seen(id).is_none() {
            watch(ports, id, cause);
        }
    }
}

/// A master that was found in its record has no message at hand: its next advert is an event again, and is watched from
/// then on.
fn watch<P: Ports>(ports: &mut P, id: InstanceId, cause: Cause<'_>) {
    let received = cause.filter(|(cause, _)| *cause == id).map(|(_, received)| received);
    ports.watch(id, received.as_ref());
}
