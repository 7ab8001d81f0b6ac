//! Adverts of others: from the ring, from packet sockets, and from the records of their senders.
//!
//! Enters: adverts that the program or the socket has seen. Leaves: adverts for the turn, verified if they are signed.

use vrrp_ebpf::map::{InstanceKey, NO_PEER, Peer};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::narrow;
use vrrp_ebpf::wire::advert::Advert;
use vrrp_ebpf::wire::{AdvertInfo, ChecksumForm, Family};

use super::link::Link;
use super::ports::{DRAIN_MAX, KernelPorts};
use crate::daemon::auth::Gate;
use crate::driver::socket;
use crate::protocol::auth::Proof;
use crate::protocol::{InstanceId, Interval, PeerAdvert, Priority, ReceivedAdvert, Record, Turn, Version};

impl KernelPorts {
    pub(super) fn take_ring(&mut self, turn: &mut Turn, now: Timestamp) {
        let Some(mut ring) = self.ring.take() else { return };
        let taken = ring.drain(DRAIN_MAX, |event| {
            let id = InstanceId(event.slot);
            if event.is_address_request() {
                return turn.take_request(self, id, now);
            }
            let stamp = Timestamp::from_nanos(event.stamp);
            let received = ReceivedAdvert {
                source: event.source,
                record: index_of(event.peer),
                message: event.message(),
                checksum: event.checksum_form(),
                stamp,
            };
            turn.take_advert(self, id, received, now);
            // Adverts that had to be sent because of this one have been sent.
            self.maps.settle_challenge(id, stamp);
        });
        self.ring = Some(ring);
        if taken == DRAIN_MAX {
            self.pace.fall_behind(now);
        }
    }

    pub(super) fn take_listeners(&mut self, turn: &mut Turn, now: Timestamp) {
        let mut listeners = std::mem::take(&mut self.listeners);
        for (ifindex, listener) in &mut listeners {
            let taken = listener.drain(DRAIN_MAX, |frame, stamp| {
                let slot_of = |key| slot_of(&self.links, key);
                let classify = socket::classify(frame, *ifindex, stamp, &self.maps, slot_of);
                if let Some(socket::ReceivedAdvert { slot, peer, message, info, checksum, stamp }) = classify
                {
                    let (source, record) = (info.source, index_of(peer));
                    let received = ReceivedAdvert { source, record, message, checksum, stamp };
                    turn.take_advert(self, slot, received, now);
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
        for (link, id) in self.links.iter().zip(InstanceId::all()) {
            if link.ifindex == Some(ifindex) && link.gate.is_some() {
                self.maps.miss(id, now);
            }
        }
    }

    /// A sender's record, with the proof of origin that the instance requires.
    pub(super) fn proven_record(&self, id: InstanceId, index: u32, family: Family) -> Option<Record> {
        let gate = self.link(id).and_then(|link| link.gate.as_ref());
        let least = gate.map_or(Peer::FORM, Gate::least_proof);
        let peer = self.maps.peer(id, index).filter(|peer| peer.proof >= least)?;
        let version = [Version::V2, Version::V3].into_iter().find(|it| *it as u8 == peer.version)?;
        let heard = PeerAdvert {
            version,
            source: narrow(family, peer.source),
            priority: Priority(peer.priority),
            interval: Interval::from_wire(peer.interval, version)?,
            stamp: Timestamp::from_nanos(peer.last_seen),
        };
        Some(Record { heard, checksum: ChecksumForm::of(peer.checksum) })
    }

    pub(super) fn new_record(
        &self,
        id: InstanceId,
        received: &ReceivedAdvert<'_>,
        family: Family,
        is_master: bool,
    ) -> Option<u32> {
        let advert = Advert::parse(received.message, family).ok()?;
        let info = info(received.source, &advert);
        index_of(self.maps.make_room(id, &info, received.checksum, received.stamp, is_master))
    }

    /// Verifies the signature of an advert, and only then records its sender. Adverts of unsigned instances pass
    /// unchanged.
    pub(super) fn verify<'a>(
        &mut self,
        id: InstanceId,
        received: ReceivedAdvert<'a>,
        family: Family,
        now: Timestamp,
    ) -> Option<ReceivedAdvert<'a>> {
        let Self { links, maps, pace, .. } = self;
        let Some(gate) = links.get_mut(id.index()).and_then(|link| link.gate.as_mut()) else {
            return Some(received);
        };
        let admitted = gate
            .admit(received.message, narrow(family, received.source), received.stamp)
            .inspect_err(|reject| {
                pace.refuse(now);
                maps.reject(id, *reject, received.source, received.stamp);
            })
            .ok()?;
        let advert = Advert::parse(admitted.message, family).ok()?;
        let info = info(received.source, &advert);
        let proof = match admitted.proof {
            Proof::Signed { .. } | Proof::Counted { .. } => Peer::SIGNED,
            Proof::Tolerated => Peer::TOLERATED,
        };
        let record = index_of(maps.note(id, &info, received.checksum, proof, received.stamp));
        Some(ReceivedAdvert { message: admitted.message, record, ..received })
    }
}

fn index_of(peer: u32) -> Option<u32> {
    (peer != NO_PEER).then_some(peer)
}

fn slot_of(links: &[Link], key: InstanceKey) -> Option<InstanceId> {
    let matches = |(link, slot): (&Link, InstanceId)| {
        let settings = link.settings.as_ref()?;
        let same = link.ifindex == Some(key.ifindex)
            && settings.vrid.number() == key.vrid
            && settings.family as u8 == key.family
            && key.vlan == 0;
        same.then_some(slot)
    };
    links.iter().zip(InstanceId::all()).find_map(matches)
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
