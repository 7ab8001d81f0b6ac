//! Prints the table of failover measures; see `vrrp_tests::bench`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use vrrp_tests::bench::{Measure, Plan, table};
use vrrp_tests::daemon::{Daemon, Mode};
use vrrp_tests::missing;

#[derive(Debug, Parser)]
#[command(about = "Measures failover, ours beside keepalived")]
struct Arguments {
    /// Fewer rounds and shorter runs
    #[arg(long)]
    quick: bool,
    /// Rows to measure, by letter: a,b,c,d,e,f,g,h
    #[arg(long, value_delimiter = ',')]
    only: Vec<char>,
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
            eprintln!("bench-failover: {error:#}");
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

fn chosen(letters: &[char]) -> Result<Vec<Measure>> {
    if letters.is_empty() {
        return Ok(Measure::ALL.to_vec());
    }
    let mut chosen = Vec::new();
    for &letter in letters {
        let Some(measure) = Measure::of_letter(letter) else { bail!("no row {letter}; there are a to h") };
        if !chosen.contains(&measure) {
            chosen.push(measure);
        }
    }
    Ok(chosen)
}
