//! Command-line options shared by the benches.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};

use super::{Plan, Sheet};
use crate::daemon::{Daemon, Mode};
use crate::require::missing;

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Fewer rounds and shorter runs
    #[arg(long)]
    pub quick: bool,
    #[arg(long, value_enum, default_value = "both")]
    pub daemon: Choice,
    /// Write each number here as well, as a line of JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Choice {
    Keepalived,
    Vrrpx,
    Both,
}

impl Options {
    /// The plan, and its table with the head printed.
    pub fn begin(&self) -> Result<(Plan, Sheet)> {
        let plan = self.plan()?;
        let sheet = Sheet::new(&plan, self.json.as_deref())?;
        Ok((plan, sheet))
    }

    fn plan(&self) -> Result<Plan> {
        let daemons = match self.daemon {
            Choice::Keepalived => vec![Daemon::Keepalived],
            Choice::Vrrpx => vec![Daemon::Vrrpx(Mode::Native)],
            Choice::Both => vec![Daemon::Keepalived, Daemon::Vrrpx(Mode::Native)],
        };
        let needs = ["root", "ip"].into_iter().chain(daemons.iter().map(|daemon| daemon.need()));
        if let Some(reason) = needs.into_iter().find_map(missing) {
            bail!("{reason}");
        }
        Ok(Plan { daemons, quick: self.quick })
    }
}

/// The command line of a bench that measures row by row.
#[derive(Debug, Parser)]
struct Rows {
    #[command(flatten)]
    options: Options,
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    only: Vec<String>,
}

/// The program of a bench: measures the rows that its command line chooses from `all`.
pub fn rows<T: Copy + PartialEq>(
    name: &'static str,
    about: &'static str,
    all: &[(&str, T)],
    measure: impl Fn(T, &Plan, &mut Sheet) -> Result<()>,
) -> ExitCode {
    let known: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
    let help = format!("Rows to measure: {}", known.join(","));
    let command = Rows::command().name(name).about(about).mut_arg("only", |only| only.help(help));
    let parsed = Rows::from_arg_matches(&command.get_matches());
    let arguments = parsed.unwrap_or_else(|error| error.exit());
    let run = || {
        let chosen = chosen(&arguments.only, all)?;
        let (plan, mut sheet) = arguments.options.begin()?;
        chosen.into_iter().try_for_each(|row| measure(row, &plan, &mut sheet))?;
        sheet.end()
    };
    end(name, run())
}

/// The rows of `all` that `words` name, each once; all rows if there are no words.
fn chosen<T: Copy + PartialEq>(words: &[String], all: &[(&str, T)]) -> Result<Vec<T>> {
    let mut chosen = Vec::new();
    let mut choose = |row| {
        if !chosen.contains(&row) {
            chosen.push(row);
        }
    };
    if words.is_empty() {
        all.iter().for_each(|(_, row)| choose(*row));
    }
    for word in words {
        let row = all.iter().find(|(known, _)| known == word).with_context(|| {
            let known: Vec<&str> = all.iter().map(|(known, _)| *known).collect();
            format!("no row {word}; there are {}", known.join(", "))
        })?;
        choose(row.1);
    }
    Ok(chosen)
}

/// Prints the error, after the name of the bench.
pub fn end(name: &str, outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
