//! Formatting of a `tracing` event: its message, and its fields behind it as `key=value`.
//!
//! Enters: events. Leaves: one line each, whatever their texts contain. Absent: time, level, and where the line goes.

use std::fmt::{self, Debug, Display, Write};

use tracing::Event;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use crate::config::words;

/// Message and fields in the order in which they were given.
#[derive(Debug, Default)]
pub(super) struct Entry {
    message: String,
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Entry {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut entry = Self::default();
        event.record(&mut entry);
        entry
    }

    #[cfg(test)]
    pub(super) fn new(message: &str, fields: &[(&'static str, &str)]) -> Self {
        let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { message: message.to_owned(), fields }
    }

    fn take(&mut self, field: &Field, value: impl Display) {
        let value = words(value);
        match field.name() {
            "message" => self.message = value,
            // Added by the bridge from the crate `log`: positions in its source.
            name if name.starts_with("log.") => {}
            name => self.fields.push((name.strip_prefix("r#").unwrap_or(name), value)),
        }
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, format_args!("{value:?}"));
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A finding has several lines, which would be separate entries here.
        let mut parts = self.message.lines().map(str::trim).filter(|part| !part.is_empty());
        if let Some(first) = parts.next() {
            escape(f, first)?;
        }
        for part in parts {
            f.write_str("; ")?;
            escape(f, part)?;
        }
        let mut space = if self.message.is_empty() { "" } else { " " };
        for (name, value) in &self.fields {
            write!(f, "{space}{name}={}", Value(value))?;
            space = " ";
        }
        Ok(())
    }
}

/// A value in the form of `logfmt`: quoted if it is not one word.
struct Value<'a>(&'a str);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = |letter: char| letter.is_whitespace() || letter.is_control() || "\"=\\".contains(letter);
        if !self.0.is_empty() && !self.0.contains(parts) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        for piece in self.0.split_inclusive(['"', '\\']) {
            match piece.strip_suffix(['"', '\\']) {
                Some(before) => {
                    escape(f, before)?;
                    f.write_char('\\')?;
                    f.write_str(piece.get(before.len()..).unwrap_or_default())?;
                }
                None => escape(f, piece)?,
            }
        }
        f.write_char('"')
    }
}

/// Escapes control characters as JSON does: they would end lines, or move the cursor of a terminal.
fn escape(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for letter in text.chars() {
        match letter {
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            letter if letter.is_control() => write!(f, "\\u{:04x}", u32::from(letter))?,
            letter => f.write_char(letter)?,
        }
    }
    Ok(())
}

/// This format for `tracing_subscriber::fmt`, which puts time and level before it.
#[derive(Debug)]
pub(super) struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut entry = Entry::default();
        fields.record(&mut entry);
        write!(writer, "{entry}")
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{info, subscriber};

    use super::*;

    /// What `log` writes in this format.
    fn written(log: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let format = tracing_subscriber::fmt().fmt_fields(Fields).without_time().with_target(false);
        let to = lines.clone();
        let format = format.with_ansi(false).with_writer(move || to.clone());
        subscriber::with_default(format.finish(), log);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn values_are_quoted_where_they_are_not_one_word() {
        let error = io::Error::from_raw_os_error(libc::EPERM);
        let line = written(|| {
            let (path, none) = (r"C:\x", None::<&str>);
            info!(instance = "VI_1", %error, outcome = "a=b", empty = "", path, none, n = 5, "it rains");
        });
        let expected = " INFO it rains instance=VI_1 error=\"Operation not permitted\" \
                        outcome=\"a=b\" empty=\"\" path=\"C:\\\\x\" n=5\n";
        assert_eq!(line, expected);
    }

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        let entry =
            Entry::new("a.conf:9:5: error: no\nhelp: yes\n", &[("printed", "say \"hi\"\n\u{1b}[31m")]);
        let expected = r#"a.conf:9:5: error: no; help: yes printed="say \"hi\"\n\u001b[31m""#;
        assert_eq!(entry.to_string(), expected);
        assert_eq!(Entry::new("a\u{7}b", &[]).to_string(), "a\\u0007b");
        assert_eq!(Entry::new("", &[("a", "1"), ("b", "2")]).to_string(), "a=1 b=2");
    }
}
