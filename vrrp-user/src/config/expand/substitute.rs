//! Names in a line replaced by what they stand for.
//!
//! Enters: the letters of a line. Leaves: the letters with every definition in its place, and the lines that follow
//! where one goes on below. What is read this way is bounded: definitions in definitions and sequences in sequences
//! grow without limit, a configuration does not.

use std::path::Path;
use std::sync::Arc;

use super::define::{Definition, Definitions, Use};
use crate::config::diagnostic::Report;
use crate::config::source::{Position, Sources};
use crate::config::text::Letter;

/// Definitions within definitions, and sequences within sequences.
pub(super) const DEPTH_MAX: usize = 32;
/// Letters that definitions and sequences may add to a configuration: room for as many instances as there are slots,
/// at 512 letters each.
const LETTERS_MAX: usize = 2 << 20;
/// Counted for each use besides its letters, so that those without any are bounded too.
const USE_COST: usize = 8;

/// Nothing more is read: an error has been reported that would make all that follows another text.
#[derive(Debug)]
pub(super) struct Stop;

/// A definition that goes on below the line, and where it is used.
pub(super) type Tail = (Arc<Definition>, Position);

/// What names mean while a configuration is read, and where findings go.
pub(super) struct Substitution<'a> {
    pub(super) sources: &'a mut Sources,
    pub(super) report: &'a mut Report,
    pub(super) definitions: Definitions,
    /// Letters that may still be added.
    left: usize,
}

impl<'a> Substitution<'a> {
    pub(super) fn new(sources: &'a mut Sources, report: &'a mut Report, definitions: Definitions) -> Self {
        Self { sources, report, definitions, left: LETTERS_MAX }
    }

    /// Replaces all uses in a line. `after` is what follows it where it is a part, and `tails` takes what follows it
    /// below, innermost last.
    pub(super) fn replace(
        &mut self,
        letters: &[Letter],
        after: Option<Letter>,
        directory: &Path,
        depth: usize,
        tails: &mut Vec<Tail>,
    ) -> Result<Vec<Letter>, Stop> {
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

    /// Reads the use that the letters begin with, and what it stands for; `None` where it is text that stays.
    pub(super) fn used(
        &mut self,
        letters: &[Letter],
        after: Option<Letter>,
        quoted: bool,
        directory: &Path,
    ) -> Option<(Use, Arc<Definition>)> {
        let used = Use::read(letters)?;
        let next = letters.get(used.length).copied().or(after);
        let name = &used.name;
        if !used.ends_before(next) {
            if self.definitions.is_defined(name) {
                self.report
                    .warning(used.at, format!("`${name}` stays as it is: no blank follows it"))
                    .help(format!("write `${{{name}}}` for what the definition says"));
            }
            return None;
        }
        let Some(definition) = self.definitions.find(&used, directory, self.report) else {
            // In quotes it is a variable of the shell as likely as not.
            if let Some(help) =
                self.definitions.like(name).filter(|_| !quoted && !self.definitions.is_defined(name))
            {
                self.report
                    .warning(used.at, format!("`${name}` is not defined and stays as it is"))
                    .help(help);
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

    /// A line of a definition as it reads where it is used.
    pub(super) fn place(
        &mut self,
        definition: &Definition,
        line: &[Letter],
        at: Position,
    ) -> Result<Vec<Letter>, Stop> {
        self.spend(line.len(), at)?;
        let written = line.first().map_or(definition.at, |first| first.at);
        let origin = self.sources.originate(&definition.name, written);
        Ok(line.iter().map(|letter| Letter { at: Position { origin, ..at }, ..*letter }).collect())
    }

    /// Takes letters off what may still be added.
    pub(super) fn spend(&mut self, letters: usize, at: Position) -> Result<(), Stop> {
        let Some(left) = self.left.checked_sub(letters.saturating_add(USE_COST)) else {
            self.report.error(
                at,
                format!(
                    "definitions and sequences make more than {LETTERS_MAX} letters; nothing further is read"
                ),
            );
            return Err(Stop);
        };
        self.left = left;
        Ok(())
    }

    /// Goes into a definition from `depth`.
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
