//! The running daemon: which thread does what, and how they reach each other.
//!
//! ```text
//! engine  (SCHED_FIFO)   ring, timer, sockets ─► router ─► adverts
//!    │ Command (queue + eventfd)        │ Report (queue + eventfd)        ▲ Input (queue + eventfd)
//!    ▼                                  ▼                                 │
//! effect  (SCHED_FIFO − 1)           tokio (ordinary): notify, status, metrics, scripts, netlink monitor
//! ```
//! [`board`] is what all may read at any time without asking the engine.

pub mod attach;
pub mod auth;
pub mod background;
pub mod board;
pub mod change;
mod check_metrics;
pub mod checks;
pub mod control;
pub mod difference;
pub mod dump;
pub mod effect;
pub mod engine;
mod errand;
pub mod events;
pub mod fence;
pub mod fifo;
pub mod firewall;
pub mod follow;
pub mod guard;
pub mod hearing;
pub mod hooks;
pub mod interfaces;
mod interim;
pub mod log;
pub mod mail;
pub mod metrics;
mod notice;
pub mod notify;
pub mod options;
mod overrun;
pub mod pid_files;
pub mod places;
pub mod preflight;
pub mod queue;
pub mod record;
pub mod reload;
pub mod report;
pub mod run;
pub mod runtime_dir;
pub mod secondaries;
pub mod service;
pub mod statics;
pub mod status;
mod sysctls;
pub mod syslog;
mod systemd;
pub mod takeover;
pub mod vmacs;
pub mod wall;
pub mod watchdog;
pub mod webhook;
