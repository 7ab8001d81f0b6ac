//! Static addresses, routes and rules that are not set.

use super::collect::lacking;
use super::problem::{LACKS, Problem};
use super::{Lacking, StaticSettings};
use crate::daemon::history::StaticRecord;

/// The name of static settings on the screen.
const ABOUT: &str = "static settings";

impl StaticSettings {
    pub(super) fn of(record: &StaticRecord) -> Self {
        Self { lacks: record.lacks.iter().map(lacking).collect(), paths_left_alone: record.is_abandoned }
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = Problem<'_>> {
        let lacks = self.lacks.iter().take(LACKS);
        let lacks = lacks
            .map(|Lacking { object, error }| format!("lacks {object}: {error}; set as soon as possible"));
        let more = self.lacks.len().saturating_sub(LACKS);
        let more = (more > 0).then(|| format!("lacks {more} more"));
        let abandoned = self.paths_left_alone.then(|| {
            "another process keeps removing static routes or rules: not set again until the next reload"
                .to_owned()
        });
        lacks.chain(more).chain(abandoned).map(|text| Problem { about: ABOUT, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_object_is_a_problem_up_to_a_number() {
        let lack = |number: usize| Lacking { object: format!("rule {number}"), error: "why".to_owned() };
        let of = |count, paths_left_alone| StaticSettings {
            lacks: (0..count).map(lack).collect(),
            paths_left_alone,
        };
        let texts = |it: &StaticSettings| it.problems().map(|it| it.text).collect::<Vec<_>>();
        assert_eq!(texts(&of(0, false)), [""; 0]);
        assert_eq!(texts(&of(1, false)), ["lacks rule 0: why; set as soon as possible"]);
        assert_eq!(texts(&of(LACKS, true)).len(), LACKS + 1);
        assert_eq!(texts(&of(LACKS + 2, false)).last().unwrap(), "lacks 2 more");
    }
}
