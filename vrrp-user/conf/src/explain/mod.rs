//! Explanation of a configuration: effective values and their origins, the times that follow from them, and traps.
//!
//! Enters: a [`Loaded`] and the [`Surroundings`]. Leaves: an [`Explanation`], which is the JSON of `vrrpx explain
//! --json`; [`text`] formats it for display. Absent: reading files and settings of the kernel, and the settings of the
//! peers: an effect that depends on a peer's priority is given with the priorities for which it holds.

mod finding;
mod line;
mod text;
mod time;
mod track;
mod trap;
mod value;

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

pub use finding::{Finding, FindingSeverity, Origin, Value};
pub use text::text;
pub use time::{Takeover, TimeRange, Timers};
pub use track::{CheckTimes, Effect, Tracked};

use self::finding::arc;
use super::diagnostic::{Diagnostic, Severity};
use super::loaded::Loaded;
use super::model::{Group, Instance};
use super::outline::{Location, Written};

/// Most warnings about traps.
const TRAPS: usize = 100;

/// Kernel settings of this host.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Surroundings {
    /// `net.ipv4.ip_nonlocal_bind`; `None` if it cannot be read.
    pub nonlocal_bind_v4: Option<bool>,
    /// `net.ipv6.ip_nonlocal_bind`.
    pub nonlocal_bind_v6: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The file, as given.
    #[serde(serialize_with = "arc")]
    pub file: Arc<str>,
    /// It has errors: no part of it would be applied, and only `findings` is filled.
    pub refused: bool,
    pub global_defs: Vec<Value>,
    pub instances: Vec<Explained>,
    pub groups: Vec<ExplainedGroup>,
    /// Findings that belong to no instance.
    pub findings: Vec<Finding>,
}

/// One `vrrp_instance`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    #[serde(serialize_with = "arc")]
    pub name: Arc<str>,
    pub place: Location,
    pub values: Vec<Value>,
    pub addresses: Vec<Value>,
    pub paths: Vec<Value>,
    pub tracked: Vec<Tracked>,
    pub timers: Timers,
    /// Takeover times of this node as a backup whose master has the same settings.
    pub takeovers: Vec<Takeover>,
    pub findings: Vec<Finding>,
}

/// One `vrrp_sync_group`; the objects it tracks are listed with its members.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExplainedGroup {
    #[serde(serialize_with = "arc")]
    pub name: Arc<str>,
    pub place: Location,
    pub values: Vec<Value>,
}

impl Loaded {
    pub fn explain(&self, host: Surroundings) -> Explanation {
        let (file, config) = (&self.file, &self.config);
        let mut findings: Vec<Finding> = self.diagnostics.iter().map(Finding::from).collect();
        let outline = &self.outline.read();
        let blocks = blocks(outline);
        let mut instances: Vec<Explained> = Vec::with_capacity(config.instances.len());
        for instance in &config.instances {
            let Some(&block) = blocks.get(&*instance.settings.name) else { continue };
            let within = |finding: &mut Finding| finding.place.as_ref().is_some_and(|at| block.holds(at));
            let own: Vec<Finding> = findings.extract_if(.., within).collect();
            instances.push(self.explain_instance(instance, block, outline, own));
        }
        findings.extend(trap::of_globals(outline));
        findings.extend(trap::of_mail(config, outline));
        findings.extend(trap::of_host(&config.instances, host));
        let global_defs = value::globals(outline, config, &findings);
        let groups = config.groups.iter().filter_map(|group| self.explain_group(group, outline, &findings));
        let groups = groups.collect();
        Explanation { file: Arc::clone(file), refused: false, global_defs, instances, groups, findings }
    }

    /// Warnings of the explanation that are not findings about the file, each place once: what is written is legal, and
    /// cannot do what is expected of it.
    pub fn traps(&self) -> Vec<Diagnostic> {
        let outline = &self.outline.read();
        let blocks = blocks(outline);
        let of = |instance: &Instance| {
            let block = blocks.get(&*instance.settings.name)?;
            let tracked = track::all(instance, &self.config, block, outline);
            let mut findings = trap::of_instance(instance, block, &tracked);
            findings.sort_by(|one, other| one.place.cmp(&other.place));
            Some(findings)
        };
        let mut traps: Vec<Diagnostic> = Vec::new();
        for finding in self.config.instances.iter().filter_map(of).flatten() {
            let Finding { severity: FindingSeverity::Warning, place: Some(place), message, help } = finding
            else {
                continue;
            };
            let Location { file, line, column } = place;
            let is_there = |it: &Diagnostic| (&it.file, it.line, it.column) == (&file, line, column);
            let is_known = self.diagnostics.iter().any(|it| is_there(it) && it.message == message);
            if traps.len() < TRAPS && !is_known && !traps.iter().any(is_there) {
                let severity = Severity::Warning;
                let (is_harmless, elects) = (true, false);
                traps.push(Diagnostic { severity, file, line, column, message, help, is_harmless, elects });
            }
        }
        traps
    }

    fn explain_instance(
        &self,
        instance: &Instance,
        block: &Written,
        outline: &[Written],
        mut own: Vec<Finding>,
    ) -> Explained {
        let tracked = track::all(instance, &self.config, block, outline);
        own.extend(trap::of_instance(instance, block, &tracked));
        own.sort_by(|one, other| one.place.cmp(&other.place));
        Explained {
            name: Arc::clone(&instance.settings.name),
            place: block.place().clone(),
            values: value::instance(instance, block, outline, &own),
            addresses: line::addresses(instance, block, outline, &own),
            paths: line::paths(instance, block, &own),
            timers: Timers::of(&instance.settings),
            takeovers: time::takeovers(&instance.settings, &tracked),
            tracked,
            findings: own,
        }
    }

    fn explain_group(
        &self,
        group: &Group,
        outline: &[Written],
        findings: &[Finding],
    ) -> Option<ExplainedGroup> {
        let name = &group.settings.name;
        let named = |block: &&Written| block.is("vrrp_sync_group") && block.first() == Some(name);
        let block = outline.iter().find(named)?;
        Some(ExplainedGroup {
            name: Arc::clone(name),
            place: block.place().clone(),
            values: value::group(group, &self.config, block, outline, findings),
        })
    }
}

/// The blocks of instances, by name. Where a brace is wrong, one may be inside another block.
fn blocks(outline: &[Written]) -> HashMap<&str, &Written> {
    let mut blocks: HashMap<&str, &Written> = HashMap::new();
    let mut rest: Vec<&Written> = outline.iter().rev().collect();
    while let Some(block) = rest.pop() {
        rest.extend(block.inner().iter().rev());
        if block.is("vrrp_instance") {
            block.first().map(|name| blocks.entry(name).or_insert(block));
        }
    }
    blocks
}

impl Explanation {
    /// Explanation of a refused file.
    pub fn refused(file: &str, diagnostics: &[Diagnostic]) -> Self {
        Self {
            file: file.into(),
            refused: true,
            global_defs: Vec::new(),
            instances: Vec::new(),
            groups: Vec::new(),
            findings: diagnostics.iter().map(Finding::from).collect(),
        }
    }
}
