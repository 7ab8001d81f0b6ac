//! First steps of a start: configuration, runtime directory and process name.

use std::env;
use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use nix::sys::prctl::{get_name, set_name};
use nix::sys::stat::{Mode, umask};
use tracing::warn;

use super::error::RunError;
use crate::config::{Config, Diagnostic, ProcessSettings, Reader, Severity, Tolerance};
use crate::daemon::host::places;
use crate::daemon::process::fit::Host;
use crate::daemon::process::options::RunOptions;
use crate::daemon::process::preflight::{self, MissingCapabilities};

/// A configuration that can be used here, and its warnings.
#[derive(Debug)]
pub(in crate::daemon) struct Usable {
    pub(in crate::daemon) config: Config,
    pub(in crate::daemon) warnings: Vec<Diagnostic>,
    pub(in crate::daemon) tolerance: Tolerance,
}

pub(in crate::daemon) fn load(reader: &Reader, options: &RunOptions) -> Result<Usable, RunError> {
    let loaded = reader.load(&options.config).map_err(RunError::Config)?;
    let mut config = loaded.config;
    places::find(&mut config)?;
    Ok(Usable { config, warnings: loaded.diagnostics, tolerance: loaded.tolerance })
}

/// Reads the configuration of a start; a signal ends the process even while a file system does not answer.
pub(super) fn load_first(options: &RunOptions) -> Result<(Config, Tolerance), RunError> {
    let Usable { config, warnings, tolerance } = load(&options.reader(), options)?;
    let left_out = warnings.iter().filter(|warning| warning.severity == Severity::LeftOut).count();
    if left_out > 0 {
        warn!(
            "{left_out} lines of {} are left out, as with keepalived; see them below, and with: vrrpx check --keepalived",
            options.config.display()
        );
    }
    for warning in &warnings {
        warn!("{warning}");
    }
    Ok((config, tolerance))
}

/// Checks what the process may do and what scripts it may run.
pub(super) fn prepare(config: &mut Config) -> Result<(), MissingCapabilities> {
    for line in preflight::capabilities()? {
        warn!("{line}");
    }
    for line in preflight::scripts(config) {
        warn!("{line}");
    }
    // A missing interface of an instance is logged later, when instances are matched with interfaces.
    match Host::read() {
        Ok(host) => host.misfits(config).iter().for_each(|line| warn!("{line}")),
        Err(error) => warn!(%error, "cannot compare the configuration with the interfaces of the host"),
    }
    Ok(())
}

/// Gives a daemon among several its own runtime directory, `/run/vrrpx_NAME`, if none is named.
pub(super) fn placed(options: &RunOptions, process: &ProcessSettings) -> RunOptions {
    let mut options = options.clone();
    if let (Some(places), Some(instance)) = (&options.process.places, &process.instance)
        && !places.folder
    {
        let mut folder = options.runtime_dir.into_os_string();
        folder.push(format!("_{instance}"));
        options.runtime_dir = folder.into();
    }
    options
}

/// The kernel's name for a process that was started by `/proc/self/exe`.
const NAMELESS: &CStr = c"exe";

/// The name by which the program was called, as the kernel would have taken it.
fn own_name() -> Option<String> {
    let path = env::args_os().next()?;
    Some(Path::new(&path).file_name()?.to_string_lossy().into_owned())
}

/// Gives the process its name and its mask.
pub(super) fn present(settings: &ProcessSettings, options: &RunOptions) {
    if let Some(mask) = options.process.umask.or(settings.umask) {
        umask(Mode::from_bits_truncate(mask));
    }
    let given = || settings.name.as_ref().map(ToString::to_string);
    let is_nameless = get_name().is_ok_and(|name| *name == *NAMELESS);
    let name = given().or_else(|| own_name().filter(|_| is_nameless));
    if let Some(name) = name
        && let Err(error) =
            CString::new(&*name).map_err(io::Error::from).and_then(|name| Ok(set_name(&name)?))
    {
        warn!(%name, %error, "cannot set the process name");
    }
}

/// `router_id`, or the name of the host.
pub(super) fn router_id(config: &Config) -> Arc<str> {
    let host = || fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().into();
    config.globals.router_id.clone().unwrap_or_else(host)
}
