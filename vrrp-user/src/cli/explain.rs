//! `vrrpx explain`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::run::{UNREADABLE, file_or_default};
use super::{folded_to_screen, json, print};
use crate::config::{Explanation, Reader, Surroundings, Tolerance, explain_text};
use crate::daemon::load::config_exit_code;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Configuration to explain [default: the one that `run` would take]
    file: Option<PathBuf>,
    /// Print JSON, on one line
    #[arg(long)]
    json: bool,
    /// Show default values too
    #[arg(long)]
    all: bool,
    /// Read the lines `@ID …` as this node [default: the host's name up to its first dot]
    #[arg(long, short = 'i', value_name = "ID")]
    config_id: Option<String>,
    /// Leave wrong lines out, as keepalived does [default for /etc/keepalived/keepalived.conf]
    #[arg(long)]
    keepalived: bool,
}

pub(super) fn explain(arguments: &Arguments) -> ExitCode {
    let Some(file) = file_or_default(arguments.file.as_deref(), "vrrpx explain FILE") else {
        return ExitCode::from(UNREADABLE);
    };
    let tolerance = Tolerance::of(&file, arguments.keepalived);
    let loaded = Reader::new(arguments.config_id.as_deref()).tolerating(tolerance).load(&file);
    let (explanation, code) = match &loaded {
        Ok(loaded) => (loaded.explain(host()), 0),
        Err(findings) => {
            let name = file.display().to_string();
            (Explanation::refused(&name, findings), config_exit_code(findings))
        }
    };
    let text = if arguments.json {
        json(&explanation)
    } else {
        Some(folded_to_screen(&explain_text(&explanation, arguments.all)))
    };
    let Some(text) = text else { return ExitCode::FAILURE };
    if print(&text) { ExitCode::from(code) } else { ExitCode::FAILURE }
}

fn host() -> Surroundings {
    let flag = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim() != "0");
    Surroundings {
        nonlocal_bind_v4: flag("/proc/sys/net/ipv4/ip_nonlocal_bind"),
        nonlocal_bind_v6: flag("/proc/sys/net/ipv6/ip_nonlocal_bind"),
    }
}
