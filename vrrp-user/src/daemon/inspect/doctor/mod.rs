//! Known traps of a host, each judged for a configuration.
//!
//! Enters: a configuration, and [`Facts`] that were read once. Leaves: [`Finding`]s, as text or JSON. The checks only
//! judge; [`facts`] alone looks at the host. Nothing is set or attached, and nothing sent but by [`probe`].

mod beside;
mod facts;
mod finding;
mod firewall;
mod interfaces;
mod iptables;
mod kernel;
mod managers;
mod nftables;
mod place;
mod probe;
mod programs;
mod rules;
mod screen;
mod settings;

use serde::Serialize;

pub use facts::Facts;
pub use finding::{Finding, Level};
pub use probe::{Known, probe};
pub(super) use programs::driver_allows;
pub use screen::screen;

use self::finding::Findings;
use crate::config::{Config, Diagnostic, Severity};
use crate::daemon::host::places;
use crate::daemon::status::StatusVerdict;

/// Findings of a refused file that are shown.
const REFUSALS: usize = 3;

/// The judgement of one trap.
type Judge = fn(&Config, &Facts, &mut Findings);

/// Every check, in the order of the report, with its name.
const CHECKS: [(&str, Judge); 24] = [
    ("kernel", kernel::release),
    ("capabilities", kernel::capabilities),
    ("bpffs", kernel::bpffs),
    ("realtime", kernel::realtime),
    ("container", place::container),
    ("time-namespace", place::time_namespace),
    ("interface", interfaces::presence),
    ("multicast", interfaces::multicast),
    ("snooping", interfaces::snooping),
    ("subnet", interfaces::subnets),
    ("receive-path", programs::receive_paths),
    ("programs", programs::programs),
    ("filters", programs::filters),
    ("ipv6", interfaces::ipv6),
    ("firewall", firewall::firewall),
    ("arp", settings::arp),
    ("forwarding", settings::forwarding),
    ("listener", settings::listeners),
    ("networkd", managers::networkd),
    ("networkmanager", managers::network_manager),
    ("keepalived", beside::keepalived),
    ("vrid", beside::vrids),
    ("scripts", beside::scripts),
    ("clock", place::clock),
];

/// Makes every check.
pub fn examine(config: &Config, facts: &Facts) -> Vec<Finding> {
    let of = |(check, judge): &(&'static str, Judge)| {
        let mut findings = Findings { check, list: Vec::new() };
        judge(config, facts, &mut findings);
        findings.list
    };
    CHECKS.iter().flat_map(of).collect()
}

/// Findings about a configuration that cannot be used, in place of those that need one.
pub fn refused(diagnostics: &[Diagnostic]) -> Vec<Finding> {
    let mut findings = Findings { check: "configuration", list: Vec::new() };
    let worst = diagnostics.iter().map(|it| it.severity).max().unwrap_or_default();
    let shown = diagnostics.iter().filter(|it| it.severity == worst);
    let fix = match worst {
        Severity::Unreadable => "--config FILE names another one",
        _ => "vrrpx check shows all of it",
    };
    for diagnostic in shown.take(REFUSALS) {
        let text = Diagnostic { help: None, ..diagnostic.clone() }.to_string();
        findings.fail(text, diagnostic.help.clone().unwrap_or_else(|| fix.to_owned()));
    }
    findings.list
}

/// Finds the interfaces of instances that name none; the finding is why that fails.
pub fn place(config: &mut Config) -> Vec<Finding> {
    let mut findings = Findings { check: "interface", list: Vec::new() };
    if let Err(error) = places::find(config) {
        findings.fail(error.to_string(), "write `interface`, or set the source address");
    }
    findings.list
}

/// The whole report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Path of the configuration, if there is one.
    pub configuration: Option<String>,
    pub instances: usize,
    /// Interfaces of the instances.
    pub interfaces: Vec<String>,
    pub failures: usize,
    pub warnings: usize,
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn new(configuration: Option<String>, config: &Config, findings: Vec<Finding>) -> Self {
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        Self {
            configuration,
            instances: config.instances.len(),
            interfaces: interfaces::used(config).into_iter().map(str::to_owned).collect(),
            failures: count(Level::Fail),
            warnings: count(Level::Warn),
            findings,
        }
    }

    /// The worst of all.
    pub const fn verdict(&self) -> StatusVerdict {
        match (self.failures, self.warnings) {
            (0, 0) => StatusVerdict::Well,
            (0, _) => StatusVerdict::Look,
            _ => StatusVerdict::Bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::facts::InterfaceFacts;
    use super::*;
    use crate::daemon::process::fit::Host;

    /// Findings of one check, as `level text` and `level text | fix`.
    pub(super) fn judged(judge: Judge, config: &Config, facts: &Facts) -> Vec<String> {
        let mut findings = Findings { check: "test", list: Vec::new() };
        judge(config, facts, &mut findings);
        let line = |it: Finding| {
            let text = format!("{} {}", it.level.as_str().trim(), it.text);
            it.fix.map_or_else(|| text.clone(), |fix| format!("{text} | {fix}"))
        };
        findings.list.into_iter().map(line).collect()
    }

    /// One instance `web` on eth0 with these lines and addresses.
    pub(super) fn instance(lines: &str, addresses: &str) -> Config {
        let text = format!(
            "vrrp_instance web {{\ninterface eth0\nvirtual_router_id 51\n{lines}\nvirtual_ipaddress {{\n{addresses}\n}}\n}}\n"
        );
        crate::config::parse("t", &text).unwrap().config
    }

    /// Of a host whose one interface is eth0.
    pub(super) fn on_eth0(of: InterfaceFacts) -> Facts {
        let host = Host { links: vec![(2, "eth0".to_owned())], ..Host::default() };
        Facts { host, interfaces: [("eth0".to_owned(), of)].into(), ..Facts::default() }
    }

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let mut names: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len());
    }

    #[test]
    fn the_worst_finding_decides() {
        let report = |levels: &[Level]| {
            let finding = |level| Finding { check: "x", level, text: String::new(), fix: None };
            Report::new(None, &Config::default(), levels.iter().copied().map(finding).collect()).verdict()
        };
        assert_eq!(report(&[Level::Ok, Level::Skip]), StatusVerdict::Well);
        assert_eq!(report(&[Level::Ok, Level::Warn]), StatusVerdict::Look);
        assert_eq!(report(&[Level::Fail, Level::Warn]), StatusVerdict::Bad);
    }

    #[test]
    fn a_refused_file_is_a_failure_with_its_place() {
        let refused =
            refused(&crate::config::parse("t.conf", "vrrp_instance a {\nprioirty 1\n}\n").unwrap_err());
        assert!(refused.iter().all(|it| it.level == Level::Fail), "{refused:?}");
        assert!(refused[0].text.starts_with("t.conf:"), "{refused:?}");
    }
}
