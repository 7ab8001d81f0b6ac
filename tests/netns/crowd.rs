//! Orders of an operator beside crowds of clients that idle, or read again and again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, Scope};
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use vrrp_tests::clock::{pace, until};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, many};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_user::daemon::control::{Request, steer};
use vrrp_user::driver::clock;

use crate::http::serve;

const CLIENTS: usize = 1000;

/// Orders of each kind.
const ORDERS: usize = 51;

/// Of the middle one of all; an order that waits for a crowd takes longer.
const MEDIAN_MAX: Duration = Duration::from_secs(1);

const PATIENCE: Duration = Duration::from_secs(10);

/// Gives orders one after the other; the middle one of their times, by kind.
fn medians(runtime_dir: &Path) -> Result<[Duration; 2]> {
    let (mut priorities, mut maintenances) = (Vec::new(), Vec::new());
    let timed = |request: &Request| -> Result<Duration> {
        let began = clock::now();
        steer(runtime_dir, request)?;
        Ok(clock::now().since(began))
    };
    for number in 0..ORDERS {
        let (name, is_even) = (|vrid: u8| format!("VI_{vrid}"), number % 2 == 0);
        let priority = Some(if is_even { 150 } else { 160 });
        let seconds = Some(600);
        priorities.push(timed(&Request::Priority { name: name(1), priority, seconds, reason: None })?);
        let name = Some(name(2));
        maintenances.push(timed(&Request::Maintenance {
            name,
            on: is_even,
            seconds: None,
            reason: None,
            force: is_even,
        })?);
    }
    Ok([priorities, maintenances].map(|mut all| {
        all.sort_unstable();
        all[ORDERS / 2]
    }))
}

/// Documents that a reader has taken whole.
fn read(number: usize, address: &str, runtime_dir: &Path) -> Result<u64> {
    let path = match number % 3 {
        0 => "/metrics",
        1 => "/api/v1/events",
        _ => {
            let mut client = BufReader::new(UnixStream::connect(runtime_dir.join("status.sock"))?);
            client.get_ref().set_read_timeout(Some(PATIENCE))?;
            client.get_mut().write_all(b"{\"command\":\"events\"}\n")?;
            let ends = |line: &str| line.starts_with("{\"end\"");
            return Ok(u64::from(client.lines().map_while(Result::ok).any(|line| ends(&line))));
        }
    };
    let mut client = TcpStream::connect(address)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    Ok(u64::from(answer.starts_with("HTTP/1.1 200")))
}

/// As many readers as there may be; those that are turned away try again.
fn start_readers<'a>(
    scope: &'a Scope<'a, '_>,
    (address, runtime_dir): (&'a str, &'a Path),
    (is_over, taken): (&'a AtomicBool, &'a AtomicU64),
) -> Result<()> {
    for number in 0..CLIENTS {
        thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, move || {
            while !is_over.load(Relaxed) {
                match read(number, address, runtime_dir) {
                    Ok(count) => drop(taken.fetch_add(count, Relaxed)),
                    Err(_) => pace(Duration::from_millis(10)),
                }
            }
        })?;
    }
    Ok(())
}

#[test]
#[needs("ours")]
fn orders_wait_for_no_crowd() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let instance = |vrid: u8| {
        let address = format!("{}/32", many(vrid.into()));
        Instance::v3(200).vrid(vrid).named(&format!("VI_{vrid}")).addresses(&[&address])
    };
    let config = Config { instances: (1..=100).map(instance).collect(), ..Config::default() };
    Pair::idle([Role::new(Daemon::Vrrpx(Mode::Auto), config)])?.check(|pair| {
        pair.start(0)?;
        until("100 masters", SETTLE, || {
            pair.running(0).is_ok_and(|it| it.log().matches("Entering MASTER STATE").count() >= 100)
        })?;
        let address = serve(pair, 0)?;
        let runtime_dir = pair.running(0)?.directory().to_owned();
        let namespace = &pair.node(0)?.namespace;
        let alone = medians(&runtime_dir)?;
        let beside_idle = namespace.enter(|| {
            let idle: Vec<_> = (0..CLIENTS).filter_map(|_| TcpStream::connect(&address).ok()).collect();
            ensure!(idle.len() == CLIENTS, "{} clients", idle.len());
            medians(&runtime_dir)
        })?;
        let (is_over, taken) = (AtomicBool::new(false), AtomicU64::new(0));
        let beside_readers = namespace.enter(|| {
            thread::scope(|scope| {
                let readers = start_readers(scope, (&address, &runtime_dir), (&is_over, &taken));
                let outcome = readers.and_then(|()| {
                    until("documents", SETTLE, || taken.load(Relaxed) > 10)?;
                    medians(&runtime_dir)
                });
                is_over.store(true, Relaxed);
                outcome
            })
        })?;
        let taken = taken.into_inner();
        let line = format!(
            "priority and maintenance: alone {alone:?}, beside idle clients {beside_idle:?}, beside readers \
             {beside_readers:?}, which took {taken} documents"
        );
        eprintln!("{line}");
        let all = [beside_idle, beside_readers].concat();
        ensure!(all.iter().all(|it| *it < MEDIAN_MAX), "{line}");
        Ok(())
    })
}
