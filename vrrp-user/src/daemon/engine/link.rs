//! Sending state of an instance: interface, source, checksum form, signature, lease.
//!
//! Enters: interfaces and source addresses as they come and go, adverts that are due. Leaves: one send for all adverts
//! that are due together, and the leases that they renew: a master whose adverts do not leave stops owning its
//! addresses.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::ChecksumForm;

use super::Engine;
use super::flood::Flooded;
use super::silence_check::SilenceCheck;
use crate::daemon::auth::Gate;
use crate::daemon::live::LiveState;
use crate::daemon::queue::Report;
use crate::driver::socket::Outgoing;
use crate::protocol::{InstanceId, InstanceSettings, Priority};

/// Between two reports of the same instance's send failures.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// Sending state of an instance.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) ifindex: Option<u32>,
    /// Index of the interface with the virtual MAC address that adverts leave from.
    pub(super) sender: Option<u32>,
    pub(super) source: Option<IpAddr>,
    pub(super) outgoing: Option<Outgoing>,
    /// Form of the checksum that was heard last.
    pub(super) heard_form: Option<ChecksumForm>,
    pub(super) failure_reported: Option<Timestamp>,
    /// The signature's gate, if its adverts are signed.
    pub(super) gate: Option<Gate>,
    /// How long an advert entitles it to its addresses.
    pub(super) lease: Duration,
    /// The instance holds its addresses.
    pub(super) serving: bool,
    /// The last advert renews the lease: it was not a release.
    pub(super) renewing: bool,
    /// Since when this host has refused each advert, or a part of each.
    pub(super) refused_since: Option<Timestamp>,
    /// This host has refused the latest advert.
    pub(super) is_refused: bool,
    /// The latest advert left after the lease had run out.
    pub(super) lapsed: bool,
    /// The silence of its master, once the master is overdue.
    pub(super) silence_check: Option<SilenceCheck>,
    /// Its takeover waits, or has waited, because signed adverts were missed.
    pub(super) flooded: Option<Flooded>,
}

impl Link {
    fn build(&mut self, settings: &InstanceSettings) {
        let ifindex = if settings.vmacs.sender().is_some() { self.sender } else { self.ifindex };
        self.outgoing = match (ifindex, self.source) {
            // Fails only for settings that the configuration refuses.
            (Some(ifindex), Some(source)) => Outgoing::new(settings, ifindex, source).ok(),
            _ => None,
        };
        self.lease = settings.lease();
        self.answer_checksum(settings);
    }

    /// Adverts have been refused for a whole lease: a router that should have heard this instance may have timed it
    /// out.
    pub(super) fn is_refused(&self, now: Timestamp) -> bool {
        self.is_refused && self.refused_since.is_some_and(|since| now.since(since) >= self.lease)
    }

    pub(super) fn answer_checksum(&mut self, settings: &InstanceSettings) {
        if let (true, Some(form), Some(outgoing)) =
            (settings.answers_checksum, self.heard_form, &mut self.outgoing)
        {
            outgoing.set_checksum(form);
        }
    }
}

impl Engine {
    pub(super) fn advertise(&mut self, instance: InstanceId, priority: Priority) {
        let Some(Link { outgoing: Some(outgoing), gate, renewing, refused_since, is_refused, .. }) =
            self.links.get_mut(instance.index())
        else {
            return;
        };
        if !std::mem::take(is_refused) {
            *refused_since = None;
        }
        *renewing = priority != Priority::RELEASE;
        match gate {
            Some(gate) => gate.send(&mut self.sender, outgoing, instance, priority),
            None => self.sender.queue(outgoing, instance, priority),
        }
        if let Some(live) = self.live.instances.get(instance.index()) {
            live.adverts_sent.fetch_add(1, Relaxed);
            if priority == Priority::RELEASE {
                live.release_sent.fetch_add(1, Relaxed);
            }
        }
    }

    pub(super) fn flush(&mut self, now: Timestamp) {
        let Self { sender, live, links, has_lapsed, reports, maps, .. } = self;
        sender.flush(|instance, outcome| {
            let Err(errno) = outcome else {
                let serving = links.get_mut(instance.index()).filter(|it| it.serving && it.renewing);
                if let Some(link) = serving {
                    // The lease runs from before the send: peers cannot have heard the advert earlier.
                    link.lapsed = maps.lease(instance.0).is_none_or(|until| until <= now);
                    *has_lapsed |= link.lapsed;
                    if !link.lapsed {
                        maps.set_lease(instance.0, Some(now + link.lease));
                    }
                }
                return;
            };
            if let Some(live) = live.instances.get(instance.index()) {
                live.send_errors.fetch_add(1, Relaxed);
            }
            let Some(link) = links.get_mut(instance.index()) else { return };
            if is_refusal(errno) {
                link.is_refused = true;
                link.refused_since.get_or_insert(now);
            }
            if link.failure_reported.is_none_or(|last| now.since(last) >= FAILURE_PAUSE) {
                link.failure_reported = Some(now);
                reports.push(Report::SendFailed(instance, errno));
            }
        });
    }

    /// Takes an instance whose lease has run out before its latest advert was sent.
    pub(super) fn take_lapsed(&mut self) -> Option<InstanceId> {
        let lapsed =
            |(link, id): (&mut Link, u32)| std::mem::take(&mut link.lapsed).then_some(InstanceId(id));
        let found = self.links.iter_mut().zip(0..).find_map(lapsed);
        self.has_lapsed &= found.is_some();
        found
    }

    /// Starts the lease, before the first advert has left and whether or not it does, or ends it.
    pub(super) fn serve(&mut self, instance: InstanceId, serving: bool, now: Timestamp) {
        let Some(link) = self.links.get_mut(instance.index()) else { return };
        link.serving = serving;
        self.maps.set_lease(instance.0, serving.then(|| now + link.lease));
    }

    pub(super) fn set_interface(&mut self, instance: InstanceId, ifindex: Option<u32>) {
        if let Some(link) = self.links.get_mut(instance.index()) {
            link.ifindex = ifindex;
        }
        if let Some(live) = self.live.instances.get(instance.index()) {
            live.ifindex.store(ifindex.unwrap_or(0), Relaxed);
        }
        self.rebuild(instance);
    }

    pub(super) fn set_sender(&mut self, instance: InstanceId, ifindex: Option<u32>) {
        if let Some(link) = self.links.get_mut(instance.index()) {
            link.sender = ifindex;
        }
        self.rebuild(instance);
    }

    pub(super) fn set_source(&mut self, instance: InstanceId, source: Option<IpAddr>) {
        if let Some(link) = self.links.get_mut(instance.index()) {
            link.source = source;
        }
        self.rebuild(instance);
    }

    fn rebuild(&mut self, instance: InstanceId) {
        let Self { links, router, .. } = self;
        if let (Some(link), Some(view)) = (links.get_mut(instance.index()), router.instance(instance)) {
            link.build(view.settings());
        }
    }

    /// Applies new settings, so that the first advert under them is already theirs.
    pub(super) fn prepare(&mut self, instance: InstanceId, settings: &InstanceSettings) {
        if let Some(link) = self.links.get_mut(instance.index()) {
            link.gate = gate(&self.live, instance.index(), settings);
            link.build(settings);
        }
    }
}

pub(super) fn gate(live: &LiveState, index: usize, settings: &InstanceSettings) -> Option<Gate> {
    Gate::open(settings, live.ledgers.get(index).and_then(OnceLock::get))
}

/// Refused by this host, as opposed to unreachable: a peer without a route, or whose neighbour entry has failed, may be
/// dead.
fn is_refusal(errno: i32) -> bool {
    matches!(errno, libc::EPERM | libc::EACCES | libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN)
}
