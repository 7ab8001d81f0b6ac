//! `vrrpx guard`.

use std::process::ExitCode;

use super::complain;
use crate::daemon::guard::process;

pub(super) fn guard() -> ExitCode {
    match process::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => {
            complain("only the daemon can start the guard");
            ExitCode::from(2)
        }
    }
}
