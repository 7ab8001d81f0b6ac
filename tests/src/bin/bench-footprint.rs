//! Prints the tables of memory and start times; see `vrrp_tests::bench::footprint`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use vrrp_tests::bench::Sheet;
use vrrp_tests::bench::footprint::{self, Record};
use vrrp_tests::bench::options::{self, Options};

#[derive(Debug, Parser)]
#[command(about = "Measures memory and start time, ours beside keepalived")]
struct Arguments {
    what: What,
    #[command(flatten)]
    options: Options,
    /// Write each value here as well, as a line of JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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
    let plan = arguments.options.plan()?;
    let open = |path: &PathBuf| File::create(path).with_context(|| path.display().to_string());
    let mut json = arguments.json.as_ref().map(open).transpose()?;
    let mut records = |record: Record<'_>| {
        let Some(file) = &mut json else { return Ok(()) };
        writeln!(file, "{}", serde_json::to_string(&record)?).context("the JSON file")
    };
    let mut sheet = Sheet::new(&plan);
    match arguments.what {
        What::Memory => footprint::memory(&plan, &mut sheet, &mut records)?,
        What::Start => footprint::start(&plan, &mut sheet, &mut records)?,
    }
    sheet.end()
}
