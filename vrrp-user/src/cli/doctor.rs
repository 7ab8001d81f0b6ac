//! `vrrpx doctor`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::run::default_file;
use super::span::span;
use super::{RUNTIME_DIR, json, print, screen_columns};
use crate::config::{Config, Reader, Tolerance};
use crate::daemon::control;
use crate::daemon::inspect::doctor::{Facts, Known, Report, examine, place, probe, refused, screen};
use crate::daemon::status::{Instance, StatusVerdict, WIDTH};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Configuration to judge the host for [default: the one that `run` would take]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read the lines `@ID …` as this node [default: the host's name up to its first dot]
    #[arg(long, short = 'i', value_name = "ID")]
    config_id: Option<String>,
    /// Try what passes between this host and its peers, both ways: probes of protocol 112, echo requests, adverts,
    /// queriers
    #[arg(long)]
    probe: bool,
    /// How long to probe, such as 10s or 1m: longer than it takes to start it on the other host too
    #[arg(long = "for", value_name = "TIME", default_value = "3s", value_parser = span, requires = "probe")]
    time: Duration,
    /// Runtime folder of the daemon whose peers are tried
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,
    /// Print JSON, on one line
    #[arg(long)]
    json: bool,
}

pub(super) fn doctor(arguments: &Arguments) -> ExitCode {
    let file = arguments.config.clone().or_else(default_file);
    let (config, mut findings) = match &file {
        None => (Config::default(), Vec::new()),
        Some(file) => {
            let tolerance = Tolerance::of(file, false);
            match Reader::new(arguments.config_id.as_deref()).tolerating(tolerance).load(file) {
                Ok(loaded) => {
                    let mut config = loaded.config;
                    let findings = place(&mut config);
                    (config, findings)
                }
                Err(diagnostics) => (Config::default(), refused(&diagnostics)),
            }
        }
    };
    let facts = Facts::read(&config);
    findings.extend(examine(&config, &facts));
    if arguments.probe {
        findings.extend(probe(&config, &facts, &known(&arguments.runtime_dir), arguments.time));
    }
    let report = Report::new(file.map(|file| file.display().to_string()), &config, findings);
    let text =
        if arguments.json { json(&report) } else { Some(screen(&report, screen_columns().min(WIDTH))) };
    let Some(text) = text else { return ExitCode::FAILURE };
    match report.verdict() {
        _ if !print(&text) => ExitCode::FAILURE,
        StatusVerdict::Well => ExitCode::SUCCESS,
        StatusVerdict::Look => ExitCode::from(10),
        StatusVerdict::Bad => ExitCode::from(20),
    }
}

/// The peers that a running daemon has heard.
fn known(runtime_dir: &Path) -> Known {
    let Ok(status) = control::status(runtime_dir) else { return Known::default() };
    let peers = |instance: &Instance| {
        let addresses = instance.peers.iter().filter_map(|peer| peer.address.parse().ok());
        (instance.name.clone(), addresses.collect())
    };
    Known { is_running: true, peers: status.instances.iter().map(peers).collect() }
}
