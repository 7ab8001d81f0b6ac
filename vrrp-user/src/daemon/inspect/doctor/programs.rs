//! Receive paths of the interfaces, and programs and filters of others on them.

use super::interfaces::here;
use super::{Facts, Findings};
use crate::config::Config;
use crate::driver::RxPath;
use crate::driver::xdp::{DriverXdp, DroppingFilter, Forecast, LIBXDP, TcHook};

pub(super) fn receive_paths(config: &Config, facts: &Facts, findings: &mut Findings) {
    for (name, _) in here(config, facts) {
        let forecast = facts.interfaces.get(name).and_then(|it| it.forecast.as_ref());
        let Some(Forecast { rx_path, otherwise, skipped, driver, .. }) = forecast else {
            findings.skip(format!("{name}: receive path unknown"));
            continue;
        };
        let path = rx_path.as_str();
        let text = match (otherwise, driver) {
            (Some(next), None) => {
                format!("{name}: {path} if its driver has native XDP, else {}", next.as_str())
            }
            (Some(next), Some(_)) => {
                format!(
                    "{name}: adverts are received by {path}, or by {} if its driver refuses",
                    next.as_str()
                )
            }
            (None, _) => format!("{name}: adverts are received by {path}"),
        };
        let why = skipped.join("; ");
        match rx_path {
            RxPath::Socket | RxPath::None => findings.warn(text, why),
            RxPath::Generic => findings.warn(text, format!("costs other traffic more than tc; {why}")),
            _ if why.is_empty() => findings.ok(text),
            _ => findings.ok(format!("{text} ({why})")),
        }
        match driver {
            Some(driver) => findings.ok(format!("{name}: {}", driver_allows(*driver))),
            None => findings.skip(format!(
                "{name}: whether its driver has native XDP is not known before the daemon tries: the kernel reports it \
                 since Linux 6.3"
            )),
        }
    }
}

/// What a driver allows, as a sentence without its interface.
pub(in crate::daemon::inspect) const fn driver_allows(driver: DriverXdp) -> &'static str {
    match (driver.is_native, driver.has_frags) {
        (false, _) => "its driver has no native XDP",
        (true, false) => "its driver has native XDP, without frags",
        (true, true) => "its driver has native XDP, with frags",
    }
}

pub(super) fn programs(config: &Config, facts: &Facts, findings: &mut Findings) {
    for (name, _) in here(config, facts) {
        let forecast = facts.interfaces.get(name).and_then(|it| it.forecast.as_ref());
        for other in forecast.into_iter().flat_map(|it| &it.others) {
            let called = if other.name.is_empty() { "without a name" } else { &other.name };
            let look = if other.name == LIBXDP {
                format!("xdp-loader status {name} lists the programs that it calls")
            } else {
                format!("bpftool net show dev {name}; bpftool prog show id {}", other.id)
            };
            findings.warn(
                format!("{name} has another program at {}: {called}, id {}", other.hook, other.id),
                format!("it may drop adverts: {look}"),
            );
        }
    }
}

/// tc filters with the action drop.
pub(super) fn filters(config: &Config, facts: &Facts, findings: &mut Findings) {
    for (name, _) in here(config, facts) {
        let Some(interface) = facts.interfaces.get(name) else { continue };
        // By tcx and XDP the program comes before them.
        let is_beside = interface.forecast.as_ref().is_some_and(|it| it.rx_path == RxPath::Tc);
        for filter in &interface.dropping {
            let DroppingFilter { hook, kind, preference, is_certain, .. } = filter;
            let (at, verb) = (hook.as_str(), if *is_certain { "drops" } else { "may drop" });
            let what =
                format!("{name} has a tc filter at {at} that {verb} adverts ({kind}, pref {preference})");
            let fix = format!("tc filter show dev {name} {at}; {}", filter.removal(name));
            match hook {
                TcHook::Egress if *is_certain => findings.fail(what, fix),
                TcHook::Egress => findings.warn(what, fix),
                TcHook::Ingress if is_beside => {
                    findings.fail(format!("{what}, which the daemon hears by tc: it may come before"), fix);
                }
                TcHook::Ingress => {
                    findings
                        .warn(format!("{what}: vrrpx hears them before, other programs here do not"), fix);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::InterfaceFacts;
    use super::super::tests::{instance, judged, on_eth0};
    use super::*;
    use crate::driver::xdp::Other;

    #[test]
    fn a_receive_path_and_what_is_against_better_ones_are_reported() {
        let of = |forecast: Forecast| {
            let interface = InterfaceFacts { forecast: Some(forecast), ..InterfaceFacts::default() };
            let facts = on_eth0(interface);
            [receive_paths, programs].map(|judge| judged(judge, &instance("", "192.0.2.1"), &facts))
        };
        let tcx = Forecast { rx_path: RxPath::Tcx, ..Forecast::default() };
        let has = |is_native, has_frags| Some(DriverXdp { is_native, has_frags });
        let received = |forecast: &Forecast| of(forecast.clone())[0].clone();
        assert_eq!(
            of(Forecast { driver: has(false, false), ..tcx.clone() }),
            [
                vec![
                    "ok eth0: adverts are received by tcx".to_owned(),
                    "ok eth0: its driver has no native XDP".to_owned()
                ],
                vec![]
            ]
        );
        let native =
            Forecast { rx_path: RxPath::Native, otherwise: Some(RxPath::Tcx), ..Forecast::default() };
        let lines = received(&native);
        assert_eq!(lines[0], "ok eth0: native if its driver has native XDP, else tcx");
        assert!(
            lines[1].starts_with("skip eth0: whether its driver has native XDP is not known"),
            "{lines:?}"
        );
        assert_eq!(
            received(&Forecast { driver: has(true, true), ..native }),
            [
                "ok eth0: adverts are received by native, or by tcx if its driver refuses",
                "ok eth0: its driver has native XDP, with frags"
            ]
        );
        let socket =
            Forecast { rx_path: RxPath::Socket, skipped: vec!["no CAP_BPF".to_owned()], ..tcx.clone() };
        assert_eq!(received(&socket)[0], "warn eth0: adverts are received by socket | no CAP_BPF");
        let look = |name: &str| {
            let other = Other { hook: "XDP", id: 7, name: name.to_owned() };
            of(Forecast { others: vec![other], ..tcx.clone() })[1].concat()
        };
        assert!(look("filter").starts_with("warn eth0 has another program at XDP: filter, id 7"));
        assert!(look("filter").ends_with("bpftool prog show id 7"));
        assert!(look("xdp_dispatcher").contains("xdp-loader status eth0"));
    }

    #[test]
    fn a_filter_that_drops_is_worse_on_the_way_out_and_before_the_program() {
        let of = |hook: TcHook, is_certain: bool, rx_path: RxPath| {
            let filter =
                DroppingFilter { hook, kind: "flower".to_owned(), preference: 10, handle: 1, is_certain };
            let forecast = Some(Forecast { rx_path, ..Forecast::default() });
            let interface = InterfaceFacts { forecast, dropping: vec![filter], ..InterfaceFacts::default() };
            judged(filters, &instance("", "192.0.2.1"), &on_eth0(interface)).concat()
        };
        let out = of(TcHook::Egress, true, RxPath::Tcx);
        let expected = "FAIL eth0 has a tc filter at egress that drops adverts (flower, pref 10) | tc filter show dev \
                        eth0 egress; tc filter del dev eth0 egress pref 10";
        assert_eq!(out, expected);
        assert!(
            of(TcHook::Egress, false, RxPath::Tcx)
                .starts_with("warn eth0 has a tc filter at egress that may drop")
        );
        let behind = of(TcHook::Ingress, true, RxPath::Tcx);
        assert!(behind.starts_with("warn ") && behind.contains("vrrpx hears them before"), "{behind}");
        let beside = of(TcHook::Ingress, true, RxPath::Tc);
        assert!(beside.starts_with("FAIL ") && beside.contains("it may come before"), "{beside}");
    }
}
