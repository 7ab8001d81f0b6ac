//! Reception check: whether a silent master may be believed silent.
//!
//! Enters: backups whose master is overdue. Leaves: a verdict that the program cannot have heard the master, because it
//! was detached, or because the host's own stack has received adverts of which the program has counted none. Absent:
//! remedies, which are the main thread's work; until it has found one, the backup listens.
//!
//! From the first suspicion until the master is heard or replaced, an ordinary raw socket is open on the interface. A
//! steady master costs nothing here.

use std::time::Duration;

use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Family;

use super::Engine;
use crate::driver::locals::Locals;
use crate::driver::socket::{HeardVrid, ReferenceSocket};
use crate::protocol::{Instance, InstanceId, State};

/// The longest time for which adverts that only sockets receive hold off a takeover. The remedies are done within it.
/// Adverts received beyond it bypass the program in an unknown way, and no service is to wait for that.
pub(super) const HOLD_MAX: Duration = Duration::from_secs(10);

/// The reference socket of an interface and what it has received.
#[derive(Debug)]
pub(super) struct SilenceSocket {
    ifindex: u32,
    family: Family,
    reference: ReferenceSocket,
    /// Adverts by VRID. A backup's own are not among them: it sends none.
    heard: Box<[u64; 256]>,
    /// Turn in which they were counted last.
    listened: Option<Timestamp>,
}

/// The silence of an instance's master.
#[derive(Clone, Copy, Debug)]
pub(super) struct SilenceCheck {
    since: Timestamp,
    /// Adverts that sockets had received, and the program counted, at the last comparison.
    heard: u64,
    counted: u64,
    /// Start of the time for which its takeover is held off.
    held: Option<Timestamp>,
}

impl Engine {
    /// Whether the silence proves nothing: the program is detached, or sockets receive what it does not.
    pub(super) fn misses_adverts(&mut self, instance: InstanceId, now: Timestamp) -> bool {
        let Some(ifindex) = self.links.get(instance.index()).and_then(|link| link.ifindex) else {
            return false;
        };
        let hook = self.hooks.iter().find(|(known, _)| *known == ifindex);
        hook.is_some_and(|(_, hook)| !hook.is_attached()) || self.is_outheard(instance, ifindex, now)
    }

    fn is_outheard(&mut self, instance: InstanceId, ifindex: u32, now: Timestamp) -> bool {
        let Self { router, links, listeners, silence_sockets, maps, .. } = self;
        let Some(settings) = router.instance(instance).map(Instance::settings) else { return false };
        let has_program = listeners.iter().all(|(known, _)| *known != ifindex);
        if !has_program || !settings.reaches_sockets() {
            return false;
        }
        let place = (ifindex, settings.family);
        let Some(socket) = SilenceSocket::of(silence_sockets, place) else { return false };
        let listened = socket.listen(maps.locals(), now);
        let heard = socket.heard.get(usize::from(settings.vrid.number())).copied().unwrap_or(0);
        let Some(link) = links.get_mut(instance.index()) else { return false };
        // After the socket: the program has already counted whatever has reached the socket.
        let counted = || maps.counters(Some(instance.0)).adverts();
        match &mut link.silence_check {
            Some(silence_check) => listened && silence_check.is_outheard(heard, counted, now),
            None => {
                link.silence_check = Some(SilenceCheck { since: now, heard, counted: counted(), held: None });
                false
            }
        }
    }

    /// Closes the sockets once no silence is in doubt.
    pub(super) fn settle_silence_checks(&mut self) {
        if self.silence_sockets.is_empty() {
            return;
        }
        let mut is_left = false;
        for (link, view) in self.links.iter_mut().zip(self.router.instances()) {
            link.silence_check = link.silence_check.filter(|silence_check| silence_check.is_open(view));
            is_left |= link.silence_check.is_some();
        }
        if !is_left {
            self.silence_sockets.clear();
        }
    }
}

impl SilenceSocket {
    /// Opens the socket if it is not open yet. `None` if that fails: then nothing speaks against the silence.
    fn of(silence_sockets: &mut Vec<Self>, (ifindex, family): (u32, Family)) -> Option<&mut Self> {
        let known =
            silence_sockets.iter().position(|socket| (socket.ifindex, socket.family) == (ifindex, family));
        let index = match known {
            Some(index) => index,
            None => {
                let reference = ReferenceSocket::open(family, ifindex).ok()?;
                silence_sockets.push(Self {
                    ifindex,
                    family,
                    reference,
                    heard: Box::new([0; 256]),
                    listened: None,
                });
                silence_sockets.len() - 1
            }
        };
        silence_sockets.get_mut(index)
    }

    /// Counts what has arrived, once in a turn. False if that fails, as when the interface goes.
    fn listen(&mut self, locals: &Locals, now: Timestamp) -> bool {
        let Self { reference, heard, listened, .. } = self;
        if listened.replace(now) == Some(now) {
            return true;
        }
        let count = |advert: HeardVrid| {
            if let Some(count) = heard.get_mut(usize::from(advert.vrid)) {
                *count += 1;
            }
        };
        reference.drain(locals, count).is_ok()
    }
}

impl SilenceCheck {
    /// Whether sockets, and not the program, have received adverts since the last comparison: a takeover would be a
    /// mistake.
    fn is_outheard(&mut self, heard: u64, counted: impl FnOnce() -> u64, now: Timestamp) -> bool {
        if std::mem::replace(&mut self.heard, heard) == heard {
            return false;
        }
        let counted = counted();
        let misses_adverts = std::mem::replace(&mut self.counted, counted) == counted;
        misses_adverts && now.since(*self.held.get_or_insert(now)) < HOLD_MAX
    }

    fn is_open(&self, view: &Instance) -> bool {
        let has_heard = view.remote_master().is_some_and(|master| master.heard.stamp > self.since);
        view.state() == State::Backup && !has_heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_count_where_the_program_has_counted_nothing_and_not_for_ever() {
        let at = Timestamp::from_nanos;
        let mut silence_check = SilenceCheck { since: at(0), heard: 0, counted: 7, held: None };
        assert!(!silence_check.is_outheard(0, || unreachable!("nothing was heard"), at(1)));
        assert!(silence_check.is_outheard(1, || 7, at(2)));
        // Received by both; the program has refused it or passed it on, as it does with one of a lower master.
        assert!(!silence_check.is_outheard(2, || 8, at(3)));
        assert!(silence_check.is_outheard(3, || 8, at(4)));
        assert!(!silence_check.is_outheard(3, || 8, at(5)));
        assert!(!silence_check.is_outheard(4, || 8, at(2) + HOLD_MAX));
    }
}
