//! Prints the table of failover measures; see `vrrp_tests::bench`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use vrrp_tests::bench::Measure;
use vrrp_tests::bench::options::{self, Options};

#[derive(Debug, Parser)]
#[command(about = "Measures failover, ours beside keepalived")]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Rows to measure, by letter: a,b,c,d,e,f,g,h,i,j,k,l,m,n
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

fn main() -> ExitCode {
    options::end("bench-failover", measure())
}

fn measure() -> Result<()> {
    let arguments = Arguments::parse();
    let measures = options::chosen(&arguments.only, &Measure::ALL)?;
    let (plan, mut sheet) = arguments.options.begin()?;
    measures.into_iter().try_for_each(|measure| measure.measure(&plan, &mut sheet))?;
    sheet.end()
}
