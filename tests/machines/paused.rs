//! A master paused by its hypervisor: its clock stops too, and it returns with its state unchanged.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::daemon::Instance;

use crate::scene::{Outcome, Scene};

/// Longest time that both may answer. Under emulation a resumed machine needs a while for its queue, and a loaded host
/// multiplies that. Both answering for an advert interval of a second would still fail.
const BOTH_MAX: Duration = Duration::from_millis(250);
/// Time for an heir under emulation to take over, after the master's silence was long enough for it.
const TAKEOVER: Duration = Duration::from_millis(300);
/// The heir announces its addresses again well before the regular time, 5 s after its takeover.
const MENDED_MAX: Duration = Duration::from_millis(1500);

/// Milliseconds of intervals and of pauses; the first pause is shorter than a peer's Master_Down_Interval.
const CASES: [(u64, &[u64]); 2] = [(100, &[150, 500, 3000, 6000]), (1000, &[500, 4000, 6000])];

/// The machine that is paused has the higher priority, or the lower one of two with `nopreempt`.
fn roles(interval: u64) -> [(&'static str, [Instance; 2]); 2] {
    let of = |priority: u8| Instance::v3(priority).interval(interval);
    [("better", [of(150), of(100)]), ("worse", [of(100).line("nopreempt"), of(150).line("nopreempt")])]
}

/// `queue`: frames that wait for the machine; more than arrive, or too few to include its heir's adverts.
fn check(queue: u32) -> Result<()> {
    let mut scene = Scene::new(queue)?;
    let mut failures = Vec::new();
    for (interval, pauses) in CASES {
        for (role, instances) in roles(interval) {
            let mut master = None;
            for &pause in pauses {
                if master != Some(0) {
                    scene.start(instances.clone())?;
                }
                let outcome = scene.pause(Duration::from_millis(pause), Duration::from_secs(4));
                let outcome = outcome.with_context(|| scene.log(0))?;
                scene.report(&format!("{queue} | {interval} ms | {role} | {pause} ms | {outcome}"));
                let silence = instances[1].master_down_interval() + TAKEOVER;
                if let Err(error) = judge(&outcome, Duration::from_millis(pause) >= silence) {
                    failures.push(format!("{interval} ms, {role}, {pause} ms: {error}"));
                }
                master = Some(outcome.master);
                if master != Some(0) {
                    scene.stop()?;
                }
            }
            if master == Some(0) {
                scene.stop()?;
            }
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// `needs_heir`: the pause is so long that the other machine must take over.
fn judge(outcome: &Outcome, needs_heir: bool) -> Result<()> {
    let Outcome { both, stolen, last, mended, had_heir, master, .. } = outcome;
    if !had_heir {
        ensure!(!needs_heir, "the other machine did not take over");
        return Ok(());
    }
    ensure!(*both <= BOTH_MAX, "both have answered for {both:?}");
    // A request sent just as the heir becomes master may reach the paused machine before the heir's advert.
    ensure!(*master == 0 || *stolen <= 2, "it answered {stolen} requests of its heir's time");
    let is_mended = last.is_none() || mended.is_some_and(|span| span < MENDED_MAX);
    ensure!(is_mended, "clients keep the wrong address: {mended:?} after {last:?}");
    Ok(())
}

#[test]
fn queued_adverts_show_a_paused_master_its_heir() -> Result<()> {
    check(1000)
}

#[test]
fn an_heir_sends_an_advert_on_request_if_none_is_queued() -> Result<()> {
    check(10)
}
