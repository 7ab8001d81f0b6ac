//! Checks that run commands, with real processes.

use std::cell::RefCell;
use std::fs;
use std::time::Duration;

use nix::unistd::{Uid, User};
use vrrp_user::config::{CheckSettings, CheckTarget, ScriptCommand, ScriptUser};
use vrrp_user::daemon::probe::attempt::Resolver;
use vrrp_user::daemon::probe::check::{CheckProbe, Outcome, ProbeResult};
use vrrp_user::driver::clock;
use vrrp_user::driver::process::{End, Identity};

use crate::setup::{Folder, alive, eventually, script};

fn probe(settings: &CheckSettings) -> CheckProbe {
    probe_as(settings, Identity::daemon())
}

fn probe_as(settings: &CheckSettings, identity: Identity) -> CheckProbe {
    CheckProbe::new(settings, identity, &Resolver::new()).unwrap()
}

/// The first rounds of a check.
async fn rounds(settings: &CheckSettings, count: usize) -> Vec<ProbeResult> {
    let identity = Identity::resolve(settings.user.as_ref(), None).unwrap();
    let seen = RefCell::new(Vec::new());
    let enough = tokio::sync::Notify::new();
    let probe = probe_as(settings, identity).run(|round| {
        seen.borrow_mut().push(round.clone());
        if seen.borrow().len() == count {
            enough.notify_one();
        }
        true
    });
    let all = async {
        tokio::select! {
            () = probe => unreachable!("a probe never ends"),
            () = enough.notified() => {}
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), all).await;
    assert!(in_time.is_ok(), "only {} rounds", seen.borrow().len());
    seen.into_inner()
}

#[tokio::test(flavor = "current_thread")]
async fn results_change_after_rise_and_fall() {
    let folder = Folder::new();
    let path = folder.path().display();
    // Fails from the third run to the sixth.
    let line = format!("echo x >> {path}/runs; n=$(wc -l < {path}/runs); [ $n -lt 3 -o $n -gt 6 ]");
    let settings = CheckSettings { rise: 2, fall: 3, ..script(1, line) };
    let rounds = rounds(&settings, 9).await;
    let results: Vec<(bool, bool)> = rounds.iter().map(|round| (round.up, round.news)).collect();
    let (steady_up, steady_down) = ((true, false), (false, false));
    assert_eq!(
        results,
        [
            (true, true),
            steady_up,
            steady_up,
            steady_up,
            (false, true),
            steady_down,
            steady_down,
            (true, true),
            steady_up
        ]
    );
    assert_eq!(rounds.last().map(|round| round.runs), Some(9));
}

#[tokio::test(flavor = "current_thread")]
async fn undelivered_news_are_delivered_again() {
    let settings = script(1, "true");
    let seen = RefCell::new(Vec::new());
    let probe = probe(&settings).run(|round| {
        seen.borrow_mut().push(round.news);
        seen.borrow().len() > 2
    });
    tokio::select! {
        () = probe => unreachable!("a probe never ends"),
        () = eventually("four rounds", || seen.borrow().len() >= 4) => {}
    }
    assert_eq!(seen.borrow().get(..4), Some(&[true, true, true, false][..]));
}

#[tokio::test(flavor = "current_thread")]
async fn a_hanging_script_fails_at_its_limit_and_its_whole_group_ends() {
    let folder = Folder::new();
    let path = folder.path().display();
    let line = format!("sleep 100 & echo $! > {path}/child; wait");
    let settings = CheckSettings { timeout: Duration::from_millis(300), ..script(1, line) };
    let round = rounds(&settings, 1).await.remove(0);
    assert_eq!((round.outcome, round.up, round.news), (Outcome::Ended(End::TimedOut), false, true));
    let lasted = round.lasted;
    assert!(lasted >= settings.timeout && lasted < Duration::from_millis(1500), "{lasted:?}");
    let child = folder.lines("child")[0].parse().unwrap();
    eventually("the child of the script ends", || !alive(child)).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_script_deaf_to_sigterm_is_killed_two_seconds_later() {
    let folder = Folder::new();
    let path = folder.path().display();
    let line = format!("trap '' TERM; echo $$ >> {path}/pids; while :; do sleep 0.1; done");
    let settings = CheckSettings { timeout: Duration::from_millis(200), ..script(1, line) };
    let before = clock::now();
    let rounds = rounds(&settings, 2).await;
    assert!(rounds.iter().all(|round| round.outcome == Outcome::Ended(End::TimedOut)));
    let apart = clock::now().since(before).as_millis();
    assert!((2300..4500).contains(&apart), "{apart} ms until the second has reached its limit");
    let pids = || folder.lines("pids").into_iter().map(|line| line.parse().unwrap());
    assert!(!alive(pids().next().unwrap()));
}

#[tokio::test(flavor = "current_thread")]
async fn intervals_during_a_run_are_skipped() {
    let folder = Folder::new();
    let path = folder.path().display();
    let line = format!("echo start >> {path}/log; sleep 0.12; echo end >> {path}/log");
    rounds(&script(1, line), 4).await;
    let log = folder.lines("log");
    assert!(log.chunks(2).take(4).all(|pair| pair == ["start", "end"]), "one at a time: {log:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn the_end_of_a_script_s_output_is_kept() {
    let line =
        "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; echo; printf 'why\\033[1m' >&2; exit 3";
    // Two processes and two megabytes, however busy the machine is.
    let settings = CheckSettings { timeout: Duration::from_secs(25), ..script(1, line) };
    let round = rounds(&settings, 1).await.remove(0);
    assert_eq!((&round.outcome, round.outcome.exit_code()), (&Outcome::Ended(End::Exited(3)), Some(3)));
    let printed = round.printed.unwrap();
    assert!(printed.ends_with("\\x00\nwhy\\x1b[1m"), "{printed}");
    let quiet = rounds(&script(1, "[ -c /dev/stdin ]"), 1).await.remove(0);
    assert_eq!((quiet.outcome, quiet.printed), (Outcome::Ended(End::Exited(0)), None));
}

#[tokio::test(flavor = "current_thread")]
async fn a_flood_of_output_waits_until_the_script_is_ended() {
    let settings = CheckSettings { timeout: Duration::from_millis(300), ..script(1, "yes flood") };
    let round = rounds(&settings, 1).await.remove(0);
    assert_eq!(round.outcome, Outcome::Ended(End::TimedOut));
    let printed = round.printed.unwrap();
    assert!(printed.contains("flood\nflood\n") && printed.len() <= 512, "{printed}");
}

#[tokio::test(flavor = "current_thread")]
async fn too_many_processes_are_ended_at_once() {
    for line in
        ["for i in $(seq 1000); do sleep 100 & done; wait", "for i in $(seq 1000); do sleep 100 & done"]
    {
        let folder = Folder::new();
        let line = format!("echo $$ >> {}; {line}", folder.file("groups").display());
        let settings = CheckSettings { timeout: Duration::from_secs(20), ..script(1, line) };
        // The next run begins when the processes of the first have ended.
        for round in rounds(&settings, 2).await {
            assert_eq!(round.outcome, Outcome::Ended(End::Crowded));
        }
        let group = nix::unistd::Pid::from_raw(folder.lines("groups")[0].parse().unwrap());
        let is_gone = || nix::sys::signal::killpg(group, None).is_err();
        eventually("the whole group ends", is_gone).await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn background_processes_of_a_script_may_go_on_printing() {
    let folder = Folder::new();
    let mark = folder.file("mark");
    let line = format!("(sleep 0.3; echo late; echo late; echo $? > {}) & exit 0", mark.display());
    let settings = CheckSettings { interval: Duration::from_secs(60), ..script(1, line) };
    let probe = probe(&settings).run(|_| true);
    tokio::select! {
        () = probe => unreachable!("a probe never ends"),
        () = eventually("the rest has printed", || !folder.lines("mark").is_empty()) => {}
    }
    assert_eq!(folder.lines("mark"), ["0"]);
}

#[tokio::test(flavor = "current_thread")]
async fn no_descriptor_but_the_three_streams_is_inherited() {
    let folder = Folder::new();
    let file = fs::File::create(folder.file("open")).unwrap();
    // Unlike the standard library's descriptors, this one would survive exec.
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let line = format!("ls -l /proc/$$/fd > {}", folder.file("fds").display());
    rounds(&script(1, line), 1).await;
    let held = folder.lines("fds").iter().any(|line| line.ends_with("/open"));
    assert!(!held && folder.lines("fds").len() >= 4, "{:?}", folder.lines("fds"));
    drop(file);
}

#[tokio::test(flavor = "current_thread")]
async fn runs_as_its_user_without_further_groups() {
    if !Uid::effective().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let folder = Folder::new();
    let out = folder.file("out");
    fs::write(&out, "").unwrap();
    let nobody = User::from_name("nobody").unwrap().unwrap();
    nix::unistd::chown(&out, Some(nobody.uid), None).unwrap();
    let line = format!("grep -E '^(Uid|Gid|Groups|CapEff)' /proc/$$/status > {}", out.display());
    let user = Some(ScriptUser { name: "nobody".into(), group: None });
    rounds(&CheckSettings { user, ..script(1, line) }, 1).await;
    let (uid, gid) = (nobody.uid, nobody.gid);
    let lines: Vec<String> = folder.lines("out").iter().map(|line| line.trim_end().to_owned()).collect();
    let expected = [
        format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"),
        format!("Gid:\t{gid}\t{gid}\t{gid}\t{gid}"),
        "Groups:".to_owned(),
        "CapEff:\t0000000000000000".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(flavor = "current_thread")]
async fn starts_with_default_signals_and_leaves_the_daemon_as_it_was() {
    let status = |field: &str| {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        status.lines().find(|line| line.starts_with(field)).map(str::to_owned)
    };
    let before = ["Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt"].map(status);
    let folder = Folder::new();
    let line = format!("cat /proc/self/status > {}", folder.file("out").display());
    rounds(&script(1, line), 1).await;
    for field in ["SigBlk:", "SigIgn:", "SigCgt:"] {
        let line = folder.lines("out").into_iter().find(|line| line.starts_with(field)).unwrap();
        let set = u64::from_str_radix(line.trim_start_matches(field).trim(), 16).unwrap();
        // Of the signals above the 31 standard ones, the C library reserves some.
        assert_eq!(set & 0x7fff_ffff, 0, "{line}");
    }
    let user = Some(ScriptUser { name: "nobody".into(), group: None });
    if Uid::effective().is_root() {
        rounds(&CheckSettings { user, ..script(1, "true") }, 1).await;
    }
    assert_eq!(["Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt"].map(status), before);
    assert!(nix::sys::prctl::get_dumpable().unwrap(), "core dumps are still enabled");
}

#[tokio::test(flavor = "current_thread")]
async fn a_script_without_an_interpreter_is_the_shell_s() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let path = folder.file("bare.sh");
    fs::write(&path, "[ \"$1\" = 'a b' ]\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let words = [path.to_str().unwrap(), "a b"].map(Into::into).to_vec();
    let target = CheckTarget::Command(ScriptCommand::Direct(words));
    let settings = CheckSettings { target, ..script(1, "") };
    assert_eq!(rounds(&settings, 1).await[0].outcome, Outcome::Ended(End::Exited(0)));
}

#[tokio::test(flavor = "current_thread")]
async fn a_dropped_probe_ends_its_script() {
    let folder = Folder::new();
    let line = format!("echo $$ > {}; exec sleep 100", folder.file("pid").display());
    let probe = probe(&script(1, line)).run(|_| true);
    let started = eventually("the script starts", || !folder.lines("pid").is_empty());
    tokio::select! {
        () = probe => unreachable!("a probe never ends"),
        () = started => {}
    }
    let pid = folder.lines("pid")[0].parse().unwrap();
    eventually("the script ends", || !alive(pid)).await;
}
