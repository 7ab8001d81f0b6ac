//! Interfaces with virtual MAC addresses, for as long as the daemon runs.
//!
//! Enters: the configuration, and changes of links. Leaves: the interfaces, made before any instance starts, made again
//! when their parent comes or another process deletes them, removed at the end; and the settings that their parents
//! need meanwhile. Runs on the main thread: the kernel takes milliseconds for an interface.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};
use vrrp_ebpf::time::Timestamp;
use vrrp_ebpf::wire::Family;

use super::sysctls::{HostSysctl, PARENT, SILENT_IGMP, Sysctls};
use crate::config::{Addresses, Config, Instance, InstanceSettings, Name, Vmac, words};
use crate::driver::netlink::link::Link;
use crate::driver::netlink::socket::RouteSocket;
use crate::driver::netlink::table::Table;
use crate::driver::netlink::vmac::{self, Origin, VmacError};
use crate::driver::{clock, ownership};

/// Between two attempts to make one interface: an attempt that fails half-way is itself a change of links.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Vmacs {
    socket: RouteSocket,
    wanted: Vec<Wanted>,
    parents: Sysctls,
    silent_igmp: HostSysctl,
}

/// A present interface with a virtual MAC address.
#[derive(Clone, Debug)]
pub struct Carrier {
    pub ifindex: u32,
    pub interface: Arc<str>,
    pub parent_mac: [u8; 6],
}

#[derive(Debug)]
struct Wanted {
    vmac: Vmac,
    /// Why it could not be made, and when the attempt was if it is to be repeated.
    failed: Option<(Option<Timestamp>, String)>,
}

impl Vmacs {
    /// Makes what can be made now of all that the configuration wants, under names that are free. `folder` is the
    /// runtime directory.
    ///
    /// # Errors
    /// The kernel could not be queried. Interfaces that cannot be made are logged and tried again.
    pub fn prepare(config: &mut Config, folder: &Path) -> io::Result<Self> {
        let (wanted, parents) = (Vec::new(), Sysctls::new(&PARENT, folder));
        let silent_igmp = HostSysctl::new(&SILENT_IGMP, folder);
        let mut this = Self { socket: RouteSocket::open()?, wanted, parents, silent_igmp };
        this.add(config)?;
        this.parents.set_back_earlier();
        Ok(this)
    }

    /// Interfaces that could not be made, by name, and why.
    pub fn missing(&self) -> impl Iterator<Item = (Arc<str>, String)> {
        self.wanted.iter().filter_map(|Wanted { vmac, failed }| {
            let (_, reason) = failed.as_ref()?;
            Some((Arc::clone(vmac.name.as_arc()), reason.clone()))
        })
    }

    /// Interfaces from which the kernel sends MLD reports: each IPv6 address is a member of a group.
    pub fn carriers(&self, table: &Table) -> Vec<Carrier> {
        let reporting =
            self.wanted.iter().map(|wanted| &wanted.vmac).filter(|vmac| vmac.family == Family::V6);
        let carrier = |vmac: &Vmac| {
            let interface = Arc::clone(vmac.name.as_arc());
            let (ifindex, parent) = (table.link(&interface)?.ifindex, table.link(&vmac.parent)?);
            Some(Carrier { ifindex, interface, parent_mac: parent.mac? })
        };
        reporting.filter_map(carrier).collect()
    }

    /// Makes what another configuration wants in addition; what both want stays as it is.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn add(&mut self, config: &mut Config) -> io::Result<()> {
        let vmacs = |config: &Config| -> Vec<Vmac> {
            config.instances.iter().flat_map(|instance| instance.settings.vmacs.all()).cloned().collect()
        };
        if !vmacs(config).is_empty() {
            let links = Link::list(&mut self.socket)?;
            settle_names(&mut config.instances, &links, &self.wanted);
        }
        let Self { socket, wanted, parents, .. } = self;
        for vmac in vmacs(config) {
            if !wanted.iter().any(|known| known.vmac == vmac) {
                let mut new = Wanted { vmac, failed: None };
                make(socket, parents, &mut new);
                wanted.push(new);
            }
        }
        if let Err(error) = self.silent_igmp.want(config.globals.silent_igmp) {
            warn!(%error, "cannot disable IGMP reports");
        }
        Ok(())
    }

    /// Removes what only an earlier configuration wanted, and restores the parents that carry no interface any more.
    pub fn prune(&mut self, config: &Config) {
        let kept: Vec<_> =
            config.instances.iter().flat_map(|instance| instance.settings.vmacs.all()).collect();
        let Self { socket, wanted, parents, .. } = self;
        let identity = |vmac: &Vmac| (Arc::clone(vmac.name.as_arc()), Arc::clone(&vmac.parent), vmac.mac);
        // If only other settings have changed, the interface stays.
        let staying: HashSet<_> = kept.iter().map(|vmac| identity(vmac)).collect();
        let (old, new) = wanted.drain(..).partition(|wanted| !kept.contains(&&wanted.vmac));
        *wanted = new;
        let gone: Vec<Wanted> = old;
        remove(socket, gone.iter().map(|gone| &gone.vmac).filter(|vmac| !staying.contains(&identity(vmac))));
        let stands_on =
            |parent: &Arc<str>| kept.iter().any(|vmac| vmac.family == Family::V4 && vmac.parent == *parent);
        parents.retain(stands_on);
    }

    /// Removes all, and restores all parents.
    pub fn clear(&mut self) {
        if !ownership::is_ours() {
            return;
        }
        let Self { socket, wanted, parents, .. } = self;
        remove(socket, wanted.iter().map(|wanted| &wanted.vmac));
        wanted.clear();
        parents.retain(|_| false);
    }

    /// Makes missing interfaces again, if their parent is there. Returns when to repeat failed attempts.
    pub fn keep(&mut self, table: &Table) -> Option<Duration> {
        let Self { socket, wanted, parents, silent_igmp } = self;
        silent_igmp.keep();
        let mut again = None;
        for wanted in wanted {
            let Some(parent) = table.link(&wanted.vmac.parent) else { continue };
            let is_held = parents.is_current(&parent.name, parent.ifindex);
            if is_held && table.link(wanted.vmac.name.as_arc()).is_some() {
                continue;
            }
            let failed_at = |wanted: &Wanted| wanted.failed.as_ref().and_then(|(at, _)| *at);
            if failed_at(wanted).is_none_or(|at| clock::now().since(at) >= RETRY) {
                make(socket, parents, wanted);
            }
            again = failed_at(wanted).map(|at| RETRY.saturating_sub(clock::now().since(at))).or(again);
        }
        again
    }
}

impl Drop for Vmacs {
    fn drop(&mut self) {
        self.clear();
        // Last: sockets and interfaces that are gone leave their groups in silence.
        self.silent_igmp.set_back();
    }
}

fn remove<'a>(socket: &mut RouteSocket, vmacs: impl Iterator<Item = &'a Vmac>) {
    let vmacs: Vec<_> = vmacs.collect();
    if !vmacs.is_empty()
        && let Err(error) = vmac::remove(socket, &vmacs)
    {
        warn!(%error, "cannot remove interfaces with virtual MAC addresses");
    }
}

fn make(socket: &mut RouteSocket, parents: &mut Sysctls, wanted: &mut Wanted) {
    let vmac = &wanted.vmac;
    let (interface, parent) = (vmac.name.as_arc(), &vmac.parent);
    // Before anything on it can answer.
    let held = if vmac.family == Family::V4 { parents.hold(socket, parent) } else { Ok(()) };
    let refused = |source| {
        let (interface, action) = (parent.to_string(), "cannot be given its settings");
        VmacError::Refused { interface, action, source }
    };
    match held.map_err(refused).and_then(|()| vmac::ensure(socket, vmac)) {
        Ok(origin) => {
            wanted.failed = None;
            let mac = vmac.mac.map(|octet| format!("{octet:02x}")).join(":");
            match origin {
                Origin::Made => {
                    info!(%interface, %parent, mac, "made the interface with the virtual MAC address");
                }
                Origin::Adopted => {
                    info!(%interface, %parent, mac, "took over the interface with the virtual MAC address");
                }
            }
        }
        Err(error) => {
            let reason = words(&error);
            if wanted.failed.as_ref().is_none_or(|(_, last)| *last != reason) {
                warn!("cannot make an interface with a virtual MAC address: {reason}");
            }
            // A parent that comes is a change of links, which leads here again.
            let at = if matches!(error, VmacError::NoParent { .. }) { None } else { Some(clock::now()) };
            wanted.failed = Some((at, reason));
        }
    }
}

/// Settles chosen names: takes that of an interface left by an earlier run, and gives way to interfaces of others and
/// to names in use here.
fn settle_names(instances: &mut [Instance], links: &[Link], in_use: &[Wanted]) {
    let vmacs = instances.iter().flat_map(|instance| instance.settings.vmacs.all());
    let written = vmacs.filter(|vmac| matches!(vmac.name, Name::Written(_)));
    let mut taken: HashSet<Arc<str>> = written.map(|vmac| Arc::clone(vmac.name.as_arc())).collect();
    for instance in instances.iter_mut().filter(|instance| instance.settings.vmacs.all().next().is_some()) {
        let InstanceSettings { vmacs, addresses, .. } = Arc::make_mut(&mut instance.settings);
        for vmac in vmacs.own.iter_mut().chain(&mut vmacs.further) {
            let Name::Chosen { name, prefix, vrid } = vmac.name.clone() else { continue };
            // On another parent or in another mode, it is made again.
            let is_left = |link: &Link| {
                let is_in_use = in_use.iter().any(|wanted| **wanted.vmac.name.as_arc() == *link.name);
                !is_in_use && link.macvlan.is_some() && link.mac == Some(vmac.mac)
            };
            let is_taken = |name: &str| {
                taken.contains(name) || links.iter().any(|link| *link.name == *name && !is_left(link))
            };
            if let Some(same) = vmac::find(links, vmac).filter(|same| !taken.contains(&*same.name)) {
                vmac.name = Name::Chosen { name: same.name.as_str().into(), prefix, vrid };
            } else if is_taken(&name)
                && let Some(free) = Name::choose(&prefix, vrid, vmac.family, is_taken)
            {
                warn!("interface {name} exists already; making {} instead", free.as_arc());
                vmac.name = free;
            }
            taken.insert(Arc::clone(vmac.name.as_arc()));
            rename(addresses, &name, vmac.name.as_arc());
        }
    }
}

/// Addresses on a further interface follow its new name.
fn rename(addresses: &mut Arc<Addresses>, from: &Arc<str>, to: &Arc<str>) {
    if from == to {
        return;
    }
    let addresses = Arc::make_mut(addresses);
    for address in addresses.advertised.iter_mut().chain(&mut addresses.excluded) {
        if address.device.as_ref() == Some(from) {
            address.device = Some(Arc::clone(to));
        }
    }
}
