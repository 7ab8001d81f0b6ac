//! Command lines of scripts, split as keepalived splits them.

use std::sync::Arc;

use super::model::ScriptCommand;

/// Keywords with a command behind them.
const COMMANDS: &[&str] = &[
    "exec",
    "lvs_notify_fifo_script",
    "notify",
    "notify_backup",
    "notify_deleted",
    "notify_fault",
    "notify_fifo_script",
    "notify_master",
    "notify_master_rx_lower_pri",
    "notify_stop",
    "script",
    "shutdown_script",
    "startup_script",
    "vrrp_notify_fifo_script",
];

/// Whether a command is behind this keyword, in whose line both quotes count.
pub(super) fn is_command(keyword: &str) -> bool {
    COMMANDS.contains(&keyword)
}

/// A command line, split.
#[derive(Debug, PartialEq)]
pub(super) struct Parsed {
    pub(super) command: ScriptCommand,
    /// The first word that only a shell would understand.
    pub(super) for_shell: Option<String>,
}

/// Splits a command into words, with quotes and C escapes (`\n`, `\x41`, `\101`). A line that begins with `</`, which
/// asks whether a file can be opened, is for a shell and stays whole; letters of a shell in any other are arguments.
/// `None` for an empty command, `Err` for a quote that is not closed.
pub(super) fn parse(text: &str) -> Result<Option<Parsed>, UnclosedQuote> {
    let mut splitter = Splitter { rest: text.chars().peekable(), words: Vec::new(), for_shell: None };
    splitter.split()?;
    let Splitter { words, for_shell, .. } = splitter;
    let Some(first) = words.first() else { return Ok(None) };
    Ok(Some(if first.starts_with("</") {
        Parsed { command: ScriptCommand::Shell(text.trim().into()), for_shell: None }
    } else {
        Parsed { command: ScriptCommand::Direct(words.into_iter().map(Arc::from).collect()), for_shell }
    }))
}

/// Whether a word without quotes means something to a shell only. A `&`, `;` or `?` inside it may be of a URL.
fn is_for_shell(word: &str, is_program: bool) -> bool {
    let expands = |rest: &str| {
        rest.starts_with(|letter: char| letter.is_ascii_alphanumeric() || "_{(@*#?$!-".contains(letter))
    };
    word.contains(['|', '<', '>', '`', '*'])
        || word.contains("&&")
        || word.ends_with([';', '&'])
        || word.split('$').skip(1).any(expands)
        || (is_program && (word.starts_with('~') || word.contains('=')))
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
    for_shell: Option<String>,
}

impl Splitter<'_> {
    fn split(&mut self) -> Result<(), UnclosedQuote> {
        while let Some(next) = self.rest.peek().copied() {
            if next.is_ascii_whitespace() {
                self.rest.next();
            } else {
                let (word, plain) = self.word()?;
                if self.for_shell.is_none() && is_for_shell(&plain, self.words.is_empty()) {
                    self.for_shell = Some(plain);
                }
                self.words.push(word);
            }
        }
        Ok(())
    }

    /// The next word, and its letters that are neither quoted nor escaped.
    fn word(&mut self) -> Result<(String, String), UnclosedQuote> {
        let (mut word, mut plain) = (String::new(), String::new());
        while let Some(next) = self.rest.next_if(|next| !next.is_ascii_whitespace()) {
            match next {
                '"' | '\'' => self.quoted(next, &mut word)?,
                '\\' => self.escape(&mut word),
                letter => {
                    plain.push(letter);
                    word.push(letter);
                }
            }
        }
        Ok((word, plain))
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
        match parse(text).map(|parsed| parsed.map(|parsed| parsed.command)) {
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

    /// What keepalived 2.2.7 runs.
    #[test]
    fn letters_of_a_shell_are_arguments() {
        assert_eq!(
            direct("/bin/x a&b ?x $H (x) * ; | z"),
            ["/bin/x", "a&b", "?x", "$H", "(x)", "*", ";", "|", "z"]
        );
        assert_eq!(direct("A=1 run"), ["A=1", "run"]);
        assert_eq!(direct("< /dev/x"), ["<", "/dev/x"]);
        let command = ScriptCommand::Shell("</dev/tcp/127.0.0.1/80".into());
        assert_eq!(parse(" </dev/tcp/127.0.0.1/80"), Ok(Some(Parsed { command, for_shell: None })));
    }

    #[test]
    fn words_for_a_shell_are_named() {
        let first = |text| parse(text).unwrap().unwrap().for_shell;
        for (text, word) in [
            ("pidof nginx || exit 1", "||"),
            ("a b; c", "b;"),
            ("a >/dev/null 2>&1", ">/dev/null"),
            ("a 2>&1 b", "2>&1"),
            ("a $HOME", "$HOME"),
            ("a `b`", "`b`"),
            ("a nginx||exit 1", "nginx||exit"),
            ("a nginx>/dev/null", "nginx>/dev/null"),
            ("a /run/*.pid", "/run/*.pid"),
            ("A=1 b", "A=1"),
            ("~/check a", "~/check"),
        ] {
            assert_eq!(first(text).as_deref(), Some(word), "{text}");
        }
        for text in [
            "curl -sf http://192.0.2.1/health?full=1&verbose=0",
            "/bin/sh -c 'a || b; $c'",
            r"x \$a",
            "[ -e /x ]",
            "pgrep -f ^nginx$",
            "a b=1",
        ] {
            assert_eq!(first(text), None, "{text}");
        }
    }

    /// What keepalived 2.2.7 runs.
    #[test]
    fn escaped_quotes_of_the_file_are_quotes_of_the_command() {
        let words = |text| direct(&unquoted(text, '"'));
        assert_eq!(words(r#"/bin/x \"a  b\" 'c  d' \"p'q\" e"#), ["/bin/x", "a  b", "c  d", "p'q", "e"]);
        assert_eq!(words(r#"/bin/x \"curl -H \\\"A: b\\\" c\" d"#), ["/bin/x", r#"curl -H "A: b" c"#, "d"]);
        assert_eq!(direct(&unquoted(r#"/bin/x "a  b" \'c  d\' \n"#, '\'')), ["/bin/x", "a  b", "c  d", "\n"]);
        assert_eq!(unquoted(r"a\\", '"'), r"a\\");
    }

    #[test]
    fn nothing_and_half_a_quote_are_no_command() {
        assert_eq!(parse("  "), Ok(None));
        assert_eq!(parse("a 'b"), Err(UnclosedQuote('\'')));
    }
}
