//! The HTTP listener beside a working engine: what scrapes see when things go wrong, and that no client delays an
//! advert.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::advert::Dialect;
use vrrp_tests::clock::{monotonic, nanos, pace, poll, until};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::http;
use vrrp_tests::malformed::{Flaw, Forger};
use vrrp_tests::netns::Namespace;
use vrrp_tests::packet;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::starvation::Starvation;
use vrrp_tests::{needs, waits};

use crate::roles;

const PORT: u16 = 9112;

/// Limit for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Has the daemon of a node serve HTTP; returns its address.
pub(crate) fn serve(pair: &mut Pair, node: usize) -> Result<String> {
    let address = format!("{}:{PORT}", pair.node(node)?.v4());
    pair.hot_restart(node, &["--metrics", &address])?;
    until("the listener", SETTLE, || {
        get(pair, node, &address, "/-/ready").is_ok_and(|(code, _)| code == 200)
    })?;
    Ok(address)
}

pub(crate) fn get(pair: &Pair, node: usize, address: &str, path: &str) -> Result<(u16, String)> {
    pair.node(node)?.namespace.enter(|| ask(address, path))
}

fn ask(address: &str, path: &str) -> Result<(u16, String)> {
    let (code, body) = http::get(address, path, "")?;
    Ok((code, String::from_utf8(body)?))
}

/// The value of a sample by its whole name with labels.
pub(crate) fn sample(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[test]
#[needs("ours")]
fn probes_follow_the_engine() -> Result<()> {
    Pair::settled(roles(Daemon::Vrrpx(Mode::Auto), Instance::v3(200), Instance::v3(100)))?.check(|pair| {
        let addresses = [serve(pair, 0)?, serve(pair, 1)?];
        let codes = |pair: &Pair, path: &str| -> Result<[u16; 2]> {
            Ok([get(pair, 0, &addresses[0], path)?.0, get(pair, 1, &addresses[1], path)?.0])
        };
        ensure!(codes(pair, "/-/healthy")? == [200, 200]);
        ensure!(codes(pair, "/is-master/VI_1")? == [200, 503]);
        ensure!(codes(pair, "/is-master/VI_2")? == [404, 404]);
        // A new process knows its master by the next advert.
        until("the master of node 1", SETTLE, || {
            pair.running(1).and_then(|it| it.instance()).is_ok_and(|it| it["master"].is_string())
        })?;
        let in_fault = pair.running(1)?.ask(&["maintenance", "on", "VI_1"])?;
        ensure!(in_fault.status.success(), "{}", String::from_utf8_lossy(&in_fault.stderr));
        ensure!(get(pair, 1, &addresses[1], "/is-master/VI_1")? == (503, "FAULT\n".to_owned()));
        pair.running(1)?.ask(&["maintenance", "off", "VI_1"])?;
        pair.die(0)?;
        let is_master = |pair: &Pair| get(pair, 1, &addresses[1], "/is-master/VI_1");
        until("node 1 as master", SETTLE, || is_master(pair).is_ok_and(|(code, _)| code == 200))
    })
}

/// A takeover by a hair's breadth: two adverts of the master are missing, the third one comes.
#[waits]
#[test]
#[needs("ours")]
fn a_near_miss_is_counted() -> Result<()> {
    let interval = 2;
    let role = Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(Instance::v3(99).interval(2000)));
    Pair::settled([role])?.check(|pair| {
        let address = serve(pair, 0)?;
        let forger = Forger::new(&pair.lab.client, 51)?;
        let dialect = Dialect::V3 { family: Family::V4, centiseconds: interval * 100 };
        let master = packet::advert(dialect, 1).build();
        let misses = |pair: &Pair| -> Result<f64> {
            let (_, text) = get(pair, 0, &address, "/metrics")?;
            let name = "vrrpx_near_misses_total{vrrp_instance=\"VI_1\"}";
            sample(&text, name).context("no row of near misses")
        };
        // The gaps in intervals of the master. The backup waits for 3.61; a gap with one lost advert is no near miss.
        for (gap, expected) in [(0.0, 0.0), (1.0, 0.0), (2.2, 0.0), (3.1, 1.0), (1.0, 1.0)] {
            pace(Duration::from_secs(interval.into()).mul_f64(gap));
            forger.send_frame(&master)?;
            until("the count of near misses", Duration::from_millis(1500), || {
                misses(pair).is_ok_and(|count| (count - expected).abs() < 0.1)
            })
            .with_context(|| format!("after a gap of {gap} intervals: {:?}", misses(pair)))?;
        }
        let status = pair.running(0)?.status()?;
        ensure!(status["instances"][0]["state"] == "BACKUP", "{}", status["instances"][0]);
        let peer = &status["instances"][0]["peers"][0];
        ensure!(peer["near_misses"] == 1, "{peer}");
        Ok(())
    })
}

/// A counter begins at 0 in the new process, and its row is there. The latest transition is that of the old one.
#[test]
#[needs("ours")]
fn rows_stay_over_a_hot_restart() -> Result<()> {
    const ROW: &str = "vrrpx_rejects_total{vrrp_instance=\"VI_1\",reason=\"ttl\"}";
    const SINCE: &str = "vrrpx_instance_last_transition_timestamp_seconds{vrrp_instance=\"VI_1\"}";
    let role = Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(Instance::v3(200)));
    Pair::settled([role])?.check(|pair| {
        let address = serve(pair, 0)?;
        let scrape = |pair: &Pair| get(pair, 0, &address, "/metrics").map(|(_, text)| text);
        let before = scrape(pair)?;
        ensure!(sample(&before, ROW).is_none(), "a row without an event");
        Forger::new(&pair.lab.client, 51)?.send(Flaw::Ttl)?;
        until("the row", SETTLE, || scrape(pair).is_ok_and(|text| sample(&text, ROW) == Some(1.0)))?;
        pair.hot_restart(0, &["--metrics", &address])?;
        let after = poll("the new listener", SETTLE, || Ok(scrape(pair).ok()))?;
        ensure!(sample(&after, ROW) == Some(0.0), "{after}");
        let [then, now] = [&before, &after].map(|text| sample(text, SINCE));
        let apart = then.zip(now).map(|(then, now)| (then - now).abs());
        ensure!(apart.is_some_and(|apart| apart < 1.0), "{then:?} and {now:?}");
        Ok(())
    })
}

/// A thousand clients that are idle or never read, a hundred scrapes and three hundred statuses a second, at 10 ms
/// adverts.
#[test]
#[needs("ours")]
fn no_client_delays_an_advert() -> Result<()> {
    const CLIENTS: usize = 1000;
    /// Answers at the rates asked for, in five seconds. A busy machine takes more time for them.
    const SCRAPES: usize = 500;
    const STATUSES: usize = 1500;
    const SERVED: Duration = Duration::from_secs(30);
    /// Beyond the interval between two adverts.
    const LATE: Duration = Duration::from_millis(3);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let instance = |priority| Instance::v3(priority).interval(10);
    let interval = instance(200).advert_interval();
    Pair::settled(roles(Daemon::Vrrpx(Mode::Auto), instance(200), instance(100)))?.check(|pair| {
        let address = serve(pair, 0)?;
        pair.wait_for_master(0)?;
        let readers = pair.running(0)?.directory().join("status.sock");
        let namespace: &Namespace = &pair.node(0)?.namespace;
        let mut clients =
            namespace.enter(|| (0..CLIENTS).map(|number| unread(&address, number)).collect::<Result<Vec<_>>>())?;
        pair.observer.clear();
        let machine = Starvation::of_machine()?;
        let (ended, scraped, read) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        let start = monotonic();
        std::thread::scope(|scope| -> Result<()> {
            let crowd = scope.spawn(|| namespace.enter(|| come_again(&address, &mut clients, &ended)));
            // A hundred a second of the four, three hundred of the three.
            for path in ["/metrics", "/metrics/keepalived", "/api/v1/status", "/-/healthy"] {
                let (address, ended, scraped) = (&address, &ended, &scraped);
                scope.spawn(move || {
                    namespace.enter(|| {
                        paced(Duration::from_millis(40), ended, scraped, || ask(address, path).is_ok());
                        Ok(())
                    })
                });
            }
            for _ in 0..3 {
                let (readers, ended, read) = (&readers, &ended, &read);
                scope.spawn(move || paced(Duration::from_millis(10), ended, read, || status(readers).is_ok()));
            }
            let are_served = || scraped.load(Relaxed) >= SCRAPES && read.load(Relaxed) >= STATUSES;
            let served = until("the scrapes and statuses", SERVED, are_served);
            ended.store(true, Relaxed);
            crowd.join().map_err(|_| anyhow::anyhow!("the crowd panicked"))??;
            served
        })?;
        let (gap, stood) = (longest_gap(pair), machine.longest());
        let line = format!(
            "{scraped:?} scrapes and {read:?} statuses in {:?}; {gap:?} between two adverts; the machine stood still \
             for {stood:?}",
            Duration::from_nanos(monotonic() - start)
        );
        eprintln!("{line}");
        // A master that was suspended for a quarter of an interval listens before it sends, for two and skew at most.
        let listens = if stood < interval / 4 { Duration::ZERO } else { interval * 3 };
        ensure!(gap < interval + LATE + stood + listens, "{line}");
        let foreign = pair.observer.adverts().iter().filter(|(_, node, _)| *node != 0).count();
        ensure!(foreign == 0, "the backup sent {foreign} adverts");
        let (code, text) = get(pair, 0, &address, "/metrics")?;
        ensure!(code == 200 && sample(&text, "vrrpx_send_errors_total{vrrp_instance=\"VI_1\"}") == Some(0.0));
        Ok(())
    })
}

/// Calls `work` at each end of a period, also those that have passed during a long call, and counts where it succeeds.
fn paced(period: Duration, ended: &AtomicBool, done: &AtomicUsize, work: impl Fn() -> bool) {
    let mut due = monotonic();
    while !ended.load(Relaxed) {
        done.fetch_add(usize::from(work()), Relaxed);
        due += nanos(period);
        pace(Duration::from_nanos(due.saturating_sub(monotonic())));
    }
}

/// A status of the socket for readers.
fn status(socket: &Path) -> Result<()> {
    let mut client = BufReader::new(UnixStream::connect(socket)?);
    client.get_ref().set_read_timeout(Some(PATIENCE))?;
    client.get_mut().write_all(b"{\"command\":\"status\"}\n")?;
    let mut line = String::new();
    client.read_line(&mut line)?;
    ensure!(line.starts_with("{\"status\":"), "{line:.80}");
    Ok(())
}

/// A client that reads nothing: three of five ask for a document, the others are idle.
fn unread(address: &str, number: usize) -> Result<TcpStream> {
    let mut client = TcpStream::connect(address)?;
    let path = ["/metrics", "/api/v1/events", "/api/v1/status"].get(number % 5);
    if let Some(path) = path {
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
    }
    Ok(client)
}

/// The daemon keeps a bounded number of clients, and disconnects the longest idle ones: these connect again in turn, a
/// hundred a second.
fn come_again(address: &str, clients: &mut [TcpStream], ended: &AtomicBool) -> Result<()> {
    let numbers = (0..clients.len()).cycle();
    for number in numbers.take_while(|_| !ended.load(Relaxed)) {
        // The daemon may disconnect one before it has asked.
        if let Ok(client) = unread(address, number) {
            clients[number] = client;
        }
        pace(Duration::from_millis(10));
    }
    Ok(())
}

/// Longest time between two adverts of node 0 since the observer was cleared.
fn longest_gap(pair: &Pair) -> Duration {
    let adverts = pair.observer.adverts();
    let times: Vec<u64> = adverts.iter().filter(|(_, node, _)| *node == 0).map(|it| it.0).collect();
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    Duration::from_nanos(gaps.max().unwrap_or_default())
}
