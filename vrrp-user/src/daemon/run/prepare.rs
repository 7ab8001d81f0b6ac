//! First steps of a start: configuration, runtime directory and process name.

use std::env;
use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use nix::sys::prctl::{get_name, set_name};
use nix::sys::stat::{Mode, umask};
use tracing::{error, info, warn};
use vrrp_ebpf::wire::Family;

use super::error::RunError;
use crate::config::{Config, InstanceSettings, Loaded, ProcessSettings, Severity};
use crate::daemon::control;
use crate::daemon::last_good::LastGood;
use crate::daemon::load::{ERRORS, LoadError, Usable, config_exit_code, load, usable};
use crate::daemon::process::fit;
use crate::daemon::process::options::RunOptions;
use crate::daemon::process::preflight::{self, Disabled, MissingCapabilities};
use crate::daemon::reload::{Cause, StaleConfiguration};
use crate::driver::xdp::ring::event_bytes;

/// The configuration of a start.
#[derive(Debug)]
pub(super) struct First {
    pub(super) usable: Usable,
    /// Why it is not that of the file, and when it was applied.
    pub(super) stale: Option<(StaleConfiguration, Option<SystemTime>)>,
}

/// Reads the configuration of a start; a signal ends the process even while a file system does not answer. If the file
/// has errors, or its reload was not confirmed, the last good configuration takes its place.
pub(super) fn load_first(options: &RunOptions) -> Result<First, RunError> {
    let Some(last_good) = LastGood::of(options) else { return read_first(options) };
    if last_good.is_marked() {
        let finding = "the daemon ended before its reload was kept (vrrpx reload --keep)".to_owned();
        return restore(&last_good, options, Cause::NotKept, vec![finding]).or_else(|why| {
            warn!(
                "the reload was not kept before the daemon ended; it stays in use, as there is no copy: {why}"
            );
            read_first(options)
        });
    }
    match read_first(options) {
        Err(RunError::Load(LoadError::Config(diagnostics)))
            if !options.strict_start && config_exit_code(&diagnostics) == ERRORS && !is_beside(options) =>
        {
            let error = RunError::Load(LoadError::Config(diagnostics));
            restore(&last_good, options, Cause::AtStart, error.findings()).map_err(|why| {
                info!("no last good configuration takes its place: {why}");
                error
            })
        }
        first => first,
    }
}

/// Whether another daemon runs, which goes on if this one does not replace it. A bridge process does not.
fn is_beside(options: &RunOptions) -> bool {
    options.hot_restart
        && options.bridge.is_none()
        && control::status(&options.runtime_dir).is_ok_and(|status| !status.node.is_bridge)
}

fn restore(
    last_good: &LastGood,
    options: &RunOptions,
    cause: Cause,
    findings: Vec<String>,
) -> Result<First, String> {
    let restored = last_good.restore(&options.reader(), options.config_id.as_deref())?;
    let usable = usable(Arc::new(restored.loaded)).map_err(|error| error.to_string())?;
    for finding in &findings {
        error!("{finding}");
    }
    error!("started with the last good configuration; correct the file, then run: vrrpx reload");
    let stale = StaleConfiguration { since: SystemTime::now(), cause, findings };
    Ok(First { usable, stale: Some((stale, restored.at)) })
}

fn read_first(options: &RunOptions) -> Result<First, RunError> {
    Ok(First { usable: load(&options.reader(), options)?, stale: None })
}

/// Logs the warnings about a configuration that its file has.
pub(super) fn warn_of(loaded: &Loaded, options: &RunOptions) {
    let warnings = &loaded.diagnostics;
    let left_out = warnings.iter().filter(|warning| warning.severity == Severity::LeftOut).count();
    if left_out > 0 {
        warn!(
            "{left_out} lines of {} are left out, as with keepalived; see them below, and with: vrrpx check --keepalived",
            options.config.display()
        );
    }
    for warning in warnings.iter().chain(&loaded.traps()) {
        warn!("{warning}");
    }
}

/// The interfaces of all instances, each once.
pub(super) fn interfaces(config: &Config) -> Vec<Arc<str>> {
    let mut all: Vec<_> = config.instances.iter().map(|it| Arc::clone(&it.settings.interface)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Bytes of the ring that an event of each instance takes.
pub(super) fn events(config: &Config) -> u32 {
    /// Bytes of a message apart from addresses: its header, and the headers of IP and IPsec, or a signature.
    const OTHERS: usize = 64;
    let each = |settings: &InstanceSettings| {
        let address = if settings.family == Family::V4 { 4 } else { 16 };
        event_bytes(OTHERS + settings.addresses.advertised.len() * address)
    };
    let all: usize = config.instances.iter().map(|it| each(&it.settings)).sum();
    u32::try_from(all).unwrap_or(u32::MAX)
}

/// Checks what the process may do and what scripts it may run; returns those that it may not.
pub(super) fn prepare(config: &mut Config) -> Result<Vec<Disabled>, MissingCapabilities> {
    for line in preflight::capabilities()? {
        warn!("{line}");
    }
    let notices = preflight::scripts(config);
    notices.iter().for_each(|notice| warn!("{notice}"));
    // A missing interface of an instance is logged later, when instances are matched with interfaces.
    let findings = fit::findings(config);
    findings.iter().filter(|it| !it.is_lacking).for_each(|it| warn!("{}", it.text));
    Ok(preflight::disabled(&notices))
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
