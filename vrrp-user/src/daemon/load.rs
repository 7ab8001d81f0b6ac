//! Configuration that can be used on this host.
//!
//! Enters: a reader and the file. Leaves: the configuration with its interfaces found, or why there is none. Absent:
//! the use of it.

use std::sync::Arc;

use thiserror::Error;

use super::host::places::{self, PlaceError};
use super::process::features;
use super::process::options::RunOptions;
use crate::config::{Config, Diagnostic, Loaded, Reader, Severity};

/// A configuration that can be used here, and the file's, from which it follows.
#[derive(Debug)]
pub(super) struct Usable {
    pub(super) config: Config,
    pub(super) loaded: Arc<Loaded>,
}

/// Why a configuration cannot be used here.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("{}", lines(.0))]
    Config(Vec<Diagnostic>),
    #[error("{}", .0.join("\n"))]
    Features(Vec<String>),
    #[error(transparent)]
    Place(#[from] PlaceError),
}

impl LoadError {
    /// What is wrong, one finding each.
    pub fn findings(&self) -> Vec<String> {
        match self {
            Self::Config(diagnostics) => diagnostics.iter().map(ToString::to_string).collect(),
            Self::Features(lines) => lines.clone(),
            Self::Place(error) => vec![error.to_string()],
        }
    }

    /// 3 for a configuration that cannot be read, 4 for one with errors or for another build, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(diagnostics) => config_exit_code(diagnostics),
            Self::Features(_) => ERRORS,
            Self::Place(_) => 1,
        }
    }
}

/// Exit code of a configuration that can be read, and has errors.
pub(super) const ERRORS: u8 = 4;

/// The exit code for a refused configuration.
pub fn config_exit_code(diagnostics: &[Diagnostic]) -> u8 {
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Unreadable) { 3 } else { ERRORS }
}

pub(super) fn load(reader: &Reader, options: &RunOptions) -> Result<Usable, LoadError> {
    usable(Arc::new(reader.load(&options.config).map_err(LoadError::Config)?))
}

pub(super) fn usable(loaded: Arc<Loaded>) -> Result<Usable, LoadError> {
    let lacking = features::lacking(&loaded.config, features::BUILT);
    if !lacking.is_empty() {
        return Err(LoadError::Features(lacking));
    }
    let mut config = loaded.config.clone();
    places::find(&mut config)?;
    Ok(Usable { config, loaded })
}

/// The first lines of findings about lines that are left out and on which the election may depend.
pub(super) fn electing(loaded: &Loaded) -> Vec<String> {
    let electing = loaded.diagnostics.iter().filter(|it| it.elects && it.severity == Severity::LeftOut);
    electing.filter_map(|it| Some(it.to_string().lines().next()?.to_owned())).collect()
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
