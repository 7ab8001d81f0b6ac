//! The daemon, for `cargo xtask dist tarball` to link statically beside the one that is linked with the C library.

use std::process::ExitCode;

fn main() -> ExitCode {
    vrrp_user::cli::main(std::env::args_os())
}
