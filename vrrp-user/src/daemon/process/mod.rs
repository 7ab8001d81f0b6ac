//! The process and its parents: features, terminal, systemd, pid files of other daemons.

pub mod background;
pub mod features;
pub mod fit;
pub mod heartbeat;
pub mod options;
pub(crate) mod overrun;
pub mod pid_files;
pub mod preflight;
pub mod runtime_dir;
pub(crate) mod systemd;
pub mod watchdog;
pub(crate) mod writable;
