//! `vrrpx check`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::run::{UNREADABLE, file_or_default};
use super::{complain, print, report};
use crate::config::{Config, Diagnostic, Reader, Severity, Tolerance};
use crate::daemon::load::config_exit_code;
use crate::daemon::process::{features, fit, preflight};

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
    let mut texts = Texts::new();
    let read = if file.as_os_str() == STDIN {
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
    match read {
        Ok(loaded) => {
            texts.show(&loaded.diagnostics);
            texts.show(&loaded.traps());
            let lacking = features::lacking(&loaded.config, features::BUILT);
            if !lacking.is_empty() {
                lacking.iter().for_each(|line| complain(line));
                return ExitCode::from(ERRORS);
            }
            let misfits = host_findings(&loaded.config);
            let word = if arguments.host { "warning" } else { "note" };
            misfits.iter().for_each(|line| report(format_args!("{word}: on this host: {line}")));
            let counts = arguments.host && !misfits.is_empty();
            if arguments.strict && (counts || loaded.diagnostics.iter().any(|it| !it.is_harmless)) {
                return ExitCode::from(ERRORS);
            }
            if loaded.diagnostics.iter().any(|it| it.severity == Severity::LeftOut) {
                complain("the daemon would run without the lines left out above, as keepalived does");
                return ExitCode::from(LEFT_OUT);
            }
            let instances = match loaded.config.instances.len() {
                1 => "1 instance".to_owned(),
                count => format!("{count} instances"),
            };
            let name = if file.as_os_str() == STDIN { "stdin".into() } else { file.display().to_string() };
            if print(&format!("{name}: ok, {instances}\n")) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(diagnostics) => {
            texts.show(&diagnostics);
            ExitCode::from(config_exit_code(&diagnostics))
        }
    }
}

/// What does not fit this host. The file may be another host's, so that it counts only if that is asked for.
fn host_findings(config: &Config) -> Vec<String> {
    let mut lines: Vec<String> = fit::findings(config).into_iter().map(|it| it.text).collect();
    lines.extend(preflight::scripts(&mut config.clone()).iter().map(ToString::to_string));
    lines
}

/// The files of findings; none where stderr is no terminal, as programs read lines.
struct Texts {
    is_terminal: bool,
    /// Empty for one that cannot be read.
    known: HashMap<String, String>,
}

impl Texts {
    fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), known: HashMap::new() }
    }

    /// Each finding, and on a terminal its line with a mark, before its help.
    fn show(&mut self, diagnostics: &[Diagnostic]) {
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

    fn excerpt(&mut self, diagnostic: &Diagnostic) -> Option<String> {
        if !self.is_terminal {
            return None;
        }
        let file = diagnostic.file.to_string();
        let text =
            self.known.entry(file).or_insert_with_key(|file| read(Path::new(file)).unwrap_or_default());
        diagnostic.excerpt(text)
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
