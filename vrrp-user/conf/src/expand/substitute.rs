//! Substitution of definitions in a line.
//!
//! Enters: the characters of a line. Leaves: the characters with every definition substituted, and the further lines
//! of definitions that have several. The result is bounded, as nested definitions and sequences could grow without
//! limit.

use std::path::Path;
use std::sync::Arc;

use super::define::{Definition, Definitions, Use};
use crate::diagnostic::Report;
use crate::source::{Position, Sources};
use crate::text::SourceChar;

/// Deepest nesting of definitions, and of sequences.
pub(super) const DEPTH_MAX: usize = 32;
/// Characters that definitions and sequences may add to a configuration: enough for an instance in every slot, at 512
/// characters each.
const LETTERS_MAX: usize = 2 << 20;
/// Charged for each use in addition to its characters, which bounds empty definitions too.
const USE_COST: usize = 8;

/// Reading ends: after the reported error, the rest would be a different text.
#[derive(Debug)]
pub(super) struct Stop;

/// A definition with further lines, and the position of its use.
pub(super) type Tail = (Arc<Definition>, Position);

/// Definitions while a configuration is read, and the report for findings.
pub(super) struct Substitution<'a> {
    pub(super) sources: &'a mut Sources,
    pub(super) report: &'a mut Report,
    pub(super) definitions: Definitions,
    /// Characters that may still be added.
    left: usize,
}

impl<'a> Substitution<'a> {
    pub(super) fn new(sources: &'a mut Sources, report: &'a mut Report, definitions: Definitions) -> Self {
        Self { sources, report, definitions, left: LETTERS_MAX }
    }

    /// Replaces all uses in `letters`. `after` is the next character if they are only a part of a line; `tails`
    /// receives the definitions with further lines, innermost last.
    pub(super) fn replace(
        &mut self,
        letters: &[SourceChar],
        after: Option<SourceChar>,
        directory: &Path,
        depth: usize,
        tails: &mut Vec<Tail>,
    ) -> Result<Vec<SourceChar>, Stop> {
        if letters.iter().all(|letter| letter.char != '$') {
            return Ok(letters.to_vec());
        }
        let mut replaced = Vec::with_capacity(letters.len());
        let mut quoted = false;
        let mut rest = letters;
        while let Some((letter, behind)) = rest.split_first() {
            quoted |= matches!(letter.char, '"' | '\'');
            let Some((used, definition)) = self.used(rest, after, quoted, directory) else {
                replaced.push(*letter);
                rest = behind;
                continue;
            };
            rest = rest.get(used.length..).unwrap_or_default();
            let first = self.place(&definition, &definition.first, used.at)?;
            let after = rest.first().copied().or(after);
            if !definition.below.is_empty() {
                tails.push((definition, used.at));
            }
            self.enter(depth, &used)?;
            replaced.extend(self.replace(&first, after, directory, depth + 1, tails)?);
        }
        Ok(replaced)
    }

    /// Reads the use at the start of `letters`, and its definition; `None` if the text stays as it is.
    pub(super) fn used(
        &mut self,
        letters: &[SourceChar],
        after: Option<SourceChar>,
        quoted: bool,
        directory: &Path,
    ) -> Option<(Use, Arc<Definition>)> {
        let used = Use::read(letters)?;
        let next = letters.get(used.length).copied().or(after);
        let name = &used.name;
        if !used.ends_before(next) {
            if self.definitions.is_defined(name) {
                self.report
                    .warning(used.at, format!("`${name}` is not replaced: no blank follows it"))
                    .help(format!("write `${{{name}}}` to use the definition"));
            }
            return None;
        }
        let Some(definition) = self.definitions.find(&used, directory, self.report) else {
            // In quotes it may well be a shell variable.
            let help = self.definitions.like(name);
            if !quoted && !self.definitions.is_defined(name) && (used.braced || help.is_some()) {
                self.report
                    .warning(used.at, format!("`${name}` is not defined and not replaced"))
                    .help_maybe(help);
            }
            return None;
        };
        if next.is_some() && !definition.below.is_empty() {
            self.report
                .error(used.at, format!("`${name}` has several lines, so nothing may follow it on its line"))
                .help(format!("it is defined at {}", self.sources.place(definition.at)));
            return None;
        }
        Some((used, definition))
    }

    /// A line of a definition, with the position of its use.
    pub(super) fn place(
        &mut self,
        definition: &Definition,
        line: &[SourceChar],
        at: Position,
    ) -> Result<Vec<SourceChar>, Stop> {
        self.spend(line.len(), at)?;
        let written = line.first().map_or(definition.at, |first| first.at);
        let origin = self.sources.originate(&definition.name, written);
        Ok(line.iter().map(|letter| SourceChar { at: Position { origin, ..at }, ..*letter }).collect())
    }

    /// Deducts characters from those that may still be added.
    pub(super) fn spend(&mut self, letters: usize, at: Position) -> Result<(), Stop> {
        let Some(left) = self.left.checked_sub(letters.saturating_add(USE_COST)) else {
            self.report.error(
                at,
                format!(
                    "definitions and sequences add more than {LETTERS_MAX} characters; nothing further is read"
                ),
            );
            return Err(Stop);
        };
        self.left = left;
        Ok(())
    }

    /// Checks that a definition may be entered from `depth`.
    pub(super) fn enter(&mut self, depth: usize, used: &Use) -> Result<(), Stop> {
        if depth < DEPTH_MAX {
            return Ok(());
        }
        let name = &used.name;
        self.report
            .error(
                used.at,
                format!("`${name}` is nested more than {DEPTH_MAX} deep; nothing further is read"),
            )
            .help("a definition cannot be a part of itself");
        Err(Stop)
    }
}
