//! Misbehaving check scripts: they fail, are ended with all their children, and adverts continue.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::{poll, until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::Directory;
use vrrp_tests::starvation::Starvation;

/// Mark in the command lines of the scripts' children.
const MARK: &str = "86017.125";

/// Long enough for each script to be started and ended several times.
const WATCH: Duration = Duration::from_secs(4);

/// Time without scripts, for comparison.
const QUIET: Duration = Duration::from_secs(2);

/// Script, its time limit in seconds, its result, and the end of its output.
struct Row {
    name: &'static str,
    limit: u32,
    body: &'static str,
    ended: &'static str,
    printed: &'static str,
}

const ROWS: [Row; 4] = [
    Row {
        name: "hangs",
        limit: 1,
        body: "echo begun; exec sleep MARK",
        ended: "timed out",
        printed: "begun",
    },
    Row {
        name: "ignores_term",
        limit: 1,
        body: "trap '' TERM; while :; do sleep 0.1; done",
        ended: "timed out",
        printed: "",
    },
    // At the speed of a plain pipe this output would end within the script's second.
    Row {
        name: "floods",
        limit: 1,
        body: "exec head -c 1000000000 /dev/zero",
        ended: "timed out",
        printed: r"\x00\x00\x00\x00",
    },
    // On a busy machine, the shell does not start that many in a second.
    Row {
        name: "forks",
        limit: 10,
        body: "for i in $(seq 1000); do sleep MARK & done; wait",
        ended: "more than 256 processes",
        printed: "",
    },
];

#[test]
#[needs("ours")]
fn scripts_that_misbehave_are_bounded_and_reported() -> Result<()> {
    let directory = Directory::private()?;
    let mut blocks = String::new();
    let mut tracks = String::new();
    let mut add = |name: &str, limit: u32, body: &str| -> Result<String> {
        let path = directory.script(name, body)?;
        let times = format!("interval 1\n    timeout {limit}");
        blocks += &format!("vrrp_script {name} {{\n    script {path}\n    {times}\n    weight -1\n}}\n");
        tracks += &format!("        {name}\n");
        Ok(path)
    };
    for row in &ROWS {
        add(row.name, row.limit, &row.body.replace("MARK", MARK))?;
    }
    let vanishing = add("vanishes", 1, "exit 0")?;
    let daemon = Daemon::Vrrpx(Mode::Auto);
    let tracking = Instance::v3(200).line(&format!("track_script {{\n{tracks}    }}"));
    let globals = vec!["script_user root".to_owned()];
    let config = Config { globals, blocks, instances: vec![tracking] };
    Pair::settled([200, 100].map(|it| Role::new(daemon, Config::of(Instance::v3(it)))))?.check(|pair| {
        pair.observer.clear();
        watch(QUIET);
        let quiet = pair.observer.longest_silence(0).context("no adverts")?;
        let machine = Starvation::of_machine()?;
        pair.reload(0, &config)?;
        until("the good check is up", SETTLE, || check(pair, "vanishes").is_ok_and(|it| it["up"] == true))?;
        fs::remove_file(&vanishing)?;
        pair.observer.clear();
        for row in &ROWS {
            let it = poll(row.name, SETTLE, || {
                let it = check(pair, row.name)?;
                Ok((it["up"] == false).then_some(it))
            })?;
            ensure!(it["ended"] == row.ended, "{it}");
            let printed = it["output"].as_str().unwrap_or_default();
            ensure!(printed.ends_with(row.printed) && printed.len() <= 2048, "{it}");
        }
        let gone = "not started: No such file or directory";
        until("the failure of the removed script", SETTLE, || {
            check(pair, "vanishes").is_ok_and(|it| it["ended"] == gone)
        })?;
        watch(WATCH);
        pair.observer.ensure_only(0)?;
        let gap = pair.observer.longest_silence(0).context("no adverts")?;
        let interval = Instance::v3(200).advert_interval();
        let bound = quiet + interval + machine.longest();
        ensure!(gap < bound, "{gap:?} between two adverts, {quiet:?} without scripts");
        pair.stop(0)?;
        let marks = [MARK, directory.path().to_str().context("path")?];
        until("the end of all script processes", SETTLE, || left(marks).is_empty())
    })
}

/// A check of node 0, from its status.
fn check(pair: &mut Pair, name: &str) -> Result<serde_json::Value> {
    let status = pair.running(0)?.status()?;
    let checks = status["checks"].as_array().context("no checks")?;
    checks.iter().find(|check| check["name"] == name).cloned().context("no such check")
}

/// Running processes with a mark in their command line.
fn left(marks: [&str; 2]) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| marks.iter().any(|mark| line.contains(mark))).collect()
}
