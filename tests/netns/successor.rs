//! `vrrpx failover --to`: the router that an operator names becomes master, or the order is taken back.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::until;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::{needs, waits};

const OURS: Daemon = Daemon::Vrrpx(Mode::Auto);

/// Exit codes: the order is refused; another router became master.
const REFUSED: i32 = 4;
const OTHER_MASTER: i32 = 6;

fn fail_over(pair: &mut Pair, to: &str, more: &[&str]) -> Result<Output> {
    pair.running(0)?.ask(&[&["failover", "VI_1", "--to", to], more].concat())
}

/// Hands over to a node that is to take it.
fn moves(pair: &mut Pair, node: usize, more: &[&str]) -> Result<()> {
    let to = pair.node(node)?.v4();
    let output = fail_over(pair, &to, more)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ensure!(text.contains(&format!("VI_1: {to} is master after ")), "{text}");
    pair.wait_for_master(node)
}

/// Ends with this code and text, and leaves node 0 master without an order.
fn stays(pair: &mut Pair, to: &str, more: &[&str], code: i32, texts: &[&str]) -> Result<()> {
    let output = fail_over(pair, to, more)?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code), "{to}: {:?}: {text}", output.status);
    let missing: Vec<_> = texts.iter().filter(|it| !text.contains(**it)).collect();
    ensure!(missing.is_empty(), "{missing:?} is not in: {text}");
    let instance = pair.running(0)?.status()?["instances"][0].clone();
    ensure!(instance["steering"].as_array().is_some_and(Vec::is_empty), "{}", instance["steering"]);
    ensure!(instance["state"] == "MASTER", "{instance}");
    pair.wait_for_master(0)
}

fn back(pair: &mut Pair) -> Result<()> {
    ensure!(pair.running(0)?.ask(&["priority", "VI_1", "reset"])?.status.success(), "no reset");
    pair.wait_for_master(0)?;
    until("MASTER", SETTLE, || {
        pair.running(0).and_then(|it| it.status()).is_ok_and(|it| it["instances"][0]["state"] == "MASTER")
    })
}

#[test]
#[needs("ours")]
fn the_named_router_becomes_master_or_mastership_returns() -> Result<()> {
    let roles = [200, 150, 100].map(|priority| Role::new(OURS, Config::of(Instance::v3(priority))));
    Pair::settled_in_turn(roles)?.check(|pair| {
        let [own, better, lower] =
            [0, 1, 2].map(|node| pair.node(node).map(|it| it.v4()).unwrap_or_default());
        // Backups have sent no advert so far.
        let unknown = format!("VI_1: no router {better} of VRID 51 is known");
        stays(pair, &better, &[], REFUSED, &[&unknown, "no other router is known", "--force"])?;
        stays(pair, &own, &[], REFUSED, &[&format!("{own} is this node")])?;
        moves(pair, 1, &["--force", "--for", "1h"])?;
        back(pair)?;
        // Its adverts have shown its priority.
        moves(pair, 1, &[])?;
        back(pair)?;
        let known = format!("known: {better} (priority 150 ");
        stays(pair, &lower, &[], REFUSED, &[&format!("no router {lower} of"), &known])?;
        let other = format!("VI_1: {better} became master, not {lower}");
        let again = "this node competes as before the order: it is master again";
        stays(pair, &lower, &["--force"], OTHER_MASTER, &[&other, again])?;

        // The lower one was master while the better one was away.
        pair.stop(1)?;
        moves(pair, 2, &["--force"])?;
        back(pair)?;
        pair.start(1)?;
        let wins = format!("VI_1: {better} (priority 150 ");
        let loses = format!("would become master, not {lower} (priority 100 ");
        stays(pair, &lower, &[], REFUSED, &[&wins, &loses])?;
        let events = String::from_utf8(pair.running(0)?.ask(&["events"])?.stdout)?;
        let events = events.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(events.contains(&format!("handed over to {better}, which was not asked for")), "{events}");
        Ok(())
    })
}

/// With `nopreempt` this node does not return by itself, and the answer says so.
#[test]
#[needs("ours")]
fn the_answer_says_that_nopreempt_keeps_mastership_away() -> Result<()> {
    let first = Instance::v3(200).line("nopreempt");
    let roles = [first, Instance::v3(150), Instance::v3(100)].map(|it| Role::new(OURS, Config::of(it)));
    Pair::settled_in_turn(roles)?.check(|pair| {
        let (better, lower) = (pair.node(1)?.v4(), pair.node(2)?.v4());
        let output = fail_over(pair, &lower, &["--force"])?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(OTHER_MASTER), "{:?}: {text}", output.status);
        let expected = format!("it is a backup, and nopreempt leaves {better} alone");
        ensure!(text.contains(&expected), "{text}");
        pair.wait_for_master(1)
    })
}

/// The state of node 0, and how many orders are in force.
fn standing(pair: &mut Pair) -> Result<(String, usize)> {
    let instance = pair.running(0)?.status()?["instances"][0].clone();
    let orders = instance["steering"].as_array().context("no orders")?.len();
    Ok((instance["state"].as_str().unwrap_or_default().to_owned(), orders))
}

/// The order waits for a router that does not become master, and a new daemon takes the place of this one: the order is
/// for that router alone, and ends.
#[waits]
#[test]
#[needs("ours")]
fn a_hot_restart_ends_an_order_that_waits_for_the_named_router() -> Result<()> {
    an_order_is_ended("", "MASTER")
}

#[waits]
#[test]
#[needs("ours")]
fn a_hot_restart_ends_an_order_also_with_nopreempt() -> Result<()> {
    an_order_is_ended("nopreempt", "BACKUP")
}

fn an_order_is_ended(line: &str, state: &str) -> Result<()> {
    let first = Instance::v3(200).interval(2000).line(line);
    let others = [150, 100].map(|priority| Instance::v3(priority).interval(2000));
    let [better, lower] = others;
    let roles = [first, better, lower].map(|it| Role::new(OURS, Config::of(it)));
    Pair::settled_in_turn(roles)?.check(|pair| {
        let (better, lower) = (pair.node(1)?.v4(), pair.node(2)?.v4());
        let order = ["failover", "VI_1", "--to", &lower, "--force"];
        let order = pair.running(0)?.follow(&order)?;
        // It waits for four intervals.
        until("the heir", SETTLE, || {
            pair.running(1).and_then(|it| it.instance()).is_ok_and(|it| it["state"] == "MASTER")
        })?;
        ensure!(standing(pair)? == ("BACKUP".to_owned(), 1), "{:?}", standing(pair)?);
        ensure!(pair.hot_restart(0, &[])?.success(), "the old process ended with an error");
        let output = order.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(OTHER_MASTER), "{:?}: {text}", output.status);
        let expected = [
            format!("VI_1: {better} became master, not {lower}"),
            "this node competes as before the order".to_owned(),
            "a hot restart ended the order early".to_owned(),
        ];
        ensure!(expected.iter().all(|it| text.contains(it)), "{text}");
        until(state, SETTLE, || standing(pair).is_ok_and(|it| it == (state.to_owned(), 0)))?;
        pair.wait_for_master(usize::from(state == "BACKUP"))
    })
}

/// No new daemon can know how far it has come.
#[test]
#[needs("ours")]
fn an_order_that_hands_over_refuses_a_hot_restart_and_is_carried_out() -> Result<()> {
    let roles = [200, 150].map(|it| Role::new(OURS, Config::of(Instance::v3(it).interval(1000))));
    Pair::settled_in_turn(roles)?.check(|pair| {
        pair.stop(1)?;
        let order = pair.running(0)?.follow(&["failover", "VI_1", "--force"])?;
        until("the handover", SETTLE, || standing(pair).is_ok_and(|it| it == ("BACKUP".to_owned(), 1)))?;
        let mut client = UnixStream::connect(pair.running(0)?.directory().join("control.sock"))?;
        client.set_read_timeout(Some(SETTLE))?;
        let mut lines = BufReader::new(client.try_clone()?).lines();
        let mut answer = || lines.next().context("the connection is closed")?.context("no answer");
        client.write_all(b"{\"command\":\"hot_restart\"}\n")?;
        ensure!(answer()?.contains("offer"), "no offer");
        client.write_all(b"\"go\"\n")?;
        let refusal = answer()?;
        ensure!(refusal.contains("an order of an operator is being carried out; try again"), "{refusal}");
        let output = order.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(REFUSED), "{:?}: {text}", output.status);
        ensure!(text.contains("no other router took over in time, and it is master again"), "{text}");
        ensure!(standing(pair)? == ("MASTER".to_owned(), 0), "{:?}", standing(pair)?);
        ensure!(pair.hot_restart(0, &[])?.success(), "the old process ended with an error");
        pair.wait_for_master(0)
    })
}

/// It has several addresses, and our `unicast_peer` lists another one than that which it sends from.
#[test]
#[needs("ours")]
fn an_unlisted_address_of_a_unicast_peer_is_named_with_what_to_write() -> Result<()> {
    const OTHER: &str = "10.77.0.22";
    let unicast =
        |priority, own, peer| Role::new(OURS, Config::of(Instance::v3(priority).unicast(own, peer)));
    let mut pair = Pair::idle([unicast(200, "10.77.0.1", "10.77.0.2"), unicast(100, OTHER, "10.77.0.1")])?;
    pair.node(1)?.namespace.ip(&format!("address add {OTHER}/24 dev lan0"))?;
    pair.start(0)?;
    pair.wait_for_master(0)?;
    pair.start(1)?;
    pair.check(|pair| {
        until("a backup", SETTLE, || {
            pair.running(1).and_then(|it| it.status()).is_ok_and(|it| it["instances"][0]["state"] == "BACKUP")
        })?;
        let listed = pair.node(1)?.v4();
        let other = format!("VI_1: {OTHER} became master, not {listed}");
        let advice = format!("{OTHER} is no unicast_peer here; if it is another address of {listed}, write");
        let order = format!("vrrpx failover VI_1 --to {OTHER}");
        stays(pair, &listed, &[], OTHER_MASTER, &[&other, "it is master again", &advice, &order])?;
        // By that name it is known now.
        let output = fail_over(pair, OTHER, &[])?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        pair.wait_for_master(1)
    })
}
