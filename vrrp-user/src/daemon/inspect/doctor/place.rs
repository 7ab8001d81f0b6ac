//! Surroundings of the daemon: container, time namespace, clock.

use super::{Facts, Findings};
use crate::config::Config;
use crate::protocol::Auth;

pub(super) fn container(_: &Config, facts: &Facts, findings: &mut Findings) {
    let Some(kind) = &facts.container else { return };
    let is_shut_in = |name: &&String| {
        let card = facts.interfaces.get(*name).and_then(|it| it.card.as_ref());
        card.is_some_and(|card| card.leads_elsewhere && card.kind.as_deref() == Some("veth"))
    };
    match facts.interfaces.keys().find(is_shut_in) {
        // Their bridge is one of the host alone, unless it was made otherwise.
        Some(interface) if matches!(kind.as_str(), "docker" | "podman") => findings.fail(
            format!("container ({kind}): {interface} ends at a bridge of its host, and so do the addresses"),
            "give it the network of the host: --network host",
        ),
        Some(interface) => findings.warn(
            format!("container ({kind}): {interface} ends at a bridge of its host"),
            "the bridge must reach the other nodes",
        ),
        None if facts.interfaces.is_empty() => findings.ok(format!("container ({kind})")),
        None => findings.ok(format!("container ({kind}) with interfaces of the host")),
    }
}

pub(super) fn time_namespace(_: &Config, facts: &Facts, findings: &mut Findings) {
    match &facts.clock_offset {
        Some(Ok(0)) | None => {}
        Some(Ok(offset)) => {
            findings
                .ok(format!("time namespace: its clock is {} s ahead of the host's", offset / 1_000_000_000));
        }
        Some(Err(why)) => findings.warn(format!("time namespace: {why}"), "mount /proc"),
    }
}

pub(super) fn clock(config: &Config, facts: &Facts, findings: &mut Findings) {
    let signed = config.instances.iter().map(|it| &it.settings).find_map(|settings| match &settings.auth {
        Auth::Hmac(hmac) => Some((&settings.name, hmac.window_seconds()?)),
        _ => None,
    });
    let Some((name, window)) = signed else { return };
    match facts.synchronised {
        Some(true) => findings.ok("clock: synchronised, as auth_hmac needs"),
        None => findings.skip("clock: the kernel does not say whether it is synchronised"),
        Some(false) => findings.warn(
            format!("clock: not synchronised; {name} has auth_hmac, and refuses adverts {window} s off"),
            "run chrony or systemd-timesyncd on all nodes (timedatectl set-ntp true)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::InterfaceFacts;
    use super::super::tests::{instance, judged};
    use super::*;
    use crate::driver::xdp::Card;

    #[test]
    fn a_container_needs_the_interfaces_of_its_host() {
        let card = |leads_elsewhere| Card {
            ethernet: true,
            kind: Some("veth".to_owned()),
            loopback: false,
            multicast: true,
            leads_elsewhere,
            parent: None,
            master: None,
            strips_tags: true,
        };
        let of = |kind: &str, leads_elsewhere| {
            let interface = InterfaceFacts { card: Some(card(leads_elsewhere)), ..InterfaceFacts::default() };
            let interfaces = [("eth0".to_owned(), interface)].into();
            let facts = Facts { container: Some(kind.to_owned()), interfaces, ..Facts::default() };
            judged(container, &Config::default(), &facts)
        };
        assert!(of("docker", true)[0].starts_with("FAIL container (docker): eth0 ends at a bridge"));
        let lines = of("lxc", true);
        assert!(lines[0].starts_with("warn container (lxc): eth0 ends at a bridge of its host | the bridge"));
        assert_eq!(of("docker", false), ["ok container (docker) with interfaces of the host"]);
        assert!(judged(container, &Config::default(), &Facts::default()).is_empty());
    }

    #[test]
    fn only_signed_adverts_need_a_clock() {
        let signed = "auth_hmac {\nkey 1 0123456789abcdef0123456789abcdef\nactive_key 1\n}";
        let of = |lines, synchronised| {
            judged(clock, &instance(lines, "192.0.2.1"), &Facts { synchronised, ..Facts::default() })
        };
        assert!(of("", Some(false)).is_empty());
        assert_eq!(of(signed, Some(true)), ["ok clock: synchronised, as auth_hmac needs"]);
        assert!(of(signed, Some(false))[0].starts_with("warn clock: not synchronised; web has auth_hmac"));
    }

    #[test]
    fn a_time_namespace_is_reported() {
        let of = |offset| {
            judged(
                time_namespace,
                &Config::default(),
                &Facts { clock_offset: Some(offset), ..Facts::default() },
            )
        };
        assert!(of(Ok(0)).is_empty());
        assert_eq!(of(Ok(5_000_000_000)), ["ok time namespace: its clock is 5 s ahead of the host's"]);
        assert_eq!(of(Err("unknown".to_owned())), ["warn time namespace: unknown | mount /proc"]);
    }
}
