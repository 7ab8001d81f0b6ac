//! Idle clients of the listeners: they lock out no other client, and cost a node neither descriptors nor its address.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use vrrp_tests::clock::{Deadline, pace};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::needs;
use vrrp_tests::netns::Namespace;
use vrrp_tests::pair::{Pair, Role};

use crate::shortage::limit;
use crate::{ensure_unmoved, standings};

const PORT: u16 = 9112;

/// Idle connections at each listener; twice the descriptors that a daemon may have open.
const IDLE: usize = 2000;

/// systemd's default.
const DESCRIPTORS: u64 = 1024;

/// Long enough for all of them to connect, and many times the duration of two failed checks in a row.
const WATCH: Duration = Duration::from_secs(8);

/// Limit for an answer to an operator or a scraper.
const PATIENCE: Duration = Duration::from_secs(2);

#[test]
#[needs("ours")]
fn thousands_of_idle_clients_change_nothing() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let needed = u64::try_from(4 * IDLE)? + 1000;
    ensure!(hard >= needed, "this test opens {needed} descriptors");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let check = "vrrp_script c {\n    script /bin/true\n    interval 0.2\n    fall 2\n}\n";
    let roles = [200, 100].map(|priority| {
        let tracking = Instance::v3(priority).line("track_script {\n        c\n    }");
        let globals = vec!["script_user root".to_owned()];
        let config = Config { globals, blocks: check.to_owned(), instances: vec![tracking] };
        Role::new(Daemon::Vrrpx(Mode::Auto), config)
    });
    Pair::settled(roles)?.check(|pair| {
        for node in 0..2 {
            let metrics = format!("{}:{PORT}", pair.node(node)?.v4());
            pair.hot_restart(node, &["--metrics", &metrics])?;
            limit(pair, node, &format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}"))?;
        }
        pair.wait_for_master(0)?;
        let before = standings(pair)?;
        pair.observer.clear();
        let opened = crowd(pair)?;
        ensure!(opened > 4 * IDLE, "only {opened} clients connected");
        ensure_unmoved(pair, &before)?;
        pair.observer.ensure_only(0)?;
        for node in 0..2 {
            let log = pair.running(node)?.log();
            ensure!(!log.contains("Too many open files") && !log.contains("check is down"), "{log}");
        }
        Ok(())
    })
}

/// Idle clients connect for [`WATCH`] while an operator and a scraper ask. Returns the number of clients.
fn crowd(pair: &mut Pair) -> Result<usize> {
    let (stop, opened) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut targets = Vec::new();
    for node in 0..2 {
        let (pid, control) =
            (pair.running(node)?.process().pid(), pair.running(node)?.directory().join("control.sock"));
        targets.push((format!("{}:{PORT}", pair.node(node)?.v4()), control, pid));
    }
    let outside = &pair.node(1)?.namespace;
    let inside = [&pair.node(0)?.namespace, outside];
    std::thread::scope(|scope| {
        let mut crowds = Vec::new();
        for ((address, control, _), namespace) in targets.iter().zip(inside) {
            let (stop, opened) = (&stop, &opened);
            crowds
                .push(scope.spawn(move || come(namespace, stop, opened, || TcpStream::connect(&**address))));
            crowds.push(scope.spawn(move || come(namespace, stop, opened, || UnixStream::connect(control))));
        }
        let asked = ask(&targets, inside);
        stop.store(true, Relaxed);
        for crowd in crowds {
            crowd.join().ok().context("a thread panicked")??;
        }
        asked
    })?;
    Ok(opened.load(Relaxed))
}

/// Keeps [`IDLE`] connections open, replacing the oldest.
fn come<S>(
    namespace: &Namespace,
    stop: &AtomicBool,
    opened: &AtomicUsize,
    connect: impl Fn() -> std::io::Result<S> + Sync,
) -> Result<()> {
    namespace.enter(|| {
        let mut idle = VecDeque::new();
        while !stop.load(Relaxed) {
            idle.push_back(connect()?);
            opened.fetch_add(1, Relaxed);
            if idle.len() > IDLE {
                idle.pop_front();
            }
            pace(Duration::from_millis(1));
        }
        Ok(())
    })
}

fn ask(targets: &[(String, PathBuf, nix::unistd::Pid)], inside: [&Namespace; 2]) -> Result<()> {
    let end = Deadline::after(WATCH);
    while !end.passed() {
        for ((address, control, pid), namespace) in targets.iter().zip(inside) {
            namespace.enter(|| scrape(address).with_context(|| format!("a scrape of {address}")))?;
            status(control).context("status")?;
            let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
            ensure!(open < 500, "{open} descriptors are open");
        }
        pace(Duration::from_millis(250));
    }
    Ok(())
}

/// OpenMetrics, as its end can be recognized.
const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n";

fn scrape(address: &str) -> Result<()> {
    let mut client = TcpStream::connect(address)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(REQUEST)?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("# EOF\n"), "{answer:.80}");
    Ok(())
}

fn status(control: &Path) -> Result<()> {
    let mut client = UnixStream::connect(control)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"{\"command\":\"status\"}\n")?;
    client.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("{\"status\":"), "{answer:.80}");
    Ok(())
}
