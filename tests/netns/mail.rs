//! Mail about changes of state, to working and failing servers.

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, SETTLE};
use vrrp_tests::smtp::{Manner, Receiver};

use crate::{goes_on_and_ends_soon, roles};

/// A pair in which node 0, of higher priority, sends mail.
fn pair(manner: Manner, lines: &[&str]) -> Result<(Pair, Receiver)> {
    let mut pair = Pair::idle(roles(Daemon::Vrrpx(Mode::Auto), Instance::v3(200), Instance::v3(100)))?;
    let receiver = Receiver::new(&pair.node(0)?.namespace, manner)?;
    let globals = &mut pair.roles.first_mut().context("no node")?.config.globals;
    globals.extend(receiver.globals());
    globals.push("smtp_alert".to_owned());
    globals.extend(lines.iter().map(|&line| line.to_owned()));
    Ok((pair, receiver))
}

fn subject(state: &str) -> String {
    format!("[lab] VRRP Instance VI_1 - {state}")
}

#[test]
#[needs("ours")]
fn each_state_and_the_end_are_mailed_once() -> Result<()> {
    let (pair, receiver) = pair(Manner::Takes, &["no_email_faults"])?;
    pair.check(|pair| {
        pair.start(0)?;
        pair.wait_for_master(0)?;
        pair.lab.set_cable(0, false)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)?;
        pair.lab.set_cable(0, true)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        pair.stop(0)?;
        let mails = receiver.mails();
        let subjects: Vec<&str> = mails.iter().map(|mail| mail.subject()).collect();
        let states = ["BACKUP", "MASTER", "BACKUP", "MASTER"];
        let mut expected = states.map(|state| subject(&format!("Entering {state} state"))).to_vec();
        expected.push(subject("Stopping"));
        ensure!(subjects == expected, "{subjects:#?}");
        let first = mails.first().context("no mail")?;
        ensure!(first.to == ["ops@example.org", "night@example.org"], "{first:?}");
        ensure!(first.header("Auto-Submitted") == "auto-generated", "{first:?}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_busy_server_is_tried_again() -> Result<()> {
    let (pair, receiver) = pair(Manner::BusyFor(2), &[])?;
    pair.check(|pair| {
        pair.start(0)?;
        let both = ["BACKUP", "MASTER"].map(|state| subject(&format!("Entering {state} state")));
        until("mails after two refusals", SETTLE, || receiver.subjects() == both)?;
        // The server has a mail before the daemon has its answer.
        let mail = |pair: &mut Pair| Ok::<_, anyhow::Error>(pair.running(0)?.status()?["mail"].take());
        until("a status with both", SETTLE, || {
            mail(pair).is_ok_and(|it| it["sent"] == 2 && it["failed"] == 0 && it["waiting"] == 0)
        })
        .with_context(|| format!("{:?}", mail(pair)))?;
        ensure!(receiver.clients() == 3, "waiting mails do not share a connection: {}", receiver.clients());
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_hanging_server_delays_nothing() -> Result<()> {
    let (pair, receiver) = pair(Manner::Hangs, &["smtp_connect_timeout 2"])?;
    pair.check(|pair| {
        pair.start(0)?;
        pair.start(1)?;
        pair.wait_for_master(0)?;
        until("a connection to the server", SETTLE, || receiver.clients() > 0)?;
        until("two waiting mails", SETTLE, || {
            pair.running(0).and_then(|it| it.status()).is_ok_and(|status| status["mail"]["waiting"] == 2)
        })?;
        goes_on_and_ends_soon(pair)?;
        ensure!(receiver.mails().is_empty(), "{:?}", receiver.mails());
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_server_with_broken_starttls_still_gets_mail() -> Result<()> {
    let (pair, receiver) = pair(Manner::BrokenTls, &[])?;
    pair.check(|pair| {
        pair.start(0)?;
        until("a mail", SETTLE, || !receiver.mails().is_empty())
    })
}

#[test]
#[needs("ours")]
fn a_refused_receiver_does_not_keep_mail_from_the_others() -> Result<()> {
    let (pair, receiver) = pair(Manner::Takes, &["notification_email {\n        nobody@example.org\n    }"])?;
    pair.check(|pair| {
        pair.start(0)?;
        until("a mail", SETTLE, || !receiver.mails().is_empty())?;
        let to = receiver.mails().into_iter().next().map(|mail| mail.to);
        ensure!(to.as_deref().is_some_and(|to| to == ["ops@example.org", "night@example.org"]), "{to:?}");
        let running = pair.running(0)?;
        until("the refusal in the log", SETTLE, || {
            running.log().contains("the mail server refuses a receiver")
        })
    })
}

#[test]
#[needs("ours")]
fn a_reload_changes_where_mail_goes() -> Result<()> {
    let (pair, first) = pair(Manner::Takes, &[])?;
    let second = Receiver::new(&pair.node(0)?.namespace, Manner::Takes)?;
    pair.check(|pair| {
        pair.start(0)?;
        pair.wait_for_master(0)?;
        let mut config = pair.roles.first().context("no node")?.config.clone();
        config.globals = second.globals();
        config.globals.push("smtp_alert".to_owned());
        pair.running(0)?.reload(&config.to_string())?;
        pair.lab.set_cable(0, false)?;
        let fault = subject("Entering FAULT state");
        until("a mail at the second server", SETTLE, || second.subjects() == [fault.as_str()])?;
        ensure!(!first.subjects().contains(&fault), "the first server gets the mail too");
        Ok(())
    })
}
