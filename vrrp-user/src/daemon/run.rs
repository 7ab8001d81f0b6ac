//! From a command line to a running daemon, in order.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;
use tokio::runtime;
use tracing::{info, warn};

use super::board::Board;
use super::options::RunOptions;
use super::preflight::{self, MissingCapabilities};
use super::queue::Queue;
use super::record::Record;
use super::runtime_dir::{ClaimError, RuntimeDir};
use super::service::{Service, ServiceError};
use super::status::Sources;
use crate::config::{self, Config, Diagnostic, Severity};
use crate::driver::clock;
use crate::driver::maps::Maps;

/// Entries of the queues to and from the engine; 4096 instances may change state at once.
const QUEUE: usize = 8192;

/// Why the daemon did not start, or ended.
#[derive(Debug, Error)]
pub enum RunError {
    #[error("{}", lines(.0))]
    Config(Vec<Diagnostic>),
    #[error(transparent)]
    Capabilities(#[from] MissingCapabilities),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

impl RunError {
    /// 3 for a configuration that cannot be read, 4 for one with errors, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(diagnostics) => config_exit_code(diagnostics),
            _ => 1,
        }
    }
}

/// The exit code for a refused configuration.
pub fn config_exit_code(diagnostics: &[Diagnostic]) -> u8 {
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Unreadable) { 3 } else { 4 }
}

/// Runs the daemon until it is told to end.
///
/// # Errors
/// It could not start, or its engine failed.
pub fn run(options: &RunOptions) -> Result<(), RunError> {
    let started = clock::now();
    let mut config = load(&options.config)?;
    prepare(&mut config)?;
    let folder = RuntimeDir::claim(&options.runtime_dir)?;
    let slots = u32::try_from(config.instances.len().max(1)).unwrap_or(u32::MAX);
    let sources = Arc::new(Sources {
        board: Arc::new(Board::new(config.instances.len())),
        maps: Arc::new(Maps::anonymous(slots)?),
        record: Arc::new(Record::new(config.instances.len())),
        router_id: router_id(&config),
        started,
        config: Arc::new(config),
    });
    let (inputs, reports) = (queue()?, queue()?);
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let service = Service::open(options, &folder, Arc::clone(&sources), inputs, reports).await?;
        info!(
            version = env!("CARGO_PKG_VERSION"),
            router_id = &*sources.router_id,
            instances = sources.config.instances.len(),
            "started"
        );
        service.run().await
    })?;
    info!("stopped");
    Ok(())
}

fn load(path: &Path) -> Result<Config, RunError> {
    let loaded = config::load(path).map_err(RunError::Config)?;
    for diagnostic in &loaded.diagnostics {
        warn!("{diagnostic}");
    }
    Ok(loaded.config)
}

/// Checks what the process may do and what scripts it may run.
fn prepare(config: &mut Config) -> Result<(), MissingCapabilities> {
    for line in preflight::capabilities()? {
        warn!("{line}");
    }
    for line in preflight::scripts(config) {
        warn!("{line}");
    }
    Ok(())
}

/// `router_id`, or the name of the host.
fn router_id(config: &Config) -> Arc<str> {
    let host = || fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().into();
    config.globals.router_id.clone().unwrap_or_else(host)
}

fn queue<T>() -> std::io::Result<Queue<T>> {
    Queue::new(QUEUE).map_err(Into::into)
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
