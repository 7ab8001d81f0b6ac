//! Metrics of instances and of their sync groups.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use super::exposition::{Exposition, Kind};
use super::family::{counter, gauge, nanos, unix};
use super::{Reading, Scrape};
use crate::daemon::history::{CounterSums, SUMS, sum};
use crate::daemon::host::reception::ReceptionFault;
use crate::daemon::status::family;
use crate::protocol::State;

pub(super) fn states(out: &mut Exposition, readings: &[Reading<'_>]) -> fmt::Result {
    gauge(out, "vrrpx_instance_state", "1 for the present state", |row| {
        for reading in readings {
            for state in State::ALL {
                let is_present = state == reading.live.state();
                row(&reading.labels_and("state", state.as_str()), f64::from(u8::from(is_present)))?;
            }
        }
        Ok(())
    })?;
    let help = "Identity of an instance on the wire";
    let mut info = out.family("vrrpx_instance", help, Kind::Info)?;
    for reading in readings {
        let (settings, mut labels) = (reading.settings, reading.labels());
        let (vrid, version) = (settings.vrid.to_string(), (settings.version as u8).to_string());
        labels.extend([
            ("interface", &*settings.interface),
            ("vrid", &*vrid),
            ("family", family(settings.family)),
            ("version", &*version),
        ]);
        info.info(&labels)?;
    }
    let name = "vrrpx_instance_last_transition_timestamp_seconds";
    gauge(out, name, "Time of the latest transition, seconds since 1970", |row| {
        let moved = readings.iter().filter_map(|reading| Some((reading, reading.since?)));
        moved.into_iter().try_for_each(|(reading, since)| row(&reading.labels(), unix(since)))
    })?;
    gauge(out, "vrrpx_instance_priority", "Priority with the weights of tracks", |row| {
        let priority = |reading: &Reading<'_>| f64::from(reading.priority().0);
        readings.iter().try_for_each(|reading| row(&reading.labels(), priority(reading)))
    })?;
    gauge(out, "vrrpx_maintenance", "1 while an operator keeps the instance out of the election", |row| {
        let mut kept_out = readings.iter().filter(|reading| reading.maintenance);
        kept_out.try_for_each(|reading| row(&reading.labels(), 1.0))
    })?;
    let help =
        "Base priority that an operator has set, 1 after a failover; absent while the configured one counts";
    gauge(out, "vrrpx_steered_priority", help, |row| {
        let steered = readings.iter().filter_map(|it| Some((it, it.steered_priority?)));
        steered.into_iter().try_for_each(|(reading, base)| row(&reading.labels(), f64::from(base)))
    })?;
    let help = "Time without an advert after which it takes over";
    gauge(out, "vrrpx_instance_master_down_interval_seconds", help, |row| {
        let interval = |reading: &Reading<'_>| reading.down_interval.as_secs_f64();
        readings.iter().try_for_each(|reading| row(&reading.labels(), interval(reading)))
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
    pub(super) fn groups(&self, out: &mut Exposition) -> fmt::Result {
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

    pub(super) fn addresses(&self, out: &mut Exposition, readings: &[Reading<'_>]) -> fmt::Result {
        let help = "1 while a virtual address is set on its interface here";
        gauge(out, "vrrpx_address_present", help, |row| {
            let Some(present) = &self.present else { return Ok(()) };
            for reading in readings {
                for entry in reading.settings.addresses.all() {
                    let address = entry.address.to_string();
                    let mut labels = reading.labels_and("address", &address);
                    let device = reading.settings.device_of(entry);
                    labels.push(("interface", device));
                    let is_present = present.contains(&(entry.address, device.to_string()));
                    row(&labels, f64::from(u8::from(is_present)))?;
                }
            }
            Ok(())
        })?;
        let help = "1 while a master has an address set and this host does not answer for it";
        gauge(out, "vrrpx_unanswered", help, |row| {
            for (instance, address, _) in self.context.unanswered() {
                let address = address.to_string();
                row(&vec![("vrrp_instance", instance), ("address", &address)], 1.0)?;
            }
            Ok(())
        })
    }
}

pub(super) fn activity(
    out: &mut Exposition,
    readings: &[Reading<'_>],
    (kept, gone): (&CounterSums, [u64; SUMS]),
) -> fmt::Result {
    type Total = fn(&Reading<'_>) -> u64;
    let totals: [(&str, &str, Total); 4] = [
        ("vrrpx_adverts_sent", "Adverts sent", |reading| reading.live.adverts_sent.load(Relaxed)),
        ("vrrpx_adverts_received", "Valid adverts received", |reading| {
            reading.live.adverts_received(&reading.counters)
        }),
        (
            "vrrpx_near_misses",
            "Adverts of the master that came in the last interval of master_down_interval",
            |reading| reading.live.near_misses.load(Relaxed),
        ),
        ("vrrpx_send_errors", "Adverts that could not be sent", |reading| {
            reading.live.send_errors.load(Relaxed)
        }),
    ];
    for (name, help, value) in totals {
        counter(out, name, help, |row| {
            readings.iter().try_for_each(|reading| row(&reading.labels(), value(reading)))
        })?;
    }
    // Of the node: one row for all instances, as no alert asks which of them it was.
    let sums = [
        ("vrrpx_steady_adverts", "Adverts equal to the watched one, which did not wake the engine"),
        ("vrrpx_announcements_sent", "Gratuitous ARPs and unsolicited neighbour advertisements sent"),
    ];
    let counts = readings.iter().map(|reading| reading.live.summed(&reading.counters));
    let present = counts.fold([0; SUMS], sum);
    for ((name, help), sum) in sums.into_iter().zip(kept.of(present, gone)) {
        counter(out, name, help, |row| row(&vec![], sum))?;
    }
    let help = "1 while the program, or the host, misses adverts that the other one receives";
    gauge(out, "vrrpx_reception_fault", help, |row| {
        for reading in readings {
            for receiver in ReceptionFault::RECEIVERS
                .into_iter()
                .filter(|receiver| reading.has_had_reception_fault(receiver))
            {
                let is_faulty = reading.reception_fault == Some(receiver);
                row(&reading.labels_and("receiver", receiver), f64::from(u8::from(is_faulty)))?;
            }
        }
        Ok(())
    })?;
    let help = "Addresses, routes and rules that a master could not set";
    gauge(out, "vrrpx_lacking", help, |row| {
        let count =
            |reading: &Reading<'_>| u32::try_from(reading.live.lacking.load(Relaxed)).unwrap_or(u32::MAX);
        let mut lacking = readings.iter().filter(|reading| count(reading) > 0);
        lacking.try_for_each(|reading| row(&reading.labels(), f64::from(count(reading))))
    })?;
    let (name, help) = ("vrrpx_dual_master_seconds", "Time for which other masters were heard while master");
    counter(out, name, help, |row| {
        let span = |reading: &Reading<'_>| nanos(reading.live.dual_master_nanos());
        readings.iter().try_for_each(|reading| row(&reading.labels(), span(reading)))
    })
}
