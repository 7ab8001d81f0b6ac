//! Prints the table of faults; see `vrrp_tests::bench::faults`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use vrrp_tests::bench::faults::Fault;
use vrrp_tests::bench::options::{self, Options};

#[derive(Debug, Parser)]
#[command(about = "Measures what a client sees of faults, ours beside keepalived")]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Rows to measure, by word: kill, hang, leave, restart, load, join, pause, flood, removal
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

fn main() -> ExitCode {
    options::end("bench-faults", measure())
}

fn measure() -> Result<()> {
    let arguments = Arguments::parse();
    let measures = options::chosen(&arguments.only, &Fault::ALL)?;
    let (plan, mut sheet) = arguments.options.begin()?;
    measures.into_iter().try_for_each(|fault| fault.measure(&plan, &mut sheet))?;
    sheet.end()
}
