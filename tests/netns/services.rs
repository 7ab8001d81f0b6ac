//! Checks of real services: when one ends, the check fails and the address moves to the other node.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::{realtime, until};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::service::{Engine, Haproxy, Nginx, Systemd};

/// Far longer than a takeover takes, and far shorter than [`INTERVAL`].
const AT_ONCE: Duration = Duration::from_secs(5);

/// Interval of checks that receive events, so long that no failure can come from polling.
const INTERVAL: &str = "interval 600\n    timeout 5";

#[test]
#[needs("ours", "dockerd", "docker", "busybox")]
fn engine_events_detect_dead_containers() -> Result<()> {
    let mut engine = Engine::start()?;
    engine.run("web", &["--label", "app=shop"])?;
    let health = ["--health-cmd", "test ! -e /sick", "--health-interval", "200ms", "--health-retries", "1"];
    engine.run("db", &[&["--label", "app=shop"], &health[..]].concat())?;
    let is_healthy = || engine.docker(&["inspect", "--format", "{{.State.Health.Status}}", "db"]);
    until("a healthy container", SETTLE, || is_healthy().is_ok_and(|word| word == "healthy"))?;
    let socket = engine.socket();
    let body = |what: &str| format!("docker {what}\n    docker_socket {}\n    {INTERVAL}", socket.display());
    let checks = [("named", body("web db")), ("labelled", body("label app=shop"))];
    tracking(&checks, vec![])?.check(|pair| {
        let down = |pair: &mut Pair, why: &str| {
            pair.wait_for_master(1)?;
            ["named", "labelled"].into_iter().try_for_each(|name| ends(pair, name, why))
        };
        let since = realtime();
        engine.docker(&["kill", "web"])?;
        pair.observer.wait_for_advert(1, since, AT_ONCE)?;
        down(pair, "web: exited")?;
        engine.docker(&["start", "web"])?;
        pair.wait_for_master(0)?;

        engine.docker(&["exec", "db", "sh", "-c", "echo > /sick"])?;
        down(pair, "db: unhealthy")?;
        engine.docker(&["exec", "db", "busybox", "rm", "/sick"])?;
        pair.wait_for_master(0)?;

        engine.docker(&["pause", "web"])?;
        down(pair, "web: paused")?;
        engine.docker(&["unpause", "web"])?;
        pair.wait_for_master(0)?;

        // Without the engine, nothing is known of its containers.
        engine.docker(&["kill", "web", "db"])?;
        engine.docker(&["start", "web", "db"])?;
        pair.wait_for_master(0)?;
        engine.die();
        pair.wait_for_master(1)?;
        let why = ended(pair, "named")?;
        ensure!(why.starts_with(&*socket.to_string_lossy()), "{why}");
        Ok(())
    })
}

#[test]
#[needs("ours", "nginx")]
fn http_and_tcp_checks_detect_a_dead_web_server() -> Result<()> {
    let checks = [
        ("page", "http http://127.0.0.1:8080/health\n    body ready\n    interval 0.1".to_owned()),
        ("port", "tcp 127.0.0.1:8080\n    interval 0.1".to_owned()),
    ];
    idle(&checks, vec![])?.check(|pair| {
        let mut nginx = Nginx::start(&pair.node(0)?.namespace, "127.0.0.1:8080".parse()?)?;
        pair.start(0)?;
        pair.start(1)?;
        pair.wait_for_master(0)?;
        nginx.die();
        pair.wait_for_master(1)?;
        let refused = "127.0.0.1:8080: Connection refused";
        ends(pair, "port", refused)?;
        let _again = Nginx::start(&pair.node(0)?.namespace, "127.0.0.1:8080".parse()?)?;
        pair.wait_for_master(0)
    })
}

#[test]
#[needs("ours", "haproxy")]
fn the_haproxy_socket_detects_a_dead_haproxy_and_dead_servers() -> Result<()> {
    let mut pair = Pair::idle([200, 100].map(|priority| role(Instance::v3(priority), String::new())))?;
    let mut haproxy = Haproxy::start(&pair.node(0)?.namespace, "127.0.0.1:9".parse()?)?;
    let body = format!("haproxy {} app\n    interval 0.1", haproxy.socket().display());
    pair.roles.first_mut().context("no role")?.config = config(&[("proxy", body)]);
    pair.start(0)?;
    pair.start(1)?;
    pair.check(|pair| {
        pair.wait_for_master(0)?;
        haproxy.ask("disable server app/one")?;
        pair.wait_for_master(1)?;
        let why = ended(pair, "proxy")?;
        ensure!(why.ends_with(": 0 of 1 servers of `app` are up"), "{why}");
        haproxy.ask("enable server app/one")?;
        pair.wait_for_master(0)?;
        haproxy.die();
        pair.wait_for_master(1)
    })
}

#[test]
#[needs("ours", "systemd stand-in")]
fn systemd_signals_detect_a_failed_unit() -> Result<()> {
    let mut systemd = Systemd::start()?;
    let bus = vec![("DBUS_SYSTEM_BUS_ADDRESS", systemd.address())];
    tracking(&[("unit", format!("systemd nginx\n    {INTERVAL}"))], bus)?.check(|pair| {
        let since = realtime();
        systemd.set("failed", "failed")?;
        pair.observer.wait_for_advert(1, since, AT_ONCE)?;
        pair.wait_for_master(1)?;
        ensure!(ended(pair, "unit")? == "nginx.service: failed (failed)", "{}", ended(pair, "unit")?);
        systemd.set("active", "running")?;
        pair.wait_for_master(0)?;
        systemd.die();
        pair.wait_for_master(1)
    })
}

/// A settled pair whose first node tracks these checks.
fn tracking(checks: &[(&str, String)], environment: Vec<(&'static str, String)>) -> Result<Pair> {
    let mut pair = idle(checks, environment)?;
    let settled = pair.start(0).and_then(|()| pair.start(1)).and_then(|()| pair.wait_for_master(0));
    settled.map_err(|error| pair.with_logs(&error))?;
    Ok(pair)
}

fn idle(checks: &[(&str, String)], environment: Vec<(&'static str, String)>) -> Result<Pair> {
    let master = Role::new(Daemon::Vrrpx(Mode::Auto), config(checks));
    Pair::idle([Role { environment, ..master }, role(Instance::v3(100), String::new())])
}

fn config(checks: &[(&str, String)]) -> Config {
    let blocks =
        checks.iter().map(|(name, body)| format!("vrrp_check {name} {{\n    {body}\n}}\n")).collect();
    let names: String = checks.iter().map(|(name, _)| format!("        {name}\n")).collect();
    role(Instance::v3(200).line(&format!("track_check {{\n{names}    }}")), blocks).config
}

fn role(instance: Instance, blocks: String) -> Role {
    Role::new(Daemon::Vrrpx(Mode::Auto), Config { blocks, ..Config::of(instance) })
}

/// Waits for a result of a check of node 0: another one may have moved the master.
fn ends(pair: &mut Pair, name: &str, why: &str) -> Result<()> {
    let waited = until(&format!("{name}: {why}"), SETTLE, || ended(pair, name).is_ok_and(|it| it == why));
    waited.with_context(|| format!("{:?}", ended(pair, name)))
}

/// Latest result of a check of node 0.
fn ended(pair: &mut Pair, name: &str) -> Result<String> {
    let status = pair.running(0)?.status()?;
    let checks = status["checks"].as_array().context("no checks")?;
    let check = checks.iter().find(|check| check["name"] == name).context("no such check")?;
    Ok(check["ended"].as_str().context("the check has no result")?.to_owned())
}
