//! `vrrpx check`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::run::{UNREADABLE, file_or_default};
use super::{complain, folded_to_screen, json, print, report};
use crate::config::{Config, Diagnostic, Loaded, Reader, Severity, Tolerance};
use crate::daemon::load::config_exit_code;
use crate::daemon::process::{features, fit, preflight};
use crate::daemon::status::WIDTH;
use crate::driver::terminal;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Configuration to check, - for standard input [default: the one that `run` would take]
    file: Option<PathBuf>,
    /// Read the lines `@ID …` as this node [default: the host's name up to its first dot]
    #[arg(long, short = 'i', value_name = "ID")]
    config_id: Option<String>,
    /// Leave wrong lines out, as keepalived does [default for /etc/keepalived/keepalived.conf]
    #[arg(long)]
    keepalived: bool,
    /// Treat warnings as errors, except those about valid settings that keepalived treats alike
    #[arg(long)]
    strict: bool,
    /// Count what does not fit this host as warnings: interfaces, subnets, source addresses, scripts and their users
    #[arg(long)]
    host: bool,
    /// Print the findings as JSON, on one line of stdout; exits with the same codes
    #[arg(long)]
    json: bool,
}

/// Name of the standard input.
const STDIN: &str = "-";

/// Longest file that findings are shown with, in bytes.
const SHOWN_MAX: u64 = 4 << 20;

/// Exit code for a file with errors.
const ERRORS: u8 = 4;

/// Exit code for a file of which lines are left out.
const LEFT_OUT: u8 = 5;

pub(super) fn check(arguments: &Arguments) -> ExitCode {
    let Some(file) = file_or_default(arguments.file.as_deref(), "vrrpx check FILE") else {
        return ExitCode::from(UNREADABLE);
    };
    let tolerance = Tolerance::of(&file, arguments.keepalived);
    let reader = Reader::new(arguments.config_id.as_deref()).tolerating(tolerance);
    let mut texts = Texts::new(arguments.json);
    let is_stdin = file.as_os_str() == STDIN;
    let name = if is_stdin { "stdin".to_owned() } else { file.display().to_string() };
    let read = if is_stdin {
        let mut text = Vec::new();
        if let Err(error) = io::stdin().lock().read_to_end(&mut text) {
            complain(&format!("stdin: {error}"));
            return ExitCode::from(UNREADABLE);
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        let read = reader.load_text("stdin", &text);
        texts.known.insert("stdin".to_owned(), text);
        read
    } else {
        reader.load(&file)
    };
    let (code, instances) = match read {
        Ok(loaded) => (judge(arguments, &loaded, &mut texts), loaded.config.instances.len()),
        Err(diagnostics) => {
            texts.show(&diagnostics);
            (config_exit_code(&diagnostics), 0)
        }
    };
    let text = match (texts.findings, code) {
        (Some(findings), _) => json(&Report { file: &name, ok: code == 0, instances, findings }),
        (None, 0) => {
            let s = if instances == 1 { "" } else { "s" };
            Some(folded_to_screen(&format!("{name}: ok, {instances} instance{s}\n")))
        }
        (None, _) => return ExitCode::from(code),
    };
    if text.is_some_and(|text| print(&text)) { ExitCode::from(code) } else { ExitCode::FAILURE }
}

/// Shows what is found, and returns the exit code.
fn judge(arguments: &Arguments, loaded: &Loaded, texts: &mut Texts) -> u8 {
    texts.show(&loaded.diagnostics);
    texts.show(&loaded.traps());
    let lacking = features::lacking(&loaded.config, features::BUILT);
    if !lacking.is_empty() {
        lacking.into_iter().for_each(|line| texts.fail(line));
        return ERRORS;
    }
    let host_findings = host_findings(&loaded.config);
    let word = if arguments.host { "warning" } else { "note" };
    host_findings.iter().for_each(|line| texts.note(word, format!("on this host: {line}")));
    let counts = arguments.host && !host_findings.is_empty();
    if arguments.strict && (counts || loaded.diagnostics.iter().any(|it| !it.is_harmless)) {
        return ERRORS;
    }
    if loaded.diagnostics.iter().any(|it| it.severity == Severity::LeftOut) {
        if !arguments.json {
            complain("the daemon would run without the lines left out above, as keepalived does");
        }
        return LEFT_OUT;
    }
    0
}

/// What does not fit this host. The file may be another host's, so that it counts only if that is asked for.
fn host_findings(config: &Config) -> Vec<String> {
    let mut lines: Vec<String> = fit::findings(config).into_iter().map(|it| it.text).collect();
    lines.extend(preflight::scripts(&mut config.clone()).iter().map(ToString::to_string));
    lines
}

/// The report as JSON.
#[derive(Serialize)]
struct Report<'a> {
    file: &'a str,
    /// Exit code 0.
    ok: bool,
    instances: usize,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    /// `None` for what does not fit this host or this build.
    file: Option<String>,
    /// From 1; `None` for the file as a whole.
    line: Option<u32>,
    column: Option<u32>,
    /// `note`, `warning`, `left_out` or `error`.
    level: &'static str,
    text: String,
    help: Option<String>,
}

impl Finding {
    fn of_none(level: &'static str, text: String) -> Self {
        Self { file: None, line: None, column: None, level, text, help: None }
    }
}

impl From<&Diagnostic> for Finding {
    fn from(diagnostic: &Diagnostic) -> Self {
        let is_placed = diagnostic.severity != Severity::Unreadable;
        Self {
            file: Some(diagnostic.file.to_string()),
            line: is_placed.then_some(diagnostic.line),
            column: is_placed.then_some(diagnostic.column),
            level: match diagnostic.severity {
                Severity::Warning => "warning",
                Severity::LeftOut => "left_out",
                Severity::Error | Severity::Unreadable => "error",
            },
            text: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
        }
    }
}

/// The files of findings; none where stderr is no terminal, as programs read lines.
struct Texts {
    is_terminal: bool,
    columns: usize,
    /// Empty for one that cannot be read.
    known: HashMap<String, String>,
    /// Collected for JSON instead of shown.
    findings: Option<Vec<Finding>>,
}

impl Texts {
    fn new(is_json: bool) -> Self {
        let stderr = io::stderr();
        let columns = terminal::columns(&stderr).unwrap_or(WIDTH);
        let findings = is_json.then(Vec::new);
        Self { is_terminal: stderr.is_terminal(), columns, known: HashMap::new(), findings }
    }

    /// Each finding, and on a terminal its line with a mark, before its help.
    fn show(&mut self, diagnostics: &[Diagnostic]) {
        if let Some(findings) = &mut self.findings {
            findings.extend(diagnostics.iter().map(Finding::from));
            return;
        }
        for diagnostic in diagnostics {
            match self.excerpt(diagnostic) {
                Some(excerpt) => {
                    let text = diagnostic.to_string();
                    let (head, help) =
                        text.split_once('\n').map_or((&*text, None), |(head, help)| (head, Some(help)));
                    report(format_args!("{head}\n{excerpt}"));
                    help.into_iter().for_each(report);
                }
                None => report(diagnostic),
            }
        }
    }

    /// A finding about no line.
    fn note(&mut self, level: &'static str, text: String) {
        match &mut self.findings {
            Some(findings) => findings.push(Finding::of_none(level, text)),
            None => report(format_args!("{level}: {text}")),
        }
    }

    fn fail(&mut self, text: String) {
        match &mut self.findings {
            Some(findings) => findings.push(Finding::of_none("error", text)),
            None => complain(&text),
        }
    }

    fn excerpt(&mut self, diagnostic: &Diagnostic) -> Option<String> {
        if !self.is_terminal {
            return None;
        }
        let file = diagnostic.file.to_string();
        let text =
            self.known.entry(file).or_insert_with_key(|file| read(Path::new(file)).unwrap_or_default());
        diagnostic.excerpt(text, self.columns)
    }
}

/// The beginning of a file; nothing else, as a FIFO would wait for a writer.
fn read(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    if fs::metadata(path)?.is_file() {
        File::open(path)?.take(SHOWN_MAX).read_to_end(&mut text)?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
