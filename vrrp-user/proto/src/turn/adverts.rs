//! Adverts of others: as events, from the records of overdue senders, and the doubt whether they can have reached us.

use core::net::IpAddr;

use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::address::narrow;

use super::{APPROACH, Ports, RECORDS_MAX, ReceivedAdvert, Record, Tally, Turn};
use crate::action::State;
use crate::event::Event;
use crate::instance::Instance;
use crate::reception::{Flooded, HOLD_MAX, SilenceCheck};
use crate::state::data::RemoteMaster;
use crate::timers::Timer;
use crate::units::{InstanceId, Priority};

impl Turn {
    /// Handles an advert that the program or a socket has passed up.
    pub fn take_advert<P: Ports>(
        &mut self,
        ports: &mut P,
        id: InstanceId,
        received: ReceivedAdvert<'_>,
        now: Timestamp,
    ) {
        self.catch_up(ports, id, now);
        let Some(view) = self.view(id) else { return };
        let (family, own) = (view.settings().family, view.source());
        let Some(received) = ports.admit(id, received, family, now) else { return };
        let Some(heard) = received.decode(family) else { return };
        let is_release = heard.priority == Priority::RELEASE;
        if is_release {
            ports.tally(id, Tally::ReleaseHeard);
        }
        ports.answer_form(id, received.checksum);
        let span = self.span(id);
        let is_refused = self.watchers.get(id.index()).is_some_and(|it| it.lease.is_refused(span, now));
        if is_refused && !is_release && Some(heard.source) != own {
            self.router.handle(&Event::Refused(id), now);
        }
        if !is_release {
            self.note_near_miss(ports, id, Some(heard.source), heard.stamp);
        }
        self.router.handle(&Event::Advert(id, heard), now);
        let received = self.with_record(ports, id, received);
        self.act(ports, Some((id, received)), now);
    }

    /// The ARP request or neighbour solicitation that the router has asked for is being answered.
    pub fn take_request<P: Ports>(&mut self, ports: &mut P, id: InstanceId, now: Timestamp) {
        self.router.handle(&Event::Asked(id), now);
        self.act(ports, None, now);
    }

    /// Gives a sender for which the program had no room a record, if another sender's record has become free.
    fn with_record<'a, P: Ports>(
        &self,
        ports: &P,
        id: InstanceId,
        received: ReceivedAdvert<'a>,
    ) -> ReceivedAdvert<'a> {
        if received.record.is_some() || ports.is_signed(id) {
            return received;
        }
        let Some(view) = self.view(id) else { return received };
        let family = view.settings().family;
        let source = narrow(family, received.source);
        let is_master = view.remote_master().is_some_and(|it| it.heard.source == source);
        let record = ports.make_room(id, &received, family, is_master);
        ReceivedAdvert { record, ..received }
    }

    /// The program may have heard overdue masters meanwhile. Looks at every master that would be due within an advert
    /// interval, so that many instances cost one wake-up.
    pub(super) fn hear_silent<P: Ports>(&mut self, ports: &mut P, now: Timestamp) {
        let due = now + APPROACH;
        if self.router.silent_from(InstanceId(0), due).is_none() {
            return;
        }
        let until = now + self.coalesce;
        let mut next = InstanceId(0);
        while let Some(id) = self.router.silent_from(next, until) {
            self.catch_up(ports, id, now);
            if self.router.silent_from(id, due) == Some(id) {
                self.recall(ports, id, now);
                self.recall_ready(ports, id, now);
                if self.misses_adverts(ports, id, now) || self.is_flooded(ports, id, now) {
                    self.router.handle(&Event::NotReceiving(id), now);
                }
            }
            self.act(ports, None, now);
            ports.publish(&self.router, Some(id));
            next = id.next();
        }
    }

    /// Adverts that the watched master has sent since the last look are handled before an input that may end the watch.
    fn catch_up<P: Ports>(&mut self, ports: &mut P, id: InstanceId, now: Timestamp) {
        let Some(seen) = ports.last_seen(id) else { return };
        let latest = self.view(id).and_then(Instance::latest_heard);
        if latest.is_none_or(|latest| latest < seen)
            && let Some(form) = ports.watched_form(id)
        {
            ports.answer_form(id, form);
        }
        if latest.is_some_and(|latest| latest < seen) {
            self.note_near_miss(ports, id, None, seen);
        }
        self.router.handle(&Event::Seen(id, seen), now);
    }

    /// Catches up on every watched master.
    pub(super) fn catch_all_up<P: Ports>(&mut self, ports: &mut P, now: Timestamp) {
        for id in InstanceId::all().take(self.watchers.len()) {
            self.catch_up(ports, id, now);
        }
        self.act(ports, None, now);
    }

    /// Counts an advert of the obeyed master that came in the last interval of master_down_interval. `source` is `None`
    /// for the watched one. Call it before the router handles that advert: turns are frequent in that interval, so that
    /// the latest gap is the one before this advert.
    fn note_near_miss<P: Ports>(
        &self,
        ports: &mut P,
        id: InstanceId,
        source: Option<IpAddr>,
        stamp: Timestamp,
    ) {
        let Some(view) = self.view(id).filter(|view| view.state() == State::Backup) else { return };
        let is_its = |master: &&RemoteMaster| source.is_none_or(|source| source == master.heard.source);
        let Some(master) = view.remote_master().filter(is_its) else { return };
        // With a single advert, each of them comes in the last interval.
        if view.settings().down_timer_adverts <= 1 {
            return;
        }
        // The skew is part of it: without it, every other single loss would count, by the jitter of one advert.
        let near = view.master_down_interval().saturating_sub(view.master_interval().duration());
        if stamp > master.heard.stamp
            && ports.latest_gap(id, master.heard.source).is_some_and(|gap| gap > near)
        {
            ports.tally(id, Tally::NearMiss(master.heard.source));
        }
    }

    /// Recovers an advert whose ring entry was lost from the record of its sender: map is state, ring is wake-up.
    fn recall<P: Ports>(&mut self, ports: &mut P, id: InstanceId, now: Timestamp) {
        let Some(view) = self.view(id) else { return };
        let family = view.settings().family;
        let (since, latest) = (view.since(), view.latest_heard());
        let is_news = |record: &Record| {
            record.heard.stamp >= since && latest.is_none_or(|latest| record.heard.stamp > latest)
        };
        let mut found = [None; RECORDS_MAX as usize];
        for (place, index) in found.iter_mut().zip(0..) {
            *place = ports.record(id, index, family).filter(is_news);
        }
        // In the order in which they were sent.
        found.sort_unstable_by_key(|found| found.map(|record| record.heard.stamp));
        for Record { heard, checksum } in found.into_iter().flatten() {
            ports.answer_form(id, checksum);
            self.router.handle(&Event::Advert(id, heard), now);
        }
    }

    /// Recovers adverts for the rest of its group too, which would take over with it.
    fn recall_ready<P: Ports>(&mut self, ports: &mut P, id: InstanceId, now: Timestamp) {
        let mut next = InstanceId(0);
        while let Some(ready) = self.router.ready_with(id, next) {
            self.recall(ports, ready, now);
            next = ready.next();
        }
    }

    /// Whether the silence proves nothing: the program is detached, or sockets receive what it does not.
    fn misses_adverts<P: Ports>(&mut self, ports: &mut P, id: InstanceId, now: Timestamp) -> bool {
        self.is_detached(ports, id, now) || self.is_outheard(ports, id, now)
    }

    /// Whether the program is detached, or behind another one: for as long as its repair may take.
    fn is_detached<P: Ports>(&mut self, ports: &mut P, id: InstanceId, now: Timestamp) -> bool {
        let is_detached = ports.is_detached(id);
        let heard = self.view(id).and_then(Instance::latest_heard);
        let Some(watcher) = self.watchers.get_mut(id.index()) else { return is_detached };
        // If the master was heard since, this is another silence.
        let before = watcher.detached.filter(|since| heard.is_none_or(|heard| heard < *since));
        watcher.detached = is_detached.then(|| before.unwrap_or(now));
        watcher.detached.is_some_and(|since| now.since(since) < HOLD_MAX)
    }

    fn is_outheard<P: Ports>(&mut self, ports: &mut P, id: InstanceId, now: Timestamp) -> bool {
        let Some(count) = ports.socket_count(id, now) else { return false };
        self.checks_silence = true;
        let Some(watcher) = self.watchers.get_mut(id.index()) else { return false };
        // After the socket: the program has already counted whatever has reached the socket.
        let counted = || ports.program_count(id);
        match &mut watcher.silence_check {
            Some(silence_check) => count.is_current && silence_check.is_outheard(count.adverts, counted, now),
            None => {
                watcher.silence_check = Some(SilenceCheck::new(count.adverts, counted(), now));
                false
            }
        }
    }

    /// Closes the sockets once no silence is in doubt.
    pub(super) fn settle_silence_checks<P: Ports>(&mut self, ports: &mut P) {
        if !self.checks_silence {
            return;
        }
        let mut is_left = false;
        for (watcher, view) in self.watchers.iter_mut().zip(self.router.instances()) {
            watcher.silence_check = watcher.silence_check.filter(|it| it.is_open(view));
            is_left |= watcher.silence_check.is_some();
        }
        if !is_left {
            self.checks_silence = false;
            ports.close_sockets();
        }
    }

    /// Whether the silence of a master whose time is up proves nothing, because signed adverts were missed that may
    /// have been its own.
    fn is_flooded<P: Ports>(&mut self, ports: &P, id: InstanceId, now: Timestamp) -> bool {
        let Self { router, watchers, .. } = self;
        let (Some(view), Some(watcher)) = (router.instance(id), watchers.get_mut(id.index())) else {
            return false;
        };
        // A master that has released, or is a lower one, need not be heard.
        let is_silence = view.watches() || view.remote_master().is_none();
        let is_due = view.deadline(Timer::MasterDown).is_some_and(|due| due <= now + APPROACH);
        if !ports.is_signed(id) || !is_silence || !is_due {
            return false;
        }
        let others = ports.missed(id, false).filter(|_| !view.watches());
        let missed = ports.missed(id, true).max(others).max(ports.fell_behind());
        let from = view.latest_heard().map_or(view.since(), |heard| heard.max(view.since()));
        let (flooded, is_held) = Flooded::hold(watcher.flooded, from, missed, now);
        watcher.flooded = flooded;
        is_held
    }
}
