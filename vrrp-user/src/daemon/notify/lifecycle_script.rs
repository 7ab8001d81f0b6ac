//! Lifecycle scripts: `startup_script` and `shutdown_script`.
//!
//! Enters: the configuration. Leaves: a run that has ended, or was ended at its limit, a line about it in the log, and
//! more time from systemd. Absent: influence; the daemon starts and ends whatever their outcome, as keepalived does.

use tracing::{info, warn};

use crate::config::{Globals, LifecycleScript};
use crate::daemon::process::systemd;
use crate::driver::process::{Identity, IdentityError, Job};

/// Runs before anything is announced or received.
pub(crate) async fn startup(globals: &Globals) {
    run("startup_script", globals.process.startup.as_ref(), globals).await;
}

/// Runs after everything is released.
pub(crate) async fn shutdown(globals: &Globals) {
    run("shutdown_script", globals.process.shutdown.as_ref(), globals).await;
}

async fn run(keyword: &'static str, lifecycle_script: Option<&LifecycleScript>, globals: &Globals) {
    let Some(lifecycle_script) = lifecycle_script else { return };
    let job = match job(lifecycle_script, globals) {
        Ok(job) => job,
        Err(error) => {
            warn!(keyword, %error, "cannot run the script");
            return;
        }
    };
    systemd::extend_timeout(lifecycle_script.limit);
    let run = job.run(&[], &[]).await;
    if run.end.is_success() {
        info!(keyword, lasted = ?run.lasted, "script done");
    } else {
        warn!(keyword, lasted = ?run.lasted, end = %run.end, "script failed; the daemon goes on");
    }
}

fn job(lifecycle_script: &LifecycleScript, globals: &Globals) -> Result<Job, IdentityError> {
    let user = lifecycle_script.command.user.as_ref();
    let identity = Identity::resolve(user, globals.script_user.as_ref())?
        .with_groups(globals.process.supplementary_groups)?;
    Ok(Job {
        command: lifecycle_script.command.command.clone(),
        identity,
        limit: lifecycle_script.limit,
        leashed: true,
    })
}
