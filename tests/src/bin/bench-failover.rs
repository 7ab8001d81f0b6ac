//! Prints the table of failover measures; see `vrrp_tests::bench`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use vrrp_tests::bench::options::{self, Options};
use vrrp_tests::bench::{Measure, Sheet};

#[derive(Debug, Parser)]
#[command(about = "Measures failover, ours beside keepalived")]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Rows to measure, by letter: a,b,c,d,e,f,g,h
    #[arg(long, value_delimiter = ',')]
    only: Vec<char>,
}

fn main() -> ExitCode {
    options::end("bench-failover", measure())
}

fn measure() -> Result<()> {
    let arguments = Arguments::parse();
    let plan = arguments.options.plan()?;
    let measures = chosen(&arguments.only)?;
    let mut sheet = Sheet::new(&plan);
    measures.into_iter().try_for_each(|measure| measure.measure(&plan, &mut sheet))?;
    sheet.end()
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
