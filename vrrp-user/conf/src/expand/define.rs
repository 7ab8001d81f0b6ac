//! Definitions: names for a text.
//!
//! `$NAME=text` defines; `${NAME}`, or `$NAME` before a blank, uses. The text is kept as written: names in it are
//! looked up when it is used, so a later definition may change the meaning of an earlier one. Predefined names begin
//! with `_`; a definition in the file replaces them.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Report, did_you_mean};
use crate::source::Position;
use crate::text::{SourceChar, trim};

/// `${_RANDOM}` without parameters, both ends included.
const RANDOM_DEFAULT: (u64, u64) = (0, 32_767);

#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: Arc<str>,
    pub(super) first: Vec<SourceChar>,
    /// Lines below the first.
    pub(super) below: Vec<Vec<SourceChar>>,
    pub(super) at: Position,
}

impl Definition {
    /// Reads the rows of a line as `$NAME=text`, if they have that form.
    pub(super) fn read(rows: &[impl AsRef<[SourceChar]>]) -> Option<Self> {
        let (head, below) = rows.split_first()?;
        let (name, at, text) = Self::head(trim(head.as_ref()))?;
        let below = below.iter().map(|row| trim(row.as_ref()));
        let mut lines =
            std::iter::once(trim(text)).chain(below).filter(|row| !row.is_empty()).map(<[_]>::to_vec);
        Some(Self { name, first: lines.next().unwrap_or_default(), below: lines.collect(), at })
    }

    fn head(letters: &[SourceChar]) -> Option<(Arc<str>, Position, &[SourceChar])> {
        let (dollar, rest) = letters.split_first().filter(|(first, _)| first.char == '$')?;
        let (name, rest) = split_name(rest)?;
        let (_, text) = rest.split_first().filter(|(equals, _)| equals.char == '=')?;
        Some((name.into(), dollar.at, text))
    }
}

/// One use of a definition.
#[derive(Debug, PartialEq)]
pub(super) struct Use {
    pub(super) name: String,
    parameters: Vec<String>,
    pub(super) at: Position,
    /// In characters, from the `$`.
    pub(super) length: usize,
    /// Without braces, the next character must delimit the name.
    pub(super) braced: bool,
}

impl Use {
    /// Reads the use at the start of `letters`.
    pub(super) fn read(letters: &[SourceChar]) -> Option<Self> {
        let (dollar, rest) = letters.split_first().filter(|(first, _)| first.char == '$')?;
        let Some((_, inside)) = rest.split_first().filter(|(first, _)| first.char == '{') else {
            let (name, _) = split_name(rest)?;
            let length = name.len() + 1;
            return Some(Self { name, parameters: Vec::new(), at: dollar.at, length, braced: false });
        };
        let (name, rest) = split_name(inside)?;
        let inner = rest.iter().take_while(|letter| letter.is_blank() || is_name(letter.char));
        let words: String = inner.map(|letter| letter.char).collect();
        let close = rest.get(words.chars().count())?;
        let length = name.len() + words.chars().count() + 3;
        let parameters = words.split_whitespace().map(str::to_owned).collect();
        (close.char == '}').then_some(Self { name, parameters, at: dollar.at, length, braced: true })
    }

    /// Whether `next`, the character after it, makes it a valid use.
    pub(super) fn ends_before(&self, next: Option<SourceChar>) -> bool {
        self.braced || next.is_none_or(|next| next.is_blank() || matches!(next.char, ',' | ')'))
    }
}

/// Meanings of the names at the current point of reading.
#[derive(Debug)]
pub(super) struct Definitions {
    named: HashMap<Arc<str>, Arc<Definition>>,
    config_id: Arc<str>,
    random: u64,
}

impl Definitions {
    pub(super) fn new(config_id: Arc<str>) -> Self {
        Self { named: HashMap::new(), config_id, random: RandomState::new().hash_one(0) }
    }

    pub(super) fn config_id(&self) -> &str {
        &self.config_id
    }

    pub(super) fn define(&mut self, definition: Definition) {
        self.named.insert(Arc::clone(&definition.name), Arc::new(definition));
    }

    pub(super) fn is_defined(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// Help with a similar name.
    pub(super) fn like(&self, name: &str) -> Option<String> {
        did_you_mean(name, self.named.keys().map(AsRef::as_ref))
    }

    /// The definition of a name; `None` if it is not defined, so that the text stays.
    pub(super) fn find(
        &mut self,
        used: &Use,
        directory: &Path,
        report: &mut Report,
    ) -> Option<Arc<Definition>> {
        if let Some(definition) = self.named.get(used.name.as_str()) {
            return used.parameters.is_empty().then(|| Arc::clone(definition));
        }
        let text = match (used.name.as_str(), used.parameters.as_slice()) {
            ("_PWD", []) => absolute(directory),
            ("_INSTANCE", []) => self.config_id.to_string(),
            ("_HASH", []) => "#".to_owned(),
            ("_BANG", []) => "!".to_owned(),
            ("_RANDOM", bounds) => self.random(bounds, used.at, report),
            ("_ENV", [name]) => environment(name, used.at, report),
            ("_ENV", _) => {
                report.error(used.at, "`${_ENV NAME}` takes the name of one environment variable");
                String::new()
            }
            _ => return None,
        };
        Some(Arc::new(Definition::of(used.name.as_str().into(), &text, used.at)))
    }

    /// A new number for each use; the bounds are the lowest and the highest.
    fn random(&mut self, bounds: &[String], at: Position, report: &mut Report) -> String {
        let number =
            |index: usize, default| bounds.get(index).map_or(Some(default), |word| word.parse().ok());
        let (Some(low), Some(high), 0..=2) =
            (number(0, RANDOM_DEFAULT.0), number(1, RANDOM_DEFAULT.1), bounds.len())
        else {
            report.error(at, "`${_RANDOM}` takes at most two numbers, the lowest and the highest");
            return String::new();
        };
        let Some(span) = high.checked_sub(low) else {
            report.error(
                at,
                format!("`${{_RANDOM}}` cannot be between {low} and {high}: the lowest is above the highest"),
            );
            return String::new();
        };
        // Xorshift: good enough to spread nodes; no secret depends on it.
        self.random = self.random.max(1);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let offset = span.checked_add(1).map_or(self.random, |count| self.random % count);
        low.saturating_add(offset).to_string()
    }
}

impl Definition {
    /// A definition that is not written in a file.
    pub(super) fn of(name: Arc<str>, text: &str, at: Position) -> Self {
        let first = text.chars().map(|char| SourceChar { char, at }).collect();
        Self { name, first, below: Vec::new(), at }
    }
}

fn absolute(directory: &Path) -> String {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned()).to_string_lossy().into_owned()
}

fn environment(name: &str, at: Position, report: &mut Report) -> String {
    std::env::var_os(name).map_or_else(
        || {
            report.warning(
                at,
                format!("the environment variable `{name}` is not set; `${{_ENV {name}}}` is empty"),
            );
            String::new()
        },
        |value| value.to_string_lossy().replace('\n', " "),
    )
}

/// Splits the name off the start of `letters`.
fn split_name(letters: &[SourceChar]) -> Option<(String, &[SourceChar])> {
    let name: String = letters.iter().map(|letter| letter.char).take_while(|char| is_name(*char)).collect();
    let (_, rest) = letters.split_at_checked(name.len())?;
    is_valid_name(&name).then_some((name, rest))
}

/// Letters, digits and underscores, no digit first.
pub(super) fn is_valid_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit()) && !name.is_empty() && name.chars().all(is_name)
}

fn is_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;
    use crate::text::{Quotes, lines};

    fn rows(text: &str) -> Vec<Vec<SourceChar>> {
        lines(text, FileId::default(), Quotes::Both).next().unwrap_or_default().rows
    }

    fn shown(letters: &[SourceChar]) -> String {
        letters.iter().map(|letter| letter.char).collect()
    }

    #[test]
    fn a_definition_is_a_name_an_equals_sign_and_a_text() {
        let read = |text| {
            let definition = Definition::read(&rows(text))?;
            let below: Vec<String> = definition.below.iter().map(|line| shown(line)).collect();
            Some((definition.name.to_string(), shown(&definition.first), below))
        };
        let one = |name: &str, text: &str| Some((name.to_owned(), text.to_owned(), Vec::new()));
        assert_eq!(read("  $A=b  c  # d"), one("A", "b  c"));
        assert_eq!(read("$A_1= \"b c\""), one("A_1", "\"b c\""));
        assert_eq!(read("$A="), one("A", ""));
        assert_eq!(read("$A=b=$C"), one("A", "b=$C"));
        for other in ["$A =b", "$1=b", "$=b", "${A}=b", "A=b", "$A", "$A-B=c", ""] {
            assert_eq!(read(other), None, "{other}");
        }
        let below = vec!["b {".to_owned(), "}".to_owned()];
        assert_eq!(
            read("$A= \\\n  b { \\\n \\\n# c\n}"),
            Some(("A".into(), "b {".into(), vec!["}".to_owned()]))
        );
        assert_eq!(read("$A=a \\\n  b { \\\n }"), Some(("A".into(), "a".into(), below)));
    }

    #[test]
    fn a_use_is_a_name_in_braces_or_before_a_blank() {
        let read = |text| {
            let row = rows(text).remove(0);
            let used = Use::read(&row)?;
            let ends = used.ends_before(row.get(used.length).copied());
            Some((used.name, used.parameters.join("+"), used.length, ends))
        };
        let used =
            |name: &str, parameters: &str, length, ends| Some((name.into(), parameters.into(), length, ends));
        assert_eq!(read("$A b"), used("A", "", 2, true));
        assert_eq!(read("$A"), used("A", "", 2, true));
        assert_eq!(read("$A.1"), used("A", "", 2, false));
        assert_eq!(read("${A}.1"), used("A", "", 4, true));
        assert_eq!(read("${_R 1 22 }"), used("_R", "1+22", 11, true));
        for other in ["$", "$$", "$1", "${", "${A", "${A-B}", "${}", "${A $B}", "$é"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn random_numbers_keep_to_their_bounds() {
        let mut report = Report::default();
        let mut definitions = Definitions::new("".into());
        let mut draw = |bounds: &[&str]| {
            let bounds: Vec<String> = bounds.iter().map(ToString::to_string).collect();
            definitions.random(&bounds, Position::default(), &mut report).parse::<u64>().ok()
        };
        for _ in 0..1000 {
            assert!(draw(&[]).is_some_and(|drawn| drawn <= 32_767));
            assert!(draw(&["3", "5"]).is_some_and(|drawn| (3..=5).contains(&drawn)));
        }
        assert_eq!(draw(&["7", "7"]), Some(7));
        assert!(draw(&["0", "18446744073709551615"]).is_some());
        assert_eq!([draw(&["2", "1"]), draw(&["x"]), draw(&["1", "2", "3"])], [None, None, None]);
        assert_eq!(report.errors(), 3);
    }
}
