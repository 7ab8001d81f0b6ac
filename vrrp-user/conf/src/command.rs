//! Command lines of scripts, split as keepalived splits them.

use std::sync::Arc;

use super::model::ScriptCommand;

/// Characters that have a meaning to a shell only, outside quotes.
const SHELL_LETTERS: &str = "|&;<>()$`*?[]{}";

/// Splits a command into words, with quotes and C escapes (`\n`, `\x41`, `\101`). A command that needs a shell stays
/// whole. `None` for an empty command, `Err` for a quote that is not closed.
pub(super) fn parse(text: &str) -> Result<Option<ScriptCommand>, UnclosedQuote> {
    let mut splitter = Splitter { rest: text.chars().peekable(), words: Vec::new(), shell: false };
    splitter.split()?;
    let Splitter { words, shell, .. } = splitter;
    let Some(first) = words.first() else { return Ok(None) };
    // An assignment before the program, or a home directory.
    let shell = shell || first.contains('=') || first.starts_with('~');
    Ok(Some(if shell {
        ScriptCommand::Shell(text.trim().into())
    } else {
        ScriptCommand::Direct(words.into_iter().map(Arc::from).collect())
    }))
}

/// The command in a word that the file has between two `outer` quotes. Backslashes before such a quote are the file's,
/// all other ones the command's. So keepalived reads it up to version 2.3.1.
pub(super) fn unquoted(text: &str, outer: char) -> String {
    let mut command = String::with_capacity(text.len());
    let mut escapes = 0;
    for letter in text.chars() {
        if letter == '\\' {
            escapes += 1;
            continue;
        }
        let kept = if letter == outer { escapes / 2 } else { escapes };
        command.extend(std::iter::repeat_n('\\', kept));
        command.push(letter);
        escapes = 0;
    }
    command.extend(std::iter::repeat_n('\\', escapes));
    command
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct UnclosedQuote(pub(super) char);

struct Splitter<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    words: Vec<String>,
    /// A character for the shell was found.
    shell: bool,
}

impl Splitter<'_> {
    fn split(&mut self) -> Result<(), UnclosedQuote> {
        while let Some(next) = self.rest.peek().copied() {
            if next.is_ascii_whitespace() {
                self.rest.next();
            } else {
                let word = self.word()?;
                self.words.push(word);
            }
        }
        Ok(())
    }

    fn word(&mut self) -> Result<String, UnclosedQuote> {
        let mut word = String::new();
        while let Some(next) = self.rest.next_if(|next| !next.is_ascii_whitespace()) {
            match next {
                '"' | '\'' => self.quoted(next, &mut word)?,
                '\\' => self.escape(&mut word),
                letter => {
                    self.shell |= SHELL_LETTERS.contains(letter);
                    word.push(letter);
                }
            }
        }
        Ok(word)
    }

    fn quoted(&mut self, quote: char, word: &mut String) -> Result<(), UnclosedQuote> {
        loop {
            match self.rest.next() {
                None => return Err(UnclosedQuote(quote)),
                Some(next) if next == quote => return Ok(()),
                Some('\\') => self.escape(word),
                Some(letter) => word.push(letter),
            }
        }
    }

    fn escape(&mut self, word: &mut String) {
        let Some(next) = self.rest.next() else {
            word.push('\\');
            return;
        };
        let letter = match next {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'E' => '\u{1b}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' if self.rest.peek().is_some_and(char::is_ascii_hexdigit) => self.number(0, 16, 2),
            '0'..='7' => self.number(next.to_digit(8).unwrap_or(0), 8, 2),
            other => other,
        };
        // A program's argument cannot hold a zero byte.
        if letter != '\0' {
            word.push(letter);
        }
    }

    /// Reads up to `most` more digits of a character code.
    fn number(&mut self, start: u32, radix: u32, most: u32) -> char {
        let mut code = start;
        for _ in 0..most {
            let Some(digit) = self.rest.peek().and_then(|next| next.to_digit(radix)) else { break };
            self.rest.next();
            code = code * radix + digit;
        }
        char::from_u32(code & 0xff).unwrap_or('\0')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direct(text: &str) -> Vec<String> {
        match parse(text) {
            Ok(Some(ScriptCommand::Direct(words))) => words.iter().map(ToString::to_string).collect(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn plain_commands_are_run_directly() {
        assert_eq!(direct("/usr/bin/killall -0 haproxy"), ["/usr/bin/killall", "-0", "haproxy"]);
        assert_eq!(direct(r#"/bin/sh -c 'exit $(x)' "a b""#), ["/bin/sh", "-c", "exit $(x)", "a b"]);
        assert_eq!(direct(r#"/bin/x \"a\" \x41\102 a\ b"#), ["/bin/x", "\"a\"", "AB", "a b"]);
    }

    #[test]
    fn what_needs_a_shell_gets_one() {
        for text in
            ["pidof nginx || exit 1", "</dev/tcp/127.0.0.1/80", "A=1 run", "/bin/x $HOME", "~/check", "a; b"]
        {
            assert_eq!(parse(text), Ok(Some(ScriptCommand::Shell(text.into()))), "{text}");
        }
    }

    /// What keepalived 2.2.7 runs.
    #[test]
    fn escaped_quotes_of_the_file_are_quotes_of_the_command() {
        let words = |text| direct(&unquoted(text, '"'));
        assert_eq!(words(r#"/bin/x \"a  b\" 'c  d' \"p'q\" e"#), ["/bin/x", "a  b", "c  d", "p'q", "e"]);
        assert_eq!(words(r#"/bin/x \"curl -H \\\"A: b\\\" c\" d"#), ["/bin/x", r#"curl -H "A: b" c"#, "d"]);
        assert_eq!(direct(&unquoted(r#"/bin/x "a  b" \'c  d\' \n"#, '\'')), ["/bin/x", "a  b", "c  d", "\n"]);
        let line = r#"curl -s x | grep -q \"all right\" && echo \n '\$'"#;
        let expected = r#"curl -s x | grep -q "all right" && echo \n '\$'"#;
        assert_eq!(parse(&unquoted(line, '"')), Ok(Some(ScriptCommand::Shell(expected.into()))));
        assert_eq!(unquoted(r"a\\", '"'), r"a\\");
    }

    #[test]
    fn nothing_and_half_a_quote_are_no_command() {
        assert_eq!(parse("  "), Ok(None));
        assert_eq!(parse("a 'b"), Err(UnclosedQuote('\'')));
    }
}
