//! Prints the table of faults; see `vrrp_tests::bench::faults`.

use std::process::ExitCode;

use vrrp_tests::bench::{faults::Fault, options};

fn main() -> ExitCode {
    let about = "Measures what a client sees of faults, ours beside keepalived";
    options::rows("bench-faults", about, &Fault::ALL, Fault::measure)
}
