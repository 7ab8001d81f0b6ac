//! Network managers that remove addresses, routes and rules which they have not set. The daemon sets them again, and
//! keeps a source address that is missing for 3 s, so none of their settings is needed.

use super::interfaces::here;
use super::{Facts, Findings};
use crate::config::Config;

pub(super) fn networkd(config: &Config, facts: &Facts, findings: &mut Findings) {
    for (name, _) in here(config, facts) {
        let note = facts.interfaces.get(name).and_then(|it| it.networkd.as_deref());
        if note.and_then(|note| value(note, "ADMIN_STATE")).is_some_and(|state| state != "unmanaged") {
            findings.ok(format!("systemd-networkd manages {name}: the daemon sets again what it removes"));
        }
    }
}

pub(super) fn network_manager(config: &Config, facts: &Facts, findings: &mut Findings) {
    for (name, _) in here(config, facts) {
        let note = facts.interfaces.get(name).and_then(|it| it.network_manager.as_deref());
        if note.and_then(|note| value(note, "managed")).is_some_and(|it| matches!(it, "true" | "1")) {
            findings.ok(format!("NetworkManager manages {name}: the daemon sets again what it removes"));
        }
    }
}

/// The value of a key in a manager's note about an interface.
fn value<'a>(note: &'a str, key: &str) -> Option<&'a str> {
    note.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::super::facts::InterfaceFacts;
    use super::super::tests::{instance, judged, on_eth0};

    #[test]
    fn a_manager_is_named_if_it_manages_the_interface() {
        let networkd_says = |state: &str| {
            let networkd = Some(format!("# private\nADMIN_STATE={state}\nOPER_STATE=routable\n"));
            let facts = on_eth0(InterfaceFacts { networkd, ..InterfaceFacts::default() });
            judged(super::networkd, &instance("", "192.0.2.1"), &facts)
        };
        assert!(networkd_says("configured")[0].starts_with("ok systemd-networkd manages eth0"));
        assert!(networkd_says("unmanaged").is_empty());
        let manager_says = |note: &str| {
            let network_manager = Some(note.to_owned());
            let facts = on_eth0(InterfaceFacts { network_manager, ..InterfaceFacts::default() });
            judged(super::network_manager, &instance("", "192.0.2.1"), &facts)
        };
        assert!(
            manager_says("[device]\nmanaged=true\nnm-owned=0\n")[0].starts_with("ok NetworkManager manages")
        );
        assert!(manager_says("[device]\nmanaged=false\n").is_empty());
    }
}
