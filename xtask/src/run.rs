//! `run`: the lab, or the daemon on this host.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cargo::become_built;
use crate::{build, lab};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Run the daemon on this host with this configuration
    #[arg(long)]
    config: Option<PathBuf>,
    /// Arguments for the daemon, or for the lab
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    more: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Some(config) = &arguments.config else { return lab::lab(&arguments.more) };
    let config = config.canonicalize().with_context(|| config.display().to_string())?;
    build::daemon(true)?;
    let words = ["run".into(), "--config".into(), config.into()];
    become_built("vrrpx", true, &[&words[..], &arguments.more].concat())
}
