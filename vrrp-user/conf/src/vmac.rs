//! Virtual MAC addresses (RFC 9568 §7.3) and the interfaces that carry them.

use std::sync::Arc;

use vrrp_ebpf::wire::Family;
use vrrp_proto::Vrid;

/// A macvlan interface with the virtual MAC address of an instance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vmac {
    pub name: Name,
    /// The interface that it is created on.
    pub parent: Arc<str>,
    pub mac: [u8; 6],
    /// Of the addresses that it carries.
    pub family: Family,
    /// Interface group that it joins (`ip link set group`); 0 is the default one.
    pub group: u32,
    /// Have the kernel report the parent's state again once it is created: a parent that cannot filter by address, for
    /// example a bridge, becomes promiscuous without a notification.
    pub notify: bool,
}

/// The virtual MAC addresses of an instance, and their use.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct VmacSettings {
    /// Carries the addresses that name no interface of their own, and sends the adverts.
    pub own: Option<Vmac>,
    /// Adverts leave from the parent of `own`, with its MAC address.
    pub transmit_base: bool,
    /// For addresses that name one of these interfaces.
    pub further: Vec<Vmac>,
}

impl VmacSettings {
    pub fn all(&self) -> impl Iterator<Item = &Vmac> {
        self.own.iter().chain(&self.further)
    }

    /// Whether the kernel keeps adverts on `interface` from its sockets: a macvlan in private mode takes multicast
    /// frames from its own MAC address, which every master with a virtual one sends from (`macvlan_handle_frame`).
    pub fn keep_from_sockets(&self, interface: &Arc<str>) -> bool {
        self.all().any(|vmac| vmac.parent == *interface)
    }

    /// The interface that adverts leave from, if it is not the instance's.
    pub fn sender(&self) -> Option<&Arc<str>> {
        self.own.as_ref().filter(|_| !self.transmit_base).map(|vmac| vmac.name.as_arc())
    }
}

/// Name of an interface that the daemon creates.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Name {
    /// As written in the configuration.
    Written(Arc<str>),
    /// Made from `prefix`; another name is chosen if an interface of this name exists.
    Chosen { name: Arc<str>, prefix: Arc<str>, vrid: Vrid },
}

impl Name {
    pub fn as_arc(&self) -> &Arc<str> {
        match self {
            Self::Written(name) | Self::Chosen { name, .. } => name,
        }
    }

    /// The first free name, in keepalived's order: PREFIX.VRID, for IPv6 PREFIX6.VRID, then PREFIX1.VRID and so on.
    /// `None` if all are taken or too long.
    pub fn choose(
        prefix: &Arc<str>,
        vrid: Vrid,
        family: Family,
        is_taken: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        let second = (family == Family::V6).then_some(6);
        let numbers = second.into_iter().chain((1..=255).filter(|number| Some(*number) != second));
        let plain = format!("{prefix}.{}", vrid.number());
        let names = std::iter::once(plain)
            .chain(numbers.map(|number: u16| format!("{prefix}{number}.{}", vrid.number())));
        let free = names.take_while(|name| name.len() <= NAME_MAX).find(|name| !is_taken(name))?;
        Some(Self::Chosen { name: free.into(), prefix: Arc::clone(prefix), vrid })
    }
}

/// Bytes of an interface's name, without the closing zero (IFNAMSIZ).
const NAME_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(prefix: &str, family: Family, taken: &[&str]) -> Option<String> {
        let vrid = Vrid::new(51).unwrap();
        let name = Name::choose(&prefix.into(), vrid, family, |name| taken.contains(&name))?;
        Some(name.as_arc().to_string())
    }

    #[test]
    fn names_are_tried_in_keepalived_s_order() {
        assert_eq!(chosen("vrrp", Family::V4, &[]).unwrap(), "vrrp.51");
        assert_eq!(chosen("vrrp", Family::V4, &["vrrp.51"]).unwrap(), "vrrp1.51");
        assert_eq!(chosen("vrrp", Family::V6, &[]).unwrap(), "vrrp.51");
        assert_eq!(chosen("vrrp", Family::V6, &["vrrp.51"]).unwrap(), "vrrp6.51");
        assert_eq!(chosen("vrrp", Family::V6, &["vrrp.51", "vrrp6.51"]).unwrap(), "vrrp1.51");
        let six = ["vrrp.51", "vrrp6.51", "vrrp1.51", "vrrp2.51", "vrrp3.51", "vrrp4.51", "vrrp5.51"];
        assert_eq!(chosen("vrrp", Family::V6, &six).unwrap(), "vrrp7.51");
    }

    #[test]
    fn a_name_that_the_kernel_would_cut_is_no_name() {
        assert_eq!(chosen("twelve_bytes", Family::V4, &[]).unwrap(), "twelve_bytes.51");
        assert_eq!(chosen("twelve_bytes", Family::V4, &["twelve_bytes.51"]), None);
    }
}
