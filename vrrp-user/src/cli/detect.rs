//! `vrrpx detect`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::run::default_file;
use super::span::span;
use super::{complain, json, print, screen_columns, unheard};
use crate::config::{Config, Reader, Tolerance};
use crate::daemon::inspect::capture::{capture, groups, index};
use crate::daemon::inspect::detect::{Census, join, screen};
use crate::daemon::inspect::sighting::Sighting;
use crate::daemon::process::fit::Host;
use crate::daemon::status::WIDTH;
use crate::driver::xdp::DriverXdp;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Interface to listen on
    #[arg(value_name = "IFACE")]
    interface: String,
    /// How long, such as 10s or 2m
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = span)]
    time: Duration,
    /// Only this VRID
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    vrid: Option<u8>,
    /// Print the configuration of a backup for that VRID instead of the table
    #[arg(long, requires = "vrid", conflicts_with = "json")]
    config: bool,
    /// Configuration whose VRIDs are named in the table [default: the one that `run` would take]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print JSON, on one line
    #[arg(long)]
    json: bool,
}

pub(super) fn detect(arguments: &Arguments) -> ExitCode {
    let Arguments { interface, time, vrid, .. } = arguments;
    let file = arguments.file.clone().or_else(default_file);
    // Only names in the table depend on it.
    let load = |file: PathBuf| Reader::new(None).tolerating(Tolerance::of(&file, false)).load(&file).ok();
    let config: Option<Config> = file.and_then(load).map(|loaded| loaded.config);
    let mut census = Census::default();
    let heard = index(interface).and_then(|ifindex| {
        let groups = config.as_ref().map(|config| groups(config, interface)).unwrap_or_default();
        capture(ifindex, &groups, Some(*time), |caught| {
            let sighting = Sighting::read(caught).filter(|it| vrid.is_none_or(|vrid| it.vrid == vrid));
            sighting.into_iter().for_each(|sighting| census.add(sighting));
            true
        })
    });
    if let Err(error) = heard {
        complain(&unheard(interface, &error));
        return ExitCode::FAILURE;
    }
    let text = match (arguments.config, vrid) {
        (true, Some(vrid)) => {
            let own = Host::read().map(|host| host.of(interface)).unwrap_or_default();
            let Some(text) = join(&census, interface, *vrid, &own) else {
                complain(&format!(
                    "no valid advert of VRID {vrid} was heard on {interface}; listen longer: --for 1m"
                ));
                return ExitCode::FAILURE;
            };
            text
        }
        _ => {
            let driver = index(interface).and_then(DriverXdp::of).ok().flatten();
            let detected = census.detected(interface, *time, config.as_ref()).with_driver(driver);
            let text = if arguments.json {
                json(&detected)
            } else {
                Some(screen(&detected, screen_columns().min(WIDTH)))
            };
            let Some(text) = text else { return ExitCode::FAILURE };
            text
        }
    };
    if print(&text) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
