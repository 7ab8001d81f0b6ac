//! `vrrpx cleanup`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{RUNTIME_DIR, complain, folded_to_screen, print};
use crate::daemon::host::dead::{self, Removed};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Runtime folder of a daemon that may have left no fence
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
    /// Also remove fences of addresses that this host still has: it answers for them then
    #[arg(long)]
    force: bool,
}

pub(super) fn cleanup(arguments: &Arguments) -> ExitCode {
    let named = fs::canonicalize(&arguments.runtime_dir).ok();
    let mut code = ExitCode::SUCCESS;
    for (runtime_dir, outcome) in dead::bury_with(named.as_deref(), arguments.force, &|_| false) {
        let runtime_dir = runtime_dir.display();
        match outcome {
            Ok(removed) => {
                let text = format!("removed what the killed daemon of {runtime_dir} has left\n");
                let _ = print(&folded_to_screen(&text));
                if removed != Removed::ALL {
                    complain(&format!("{runtime_dir}: {removed}"));
                }
            }
            Err(error) => {
                complain(&format!("{runtime_dir}: {error}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
