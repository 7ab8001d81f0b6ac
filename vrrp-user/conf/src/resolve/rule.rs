//! Default preferences of rules.

use vrrp_ebpf::wire::Family;

use super::super::diagnostic::Report;
use super::super::schema::{Draft, RuleDraft};
use crate::Rule;

/// Preference of the first rule without one; each further rule gets one less, as with keepalived. The families count
/// separately.
const FIRST: u32 = 16384;

/// Sets the missing preferences, in the order of the file.
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
            .help("write a `preference`: this default puts the rule before those above it");
    }
}

pub(super) fn rules(drafts: Vec<RuleDraft>) -> Vec<Rule> {
    drafts.into_iter().map(|draft| draft.rule).collect()
}
