//! Repair of the receive path after other processes have changed it.
//!
//! Enters: once a second, the state of the attachments; more often, the findings of [`reception`]; the end of a sleep.
//! Leaves: the program attached again, or before programs that others put before it, or a packet socket in its place; a
//! receive path where none could be had, and the program where a packet socket was; groups joined again; reception
//! faults in log and history.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tracing::{info, warn};
use vrrp_ebpf::time::Timestamp;

use super::{AttachPlace, Attachments};
use crate::config::words;
use crate::daemon::history::RxPathNote;
use crate::daemon::host::reception::{self, ReceptionFault};
use crate::daemon::queue::Input;
use crate::driver::RxPath;
use crate::driver::clock;
use crate::driver::netlink::changes::Changes;
use crate::driver::ownership;
use crate::driver::socket::is_member;
use crate::driver::xdp::{Hook, forgets_program};
use crate::protocol::{Event, InstanceId};

/// If other programs come before ours more often than this, each time within [`PRECEDES_WITHIN`] of the last, it is not
/// put before them once more.
const PRECEDES: u32 = 5;
const PRECEDES_WITHIN: Duration = Duration::from_secs(60);

/// The same if ours is first, and misses adverts nevertheless: to be first is in vain.
const PRECEDES_IN_VAIN: u32 = 1;

/// Between two attempts to attach the program where another one had its hook.
const CLIMB: Duration = Duration::from_secs(10);

/// Between two looks at whether programs are still attached. No kernel notifies of that.
const LOOK: Duration = Duration::from_secs(1);

impl Attachments {
    /// Attaches the program again where another process has detached it, and looks at the reception of adverts. Returns
    /// the time until the next call, if there is anything to look at.
    pub fn mend(&mut self) -> Option<Duration> {
        let now = clock::now();
        if now.since(self.looked) >= LOOK {
            self.looked = now;
            self.look_at_hooks();
        } else if self.reception.is_suspicious() {
            // The program may miss adverts because it is detached, and not for another one before it.
            self.attach_again();
            self.come_first();
        }
        self.compare(now);
        (!self.rx_paths.is_empty()).then(|| self.reception.pause())
    }

    fn look_at_hooks(&mut self) {
        self.retired = std::mem::take(&mut self.retiring);
        let is_due = self.looked.since(self.climbed) >= CLIMB;
        if is_due {
            self.climbed = self.looked;
        }
        self.attach_again();
        self.come_first();
        self.climb_again();
        if is_due {
            self.climb_from_sockets();
        }
        self.ask_foreign();
    }

    /// Tries again to get a receive path where none could be had, as without memory or descriptors.
    fn climb_again(&mut self) {
        let deaf = self.rx_paths.iter().filter(|(_, rx_path)| **rx_path == RxPath::None);
        let deaf: Vec<u32> = deaf.map(|(ifindex, _)| *ifindex).collect();
        for ifindex in deaf {
            let Some((ids, interface)) = self.users(ifindex) else { continue };
            if self.renew(ifindex, &ids, &interface) != RxPath::None {
                self.listen_again(&ids);
            }
        }
    }

    /// Tries again to attach the program where another one had its hook, and a packet socket is in its place. Not after
    /// another refusal: that would be the same, and a driver may stop its card for it.
    fn climb_from_sockets(&mut self) {
        // Until then, hooks are those of the daemon before.
        if self.program.is_none() || !ownership::is_ours() {
            return;
        }
        let is_on_socket = |ifindex: &u32| {
            self.rx_paths.get(ifindex) == Some(&RxPath::Socket) && !self.hidden.contains(ifindex)
        };
        let on_socket: Vec<u32> = self.busy.iter().copied().filter(is_on_socket).collect();
        for ifindex in on_socket {
            let Some((ids, interface)) = self.users(ifindex) else { continue };
            match self.attach(ifindex, &interface) {
                Ok(attached) => {
                    self.reception.forget(&ids);
                    let rx_path = self.stand(ifindex, &interface, Ok(attached));
                    self.unlisten(ifindex);
                    self.settle(rx_path, &ids);
                }
                Err(reasons) => {
                    let note = RxPathNote { rx_path: RxPath::Socket, why: words(reasons.join("; ")) };
                    self.history.rx_path(interface, note);
                }
            }
        }
    }

    /// Attaches the program again where another process has detached it.
    fn attach_again(&mut self) {
        let detached = self.hooks.iter().filter(|(_, hook)| !hook.is_attached());
        let detached: Vec<u32> = detached.map(|(ifindex, _)| *ifindex).collect();
        let by_others = "another process detached the program; attaching it again";
        for ifindex in detached {
            self.reattach(ifindex, by_others);
        }
    }

    /// Attaches the program before those that others have put before it since: one of them may drop adverts, which then
    /// no socket receives either. Lists of filters are long: they are read when one has changed, and each [`CLIMB`].
    fn come_first(&mut self) {
        let have_changed =
            self.filter_changes.as_mut().is_none_or(Changes::take) || self.climbed == self.looked;
        let hooks = self.hooks.iter().filter(|(_, hook)| have_changed || !hook.is_filter());
        let behind = hooks.filter_map(|(ifindex, hook)| Some((*ifindex, hook.preceded_by()?)));
        let behind: Vec<(u32, String)> = behind.collect();
        for (ifindex, program) in behind {
            let why = format!("another program ({program}) came before ours; attaching ours before it");
            self.precede(ifindex, &why, PRECEDES);
        }
    }

    /// Attaches native programs again after a sleep of the machine, where the driver comes back without its program and
    /// the kernel still reports it as attached.
    pub fn restore_native(&mut self) {
        let native = self.rx_paths.iter().filter(|(_, rx_path)| **rx_path == RxPath::Native);
        let native: Vec<u32> = native.map(|(ifindex, _)| *ifindex).collect();
        let is_lost =
            |ifindex: &u32| self.users(*ifindex).is_some_and(|(_, interface)| forgets_program(&interface));
        let lost: Vec<u32> = native.into_iter().filter(is_lost).collect();
        let slept = "the machine was asleep, over which this driver loses its program; attaching it again";
        for ifindex in lost {
            if let Some(ids) = self.reattach(ifindex, slept) {
                self.listen_again(&ids);
            }
        }
    }

    /// Logs reception faults, and repairs what can be repaired.
    fn compare(&mut self, now: Timestamp) {
        let Self { instances, places, rx_paths, reception, has_faults, maps, .. } = self;
        let place = |(id, place): (&InstanceId, &AttachPlace)| {
            let ifindex =
                place.ifindex.filter(|it| rx_paths.get(it).is_some_and(|rx_path| rx_path.is_program()))?;
            Some(reception::ReceptionPlace {
                id: *id,
                settings: instances.get(id)?,
                ifindex,
                source: place.source,
            })
        };
        let here: Vec<_> = places.iter().filter_map(place).collect();
        let reception_fault = reception.check(&here, maps, now);
        let has_any = !reception_fault.is_empty();
        let had_any = std::mem::replace(has_faults, has_any);
        for (id, settings) in instances.iter().filter(|_| has_any || had_any) {
            let now = reception_fault.get(id).copied();
            let before = self.history.reception_fault(*id, now);
            match now {
                Some(now) if before != Some(now) => {
                    let ifindex = places.get(id).and_then(|place| place.ifindex).unwrap_or_default();
                    warn!(instance = %settings.name, "{}", now.described(settings, ifindex));
                }
                None if before.is_some() => {
                    info!(instance = %settings.name, "program and sockets receive the same adverts again");
                }
                _ => {}
            }
        }
        let hidden = reception_fault
            .iter()
            .filter(|(_, reception_fault)| **reception_fault == ReceptionFault::Program);
        let hidden: HashSet<u32> = hidden.filter_map(|(id, _)| self.places.get(id)?.ifindex).collect();
        let why = "another program kept adverts from ours; attaching ours before it";
        hidden.into_iter().for_each(|ifindex| self.precede(ifindex, why, PRECEDES_IN_VAIN));
        let lost = reception_fault.iter().filter(|(_, fault)| **fault == ReceptionFault::Membership);
        let lost: Vec<InstanceId> = lost.map(|(id, _)| *id).collect();
        self.leave_groups(&lost);
        let wants_group = |(id, place): &(&InstanceId, &AttachPlace)| {
            let settings = self.instances.get(id);
            place.membership.is_none()
                && place.ifindex.is_some()
                && settings.is_some_and(|it| it.unicast.is_none())
        };
        let lost: Vec<InstanceId> = self.places.iter().filter(wants_group).map(|(id, _)| *id).collect();
        lost.into_iter().for_each(|id| self.join(id));
    }

    /// Leaves the groups of these instances. Instances share a membership, which ends when the last of them leaves.
    fn leave_groups(&mut self, of: &[InstanceId]) {
        if of.is_empty() {
            return;
        }
        let group =
            |id: &InstanceId, place: &AttachPlace| Some((self.instances.get(id)?.group(), place.ifindex?));
        let left: HashSet<(IpAddr, u32)> =
            of.iter().filter_map(|id| group(id, self.places.get(id)?)).collect();
        for (id, place) in &mut self.places {
            let group = self.instances.get(id).map(|settings| settings.group()).zip(place.ifindex);
            if group.is_some_and(|group| left.contains(&group)) {
                place.membership = None;
            }
        }
    }

    /// Joins again the groups on an interface that the kernel has left: it leaves them when a family loses its
    /// addresses, also while their source is held.
    pub fn keep_groups(&mut self, interface: &str) {
        // The kernel lists all groups for each question, and instances share theirs.
        let mut answers = HashMap::new();
        let is_lost = |(id, place): &(&InstanceId, &AttachPlace)| {
            let settings = self.instances.get(id);
            let settings = settings.filter(|it| *it.interface == *interface && it.unicast.is_none());
            let ifindex = place.ifindex.filter(|_| place.membership.is_some());
            let group = settings.map(|it| it.group()).zip(ifindex);
            group.is_some_and(|(group, ifindex)| {
                !*answers.entry((group, ifindex)).or_insert_with(|| is_member(group, ifindex))
            })
        };
        let lost: Vec<InstanceId> = self.places.iter().filter(is_lost).map(|(id, _)| *id).collect();
        self.leave_groups(&lost);
        lost.into_iter().for_each(|id| self.join(id));
    }

    /// Another program is before ours: attaches ours before it. If that was in vain, a packet socket receives what
    /// programs of tcx and XDP's stack leave.
    fn precede(&mut self, ifindex: u32, why: &str, most: u32) {
        let now = clock::now();
        let before = self.preceded.get(&ifindex).filter(|(latest, _)| now.since(*latest) < PRECEDES_WITHIN);
        let count = before.map_or(0, |(_, count)| *count);
        self.preceded.insert(ifindex, (now, count + 1));
        if count >= most {
            self.hidden.insert(ifindex);
        }
        if let Some(ids) = self.reattach(ifindex, why) {
            self.listen_again(&ids);
        }
    }

    /// Silence until now proves nothing.
    fn listen_again(&mut self, ids: &[InstanceId]) {
        for id in ids {
            self.inputs.push(Input::Event(Event::NotReceiving(*id)));
        }
    }

    /// The instances on an interface, and its name.
    fn users(&self, ifindex: u32) -> Option<(Vec<InstanceId>, Arc<str>)> {
        let here = self.places.iter().filter(|(_, place)| place.ifindex == Some(ifindex));
        let ids: Vec<InstanceId> = here.map(|(id, _)| *id).collect();
        let settings = self.instances.get(ids.first()?)?;
        Some((ids, Arc::clone(&settings.interface)))
    }

    /// Returns the instances there.
    fn reattach(&mut self, ifindex: u32, why: &str) -> Option<Vec<InstanceId>> {
        let (ids, interface) = self.users(ifindex)?;
        warn!(%interface, "{why}");
        self.reception.forget(&ids);
        for id in &ids {
            self.history.reception_fault(*id, None);
        }
        self.renew(ifindex, &ids, &interface);
        self.history.reattached(&interface);
        Some(ids)
    }

    /// Attaches the best receive path that there is now.
    fn renew(&mut self, ifindex: u32, ids: &[InstanceId], interface: &Arc<str>) -> RxPath {
        let rx_path = self.climb(ifindex, interface);
        self.settle(rx_path, ids);
        rx_path
    }

    /// These instances have another receive path.
    fn settle(&mut self, rx_path: RxPath, ids: &[InstanceId]) {
        for live in ids.iter().filter_map(|id| self.live.instances.get(id.index())) {
            live.rx_path.store(rx_path as u8, Relaxed);
        }
        self.fence();
    }

    /// From now on, the main thread queries the kernel for the program there, and so does the engine through
    /// [`HookWatch`].
    pub(super) fn observe(&mut self, ifindex: u32) {
        self.hooks.remove(&ifindex);
        let hook = || self.program.as_ref().and_then(|program| program.hook(ifindex));
        self.hooks.extend(hook().map(|hook| (ifindex, hook)));
        let hook = hook();
        self.watch_hook(ifindex, hook);
    }

    pub(super) fn watch_hook(&mut self, ifindex: u32, hook: Option<Hook>) {
        let attachment = self.hook_watch.set(ifindex, hook).unwrap_or_else(|error| {
            warn!(%error, "a silent master is replaced even if another process has detached the program");
            None
        });
        self.inputs.push(Input::Attachment { ifindex, attachment });
    }
}
