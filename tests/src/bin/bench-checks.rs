//! Prints the table of checks; see `vrrp_tests::bench::checks`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use vrrp_tests::bench::checks;
use vrrp_tests::bench::options::{self, Options};
use vrrp_tests::missing;

#[derive(Debug, Parser)]
#[command(about = "Measures how fast a service is missed, and what checks cost, ours beside keepalived")]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

const NEEDS: [&str; 4] = ["dockerd", "busybox", "dbus-daemon", "nginx"];

fn main() -> ExitCode {
    options::end("bench-checks", measure())
}

fn measure() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(reason) = NEEDS.into_iter().find_map(missing) {
        bail!("{reason}");
    }
    let (plan, mut sheet) = arguments.options.begin()?;
    checks::measure(&plan, &mut sheet)?;
    sheet.end()
}
