//! Network managers that remove addresses and routes which they have not set.

use super::interfaces::here;
use super::{Facts, Findings};
use crate::config::Config;

/// Values by which systemd-networkd keeps addresses and routes of others when it configures an interface again.
const KEEPS: [&str; 3] = ["yes", "static", "true"];

pub(super) fn networkd(config: &Config, facts: &Facts, findings: &mut Findings) {
    let mut manages = false;
    for (name, _) in here(config, facts) {
        let Some(of) = facts.interfaces.get(name) else { continue };
        let Some(note) = &of.networkd else { continue };
        let Some((path, text)) = &of.network_file else { continue };
        if value(note, None, "ADMIN_STATE").is_some_and(|state| state == "unmanaged") {
            continue;
        }
        manages = true;
        let keeps = value(text, Some("Network"), "KeepConfiguration");
        if !keeps.is_some_and(|keeps| KEEPS.contains(&keeps)) {
            let place = lasting(path);
            findings.warn(
                format!("systemd-networkd removes addresses of others when it configures {name} again"),
                format!("[Network] KeepConfiguration=static in {place}, then networkctl reload"),
            );
        }
    }
    let routed = config
        .instances
        .iter()
        .map(|it| &it.settings)
        .find(|it| !(it.routes.is_empty() && it.rules.is_empty()));
    let foreign = value(&facts.networkd, Some("Network"), "ManageForeignRoutes");
    if let Some(settings) =
        routed.filter(|_| manages && !foreign.is_some_and(|it| matches!(it, "no" | "false")))
    {
        findings.warn(
            format!("systemd-networkd removes routes and rules that it has not set; {} has some", settings.name),
            "[Network] ManageForeignRoutes=no, ManageForeignRoutingPolicyRules=no in /etc/systemd/networkd.conf",
        );
    }
    if manages && findings.is_well() {
        findings.ok("systemd-networkd keeps addresses of others (KeepConfiguration)");
    }
}

pub(super) fn network_manager(config: &Config, facts: &Facts, findings: &mut Findings) {
    for (name, _) in here(config, facts) {
        let note = facts.interfaces.get(name).and_then(|it| it.network_manager.as_deref());
        let managed = note.and_then(|note| value(note, Some("device"), "managed"));
        if managed.is_some_and(|managed| matches!(managed, "true" | "1")) {
            findings.warn(
                format!(
                    "NetworkManager manages {name}, and removes addresses of others when it activates it"
                ),
                format!("do not reapply its connection while master, or nmcli device set {name} managed no"),
            );
        }
    }
}

/// Where to change networkd's file of an interface: others generate those outside of /etc, such as netplan.
fn lasting(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((_, file)) if !path.starts_with("/etc/") => format!("/etc/systemd/network/{file}.d/keep.conf"),
        _ => path.to_owned(),
    }
}

/// The last value of a key, in a section if one is named, of a file in the form of systemd's.
fn value<'a>(text: &'a str, section: Option<&str>, key: &str) -> Option<&'a str> {
    let mut is_here = section.is_none();
    let mut found = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_here = section.is_none_or(|section| section == name);
        } else if let Some((word, value)) = line.split_once('=')
            && is_here
            && word.trim() == key
        {
            found = Some(value.trim());
        }
    }
    found.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::facts::InterfaceFacts;
    use super::super::tests::{instance, judged};
    use super::*;
    use crate::daemon::process::fit::Host;

    fn facts(of: InterfaceFacts, networkd: &str) -> Facts {
        let host = Host { links: vec![(2, "eth0".to_owned())], addresses: Vec::new() };
        let interfaces = [("eth0".to_owned(), of)].into();
        Facts { host, interfaces, networkd: networkd.to_owned(), ..Facts::default() }
    }

    fn managed(state: &str, file: &str) -> InterfaceFacts {
        InterfaceFacts {
            networkd: Some(format!(
                "ADMIN_STATE={state}\nNETWORK_FILE=/etc/systemd/network/10-eth0.network\n"
            )),
            network_file: Some(("/etc/systemd/network/10-eth0.network".to_owned(), file.to_owned())),
            ..InterfaceFacts::default()
        }
    }

    #[test]
    fn networkd_is_set_to_keep_what_others_set() {
        let of = |state: &str, file: &str| {
            judged(networkd, &instance("", "192.0.2.1"), &facts(managed(state, file), ""))
        };
        let lines = of("configured", "[Match]\nName=eth0\n[Network]\nDHCP=yes\n");
        assert!(lines[0].starts_with("warn systemd-networkd removes addresses of others"), "{lines:?}");
        assert!(
            lines[0].contains("KeepConfiguration=static in /etc/systemd/network/10-eth0.network"),
            "{lines:?}"
        );
        assert!(of("configured", "[Network]\nKeepConfiguration=dhcp\n")[0].starts_with("warn"));
        // A drop-in comes later.
        assert!(
            of("configured", "[Network]\nKeepConfiguration=no\n[Network]\nKeepConfiguration = static\n")[0]
                .starts_with("ok")
        );
        assert!(of("configured", "[Route]\nKeepConfiguration=static\n")[0].starts_with("warn"));
        assert!(of("unmanaged", "").is_empty());
    }

    #[test]
    fn a_file_that_is_generated_has_a_drop_in() {
        assert_eq!(lasting("/etc/systemd/network/10-eth0.network"), "/etc/systemd/network/10-eth0.network");
        assert_eq!(
            lasting("/run/systemd/network/10-netplan-eth0.network"),
            "/etc/systemd/network/10-netplan-eth0.network.d/keep.conf"
        );
    }

    #[test]
    fn routes_need_networkd_to_leave_foreign_ones() {
        let config =
            instance("virtual_routes {\n198.51.100.0/24 via 192.0.2.254 dev eth0\n}", "192.0.2.1/24");
        let of = |networkd: &str| {
            let kept = managed("configured", "[Network]\nKeepConfiguration=static\n");
            judged(super::networkd, &config, &facts(kept, networkd))
        };
        assert!(of("")[0].starts_with("warn systemd-networkd removes routes and rules"), "{:?}", of(""));
        assert!(of("[Network]\nManageForeignRoutes=no\n")[0].starts_with("ok"));
    }

    #[test]
    fn network_manager_is_reported_if_it_manages_the_interface() {
        let of = |note: &str| {
            let interface =
                InterfaceFacts { network_manager: Some(note.to_owned()), ..InterfaceFacts::default() };
            judged(network_manager, &instance("", "192.0.2.1"), &facts(interface, ""))
        };
        assert!(
            of("[device]\nmanaged=true\nnm-owned=0\n")[0].starts_with("warn NetworkManager manages eth0")
        );
        assert!(of("[device]\nmanaged=false\n").is_empty());
    }
}
