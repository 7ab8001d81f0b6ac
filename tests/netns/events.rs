//! Output of `vrrpx events` for a running daemon.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Daemon, Mode, Running, vrrpx};
use vrrp_tests::lab::{Lab, VIRTUAL_V4};
use vrrp_tests::needs;

const SOON: Duration = Duration::from_secs(15);

fn config(directory: &str, priority: u8) -> String {
    format!(
        "global_defs {{\n notify_webhook http://127.0.0.1:1/ retries 0\n}}\n\
         vrrp_check flag {{\n unix {directory}/control.sock\n interval 0.1\n}}\n\
         vrrp_script gone {{\n script \"/bin/test -e {directory}/flag\"\n interval 1\n weight -20\n}}\n\
         vrrp_instance VI_1 {{\n version 3\n interface lan0\n virtual_router_id 51\n priority {priority}\n \
         advert_int 0.1\n virtual_ipaddress {{\n {VIRTUAL_V4}/24\n }}\n track_script {{\n gone\n flag\n }}\n \
         notify_backup /bin/false\n}}\n"
    )
}

fn events(running: &Running, arguments: &[&str]) -> Result<(String, String)> {
    let mut command = Command::new(vrrpx());
    command.arg("events").args(arguments).arg("--runtime-dir").arg(running.directory());
    let output = command.output().context("cannot run vrrpx events")?;
    ensure!(output.status.success(), "vrrpx events: {}", String::from_utf8_lossy(&output.stderr));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&output.stdout), text(&output.stderr)))
}

/// Events after number `since`, by their `event`.
pub(crate) fn reported(running: &Running, since: u64) -> Result<Vec<Value>> {
    let (text, _) = events(running, &["--json", "--since", &since.to_string()])?;
    let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok(lines.into_iter().filter(|line| line["seq"].is_u64()).collect())
}

#[test]
#[needs("ours")]
fn transitions_checks_failures_repairs_and_reloads_are_events_in_order() -> Result<()> {
    let lab = Lab::new(1)?;
    let node = lab.nodes.first().context("no node")?;
    let mut running = Daemon::Vrrpx(Mode::Auto).start_with(node, "global_defs {\n}\n")?;
    let directory = running.directory().display().to_string();
    until("a control socket", SOON, || running.status().is_ok())?;
    running.reload(&config(&directory, 100))?;
    let has = |running: &Running, wanted: &[(&str, &str, Value)]| {
        let all = reported(running, 0).unwrap_or_default();
        let is =
            |it: &Value| wanted.iter().all(|(event, key, value)| it["event"] == *event && it[key] == *value);
        all.iter().any(is)
    };
    let check = |running: &Running| -> Result<()> {
        for (event, key, value) in [
            ("reload", "done", Value::from(true)),
            ("check", "up", Value::from(true)),
            ("check", "outcome", Value::from("exit 1")),
            ("transition", "to", Value::from("BACKUP")),
            ("hook_failed", "end", Value::from("exit 1")),
            ("webhook_failed", "webhook", Value::from("http://127.0.0.1:1")),
            ("transition", "to", Value::from("MASTER")),
        ] {
            let what = format!("{event} with {key} {value}");
            until(&what, SOON, || has(running, &[(event, key, value.clone())]))?;
        }
        node.namespace.ip(&format!("address delete {VIRTUAL_V4}/24 dev lan0"))?;
        let object = Value::from(format!("address {VIRTUAL_V4}"));
        until("a repair", SOON, || has(running, &[("put_back", "object", object.clone())]))
    };
    check(&running).with_context(|| format!("{:#?}\n{}", reported(&running, 0), running.log()))?;
    running.reload("nonsense")?;
    let is_refusal = |it: &Value| it["event"] == "reload" && it["done"] == false;
    until("the refused reload", SOON, || reported(&running, 0).is_ok_and(|all| all.iter().any(is_refusal)))?;
    let all = reported(&running, 0)?;
    // Others may come at any time.
    let refused = all.iter().rfind(|it| is_refusal(it)).context("no event")?;
    ensure!(refused["findings"][0].as_str().is_some_and(|it| it.contains("unknown keyword")), "{refused}");
    let numbers: Vec<u64> = all.iter().filter_map(|it| it["seq"].as_u64()).collect();
    ensure!(numbers.iter().zip(numbers.iter().skip(1)).all(|(one, next)| one + 1 == *next), "{numbers:?}");
    let seen = numbers.first().context("no number")?;
    ensure!(reported(&running, *seen)?.starts_with(&all[1..]), "after a number");
    let (text, gap) = events(&running, &["--since", "7"])?;
    ensure!(text.contains("VI_1: BACKUP -> MASTER (master_silent)"), "{text}");
    ensure!(gap.contains("an unknown number of events before"), "{gap}");
    Ok(())
}
