//! Machines that are suspended to memory: their clock stops, and their network card is off.

use std::time::Duration;

use anyhow::{Result, ensure};
use vrrp_tests::arp::ArpProber;
use vrrp_tests::clock::{outage, until, watch};
use vrrp_tests::daemon::Instance;
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::observe::Observer;

use crate::scene::{PERIOD, SETTLE, Scene};

/// Ample for the heir of a master that sleeps, and more than a clock of whole seconds is wrong.
const SLEEP: Duration = Duration::from_secs(8);

/// Allowance for the emulation.
const SLOW: Duration = Duration::from_millis(250);

fn of(priority: u8) -> Instance {
    Instance::v3(priority).interval(1000)
}

/// Sends between two times.
fn sent(observer: &Observer, node: usize, from: u64, to: u64) -> Vec<u64> {
    let adverts = observer.adverts().into_iter().filter(|(at, by, _)| *by == node && (from..to).contains(at));
    adverts.map(|(at, ..)| at).collect()
}

#[test]
fn a_master_that_slept_listens_before_it_sends() -> Result<()> {
    let mut scene = Scene::new(1000)?;
    scene.start([of(150), of(100)])?;
    let observer = Observer::new(&scene.lab)?;
    let client = ArpProber::by_many(&scene.lab, VIRTUAL_V4.parse()?, PERIOD)?;
    until("answers of machine 0", SETTLE, || client.answers(0, 0) > 50)?;
    let asleep = scene.sleep(0)?;
    outage(SLEEP);
    ensure!(sent(&observer, 1, asleep, u64::MAX).len() > 2, "machine 1 has not taken over: {}", scene.log(1));
    let back = scene.wake(0)?;
    observer.wait_for_advert(0, back, SETTLE)?;
    let first = sent(&observer, 0, back, u64::MAX);
    let listened = Duration::from_nanos(first.first().copied().unwrap_or(back) - back);
    watch(Duration::from_secs(4));
    let both = client.answered_twice(back);
    let log = scene.log(0);
    scene.report(&format!(
        "1000 ms | master asleep | listened {} ms | both {} ms",
        listened.as_millis(),
        both.as_millis()
    ));
    ensure!(listened >= of(150).advert_interval(), "it sends {listened:?} after its return: {log}");
    // The driver of this card has lost the program, and with it the fence, until the daemon attaches it again.
    ensure!(both <= 2 * SLOW, "both have answered for {both:?}: {log}");
    ensure!(observer.latest(2) == [0, 0], "two masters: {:?}", observer.latest(8));
    ensure!(log.contains("resumed") || log.contains("preempted"), "{log}");
    Ok(())
}

#[test]
fn a_backup_that_slept_does_not_take_over() -> Result<()> {
    let mut scene = Scene::new(1000)?;
    scene.start([of(150), of(100)])?;
    let observer = Observer::new(&scene.lab)?;
    for round in 0..2 {
        let asleep = scene.sleep(1)?;
        outage(SLEEP);
        scene.wake(1)?;
        watch(of(100).master_down_interval() * 3);
        let adverts = sent(&observer, 1, asleep, u64::MAX).len();
        scene.report(&format!("1000 ms | backup asleep, {round} | {adverts} adverts"));
        ensure!(adverts == 0, "it has sent {adverts} adverts: {}", scene.log(1));
    }
    ensure!(scene.suspensions(1)? > 0, "it has not noticed that it slept: {}", scene.log(1));
    Ok(())
}
