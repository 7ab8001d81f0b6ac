//! Ordinary threads of the daemon: probes, hooks, status, metrics, control socket and command line.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod alerts;
mod cli;
mod control;
mod control_sockets;
mod doctor;
mod doctor_links;
mod events;
mod fifo;
mod http;
mod metrics;
mod narrow;
mod notify;
mod one_instance;
mod page;
mod preflight;
mod probe;
mod scrape_parsers;
mod scrape_size;
mod service;
mod setup;
mod status;
mod times;
mod top;
mod tune;
mod webhook;
