//! Hot restart, noticed by neither the peer nor a client.

use std::time::Duration;

use anyhow::{Result, ensure};
use vrrp_tests::clock::watch;
use vrrp_tests::daemon::Instance;
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::Pair;

use crate::{AWHILE, INTERVAL, answers, asked, ensure_silent, role, subject};

#[test]
#[needs("lab")]
fn a_hot_restart_keeps_master_and_backup() -> Result<()> {
    let mode = subject();
    // No second set of announcements, which would be sent meanwhile on a slow machine.
    let instance = |priority| Instance::v3(priority).interval(INTERVAL).line("garp_master_delay 0");
    Pair::settled([200, 100].map(|priority| role(mode, instance(priority))))?.check(|pair| {
        let prober = asked(pair)?;
        let before = [pair.running(0)?.standing()?, pair.running(1)?.standing()?];
        let paths = [pair.running(0)?.rx_path()?, pair.running(1)?.rx_path()?];
        pair.observer.clear();
        for node in [0, 1] {
            ensure!(pair.hot_restart(node, &[])?.success(), "the old process ended with an error");
        }
        watch(AWHILE);
        let after = [pair.running(0)?.standing()?, pair.running(1)?.standing()?];
        ensure!(after == before, "states or epochs have changed: {before:?}, {after:?}");
        ensure!(
            [pair.running(0)?.rx_path()?, pair.running(1)?.rx_path()?] == paths,
            "no longer on {paths:?}"
        );
        ensure_silent(pair, 1)?;
        let adverts = pair.observer.adverts();
        ensure!(adverts.iter().all(|(.., advert)| advert.priority != 0), "an advert of priority 0 was sent");
        let silence = pair.observer.longest_silence(0);
        let limit = Duration::from_millis(2 * INTERVAL);
        ensure!(silence.is_some_and(|it| it < limit), "adverts are {silence:?} apart");
        ensure!(pair.observer.announcers(VIRTUAL_V4.parse()?).is_empty(), "addresses were announced again");
        answers(&prober, 0, pair.mark())?;
        // It still notices a death.
        pair.die(0)?;
        pair.wait_for_master(1)
    })
}
