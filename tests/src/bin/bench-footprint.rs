//! Prints the tables of memory and start times; see `vrrp_tests::bench::footprint`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use vrrp_tests::bench::footprint;
use vrrp_tests::bench::options::{self, Options};

#[derive(Debug, Parser)]
#[command(about = "Measures memory and start time, ours beside keepalived")]
struct Arguments {
    what: What,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Memory,
    Start,
}

fn main() -> ExitCode {
    options::end("bench-footprint", measure())
}

fn measure() -> Result<()> {
    let arguments = Arguments::parse();
    let (plan, mut sheet) = arguments.options.begin()?;
    match arguments.what {
        What::Memory => footprint::memory(&plan, &mut sheet)?,
        What::Start => footprint::start(&plan, &mut sheet)?,
    }
    sheet.end()
}
