//! Virtual MAC addresses of an instance: interface names, MAC addresses, and placement of addresses.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::ethernet::Mac;

use super::super::diagnostic::Report;
use super::super::schema::{AddressDraft, Draft, InstanceDraft, NAME_MAX, VmacDraft};
use super::super::source::At;
use super::instance::is_interface_name;
use crate::{Addresses, InstanceSettings, Name, Vmac, VmacSettings};
use vrrp_proto::Vrid;

/// Interface names used so far by the instances of one file.
pub(super) struct Names {
    own: Arc<str>,
    further: Arc<str>,
    taken: HashSet<Arc<str>>,
    /// Interfaces that instances run on, each with one of the instances.
    parents: HashMap<Arc<str>, Arc<str>>,
    /// Names written for virtual MAC interfaces, each with its instance.
    written: HashMap<Arc<str>, Arc<str>>,
}

impl Names {
    /// The interface of an instance must not be created. The `dev` of an address may name a created one.
    pub(super) fn new(draft: &Draft, report: &mut Report) -> Self {
        let (mut taken, mut parents) = (HashSet::new(), HashMap::new());
        for instance in &draft.instances {
            if let Some(parent) = &instance.interface {
                parents.insert(Arc::clone(&parent.value), Arc::clone(&instance.name.value));
            }
            let written = instance.vmacs.own.as_ref().and_then(|vmac| vmac.name.as_ref());
            let names = instance.interface.iter().chain(written);
            taken.extend(names.map(|name| Arc::clone(&name.value)));
        }
        let prefixes = &draft.globals.vmac_prefixes;
        let own = prefixes.own.as_ref().map_or_else(|| "vrrp".into(), |prefix| read_prefix(prefix, report));
        let further =
            prefixes.further.as_ref().map_or_else(|| Arc::clone(&own), |prefix| read_prefix(prefix, report));
        Self { own, further, taken, parents, written: HashMap::new() }
    }

    /// Gives the instance its virtual MAC addresses, and its addresses the interfaces that carry them.
    pub(super) fn place(&mut self, plan: Plan, settings: &mut InstanceSettings, report: &mut Report) {
        let Plan { own, transmit_base, marked, all_marked } = plan;
        let mut vmacs = VmacSettings::default();
        if let Some(draft) = own {
            vmacs.own = self.own(&draft, settings, report);
            vmacs.transmit_base = transmit_base;
            if settings.unicast.is_some() && !transmit_base {
                report
                    .warning(draft.at, "unicast adverts leave from `interface` itself, as with keepalived")
                    .help("write `vmac_xmit_base`");
                vmacs.transmit_base = true;
            }
        }
        let mut placed = Addresses::clone(&settings.addresses);
        for address in placed.advertised.iter_mut().chain(&mut placed.excluded) {
            let parent = Arc::clone(address.device.as_ref().unwrap_or(&settings.interface));
            let family = if address.address.is_ipv4() { Family::V4 } else { Family::V6 };
            let fits = vmacs.own.is_some() && parent == settings.interface && family == settings.family;
            let is_marked = marked.contains(&address.address)
                || all_marked && (parent != settings.interface || family != settings.family);
            if fits {
                address.device = None;
            } else if is_marked {
                address.device = Some(self.further(&mut vmacs.further, &parent, family, settings.vrid));
            } else if vmacs.own.is_some() {
                // The two families have different virtual MAC addresses.
                address.device = Some(parent);
            }
        }
        settings.addresses = Arc::new(placed);
        settings.vmacs = vmacs;
    }

    fn own(&mut self, draft: &VmacDraft, settings: &InstanceSettings, report: &mut Report) -> Option<Vmac> {
        let usable = draft.name.as_ref().filter(|name| {
            let is_usable = is_interface_name(&name.value);
            if !is_usable {
                let message = format!(
                    "`{}` cannot be an interface: a name has 1 to {NAME_MAX} bytes and no `/`",
                    name.value
                );
                let finding = report.left_out(name.at, message);
                if finding.is_left_out() {
                    finding.help("the interface has the standard name instead");
                }
            }
            is_usable
        });
        let written = usable.map(|name| At { value: Arc::clone(&name.value), at: name.at });
        let name = match written {
            Some(name) if !self.written.contains_key(&name.value) => {
                self.written.insert(Arc::clone(&name.value), Arc::clone(&settings.name));
                Name::Written(name.value)
            }
            other => {
                let chosen = self.choose(&Arc::clone(&self.own), settings.vrid, settings.family);
                if let Some(name) = other {
                    self.report_taken(&name, &chosen, report);
                }
                chosen
            }
        };
        if draft.name.as_ref().is_some_and(|name| name.value == settings.interface) {
            report.error(
                draft.at,
                format!(
                    "`{}` cannot be created on itself: `use_vmac` needs another name",
                    settings.interface
                ),
            );
            return None;
        }
        if let Name::Written(name) = &name
            && let Some(instance) = self.parents.get(name)
        {
            let message =
                format!("`{name}` cannot be created: it is the interface of vrrp_instance `{instance}`");
            report.error(draft.at, message).help("give `use_vmac` another name, or none");
            return None;
        }
        let mac = draft.mac.as_ref().and_then(|mac| written_mac(mac, settings.vrid, report));
        Some(Vmac {
            name,
            parent: Arc::clone(&settings.interface),
            mac: mac.unwrap_or_else(|| standard_mac(settings.vrid, settings.family)),
            family: settings.family,
            group: draft.group,
            notify: draft.notify,
        })
    }

    fn report_taken(&self, name: &At<Arc<str>>, chosen: &Name, report: &mut Report) {
        let At { value: name, at } = name;
        let holder = self.written.get(name).map_or("?", |instance| &**instance);
        let message = format!(
            "vrrp_instance `{holder}` already uses the name `{name}`; `{}` is created instead, as with keepalived",
            chosen.as_arc()
        );
        report.warning(*at, message).help("give each instance a name of its own, or none");
    }

    /// The name of a further virtual MAC interface, one for each interface and family.
    fn further(
        &mut self,
        further: &mut Vec<Vmac>,
        parent: &Arc<str>,
        family: Family,
        vrid: Vrid,
    ) -> Arc<str> {
        let known = further.iter().find(|vmac| vmac.parent == *parent && vmac.family == family);
        if let Some(vmac) = known {
            return Arc::clone(vmac.name.as_arc());
        }
        let name = self.choose(&Arc::clone(&self.further), vrid, family);
        let chosen = Arc::clone(name.as_arc());
        let mac = standard_mac(vrid, family);
        further.push(Vmac { name, parent: Arc::clone(parent), mac, family, group: 0, notify: false });
        chosen
    }

    fn choose(&mut self, prefix: &Arc<str>, vrid: Vrid, family: Family) -> Name {
        let taken = &self.taken;
        // A prefix leaves room for 999 names; only a contrived file uses up those of one VRID.
        let name = Name::choose(prefix, vrid, family, |name| taken.contains(name))
            .unwrap_or_else(|| Name::Written(Arc::clone(prefix)));
        self.taken.insert(Arc::clone(name.as_arc()));
        name
    }
}

/// The virtual MAC settings of a draft, extracted before the draft is consumed.
#[derive(Debug)]
pub(super) struct Plan {
    own: Option<VmacDraft>,
    transmit_base: bool,
    /// Addresses with the option `use_vmac`.
    marked: HashSet<IpAddr>,
    /// `use_vmac_addr`.
    all_marked: bool,
}

impl Plan {
    pub(super) fn new(draft: &mut InstanceDraft, report: &mut Report) -> Self {
        let vmacs = std::mem::take(&mut draft.vmacs);
        if let (Some(at), None) = (vmacs.transmit_base, &vmacs.own) {
            report.warning(at, "`vmac_xmit_base` has no effect without `use_vmac`");
        }
        let marked = addresses(draft).filter(|address| address.vmac).map(|address| address.address.value);
        Self {
            marked: marked.collect(),
            own: vmacs.own,
            transmit_base: vmacs.transmit_base.is_some(),
            all_marked: vmacs.further,
        }
    }
}

fn addresses(draft: &InstanceDraft) -> impl Iterator<Item = &AddressDraft> {
    draft.addresses.iter().chain(&draft.excluded)
}

/// Leaves room for a digit, a point and the VRID.
const PREFIX_MAX: usize = 10;

fn read_prefix(prefix: &At<Arc<str>>, report: &mut Report) -> Arc<str> {
    let text = &prefix.value;
    if text.is_empty() || text.len() > PREFIX_MAX || text.contains('/') {
        report.error(prefix.at, format!("a prefix has 1 to {PREFIX_MAX} bytes and no `/`"));
    }
    Arc::clone(text)
}

fn standard_mac(vrid: Vrid, family: Family) -> [u8; 6] {
    Mac::of_instance(family, vrid.number()).0
}

/// `None` if keepalived uses the standard address instead.
fn written_mac(mac: &At<Vec<u8>>, vrid: Vrid, report: &mut Report) -> Option<[u8; 6]> {
    let mut octets = mac.value.clone();
    octets.resize(6, vrid.number());
    let octets: [u8; 6] = octets.try_into().ok()?;
    let why = match octets {
        [0, 0, 0x5e, 0, 1 | 2, _] => "the VRID determines an RFC 9568 address",
        [first, ..] if first & 1 != 0 => "it is a multicast address",
        [0, 0, 0, 0, 0, 0] => "it is all zeros",
        _ => return Some(octets),
    };
    report.warning(mac.at, format!("the MAC address is ignored, as with keepalived: {why}"));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_mac_address_ends_with_the_vrid() {
        let vrid = Vrid::new(51).unwrap();
        let read = |octets: &[u8]| {
            let mut report = Report::default();
            written_mac(&At { value: octets.to_vec(), at: Default::default() }, vrid, &mut report)
        };
        assert_eq!(read(&[2, 0, 0, 0, 1]), Some([2, 0, 0, 0, 1, 51]));
        assert_eq!(read(&[2, 0, 0, 0, 1, 9]), Some([2, 0, 0, 0, 1, 9]));
        assert_eq!(read(&[0, 0, 0x5e, 0, 1]), None);
        assert_eq!(read(&[1, 0, 0, 0, 0, 1]), None);
    }
}
