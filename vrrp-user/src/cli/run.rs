//! `vrrpx run`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{RUNTIME_DIR, complain, give_up};
use crate::config::{KEEPALIVED_CONF, Tolerance};
use crate::daemon::log;
use crate::daemon::process::options::{ProcessOptions, RunOptions, XdpMode};
use crate::daemon::run;

/// Exit code without a configuration file, as for an unreadable one.
pub(super) const UNREADABLE: u8 = 3;

/// Default configuration files, in order of precedence.
const DEFAULT_FILES: [&str; 2] = ["/etc/vrrpx/vrrpx.conf", KEEPALIVED_CONF];

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Configuration [default: /etc/vrrpx/vrrpx.conf, else /etc/keepalived/keepalived.conf]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read the lines `@ID …` as this node [default: the host's name up to its first dot]
    #[arg(long, short = 'i', value_name = "ID")]
    config_id: Option<String>,
    /// Folder for lock, pid file and control socket; each daemon needs its own
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
    /// Serve metrics, status and events over HTTP on this address, for reading only
    #[arg(long, value_name = "ADDR:PORT", visible_alias = "http", value_parser = address)]
    metrics: Option<SocketAddr>,
    /// Receive path for adverts: auto, native, tcx, tc, generic or socket
    #[arg(long, value_name = "MODE", default_value = "auto")]
    xdp_mode: XdpMode,
    /// Log level: error, warn, info, debug or trace [default: VRRPX_LOG, else info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// End if the configuration has errors, instead of starting with the last good one
    #[arg(long)]
    strict_start: bool,
    /// Hot restart: replace the daemon that runs with this folder, if there is one, without a gap
    #[arg(long)]
    hot_restart: bool,
    /// End after this time unless another daemon replaces this one before
    #[arg(long, value_name = "SECONDS", hide = true)]
    bridge: Option<u64>,
    /// Stay in the ordinary scheduling class and leave memory unlocked
    #[arg(long)]
    no_realtime: bool,
    /// Group whose users may open control.sock and so steer this daemon as root may [default: root alone]
    #[arg(long, value_name = "GROUP")]
    control_group: Option<String>,
    /// Group whose users may open status.sock, which only shows [default: every user]
    #[arg(long, value_name = "GROUP")]
    status_group: Option<String>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let example = "write an address and a port, as 127.0.0.1:9112 or [::1]:9112; 0.0.0.0 is every address";
    text.parse().map_err(|_| format!("`{text}` is not ADDR:PORT: {example}"))
}

pub(super) fn run(arguments: Arguments) -> ExitCode {
    let sink = match log::start(arguments.log.as_deref()) {
        Ok(sink) => sink,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(2);
        }
    };
    let Some(config) = file_or_default(arguments.config.as_deref(), "vrrpx run --config FILE") else {
        return ExitCode::from(UNREADABLE);
    };
    let options = RunOptions {
        tolerance: Tolerance::of(&config, false),
        config,
        config_id: arguments.config_id,
        runtime_dir: arguments.runtime_dir,
        metrics: arguments.metrics,
        mode: arguments.xdp_mode,
        strict_start: arguments.strict_start,
        hot_restart: arguments.hot_restart,
        bridge: arguments.bridge.map(Duration::from_secs),
        realtime: !arguments.no_realtime,
        control_group: arguments.control_group,
        status_group: arguments.status_group,
        process: ProcessOptions::default(),
    };
    match run::run(&options, || Ok(())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => give_up(&error, sink),
    }
}

/// The named file, else the first of [`DEFAULT_FILES`] that exists; if there is none, says how to name one.
pub(super) fn file_or_default(named: Option<&Path>, usage: &str) -> Option<PathBuf> {
    let file = named.map(Path::to_owned).or_else(default_file);
    if file.is_none() {
        let [ours, keepaliveds] = DEFAULT_FILES;
        complain(&format!("neither {ours} nor {keepaliveds} exists; name a file: {usage}"));
    }
    file
}

/// The first of [`DEFAULT_FILES`] that exists.
pub(super) fn default_file() -> Option<PathBuf> {
    DEFAULT_FILES.into_iter().map(PathBuf::from).find(|file| file.exists())
}
