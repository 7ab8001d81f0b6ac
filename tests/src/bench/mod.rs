//! Measures failover, ours beside keepalived, in one run on one machine.
//!
//! [`checks`], [`faults`], [`footprint`] and [`xdp`] are tables of their own. Each other module is some rows of the
//! table: [`failover`] the dead host, beside light work too, and the clean stop, [`load`] busy processors, [`flood`]
//! malformed adverts, [`backup`] the cost of listening, [`reload`] changes of the configuration, [`growth`] what they
//! leave behind, [`patience`] changing priorities, [`takeover`] the first moments of a master. All times of frames are
//! the kernel's stamps as they leave a node's cable, so the tool's own lateness is in none of them.

pub mod backup;
pub mod checks;
pub mod failover;
pub mod faults;
pub mod flood;
pub mod footprint;
pub mod growth;
pub mod load;
pub mod options;
pub mod patience;
pub mod reload;
pub mod sheet;
mod stats;
pub mod takeover;
pub mod xdp;

use std::time::Duration;

use anyhow::Result;

use crate::daemon::Daemon;
pub use sheet::{Cell, Figure, Row, Sheet};
pub use stats::Samples;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    pub daemons: Vec<Daemon>,
    /// Fewer rounds and shorter runs, to check that everything works.
    pub quick: bool,
}

/// A row of the table by its letter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Measure {
    /// a, b, c: detection, outage of a dead host, outage of a clean stop; they come from the same rounds.
    Failover,
    /// d: one busy processor.
    OneBusy,
    /// e: all processors busy.
    AllBusy,
    /// f: malformed adverts.
    Flood,
    /// g: CPU time of a backup.
    Backup,
    /// h: reloads.
    Reload,
    /// i: growth over many reloads.
    Reloads,
    /// j: growth over many transitions.
    Transitions,
    /// k: a master whose priority falls.
    Falling,
    /// l: a backup whose priority rises.
    Rising,
    /// m: a takeover with one address.
    Takeover,
    /// n: a takeover with 1000 addresses.
    ManyAddresses,
    /// o: dead hosts beside light work.
    LightWork,
}

impl Measure {
    pub const ALL: [(&'static str, Self); 15] = [
        ("a", Self::Failover),
        ("b", Self::Failover),
        ("c", Self::Failover),
        ("d", Self::OneBusy),
        ("e", Self::AllBusy),
        ("f", Self::Flood),
        ("g", Self::Backup),
        ("h", Self::Reload),
        ("i", Self::Reloads),
        ("j", Self::Transitions),
        ("k", Self::Falling),
        ("l", Self::Rising),
        ("m", Self::Takeover),
        ("n", Self::ManyAddresses),
        ("o", Self::LightWork),
    ];

    /// Measures it.
    pub fn measure(self, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
        match self {
            Self::Failover => failover::rows(plan)?.iter().try_for_each(|row| sheet.add(row)),
            Self::OneBusy => sheet.add(&load::one_busy(plan)?),
            Self::AllBusy => sheet.add(&load::all_busy(plan)?),
            Self::Flood => sheet.add(&flood::row(plan)?),
            Self::Backup => sheet.add(&backup::row(plan)?),
            Self::Reload => sheet.add(&reload::row(plan)?),
            Self::Reloads => sheet.add(&growth::reloads(plan)?),
            Self::Transitions => sheet.add(&growth::transitions(plan)?),
            Self::Falling => sheet.add(&patience::falling(plan)?),
            Self::Rising => sheet.add(&patience::rising(plan)?),
            Self::Takeover => takeover::one(plan)?.iter().try_for_each(|row| sheet.add(row)),
            Self::ManyAddresses => takeover::many_addresses(plan)?.iter().try_for_each(|row| sheet.add(row)),
            Self::LightWork => sheet.add(&failover::beside_light_work(plan)?),
        }
    }
}

fn millis(span: Duration) -> String {
    format!("{:.2}", span.as_secs_f64() * 1e3)
}
