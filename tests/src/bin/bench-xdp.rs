//! Prints the table of the BPF program's cost; see `vrrp_tests::bench::xdp`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use vrrp_tests::bench::options::{self, Choice, Options};
use vrrp_tests::bench::xdp;

#[derive(Debug, Parser)]
#[command(about = "Measures the cost of the BPF program for each kind of frame")]
struct Arguments {
    /// Shorter runs
    #[arg(long)]
    quick: bool,
    /// Write each number here as well, as a line of JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    options::end("bench-xdp", measure())
}

fn measure() -> Result<()> {
    let Arguments { quick, json } = Arguments::parse();
    let (plan, mut sheet) = Options { quick, daemon: Choice::Vrrpx, json }.begin()?;
    xdp::measure(&plan, &mut sheet)?;
    sheet.end()
}
