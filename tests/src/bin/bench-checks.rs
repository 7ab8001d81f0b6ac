//! Prints the table of checks; see `vrrp_tests::bench::checks`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use vrrp_tests::bench::{Plan, Sheet, checks, options};
use vrrp_tests::daemon::{Daemon, Mode};
use vrrp_tests::missing;

#[derive(Debug, Parser)]
#[command(about = "Measures how fast a service is missed, and what checks cost, ours beside keepalived")]
struct Arguments {
    /// Fewer rounds and shorter runs
    #[arg(long)]
    quick: bool,
}

const NEEDS: [&str; 8] = ["root", "ip", "vrrpx", "keepalived", "dockerd", "busybox", "dbus-daemon", "nginx"];

fn main() -> ExitCode {
    options::end("bench-checks", measure())
}

fn measure() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(reason) = NEEDS.into_iter().find_map(missing) {
        bail!("{reason}");
    }
    let daemons = vec![Daemon::Keepalived, Daemon::Vrrpx(Mode::Native)];
    let plan = Plan { daemons, quick: arguments.quick };
    let mut sheet = Sheet::new(&plan);
    checks::measure(&plan, &mut sheet)?;
    sheet.end()
}
