//! The running daemon: threads, their work, and the queues between them.
//!
//! ```text
//! engine  (SCHED_FIFO)   ring, timer, sockets ─► router ─► adverts
//!    │ Command (queue + eventfd)        │ Report (queue + eventfd)        ▲ Input (queue + eventfd)
//!    ▼                                  ▼                                 │
//! effect  (SCHED_FIFO − 1)           tokio (ordinary): notify, status, metrics, scripts, netlink monitor
//! ```
//! [`live`] holds what every thread may read at any time. [`run`] starts all of it, in order; [`service`] is the main
//! thread, which keeps the host as it is configured ([`host`]), reports changes ([`notify`], [`events`], [`metrics`],
//! [`status`]), and answers requests ([`control`]). [`inspect`] serves the command line, and needs no daemon.

pub mod announcements;
pub mod auth;
pub mod checks;
mod clients;
pub mod control;
mod documents;
pub mod dump;
pub mod effect;
pub mod engine;
mod essential;
pub mod events;
pub mod guard;
pub mod history;
pub mod host;
pub mod host_faults;
pub mod hot_restart;
pub mod http;
#[cfg(feature = "http")]
pub mod http_client;
pub mod inspect;
pub mod last_good;
pub mod live;
pub mod load;
pub mod log;
pub mod metrics;
pub mod mismatch;
pub mod neighbours;
pub mod notify;
mod outbox;
pub mod probe;
pub mod process;
pub mod queue;
mod readers;
pub mod reload;
pub mod report;
pub mod run;
pub mod service;
pub mod status;
pub mod steering;
mod tasks;
pub mod unwritten;
mod unyielding;
pub mod wall;
mod wire_answers;
mod wire_warnings;
