//! Preferences of rules that have none.

use vrrp_ebpf::wire::Family;

use super::super::diagnostic::Report;
use super::super::schema::{Draft, RuleDraft};
use crate::protocol::Rule;

/// The first rule without a preference gets this one, the next one less, as with keepalived; each family counts for
/// itself.
const FIRST: u32 = 16384;

/// In the order of the file.
pub(super) fn number(draft: &mut Draft, report: &mut Report) {
    let lists = draft.instances.iter_mut().map(|instance| &mut instance.rules);
    let mut rules: Vec<&mut RuleDraft> =
        lists.chain([&mut draft.static_rules]).flatten().filter(|rule| !rule.has_preference).collect();
    rules.sort_by_key(|rule| rule.at);
    let (mut v4, mut v6) = (FIRST, FIRST);
    for RuleDraft { at, rule, .. } in rules {
        let next = match rule.family {
            Family::V4 => &mut v4,
            Family::V6 => &mut v6,
        };
        rule.preference = *next;
        *next = next.saturating_sub(1);
        report
            .warning(
                *at,
                format!("without `preference` the rule gets {}, as with keepalived", rule.preference),
            )
            .help("write a `preference`: rules count in their order, and this one is before those above it");
    }
}

pub(super) fn rules(drafts: Vec<RuleDraft>) -> Vec<Rule> {
    drafts.into_iter().map(|draft| draft.rule).collect()
}
