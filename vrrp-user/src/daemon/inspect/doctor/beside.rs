//! Programs beside the daemon: keepalived with the same virtual routers, and scripts.

use std::sync::Arc;

use super::{Facts, Findings};
use crate::config::{Config, Instance};
use crate::daemon::process::preflight::{Disabled, Notice};

/// Options by which keepalived runs no VRRP: `-C`, `--check`.
fn runs_no_vrrp(arguments: &[String]) -> bool {
    let is_check = |argument: &String| argument == "--check" || is_short(argument, 'C');
    let is_vrrp = |argument: &String| argument == "--vrrp" || is_short(argument, 'P');
    arguments.iter().skip(1).any(is_check) && !arguments.iter().skip(1).any(is_vrrp)
}

/// Whether a word has this option among its single letters, such as `-nC`.
fn is_short(argument: &str, letter: char) -> bool {
    argument.strip_prefix('-').is_some_and(|rest| !rest.starts_with('-') && rest.contains(letter))
}

/// Pairs of an instance here and one of keepalived's that share VRID, family and interface, or an address.
fn shared<'a>(config: &'a Config, theirs: &'a Config) -> Option<(&'a Instance, &'a Instance)> {
    let is_same = |one: &Instance, other: &Instance| {
        let key = |it: &Instance| (Arc::clone(&it.settings.interface), it.settings.vrid, it.settings.family);
        let has = |address| other.settings.addresses.all().any(|it| it.address == address);
        key(one) == key(other) || one.settings.addresses.all().any(|it| has(it.address))
    };
    config.instances.iter().find_map(|one| {
        let other = theirs.instances.iter().find(|other| is_same(one, other))?;
        Some((one, other))
    })
}

pub(super) fn keepalived(config: &Config, facts: &Facts, findings: &mut Findings) {
    let facts = &facts.keepalived;
    let clash = || facts.configs.values().find_map(|theirs| shared(config, theirs));
    for (pid, arguments) in &facts.running {
        if runs_no_vrrp(arguments) {
            findings.ok(format!("keepalived (pid {pid}) runs without VRRP, as it may"));
            continue;
        }
        match clash() {
            Some((_, theirs)) => findings.fail(
                format!("keepalived runs beside (pid {pid}), with VRID {} too", theirs.settings.vrid),
                "systemctl disable --now keepalived; for virtual_server alone: keepalived -C",
            ),
            None => findings.warn(
                format!("keepalived runs beside (pid {pid}), with other virtual routers"),
                "let one of both run VRRP: systemctl disable --now keepalived, or keepalived -C",
            ),
        }
    }
    if facts.enabled && facts.running.is_empty() {
        match clash() {
            Some(_) => findings.fail(
                "keepalived.service is enabled, with the same virtual routers: both run after a boot",
                "systemctl disable keepalived",
            ),
            None => findings.warn(
                "keepalived.service is enabled: it runs beside after a boot",
                "systemctl disable keepalived, unless it is wanted",
            ),
        }
    }
    if findings.list.is_empty() {
        findings.ok("keepalived does not run beside");
    }
}

/// A VRID that another pair of routers uses shows on the wire only.
pub(super) fn vrids(config: &Config, _: &Facts, findings: &mut Findings) {
    if !config.instances.is_empty() {
        findings.skip("VRIDs of others on the link: vrrpx detect IFACE listens for them");
    }
}

pub(super) fn scripts(config: &Config, facts: &Facts, findings: &mut Findings) {
    for notice in &facts.scripts {
        match notice {
            Notice::Disabled(Disabled { script, why }) => {
                findings.fail(format!("{script} does not run: {why}"), "correct it; then vrrpx reload");
            }
            Notice::AsRoot(_) => findings.warn(notice.to_string(), "script_user USER in global_defs"),
        }
    }
    let has_hooks = config.instances.iter().any(|it| it.notify.has_hooks());
    if findings.list.is_empty() && (has_hooks || !config.checks.is_empty()) {
        findings.ok("scripts: all there, executable, and run as a user that is configured");
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::KeepalivedFacts;
    use super::super::tests::{instance, judged};
    use super::*;

    fn facts(arguments: Option<&[&str]>, enabled: bool, theirs: Option<Config>) -> Facts {
        let words = |it: &[&str]| it.iter().map(|word| (*word).to_owned()).collect();
        let keepalived = KeepalivedFacts {
            running: arguments.into_iter().map(|it| (7, words(it))).collect(),
            enabled,
            configs: theirs.into_iter().map(|it| ("k.conf".into(), Arc::new(it))).collect(),
        };
        Facts { keepalived, ..Facts::default() }
    }

    #[test]
    fn keepalived_beside_is_judged_by_its_virtual_routers() {
        let ours = instance("", "192.0.2.1/24");
        let same = || Some(instance("", "192.0.2.9/24"));
        let other = "vrrp_instance a {\ninterface eth0\nvirtual_router_id 52\nvirtual_ipaddress {\n192.0.2.9/24\n}\n}\n";
        let other = crate::config::parse("t", other).unwrap().config;
        let of = |facts: &Facts| judged(keepalived, &ours, facts).join("\n");
        assert_eq!(of(&facts(None, false, same())), "ok keepalived does not run beside");
        assert!(
            of(&facts(Some(&["keepalived"]), false, same()))
                .starts_with("FAIL keepalived runs beside (pid 7), with VRID 51")
        );
        assert!(of(&facts(Some(&["keepalived"]), false, None)).starts_with("warn keepalived runs beside"));
        for checks in [&["keepalived", "-C"][..], &["keepalived", "-nC"], &["keepalived", "--check"]] {
            assert!(
                of(&facts(Some(checks), false, same()))
                    .starts_with("ok keepalived (pid 7) runs without VRRP")
            );
        }
        assert!(of(&facts(None, true, same())).starts_with("FAIL keepalived.service is enabled"));
        assert!(of(&facts(None, true, Some(other))).starts_with("warn keepalived.service is enabled"));
    }

    #[test]
    fn a_script_that_does_not_run_is_a_failure_and_one_as_root_a_warning() {
        let of = |notice: Notice| {
            judged(scripts, &Config::default(), &Facts { scripts: vec![notice], ..Facts::default() })
        };
        let missing = Disabled { script: "vrrp_script web".to_owned(), why: "/x: not found".to_owned() };
        assert_eq!(
            of(Notice::Disabled(missing)),
            ["FAIL vrrp_script web does not run: /x: not found | correct it; then vrrpx reload"]
        );
        assert!(of(Notice::AsRoot(vec!["web".to_owned()]))[0].starts_with("warn run as root"));
    }
}
