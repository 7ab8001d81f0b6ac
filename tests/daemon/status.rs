//! Shape of the status, as JSON and as a table.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use vrrp_ebpf::wire::Reject;
use vrrp_ebpf::wire::address::widen;
use vrrp_tests::FIRST;
use vrrp_tests::clock::elapse;
use vrrp_user::daemon::history::{HookRun, Posts};
use vrrp_user::daemon::process::preflight::Disabled;
use vrrp_user::daemon::status::{DaemonContext, Instance, Status, StatusVerdict, View, overview, table};
use vrrp_user::daemon::wall::shown_of;
use vrrp_user::driver::clock;
use vrrp_user::driver::process::{End, Run};
use vrrp_user::protocol::{InstanceId, Priority, Reason, State, Transition};

use crate::setup::{backup, filled};

#[test]
fn the_json_has_the_values_of_the_sources() {
    let status = filled().status();
    let shown = serde_json::to_value(&status).unwrap();
    vrrp_tests::schema::validate(&shown).unwrap();
    assert_eq!(serde_json::from_value::<Status>(shown.clone()).unwrap(), status, "survives a round trip");

    assert_eq!(shown["node"]["router_id"], "node1");
    assert_eq!(shown["node"]["realtime"], false);
    assert_eq!(shown["node"]["realtime_note"], "no CAP_SYS_NICE");
    assert_eq!(
        shown["interfaces"],
        json!([{"name": "eth0", "receive_path": "socket", "why": "no CAP_BPF", "hidden_by": null}])
    );
    assert_eq!(shown["engine"]["lateness"]["p50_microseconds"], 8);
    assert_eq!(shown["checks"][0]["up"], Value::Null);

    let first = &shown["instances"][0];
    assert_eq!(first["state"], "BACKUP");
    assert_eq!(first["reason"], "higher_priority");
    assert_eq!(first["epoch"], 3);
    assert_eq!(first["priority"], json!({"configured": 100, "effective": 80}));
    assert_eq!(first["master"], "10.0.0.2");
    assert_eq!(
        first["addresses"],
        json!([{
            "address": "192.0.2.51/24",
            "set": false,
            "interface": null,
            "announcements": 0,
            "announced_seconds": null,
            "answered": false,
            "answered_why": "it is not set here",
        }])
    );
    assert_eq!((&first["takes_over_seconds"], &first["preempts_seconds"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&first["why"], &first["faults"]),
        (&json!("10.0.0.2 is master: 150 against our 80"), &json!([]))
    );
    assert_eq!(
        first["tracks"],
        json!([{"name": "check", "kind": "script", "weight": -20, "reverse": false, "up": null, "adds": null}])
    );
    assert_eq!(first["counters"]["adverts_sent"], 12);
    assert_eq!(first["counters"]["adverts_received"], 4);
    assert_eq!(first["counters"]["rejects"], json!([{"word": "checksum", "count": 3}]));
    let rejected = &first["rejected"][0];
    assert_eq!((&rejected["peer"], &rejected["reason"]), (&json!("10.0.0.3"), &json!("checksum")));
    assert_eq!(first["rejected"].as_array().unwrap().len(), 1);
    let seconds = first["since_seconds"].as_f64().unwrap();
    assert!((90.0..100.0).contains(&seconds), "{seconds}");
    let since = first["since"].as_str().unwrap();
    assert!(since.ends_with('Z') && since.len() == 24, "{since}");
    let history = &first["history"][0];
    assert_eq!((&history["from"], &history["to"]), (&json!("MASTER"), &json!("BACKUP")));
    assert_eq!(history["peer"], "10.0.0.2");

    let peer = &first["peers"][0];
    assert_eq!(
        (&peer["priority"], &peer["version"], &peer["checksum"]),
        (&json!(150), &json!(3), &json!("plain"))
    );
    assert_eq!(peer["adverts"], 4);
    assert_eq!(peer["advert_interval_seconds"], 0.1);
    assert_eq!((&peer["gap_max_seconds"], &peer["gap_mean_seconds"]), (&json!(0.1), &json!(0.1)));
    assert_eq!(peer["near_misses"], 0);
    // 100 ms lie between 2^16 and 2^17 times 1024 ns.
    assert_eq!(peer["gaps"], json!([{"below_seconds": 0.134_217_728, "count": 3}]));

    let group = &shown["groups"][0];
    assert_eq!(
        (&group["name"], &group["state"], &group["reason"], &group["epoch"]),
        (&json!("both"), &json!("FAULT"), &json!("link_down"), &json!(2))
    );
    assert_eq!((&group["members"], &group["hooks"]), (&json!(["VI_1", "VI \"2\""]), &json!([])));
    assert!(group["since"].as_str().unwrap().ends_with('Z'));

    let second = &shown["instances"][1];
    assert_eq!(
        (&second["state"], &second["since"], &second["master"]),
        (&json!("INIT"), &Value::Null, &Value::Null)
    );
}

#[test]
fn the_overview_has_80_columns_and_says_why() {
    let status = filled().status();
    let text = overview(&status, View::default());
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "node1 vrrpx",
        "INSTANCE STATE SINCE WHY",
        "VI_1 BACKUP 1m 30s 10.0.0.2 is master: 150 against our 80",
        "192.0.2.51/24 at 10.0.0.2, last advert",
        "priority 80 instead of 100",
        "VI \"2\" INIT - starting",
        "! VI_1: 10.0.0.3 is not heard: the checksum of its adverts is wrong in every known form",
    ] {
        assert!(words.contains(expected), "{expected}:\n{text}");
    }
    assert!(!text.contains('\x1b') && !text.contains("realtime") && !text.contains("pending"), "{text}");
    assert_eq!(status.verdict(), StatusVerdict::Look);
    let coloured = overview(&status, View { colours: true, ..View::default() });
    assert!(coloured.contains("\x1b[33m!\x1b[0m VI_1: "), "{coloured}");
}

/// With hundreds of instances those that need a look are not lost among the others.
#[test]
fn many_instances_are_counted_and_those_with_a_problem_shown() {
    let mut status = filled().status();
    let first = status.instances.remove(0);
    let well = Instance { rejected: Vec::new(), ..first.clone() };
    let named = |name: String| Instance { name, ..well.clone() };
    status.instances = (0..249).map(|number| named(format!("other{number}"))).collect();
    status.instances.push(Instance {
        state: "FAULT".to_owned(),
        why: "the link of eth0 is down".to_owned(),
        ..named("late".to_owned())
    });
    let text = overview(&status, View::default());
    assert!(text.contains("\n250 instances: 249 BACKUP, 1 FAULT\n"), "{text}");
    assert!(text.contains("the link of eth0 is down") && !text.contains("other7"), "{text}");
    assert!(text.contains("249 others are as they should be: vrrpx status --all"), "{text}");
    assert!(text.lines().count() < 12, "{text}");
    assert_eq!(status.verdict(), StatusVerdict::Bad);
    assert!(overview(&status, View { all: true, ..View::default() }).contains("other7"));
}

/// A refused file is one problem, however many findings it has, and a cause of FAULT is one as well.
#[test]
fn a_refused_file_and_a_cause_of_fault_are_problems() {
    let mut status = filled().status();
    status.instances.truncate(1);
    status.instances[0].rejected.clear();
    assert_eq!(status.verdict(), StatusVerdict::Well);
    let findings = ["a.conf:1:1: error: one\nhelp: do it", "a.conf:2:1: error: two", "three", "four", "five"];
    status.configuration.findings = findings.map(str::to_owned).to_vec();
    status.configuration.stale_since = Some("2026-11-29T07:07:01.018Z".to_owned());
    let at = shown_of("2026-11-29T07:07:01.018Z");
    let text = overview(&status, View::default());
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(", 1 problem INSTANCE"), "{text}");
    assert!(words.contains(&format!("STALE: the file was refused at {at}; the one read at ")), "{text}");
    assert!(
        words
            .contains("a.conf:1:1: error: one; help: do it. a.conf:2:1: error: two. three. There are 2 more"),
        "{text}"
    );
    assert_eq!(status.verdict(), StatusVerdict::Look);

    status.configuration.stale_since = None;
    status.instances[0].state = "FAULT".to_owned();
    status.instances[0].why = "the link of eth0 is down".to_owned();
    let text = overview(&status, View::default());
    assert!(
        text.contains(", 1 problem\n") && text.contains("! VI_1: in FAULT: the link of eth0 is down\n"),
        "{text}"
    );
    assert_eq!(status.verdict(), StatusVerdict::Bad);
}

#[test]
fn one_instance_or_group_is_taken_out_of_a_status() {
    let status = filled().status();
    assert_eq!((status.state_of("VI_1"), status.state_of("both")), (Some("BACKUP"), Some("FAULT")));
    assert_eq!(status.state_of("VI_3"), None);
    let names =
        |status: &Status| -> Vec<String> { status.instances.iter().map(|it| it.name.clone()).collect() };
    let one = status.clone().of("VI_1");
    assert_eq!((names(&one), one.groups.len(), one.checks.len()), (vec!["VI_1".to_owned()], 1, 1));
    let two = status.clone().of("VI \"2\"");
    assert_eq!((names(&two).len(), two.checks.len()), (1, 0));
    assert_eq!(names(&status.of("both")).len(), 2);
}

#[test]
fn the_table_is_narrow_and_shows_what_matters() {
    let text = table(&filled().status());
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    for word in [
        "node1",
        "no CAP_BPF",
        "VI_1",
        "BACKUP",
        "80 (100)",
        "1m 30s",
        "10.0.0.2",
        "VI_1: 10.0.0.3 is not heard: the checksum of its adverts is wrong in every known form",
        "pending",
        r#"VI_1 "VI \"2\"""#,
    ] {
        assert!(text.contains(word), "{word}:\n{text}");
    }
}

/// The table of the page about it.
#[test]
fn the_page_shows_the_table() {
    let mut status = filled().status();
    status.groups.clear();
    status.fence.guard = Some(21_098);
    status.instances.truncate(1);
    status.instances[0].since_seconds = Some(90.0);
    status.instances[0].history[0].at = "2026-11-29T07:06:34.000Z".to_owned();
    status.instances[0].peers[0].last_advert_seconds = 0.000_065;
    (status.node.version, status.node.pid, status.node.uptime_seconds) = ("0.1.0".to_owned(), 21097, 124.0);
    let text = table(&status);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    assert!(fs::read_to_string(page).unwrap().contains(&format!("```\n{text}```\n")), "{text}");
}

/// Past events are in the totals of the JSON.
#[test]
fn notes_show_present_faults_only() {
    let context = filled();
    let past = clock::now() - Duration::from_secs(60);
    context.maps.reject(FIRST, Reject::Ttl, widen([10, 0, 0, 4].into()), past);
    context.live.instances[0].send_errors.store(3, Ordering::Relaxed);
    let status = context.status();
    let text = table(&status);
    assert!(!text.contains("10.0.0.4") && !text.contains("cannot send adverts"), "{text}");
    assert_eq!((status.instances[0].counters.send_errors, &status.instances[0].send_error), (3, &None));
    assert!(status.instances[0].counters.rejects.iter().any(|it| it.word == "ttl" && it.count == 1));

    context.history.send_failed(InstanceId(0), 1);
    let text = table(&context.status());
    assert!(text.contains("VI_1: cannot send adverts: Operation not permitted"), "{text}");
}

#[test]
fn a_disabled_script_is_a_problem() {
    let context = filled();
    let first = context.status().instances.remove(0);
    let instances = vec![Instance { rejected: Vec::new(), ..first }];
    let well = Status { instances, groups: vec![], checks: vec![], ..context.status() };
    assert_eq!(well.verdict(), StatusVerdict::Well);
    let idle = Status { instances: vec![], ..well.clone() };
    assert_eq!(idle.verdict(), StatusVerdict::Look, "a daemon without an instance");
    let why = "/opt/c.sh: No such file or directory".to_owned();
    context.history.disabled(vec![Disabled { script: "vrrp_script web".to_owned(), why }]);
    let status = Status { disabled_scripts: context.status().disabled_scripts, ..well };
    assert_eq!(status.verdict(), StatusVerdict::Look);
    let expected = "! vrrp_script web: disabled: /opt/c.sh: No such file or directory\n";
    let screen = overview(&status, View::default());
    assert!(screen.ends_with(expected), "{screen}");
    let tables = table(&status);
    assert!(tables.contains("\nDISABLED SCRIPT\n  vrrp_script web: disabled: /opt/c.sh"), "{tables}");
    vrrp_tests::schema::validate(&serde_json::to_value(&status).unwrap()).unwrap();
    context.history.disabled(vec![]);
    assert_eq!(context.status().disabled_scripts, []);
}

#[test]
fn lines_without_effect_and_a_missing_guard_are_problems() {
    let context = filled();
    context.history.leaves_out(vec!["k.conf:5:14: left out: the first".to_owned(), "the second".to_owned()]);
    let mut status = context.status();
    let shown = |status: &Status| {
        let screen = overview(status, View::default());
        screen.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    (status.fence.guard, status.node.uptime_seconds) = (None, 10.0);
    let text = shown(&status);
    let first =
        "configuration: 2 lines have no effect, as with keepalived, the first one: k.conf:5:14: left out";
    assert!(text.contains(first), "{text}");
    assert!(text.contains("guard: does not run"), "{text}");
    // It is just starting.
    status.node.uptime_seconds = 1.0;
    assert!(!shown(&status).contains("guard: does not run"));
    (status.fence.guard, status.node.uptime_seconds) = (Some(7), 10.0);
    assert!(!shown(&status).contains("guard: does not run"));
}

#[test]
fn a_better_member_waits_for_its_sync_group() {
    let context = filled();
    context.live.instances[0].set_priority(Priority(200));
    let expected = "10.0.0.2 is master with 150; ours is 200: about to take over, once the others of its sync \
                    group both may";
    assert_eq!(context.status().instances[0].why, expected);
}

/// Becomes master by these transitions, the latest of them a while ago.
fn becomes_master(context: &DaemonContext, transitions: &[(State, Reason)]) {
    for ((to, reason), epoch) in transitions.iter().zip(4..) {
        let before = backup(clock::now() - Duration::from_secs(90), epoch);
        let transition = Transition { to: *to, reason: *reason, peer: None, ..before };
        context.live.record(FIRST, &transition);
        context.history.transition(FIRST, transition);
    }
}

#[test]
fn a_master_that_no_router_took_over_from_says_so() {
    let why = |transitions: &[(State, Reason)]| {
        let context = filled();
        becomes_master(&context, transitions);
        context.status().instances[0].why.clone()
    };
    let (handed, again) = ((State::Backup, Reason::HandedOver), (State::Master, Reason::MasterSilent));
    let stayed = "it was to hand over, and no other router took over: it stayed master";
    assert_eq!(why(&[handed, again]), stayed);
    assert_eq!(why(&[again]), "no master was heard when it took over");
    assert_eq!(
        why(&[handed, again, (State::Backup, Reason::Recovered), again]),
        "no master was heard when it took over"
    );
}

#[test]
fn a_lower_master_that_does_not_yield_is_named_with_what_to_look_at() {
    let context = filled();
    becomes_master(&context, &[(State::Master, Reason::MasterSilent)]);
    context.live.instances[0].set_priority(Priority(200));
    let texts = || context.status().instances[0].problem_texts();
    assert!(texts().contains(&"another router is master too: 10.0.0.2 with 150".to_owned()), "{:?}", texts());
    context.history.unyielding(FIRST, Some([10, 0, 0, 2].into()));
    let named =
        "another router is master too: 10.0.0.2 with 150; it does not yield: it does not receive our adverts";
    assert!(texts().iter().any(|text| text.starts_with(named)), "{:?}", texts());
    let rows = context.unyielding();
    assert_eq!((rows.len(), rows[0].1.peer.as_str()), (1, "10.0.0.2"));
    // Another one is, by now.
    context.history.unyielding(FIRST, Some([10, 0, 0, 9].into()));
    assert!(texts().contains(&"another router is master too: 10.0.0.2 with 150".to_owned()), "{:?}", texts());
    becomes_master(&context, &[(State::Backup, Reason::HigherPriority)]);
    assert!(context.unyielding().is_empty() && context.status().instances[0].unyielding.is_none());
}

/// The former master's last advert comes just after a takeover; one that goes on is another master.
#[test]
fn a_former_master_that_yields_is_no_other_master() {
    let status = filled().status();
    let master = |since: f64, last_advert: f64, interval: f64| {
        let mut it = status.instances[0].clone();
        (it.state, it.since_seconds, it.rejected) = ("MASTER".to_owned(), Some(since), Vec::new());
        // They are not set here.
        it.addresses.clear();
        it.peers[0].last_advert_seconds = last_advert;
        it.peers[0].advert_interval_seconds = Some(interval);
        Status { instances: vec![it], ..status.clone() }
    };
    for (since, last_advert, interval, is_bad) in [
        (2.0, 1.9996, 1.0, false),
        (2.0, 2.0004, 1.0, false),
        (2.0, 1.89, 1.0, true),
        (2.0, 0.5, 1.0, true),
        (0.02, 0.016, 0.01, false),
        (0.02, 0.014, 0.01, true),
        // Silent for more than its patience.
        (9.0, 5.0, 1.0, false),
    ] {
        let bad = master(since, last_advert, interval).verdict() == StatusVerdict::Bad;
        assert_eq!(bad, is_bad, "{since} {last_advert} {interval}");
    }
}

#[test]
fn maintenance_is_bad_only_if_no_router_serves() {
    let status = filled().status();
    let out = |faults: &[&str], last_advert: f64, since: f64| {
        let mut it = Instance { rejected: Vec::new(), ..status.instances[0].clone() };
        (it.state, it.since_seconds) = ("FAULT".to_owned(), Some(since));
        it.faults = faults.iter().map(|&word| word.to_owned()).collect();
        it.peers[0].last_advert_seconds = last_advert;
        it
    };
    let verdict = |instances: Vec<Instance>| Status { instances, ..status.clone() }.verdict();
    assert_eq!(verdict(vec![out(&["maintenance"], 0.05, 60.0)]), StatusVerdict::Look);
    // At the beginning, the heir may not have sent yet.
    assert_eq!(verdict(vec![out(&["maintenance"], 5.0, 0.1)]), StatusVerdict::Look);
    let unserved = out(&["maintenance"], 60.0, 60.0);
    let texts = unserved.problem_texts();
    assert!(texts.iter().any(|it| it.contains("no router serves its addresses")), "{texts:?}");
    assert_eq!(verdict(vec![unserved]), StatusVerdict::Bad);
    let names = |faults: &[&str], last_advert| {
        let texts = out(faults, last_advert, 60.0).problem_texts();
        texts.iter().any(|it| it.ends_with("no master is heard"))
    };
    assert!(names(&["track_down"], 60.0), "the others have failed too");
    assert!(!names(&["track_down"], 0.05) && !names(&["track_down", "link_down"], 60.0));
    assert_eq!(verdict(vec![out(&["maintenance", "track_down"], 0.05, 60.0)]), StatusVerdict::Bad);
    // The other member of the sync group has no cause of its own.
    let other = |faults| Instance { name: "VI \"2\"".to_owned(), ..out(faults, 0.05, 60.0) };
    assert_eq!(verdict(vec![out(&["maintenance"], 0.05, 60.0), other(&[])]), StatusVerdict::Look);
    assert_eq!(verdict(vec![out(&["link_down"], 0.05, 60.0), other(&[])]), StatusVerdict::Bad);
    // It alone is asked for.
    let mut alone = Status { instances: vec![other(&[])], ..status.clone() };
    assert_eq!(alone.verdict(), StatusVerdict::Bad, "the group is out because a link is down");
    alone.groups[0].reason = "maintenance".to_owned();
    assert_eq!(alone.verdict(), StatusVerdict::Look);
}

#[test]
fn a_failed_hook_is_a_problem_in_its_state_until_the_next_reload() {
    let context = filled();
    let run = Run { end: End::Exited(1), lasted: Duration::ZERO };
    let failed = |state| HookRun::ended(state, run, None);
    let is_problem = || context.status().instances[0].problem_texts().iter().any(|it| it.contains("notify_"));
    context.history.hook(InstanceId(0), "notify_master", failed("MASTER"));
    assert!(!is_problem(), "it is BACKUP now");
    context.history.hook(InstanceId(0), "notify_backup", failed("BACKUP"));
    assert!(is_problem());
    elapse(Duration::from_millis(2));
    context.history.loaded(SystemTime::now(), &[]);
    assert!(!is_problem(), "the configuration was loaded again");
    assert_eq!(context.status().instances[0].hooks.len(), 2, "the runs are shown nevertheless");
}

#[test]
fn mail_and_webhooks_that_fail_are_problems_until_they_work_or_are_loaded_again() {
    let context = filled();
    let is_problem =
        || overview(&context.status(), View::default()).lines().any(|line| line.starts_with("! webhook: "));
    let name: Arc<str> = "https://hooks.example".into();
    context.history.keep_webhooks(&[Arc::clone(&name)]);
    let failing = |failing| {
        context.history.webhook(&name, |posts: &mut Posts| {
            posts.is_failing = failing;
            posts.failure = Some((SystemTime::now(), "connection refused".to_owned()));
        });
    };
    failing(true);
    assert!(is_problem());
    failing(false);
    assert!(!is_problem());
    failing(true);
    elapse(Duration::from_millis(2));
    context.history.loaded(SystemTime::now(), &[]);
    assert!(!is_problem());
}
