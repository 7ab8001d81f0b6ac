//! Copies of configurations, with all that their files include, to be read again when the files are broken.
//!
//! Enters: the outline of a configuration. Leaves: JSON, and the same statements from it, each word at its
//! place. Absent: key files and templates that a configuration names; they are read again.

use serde::{Deserialize, Serialize};

use super::lexer::Word;
use super::outline::{self, Outline};
use super::source::{FileId, OriginId, Position, Sources};
use super::tree::Statement;

/// Version of the form.
const FORM: u32 = 1;

#[derive(Deserialize, Serialize)]
struct Copy {
    form: u32,
    files: Vec<String>,
    statements: Vec<Kept>,
}

#[derive(Deserialize, Serialize)]
struct Kept {
    /// The keyword first.
    words: Vec<KeptWord>,
    block: Option<Vec<Kept>>,
}

/// Text, text as written, file, line, column, and whether a comment follows.
#[derive(Deserialize, Serialize)]
struct KeptWord(String, String, u32, u32, u32, bool);

/// The copy; `None` if it cannot be made.
pub(super) fn write(outline: &Outline) -> Option<String> {
    let word = |it: outline::Kept<'_>| {
        let outline::Kept { text, raw, file, line, column, comment_follows } = it;
        KeptWord(text.to_owned(), raw.to_owned(), file, line, column, comment_follows)
    };
    let statements = outline.each(word, |keyword, args, block| {
        let words = std::iter::once(keyword).chain(args).collect();
        Kept { words, block }
    });
    let files = outline.files.iter().map(ToString::to_string).collect();
    serde_json::to_string(&Copy { form: FORM, files, statements }).ok()
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

fn statement(Kept { words, block }: Kept, files: &[FileId]) -> Result<Statement, String> {
    let mut words = words.into_iter().map(|it| word(it, files));
    let keyword = words.next().ok_or("a statement has no keyword")??;
    let args = words.collect::<Result<_, _>>()?;
    let inner = |block: Vec<Kept>| block.into_iter().map(|it| statement(it, files)).collect::<Result<_, _>>();
    Ok(Statement { keyword, args, block: block.map(inner).transpose()? })
}

fn word(
    KeptWord(text, raw, file, line, column, comment_follows): KeptWord,
    files: &[FileId],
) -> Result<Word, String> {
    let file = usize::try_from(file).ok().and_then(|index| files.get(index).copied());
    let file = file.ok_or("a word is of no file")?;
    let at = Position { file, line, column, origin: OriginId::default() };
    Ok(Word { text, raw, at, comment_follows })
}
