//! The record of events for status and metrics: transitions, hooks, results of checks, receive paths.
//!
//! Written and read by the ordinary threads only. Nothing here decides anything.

mod delivery;
mod record;
mod sums;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use vrrp_ebpf::time::Timestamp;

pub use delivery::{FifoRecord, HookRun, HookRuns, Mails, Posts, RunningHook};
pub use record::{
    ConfigurationLoads, GroupRecord, InstanceRecord, NOT_FOUND, PastTransition, RareRecord, Realtime,
    RxPathNote, StaticRecord,
};

pub use sums::{CounterSums, SUMS, sum};

use self::delivery::before_now;
use super::events::{Event, EventKind, Events};
use super::host::reception::ReceptionFault;
use super::host_faults::HostFaults;
use super::process::preflight::Disabled;
use super::queue::Lack;
use super::reload::{Cause, StaleConfiguration};
use super::steering::Steerings;
use super::unwritten::Unwritten;
use crate::config::{Change, Config};
use crate::daemon::probe::check::ProbeResult;
use crate::driver::clock;
use crate::driver::netlink::removed_by::RemovedBy;
use crate::driver::xdp::Foreign;
use crate::protocol::{GroupId, GroupTransition, InstanceId, State, TrackId, Transition};

/// Transitions kept per instance.
pub const HISTORY: usize = 16;

#[derive(Debug, Default)]
pub struct History {
    inner: RwLock<Inner>,
    /// Instances that there may be after reloads.
    room: usize,
    pub events: Events,
    pub unwritten: Unwritten,
    pub host_faults: HostFaults,
    pub sums: CounterSums,
    /// A master lacks an object that it did not lack before.
    pub lacking: Notify,
}

/// Everything recorded; see [`History::read`].
#[derive(Debug, Default)]
pub struct Inner {
    instances: Vec<InstanceRecord>,
    pub groups: BTreeMap<GroupId, GroupRecord>,
    /// Names of the groups by number.
    group_names: Vec<Arc<str>>,
    pub checks: BTreeMap<TrackId, ProbeResult>,
    /// Latest known state of tracked interfaces.
    pub links: BTreeMap<TrackId, bool>,
    pub rx_paths: BTreeMap<Arc<str>, RxPathNote>,
    /// XDP programs of others that keep adverts from this node, by interface.
    pub hidden_by: BTreeMap<Arc<str>, Foreign>,
    /// How often the program was attached again after another process had detached it, by interface.
    pub reattached: BTreeMap<Arc<str>, u64>,
    /// Why interfaces with virtual MAC addresses are missing, by name.
    pub missing_vmacs: BTreeMap<Arc<str>, String>,
    pub statics: StaticRecord,
    pub realtime: Option<Realtime>,
    /// This is a bridge process.
    pub is_bridge: bool,
    /// Process id of the guard.
    pub guard: Option<u32>,
    /// Why it would not do its work.
    pub guard_fault: Option<String>,
    /// Why the program does not outlive the daemon.
    pub unpinned: Option<String>,
    /// Scripts of the configuration in use that are not run.
    pub disabled: Vec<Disabled>,
    pub loads: ConfigurationLoads,
    /// By their paths.
    pub fifos: BTreeMap<Arc<str>, FifoRecord>,
    pub mails: Mails,
    /// By the names that status shows.
    pub webhooks: BTreeMap<Arc<str>, Posts>,
    pub hook_runs: HookRuns,
    /// Orders of operators that are in force.
    pub steerings: Steerings,
}

impl History {
    pub fn new(instances: usize) -> Self {
        let records = vec![InstanceRecord::default(); instances];
        let inner = RwLock::new(Inner { instances: records, ..Inner::default() });
        Self { inner, room: instances, ..Self::default() }
    }

    /// Lets reloads bring more instances, up to this number.
    #[must_use]
    pub fn with_room(self, room: usize) -> Self {
        Self { room, ..self }
    }

    /// Locks the history for reading; several threads may, while none writes. Keep the guard briefly and never across
    /// an await.
    pub fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for changes; nothing else may hold it meanwhile.
    pub fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn transition(&self, instance: InstanceId, transition: Transition) {
        self.of(instance, |record| {
            record.is_abandoned = false;
            record.became_master += u64::from(transition.to == State::Master);
            let has_left = transition.from == State::Master && transition.to != State::Master;
            record.released_master += u64::from(has_left);
            if record.history.len() >= HISTORY {
                record.history.pop_front();
            }
            let at = before_now(clock::now().since(transition.at));
            record.since = Some(at);
            // Most instances have two, of their start.
            if record.history.len() == record.history.capacity() {
                record.history.reserve_exact(record.history.len().max(1));
            }
            record.history.push_back(PastTransition { transition, at });
        });
    }

    /// The instance continues in a state that an earlier daemon has entered.
    pub fn resumed(&self, instance: InstanceId, since: Timestamp) {
        let since = before_now(clock::now().since(since));
        self.of(instance, |record| record.since = Some(since));
    }

    pub fn contest(&self, instance: InstanceId, peer: IpAddr) {
        self.of(instance, |record| record.contest = Some(peer));
    }

    pub fn unyielding(&self, instance: InstanceId, peer: Option<IpAddr>) {
        self.of(instance, |record| record.unyielding = peer);
    }

    pub fn removed_by(&self, instance: InstanceId, removed_by: Option<RemovedBy>) {
        let removed = removed_by.map(|removed_by| (clock::now(), removed_by));
        self.of(instance, |record| {
            if record.removed != removed {
                record.removed = removed;
            }
        });
    }

    /// Returns what it lacked before.
    pub fn lacks(&self, instance: InstanceId, lacks: Box<[Lack]>) -> Box<[Lack]> {
        let mut before = Box::default();
        if !lacks.is_empty() {
            self.lacking.notify_one();
        }
        self.of(instance, |record| before = std::mem::replace(&mut record.lacks, lacks));
        before
    }

    /// Returns what it had left before.
    pub fn leftovers(&self, instance: InstanceId, name: &str, left: Box<[Lack]>) -> Box<[Lack]> {
        let mut before = Box::default();
        // The guard's plan may depend on it.
        self.lacking.notify_one();
        self.of(instance, |record| {
            before = std::mem::replace(&mut record.leftovers, left);
            record.left_as = name.into();
        });
        before
    }

    /// Lasts until the next transition or reload.
    pub fn abandoned(&self, instance: InstanceId) {
        self.of(instance, |record| record.is_abandoned = true);
    }

    /// Returns the earlier fault.
    pub fn reception_fault(
        &self,
        instance: InstanceId,
        reception_fault: Option<ReceptionFault>,
    ) -> Option<ReceptionFault> {
        let mut before = None;
        self.of(instance, |record| {
            if record.reception_fault == reception_fault {
                before = reception_fault;
                return;
            }
            before = std::mem::replace(&mut record.reception_fault, reception_fault);
            record.kept_rows.extend(reception_fault.map(|it| format!("reception_fault {}", it.receiver())));
        });
        before
    }

    /// Keeps the rows of metrics that the daemon before has served.
    pub fn keep_rows(&self, instance: InstanceId, rows: &[String]) {
        self.of(instance, |record| record.kept_rows.extend(rows.iter().cloned()));
    }

    pub fn send_failed(&self, instance: InstanceId, errno: i32) {
        self.of(instance, |record| record.send_failure = Some((clock::now(), errno)));
    }

    pub fn group_transition(&self, group: GroupId, transition: &GroupTransition) {
        let since = before_now(clock::now().since(transition.at));
        self.write().groups.entry(group).or_default().since = Some(since);
    }

    pub fn hook_begins(&self, instance: InstanceId, running: RunningHook) {
        self.of(instance, |record| record.running_hook = Some(running));
    }

    pub fn group_hook_begins(&self, group: GroupId, running: RunningHook) {
        self.write().groups.entry(group).or_default().running_hook = Some(running);
    }

    pub fn hook(&self, instance: InstanceId, keyword: &'static str, run: HookRun) {
        self.write().hook_runs.count(&run.run);
        self.of(instance, |record| {
            record.running_hook = None;
            record.hooks.insert(keyword, run);
        });
    }

    pub fn group_hook(&self, group: GroupId, keyword: &'static str, run: HookRun) {
        let mut inner = self.write();
        inner.hook_runs.count(&run.run);
        let record = inner.groups.entry(group).or_default();
        record.running_hook = None;
        record.hooks.insert(keyword, run);
    }

    /// Keeps the groups of a configuration, under their new numbers, and forgets others.
    pub fn keep_groups(&self, names: Vec<Arc<str>>) {
        let mut inner = self.write();
        let Inner { groups, group_names, .. } = &mut *inner;
        let before: BTreeMap<Arc<str>, GroupId> =
            std::mem::replace(group_names, names).into_iter().zip((0..).map(GroupId)).collect();
        let mut known = std::mem::take(groups);
        for (name, id) in group_names.iter().zip((0..).map(GroupId)) {
            let Some(old) = before.get(name) else { continue };
            let Some(mut record) = known.remove(old) else { continue };
            // Its queue reports the end under the number before.
            record.running_hook = record.running_hook.filter(|_| *old == id);
            groups.insert(id, record);
        }
    }

    /// Forgets an instance, for another one under its number.
    pub fn forget(&self, instance: InstanceId) {
        self.of(instance, |record| *record = InstanceRecord::default());
    }

    /// The file was loaded.
    pub fn loaded(&self, at: SystemTime, changes: &[Change]) {
        self.events.push(EventKind::reloaded(changes));
        let mut inner = self.write();
        inner.instances.iter_mut().for_each(|record| record.is_abandoned = false);
        let loads = &mut inner.loads;
        *loads = ConfigurationLoads {
            at: Some(at),
            reloaded: loads.reloaded + 1,
            refused: loads.refused,
            stale: None,
            keep_by: None,
            left_out: Vec::new(),
        };
    }

    /// The file in use has these lines, which are left out, and on which the election may depend.
    pub fn leaves_out(&self, lines: Vec<String>) {
        self.write().loads.left_out = lines;
    }

    /// The file was refused.
    pub fn stale(&self, stale: StaleConfiguration) {
        self.events.push(EventKind::refused(&stale.findings));
        let loads = &mut self.write().loads;
        loads.refused += 1;
        loads.stale = Some(stale);
    }

    /// Keeps the events in a folder, and takes over those that earlier runs have written there.
    ///
    /// # Errors
    /// The thread that writes them cannot be started.
    pub fn keep_events(&self, folder: &Path, config: &Config) -> io::Result<()> {
        let earlier = self.events.keep(folder, &self.unwritten)?;
        let mut latest: HashMap<&str, VecDeque<Arc<Event>>> = HashMap::new();
        for event in &earlier {
            let EventKind::Transition { instance, .. } = &event.what else { continue };
            let of_instance = latest.entry(instance).or_default();
            if of_instance.len() >= HISTORY {
                of_instance.pop_front();
            }
            of_instance.push_back(Arc::clone(event));
        }
        for instance in &config.instances {
            let earlier = latest.remove(&*instance.settings.name).unwrap_or_default();
            self.of(instance.id, |record| record.earlier = earlier.into());
        }
        Ok(())
    }

    /// The daemon was started with a configuration that was applied `at` an earlier time, and is not the file's.
    pub fn started_stale(&self, stale: StaleConfiguration, at: Option<SystemTime>) {
        self.events.push(EventKind::StartStale { findings: stale.findings.clone() });
        let loads = &mut self.write().loads;
        (loads.at, loads.stale) = (at, Some(stale));
    }

    /// The reload is undone at this time unless it is kept.
    pub fn awaiting(&self, keep_by: Option<SystemTime>) {
        self.write().loads.keep_by = keep_by;
    }

    pub fn kept(&self) {
        self.events.push(EventKind::ReloadKept);
        self.awaiting(None);
    }

    /// The reload was not kept within this time: the configuration that was read `at` an earlier one is in use again.
    pub fn undone(&self, at: Option<SystemTime>, within: Duration) {
        self.events.push(EventKind::ReloadUndone { seconds: within.as_secs() });
        let finding = format!("the reload was not kept within {} s", within.as_secs());
        let stale =
            StaleConfiguration { since: SystemTime::now(), cause: Cause::NotKept, findings: vec![finding] };
        let loads = &mut self.write().loads;
        (loads.at, loads.stale, loads.keep_by) = (at, Some(stale), None);
    }

    /// Returns the record before.
    pub fn fifo(&self, path: &Arc<str>, record: FifoRecord) -> FifoRecord {
        self.write().fifos.insert(Arc::clone(path), record).unwrap_or_default()
    }

    /// Keeps the FIFOs of a configuration, and forgets others.
    pub fn keep_fifos(&self, paths: impl Iterator<Item = Arc<str>>) {
        let paths: Vec<Arc<str>> = paths.collect();
        self.write().fifos.retain(|path, _| paths.contains(path));
    }

    /// The configuration that was read `at` an earlier time is in use again.
    pub fn went_back(&self, at: Option<SystemTime>) {
        let loads = &mut self.write().loads;
        (loads.at, loads.keep_by) = (at, None);
    }

    pub fn mails(&self, change: impl FnOnce(&mut Mails)) {
        change(&mut self.write().mails);
    }

    /// Changes the counts of a webhook that is [kept](Self::keep_webhooks).
    pub fn webhook(&self, name: &str, change: impl FnOnce(&mut Posts)) {
        if let Some(posts) = self.write().webhooks.get_mut(name) {
            change(posts);
        }
    }

    /// Keeps the webhooks of a configuration, and forgets others.
    pub fn keep_webhooks(&self, names: &[Arc<str>]) {
        let webhooks = &mut self.write().webhooks;
        webhooks.retain(|name, _| names.contains(name));
        for name in names {
            webhooks.entry(Arc::clone(name)).or_default();
        }
    }

    /// Forgets the results of other checks.
    pub fn keep_checks(&self, is_kept: impl Fn(TrackId) -> bool) {
        self.write().checks.retain(|track, _| is_kept(*track));
    }

    /// Replaces the list of interfaces with virtual MAC addresses that could not be made.
    pub fn missing_vmacs(&self, missing: impl Iterator<Item = (Arc<str>, String)>) {
        self.write().missing_vmacs = missing.collect();
    }

    pub fn check(&self, round: ProbeResult) {
        self.write().checks.insert(round.track, round);
    }

    pub fn link(&self, track: TrackId, up: bool) {
        self.write().links.insert(track, up);
    }

    pub fn reattached(&self, interface: &Arc<str>) {
        *self.write().reattached.entry(Arc::clone(interface)).or_default() += 1;
    }

    /// Returns the note before.
    pub fn rx_path(&self, interface: Arc<str>, note: RxPathNote) -> Option<RxPathNote> {
        self.write().rx_paths.insert(interface, note)
    }

    /// Another XDP program keeps adverts from this interface, or no longer does. Returns the one before.
    pub fn hidden_by(&self, interface: &Arc<str>, program: Option<Foreign>) -> Option<Foreign> {
        let hidden_by = &mut self.write().hidden_by;
        match program {
            Some(program) => hidden_by.insert(Arc::clone(interface), program),
            None => hidden_by.remove(interface),
        }
    }

    /// Forgets interfaces that no instance uses any more.
    pub fn retain_rx_paths(&self, config: &Config) {
        let is_used = |name: &Arc<str>| config.instances.iter().any(|it| it.settings.interface == *name);
        let mut inner = self.write();
        inner.rx_paths.retain(|name, _| is_used(name));
        inner.hidden_by.retain(|name, _| is_used(name));
    }

    pub fn bridge(&self) {
        self.write().is_bridge = true;
    }

    pub fn guard(&self, pid: Option<u32>, fault: Option<String>) {
        let mut inner = self.write();
        (inner.guard, inner.guard_fault) = (pid, fault);
    }

    /// Scripts of the configuration in use that are not run.
    pub fn disabled(&self, scripts: Vec<Disabled>) {
        self.write().disabled = scripts;
    }

    /// Hooks of it that are not run either.
    pub fn disabled_too(&self, hooks: Vec<Disabled>) {
        self.write().disabled.extend(hooks);
    }

    pub fn unpinned(&self, why: String) {
        self.write().unpinned = Some(why);
    }

    pub fn realtime(&self, realtime: Realtime) {
        self.write().realtime = Some(realtime);
    }

    pub fn memory_locked(&self, is_locked: bool) {
        if let Some(realtime) = &mut self.write().realtime {
            realtime.memory_locked = is_locked;
        }
    }

    fn of(&self, instance: InstanceId, change: impl FnOnce(&mut InstanceRecord)) {
        let mut inner = self.write();
        let records = &mut inner.instances;
        if instance.index() >= records.len() && instance.index() < self.room {
            records.resize_with(instance.index() + 1, InstanceRecord::default);
        }
        if let Some(record) = records.get_mut(instance.index()) {
            change(record);
        }
    }
}

impl Inner {
    pub fn instance(&self, instance: InstanceId) -> Option<&InstanceRecord> {
        self.instances.get(instance.index())
    }

    pub fn records(&self) -> impl Iterator<Item = (InstanceId, &InstanceRecord)> {
        InstanceId::all().zip(&self.instances)
    }

    /// Number of hooks that run for longer than hooks do.
    pub fn slow_hooks(&self, now: Timestamp) -> usize {
        let of_instances = self.instances.iter().filter_map(|record| record.running_hook.as_ref());
        let of_groups = self.groups.values().filter_map(|record| record.running_hook.as_ref());
        of_instances.chain(of_groups).filter(|hook| hook.is_slow(now)).count()
    }

    /// The latest poll of a check that has a result.
    pub fn check(&self, track: TrackId) -> Option<&ProbeResult> {
        self.checks.get(&track).filter(|round| round.is_known)
    }
}
