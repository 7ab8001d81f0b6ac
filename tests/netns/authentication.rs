//! Signed adverts: failover, differing and changing keys, the migration from unsigned adverts, replayed adverts, floods
//! of forged ones.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use vrrp_tests::clock::{elapse, pace, until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::flood::{Flooder, forged};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::malformed::Forger;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::starvation::Starvation;
use vrrp_tests::tap::Tap;
use vrrp_tests::{needs, waits};
use vrrp_user::driver::clock;

use crate::roles;

const OLD: &str = "key 1 hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const NEW: &str = "key 2 another-key-of-thirty-six-letters-!!";
const OTHER: &str = "key 1 hex:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn signed(instance: Instance) -> Instance {
    instance.hmac(&[OLD])
}

/// Number of adverts that a node has refused for this reason.
fn refused(pair: &mut Pair, node: usize, word: &str) -> Result<u64> {
    let status = pair.running(node)?.instance()?;
    let rejects = status["counters"]["rejects"].as_array().context("no rejects")?;
    let count = rejects.iter().find(|count| count["word"] == word);
    Ok(count.and_then(|count| count["count"].as_u64()).unwrap_or(0))
}

fn is_master(pair: &mut Pair, node: usize) -> bool {
    pair.running(node).and_then(|it| it.instance()).is_ok_and(|it| it["state"] == "MASTER")
}

fn fails_over(daemon: Daemon, instances: [Instance; 2]) -> Result<()> {
    let [master, heir] = instances;
    Pair::settled(roles(daemon, master, heir))?.check(|pair| {
        let heir = pair.running(1)?.instance()?;
        let skew = heir["peers"][0]["clock_skew_seconds"].as_f64().context("no skew")?;
        ensure!(skew.abs() < 1.0 && heir["peers"][0]["clock_skew_alarm"] == false, "{skew} s");
        ensure!(refused(pair, 1, "auth_replay")? == 0, "the master's adverts are refused");
        pair.die(0)?;
        pair.wait_for_master(1)?;
        pair.revive(0)?;
        pair.wait_for_master(0)?;
        until("node 1 as backup", SETTLE, || !is_master(pair, 1))
    })
}

#[waits]
#[test]
#[needs("ours")]
fn a_signing_master_of_version_2_is_replaced() -> Result<()> {
    fails_over(Daemon::Vrrpx(Mode::Auto), [200, 100].map(|priority| signed(Instance::v2(priority))))
}

#[waits]
#[test]
#[needs("ours")]
fn a_signing_master_is_replaced() -> Result<()> {
    let unicast = |priority, own, peer| signed(Instance::v3(priority).unicast(own, peer));
    let by_unicast = || [unicast(200, "10.77.0.1", "10.77.0.2"), unicast(100, "10.77.0.2", "10.77.0.1")];
    fails_over(Daemon::Vrrpx(Mode::Auto), by_unicast())?;
    for mode in [Mode::Auto, Mode::Socket] {
        fails_over(Daemon::Vrrpx(mode), [200, 100].map(|priority| signed(Instance::v3(priority))))?;
        fails_over(Daemon::Vrrpx(mode), [200, 100].map(|priority| signed(Instance::v6(priority))))?;
    }
    Ok(())
}

/// Each rejects the other's adverts as forged: both are masters, and both count the reason.
#[test]
#[needs("ours")]
fn adverts_under_another_key_are_refused() -> Result<()> {
    let other = Instance::v3(100).hmac(&[OTHER]);
    let unsigned = Instance::v3(100);
    let unknown = Instance::v3(100).hmac(&[NEW]);
    for (theirs, word) in [(other, "auth_hmac"), (unknown, "auth_key"), (unsigned, "auth_missing")] {
        Pair::idle(roles(Daemon::Vrrpx(Mode::Auto), signed(Instance::v3(200)), theirs))?.check(|pair| {
            pair.start(0)?;
            pair.start(1)?;
            until("two masters", SETTLE, || is_master(pair, 0) && is_master(pair, 1))?;
            until("a count", SETTLE, || refused(pair, 0, word).is_ok_and(|count| count > 5))?;
            let status = pair.running(0)?.instance()?;
            ensure!(status["counters"]["adverts_received"] == 0, "{}", status["counters"]);
            ensure!(status["peers"].as_array().is_some_and(Vec::is_empty), "{}", status["peers"]);
            Ok(())
        })?;
    }
    Ok(())
}

/// Reloads every node of the pair with this instance, one after the other, and waits long enough for a change to show.
fn reload(pair: &mut Pair, instance: impl Fn(u8) -> Instance) -> Result<()> {
    for (node, priority) in [(0, 200), (1, 100)] {
        pair.reload(node, &Config::of(instance(priority)))?;
        // Longer than Master_Down_Interval.
        watch(Duration::from_millis(700));
    }
    Ok(())
}

/// Only node 0 has sent adverts, and both states are as before.
fn unmoved(pair: &mut Pair) -> Result<()> {
    let adverts = pair.observer.adverts();
    ensure!(adverts.iter().all(|(_, node, _)| *node == 0), "node 1 has sent adverts");
    ensure!(is_master(pair, 0) && !is_master(pair, 1), "the states have changed");
    pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)
}

#[test]
#[needs("ours")]
fn a_key_is_replaced_without_a_takeover() -> Result<()> {
    Pair::settled(
        [200, 100]
            .map(|priority| Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(signed(Instance::v3(priority))))),
    )?
    .check(|pair| {
        pair.observer.clear();
        reload(pair, |priority| Instance::v3(priority).hmac(&[OLD, NEW, "active_key 1"]))?;
        reload(pair, |priority| Instance::v3(priority).hmac(&[OLD, NEW, "active_key 2"]))?;
        reload(pair, |priority| Instance::v3(priority).hmac(&[NEW]))?;
        unmoved(pair)?;
        ensure!(refused(pair, 1, "auth_key")? == 0, "a key was unknown");
        // The remaining key signs.
        let tap = Tap::new(&pair.lab, 0)?;
        let advert = tap.adverts(1, SETTLE)?.remove(0);
        ensure!(advert.get(14 + 20 + 12 + 1) == Some(&2), "signed with another key: {advert:x?}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_pair_starts_to_sign_without_a_takeover() -> Result<()> {
    let pair =
        [200, 100].map(|priority| Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(Instance::v3(priority))));
    Pair::settled(pair)?.check(|pair| {
        pair.observer.clear();
        let tap = Tap::new(&pair.lab, 0)?;
        let lengths =
            |tap: &Tap| -> Result<Vec<usize>> { Ok(tap.adverts(1, SETTLE)?.iter().map(Vec::len).collect()) };
        ensure!(lengths(&tap)? == [46], "unsigned");
        for (mode, length) in [("receive-only", 46), ("permissive", 74), ("enforce", 74)] {
            let line = format!("mode {mode}");
            reload(pair, |priority| Instance::v3(priority).hmac(&[OLD, &line]))?;
            let tap = Tap::new(&pair.lab, 0)?;
            ensure!(lengths(&tap)? == [length], "{mode}: {:?}", lengths(&tap)?);
        }
        unmoved(pair)?;
        ensure!(refused(pair, 1, "auth_missing")? == 0, "an unsigned advert came too late");
        pair.die(0)?;
        pair.wait_for_master(1)
    })
}

/// Replayed adverts of the dead master must neither make the heir yield nor count as a sign of life, also after a
/// reload, a restart or a crash. The time window is so wide that it does not exclude them.
#[test]
#[needs("ours")]
fn old_adverts_are_refused_for_good() -> Result<()> {
    let signed = |priority| Instance::v3(priority).hmac(&[OLD, "time_window 300"]);
    refuses_old_adverts(&signed, 10)
}

/// W03: the same with a counter in place of the time.
#[waits]
#[test]
#[needs("ours")]
fn old_numbers_are_refused_for_good() -> Result<()> {
    refuses_old_adverts(&|priority| Instance::v2(priority).ah("secret"), 3)
}

fn refuses_old_adverts(signed: &dyn Fn(u8) -> Instance, count: usize) -> Result<()> {
    let instance = |priority, name: &str| signed(priority).named(name);
    let roles = [200, 100]
        .map(|priority| Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(instance(priority, "VI_1"))));
    Pair::settled(roles)?.check(|pair| {
        let adverts = Tap::new(&pair.lab, 0)?.adverts(count, SETTLE)?;
        // The daemon saves what it has heard within 200 ms, and allows for what it has not saved yet.
        elapse(Duration::from_millis(300));
        pair.die(0)?;
        pair.wait_for_master(1)?;
        let forger = Forger::new(&pair.lab.client, 51)?;
        let replay = |pair: &mut Pair, when: &str| -> Result<()> {
            let before = refused(pair, 1, "auth_replay")?;
            for advert in &adverts {
                forger.send_frame(advert)?;
                pace(Duration::from_millis(10));
            }
            let counted = before + u64::try_from(adverts.len())?;
            until("the count of the rejected adverts", SETTLE, || {
                refused(pair, 1, "auth_replay").is_ok_and(|count| count == counted)
            })
            .with_context(|| when.to_owned())?;
            pair.wait_for_master(1)?;
            ensure!(is_master(pair, 1), "{when}: an old advert was accepted");
            Ok(())
        };
        replay(pair, "while running")?;
        let renamed = Config::of(instance(101, "renamed")).to_string();
        pair.reload(1, &renamed)?;
        replay(pair, "after a reload")?;
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            pair.observer.clear();
            pair.restart(1, signal)?;
            until("an answer", SETTLE, || pair.running(1).is_ok_and(|it| it.is_up()))?;
            replay(pair, signal.as_str())?;
        }
        Ok(())
    })
}

/// Flood of an attacker without the key.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// Current time stamps and wrong signatures, from the master's address.
    Forged,
    /// The same from an unknown address, of a higher priority.
    Foreign,
    /// The master's own recorded adverts.
    Replayed,
}

impl Attack {
    /// Starts it at `rate` frames a second.
    fn begin(self, pair: &mut Pair, rate: u64) -> Result<Flooder> {
        let source = pair.running(1)?.instance()?["master"].as_str().context("no master")?.parse()?;
        match self {
            Self::Forged => Flooder::paced(&pair.lab, rate, move || forged(51, 200, source).ok()),
            Self::Foreign => {
                let foreign = if source.is_ipv4() { "10.77.0.77" } else { "fe80::77" }.parse()?;
                Flooder::paced(&pair.lab, rate, move || forged(51, 250, foreign).ok())
            }
            Self::Replayed => {
                let mut adverts = Tap::new(&pair.lab, 0)?.adverts(10, SETTLE)?.into_iter().cycle();
                Flooder::paced(&pair.lab, rate, move || adverts.next())
            }
        }
    }
}

/// Frames a second; at this rate keepalived 2.4.3 does not take over.
const JUDGED: u64 = 20_000;
/// Frames a second; more than the daemon judges.
const BEYOND: u64 = 60_000;

/// Seconds of a flood in which the master has to stay master.
const SECONDS: u64 = 3;
/// Time to send as many frames as are due in [`SECONDS`], on a busy machine.
const SENDING: Duration = Duration::from_secs(30);

/// The takeover may be up to 10 s and two intervals later than Master_Down_Interval, which is at most 4 s here.
const NOTICED: Duration = Duration::from_secs(15);

/// A living master stays master at its interval, and a dead one is replaced. `due` adverts are to be sent in a second.
fn outlasts(mode: Mode, instance: fn(u8) -> Instance, due: u64, attack: Attack, rate: u64) -> Result<()> {
    let roles = roles(Daemon::Vrrpx(mode), instance(200), instance(100));
    Pair::settled(roles)?
        .check(|pair| {
            let flooder = attack.begin(pair, rate)?;
            until("a flood", SETTLE, || flooder.sent() > 2000)?;
            pair.observer.clear();
            let (before, start, adverts) = (flooder.sent(), clock::now(), pair.running(0)?.adverts_sent()?);
            let machine = Starvation::of_machine()?;
            // A busy machine sends the same frames, in more time.
            until("the frames of the flood", SENDING, || flooder.sent() - before > rate * SECONDS)?;
            let (lasted, stood) = (clock::now().since(start), machine.longest());
            let adverts = pair.running(0)?.adverts_sent()? - adverts;
            pair.observer.ensure_only(0)?;
            // Other processes may have used the processors for a while.
            let due = u64::try_from(lasted.saturating_sub(stood).as_millis())? * due / 1000;
            ensure!(adverts >= due * 4 / 5, "the master has sent only {adverts} of {due} adverts");
            if rate == BEYOND {
                // More than can be on their way.
                let unjudged = flooder.sent().saturating_sub(refused(pair, 1, "auth_hmac")?);
                ensure!(unjudged > rate / 10, "all adverts but {unjudged} were judged");
            }
            pair.observer.clear();
            let death = clock::now();
            pair.die(0)?;
            until("the heir", NOTICED, || pair.observer.adverts().iter().any(|advert| advert.1 == 1))?;
            println!(
                "{mode:?}, {attack:?}: flooded for {lasted:?}, the heir after {:?}",
                clock::now().since(death)
            );
            pair.wait_for_master(1)
        })
        .with_context(|| format!("{mode:?}, {attack:?}"))
}

#[test]
#[needs("ours")]
fn forged_adverts_cause_no_takeover_and_hide_no_death() -> Result<()> {
    for attack in [Attack::Forged, Attack::Foreign, Attack::Replayed] {
        outlasts(Mode::Auto, |priority| signed(Instance::v3(priority)), 10, attack, JUDGED)?;
    }
    for mode in [Mode::Native, Mode::Socket] {
        outlasts(mode, |priority| signed(Instance::v3(priority)), 10, Attack::Forged, JUDGED)?;
    }
    outlasts(Mode::Auto, |priority| signed(Instance::v6(priority)), 10, Attack::Forged, JUDGED)?;
    outlasts(Mode::Auto, |priority| Instance::v2(priority).ah("secret"), 1, Attack::Replayed, JUDGED)
}

/// Some of the master's adverts are among those that are not judged, so its silence is uncertain.
#[test]
#[needs("ours")]
fn more_forged_adverts_than_can_be_judged_cause_no_takeover() -> Result<()> {
    outlasts(Mode::Auto, |priority| signed(Instance::v3(priority)), 10, Attack::Forged, BEYOND)
}
