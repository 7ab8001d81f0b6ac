//! The checks of a configuration: what they continue from, and what is reported of them.

use super::*;
use crate::config::parse;
use crate::daemon::history::{History, SUMS};
use crate::daemon::live::LiveState;
use crate::daemon::probe::Held;
use crate::daemon::status::DaemonContext;
use crate::driver::maps::Maps;
use crate::protocol::{Epoch, State};

const FILE: &str = "\
    global_defs {\nscript_user root\n}\n\
    vrrp_script web {\nscript /bin/true\n}\n\
    vrrp_check port {\ntcp 192.0.2.9:80\n}\n\
    vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.1/24\n}\n\
      track_script {\nweb weight 10\n}\n}\n\
    vrrp_instance B {\ninterface eth0\nvirtual_router_id 2\nvirtual_ipaddress {\n192.0.2.2/24\n}\n\
      track_script {\nweb\n}\ntrack_check {\nport\n}\n}\n";

fn script<'a>(config: &'a Config, name: &str) -> &'a CheckSettings {
    config.checks.iter().find(|script| &*script.name == name).unwrap()
}

#[test]
fn what_an_instance_has_found_is_known() {
    let config = parse("t", FILE).unwrap().config;
    let web = script(&config, "web").id;
    let snapshot = |result: i32| InstanceSnapshot {
        state: State::Master,
        epoch: Epoch(1),
        reason: None,
        since: Timestamp::ZERO,
        source: None,
        advert: None,
        entitled_until: None,
        master_down: None,
        master: None,
        endures_until: None,
        results: vec![(web, result)],
        apart: false,
    };
    // A has 0 before the first look.
    let rows = [
        ([Some(1), Some(1)], Some((1, true))),
        ([Some(0), Some(0)], Some((0, true))),
        ([Some(0), Some(1)], Some((1, false))),
        ([None, Some(0)], Some((0, false))),
        ([Some(1), None], Some((1, false))),
        ([None, None], None),
    ];
    for (results, expected) in rows {
        let instances = config.instances.iter().zip(results);
        let instances = instances.filter_map(|(it, result)| Some((it.id, snapshot(result?))));
        let snapshot = RouterSnapshot { instances: instances.collect(), ..RouterSnapshot::default() };
        let expected = expected.map(|(result, to_all)| Known { result, to_all });
        assert_eq!(known(&snapshot, &config).get(&web).copied(), expected, "{results:?}");
    }
}

#[test]
fn looks_that_cannot_be_taken_are_reported_once() {
    let mut skipped = Skipped::default();
    let mut reported = |second: u64, lasts| {
        skipped.must_be_reported(lasts, Timestamp::from_nanos((1000 + second) * 1_000_000_000))
    };
    let rows = [
        (0, false, false),
        (1, true, true),
        (2, true, false),
        (90, true, false),
        (91, false, false),
        (92, true, true),
        (93, false, false),
        (94, true, false),
    ];
    for (second, lasts, expected) in rows {
        assert_eq!(reported(second, lasts), expected, "{second}");
    }
}

#[test]
fn the_user_of_the_configuration_counts_for_commands_that_name_none() {
    let mut config = parse("t", FILE).unwrap().config;
    let root = ScriptUser { name: "root".into(), group: None };
    assert_eq!(user(script(&config, "web"), &config), Some(&root));
    assert_eq!(user(script(&config, "port"), &config), None);
    let own = ScriptUser { name: "daemon".into(), group: None };
    config.checks.iter_mut().for_each(|script| script.user = Some(own.clone()));
    assert_eq!(user(script(&config, "web"), &config), None);
}
#[tokio::test(flavor = "current_thread")]
async fn a_check_that_cannot_run_is_named() {
    let mut config = parse("t", FILE).unwrap().config;
    let checks = Checks::new(Queue::new(1).unwrap());
    assert_eq!(checks.prepare(&config).await.unwrap().0.len(), 2);
    let user = ScriptUser { name: "no such user".into(), group: None };
    config.checks.iter_mut().for_each(|check| {
        check.user = Some(user.clone()).filter(|_| &*check.name == "web");
    });
    let refused = checks.prepare(&config).await.unwrap_err().to_string();
    assert_eq!(refused, "check `web` cannot run: there is no user `no such user`");
}

#[tokio::test(flavor = "current_thread")]
async fn a_check_that_panics_counts_as_failed() {
    let (mut tries, mut last) = (0, None);
    let deliver = |round: &ProbeResult| {
        tries += 1;
        last = Some(round.clone());
        tries == 2
    };
    or_failed(TrackId(7), async { panic!("it panics") }, deliver).await;
    let last = last.unwrap();
    assert_eq!((tries, last.track, last.result(), last.news), (2, TrackId(7), 0, true));
    let deliver = |round: &ProbeResult| panic!("{round:?}");
    or_failed(TrackId(7), async {}, deliver).await;
}

#[tokio::test(flavor = "current_thread")]
async fn only_checks_that_do_not_run_are_made() {
    let config = parse("t", FILE).unwrap().config;
    let mut checks = Checks::new(Queue::new(1).unwrap());
    for (script, is_over) in config.checks.iter().zip([false, true]) {
        let task = checks.tasks.spawn(async move {
            if !is_over {
                std::future::pending::<()>().await;
            }
        });
        let settings = CheckSettings { id: TrackId(script.id.0 + 10), ..script.clone() };
        let user = user(script, &config).cloned();
        checks.running.insert(settings.id, Running { settings, user, task });
    }
    tokio::task::yield_now().await;
    let made = async |config: &Config| {
        let made = checks.prepare(config).await.unwrap().0;
        made.iter().map(Option::is_some).collect::<Vec<_>>()
    };
    assert_eq!(made(&config).await, [false, true]);
    let mut other = config.clone();
    other.checks.iter_mut().for_each(|check| check.interval *= 2);
    assert_eq!(made(&other).await, [true, true]);
    let mut other = config.clone();
    other.globals.script_user = Some(ScriptUser { name: "daemon".into(), group: None });
    assert_eq!(made(&other).await, [&*config.checks[0].name == "web", true]);
}

#[test]
fn a_result_that_the_engine_has_no_room_for_is_reported_once_and_delivered_later() {
    let config = Arc::new(parse("t", FILE).unwrap().config);
    let inputs = Queue::new(1).unwrap();
    let context = DaemonContext {
        config,
        live: Arc::new(LiveState::new(2)),
        maps: Arc::new(Maps::anonymous(2).unwrap()),
        history: Arc::new(History::new(2)),
        router_id: "t".into(),
        started: Timestamp::ZERO,
        gone: [0; SUMS],
    };
    let shared = SharedContext::from(Arc::new(context));
    let mut deliver = deliver("web".into(), shared.clone(), inputs.clone());
    let result = |up| ProbeResult {
        track: TrackId(7),
        outcome: if up { Outcome::Well } else { Outcome::TimedOut },
        lasted: Duration::ZERO,
        printed: None,
        by: NoticedBy::Polling,
        runs: 1,
        up,
        held: None,
        news: true,
        skipped: None,
        is_known: true,
    };
    let reported = || shared.now().history.events.after(None, 10).events.len();
    assert!(inputs.push(Input::GoOn));
    for _ in 0..3 {
        assert!(!deliver(&result(false)));
    }
    assert_eq!(reported(), 1);
    assert!(matches!(inputs.pop(), Some(Input::GoOn)));
    assert!(deliver(&result(false)));
    assert!(matches!(inputs.pop(), Some(Input::Event(Event::Track(TrackId(7), false)))));
    assert_eq!(reported(), 1);
    assert!(deliver(&result(true)) && inputs.pop().is_some());
    assert!(deliver(&result(false)));
    assert_eq!(reported(), 3);
    let held = Held { cause: Cause::MinHold, until: Timestamp::ZERO };
    for held in [Some(held), Some(held), None] {
        assert!(deliver(&ProbeResult { held, news: false, ..result(false) }));
    }
    let events = shared.now().history.events.after(None, 10).events;
    let last: Vec<_> = events.iter().skip(3).map(|event| event.what.to_string()).collect();
    assert_eq!(last, ["check web is held as failed (min_hold)", "check web is no longer held"]);
}
