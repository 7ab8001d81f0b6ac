//! `vrrpx guard`.

use std::process::ExitCode;

use super::complain;
use crate::daemon::guard::process;

pub(super) fn guard() -> ExitCode {
    match process::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => {
            complain("the guard is started by the daemon");
            ExitCode::from(2)
        }
    }
}
