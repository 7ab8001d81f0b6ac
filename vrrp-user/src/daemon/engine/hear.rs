//! Adverts of others: from the ring, from packet sockets, and from the records of senders that are overdue.
//!
//! Enters: adverts that the program or the socket has seen. Leaves: inputs for the router, and the actions it returns.

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;

use vrrp_ebpf::map::{InstanceKey, NO_PEER, PEERS_PER_SLOT, Peer};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::{narrow, widen};
use vrrp_ebpf::wire::advert::Advert;
use vrrp_ebpf::wire::{AdvertInfo, ChecksumForm, Family};

use super::link::Link;
use super::{APPROACH, DRAIN_MAX, Engine};
use crate::daemon::auth::Gate;
use crate::driver::socket;
use crate::protocol::auth::Proof;
use crate::protocol::{
    Event, Instance, InstanceId, Interval, PeerAdvert, Priority, RemoteMaster, State, Version,
};

/// The advert under handling, as the kernel recorded it.
#[derive(Clone, Copy)]
pub(super) struct ReceivedAdvert<'a> {
    pub(super) source: [u8; 16],
    pub(super) peer: u32,
    pub(super) message: &'a [u8],
    pub(super) checksum: ChecksumForm,
    pub(super) stamp: Timestamp,
}

impl Engine {
    pub(super) fn take_ring(&mut self, now: Timestamp) {
        let Some(mut ring) = self.ring.take() else { return };
        let taken = ring.drain(DRAIN_MAX, |event| {
            if event.is_question() {
                self.router.handle(&Event::Asked(InstanceId(event.slot)), now);
                return self.act(None, now);
            }
            let stamp = Timestamp::from_nanos(event.stamp);
            let received = ReceivedAdvert {
                source: event.source,
                peer: event.peer,
                message: event.message(),
                checksum: event.checksum_form(),
                stamp,
            };
            self.take_advert(event.slot, received, now);
            // Adverts that had to be sent because of this one have been sent.
            self.maps.settle_challenge(event.slot, stamp);
        });
        self.ring = Some(ring);
        if taken == DRAIN_MAX {
            self.pace.fall_behind(now);
        }
    }

    pub(super) fn take_listeners(&mut self, now: Timestamp) {
        let mut listeners = std::mem::take(&mut self.listeners);
        for (ifindex, listener) in &mut listeners {
            let taken = listener.drain(DRAIN_MAX, |frame, stamp| {
                let classify = socket::classify(frame, *ifindex, stamp, &self.maps, |key| self.slot_of(key));
                if let Some(socket::ReceivedAdvert { slot, peer, message, info, checksum, stamp }) = classify
                {
                    let source = info.source;
                    self.take_advert(slot, ReceivedAdvert { source, peer, message, checksum, stamp }, now);
                }
            });
            // A queue can have been full only if it is long.
            if taken.is_ok_and(|taken| taken == DRAIN_MAX) {
                self.pace.fall_behind(now);
                if listener.has_lost() {
                    self.miss_all(*ifindex, now);
                }
            }
        }
        self.listeners = listeners;
    }

    /// Adverts were lost at an interface; they may be of any instance on it.
    fn miss_all(&self, ifindex: u32, now: Timestamp) {
        for (link, slot) in self.links.iter().zip(0..) {
            if link.ifindex == Some(ifindex) && link.gate.is_some() {
                self.maps.miss(slot, now);
            }
        }
    }

    fn slot_of(&self, key: InstanceKey) -> Option<u32> {
        let matches = |(slot, link): (usize, &Link)| {
            let slot = u32::try_from(slot).ok()?;
            let settings = self.router.instance(InstanceId(slot))?.settings();
            let same = link.ifindex == Some(key.ifindex)
                && settings.vrid.number() == key.vrid
                && settings.family as u8 == key.family
                && key.vlan == 0;
            same.then_some(slot)
        };
        self.links.iter().enumerate().find_map(matches)
    }

    fn take_advert(&mut self, slot: u32, received: ReceivedAdvert<'_>, now: Timestamp) {
        let instance = InstanceId(slot);
        self.catch_up(instance, now);
        let Some(view) = self.router.instance(instance) else { return };
        let family = view.settings().family;
        let Some(received) = self.admit(instance, received, family, now) else { return };
        let Some(heard) = heard(&received, family) else { return };
        if let Some(live) =
            self.live.instances.get(instance.index()).filter(|_| heard.priority == Priority::RELEASE)
        {
            live.release_heard.fetch_add(1, Relaxed);
        }
        self.answer_form(instance, received.checksum);
        let is_refused = self.links.get(instance.index()).is_some_and(|link| link.is_refused(now));
        let own = self.router.instance(instance).and_then(Instance::source);
        if is_refused && heard.priority != Priority::RELEASE && Some(heard.source) != own {
            self.router.handle(&Event::Refused(instance), now);
        }
        if heard.priority != Priority::RELEASE {
            self.note_near_miss(instance, Some(heard.source), heard.stamp);
        }
        self.router.handle(&Event::Advert(instance, heard), now);
        let received = self.with_record(instance, received, family);
        self.act(Some((instance, received)), now);
    }

    /// Adverts sent from now on use the checksum form that was heard last.
    fn answer_form(&mut self, instance: InstanceId, form: ChecksumForm) {
        let Some(view) = self.router.instance(instance) else { return };
        if let Some(link) = self.links.get_mut(instance.index()) {
            link.heard_form = Some(form);
            link.answer_checksum(view.settings());
        }
    }

    /// Gives a sender for which the program had no room a record, if another sender's record has become free.
    fn with_record<'a>(
        &self,
        instance: InstanceId,
        received: ReceivedAdvert<'a>,
        family: Family,
    ) -> ReceivedAdvert<'a> {
        let is_signed = self.links.get(instance.index()).is_some_and(|link| link.gate.is_some());
        if received.peer != NO_PEER || is_signed {
            return received;
        }
        let Ok(advert) = Advert::parse(received.message, family) else { return received };
        let master = self.router.instance(instance).and_then(Instance::remote_master);
        let is_master = master.is_some_and(|it| it.heard.source == narrow(family, received.source));
        let info = info(received.source, &advert);
        let peer = self.maps.make_room(instance.0, &info, received.checksum, received.stamp, is_master);
        ReceivedAdvert { peer, ..received }
    }

    /// Verifies the signature of an advert, and only then records its sender. Adverts of unsigned instances pass
    /// unchanged.
    fn admit<'a>(
        &mut self,
        instance: InstanceId,
        received: ReceivedAdvert<'a>,
        family: Family,
        now: Timestamp,
    ) -> Option<ReceivedAdvert<'a>> {
        let Self { links, maps, pace, .. } = self;
        let Some(gate) = links.get_mut(instance.index()).and_then(|link| link.gate.as_mut()) else {
            return Some(received);
        };
        let admitted = gate
            .admit(received.message, narrow(family, received.source), received.stamp)
            .inspect_err(|reject| {
                pace.refuse(now);
                maps.reject(instance.0, *reject, received.source, received.stamp);
            })
            .ok()?;
        let advert = Advert::parse(admitted.message, family).ok()?;
        let info = info(received.source, &advert);
        let proof = match admitted.proof {
            Proof::Signed { .. } | Proof::Counted { .. } => Peer::SIGNED,
            Proof::Tolerated => Peer::TOLERATED,
        };
        let peer = maps.note(instance.0, &info, received.checksum, proof, received.stamp);
        Some(ReceivedAdvert { message: admitted.message, peer, ..received })
    }

    /// The program may have heard overdue masters meanwhile. Looks at every master that would be due within an advert
    /// interval, so that many instances cost one wake-up.
    pub(super) fn hear_silent(&mut self, now: Timestamp) {
        let due = now + APPROACH;
        if self.router.silent_from(InstanceId(0), due).is_none() {
            return;
        }
        let until = now + self.coalesce;
        let mut next = InstanceId(0);
        while let Some(instance) = self.router.silent_from(next, until) {
            self.catch_up(instance, now);
            if self.router.silent_from(instance, due) == Some(instance) {
                self.recall(instance, now);
                self.recall_ready(instance, now);
                if self.misses_adverts(instance, now) || self.is_flooded(instance, now) {
                    self.router.handle(&Event::NotReceiving(instance), now);
                }
            }
            self.act(None, now);
            next = InstanceId(instance.0 + 1);
        }
    }

    /// Adverts that the watched master has sent since the last look are handled before an input that may end the watch.
    fn catch_up(&mut self, instance: InstanceId, now: Timestamp) {
        let Some(seen) = self.maps.last_seen(instance.0) else { return };
        let latest = self.router.instance(instance).and_then(Instance::latest_heard);
        if latest.is_none_or(|latest| latest < seen)
            && let Some(form) = self.maps.watched_form(instance.0)
        {
            self.answer_form(instance, form);
        }
        if latest.is_some_and(|latest| latest < seen) {
            self.note_near_miss(instance, None, seen);
        }
        self.router.handle(&Event::Seen(instance, seen), now);
    }

    /// Counts an advert of the obeyed master that came in the last interval of master_down_interval. `source` is `None`
    /// for the watched one. Call it before the router handles that advert: the engine looks often in that interval, so
    /// that the latest gap is the one before this advert.
    fn note_near_miss(&self, instance: InstanceId, source: Option<IpAddr>, stamp: Timestamp) {
        let Some(view) = self.router.instance(instance).filter(|view| view.state() == State::Backup) else {
            return;
        };
        let is_its = |master: &&RemoteMaster| source.is_none_or(|source| source == master.heard.source);
        let Some(master) = view.remote_master().filter(is_its) else { return };
        let settings = view.settings();
        // With a single advert, each of them comes in the last interval.
        let Some(allowed) = settings.down_timer_adverts.checked_sub(1).filter(|allowed| *allowed > 0) else {
            return;
        };
        let is_v3 = settings.version == Version::V3;
        let interval = if is_v3 { master.heard.interval } else { settings.advert_interval };
        let near = interval.duration().saturating_mul(u32::from(allowed));
        let gap = self.maps.latest_gap(instance.0, widen(master.heard.source));
        if stamp > master.heard.stamp
            && gap.is_some_and(|gap| gap > near)
            && let Some(live) = self.live.instances.get(instance.index())
        {
            live.near_misses.fetch_add(1, Relaxed);
        }
    }

    /// Catches up on every watched master.
    pub(super) fn catch_all_up(&mut self, now: Timestamp) {
        for index in 0..self.links.len() {
            if let Ok(index) = u32::try_from(index) {
                self.catch_up(InstanceId(index), now);
            }
        }
        self.act(None, now);
    }

    /// Recovers an advert whose ring entry was lost from the record of its sender: map is state, ring is wake-up.
    fn recall(&mut self, instance: InstanceId, now: Timestamp) {
        let Some(view) = self.router.instance(instance) else { return };
        let family = view.settings().family;
        let (since, latest) = (view.since(), view.latest_heard());
        let gate = self.links.get(instance.index()).and_then(|link| link.gate.as_ref());
        let least = gate.map_or(Peer::FORM, Gate::least_proof);
        let versions = [Version::V2, Version::V3];
        let mut found = [None; PEERS_PER_SLOT as usize];
        for (place, index) in found.iter_mut().zip(0..) {
            let Some(peer) = self.maps.peer(instance.0, index) else { continue };
            let stamp = Timestamp::from_nanos(peer.last_seen);
            if peer.proof < least || stamp < since || latest.is_some_and(|latest| stamp <= latest) {
                continue;
            }
            let version = versions.into_iter().find(|version| *version as u8 == peer.version);
            let Some((version, interval)) =
                version.and_then(|it| Some((it, Interval::from_wire(peer.interval, it)?)))
            else {
                continue;
            };
            let heard = PeerAdvert {
                version,
                source: narrow(family, peer.source),
                priority: Priority(peer.priority),
                interval,
                stamp,
            };
            *place = Some((heard, ChecksumForm::of(peer.checksum)));
        }
        // In the order in which they were sent.
        found.sort_unstable_by_key(|found| found.map(|(heard, _)| heard.stamp));
        for (heard, form) in found.into_iter().flatten() {
            self.answer_form(instance, form);
            self.router.handle(&Event::Advert(instance, heard), now);
        }
    }

    /// Recovers adverts for the rest of its group too, which would take over with it.
    fn recall_ready(&mut self, instance: InstanceId, now: Timestamp) {
        let mut next = InstanceId(0);
        while let Some(ready) = self.router.ready_with(instance, next) {
            self.recall(ready, now);
            next = InstanceId(ready.0 + 1);
        }
    }
}

fn info(source: [u8; 16], advert: &Advert<'_>) -> AdvertInfo {
    AdvertInfo {
        source,
        interval: advert.interval(),
        version: advert.version(),
        vrid: advert.vrid(),
        priority: advert.priority(),
        address_count: advert.address_count(),
    }
}

/// Decodes an advert whose form was judged already.
fn heard(received: &ReceivedAdvert<'_>, family: Family) -> Option<PeerAdvert> {
    let advert = Advert::parse(received.message, family).ok()?;
    let version = if advert.version() == Version::V2 as u8 { Version::V2 } else { Version::V3 };
    Some(PeerAdvert {
        version,
        source: narrow(family, received.source),
        priority: Priority(advert.priority()),
        interval: Interval::from_wire(advert.interval(), version)?,
        stamp: received.stamp,
    })
}
