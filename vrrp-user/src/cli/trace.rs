//! `vrrpx trace`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::run::{UNREADABLE, file_or_default};
use super::span::span;
use super::{UNKNOWN_NAME, Unprinted, complain, print_next, report, screen_columns, unheard};
use crate::config::{Config, Reader, Tolerance, wrapped_at};
use crate::daemon::inspect::capture::{capture, groups, index};
use crate::daemon::inspect::trace::{TIME, Tracer};
use crate::daemon::load::config_exit_code;
use crate::daemon::process::fit::Host;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Instance, or interface [default: the interface of the configuration, if it has one only]
    #[arg(value_name = "NAME|IFACE")]
    name: Option<String>,
    /// Configuration that the verdicts follow [default: the one that `run` would take]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read the lines `@ID …` as this node [default: the host's name up to its first dot]
    #[arg(long, short = 'i', value_name = "ID")]
    config_id: Option<String>,
    /// End after so many adverts
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this time, such as 10s or 2m
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    time: Option<Duration>,
}

pub(super) fn trace(arguments: &Arguments) -> ExitCode {
    let Some(file) = file_or_default(arguments.config.as_deref(), "vrrpx trace --config FILE") else {
        return ExitCode::from(UNREADABLE);
    };
    let tolerance = Tolerance::of(&file, false);
    let config = match Reader::new(arguments.config_id.as_deref()).tolerating(tolerance).load(&file) {
        Ok(loaded) => loaded.config,
        Err(diagnostics) => {
            diagnostics.iter().for_each(report);
            return ExitCode::from(config_exit_code(&diagnostics));
        }
    };
    let (interface, instance) = match place(&config, arguments.name.as_deref()) {
        Ok(place) => place,
        Err(text) => {
            complain(&text);
            return ExitCode::from(UNKNOWN_NAME);
        }
    };
    let host = Host::read_for(&config).unwrap_or_default();
    let mut tracer = Tracer::new(&config, &interface, instance.as_deref(), &host);
    let (mut rest, mut unprinted) = (arguments.count, None);
    let columns = screen_columns();
    let heard = index(&interface).and_then(|ifindex| {
        capture(ifindex, &groups(&config, &interface), arguments.time, |caught| {
            let Some(line) = tracer.line(caught) else { return true };
            unprinted = print_next(&row(columns, &line)).err();
            rest = rest.map(|rest| rest - 1);
            unprinted.is_none() && rest != Some(0)
        })
    });
    match heard {
        Ok(()) if matches!(unprinted, Some(Unprinted::Lost)) => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&unheard(&interface, &error));
            ExitCode::FAILURE
        }
    }
}

/// The lines of an advert; on a narrow terminal they go on below the sender, or with little indent.
fn row(columns: usize, text: &str) -> String {
    let indent = if columns < 3 * TIME { 2 } else { TIME + 1 };
    let mut out = String::new();
    for line in text.lines() {
        let bare = line.trim_start_matches(' ');
        let head = " ".repeat((line.len() - bare.len()).min(indent));
        wrapped_at(columns, &mut out, &head, bare, indent);
    }
    out
}

/// The interface to listen on, and the instance that is shown alone.
fn place(config: &Config, name: Option<&str>) -> Result<(String, Option<String>), String> {
    let instances = || config.instances.iter().map(|it| &it.settings);
    let Some(name) = name else {
        let mut interfaces: Vec<&str> = instances().map(|it| &*it.interface).collect();
        interfaces.dedup();
        return match interfaces.as_slice() {
            [only] => Ok(((*only).to_owned(), None)),
            _ => {
                Err("the configuration has several interfaces, or none; name one, or an instance".to_owned())
            }
        };
    };
    Ok(match instances().find(|it| &*it.name == name) {
        Some(settings) => (settings.interface.to_string(), Some(name.to_owned())),
        None if index(name).is_ok() => (name.to_owned(), None),
        None => return Err(format!("{name} is neither an instance of the configuration nor an interface")),
    })
}
