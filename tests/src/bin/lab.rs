//! The demonstration behind `cargo xtask run`: two daemons, a client that probes the address each millisecond, the
//! death of the master's host, and a clean stop.

use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use serde_json::Value;
use vrrp_tests::clock::{Deadline, pace, realtime};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::missing;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::probe::Prober;

const MASTER: usize = 0;
const HEIR: usize = 1;
const TICK: Duration = Duration::from_millis(50);
const SHOW: Duration = Duration::from_secs(2);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Parser)]
#[command(about = "Shows a failover between two daemons in network namespaces")]
struct Arguments {
    /// Daemon whose failover is shown
    #[arg(long, value_enum, default_value = "vrrpx")]
    daemon: Choice,
    /// Receive path of ours
    #[arg(long, value_enum, default_value = "native")]
    xdp_mode: Path,
    /// Milliseconds between adverts
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(10..=1000))]
    interval: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    Vrrpx,
    Keepalived,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Path {
    Native,
    Tcx,
    Tc,
    Generic,
    Socket,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let daemon = arguments.daemon();
    if let Some(reason) = ["root", "ip", daemon.need()].into_iter().find_map(missing) {
        eprintln!("lab: {reason}");
        return ExitCode::FAILURE;
    }
    match catch_interrupts().and_then(|()| demonstrate(&arguments, daemon)) {
        Ok(()) => ExitCode::SUCCESS,
        // All guards have been dropped: the lab is gone.
        Err(_) if INTERRUPTED.load(Ordering::Relaxed) => {
            println!("\ninterrupted; everything is cleaned up");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\nlab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn daemon(&self) -> Daemon {
        match (self.daemon, self.xdp_mode) {
            (Choice::Keepalived, _) => Daemon::Keepalived,
            (Choice::Vrrpx, Path::Native) => Daemon::Vrrpx(Mode::Native),
            (Choice::Vrrpx, Path::Tcx) => Daemon::Vrrpx(Mode::Tcx),
            (Choice::Vrrpx, Path::Tc) => Daemon::Vrrpx(Mode::Tc),
            (Choice::Vrrpx, Path::Generic) => Daemon::Vrrpx(Mode::Generic),
            (Choice::Vrrpx, Path::Socket) => Daemon::Vrrpx(Mode::Socket),
        }
    }
}

fn demonstrate(arguments: &Arguments, daemon: Daemon) -> Result<()> {
    let instance = |priority| Instance::v3(priority).interval(arguments.interval);
    let heir = instance(100);
    println!(
        "Lab: bridge, two nodes with {}, a client asking {VIRTUAL_V4} each millisecond; adverts each {} ms.",
        daemon.version(),
        arguments.interval
    );
    let roles = [instance(200), heir.clone()].map(|instance| Role::new(daemon, Config::of(instance)));
    let mut pair = Pair::idle(roles)?;
    let shown = show_failovers(&mut pair, &heir);
    shown.map_err(|error| pair.with_logs(&error))
}

fn show_failovers(pair: &mut Pair, heir: &Instance) -> Result<()> {
    let target: IpAddr = VIRTUAL_V4.parse()?;
    pair.start(MASTER)?;
    pair.start(HEIR)?;
    let prober = Prober::new(&pair.lab, target, Duration::from_millis(1))?;
    let mut view = View::new(&prober);
    view.until("the first master", pair, |pair| is_steady(pair, &prober, MASTER))?;
    view.pass(pair, SHOW)?;

    view.say("The host of node 0 dies: its cable is cut, its daemon killed.");
    let death = realtime();
    pair.die(MASTER)?;
    view.until("the heir", pair, |pair| is_steady(pair, &prober, HEIR))?;
    view.pass(pair, SHOW)?;
    let dead = prober.longest_outage(death);
    let silence = silence(pair, death);
    let recorded = pair.running(HEIR)?.status().ok();

    view.say("It comes back and takes over again.");
    let back = realtime();
    pair.revive(MASTER)?;
    view.until("node 0 as master again", pair, |pair| is_steady(pair, &prober, MASTER))?;
    view.pass(pair, SHOW)?;
    let preempted = prober.longest_outage(back);

    view.say("Its daemon is stopped by SIGTERM.");
    let stop = realtime();
    pair.stop(MASTER)?;
    view.until("the heir", pair, |pair| is_steady(pair, &prober, HEIR))?;
    view.pass(pair, SHOW)?;
    let stopped = prober.longest_outage(stop);
    view.end();

    let patience = heir.master_down_interval();
    println!("\n                        outage     formula");
    println!("  host died         {}  {} Master_Down_Interval = 3 × interval + skew", ms(dead), ms(patience));
    println!("  came back         {}", ms(preempted));
    println!("  clean stop        {}  {} skew", ms(stopped), ms(heir.skew()));
    if let Some(silence) = silence {
        let beyond = silence.as_secs_f64() - patience.as_secs_f64();
        println!(
            "  On the wire the master's silence lasted {}, {:+.3} ms beyond the formula.",
            ms(silence).trim(),
            beyond * 1e3
        );
    }
    println!("  {} of {} probes were answered by both nodes.", twice(&prober), prober.probes().len());
    if let Some(status) = recorded {
        println!("\nWhat node 1 had recorded when it had taken over:\n{}", record(&status));
    }
    Ok(())
}

/// Only `node` sends adverts, and it answers the client.
fn is_steady(pair: &Pair, prober: &Prober, node: usize) -> bool {
    pair.observer.latest(5) == [node; 5] && prober.served_by() == Some(node)
}

/// From the last advert of the dead master to the first advert of the heir.
fn silence(pair: &Pair, death: u64) -> Option<Duration> {
    let adverts = pair.observer.adverts();
    let first = adverts.iter().position(|&(at, node, _)| node == HEIR && at > death)?;
    let last = adverts.iter().take(first).rev().find(|advert| advert.1 == MASTER)?;
    Some(Duration::from_nanos(adverts.get(first)?.0 - last.0))
}

fn twice(prober: &Prober) -> usize {
    prober.probes().iter().filter(|probe| probe.twice).count()
}

/// Record of the daemon, from `vrrpx status --json`.
fn record(status: &Value) -> String {
    let mut lines = Vec::new();
    for interface in list(&status["interfaces"]) {
        lines.push(format!(
            "  {} by receive path {}",
            word(&interface["name"]),
            word(&interface["receive_path"])
        ));
    }
    for instance in list(&status["instances"]) {
        lines.push(format!(
            "  {}: {} since {} ({})",
            word(&instance["name"]),
            word(&instance["state"]),
            word(&instance["since"]),
            word(&instance["reason"])
        ));
        for peer in list(&instance["peers"]) {
            lines.push(format!(
                "  peer {}: priority {}, {} adverts, jitter {:.3} ms, longest gap {:.3} ms",
                word(&peer["address"]),
                peer["priority"],
                peer["adverts"],
                peer["jitter_seconds"].as_f64().unwrap_or_default() * 1e3,
                peer["gap_max_seconds"].as_f64().unwrap_or_default() * 1e3,
            ));
        }
        let counters = &instance["counters"];
        for count in list(&counters["received"]).iter().chain(list(&counters["rejects"])) {
            lines.push(format!("  adverts counted as {}: {}", word(&count["word"]), count["count"]));
        }
    }
    let engine = &status["engine"];
    lines.push(format!(
        "  engine: {} turns, timers late by {} µs at most",
        engine["turns"], engine["lateness"]["max_microseconds"]
    ));
    lines.join("\n")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn ms(span: Duration) -> String {
    format!("{:7.2} ms", span.as_secs_f64() * 1e3)
}

/// The live line: rewritten in place on a terminal, else printed when it changes.
struct View<'a> {
    prober: &'a Prober,
    terminal: bool,
    last: String,
}

impl<'a> View<'a> {
    fn new(prober: &'a Prober) -> Self {
        Self { prober, terminal: std::io::stdout().is_terminal(), last: String::new() }
    }

    /// Shows it until `ready`.
    fn until(&mut self, what: &str, pair: &Pair, ready: impl Fn(&Pair) -> bool) -> Result<()> {
        let deadline = Deadline::after(SETTLE);
        while !ready(pair) {
            if deadline.passed() {
                bail!("waited {SETTLE:?} in vain for {what}");
            }
            self.tick(pair)?;
        }
        Ok(())
    }

    /// Shows it for `span`.
    fn pass(&mut self, pair: &Pair, span: Duration) -> Result<()> {
        let deadline = Deadline::after(span);
        while !deadline.passed() {
            self.tick(pair)?;
        }
        Ok(())
    }

    fn tick(&mut self, pair: &Pair) -> Result<()> {
        if INTERRUPTED.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        pair.ensure_alive()?;
        let name = |node: Option<usize>| node.map_or("no node".to_owned(), |node| format!("node {node}"));
        let line = format!(
            "master: {}; the client is served by {}",
            name(pair.observer.master()),
            name(self.prober.served_by())
        );
        if self.terminal {
            let probes = self.prober.probes();
            // The latest probes may still be answered.
            let settled = probes.get(..probes.len().saturating_sub(100)).unwrap_or_default();
            let lost = settled.iter().filter(|probe| probe.answered.is_none()).count();
            print!("\r\x1b[K  {line}; {} probes, {lost} lost", probes.len());
            std::io::stdout().flush()?;
        } else if line != self.last {
            println!("  {line}");
        }
        self.last = line;
        pace(TICK);
        Ok(())
    }

    fn say(&mut self, what: &str) {
        self.end();
        println!("{what}");
    }

    fn end(&mut self) {
        if self.terminal {
            println!();
        }
        self.last.clear();
    }
}

/// SIGINT and SIGTERM end the demonstration at its next tick, and with it everything it has made.
fn catch_interrupts() -> Result<()> {
    extern "C" fn note(_: libc::c_int) {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only stores to an atomic.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}
