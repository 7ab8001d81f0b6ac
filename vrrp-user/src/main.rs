//! The daemon's binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    vrrp_user::cli::main(std::env::args_os())
}
