//! Webhooks of a running daemon.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::{elapse, until};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, vrrpx};
use vrrp_tests::lab::Lab;
use vrrp_tests::netns::Namespace;
use vrrp_tests::pair::{Pair, SETTLE};
use vrrp_tests::process::{Directory, Process};
use vrrp_tests::webhook::{Manner, Receiver, certificate};
use vrrp_tests::{needs, waits};

use crate::{goes_on_and_ends_soon, roles};

fn listener(namespace: &Namespace) -> Result<TcpListener> {
    namespace.enter(|| Ok(TcpListener::bind("127.0.0.1:0")?))
}

/// A pair in which node 0, of higher priority, posts to a webhook.
fn pair(manner: Manner, options: &str) -> Result<(Pair, Receiver)> {
    let mut pair = Pair::idle(roles(Daemon::Vrrpx(Mode::Auto), Instance::v3(200), Instance::v3(100)))?;
    let receiver = Receiver::new(listener(&pair.node(0)?.namespace)?, manner)?;
    let globals = &mut pair.roles.first_mut().context("no node")?.config.globals;
    globals.push(format!("notify_webhook {} {options}", receiver.url("SECRET")));
    Ok((pair, receiver))
}

#[test]
#[needs("ours")]
fn states_and_the_end_are_posted_after_two_refusals() -> Result<()> {
    let (pair, receiver) = pair(Manner::BusyFor(2), "template slack")?;
    pair.check(|pair| {
        pair.start(0)?;
        pair.wait_for_master(0)?;
        let expected = "lab: VI_1 is MASTER, was BACKUP (master_silent)";
        until(expected, SETTLE, || {
            let text = receiver.reported("text");
            text.iter().any(|it| it.as_str().is_some_and(|it| it.starts_with(expected)))
        })
        .with_context(|| format!("{:?}", receiver.reported("text")))?;
        // The receiver has a post before the daemon has its answer.
        let webhook =
            |pair: &mut Pair| Ok::<_, anyhow::Error>(pair.running(0)?.status()?["webhooks"][0].take());
        until("a status with all answers", SETTLE, || {
            webhook(pair).is_ok_and(|it| {
                it["refusals"] == 2 && it["latest_status"] == 200 && it["waiting"] == 0 && it["failed"] == 0
            })
        })
        .with_context(|| format!("{:?}", webhook(pair)))?;
        let status = webhook(pair)?;
        ensure!(!status.to_string().contains("SECRET"), "{status}");
        ensure!(!pair.running(0)?.log().contains("SECRET"), "the log has the path of the URL");
        pair.stop(0)?;
        let text = receiver.reported("text");
        let last = text.last().and_then(|it| it.as_str()).unwrap_or_default();
        ensure!(last == "lab: VI_1 is STOP, was MASTER (shutdown)", "{text:?}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_hanging_webhook_delays_nothing() -> Result<()> {
    let (pair, receiver) = pair(Manner::Hangs, "timeout 2")?;
    pair.check(|pair| {
        pair.start(0)?;
        pair.start(1)?;
        pair.wait_for_master(0)?;
        until("a request", SETTLE, || receiver.clients() > 0)?;
        goes_on_and_ends_soon(pair)
    })
}

/// The test installs the certificate as one that the host trusts.
#[test]
#[needs("ours", "openssl")]
fn a_certificate_that_the_host_trusts_is_taken_for_its_name_only() -> Result<()> {
    let lab = Lab::new(1)?;
    let namespace = &lab.nodes.first().context("no node")?.namespace;
    for (name, is_taken) in [("IP:127.0.0.1", true), ("DNS:other.example", false)] {
        let directory = Directory::new()?;
        let pair = certificate(directory.path(), name)?;
        let receiver = Receiver::with_tls(listener(namespace)?, Manner::Takes, &pair)?;
        let mut config = Config::of(Instance::v3(200));
        config.globals.push(format!("notify_webhook {} retries 0", receiver.url("")));
        let file = directory.path().join("t.conf");
        std::fs::write(&file, config.to_string())?;
        let mut command = namespace.command(vrrpx())?;
        command.arg("run").arg("--config").arg(&file).arg("--runtime-dir").arg(directory.path());
        command.env("SSL_CERT_FILE", &pair.0);
        let process = Process::start(command, directory.path().join("log"))?;
        let done = if is_taken { "change posted" } else { "change not posted; giving up" };
        until(done, SETTLE, || process.log().contains(done)).with_context(|| process.log())?;
        ensure!(is_taken != receiver.posted().is_empty(), "{name}: {}", process.log());
    }
    Ok(())
}

/// The certificate of the service and the one that the host trusts are replaced while the daemon runs.
#[waits]
#[test]
#[needs("ours", "openssl")]
fn a_replaced_certificate_is_taken_without_a_restart() -> Result<()> {
    let lab = Lab::new(1)?;
    let namespace = &lab.nodes.first().context("no node")?.namespace;
    let directory = Directory::new()?;
    let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
    std::fs::create_dir(&first)?;
    std::fs::create_dir(&second)?;
    let (old, new) = (certificate(&first, "IP:127.0.0.1")?, certificate(&second, "IP:127.0.0.1")?);
    let trusted = directory.path().join("trusted.pem");
    std::fs::copy(&old.0, &trusted)?;
    let [before, after] = [
        Receiver::with_tls(listener(namespace)?, Manner::Takes, &old)?,
        Receiver::with_tls(listener(namespace)?, Manner::Takes, &new)?,
    ];
    let file = directory.path().join("t.conf");
    let write = |receiver: &Receiver, priority: u8| {
        let mut config = Config::of(Instance::v3(priority));
        config.globals.push(format!("notify_webhook {} retries 0", receiver.url("")));
        std::fs::write(&file, config.to_string())
    };
    write(&before, 200)?;
    let mut command = namespace.command(vrrpx())?;
    command.arg("run").arg("--config").arg(&file).arg("--runtime-dir").arg(directory.path());
    command.env("SSL_CERT_FILE", &trusted);
    let process = Process::start(command, directory.path().join("log"))?;
    until("a post", SETTLE, || !before.posted().is_empty()).with_context(|| process.log())?;
    std::fs::copy(&new.0, &trusted)?;
    // Certificates are read again at most each ten seconds.
    elapse(Duration::from_secs(11));
    write(&after, 200)?;
    let run = |arguments: &[&str]| -> Result<()> {
        let mut command = namespace.command(vrrpx())?;
        command.args(arguments).arg("--runtime-dir").arg(directory.path());
        let output = command.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    run(&["reload"])?;
    run(&["maintenance", "on", "--all", "--force"])?;
    until("a post with the new certificate", SETTLE, || !after.posted().is_empty())
        .with_context(|| process.log())
}
