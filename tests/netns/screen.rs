//! `vrrpx status` and `vrrpx is-master`: who is master, why, and what is wrong now.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use vrrp_tests::clock::{poll_each, until};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::Directory;

const SUBJECT: Daemon = Daemon::Vrrpx(Mode::Auto);

/// A cause shows within this time.
const SHOWN: Duration = Duration::from_secs(2);

/// Between two looks, each of which is a command.
const PAUSE: Duration = Duration::from_millis(20);

/// More, where the machine is busy with other tests.
const SLACK: Duration = Duration::from_secs(3);

const WELL: i32 = 0;
const LOOK: i32 = 10;
const BAD: i32 = 20;

fn role(instance: Instance) -> Role {
    Role::new(SUBJECT, Config::of(instance))
}

/// The screen of a node without its line breaks, and the exit code.
fn screen(pair: &mut Pair, node: usize) -> Result<(String, Option<i32>)> {
    let output = pair.running(node)?.ask(&["status"])?;
    let text = String::from_utf8(output.stdout)?;
    let wide = text.lines().find(|line| line.chars().count() > 80);
    ensure!(wide.is_none(), "wider than 80 columns: {wide:?}");
    Ok((text.split_whitespace().collect::<Vec<_>>().join(" "), output.status.code()))
}

/// Waits until the screen of a node has these words, and no others of `without`, and the command this exit code.
fn shows(pair: &mut Pair, node: usize, words: &[&str], without: &[&str], code: i32) -> Result<()> {
    let mut shown = (String::new(), None);
    let awaited = poll_each(PAUSE, "the screen", SHOWN + SLACK, || {
        shown = screen(pair, node)?;
        let (text, ended) = &shown;
        let is_complete = words.iter().all(|word| text.contains(word));
        let is_it = is_complete && !without.iter().any(|word| text.contains(word)) && *ended == Some(code);
        Ok(is_it.then_some(()))
    });
    awaited.with_context(|| {
        let (text, ended) = shown;
        format!(
            "{words:?} without {without:?} and code {code} expected, and this came, code {ended:?}: {text}"
        )
    })
}

#[test]
#[needs("ours")]
fn a_healthy_pair_has_no_problem_and_a_dead_master_is_the_reason() -> Result<()> {
    Pair::settled_in_turn([role(Instance::v3(200)), role(Instance::v3(100))])?.check(|pair| {
        let of_master = [
            "no problem",
            "no master was heard when it took over",
            "10.77.0.200/24 on lan0, would answer; priority",
        ];
        shows(pair, 0, &of_master, &["!"], WELL)?;
        let of_backup =
            ["no problem", "is master: 200 against our 100; takes over in ", "10.77.0.200/24 at 10.77.0.1"];
        shows(pair, 1, &of_backup, &["!"], WELL)?;
        let code = |pair: &mut Pair, node: usize, name: &str| -> Result<Option<i32>> {
            Ok(pair.running(node)?.ask(&["is-master", name])?.status.code())
        };
        ensure!(code(pair, 0, "VI_1")? == Some(0), "node 0 is no master");
        ensure!(code(pair, 1, "VI_1")? == Some(1), "node 1 is master");
        ensure!(code(pair, 1, "VI_2")? == Some(2), "an unknown name is no mistake");
        let answers = |pair: &mut Pair, state: &str| -> Result<()> {
            let json = pair.running(1)?.ask(&["is-master", "VI_1", "--json"])?;
            let answer: Value = serde_json::from_slice(&json.stdout)?;
            ensure!(json.status.code() == Some(1) && answer["is_master"] == false, "{answer}");
            ensure!(answer["master"] == "10.77.0.1" && answer["state"] == state, "{answer}");
            Ok(())
        };
        answers(pair, "BACKUP")?;
        pair.running(1)?.ask(&["maintenance", "on", "VI_1"])?;
        answers(pair, "FAULT")?;
        pair.running(1)?.ask(&["maintenance", "off", "VI_1"])?;
        // Its adverts of before are no second mastership.
        pair.reload(1, &Config::of(Instance::v3(250)))?;
        pair.wait_for_master(1)?;
        let (text, code) = screen(pair, 1)?;
        ensure!(!text.contains("is master too") && code != Some(BAD), "{code:?}: {text}");
        pair.reload(1, &Config::of(Instance::v3(100)))?;
        pair.wait_for_master(0)?;
        pair.die(0)?;
        pair.wait_for_master(1)?;
        shows(pair, 1, &["MASTER", "10.77.0.1 fell silent", "10.77.0.200/24 on lan0"], &["!"], WELL)
    })
}

#[test]
#[needs("ours")]
fn a_backup_names_what_keeps_it_from_taking_over() -> Result<()> {
    Pair::settled_in_turn([role(Instance::v3(200)), role(Instance::v3(100))])?.check(|pair| {
        pair.reload(1, &Config::of(Instance::v3(250).line("nopreempt")))?;
        let left_alone =
            "10.77.0.1 is master with 200; ours is 250, but nopreempt leaves it alone; takes over in ";
        shows(pair, 1, &[left_alone], &["!"], WELL)?;
        pair.reload(1, &Config::of(Instance::v3(250).line("preempt_delay 60")))?;
        let endured = "10.77.0.1 is master with 200; ours is 250: preempt_delay, would move in 5";
        shows(pair, 1, &[endured], &["!"], WELL)?;
        pair.reload(1, &Config::of(Instance::v3(200)))?;
        shows(pair, 1, &["10.77.0.1 is master: 200 as ours"], &["preempt"], WELL)
    })
}

/// Each cause while it lasts, also where another one began the Fault.
#[test]
#[needs("ours")]
fn a_fault_names_the_cause_of_now() -> Result<()> {
    let directory = Directory::new()?;
    let sign = directory.path().join("down");
    let script = directory.path().join("check.sh");
    fs::write(&script, format!("if [ -e {} ]; then echo disk is full; exit 3; fi\n", sign.display()))?;
    let block = format!(
        "vrrp_script web {{\n    script \"/bin/sh {}\"\n    interval 1\n    fall 1\n    rise 1\n}}\n",
        script.display()
    );
    let tracking = Instance::v3(200).line("track_script {\n        web\n    }");
    let config =
        Config { blocks: block, globals: vec!["script_user root".to_owned()], ..Config::of(tracking) };
    Pair::settled_in_turn([Role::new(SUBJECT, config), role(Instance::v3(100))])?.check(|pair| {
        pair.lab.set_cable(0, false)?;
        shows(pair, 0, &["FAULT", "the link of lan0 is down"], &["web"], BAD)?;
        fs::write(&sign, "")?;
        let both =
            ["the link of lan0 is down", "check web is down: keeps it in FAULT", "printed: disk is full"];
        shows(pair, 0, &both, &[], BAD)?;
        pair.lab.set_cable(0, true)?;
        shows(pair, 0, &["FAULT", "check web is down: exit 3"], &["link"], BAD)?;
        fs::remove_file(&sign)?;
        shows(pair, 0, &["MASTER", "no problem"], &["!", "web"], WELL)?;
        let node = pair.node(0)?;
        let own = format!("{}/24", node.v4());
        node.namespace.ip(&format!("address del {own} dev lan0"))?;
        shows(pair, 0, &["FAULT", "lan0 has no IPv4 address to send adverts from"], &[], BAD)?;
        pair.node(0)?.namespace.ip(&format!("address add {own} dev lan0"))?;
        shows(pair, 0, &["MASTER", "no problem"], &["!"], WELL)
    })
}

#[test]
#[needs("ours")]
fn a_member_in_fault_is_named_by_the_others_of_its_group() -> Result<()> {
    let other = Instance::v3(200).vrid(52).named("VI_2").addresses(&["10.77.0.202/24"]);
    let other = other.line("track_interface {\n        uplink\n    }");
    let config = Config {
        blocks: "vrrp_sync_group both {\n    group {\n        VI_1\n        VI_2\n    }\n}\n".to_owned(),
        instances: vec![Instance::v3(200), other],
        ..Config::default()
    };
    Pair::idle([Role::new(SUBJECT, config)])?.check(|pair| {
        let namespace = &pair.node(0)?.namespace;
        namespace.ip("link add uplink type veth peer name far\nlink set uplink up\nlink set far up")?;
        pair.start(0)?;
        pair.wait_for_master(0)?;
        pair.node(0)?.namespace.ip("link set far down")?;
        let words = ["VI_2 of its sync group both is in FAULT", "interface uplink is down"];
        shows(pair, 0, &words, &[], BAD)?;
        let code = |pair: &mut Pair| pair.running(0)?.ask(&["is-master", "both"]).map(|it| it.status.code());
        ensure!(code(pair)? == Some(1), "the group is master");
        pair.node(0)?.namespace.ip("link set far up")?;
        shows(pair, 0, &["MASTER", "no problem"], &["!"], WELL)?;
        ensure!(code(pair)? == Some(0), "the group is no master");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn two_masters_and_a_lowered_priority_are_problems() -> Result<()> {
    let blocks =
        "vrrp_script never {\n    script \"/bin/false\"\n    interval 1\n    fall 1\n    weight -10\n}\n";
    let tracking = Instance::v2(200).pass("one").line("track_script {\n        never\n    }");
    let config = Config {
        blocks: blocks.to_owned(),
        globals: vec!["script_user root".to_owned()],
        ..Config::of(tracking)
    };
    let other = role(Instance::v2(100).pass("another"));
    Pair::idle([Role::new(SUBJECT, config), other])?.check(|pair| {
        pair.start(0)?;
        pair.wait_for_master(0)?;
        shows(pair, 0, &["check never is down: weight -10", "priority 190 instead of 200"], &[], LOOK)?;
        pair.start(1)?;
        until("both masters", SETTLE, || {
            pair.running(1).and_then(|it| it.status()).is_ok_and(|it| it["instances"][0]["state"] == "MASTER")
        })?;
        shows(pair, 0, &["10.77.0.2 is not heard: two masters: it has another password"], &[], BAD)?;
        // A program reads the state from JSON.
        ensure!(pair.running(0)?.ask(&["status", "--json"])?.status.success(), "JSON with an exit code");
        let detail = pair.running(0)?.ask(&["status", "VI_1"])?;
        let detail = String::from_utf8(detail.stdout)?;
        let has = |word: &&str| detail.contains(word);
        ensure!(["CHECK", "realtime", "ADDRESS", "announced "].iter().all(has), "{detail}");
        let wide = detail.lines().find(|line| line.chars().count() > 80);
        ensure!(wide.is_none(), "wider than 80 columns: {wide:?}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn watching_ends_with_its_reader() -> Result<()> {
    Pair::settled([role(Instance::v3(200))])?.check(|pair| {
        let mut watching = pair.running(0)?.follow(&["status", "--watch"])?;
        let mut first = String::new();
        let mut output = BufReader::new(watching.stdout.take().context("no output")?);
        output.read_line(&mut first)?;
        drop(output);
        let ended = until("the end", SETTLE, || watching.try_wait().is_ok_and(|ended| ended.is_some()));
        watching.kill()?;
        watching.wait()?;
        ensure!(first.contains("vrrpx"), "{first}");
        ended
    })
}

/// No old screen is repeated as the present one.
#[test]
#[needs("ours")]
fn watching_a_hung_daemon_counts_the_time_without_an_answer() -> Result<()> {
    Pair::settled([role(Instance::v3(200))])?.check(|pair| {
        let mut watching = pair.running(0)?.follow(&["status", "--watch"])?;
        let outcome = follow_silence(pair, &mut watching);
        watching.kill()?;
        watching.wait()?;
        outcome
    })
}

fn follow_silence(pair: &mut Pair, watching: &mut Child) -> Result<()> {
    let screens = lines(watching.stdout.take().context("no output")?);
    let errors = lines(watching.stderr.take().context("no errors")?);
    let next = |lines: &Receiver<String>| lines.recv_timeout(SETTLE).context("no line");
    next(&screens)?;
    pair.running(0)?.process().signal(Signal::SIGSTOP)?;
    let mut seconds = Vec::new();
    while seconds.len() < 8 {
        let line = next(&errors)?;
        let count = line.strip_prefix("vrrpx: the daemon has not answered for ");
        let count =
            count.and_then(|it| it.strip_suffix(" s; it is stopped or hangs")).context(line.clone())?;
        seconds.push(count.parse::<u64>()?);
    }
    ensure!(seconds.first() == Some(&2) && seconds.is_sorted(), "{seconds:?}");
    while screens.try_recv().is_ok() {}
    ensure!(screens.recv_timeout(Duration::from_millis(1500)).is_err(), "a screen of a stopped daemon");
    pair.running(0)?.process().signal(Signal::SIGCONT)?;
    let after = next(&screens)?;
    ensure!(after.contains("vrrpx"), "{after}");
    Ok(())
}

/// The lines of an output, as they come.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        lines.into_iter().try_for_each(|line| sender.send(line))
    });
    receiver
}
