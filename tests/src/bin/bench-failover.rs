//! Prints the table of failover measures; see `vrrp_tests::bench`.

use std::process::ExitCode;

use vrrp_tests::bench::{Measure, options};

fn main() -> ExitCode {
    let about = "Measures failover, ours beside keepalived";
    options::rows("bench-failover", about, &Measure::ALL, Measure::measure)
}
