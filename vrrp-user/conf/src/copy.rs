//! Copies of configurations, with all that their files include, to be read again when the files are broken.
//!
//! Enters: the outline of a configuration. Leaves: JSON, and the same statements from it, each word at its
//! place. Absent: key files and templates that a configuration names; they are read again.

use serde::{Deserialize, Serialize, Serializer};

use super::lexer::Word;
use super::outline::{self, Outline};
use super::source::{FileId, OriginId, Position, Sources};
use super::tree::Statement;

/// Version of the form.
const FORM: u32 = 1;

#[derive(Deserialize)]
struct Copy {
    form: u32,
    files: Vec<String>,
    statements: Vec<Kept<String>>,
}

/// What is written.
#[derive(Serialize)]
struct Copied<'a> {
    form: u32,
    files: Vec<&'a str>,
    statements: Statements<'a>,
}

/// One after the other: a start copies its file, and all together would be as large as the rest of the daemon.
struct Statements<'a>(&'a Outline);

#[derive(Deserialize, Serialize)]
struct Kept<T> {
    /// The keyword first.
    words: Vec<KeptWord<T>>,
    block: Option<Vec<Kept<T>>>,
}

/// Text, text as written, file, line, column, and whether a comment follows.
#[derive(Deserialize, Serialize)]
struct KeptWord<T>(T, T, u32, u32, u32, bool);

/// The copy; `None` if it cannot be made.
pub(super) fn write(outline: &Outline) -> Option<String> {
    let files = outline.files.iter().map(|name| &**name).collect();
    serde_json::to_string(&Copied { form: FORM, files, statements: Statements(outline) }).ok()
}

impl Serialize for Statements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let statements = self.0.iter(kept, |keyword, args, block| {
            let words = std::iter::once(keyword).chain(args).collect();
            Kept { words, block }
        });
        serializer.collect_seq(statements)
    }
}

fn kept<'a>(word: outline::Kept<'a>) -> KeptWord<&'a str> {
    let outline::Kept { text, raw, file, line, column, comment_follows } = word;
    KeptWord(text, raw, file, line, column, comment_follows)
}

/// The statements of a copy, and its files.
pub(super) fn read(text: &str, sources: &mut Sources) -> Result<Vec<Statement>, String> {
    let Copy { form, files, statements } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if form != FORM {
        return Err(format!("it has form {form}, of another version of this program"));
    }
    let files: Vec<FileId> = files.into_iter().map(|name| sources.add(name.into())).collect();
    statements.into_iter().map(|it| statement(it, &files)).collect()
}

fn statement(Kept { words, block }: Kept<String>, files: &[FileId]) -> Result<Statement, String> {
    let mut words = words.into_iter().map(|it| word(it, files));
    let keyword = words.next().ok_or("a statement has no keyword")??;
    let args = words.collect::<Result<_, _>>()?;
    let inner =
        |block: Vec<Kept<String>>| block.into_iter().map(|it| statement(it, files)).collect::<Result<_, _>>();
    Ok(Statement { keyword, args, block: block.map(inner).transpose()? })
}

fn word(
    KeptWord(text, raw, file, line, column, comment_follows): KeptWord<String>,
    files: &[FileId],
) -> Result<Word, String> {
    let file = usize::try_from(file).ok().and_then(|index| files.get(index).copied());
    let file = file.ok_or("a word is of no file")?;
    let at = Position { file, line, column, origin: OriginId::default() };
    Ok(Word { text, raw, at, comment_follows })
}
