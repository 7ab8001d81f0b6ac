//! Metrics of the node: the daemon, its notifications, and its interfaces.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use vrrp_ebpf::map::Counter;

use super::exposition::{Exposition, Kind};
use super::family::{counter, gauge, nanos, unix};
use super::{Scrape, process};

/// Bounds of the lateness that are exported, as powers of two of a µs: 64 µs to 1 s, four times the one before each.
const LATENESS_BOUNDS: RangeInclusive<usize> = 6..=20;

impl Scrape {
    pub(super) fn node(&self, out: &mut Exposition) -> fmt::Result {
        let live = &self.context.live;
        let build = vec![("version", env!("CARGO_PKG_VERSION")), ("router_id", &*self.context.router_id)];
        out.family("vrrpx_build", "Version and node", Kind::Info)?.info(&build)?;
        process::encode(out)?;
        self.standing(out)?;
        self.unwritten(out)?;
        self.host_faults(out)?;
        self.statics(out)?;
        self.loads(out)?;
        self.hooks(out)?;
        self.fifos(out)?;
        self.mails(out)?;
        self.webhooks(out)?;
        let unheard = self.context.maps.counters(None);
        let totals = [
            ("vrrpx_engine_turns", "Wake-ups of the engine", live.turns.load(Relaxed)),
            (
                "vrrpx_suspensions",
                "Times that this node detected its own suspension",
                live.suspensions.load(Relaxed),
            ),
            ("vrrpx_effect_errors", "Failed netlink requests and sends", live.effect_errors.load(Relaxed)),
            (
                "vrrpx_unknown_vrid",
                "Adverts of a VRID that is not configured",
                unheard.counter(Counter::UnknownVrid),
            ),
            (
                "vrrpx_nested_tags",
                "Dropped frames with more tags than are read, none with a VLAN id",
                unheard.counter(Counter::NestedTags),
            ),
        ];
        for (name, help, total) in totals {
            counter(out, name, help, |row| row(&vec![], total))?;
        }
        self.unknown_routers(out)?;
        self.lateness(out)?;
        self.interfaces(out)
    }

    fn loads(&self, out: &mut Exposition) -> fmt::Result {
        let loads = self.context.history.read().loads.clone();
        let help = "0 while the daemon does not use its configuration file: refused, or a reload not kept";
        gauge(out, "vrrpx_config_last_reload_successful", help, |row| {
            row(&vec![], f64::from(u8::from(loads.stale.is_none())))
        })?;
        let name = "vrrpx_config_last_reload_success_timestamp_seconds";
        let help = "When the configuration in use was read, seconds since 1970";
        let start = self.wall.checked_sub(self.now.since(self.context.started)).unwrap_or(self.wall);
        gauge(out, name, help, |row| row(&vec![], unix(loads.at.unwrap_or(start))))?;
        counter(out, "vrrpx_reloads", "Reloads by result", |row| {
            row(&vec![("result", "done")], loads.reloaded)?;
            row(&vec![("result", "refused")], loads.refused)
        })
    }

    /// Whether the daemon works with everything that it should have.
    fn standing(&self, out: &mut Exposition) -> fmt::Result {
        let history = self.context.history.read();
        let guard = history.guard.is_some() && history.guard_fault.is_none();
        let realtime = history.realtime.clone();
        drop(history);
        let flag = |is_set: bool| f64::from(u8::from(is_set));
        let help = "1 while the guard runs and is not stopped; it removes the addresses of a killed daemon";
        gauge(out, "vrrpx_guard_up", help, |row| row(&vec![], flag(guard)))?;
        let help = "1 if the engine runs in the real-time class";
        gauge(out, "vrrpx_realtime", help, |row| {
            realtime.as_ref().map_or(Ok(()), |it| row(&vec![], flag(it.scheduled)))
        })?;
        gauge(out, "vrrpx_memory_locked", "1 if the memory of the daemon is locked", |row| {
            realtime.as_ref().map_or(Ok(()), |it| row(&vec![], flag(it.memory_locked)))
        })
    }

    fn unwritten(&self, out: &mut Exposition) -> fmt::Result {
        let files = self.context.history.unwritten.all();
        gauge(out, "vrrpx_file_unwritten", "1 while a file of the daemon cannot be written", |row| {
            files.iter().try_for_each(|(file, _)| row(&vec![("file", file)], 1.0))
        })
    }

    fn host_faults(&self, out: &mut Exposition) -> fmt::Result {
        let faults = self.context.history.host_faults.all().len();
        let help = "Things on this host that the daemon cannot set or remove, and tries again";
        gauge(out, "vrrpx_host_faults", help, |row| row(&vec![], faults as f64))
    }

    fn statics(&self, out: &mut Exposition) -> fmt::Result {
        let lacking = self.context.history.read().statics.lacks.len();
        let help = "Static addresses, routes and rules that could not be set";
        gauge(out, "vrrpx_static_lacking", help, |row| row(&vec![], lacking as f64))
    }

    fn hooks(&self, out: &mut Exposition) -> fmt::Result {
        let runs = self.context.history.read().hook_runs;
        counter(out, "vrrpx_hook_runs", "Finished runs of hooks by result", |row| {
            row(&vec![("result", "success")], runs.succeeded)?;
            row(&vec![("result", "failure")], runs.failed)
        })?;
        let slow = self.context.history.read().slow_hooks(self.now);
        gauge(out, "vrrpx_hooks_slow", "Hooks that run for longer than 5 s", |row| row(&vec![], slow as f64))
    }

    fn unknown_routers(&self, out: &mut Exposition) -> fmt::Result {
        let unknown_routers = self.context.unknown_routers();
        counter(
            out,
            "vrrpx_unknown_router_adverts",
            "Adverts of a router that is not configured, or CARP",
            |row| {
                for unknown_router in &unknown_routers {
                    let (vlan, vrid) = (unknown_router.vlan.to_string(), unknown_router.vrid.to_string());
                    let labels = vec![
                        ("interface", unknown_router.interface.as_str()),
                        ("vlan", &vlan),
                        ("family", &unknown_router.family),
                        ("vrid", &vrid),
                        ("kind", &unknown_router.kind),
                    ];
                    row(&labels, unknown_router.adverts)?;
                }
                Ok(())
            },
        )
    }

    fn lateness(&self, out: &mut Exposition) -> fmt::Result {
        let late = &self.context.live.engine_lateness;
        let buckets = merged(late.buckets.iter().map(|count| count.load(Relaxed)));
        let sum = nanos(late.sum_nanos.load(Relaxed));
        let name = "vrrpx_engine_lateness_seconds";
        out.family(name, "How late the engine's timer fired", Kind::Histogram)?.histogram(sum, &buckets)
    }

    fn interfaces(&self, out: &mut Exposition) -> fmt::Result {
        let reattached = self.context.history.read().reattached.clone();
        counter(
            out,
            "vrrpx_reattached",
            "Programs attached again after another process had detached them",
            |row| {
                reattached
                    .iter()
                    .try_for_each(|(interface, count)| row(&vec![("interface", &**interface)], *count))
            },
        )?;
        let hidden_by = self.context.history.read().hidden_by.clone();
        let help = "1 while another XDP program keeps adverts from this node";
        gauge(out, "vrrpx_adverts_hidden", help, |row| {
            hidden_by.iter().try_for_each(|(interface, program)| {
                row(&vec![("interface", &**interface), ("program", program.name.as_str())], 1.0)
            })
        })?;
        let rx_paths = self.context.history.read().rx_paths.clone();
        gauge(out, "vrrpx_receive_path", "Receive path of an interface", |row| {
            rx_paths.iter().try_for_each(|(interface, note)| {
                let labels = vec![("interface", &**interface), ("receive_path", note.rx_path.as_str())];
                row(&labels, 1.0)
            })
        })
    }

    fn webhooks(&self, out: &mut Exposition) -> fmt::Result {
        let webhooks = self.context.history.read().webhooks.clone();
        gauge(out, "vrrpx_webhook_waiting", "Changes that a webhook has not taken yet", |row| {
            webhooks
                .iter()
                .try_for_each(|(webhook, posts)| row(&vec![("webhook", webhook)], posts.waiting as f64))
        })?;
        counter(out, "vrrpx_webhook_posts", "Changes for a webhook by result", |row| {
            for (webhook, posts) in &webhooks {
                let results = [
                    ("sent", posts.sent),
                    ("failed", posts.failed),
                    ("superseded", posts.superseded),
                    ("lost", posts.lost),
                ];
                for (result, count) in results {
                    row(&vec![("webhook", webhook), ("result", result)], count)?;
                }
            }
            Ok(())
        })?;
        counter(out, "vrrpx_webhook_refusals", "Failed attempts of a webhook", |row| {
            webhooks.iter().try_for_each(|(webhook, posts)| row(&vec![("webhook", webhook)], posts.refusals))
        })
    }

    fn fifos(&self, out: &mut Exposition) -> fmt::Result {
        let fifos = self.context.history.read().fifos.clone();
        let help = "1 while a FIFO of changes cannot be used or is not read";
        gauge(out, "vrrpx_fifo_failing", help, |row| {
            fifos.iter().try_for_each(|(path, it)| {
                row(&vec![("fifo", &**path)], f64::from(u8::from(it.fault.is_some())))
            })
        })?;
        counter(out, "vrrpx_fifo_lines_lost", "Lines that a FIFO of changes did not take", |row| {
            fifos.iter().try_for_each(|(path, it)| row(&vec![("fifo", &**path)], it.lost))
        })
    }

    fn mails(&self, out: &mut Exposition) -> fmt::Result {
        let mails = self.context.history.read().mails.clone();
        gauge(out, "vrrpx_mails_waiting", "Mails about changes that are not sent yet", |row| {
            row(&vec![], mails.waiting as f64)
        })?;
        counter(out, "vrrpx_mails", "Mails about changes by result", |row| {
            row(&vec![("result", "sent")], mails.sent)?;
            row(&vec![("result", "failed")], mails.failed)?;
            row(&vec![("result", "lost")], mails.lost)
        })
    }
}

/// Buckets of the lateness histogram; those with bounds that are not exported are merged into the next one.
fn merged(counts: impl Iterator<Item = u64>) -> Vec<(f64, u64)> {
    let mut buckets = Vec::new();
    let mut below = 0;
    for (power, count) in counts.enumerate() {
        below += count;
        if LATENESS_BOUNDS.contains(&power) && power.is_multiple_of(2) {
            buckets.push((Duration::from_micros(1 << power).as_secs_f64(), std::mem::take(&mut below)));
        }
    }
    buckets.push((f64::INFINITY, below));
    buckets
}
