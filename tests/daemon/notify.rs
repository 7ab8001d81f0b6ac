//! Hooks with real processes.

use std::sync::Arc;
use std::time::Duration;

use vrrp_tests::FIRST;
use vrrp_tests::clock::task::{pace, watch};
use vrrp_user::config::{Config, NotifyCommand, NotifySettings, ScriptCommand, ScriptUser};
use vrrp_user::daemon::history::{History, RunningHook};
use vrrp_user::daemon::metrics::{Format, render};
use vrrp_user::daemon::notify::{Notifier, STOP_LIMIT};
use vrrp_user::daemon::status::{View, overview};
use vrrp_user::driver::clock;
use vrrp_user::driver::process::End;
use vrrp_user::protocol::{Epoch, GroupId, InstanceId, Priority, Reason, State, Transition};

use crate::setup::{Folder, backup, config, context, eventually, group, hook, instance, moved};

fn notifier(config: &Config) -> (Notifier, Arc<History>) {
    let history = Arc::new(History::new(config.instances.len()));
    (Notifier::new(config, &"node1".into(), &history), history)
}

fn one(notify: NotifySettings) -> Config {
    config(vec![instance("VI 1", 51, notify)], vec![])
}

fn to(state: State, epoch: u64) -> Transition {
    let reason = Reason::MasterSilent;
    Transition { to: state, from: State::Backup, reason, peer: None, ..backup(clock::now(), epoch) }
}

/// A program that writes its arguments, one per line.
fn writer(folder: &Folder, name: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.file(&format!("{name}.sh"));
    let text = format!(
        "#!/bin/sh\nfor argument; do echo \"{name}:$argument\" >> {}/log; done\n",
        folder.path().display()
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "current_thread")]
async fn arguments_are_keepalived_s_and_the_specific_hook_is_first() {
    let folder = Folder::new();
    let direct = |words: &[&str]| {
        let words = words.iter().map(|&word| word.into()).collect();
        Some(NotifyCommand { command: ScriptCommand::Direct(words), user: None })
    };
    let (specific, general) = (writer(&folder, "specific"), writer(&folder, "general"));
    let notify = NotifySettings {
        master: direct(&[&specific, "a b", "$HOME"]),
        any: direct(&[&general, "own"]),
        ..NotifySettings::default()
    };
    let (mut notifier, history) = notifier(&one(notify));
    notifier.transition(FIRST, &Transition { priority: Priority(120), ..to(State::Master, 1) });
    eventually("both hooks ran", || history.read().instance(FIRST).unwrap().hooks.len() == 2).await;
    let expected = [
        "specific:a b",
        "specific:$HOME",
        "general:own",
        "general:INSTANCE",
        "general:VI 1",
        "general:MASTER",
        "general:120",
    ];
    assert_eq!(folder.lines("log"), expected);
    let hooks = history.read().instance(FIRST).unwrap().hooks.clone();
    assert!(hooks.values().all(|hook| hook.run.end == End::Exited(0) && hook.state == "MASTER"));
}

/// The pipe is read on, so that a process that it has left behind does not block.
#[tokio::test(flavor = "current_thread")]
async fn the_end_of_what_a_hook_printed_is_kept() {
    let folder = Folder::new();
    let rest = folder.file("log").display().to_string();
    let notify = NotifySettings {
        master: hook(format!(
            "echo out; printf 'err\\033[2J\\n' >&2; (yes | head -c 300000; echo left > {rest}) & exit 3"
        )),
        backup: hook("yes | head -c 300000; echo well"),
        fault: hook("true"),
        ..NotifySettings::default()
    };
    let (mut notifier, history) = notifier(&one(notify));
    let printed = |keyword: &str| {
        let inner = history.read();
        inner.instance(FIRST).and_then(|record| record.hooks.get(keyword)).map(|hook| hook.printed.clone())
    };
    notifier.transition(FIRST, &to(State::Master, 1));
    eventually("it failed", || printed("notify_master").is_some()).await;
    let text = printed("notify_master").unwrap().unwrap();
    assert!(text.len() <= 2048 && !text.contains('\x1b'), "{text}");
    eventually("what it has left behind has ended", || folder.lines("log") == ["left"]).await;
    let page = history.events.after(None, 9);
    let failed = page.events.iter().find(|event| event.what.kind() == "hook_failed").unwrap();
    assert_eq!(serde_json::to_value(&failed.what).unwrap()["output"], text);
    notifier.transition(FIRST, &Transition { from: State::Master, ..to(State::Backup, 2) });
    eventually("it succeeded", || printed("notify_backup").is_some()).await;
    let text = printed("notify_backup").unwrap().unwrap();
    assert!(text.len() <= 512 && text.ends_with("y\nwell"), "{text}");
    let page = history.events.after(None, 9);
    let [event] =
        page.events.iter().filter(|event| event.what.kind() == "hook_printed").collect::<Vec<_>>()[..]
    else {
        panic!("{page:?}");
    };
    assert_eq!(serde_json::to_value(&event.what).unwrap()["output"], text);
    assert!(event.what.to_string().ends_with(": notify_backup for BACKUP printed: well"), "{event}");
    notifier.transition(FIRST, &Transition { from: State::Backup, ..to(State::Fault, 3) });
    eventually("the silent one", || printed("notify_fault").is_some()).await;
    assert_eq!(printed("notify_fault"), Some(None));
    assert_eq!(history.events.after(None, 9).events.len(), page.events.len(), "no event without output");
}

#[tokio::test(flavor = "current_thread")]
async fn a_shell_line_gets_the_arguments_too() {
    let folder = Folder::new();
    let line = format!("{} 'x y' && true; {} last", writer(&folder, "a"), writer(&folder, "b"));
    let (mut notifier, history) =
        notifier(&one(NotifySettings { any: hook(line), ..NotifySettings::default() }));
    notifier.transition(FIRST, &to(State::Fault, 1));
    eventually("the hook ran", || !history.read().instance(FIRST).unwrap().hooks.is_empty()).await;
    assert_eq!(folder.lines("log"), ["a:x y", "b:last", "b:INSTANCE", "b:VI 1", "b:FAULT", "b:100"]);
}

#[tokio::test(flavor = "current_thread")]
async fn the_environment_has_the_reason() {
    let folder = Folder::new();
    let line =
        format!("env | grep ^VRRPX_ | sort > {0}/env.new; mv {0}/env.new {0}/env", folder.path().display());
    let notify = NotifySettings { backup: hook(line), ..NotifySettings::default() };
    let (mut notifier, _record) = notifier(&one(notify));
    notifier.transition(FIRST, &backup(clock::now(), 7));
    eventually("the hook ran", || !folder.lines("env").is_empty()).await;
    let expected = [
        "VRRPX_EPOCH=7",
        "VRRPX_INSTANCE=VI 1",
        "VRRPX_PEER=10.0.0.2",
        "VRRPX_PREVIOUS=MASTER",
        "VRRPX_PRIORITY=100",
        "VRRPX_REASON=higher_priority",
        "VRRPX_ROUTER_ID=node1",
        "VRRPX_STATE=BACKUP",
    ];
    assert_eq!(folder.lines("env"), expected);
}

#[tokio::test(flavor = "current_thread")]
async fn a_slow_hook_skips_to_the_latest_transition() {
    let folder = Folder::new();
    let line = format!(
        "echo $VRRPX_EPOCH start >> {0}/log; sleep 0.4; echo $VRRPX_EPOCH end >> {0}/log; true",
        folder.path().display()
    );
    let (mut notifier, _record) =
        notifier(&one(NotifySettings { any: hook(line), ..NotifySettings::default() }));
    notifier.transition(FIRST, &to(State::Backup, 1));
    eventually("the first starts", || folder.lines("log").len() == 1).await;
    for (state, epoch) in [(State::Master, 2), (State::Backup, 3), (State::Master, 4)] {
        notifier.transition(FIRST, &to(state, epoch));
        pace(Duration::from_millis(20)).await;
    }
    eventually("the latest ends", || folder.lines("log").len() == 4).await;
    watch(Duration::from_millis(300)).await;
    assert_eq!(folder.lines("log"), ["1 start", "1 end", "4 start", "4 end"]);
}

#[tokio::test(flavor = "current_thread")]
async fn hooks_after_a_reload_wait_for_those_before() {
    let folder = Folder::new();
    let line = |name: &str, seconds: &str| {
        let log = folder.file("log");
        let log = log.display();
        hook(format!("echo {name} $VRRPX_STATE >> {log}; sleep {seconds}; echo end >> {log}; true"))
    };
    let with = |any| one(NotifySettings { any, ..NotifySettings::default() });
    let (mut notifier, _record) = notifier(&with(line("old", "0.5")));
    notifier.transition(FIRST, &to(State::Backup, 1));
    eventually("the old hook starts", || folder.lines("log").len() == 1).await;
    notifier.settle(&with(line("new", "0")));
    notifier.transition(FIRST, &to(State::Master, 2));
    eventually("the new hook ends", || folder.lines("log").len() == 4).await;
    assert_eq!(folder.lines("log"), ["old BACKUP", "end", "new MASTER", "end"]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_contest_hook_gets_the_peer_and_is_void_after_the_next_transition() {
    let folder = Folder::new();
    let line = |text: &str| hook(format!("echo {text} >> {}; sleep 0.3; true", folder.file("log").display()));
    let notify = NotifySettings {
        lower: line("$VRRPX_STATE $VRRPX_PREVIOUS $VRRPX_PEER $VRRPX_EPOCH"),
        any: line("$VRRPX_STATE"),
        ..NotifySettings::default()
    };
    let (mut notifier, _record) = notifier(&one(notify));
    let peer = |last| std::net::IpAddr::from([10, 0, 0, last]);
    notifier.transition(FIRST, &to(State::Master, 4));
    notifier.contest(FIRST, peer(9));
    eventually("the contest's hook runs", || folder.lines("log").len() == 2).await;
    notifier.contest(FIRST, peer(8));
    notifier.transition(FIRST, &to(State::Backup, 5));
    notifier.contest(FIRST, peer(7));
    eventually("the transition's hook runs", || folder.lines("log").len() == 3).await;
    notifier.stop().await;
    assert_eq!(folder.lines("log"), ["MASTER", "MASTER_RX_LOWER_PRI MASTER 10.0.0.9 4", "BACKUP", "STOP"]);
}

#[tokio::test(flavor = "current_thread")]
async fn instances_do_not_wait_for_each_other() {
    let folder = Folder::new();
    let slow = NotifySettings { any: hook("sleep 30; true"), ..NotifySettings::default() };
    let quick = format!("touch {}; true", folder.file("quick").display());
    let quick = NotifySettings { any: hook(quick), ..NotifySettings::default() };
    let instances = vec![instance("slow", 51, slow), instance("quick", 52, quick)];
    let (mut notifier, _record) = notifier(&config(instances, vec![]));
    notifier.transition(FIRST, &to(State::Master, 1));
    notifier.transition(InstanceId(1), &to(State::Master, 1));
    eventually("the quick hook ran", || folder.file("quick").exists()).await;
}

#[tokio::test(flavor = "current_thread")]
async fn hooks_of_a_group_get_its_name_and_no_priority() {
    let folder = Folder::new();
    let line = format!(
        "{} $VRRPX_GROUP $VRRPX_PREVIOUS $VRRPX_REASON $VRRPX_EPOCH ${{VRRPX_INSTANCE-none}}",
        writer(&folder, "any")
    );
    let notify = NotifySettings { any: hook(line), ..NotifySettings::default() };
    let config = Config { groups: vec![group("G 1", vec![FIRST], notify)], ..one(NotifySettings::default()) };
    let (mut notifier, history) = notifier(&config);
    notifier.group_transition(GroupId(0), &moved(State::Fault, clock::now(), 3));
    // Its record is there from the start of the hook on.
    let has_run = || history.read().groups.get(&GroupId(0)).is_some_and(|group| !group.hooks.is_empty());
    eventually("the hook ran", has_run).await;
    let environment = ["any:G", "any:1", "any:BACKUP", "any:link_down", "any:3", "any:none"];
    let arguments = ["any:GROUP", "any:G 1", "any:FAULT", "any:0"];
    assert_eq!(folder.lines("log"), [&environment[..], &arguments[..]].concat());
    notifier.stop().await;
    assert_eq!(folder.lines("log")[16..], ["any:GROUP", "any:G 1", "any:STOP", "any:0"]);
    let hooks = history.read().groups[&GroupId(0)].hooks.clone();
    assert!(hooks.values().all(|hook| hook.run.end == End::Exited(0) && hook.state == "STOP"));
}

#[tokio::test(flavor = "current_thread")]
async fn all_hooks_run_once_with_stop_at_the_end() {
    let folder = Folder::new();
    let notify = |name| {
        let line = |keyword| {
            format!(
                "echo {name} {keyword} $VRRPX_STATE $VRRPX_PREVIOUS >> {}/log; true",
                folder.path().display()
            )
        };
        NotifySettings { stop: hook(line("stop")), any: hook(line("any")), ..NotifySettings::default() }
    };
    let instances = vec![instance("one", 51, notify("one")), instance("two", 52, notify("two"))];
    let (mut notifier, _record) = notifier(&config(instances, vec![]));
    notifier.transition(FIRST, &to(State::Master, 1));
    eventually("the master hooks run", || folder.lines("log").len() == 1).await;
    let end = Transition { from: State::Master, reason: Reason::Shutdown, ..to(State::Init, 2) };
    notifier.transition(FIRST, &end);
    notifier.stop().await;
    let mut log = folder.lines("log");
    log.sort();
    let expected = [
        "one any MASTER BACKUP",
        "one any STOP MASTER",
        "one stop STOP MASTER",
        "two any STOP INIT",
        "two stop STOP INIT",
    ];
    assert_eq!(log, expected);
}

#[tokio::test(flavor = "current_thread")]
async fn the_end_waits_a_second_at_most_and_still_runs_stop_hooks() {
    let folder = Folder::new();
    let notify = NotifySettings {
        master: hook(format!("touch {}; sleep 5; true", folder.file("started").display())),
        stop: hook(format!("touch {}; sleep 3", folder.file("stopped").display())),
        ..NotifySettings::default()
    };
    let (mut notifier, _record) = notifier(&one(notify));
    notifier.transition(FIRST, &Transition { epoch: Epoch(1), ..to(State::Master, 1) });
    eventually("the first hook runs", || folder.file("started").exists()).await;
    let before = clock::now();
    notifier.stop().await;
    let waited = clock::now().since(before);
    assert!(waited < STOP_LIMIT + Duration::from_millis(300), "{waited:?}");
    assert!(folder.file("stopped").exists());
}

#[tokio::test(flavor = "current_thread")]
async fn a_hook_whose_user_is_unknown_silences_no_other_one() {
    let folder = Folder::new();
    let writes = |word: &str| hook(format!("echo {word} >> {}; true", folder.file("log").display()));
    let user = Some(ScriptUser { name: "no such user".into(), group: None });
    let lost = hook("true").map(|hook| NotifyCommand { user, ..hook });
    let first = NotifySettings { master: lost, any: writes("first"), ..NotifySettings::default() };
    let second = NotifySettings { any: writes("second"), ..NotifySettings::default() };
    let both = config(vec![instance("A", 51, first), instance("B", 52, second)], vec![]);
    let (mut notifier, history) = notifier(&both);
    let disabled = || {
        let history = history.read();
        history.disabled.iter().map(|it| format!("{}: {}", it.script, it.why)).collect::<Vec<_>>()
    };
    let expected = ["notify_master of A: there is no user `no such user`"];
    assert_eq!(disabled(), expected);
    for (number, lines) in [(1, 2), (2, 4)] {
        notifier.transition(FIRST, &to(State::Master, number));
        notifier.transition(InstanceId(1), &to(State::Master, number));
        eventually("both hooks ran", || folder.lines("log").len() == lines).await;
        // A reload tries again.
        history.disabled(Vec::new());
        notifier.settle(&both);
        assert_eq!(disabled(), expected);
    }
    let mut lines = folder.lines("log");
    lines.sort();
    assert_eq!(lines, ["first", "first", "second", "second"]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_hook_that_runs_for_long_is_a_problem_until_it_ends() {
    let folder = Folder::new();
    let waits = format!("until [ -e {} ]; do sleep 0.05; done", folder.file("gate").display());
    let notify = || NotifySettings { master: hook(&waits), ..NotifySettings::default() };
    let groups = vec![group("both", vec![FIRST], notify())];
    let context = context(Config { groups, ..one(notify()) });
    let mut notifier = Notifier::new(&context.config, &"node1".into(), &context.history);
    let problems = || {
        let all = overview(&context.status(), View { width: 1000, ..View::default() });
        let lines = all.lines().filter(|line| line.contains("notify_master for MASTER"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let slow = || {
        let text = render(&context, Format::Text).unwrap();
        text.lines().find_map(|line| line.strip_prefix("vrrpx_hooks_slow ")).unwrap().to_owned()
    };
    notifier.transition(FIRST, &to(State::Master, 1));
    notifier.group_transition(GroupId(0), &moved(State::Master, clock::now(), 1));
    watch(RunningHook::PATIENCE - Duration::from_secs(1)).await;
    assert_eq!((problems(), slow().as_str()), (vec![], "0.0"));
    eventually("two problems", || problems().len() == 2).await;
    let shown = problems();
    for (line, about) in shown.iter().zip(["! VI 1: ", "! both: "]) {
        assert!(
            line.starts_with(&format!("{about}notify_master for MASTER has run for 5s, since ")),
            "{line}"
        );
        assert!(line.contains("; it is ended in 55s, "), "{line}");
    }
    assert_eq!(slow(), "2.0");
    std::fs::write(folder.file("gate"), "").unwrap();
    eventually("no problem", || problems().is_empty() && slow() == "0.0").await;
    notifier.stop().await;
}
