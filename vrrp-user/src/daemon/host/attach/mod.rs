//! Attachment to interfaces: the receive path of each.
//!
//! Enters: interfaces and source addresses as the netlink monitor finds them. Leaves: slots and keys in the maps,
//! programs and group memberships on interfaces, listeners for the engine. Runs on the ordinary threads: attaching
//! costs milliseconds.

mod above;
mod foreign;
mod mend;
pub(in crate::daemon) mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tracing::{info, warn};
use vrrp_ebpf::map::InstanceKey;
use vrrp_ebpf::time::Timestamp;

use super::fence::Fence;
use super::leftovers::detach_filters;
use super::reception::ReceptionMonitor;
use super::vmacs::Carrier;
use crate::config::{InstanceSettings, words};
use crate::daemon::history::{History, RxPathNote};
use crate::daemon::live::LiveState;
use crate::daemon::outbox::Outbox;
use crate::daemon::process::options::XdpMode;
use crate::daemon::queue::{ConfigurationChanges, Input, Queue};
use crate::driver::RxPath;
use crate::driver::locals::locals;
use crate::driver::maps::Maps;
use crate::driver::netlink::changes::Changes;
use crate::driver::netlink::filter::Filter;
use crate::driver::netlink::table::Table;
use crate::driver::socket::{Listener, Membership, Memberships};
use crate::driver::xdp::{Attached, Hook, HookWatch, Mode, PinError, Pins, Program};
use crate::protocol::{ConfiguredInstance, InstanceId};

#[derive(Debug)]
pub struct Attachments {
    instances: BTreeMap<InstanceId, Arc<InstanceSettings>>,
    /// `None` if the socket was asked for, or the program could not be loaded.
    program: Option<Program>,
    /// Why there is no program.
    without_program: Option<String>,
    mode: XdpMode,
    maps: Arc<Maps>,
    live: Arc<LiveState>,
    inputs: Outbox<Input>,
    history: Arc<History>,
    /// By interface index.
    rx_paths: HashMap<u32, RxPath>,
    /// Where each instance is attached now.
    places: BTreeMap<InstanceId, AttachPlace>,
    memberships: Memberships,
    /// The program's attachments by interface, if the kernel can report on them.
    hooks: HashMap<u32, Hook>,
    /// The same for the engine.
    hook_watch: HookWatch,
    /// The engine's packet sockets by interface. Closing the last descriptor of one waits for all processors, which the
    /// engine must not: those that it has given up are kept a while longer.
    listeners: HashMap<u32, OwnedFd>,
    retiring: Vec<OwnedFd>,
    retired: Vec<OwnedFd>,
    /// Interfaces with virtual MAC addresses that the program could not be attached to, by index.
    refused: HashSet<u32>,
    fence: Fence,
    /// Changes of interfaces wait for [`Self::settle_fence`].
    is_fence_held: bool,
    reception: ReceptionMonitor,
    /// The latest round of it has found faults.
    has_faults: bool,
    /// A receive path has changed since [`Self::take_change`].
    has_changed: bool,
    /// When last, and how often in a row, the program was put before others that came before it, by interface index.
    preceded: HashMap<u32, (Timestamp, u32)>,
    /// Interfaces on which others come before it again and again.
    hidden: HashSet<u32>,
    foreign: foreign::Answers,
    /// When the attachments were looked at last.
    looked: Timestamp,
    filter_changes: Option<Changes>,
    /// When it was last tried to attach the program in the place of packet sockets.
    climbed: Timestamp,
    /// Interfaces whose hook another program had at the latest attempt.
    busy: HashSet<u32>,
}

#[derive(Debug, Default)]
struct AttachPlace {
    ifindex: Option<u32>,
    membership: Option<Arc<Membership>>,
    source: Option<IpAddr>,
    /// The failure to join the group was logged.
    is_refused: bool,
}

impl Attachments {
    pub fn new(
        instances: BTreeMap<InstanceId, Arc<InstanceSettings>>,
        program: Result<Program, String>,
        mode: XdpMode,
        maps: Arc<Maps>,
        live: Arc<LiveState>,
        history: Arc<History>,
        inputs: Queue<Input>,
    ) -> Self {
        let (program, without_program) = match program {
            Ok(program) => (Some(program), None),
            Err(reason) => (None, Some(reason)),
        };
        let ids: Vec<InstanceId> = instances.keys().copied().collect();
        let places = ids.iter().map(|id| (*id, AttachPlace::default())).collect();
        let mut this = Self {
            instances,
            program,
            without_program,
            mode,
            maps,
            live,
            inputs: Outbox::new(inputs),
            history,
            rx_paths: HashMap::new(),
            places,
            memberships: Memberships::default(),
            hooks: HashMap::new(),
            hook_watch: HookWatch::default(),
            listeners: HashMap::new(),
            retiring: Vec::new(),
            retired: Vec::new(),
            refused: HashSet::new(),
            fence: Fence::default(),
            is_fence_held: false,
            reception: ReceptionMonitor::default(),
            has_faults: false,
            has_changed: false,
            preceded: HashMap::new(),
            hidden: HashSet::new(),
            foreign: foreign::Answers::default(),
            looked: Timestamp::ZERO,
            filter_changes: Changes::of_filters().ok(),
            climbed: Timestamp::ZERO,
            busy: HashSet::new(),
        };
        ids.into_iter().for_each(|instance| this.write_slot(instance));
        this
    }

    /// Takes other settings. New instances wait for their interfaces.
    pub fn adopt(&mut self, changes: &ConfigurationChanges) {
        for &instance in &changes.removed {
            let place = self.places.remove(&instance);
            if let Some(ifindex) = place.and_then(|place| place.ifindex) {
                self.forget(instance, ifindex);
            }
            self.instances.remove(&instance);
            self.retain_allowed_peers(instance, &[]);
        }
        for ConfiguredInstance { id, effects, .. } in &changes.configured {
            let old = self.instances.insert(*id, Arc::clone(effects));
            if old.is_none() {
                self.maps.forget(*id);
            }
            self.write_slot(*id);
            let group = |it: &InstanceSettings| it.unicast.is_none().then(|| it.group());
            if old.is_some_and(|old| group(&old) != group(effects)) {
                self.join(*id);
            }
        }
        self.fence();
    }

    /// The instance's interface is there under this index, or is gone.
    pub fn set_interface(&mut self, instance: InstanceId, ifindex: Option<u32>) {
        if !self.instances.contains_key(&instance) {
            return;
        }
        let place = self.places.entry(instance).or_default();
        if place.ifindex == ifindex {
            return;
        }
        place.membership = None;
        if let Some(old) = place.ifindex.take() {
            self.leave(instance, old);
        }
        if let Some(ifindex) = ifindex {
            self.enter(instance, ifindex);
        }
        if !self.is_fence_held {
            self.fence();
        }
    }

    /// Changes of interfaces leave the fence as it is, until [`Self::settle_fence`]: each one costs as much as all of
    /// them together. For instances that do not take part yet.
    pub fn hold_fence(&mut self) {
        self.is_fence_held = true;
    }

    /// Fences what has changed since [`Self::hold_fence`].
    pub fn settle_fence(&mut self) {
        if std::mem::take(&mut self.is_fence_held) {
            self.fence();
        }
    }

    /// Passes on what the engine had no room for. False if some of it still waits, and other inputs must too.
    pub fn flush(&mut self) -> bool {
        self.inputs.flush()
    }

    /// Whether a receive path has changed since the last call.
    pub fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// Names of all pins, folders after what is in them.
    pub fn pins(&self) -> Vec<PathBuf> {
        self.program.as_ref().map_or_else(Vec::new, Program::pinned)
    }

    /// Whether the program stays on every interface when the daemon is killed.
    pub fn outlive(&self) -> bool {
        let mut programs = self.rx_paths.iter().filter(|(_, rx_path)| rx_path.is_program());
        self.program.as_ref().is_some_and(|program| programs.all(|(ifindex, _)| program.outlives(*ifindex)))
    }

    /// The program's tc filters, which stay until they are removed.
    pub fn filters(&self) -> Vec<Filter> {
        self.program.as_ref().map_or_else(Vec::new, Program::filters)
    }

    fn fence(&mut self) {
        let Self { program: Some(program), instances, places, rx_paths, live, fence, .. } = self else {
            return;
        };
        let place =
            |(id, place): (&InstanceId, &AttachPlace)| Some((*id, &**instances.get(id)?, place.ifindex?));
        let placed = places.iter().filter_map(place);
        if let Err(error) = fence.set(program, placed.clone()) {
            warn!(%error, "some addresses are not fenced: they are answered for without a lease");
        }
        for (instance, settings, ifindex) in placed {
            let is_program = rx_paths.get(&ifindex).is_some_and(|rx_path| rx_path.is_program());
            if let Some(live) = live.instances.get(instance.index()) {
                live.fenced.store(is_program && fence.encloses(settings, ifindex), Relaxed);
            }
        }
    }

    /// Sets the instance's own source address: an advert from it is a loop.
    pub fn set_source(&mut self, instance: InstanceId, source: Option<IpAddr>) {
        let place = self.places.entry(instance).or_default();
        let before = std::mem::replace(&mut place.source, source);
        // The kernel forgets memberships when a family loses its addresses, as with an MTU that is too small for it.
        if source.is_none() {
            place.membership = None;
        } else if before.is_none() {
            self.join(instance);
        }
        self.write_slot(instance);
    }

    fn join(&mut self, instance: InstanceId) {
        let (Some(settings), Some(place)) = (self.instances.get(&instance), self.places.get_mut(&instance))
        else {
            return;
        };
        let (interface, group) = (&settings.interface, settings.group());
        // The kernel counts members: an old socket that closes later would end the membership of the new one.
        place.membership = None;
        place.membership = match (&settings.unicast, place.ifindex) {
            (None, Some(ifindex)) => self
                .memberships
                .of(group, ifindex)
                .inspect_err(|error| {
                    if !std::mem::replace(&mut place.is_refused, true) {
                        warn!(%interface, %group, %error, "cannot join the group");
                    }
                })
                .inspect(|_| place.is_refused = false)
                .ok(),
            _ => None,
        };
    }

    /// Sets the present interfaces with virtual MAC addresses.
    pub fn set_carriers(&mut self, carriers: &[Carrier]) {
        let Some(program) = &mut self.program else { return };
        let there: HashSet<u32> = carriers.iter().map(|carrier| carrier.ifindex).collect();
        program.retain_mld_rewrites(|ifindex| there.contains(&ifindex));
        self.refused.retain(|ifindex| there.contains(ifindex));
        for Carrier { ifindex, interface, parent_mac } in carriers {
            if !self.refused.contains(ifindex)
                && let Err(error) = program.rewrite_mld_as(*ifindex, interface, *parent_mac)
            {
                warn!(%interface, %error, "reports of group membership leave with the virtual MAC address");
                self.refused.insert(*ifindex);
            }
        }
    }

    /// Sets the host's own addresses. Call it before instances learn of a change.
    pub fn set_locals(&mut self, table: &Table) {
        let (new, gone) = self.maps.locals().set(locals(table));
        if let Some(program) = &mut self.program
            && let Err(error) = program.set_locals(&new, &gone)
        {
            warn!(%error, "cannot receive unicast adverts to some addresses of this host");
        }
    }

    fn enter(&mut self, instance: InstanceId, ifindex: u32) {
        let Some(settings) = self.instances.get(&instance) else { return };
        let (family, vrid) = (settings.family, settings.vrid);
        let interface = Arc::clone(&settings.interface);
        self.places.entry(instance).or_default().ifindex = Some(ifindex);
        self.join(instance);
        let key = InstanceKey::new(ifindex, 0, family, vrid.number());
        // The slot is complete before its key makes it reachable.
        if let Some(program) = &mut self.program
            && let Err(error) = program.insert(key, instance)
        {
            warn!(%interface, %error, "cannot add the instance to the program");
        }
        // Of adverts that have come before.
        self.maps.forget_unknown_router(key);
        let known = self.rx_paths.get(&ifindex).copied();
        let rx_path = known.unwrap_or_else(|| self.climb(ifindex, &interface));
        if let Some(live) = self.live.instances.get(instance.index()) {
            live.rx_path.store(rx_path as u8, Relaxed);
        }
    }

    /// Attaches the best receive path that the interface offers.
    fn climb(&mut self, ifindex: u32, interface: &Arc<str>) -> RxPath {
        let attached = self.attach_below(ifindex, interface);
        self.stand(ifindex, interface, attached)
    }

    fn climb_on(&mut self, ifindex: u32, interface: &Arc<str>) -> RxPath {
        let attached = self.attach(ifindex, interface);
        self.stand(ifindex, interface, attached)
    }

    /// Records the receive path of an interface: what is attached now, or else a packet socket.
    fn stand(
        &mut self,
        ifindex: u32,
        interface: &Arc<str>,
        attached: Result<Attached, Vec<String>>,
    ) -> RxPath {
        self.observe(ifindex);
        let (rx_path, reasons) = match attached {
            Ok(Attached { rx_path, skipped }) => (rx_path, skipped),
            Err(mut reasons) => match Listener::open(ifindex) {
                Ok(listener) => {
                    self.listeners.extend(listener.keep().map(|kept| (ifindex, kept)));
                    self.inputs.push(Input::Listen { ifindex, listener: Box::new(listener) });
                    (RxPath::Socket, reasons)
                }
                Err(error) => {
                    reasons.push(format!("socket: {error}"));
                    (RxPath::None, reasons)
                }
            },
        };
        let reasons = words(reasons.join("; "));
        let note = RxPathNote { rx_path, why: reasons.clone() };
        let before = self.history.rx_path(Arc::clone(interface), note.clone());
        match rx_path {
            RxPath::None if before == Some(note) => {}
            RxPath::None => warn!(%interface, reasons, "adverts cannot be heard; trying again every second"),
            RxPath::Socket if self.mode != XdpMode::Socket => {
                warn!(%interface, reasons, "adverts are heard on a packet socket");
            }
            _ => info!(%interface, receive_path = rx_path.as_str(), reasons, "adverts are heard"),
        }
        self.rx_paths.insert(ifindex, rx_path);
        self.has_changed = true;
        rx_path
    }

    fn unlisten(&mut self, ifindex: u32) {
        self.inputs.push(Input::Unlisten(ifindex));
        self.retiring.extend(self.listeners.remove(&ifindex));
    }

    fn attach(&mut self, ifindex: u32, interface: &str) -> Result<Attached, Vec<String>> {
        let Some(mode) = self.mode.of_program() else { return Err(Vec::new()) };
        let Some(program) = &mut self.program else {
            return Err(self.without_program.iter().cloned().collect());
        };
        if self.hidden.contains(&ifindex) {
            program.detach(ifindex);
            return Err(vec!["another program comes before ours again and again".to_owned()]);
        }
        self.busy.remove(&ifindex);
        let attached = program.attach(ifindex, interface, mode).map_err(|error| {
            self.busy.extend(error.is_busy.then_some(ifindex));
            error.refusals
        })?;
        // Another daemon's pins are in the way until this one has replaced it.
        if !program.outlives(ifindex) && (program.pins().is_some() || !program.keeps_pins()) {
            warn!(%interface, receive_path = attached.rx_path.as_str(), "the program ends with the daemon here: a killed daemon's \
                addresses are answered for until they are removed");
            self.history.unpinned(format!("the program on {interface} ends with the daemon"));
        }
        Ok(attached)
    }

    /// Replaces the program of a daemon that has left: takes its XDP hooks, which were in use until now, and removes
    /// its attachments beside ours.
    ///
    /// # Errors
    /// Its attachments or pins cannot be removed, or ours cannot be pinned.
    pub fn follow(&mut self, runtime_dir: &Path) -> Result<(), PinError> {
        let own = self.filters();
        detach_filters(runtime_dir, &own, &self.history.host_faults);
        let pins = match Pins::open(runtime_dir) {
            Err(PinError::Private) => return Ok(()),
            opened => opened?,
        };
        let Self { program: Some(program), rx_paths, mode, .. } = self else {
            return pins.clear().map(drop);
        };
        let mode = mode.of_program().unwrap_or(Mode::Tcx);
        let known: HashSet<u32> = rx_paths.keys().copied().collect();
        let (taken, outcome) = program.follow(pins, mode, |ifindex| known.contains(&ifindex));
        for (ifindex, rx_path) in taken {
            self.rx_paths.insert(ifindex, rx_path);
            self.unlisten(ifindex);
            for (id, _) in self.places.iter().filter(|(_, place)| place.ifindex == Some(ifindex)) {
                if let Some(live) = self.live.instances.get(id.index()) {
                    live.rx_path.store(rx_path as u8, Relaxed);
                }
                if let Some(settings) = self.instances.get(id) {
                    let interface = Arc::clone(&settings.interface);
                    self.history.rx_path(interface, RxPathNote { rx_path, why: String::new() });
                }
            }
        }
        let programs: Vec<u32> = self
            .rx_paths
            .iter()
            .filter(|(_, rx_path)| rx_path.is_program())
            .map(|(ifindex, _)| *ifindex)
            .collect();
        programs.into_iter().for_each(|ifindex| self.observe(ifindex));
        self.fence();
        outcome
    }

    /// Detaches from interfaces that no instance uses any more.
    pub fn prune(&mut self) {
        let rx_paths: Vec<u32> = self.rx_paths.keys().copied().collect();
        rx_paths.into_iter().for_each(|ifindex| self.abandon(ifindex));
    }

    fn leave(&mut self, instance: InstanceId, ifindex: u32) {
        self.forget(instance, ifindex);
        self.abandon(ifindex);
    }

    fn forget(&mut self, instance: InstanceId, ifindex: u32) {
        let Some(settings) = self.instances.get(&instance) else { return };
        self.maps.disarm(instance);
        if let Some(program) = &mut self.program {
            // It is not there if the interface was never known.
            let _ = program.remove(InstanceKey::new(ifindex, 0, settings.family, settings.vrid.number()));
        }
    }

    /// Detaches from an interface, unless an instance uses it.
    fn abandon(&mut self, ifindex: u32) {
        if self.places.values().any(|place| place.ifindex == Some(ifindex)) {
            return;
        }
        if let Some(program) = &mut self.program {
            program.detach(ifindex);
        }
        self.hooks.remove(&ifindex);
        self.watch_hook(ifindex, None);
        self.unlisten(ifindex);
        self.rx_paths.remove(&ifindex);
        self.preceded.remove(&ifindex);
        self.hidden.remove(&ifindex);
        self.busy.remove(&ifindex);
    }
}
