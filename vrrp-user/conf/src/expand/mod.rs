//! Expansion of a configuration into one sequence of lines.
//!
//! Follows `include`, selects the lines for this node (`@id`, `@^id`), stores definitions (`$NAME=text`) and
//! substitutes them, and repeats lines (`~SEQ`, `~LST`). A name has its last definition above the use.

mod define;
mod include;
mod sequence;
mod substitute;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::define::{Definition, Definitions};
use self::include::Strictness;
use self::sequence::Sequence;
use self::substitute::{DEPTH_MAX, Stop, Substitution};
use super::diagnostic::Report;
use super::file::{self, FileError};
use super::lexer::{self, Line, Token, Word};
use super::source::{FileId, Position, Sources};
use super::text::{self, Quotes, SourceChar, Text, trim, trim_start};

/// Bytes of one file, and of all together.
const FILE_MAX: u64 = 64 << 20;
/// Words and braces, including those from definitions and sequences: a few hundred for each possible instance.
const WORDS_MAX: usize = 1 << 20;
/// Most files of one configuration.
const FILES_MAX: usize = 4096;
/// Most nested includes.
const INCLUDES_MAX: usize = 64;

/// Whether files may be opened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Includes<'a> {
    Follow(&'a Path),
    /// The text does not come from a file.
    Refuse,
}

impl<'a> Includes<'a> {
    fn directory(self) -> &'a Path {
        match self {
            Self::Follow(path) => path.parent().unwrap_or(Path::new("")),
            Self::Refuse => Path::new(""),
        }
    }
}

/// Lines of `text` and of all its includes, in reading order, for the node `config_id`.
///
/// Empty if the reading stopped at an error, since a part of a file is not a valid one.
pub(super) fn expand(
    text: &str,
    file: FileId,
    includes: Includes<'_>,
    config_id: Arc<str>,
    sources: &mut Sources,
    report: &mut Report,
) -> Vec<Line> {
    let substitution = Substitution::new(sources, report, Definitions::new(config_id));
    let mut expander = Expander {
        substitution,
        reading: Vec::new(),
        strictness: Strictness::default(),
        lines: Vec::new(),
        bytes: 0,
        words: 0,
    };
    if let Includes::Follow(path) = includes {
        expander.reading.push(canonical(path));
    }
    match expander.file(text, file, includes) {
        Ok(()) => expander.lines,
        Err(Stop) => Vec::new(),
    }
}

/// The text of a file; bytes that are not UTF-8 become replacement characters.
pub(super) fn read(path: &Path) -> Result<String, FileError> {
    let (bytes, _) = file::read(path, FILE_MAX)?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

struct Expander<'a> {
    substitution: Substitution<'a>,
    /// Files that are open, outermost first.
    reading: Vec<PathBuf>,
    /// Set by `include_check`, for this file and the files it includes.
    strictness: Strictness,
    lines: Vec<Line>,
    /// Read so far, from all files.
    bytes: u64,
    words: usize,
}

impl Expander<'_> {
    fn file(&mut self, text: &str, file: FileId, includes: Includes<'_>) -> Result<(), Stop> {
        if let Some(at) = zero(text, file) {
            let report = &mut *self.substitution.report;
            report.error(at, "a zero byte: this is not a text file").help("save it as UTF-8");
            return Err(Stop);
        }
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > FILE_MAX {
            let message = format!("the files together exceed {} MiB", FILE_MAX >> 20);
            self.substitution.report.error(Position::start_of(file), message);
            return Err(Stop);
        }
        let report = &mut *self.substitution.report;
        let mut text = text;
        // Under keepalived's name it is a letter of the first word, as for keepalived.
        if let Some(rest) = text.strip_prefix('\u{feff}').filter(|_| !report.is_tolerant()) {
            report
                .warning(Position::start_of(file), "the file begins with a byte order mark, U+FEFF")
                .help("save it as UTF-8 without one: keepalived does not know the first word of such a file");
            text = rest;
        }
        let quotes = if report.is_tolerant() { Quotes::Double } else { Quotes::Both };
        for text in text::lines(text, file, quotes) {
            if self.substitution.report.is_full() {
                return Err(Stop);
            }
            if let Some(at) = text.too_long {
                let message = format!("a line of more than {} characters", text::LETTERS_MAX);
                self.substitution.report.error(at, message).help("this is not a keepalived configuration");
                return Err(Stop);
            }
            self.text(text, includes)?;
        }
        Ok(())
    }

    /// Reports what keepalived 2.2.7 reads in another way than its manual says.
    fn warn_of_other_reading(&mut self, text: &Text) {
        let report = &mut *self.substitution.report;
        let help = "put the word in double quotes, without the backslash";
        if let Some(at) = text.escaped {
            if report.is_tolerant() {
                report
                    .left_out(at, "a comment begins here, as for keepalived 2.2.7, in spite of the backslash")
                    .elects(true)
                    .help(help);
            } else {
                report
                    .warning_once(
                        "escaped comment",
                        at,
                        "to keepalived 2.2.7, a comment begins here, in spite of the backslash",
                    )
                    .help(help);
            }
        }
        let is_joined = text.rows.len() > 1 && Definition::read(&text.rows).is_none();
        if let Some(below) = text.rows.get(1).and_then(|row| trim_start(row).first()).filter(|_| is_joined)
            && report.is_tolerant()
        {
            report
                .warning(below.at, "this line is joined with the one above; keepalived 2.2.7 reads two lines")
                .help("write them as one line");
        }
    }

    /// Reads a line as written, with its continuation lines.
    fn text(&mut self, mut text: Text, includes: Includes<'_>) -> Result<(), Stop> {
        if let Some(first) = text.rows.first_mut() {
            match self.for_this_node(first) {
                Some(rest) if rest.len() < first.len() => *first = rest.to_vec(),
                Some(_) => {}
                None => return Ok(()),
            }
        }
        self.warn_of_other_reading(&text);
        if let Some(definition) = Definition::read(&text.rows) {
            self.substitution.definitions.define(definition);
            return Ok(());
        }
        let comment_follows = text.comment_follows;
        self.line(text.joined(), comment_follows, includes, 0)
    }

    /// The line after its conditions; `None` if they exclude it.
    fn for_this_node<'l>(&self, line: &'l [SourceChar]) -> Option<&'l [SourceChar]> {
        let mut line = trim_start(line);
        while let Some((_, condition)) = line.split_first().filter(|(first, _)| first.char == '@') {
            let (negated, id) = match condition.split_first() {
                Some((caret, id)) if caret.char == '^' => (true, id),
                _ => (false, condition),
            };
            let (id, rest) = id.split_at(id.iter().take_while(|letter| !letter.is_blank()).count());
            let is_this =
                id.iter().map(|letter| letter.char).eq(self.substitution.definitions.config_id().chars());
            if is_this == negated {
                return None;
            }
            line = trim_start(rest);
        }
        Some(line)
    }

    /// Reads one line of a file, a definition, or a sequence.
    fn line(
        &mut self,
        letters: Vec<SourceChar>,
        comment_follows: bool,
        includes: Includes<'_>,
        depth: usize,
    ) -> Result<(), Stop> {
        let directory = includes.directory();
        let mut letters = letters;
        let mut tails = Vec::new();
        // The start of a line decides its kind, so definitions there are replaced first.
        for heads in 0.. {
            let Some(line) = self.for_this_node(&letters).map(trim) else { return Ok(()) };
            if let Some(definition) = Definition::read(&[line]) {
                self.substitution.definitions.define(definition);
                return Ok(());
            }
            if Sequence::begins(line) {
                self.sequence(line, comment_follows, includes, depth)?;
                letters = Vec::new();
                break;
            }
            let Some((used, definition)) = self.substitution.used(line, None, false, directory) else {
                letters = self.substitution.replace(line, None, directory, 0, &mut tails)?;
                break;
            };
            self.substitution.enter(heads, &used)?;
            let mut head = self.substitution.place(&definition, &definition.first, used.at)?;
            head.extend(line.iter().skip(used.length));
            letters = head;
            if !definition.below.is_empty() {
                tails.push((definition, used.at));
            }
        }
        self.read(&letters, comment_follows, includes)?;
        while let Some((definition, at)) = tails.pop() {
            self.deeper(depth, at)?;
            for below in &definition.below {
                let line = self.substitution.place(&definition, below, at)?;
                self.line(line, false, includes, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Reads the rest of a line once for each value.
    fn sequence(
        &mut self,
        line: &[SourceChar],
        comment_follows: bool,
        includes: Includes<'_>,
        depth: usize,
    ) -> Result<(), Stop> {
        let at = line.first().map(|first| first.at).unwrap_or_default();
        let (head, rest) = sequence::split(line).unwrap_or((line, &[]));
        let mut tails = Vec::new();
        let head =
            self.substitution.replace(head, rest.first().copied(), includes.directory(), 0, &mut tails)?;
        let sequence = match Sequence::read(&head) {
            Ok(sequence) => sequence,
            Err((at, message)) => {
                self.substitution.report.error(at, message);
                return Ok(());
            }
        };
        self.deeper(depth, at)?;
        let names: Vec<Arc<str>> = sequence.names.iter().map(|name| name.as_str().into()).collect();
        for values in sequence {
            self.substitution.spend(rest.len(), at)?;
            for (name, value) in names.iter().zip(values) {
                self.substitution.definitions.define(Definition::of(Arc::clone(name), &value, at));
            }
            self.line(rest.to_vec(), comment_follows, includes, depth + 1)?;
        }
        Ok(())
    }

    /// Checks that a line at `depth` may contain another one.
    fn deeper(&mut self, depth: usize, at: Position) -> Result<(), Stop> {
        if depth < DEPTH_MAX {
            return Ok(());
        }
        self.substitution
            .report
            .error(
                at,
                format!(
                    "definitions and sequences are nested more than {DEPTH_MAX} deep; nothing further is read"
                ),
            )
            .help("a definition cannot be a part of itself");
        Err(Stop)
    }

    /// Reads a line with all names replaced.
    fn read(
        &mut self,
        letters: &[SourceChar],
        comment_follows: bool,
        includes: Includes<'_>,
    ) -> Result<(), Stop> {
        let mut line = lexer::line(letters, comment_follows, self.substitution.report);
        self.words = self.words.saturating_add(line.tokens.len());
        if let Some(Token::Word(Word { at, .. }) | Token::Open(at) | Token::Close(at)) = line.tokens.first()
            && self.words > WORDS_MAX
        {
            let message = format!("more than {WORDS_MAX} words; nothing further is read");
            self.substitution.report.error(*at, message);
            return Err(Stop);
        }
        match line.tokens.first() {
            None => {}
            Some(Token::Word(first)) if let Some(strictness) = Strictness::of(first) => {
                self.include(
                    &include::pattern(&line, self.substitution.report.is_tolerant()),
                    first.at,
                    strictness,
                    includes,
                )?;
            }
            Some(first) => {
                if matches!(first, Token::Word(keyword) if keyword.raw == "include_check") {
                    self.include_check(&line);
                }
                line.tokens.shrink_to_fit();
                self.lines.push(line);
            }
        }
        Ok(())
    }

    fn include_check(&mut self, line: &Line) {
        if let Err(unknown) = self.strictness.set(&include::arguments(line)) {
            self.substitution
                .report
                .error(unknown.at, format!("`include_check` does not know `{}`", unknown.text))
                .help("it takes `readable`, `match`, `wildcard_match` and `brace_match`, with optional `+` or `-`");
        }
    }

    fn include(
        &mut self,
        pattern: &str,
        at: Position,
        strictness: Strictness,
        includes: Includes<'_>,
    ) -> Result<(), Stop> {
        let strictness = strictness.and(self.strictness);
        let report = &mut *self.substitution.report;
        if let Includes::Refuse = includes {
            report.warning(at, format!("`{pattern}` is not included: this text is not from a file"));
            return Ok(());
        }
        if pattern.is_empty() {
            report.error(at, "`include` needs a file name");
            return Ok(());
        }
        let sources = &*self.substitution.sources;
        sources.waits_for(|| format!("`{pattern}` (included by {})", sources.place(at)));
        let found = match include::find(pattern, includes.directory(), strictness) {
            Ok(found) => found,
            Err(message) => {
                report.error(at, message);
                return Ok(());
            }
        };
        for (name, required) in found.missing {
            let message = format!("`{name}` matches no file; nothing is included");
            let is_quoted = name.starts_with(['"', '\'']);
            let finding = if required { report.error(at, message) } else { report.warning(at, message) };
            finding.help_maybe(is_quoted.then(|| {
                "keepalived takes quotes for letters of the name: write it without them".to_owned()
            }));
        }
        for path in found.files {
            self.included(&path, at, strictness)?;
        }
        Ok(())
    }

    fn included(&mut self, path: &Path, at: Position, strictness: Strictness) -> Result<(), Stop> {
        let Substitution { sources, report, .. } = &mut self.substitution;
        sources.waits_for(|| format!("`{}` (included by {})", path.display(), sources.place(at)));
        let canonical = canonical(path);
        if self.reading.contains(&canonical) {
            report.error(at, format!("`{}` includes itself", path.display()));
            return Ok(());
        }
        if sources.len() >= FILES_MAX {
            report.error(at, format!("more than {FILES_MAX} files are included; nothing further is read"));
            return Err(Stop);
        }
        if self.reading.len() >= INCLUDES_MAX {
            report.error(at, format!("files include one another more than {INCLUDES_MAX} deep"));
            return Err(Stop);
        }
        match read(path) {
            Ok(text) => {
                let file = sources.add(path.display().to_string().into());
                self.reading.push(canonical);
                let before = self.strictness;
                self.file(&text, file, Includes::Follow(path))?;
                self.strictness = before;
                self.reading.pop();
            }
            Err(_) if path.is_dir() && !strictness.readable => {}
            Err(error) => {
                let message = format!("`{}` cannot be read: {error}", path.display());
                let finding = if strictness.readable || matches!(error, FileError::NotRegular(_)) {
                    report.error(at, message)
                } else {
                    report.warning(at, message)
                };
                finding.help_maybe(error.help());
            }
        }
        Ok(())
    }
}

/// Position of the first zero byte, as in binary files and UTF-16.
fn zero(text: &str, file: FileId) -> Option<Position> {
    let (before, _) = text.split_once('\0')?;
    let count = |letters: usize| u32::try_from(letters).unwrap_or(u32::MAX).saturating_add(1);
    let line = count(before.matches('\n').count());
    let column = count(before.chars().rev().take_while(|letter| *letter != '\n').count());
    Some(Position { line, column, ..Position::start_of(file) })
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
