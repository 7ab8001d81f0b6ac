//! Metrics of instances and of their sync groups.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::encoding::DescriptorEncoder;
use vrrp_ebpf::map::Counter;
use vrrp_ebpf::wire::Reject;

use super::family::{counter, gauge, nanos};
use super::{Reading, Scrape};
use crate::daemon::host::reception::ReceptionFault;
use crate::daemon::status::{family, received};
use crate::protocol::{Reason, State};

pub(super) fn states(out: &mut DescriptorEncoder<'_>, readings: &[Reading<'_>]) -> fmt::Result {
    gauge(out, "vrrpx_instance_state", "1 for the present state", |row| {
        for reading in readings {
            let vrid = reading.settings.vrid.to_string();
            for state in State::ALL {
                let mut labels = reading.labels();
                labels.extend([
                    ("interface", &*reading.settings.interface),
                    ("vrid", &*vrid),
                    ("family", family(reading.settings.family)),
                    ("state", state.as_str()),
                ]);
                row(&labels, f64::from(u8::from(state == reading.live.state())))?;
            }
        }
        Ok(())
    })?;
    gauge(
        out,
        "vrrpx_lease_seconds",
        "Time left of the lease, the right to answer for the addresses",
        |row| readings.iter().try_for_each(|reading| row(&reading.labels(), reading.lease.as_secs_f64())),
    )?;
    gauge(out, "vrrpx_instance_priority", "Effective priority", |row| {
        readings.iter().try_for_each(|reading| row(&reading.labels(), f64::from(reading.live.priority().0)))
    })?;
    counter(out, "vrrpx_instance_transitions", "Transitions by reason", |row| {
        for reading in readings {
            for (reason, count) in Reason::ALL.iter().zip(&reading.live.transitions) {
                row(&reading.labels_and("reason", reason.as_str()), count.load(Relaxed))?;
            }
        }
        Ok(())
    })?;
    gauge(out, "vrrpx_instance_takeover_seconds", "Duration of the effects of the latest takeover", |row| {
        let taken = readings.iter().filter(|reading| reading.live.takeover_nanos.load(Relaxed) > 0);
        for reading in taken {
            row(&reading.labels(), nanos(reading.live.takeover_nanos.load(Relaxed)))?;
        }
        Ok(())
    })
}

impl Scrape {
    pub(super) fn groups(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let groups = self.context.config.groups.iter().zip(&self.context.live.groups);
        gauge(out, "vrrpx_group_state", "1 for the present state of a sync group", |row| {
            for (group, live) in groups {
                for state in State::ALL {
                    let labels = vec![("group", &*group.settings.name), ("state", state.as_str())];
                    row(&labels, f64::from(u8::from(state == live.state())))?;
                }
            }
            Ok(())
        })
    }
}

pub(super) fn activity(out: &mut DescriptorEncoder<'_>, readings: &[Reading<'_>]) -> fmt::Result {
    type Total = fn(&Reading<'_>) -> u64;
    let totals: [(&str, &str, Total); 7] = [
        ("vrrpx_adverts_sent", "Adverts sent", |reading| reading.live.adverts_sent.load(Relaxed)),
        ("vrrpx_releases_sent", "Adverts sent with priority 0", |reading| {
            reading.live.release_sent.load(Relaxed)
        }),
        ("vrrpx_adverts_received", "Valid adverts received", |reading| received(&reading.counters)),
        (
            "vrrpx_announcements_sent",
            "Gratuitous ARPs and unsolicited neighbour advertisements sent",
            |reading| reading.live.announcements_sent.load(Relaxed),
        ),
        ("vrrpx_put_back", "Addresses, routes and rules that were lost and set again", |reading| {
            reading.live.put_back.load(Relaxed)
        }),
        ("vrrpx_send_errors", "Adverts that could not be sent", |reading| {
            reading.live.send_errors.load(Relaxed)
        }),
        ("vrrpx_contests", "Adverts of lower masters heard while master", |reading| {
            reading.live.contests.load(Relaxed)
        }),
    ];
    for (name, help, value) in totals {
        counter(out, name, help, |row| {
            readings.iter().try_for_each(|reading| row(&reading.labels(), value(reading)))
        })?;
    }
    gauge(
        out,
        "vrrpx_reception_fault",
        "1 while the program, or the host, misses adverts that the other one receives",
        |row| {
            for reading in readings {
                for who in ReceptionFault::WHO {
                    let is_deaf = reading.reception_fault == Some(who);
                    row(&reading.labels_and("who", who), f64::from(u8::from(is_deaf)))?;
                }
            }
            Ok(())
        },
    )?;
    let help = "Addresses, routes and rules that a master could not set";
    gauge(out, "vrrpx_lacking", help, |row| {
        let count = |reading: &Reading<'_>| u32::try_from(reading.live.lacking.load(Relaxed));
        readings
            .iter()
            .try_for_each(|reading| row(&reading.labels(), f64::from(count(reading).unwrap_or(u32::MAX))))
    })?;
    let (name, help) = ("vrrpx_dual_master_seconds", "Time for which other masters were heard while master");
    counter(out, name, help, |row| {
        let span = |reading: &Reading<'_>| nanos(reading.live.dual_master_nanos());
        readings.iter().try_for_each(|reading| row(&reading.labels(), span(reading)))
    })
}

/// Counters of the program, or of the socket in its place.
pub(super) fn counted(out: &mut DescriptorEncoder<'_>, readings: &[Reading<'_>]) -> fmt::Result {
    counter(out, "vrrpx_rejects", "Refused adverts by reason", |row| {
        for reading in readings {
            for reject in Reject::ALL {
                row(&reading.labels_and("reason", reject.as_str()), reading.counters.reject(reject))?;
            }
        }
        Ok(())
    })?;
    counter(out, "vrrpx_drops", "Adverts, or records of senders, lost for lack of room or budget", |row| {
        for reading in readings {
            for word in [Counter::OverBudget, Counter::RingFull, Counter::PeersFull] {
                row(&reading.labels_and("reason", word.as_str()), reading.counters.counter(word))?;
            }
        }
        Ok(())
    })?;
    let totals = [
        (
            "vrrpx_steady_adverts",
            "Adverts equal to the watched one, which did not wake the engine",
            Counter::Steady,
        ),
        ("vrrpx_event_adverts", "Valid adverts that woke the engine", Counter::Event),
        ("vrrpx_fenced", "ARP requests and neighbour solicitations without a live lease", Counter::Fenced),
    ];
    for (name, help, word) in totals {
        counter(out, name, help, |row| {
            readings.iter().try_for_each(|reading| row(&reading.labels(), reading.counters.counter(word)))
        })?;
    }
    Ok(())
}
