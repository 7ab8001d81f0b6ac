//! Two machines with a daemon each, and a client that observes them.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::arp::ArpProber;
use vrrp_tests::clock::{Deadline, outage, pace, poll, realtime, watch};
use vrrp_tests::daemon::{Config, Instance};
use vrrp_tests::lab::{INTERFACE, Lab, VIRTUAL_V4};
use vrrp_tests::observe::{Observer, Seen, What};
use vrrp_tests::vm::{Card, Guest, Hardware, Image, Kernel};

/// Interval of the client's requests.
pub(crate) const PERIOD: Duration = Duration::from_millis(10);
/// Time for a daemon under emulation to reach a state.
pub(crate) const SETTLE: Duration = Duration::from_secs(60);

/// Readings of the processor time after a return.
const METERED: usize = 1000;

/// Room for neighbours, one for each request of a client.
const NEIGHBOURS: &str = "65536";

/// Receive path of both.
const RX_PATH: &str = "native";

pub(crate) struct Scene {
    guests: Vec<Guest>,
    pub(crate) lab: Lab,
}

/// Result of a pause.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The master at the end.
    pub(crate) master: usize,
    /// Whether the other machine became master during the pause.
    pub(crate) had_heir: bool,
    /// How long both answered requests sent after the return.
    pub(crate) both: Duration,
    /// Number of requests sent before the return that the paused machine answered after it. `stolen` counts those of
    /// them that were sent after its heir's first advert.
    pub(crate) late: usize,
    pub(crate) stolen: usize,
    /// From the return to the first advert of the paused machine.
    pub(crate) advert: Option<Duration>,
    /// Processor time that the emulator took for that, on all threads: a busy host makes it no longer.
    pub(crate) work: Option<Duration>,
    /// Time from the return to the last answer of the machine that is not master at the end.
    pub(crate) last: Option<Duration>,
    /// From that answer to the next announcement of the master, which corrects every client's cache; `None` if there
    /// was none.
    pub(crate) mended: Option<Duration>,
}

/// As cells of a table.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { had_heir, both, late, stolen, advert, work, last, mended, .. } = self;
        if !had_heir {
            return write!(f, "no takeover, {late} late");
        }
        let time =
            |time: &Option<Duration>| time.map_or("–".to_owned(), |it| format!("{} ms", it.as_millis()));
        let [advert, work, last, mended] = [advert, work, last, mended].map(time);
        write!(f, "{} ms | {late} | {stolen} | {advert} | {work} | {last} | {mended}", both.as_millis())
    }
}

impl Scene {
    /// Boots two machines; the tap of each queues up to `queue` frames while its machine is paused.
    pub(crate) fn new(queue: u32) -> Result<Self> {
        let kernel = std::env::var("VRRPX_KERNEL").unwrap_or_else(|_| "6.12".to_owned());
        let image = Image::new(&Kernel::find(&kernel)?)?;
        let lab = Lab::of_machines(2, queue)?;
        let boot = |index: usize| {
            let (address, own) = Lab::addresses_of(index);
            let card = Card {
                name: INTERFACE.to_owned(),
                model: "virtio-net-pci".to_owned(),
                address,
                wire: Lab::wire(index),
            };
            let guest =
                Guest::boot_in(&lab.lan, &image, &Hardware { cards: vec![card], ..Hardware::default() })?;
            // The many senders of requests need room in the neighbour table, which is the kernel's for small networks.
            for step in 1..=3 {
                guest.write(&format!("/proc/sys/net/ipv4/neigh/default/gc_thresh{step}"), NEIGHBOURS)?;
            }
            let lines = format!("address add {own}/24 dev {INTERFACE}\nlink set {INTERFACE} up\n");
            guest.write("/run/lines", &lines)?;
            guest.run("ip", &["-batch", "/run/lines"])?;
            Ok(guest)
        };
        let guests = (0..2).map(boot).collect::<Result<_>>()?;
        Ok(Self { guests, lab })
    }

    /// Starts both daemons, so that machine 0 becomes master.
    pub(crate) fn start(&mut self, instances: [Instance; 2]) -> Result<()> {
        for (index, instance) in instances.into_iter().enumerate() {
            let guest = &self.guests[index];
            guest.write("/run/vrrpx.conf", &Config::of(instance).to_string())?;
            let line = format!(
                "vrrpx run --config /run/vrrpx.conf --xdp-mode {RX_PATH} --runtime-dir /run/vrrpx > /run/log 2>&1 &"
            );
            guest.run("sh", &["-c", &line])?;
            let state = if index == 0 { "MASTER" } else { "BACKUP" };
            self.wait_for(index, state)?;
        }
        Ok(())
    }

    /// Prints a measured row after the kernel's release, past libtest's capture.
    pub(crate) fn report(&self, row: &str) {
        let release = self.guests.first().map(Guest::release).unwrap_or_default();
        // The reader may have gone.
        let _closed = writeln!(std::io::stderr(), "| {release} | {row} |");
    }

    /// Kills the machine in the midst of its work.
    pub(crate) fn power_off(&mut self, index: usize) -> Result<()> {
        self.guests.get_mut(index).context("no such machine")?.process().kill();
        Ok(())
    }

    /// Suspends a machine to memory. Returns when it sleeps.
    pub(crate) fn sleep(&mut self, index: usize) -> Result<u64> {
        let guest = self.guests.get_mut(index).context("no such machine")?;
        let states = guest.run("cat", &["/sys/power/state"])?;
        ensure!(states.contains("mem"), "the kernel cannot suspend to memory: {states}");
        // After the answer to this command: it would not be sent any more.
        guest.run("sh", &["-c", "(sleep 1; echo mem > /sys/power/state) > /dev/null 2>&1 &"])?;
        poll("sleep", SETTLE, || {
            let status = guest.monitor().command("query-status", &serde_json::json!({}))?;
            Ok((status["status"] == "suspended").then(realtime))
        })
    }

    /// Wakes it. Returns when it does.
    pub(crate) fn wake(&mut self, index: usize) -> Result<u64> {
        let at = realtime();
        let guest = self.guests.get_mut(index).context("no such machine")?;
        guest.monitor().command("system_wakeup", &serde_json::json!({}))?;
        Ok(at)
    }

    /// How often its daemon has found that it did not run.
    pub(crate) fn suspensions(&self, index: usize) -> Result<u64> {
        let guest = self.guests.get(index).context("no such machine")?;
        let text = guest.run("vrrpx", &["status", "--runtime-dir", "/run/vrrpx", "--json"])?;
        let status: serde_json::Value = serde_json::from_str(&text)?;
        status["engine"]["suspensions"].as_u64().context("no suspensions in the status")
    }

    pub(crate) fn stop(&mut self) -> Result<()> {
        for guest in &self.guests {
            guest.run(
                "sh",
                &[
                    "-c",
                    "kill $(cat /run/vrrpx/*.pid); while [ -e /run/vrrpx/*.pid ]; do sleep 0.1; done; true",
                ],
            )?;
        }
        Ok(())
    }

    fn wait_for(&self, index: usize, state: &str) -> Result<()> {
        poll(&format!("{state} of machine {index}"), SETTLE, || {
            let text = self.guests[index]
                .run("sh", &["-c", "vrrpx status --runtime-dir /run/vrrpx --json 2>&1; true"])?;
            let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            if status["instances"][0]["state"] != state {
                return Ok(None);
            }
            // Another receive path would measure something else.
            let rx_path = &status["interfaces"][0]["receive_path"];
            ensure!(rx_path == RX_PATH, "receive path {rx_path} instead of {RX_PATH}: {}", self.log(index));
            Ok(Some(()))
        })
    }

    pub(crate) fn log(&self, index: usize) -> String {
        self.guests[index].run("cat", &["/run/log"]).unwrap_or_default()
    }

    /// The hypervisor pauses machine 0 for `span`; the client continues until `after` its return.
    pub(crate) fn pause(&mut self, span: Duration, after: Duration) -> Result<Outcome> {
        let target: Ipv4Addr = VIRTUAL_V4.parse()?;
        let observer = Observer::new(&self.lab)?;
        let client = ArpProber::by_many(&self.lab, target, PERIOD)?;
        watch(Duration::from_secs(1));
        ensure!(client.answers(0, 0) > 50, "machine 0 answers {} times a second", client.answers(0, 0));
        let start = realtime();
        self.guests[0].monitor().stop()?;
        outage(span);
        let before = self.guests[0].process().own_cpu_time()?;
        let back = realtime();
        self.guests[0].monitor().resume()?;
        let meter = self.meter(before, after)?;
        let target = IpAddr::from(target);
        let seen = observer.seen();
        let heir =
            observer.adverts().iter().find(|advert| advert.0 > start && advert.1 == 1).map(|advert| advert.0);
        let advert =
            observer.adverts().iter().find(|advert| advert.0 > back && advert.1 == 0).map(|advert| advert.0);
        let master = observer.master().context("there is no master")?;
        let of = |node: usize, what: What| {
            seen.iter().filter(move |seen| seen.node == node && seen.what == what).map(|seen: &Seen| seen.at)
        };
        let since = |from: u64, at: u64| Duration::from_nanos(at.saturating_sub(from));
        let last = of(1 - master, What::Answer(target)).filter(|at| *at > back).max();
        let mended = last.and_then(|last| of(master, What::Announce(target)).find(|at| *at > last));
        let asks = client.asks(start);
        let late = |from: u64| {
            asks.iter().filter(move |ask| (from..back).contains(&ask.sent) && ask.by.contains(&0))
        };
        Ok(Outcome {
            master,
            had_heir: heir.is_some(),
            both: client.answered_twice(back),
            late: late(start).count(),
            advert: advert.map(|at| since(back, at)),
            work: advert.and_then(|at| Some(meter.iter().find(|(when, _)| *when >= at)?.1)),
            stolen: heir.map_or(0, |heir| late(heir).count()),
            last: last.map(|at| since(back, at)),
            mended: mended.zip(last).map(|(at, last)| since(last, at)),
        })
    }

    /// Processor time of machine 0 since `before`, each millisecond at first, until `span` has passed.
    fn meter(&mut self, before: Duration, span: Duration) -> Result<Vec<(u64, Duration)>> {
        let deadline = Deadline::after(span);
        let mut meter = Vec::new();
        while !deadline.passed() {
            let spent = self.guests[0].process().own_cpu_time()?;
            meter.push((realtime(), spent.saturating_sub(before)));
            let pause = if meter.len() < METERED { Duration::from_millis(1) } else { deadline.left() };
            pace(pause);
        }
        Ok(meter)
    }
}
