//! Metrics of the process, with the names that every Prometheus client library gives them.

use std::fmt;

use procfs::ProcResult;
use procfs::process::{LimitValue, Process};

use super::exposition::Exposition;
use super::family::{counter, gauge};

struct Reading {
    started: f64,
    cpu: f64,
    resident: f64,
    open_fds: f64,
    max_fds: f64,
}

/// No rows without /proc.
pub(super) fn encode(out: &mut Exposition) -> fmt::Result {
    let reading = read().ok();
    let mut value = |name, help, value: fn(&Reading) -> f64| {
        gauge(out, name, help, |row| reading.as_ref().map_or(Ok(()), |it| row(&vec![], value(it))))
    };
    value("process_start_time_seconds", "Start of the process, seconds since 1970", |it| it.started)?;
    value("process_resident_memory_bytes", "Resident memory", |it| it.resident)?;
    value("process_open_fds", "Open file descriptors", |it| it.open_fds)?;
    value("process_max_fds", "Most file descriptors that it may open", |it| it.max_fds)?;
    counter(out, "process_cpu_seconds", "User and system time of all threads", |row| {
        reading.as_ref().map_or(Ok(()), |it| row(&vec![], it.cpu))
    })
}

#[expect(clippy::cast_precision_loss, reason = "samples are f64")]
fn read() -> ProcResult<Reading> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let per_second = procfs::ticks_per_second() as f64;
    Ok(Reading {
        started: procfs::boot_time_secs()? as f64 + stat.starttime as f64 / per_second,
        cpu: stat.utime.saturating_add(stat.stime) as f64 / per_second,
        resident: stat.rss.saturating_mul(procfs::page_size()) as f64,
        open_fds: process.fd_count()? as f64,
        max_fds: match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(most) => most as f64,
            LimitValue::Unlimited => f64::INFINITY,
        },
    })
}
