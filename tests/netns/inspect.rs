//! `vrrpx detect` and `vrrpx trace` on a link with our daemon, keepalived, and forged adverts.

use std::net::Ipv4Addr;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vrrp_ebpf::wire::Family;
use vrrp_ebpf::wire::advert::{AdvertRepr, Dialect};
use vrrp_tests::clock::pace;
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, vrrpx};
use vrrp_tests::lab::INTERFACE;
use vrrp_tests::malformed::Forger;
use vrrp_tests::needs;
use vrrp_tests::packet::{Frame, addresses};
use vrrp_tests::pair::{Pair, Role};
use vrrp_tests::process::Directory;

/// Long enough for some adverts of each, on a busy machine.
const LISTEN: &str = "5s";

/// Node 0 is ours with VRID 51, node 1 is keepalived with VRID 77 and a password.
fn link() -> Result<Pair> {
    let ours = Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(Instance::v3(200)));
    let theirs = Instance::v2(150).vrid(77).pass("secret12").addresses(&["10.77.0.207/24"]);
    let pair = Pair::idle([ours, Role::new(Daemon::Keepalived, Config::of(theirs))])?;
    Ok(pair)
}

/// Runs our program on the client's host.
fn run(pair: &Pair, arguments: &[&str]) -> Result<Output> {
    Ok(pair.lab.client.command(vrrpx())?.args(arguments).output()?)
}

fn text(output: &Output) -> Result<String> {
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout.clone())?)
}

/// An advert of VRID 51, in a frame with a tag of VLAN 7 if `tagged`.
fn forge(pair: &Pair, host: u8, priority: u8, ttl: u8, tagged: bool) -> Result<()> {
    let listed = addresses(Family::V4, 1);
    let advert =
        AdvertRepr::new(51, priority, Dialect::V3 { family: Family::V4, centiseconds: 100 }, &listed)?;
    let source = Ipv4Addr::new(10, 77, 9, host);
    let frame = Frame::to_group(Family::V4).source(source.into()).advert(&advert).ttl(ttl);
    let frame = if tagged { frame.vlan(7) } else { frame };
    Forger::new(&pair.lab.nodes.first().context("no node")?.namespace, 51)?.send_frame(&frame.build())
}

#[test]
#[needs("ours", "keepalived")]
fn each_router_on_a_link_is_listed() -> Result<()> {
    link()?.check(|pair| {
        pair.start(0)?;
        pair.start(1)?;
        pair.wait_for_master(0)?;
        pair.wait_for_address(1, "10.77.0.207".parse()?, true)?;
        let detected = std::thread::scope(|scope| {
            let heard = scope.spawn(|| run(pair, &["detect", INTERFACE, "--for", LISTEN, "--json"]));
            for host in [1, 2, 3] {
                pace(Duration::from_secs(1));
                forge(pair, 9, 90, 64, false)?;
                forge(pair, host, 90, 255, true)?;
            }
            heard.join().map_err(|_| anyhow::anyhow!("detect panicked"))?
        })?;
        let detected: Value = serde_json::from_str(&text(&detected)?)?;
        let routers = detected["routers"].as_array().context("no routers")?;
        let of = |source: &str, vrid: u8| {
            let found = routers.iter().find(|it| it["source"] == source && it["vrid"] == vrid);
            found.with_context(|| format!("no {source} with VRID {vrid}: {detected:#}"))
        };
        let ours = of("10.77.0.1", 51)?;
        ensure!(
            ours["version"] == 3 && ours["priority"] == 200 && ours["interval_seconds"] == 0.1,
            "{ours:#}"
        );
        let measured = ours["measured_seconds"].as_f64().context("not measured")?;
        ensure!((0.08..0.2).contains(&measured), "{ours:#}");
        ensure!(ours["addresses"][0] == "10.77.0.200" && ours["auth"] == "none", "{ours:#}");
        let theirs = of("10.77.0.2", 77)?;
        ensure!(
            theirs["version"] == 2 && theirs["auth"] == "PASS" && theirs["interval_seconds"] == 1.0,
            "{theirs:#}"
        );
        let wrong = of("10.77.9.9", 51)?;
        let notes = wrong["notes"].to_string();
        ensure!(notes.contains("TTL 64 instead of 255"), "{wrong:#}");
        ensure!(notes.contains("10.77.0.1 is master of VRID 51 too"), "{wrong:#}");
        ensure!(of("10.77.9.2", 51)?["vlan"] == 7, "{detected:#}");
        let unheard = detected["unheard_ipv4"].as_array().context("no VRIDs")?;
        ensure!(unheard.len() == 253 && !unheard.contains(&51.into()) && !unheard.contains(&77.into()));

        let table = text(&run(pair, &["detect", INTERFACE, "--for", LISTEN])?)?;
        ensure!(table.contains("VRIDs not heard (IPv4): 1-50, 52-76, 78-255\n"), "{table}");
        ensure!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        let file = text(&run(pair, &["detect", INTERFACE, "--for", LISTEN, "--vrid", "77", "--config"])?)?;
        let config = vrrp_user::config::parse("joined.conf", &file)
            .map_err(|findings| anyhow::anyhow!("{findings:?}\n{file}"))?
            .config;
        let settings = &config.instances.first().context("no instance")?.settings;
        ensure!(settings.vrid.number() == 77 && settings.priority.0 == 140, "{file}");
        ensure!(!file.contains("secret12") && file.contains("10.77.0.207/24"), "{file}");
        let silent = run(pair, &["detect", INTERFACE, "--for", "1s", "--vrid", "5", "--config"])?;
        ensure!(silent.status.code() == Some(1) && silent.stdout.is_empty(), "{silent:?}");
        Ok(())
    })
}

#[test]
#[needs("ours", "keepalived")]
fn adverts_are_shown_with_the_verdict_of_this_node() -> Result<()> {
    link()?.check(|pair| {
        pair.start(0)?;
        pair.start(1)?;
        pair.wait_for_master(0)?;
        pair.wait_for_address(1, "10.77.0.207".parse()?, true)?;
        let directory = Directory::new()?;
        let file = directory.path().join("here.conf");
        let other = Instance::v2(100).vrid(77).pass("another1").addresses(&["10.77.0.207/24"]);
        let here = Config { instances: vec![Instance::v3(100), other], ..Config::default() };
        std::fs::write(&file, here.to_string())?;
        let file = file.to_str().context("a path")?;
        let traced = text(&run(pair, &["trace", "--config", file, "--for", LISTEN])?)?;
        ensure!(traced.lines().all(|line| line.chars().count() <= 80), "{traced}");
        let has = |words: &[&str]| traced.lines().any(|line| words.iter().all(|word| line.contains(word)));
        ensure!(has(&["VI_1 ", "10.77.0.1 v3 200 0.1s 10.77.0.200: better"]), "{traced}");
        ensure!(has(&["VI_77 ", "10.77.0.2 v2 150 1s 10.77.0.207: refused auth_data"]), "{traced}");
        ensure!(traced.matches("it has another password (`auth_pass`)").count() == 1, "{traced}");

        let counted =
            text(&run(pair, &["trace", "VI_1", "--config", file, "--count", "3", "--for", "30s"])?)?;
        ensure!(
            counted.lines().count() == 3 && counted.lines().all(|line| line.contains(" VI_1 ")),
            "{counted}"
        );
        let unknown = run(pair, &["trace", "VI_9", "--config", file])?;
        ensure!(unknown.status.code() == Some(2), "{unknown:?}");
        Ok(())
    })
}
