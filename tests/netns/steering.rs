//! Orders of an operator to a running pair.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use vrrp_tests::clock::{until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::probe::Prober;
use vrrp_tests::starvation::Starvation;
use vrrp_user::driver::clock;

use crate::{pair, roles, standing};

const OURS: Daemon = Daemon::Vrrpx(Mode::Auto);

/// Several times the master_down_interval of these instances, whose adverts come each 100 ms.
const LONG: Duration = Duration::from_secs(3);

/// Exit code of a refused order.
const REFUSED: i32 = 4;

fn ask(pair: &mut Pair, order: &[&str]) -> Result<Output> {
    pair.running(0)?.ask(order)
}

/// The output of an order that is carried out.
fn steer(pair: &mut Pair, order: &[&str]) -> Result<String> {
    let output = ask(pair, order)?;
    ensure!(output.status.success(), "{order:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The error of an order that is refused.
fn refused(pair: &mut Pair, order: &[&str]) -> Result<String> {
    let output = ask(pair, order)?;
    ensure!(output.status.code() == Some(REFUSED), "{order:?}: {output:?}");
    Ok(String::from_utf8(output.stderr)?)
}

fn instance(pair: &mut Pair) -> Result<Value> {
    pair.running(0)?.instance()
}

/// The state of node 0, and the kinds of its orders.
fn orders(pair: &mut Pair) -> Result<(String, Vec<String>)> {
    let instance = instance(pair)?;
    let orders = instance["steering"].as_array().context("no orders")?;
    let kinds = orders.iter().filter_map(|order| order["what"].as_str()).map(str::to_owned);
    Ok((instance["state"].as_str().context("no state")?.to_owned(), kinds.collect()))
}

fn has(pair: &mut Pair, state: &str, kinds: &[&str]) -> Result<()> {
    let found = orders(pair)?;
    ensure!(found.0 == state && found.1 == kinds, "{found:?} instead of {state} {kinds:?}");
    Ok(())
}

#[test]
#[needs("ours")]
fn an_order_that_a_hung_daemon_did_not_take_is_never_carried_out() -> Result<()> {
    pair(OURS)?.check(|pair| {
        pair.running(0)?.process().signal(Signal::SIGSTOP)?;
        let before = clock::now();
        for order in [&["priority", "VI_1", "50"][..], &["announce"], &["reload"]] {
            let output = ask(pair, order)?;
            let text = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.code() == Some(1) && text.contains("does not answer"), "{order:?}: {text}");
        }
        ensure!(clock::now().since(before) < Duration::from_secs(30), "each takes longer than `status`");
        // A client that sends at once, and gives up.
        let mut client = UnixStream::connect(pair.running(0)?.directory().join("control.sock"))?;
        client.write_all(b"{\"command\":\"priority\",\"name\":\"VI_1\",\"priority\":60}\n")?;
        drop(client);
        pair.running(0)?.process().signal(Signal::SIGCONT)?;
        // The daemon has read the earlier connections when it carries this order out.
        steer(pair, &["priority", "VI_1", "150"])?;
        let instance = instance(pair)?;
        ensure!(instance["priority"]["effective"] == 150, "{instance}");
        let events = String::from_utf8(ask(pair, &["events"])?.stdout)?;
        ensure!(!events.contains("priority 50") && !events.contains("priority 60"), "{events}");
        ensure!(!events.contains("reloaded"), "{events}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_dead_heir_is_taken_over_from_after_a_failover_but_not_in_maintenance() -> Result<()> {
    pair(OURS)?.check(|pair| {
        let own = pair.node(1)?.v4();
        let reported = steer(pair, &["failover", "VI_1", "--force", "--for", "1h", "--reason", "new disk"])?;
        ensure!(reported.contains(&format!("VI_1: {own} is master after ")), "{reported}");
        pair.wait_for_master(1)?;
        has(pair, "BACKUP", &["failover"])?;
        ensure!(instance(pair)?["steering"][0]["reason"] == "new disk");
        // It does not jump back.
        pair.observer.clear();
        watch(LONG);
        ensure!(pair.observer.adverts().iter().all(|(_, node, _)| *node == 1), "node 0 is master again");
        pair.die(1)?;
        pair.wait_for_master(0)?;
        ensure!(instance(pair)?["priority"]["effective"] == 1);
        pair.revive(1)?;
        pair.wait_for_master(1)?;

        let reported = steer(pair, &["maintenance", "on", "VI_1"])?;
        ensure!(reported.starts_with("VI_1: in maintenance until it is taken back"), "{reported}");
        has(pair, "FAULT", &["maintenance"])?;
        pair.die(1)?;
        pair.observer.clear();
        watch(LONG);
        ensure!(pair.observer.adverts().is_empty(), "{:?}", pair.observer.adverts());
        let shown = steer(pair, &["maintenance", "show"])?;
        ensure!(shown.starts_with("VI_1: maintenance until it is taken back, by root (uid 0)"), "{shown}");
        // The dead heir's last advert is too long ago.
        let output = ask(pair, &["status"])?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(
            output.status.code() == Some(20) && text.contains("no router serves its addresses"),
            "{text}"
        );
        let why = refused(pair, &["failover", "VI_1"])?;
        ensure!(
            why.contains("VI_1 is in maintenance") && why.contains("vrrpx maintenance off VI_1"),
            "{why}"
        );
        steer(pair, &["maintenance", "off", "--all"])?;
        pair.wait_for_master(0)?;
        has(pair, "MASTER", &[])
    })
}

/// The heir has not been heard before, but is configured.
#[test]
#[needs("ours")]
fn a_unicast_peer_is_a_known_heir() -> Result<()> {
    let idle = Pair::idle(roles(OURS, Instance::v3(200), Instance::v3(100)))?;
    let (first, second) = (idle.node(0)?.v4(), idle.node(1)?.v4());
    drop(idle);
    let master = Instance::v3(200).unicast(&first, &second);
    let heir = Instance::v3(100).unicast(&second, &first);
    Pair::settled(roles(OURS, master, heir))?.check(|pair| {
        let reported = steer(pair, &["maintenance", "on", "--all"])?;
        ensure!(reported.contains(&format!("; {second} is master after ")), "{reported}");
        pair.wait_for_address(1, VIRTUAL_V4.parse()?, true)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)
    })
}

#[test]
#[needs("ours")]
fn a_master_alone_stays_unless_it_is_forced() -> Result<()> {
    let target: IpAddr = VIRTUAL_V4.parse()?;
    Pair::idle(roles(OURS, Instance::v3(200), Instance::v3(100)))?.check(|pair| {
        pair.start(0)?;
        pair.wait_for_master(0)?;
        let before = standing(pair, 0)?;
        for order in [&["maintenance", "on", "VI_1"][..], &["failover", "VI_1"]] {
            let why = refused(pair, order)?;
            ensure!(
                why.contains("VI_1 is master, and no router is known that would serve its addresses"),
                "{why}"
            );
            ensure!(
                why.contains("no other router of VRID 51 has sent an advert on ") && why.contains("--force")
            );
        }
        ensure!(standing(pair, 0)? == before, "a refused order has moved it");

        let prober = Prober::new(&pair.lab, target, Duration::from_millis(1))?;
        until("answers", SETTLE, || prober.served_by() == Some(0))?;
        let (machine, start) = (Starvation::of_machine()?, pair.mark());
        let why = refused(pair, &["failover", "VI_1", "--force"])?;
        ensure!(why.contains("no other router took over") && why.contains("it is master again"), "{why}");
        pair.wait_for_master(0)?;
        let outage = prober.longest_outage(start);
        let bound = Duration::from_millis(150) + machine.longest();
        ensure!(outage < bound, "no node answered for {outage:?}");
        has(pair, "MASTER", &[])?;
        let it = instance(pair)?;
        ensure!(it["priority"]["effective"] == 200);
        ensure!(it["why"] == "it was to hand over, and no other router took over: it stayed master", "{it}");

        steer(pair, &["maintenance", "on", "VI_1", "--force"])?;
        pair.wait_for_address(0, target, false)?;
        has(pair, "FAULT", &["maintenance"])
    })
}

#[test]
#[needs("ours")]
fn orders_outlive_restarts_and_reloads_and_end_with_their_instance() -> Result<()> {
    pair(OURS)?.check(|pair| {
        steer(pair, &["maintenance", "on", "VI_1", "--for", "2h", "--force"])?;
        steer(pair, &["priority", "VI_1", "180"])?;
        pair.wait_for_master(1)?;
        let held = &["maintenance", "priority"];
        has(pair, "FAULT", held)?;
        let started = |pair: &mut Pair| {
            until("its state", SETTLE, || standing(pair, 0).is_ok_and(|(state, _)| state != "INIT"))
        };
        pair.restart(0, Signal::SIGTERM)?;
        started(pair)?;
        has(pair, "FAULT", held)?;
        pair.restart(0, Signal::SIGKILL)?;
        started(pair)?;
        has(pair, "FAULT", held)?;
        ensure!(pair.hot_restart(0, &[])?.success(), "the old process ended with an error");
        has(pair, "FAULT", held)?;

        let config = |priority, vrid: Option<u8>| {
            let instance = Instance::v3(priority);
            Config::of(vrid.map_or(instance.clone(), |vrid| instance.vrid(vrid))).to_string()
        };
        pair.reload(0, &config(210, None))?;
        has(pair, "FAULT", held)?;
        let before = standing(pair, 0)?;
        let named = |name| Config::of(Instance::v3(210).named(name)).to_string();
        pair.reload(0, &named("web"))?;
        ensure!(instance(pair)?["name"] == "web");
        has(pair, "FAULT", held)?;
        // Its name changes at a hot restart too, and the file of orders has the name at the next start.
        fs::write(pair.running(0)?.directory().join("keepalived.conf"), named("mail"))?;
        ensure!(pair.hot_restart(0, &[])?.success(), "the old process ended with an error");
        ensure!(instance(pair)?["name"] == "mail");
        has(pair, "FAULT", held)?;
        ensure!(standing(pair, 0)? == before, "a name has changed the state: {before:?}");
        let kept = fs::read_to_string(pair.running(0)?.directory().join("steering.json"))?;
        ensure!(kept.contains("\"mail\"") && !kept.contains("\"web\""), "{kept}");
        pair.reload(0, &config(210, None))?;
        has(pair, "FAULT", held)?;
        pair.reload(0, &config(210, Some(52)))?;
        ensure!(instance(pair)?["name"] == "VI_52");
        ensure!(orders(pair)?.1.is_empty(), "{:?}", orders(pair)?);
        pair.reload(0, &config(210, None))?;
        pair.wait_for_master(0)?;
        has(pair, "MASTER", &[])
    })
}

#[test]
#[needs("ours")]
fn an_order_ends_with_its_time() -> Result<()> {
    pair(OURS)?.check(|pair| {
        steer(pair, &["maintenance", "on", "VI_1", "--for", "3s", "--force"])?;
        pair.wait_for_master(1)?;
        pair.wait_for_master(0)?;
        has(pair, "MASTER", &[])?;
        for event in ["VI_1: in maintenance, by root (uid 0)", "VI_1: its time is over: maintenance ended"] {
            until(event, SETTLE, || {
                ask(pair, &["events"]).is_ok_and(|it| String::from_utf8_lossy(&it.stdout).contains(event))
            })?;
        }
        pair.wait_for_log(0, "operator order: in maintenance")?;
        pair.wait_for_log(0, "root (uid 0)")
    })
}

#[test]
#[needs("ours")]
fn another_priority_moves_the_address_and_the_reset_moves_it_back() -> Result<()> {
    pair(OURS)?.check(|pair| {
        let reported = steer(pair, &["priority", "VI_1", "50"])?;
        ensure!(reported == "VI_1: priority 50 instead of 200 until it is taken back\n", "{reported}");
        pair.wait_for_master(1)?;
        let shown = steer(pair, &["status"])?;
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(shown.contains("priority 50 instead of 200"), "{shown}");
        ensure!(shown.contains("priority 50 by order until it is taken back, by root (uid 0)"), "{shown}");
        steer(pair, &["priority", "VI_1", "reset"])?;
        pair.wait_for_master(0)?;
        let why = refused(pair, &["priority", "VI_1", "reset"])?;
        ensure!(why.contains("VI_1 has the priority of the configuration"), "{why}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn members_of_a_sync_group_go_together() -> Result<()> {
    let config = |priority| Config {
        blocks: "vrrp_sync_group both {\n    group {\n        VI_51\n        VI_52\n    }\n}\n".to_owned(),
        instances: vec![
            Instance::v3(priority).vrid(51),
            Instance::v3(priority).vrid(52).addresses(&["10.77.0.201/24"]),
        ],
        ..Config::default()
    };
    let roles = [200, 100].map(|priority| Role::new(OURS, config(priority)));
    Pair::settled(roles)?.check(|pair| {
        let states = |pair: &mut Pair| -> Result<Vec<String>> {
            let status = pair.running(0)?.status()?;
            let instances = status["instances"].as_array().context("no instances")?;
            Ok(instances.iter().filter_map(|it| it["state"].as_str()).map(str::to_owned).collect())
        };
        steer(pair, &["failover", "VI_52", "--force"])?;
        ensure!(states(pair)? == ["BACKUP"; 2], "{:?}", states(pair)?);
        pair.wait_for_master(1)?;
        let reported = steer(pair, &["maintenance", "on", "both"])?;
        ensure!(reported.lines().count() == 2, "{reported}");
        ensure!(states(pair)? == ["FAULT"; 2], "{:?}", states(pair)?);
        let reported = steer(pair, &["maintenance", "off", "VI_51"])?;
        ensure!(reported.lines().count() == 2, "{reported}");
        pair.wait_for_master(0)?;
        ensure!(states(pair)? == ["MASTER"; 2], "{:?}", states(pair)?);
        Ok(())
    })
}

/// An instance in maintenance stays out while others hand over, and a reload that is not kept takes no order away.
#[test]
#[needs("ours")]
fn instances_in_maintenance_stay_out_whatever_others_do() -> Result<()> {
    let second = |priority| Instance::v3(priority).vrid(52).addresses(&["10.77.0.201/24"]);
    let config = |instances: Vec<Instance>| Config { instances, ..Config::default() };
    let both = |priority| config(vec![Instance::v3(priority).vrid(51), second(priority)]);
    let roles = [200, 100].map(|priority| Role::new(OURS, both(priority)));
    Pair::settled(roles)?.check(|pair| {
        steer(pair, &["maintenance", "on", "VI_51", "--force"])?;
        let state = |pair: &mut Pair| -> Result<Value> { Ok(instance(pair)?["state"].clone()) };
        let moves = |pair: &mut Pair| -> Result<usize> {
            let events = pair.running(0)?.ask(&["events", "VI_51", "--kind", "transition"])?;
            Ok(String::from_utf8(events.stdout)?.lines().count())
        };
        until("FAULT", SETTLE, || state(pair).is_ok_and(|state| state == "FAULT"))?;
        let before = moves(pair)?;
        steer(pair, &["maintenance", "on", "--all", "--force"])?;
        ensure!(moves(pair)? == before && state(pair)? == "FAULT", "it took part again");
        steer(pair, &["maintenance", "off", "VI_52"])?;
        until("the second one back", SETTLE, || {
            pair.running(0).and_then(|it| it.status()).is_ok_and(|it| it["instances"][1]["state"] == "MASTER")
        })?;
        let reported = steer(pair, &["maintenance", "on", "--all"])?;
        ensure!(
            reported.contains("VI_52: in maintenance") && reported.contains(" is master after "),
            "{reported}"
        );
        ensure!(moves(pair)? == before && state(pair)? == "FAULT", "it took part again");

        let running = pair.running(0)?;
        let without_first = config(vec![second(200)]).to_string();
        std::fs::write(running.directory().join("keepalived.conf"), without_first)?;
        let done = running.ask(&["reload", "--confirm", "1s"])?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        until("the first one again", SETTLE, || {
            pair.running(0).and_then(|it| it.status()).is_ok_and(|it| it["instances"][1]["name"] == "VI_52")
        })?;
        watch(LONG);
        has(pair, "FAULT", &["maintenance"])
    })
}

#[test]
#[needs("ours")]
fn a_master_announces_again() -> Result<()> {
    let target: IpAddr = VIRTUAL_V4.parse()?;
    pair(OURS)?.check(|pair| {
        let quiet = |pair: &Pair| {
            pair.observer.clear();
            watch(Duration::from_millis(500));
            pair.observer.announcers(target).is_empty()
        };
        until("the end of its announcements", SETTLE, || quiet(pair))?;
        let reported = steer(pair, &["announce"])?;
        ensure!(reported == "VI_1: 1 address announced\n", "{reported}");
        until("an announcement", SETTLE, || pair.observer.announcers(target).contains(&0))?;
        let why = String::from_utf8(pair.running(1)?.ask(&["announce", "VI_1"])?.stderr)?;
        ensure!(why.contains("VI_1 is BACKUP here; only the master announces"), "{why}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn the_log_level_changes_at_run_time_and_outlives_a_restart() -> Result<()> {
    pair(OURS)?.check(|pair| {
        let reported = steer(pair, &["log", "warn", "--for", "1h"])?;
        ensure!(reported.starts_with("log: level warn until "), "{reported}");
        let lines = pair.running(0)?.log().lines().count();
        let config = Config::of(Instance::v3(200)).to_string();
        ensure!(pair.running(0)?.reload(&config)?.status.success());
        ensure!(pair.running(0)?.log().lines().count() == lines, "it still logs at level info");
        ensure!(pair.hot_restart(0, &[])?.success(), "the old process ended with an error");
        let level = pair.running(0)?.status()?["node"]["log"]["value"].clone();
        ensure!(level == "warn", "{level}");
        steer(pair, &["log", "reset"])?;
        ensure!(pair.running(0)?.reload(&config)?.status.success());
        until("a line about the reload", SETTLE, || {
            pair.running(0).is_ok_and(|it| it.log().contains("reloaded"))
        })?;
        let output = ask(pair, &["log", "loud"])?;
        let error = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(2) && error.contains("`loud` is no level"), "{error}");
        Ok(())
    })
}
