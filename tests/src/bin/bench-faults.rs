//! Prints the table of faults; see `vrrp_tests::bench::faults`.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use vrrp_tests::bench::faults::Fault;
use vrrp_tests::bench::{Plan, table};
use vrrp_tests::daemon::{Daemon, Mode};
use vrrp_tests::missing;

#[derive(Debug, Parser)]
#[command(about = "Measures what a client sees of faults, ours beside keepalived")]
struct Arguments {
    /// Fewer rounds and shorter runs
    #[arg(long)]
    quick: bool,
    /// Rows to measure, by word: kill, hang, leave, restart, load, join, pause, flood, removal
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    #[arg(long, value_enum, default_value = "both")]
    daemon: Choice,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    Keepalived,
    Vrrpx,
    Both,
}

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    let arguments = Arguments::parse();
    let daemons = match arguments.daemon {
        Choice::Keepalived => vec![Daemon::Keepalived],
        Choice::Vrrpx => vec![Daemon::Vrrpx(Mode::Native)],
        Choice::Both => vec![Daemon::Keepalived, Daemon::Vrrpx(Mode::Native)],
    };
    let needs = ["root", "ip"].into_iter().chain(daemons.iter().map(|daemon| daemon.need()));
    if let Some(reason) = needs.into_iter().find_map(missing) {
        bail!("{reason}");
    }
    let plan = Plan { daemons, quick: arguments.quick };
    let measures = chosen(&arguments.only)?;
    let mut rows = Vec::new();
    for measure in measures {
        rows.extend(measure.rows(&plan)?);
    }
    println!("{}", table(&plan, &rows));
    Ok(())
}

fn chosen(words: &[String]) -> Result<Vec<Fault>> {
    if words.is_empty() {
        return Ok(Fault::ALL.map(|(_, fault)| fault).to_vec());
    }
    let known = Fault::ALL.map(|(word, _)| word).join(", ");
    let fault =
        |word: &String| Fault::of_word(word).with_context(|| format!("no row {word}; there are {known}"));
    words.iter().map(fault).collect()
}
