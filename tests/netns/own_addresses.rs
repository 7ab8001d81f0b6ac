//! The host's own addresses, removed and set again by another program: a network manager, a script.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::{outage, until, watch};
use vrrp_tests::daemon::{Daemon, Instance, Mode};
use vrrp_tests::lab::{VIRTUAL_V4, VIRTUAL_V6};
use vrrp_tests::pair::{Pair, SETTLE};
use vrrp_tests::probe::Prober;
use vrrp_tests::starvation::{Starvation, but_for_starvation};
use vrrp_tests::{cases, needs};

use crate::{roles, standing, standings};

const DAEMON: Daemon = Daemon::Vrrpx(Mode::Auto);

/// As long as systemd-networkd and NetworkManager need to set an address again, and much longer.
const GAPS: [u64; 3] = [0, 20, 400];

/// Longest time without an answer, with a virtual address that is removed too. The client asks each 2 ms.
const OUTAGE: Duration = Duration::from_millis(60);

/// How another program removes a node's addresses, and sets them again.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The host's own one.
    One,
    /// All of the family, the virtual ones too.
    All,
}

/// The family, its virtual address, and the interval of adverts.
#[derive(Clone, Copy, Debug)]
struct Case {
    is_v6: bool,
    millis: u64,
}

impl Case {
    fn instance(self, priority: u8) -> Instance {
        let instance = if self.is_v6 { Instance::v6(priority) } else { Instance::v3(priority) };
        instance.interval(self.millis)
    }

    fn target(self) -> Result<IpAddr> {
        Ok(if self.is_v6 { VIRTUAL_V6 } else { VIRTUAL_V4 }.parse()?)
    }

    /// The host's addresses of the family, as `ip address add` takes them.
    fn own(self, pair: &Pair, node: usize) -> Result<Vec<String>> {
        let virtuals = [VIRTUAL_V4, VIRTUAL_V6, "fe80::200"];
        let all = pair.node(node)?.addresses()?.into_iter();
        let own = all.filter(|it| it.interface == "lan0" && it.address.contains(':') == self.is_v6);
        let own = own.filter(|it| !virtuals.contains(&&*it.address));
        Ok(own.map(|it| format!("{}/{}", it.address, it.prefix)).collect())
    }

    fn reconfigure(self, pair: &Pair, node: usize, way: Way, gap: u64) -> Result<()> {
        let own = self.own(pair, node)?;
        ensure!(!own.is_empty(), "node {node} has no address of its own");
        let namespace = &pair.node(node)?.namespace;
        match way {
            Way::One => {
                let lines: String = own.iter().map(|it| format!("address del {it} dev lan0\n")).collect();
                namespace.ip(&lines)?;
            }
            Way::All => {
                let family = if self.is_v6 { "-6" } else { "-4" };
                namespace.run("ip", &[family, "address", "flush", "dev", "lan0"]).map(drop)?;
            }
        }
        outage(Duration::from_millis(gap));
        // With duplicate address detection, as network managers set them.
        let lines: String = own.iter().map(|it| format!("address add {it} dev lan0\n")).collect();
        namespace.ip(&lines)?;
        if self.is_v6 {
            until("the end of duplicate address detection", SETTLE, || {
                let shown = namespace.run("ip", &["-6", "address", "show", "dev", "lan0"]);
                shown.is_ok_and(|text| !text.contains("tentative"))
            })?;
        }
        Ok(())
    }
}

/// Whether node 0 is master, and node 1 its backup.
fn is_led(standings: &[(String, u64); 2]) -> bool {
    standings.iter().map(|(state, _)| &**state).eq(["MASTER", "BACKUP"])
}

fn are_unmoved(case: Case) -> Result<()> {
    // Two intervals: with an advert that is just due, they are the peer's patience.
    but_for_starvation(Duration::from_millis(case.millis) * 2, || are_unmoved_once(case))
}

fn are_unmoved_once(case: Case) -> Result<()> {
    Pair::settled(roles(DAEMON, case.instance(200), case.instance(100)))?.check(|pair| {
        for (node, namespace) in pair.lab.nodes.iter().map(|node| &node.namespace).enumerate() {
            // The kernel removes the virtual address with the host's own one.
            for scope in ["all", "lan0"] {
                namespace.sysctl(&format!("ipv4/conf/{scope}/promote_secondaries"), "0")?;
            }
            // Half of all hosts take part in it.
            let _ = namespace.sysctl("ipv6/conf/lan0/accept_dad", if node == 0 { "1" } else { "0" });
        }
        let mut before = standings(pair)?;
        let prober = Prober::new(&pair.lab, case.target()?, Duration::from_millis(2))?;
        until("an answer", SETTLE, || prober.served_by() == Some(0))?;
        pair.observer.clear();
        for way in [Way::One, Way::All] {
            for gap in GAPS {
                for node in [0, 1] {
                    let what = format!("{case:?} {way:?} {gap} ms on node {node}");
                    let (machine, threads) = (Starvation::of_machine()?, Starvation::of_ordinary_threads()?);
                    let since = pair.mark();
                    case.reconfigure(pair, node, way, gap).with_context(|| what.clone())?;
                    watch(Duration::from_millis(300));
                    let outage = prober.longest_outage(since);
                    // An ordinary thread sees that the address is gone, a real-time thread sends adverts.
                    let (stood, waited) = (machine.longest(), threads.longest());
                    ensure!(
                        outage < OUTAGE + waited,
                        "{what}: no answer for {outage:?}, threads waited {waited:?}"
                    );
                    let silence = pair.observer.longest_silence(since).context("no adverts")?;
                    let bound = Duration::from_millis(case.millis) * 2 + Duration::from_millis(20);
                    ensure!(silence < bound + stood, "{what}: adverts are {silence:?} apart, {stood:?}");
                    let now = standings(pair)?;
                    // A master that was suspended for a lease enters its state again, whatever happens to addresses.
                    let has_resumed = stood > Duration::from_millis(case.millis * 2) && is_led(&now);
                    ensure!(now == before || has_resumed, "{what}: a transition: {now:?}, {stood:?}");
                    before = now;
                }
            }
        }
        ensure!(pair.observer.adverts().iter().all(|advert| advert.1 == 0), "node 1 was master");
        ensure!(prober.served_by() == Some(0), "node 0 does not answer");
        Ok(())
    })
}

cases! {
    #[needs("ours")]
    fn an_ipv4_address_set_again_moves_nothing = are_unmoved(Case { is_v6: false, millis: 100 });
    fn an_ipv4_address_set_again_moves_nothing_at_short_intervals = are_unmoved(Case { is_v6: false, millis: 10 });
    fn a_link_local_address_set_again_moves_nothing = are_unmoved(Case { is_v6: true, millis: 100 });
    fn a_link_local_address_set_again_moves_nothing_at_short_intervals = are_unmoved(Case { is_v6: true, millis: 10 });
}

#[test]
#[needs("ours")]
fn unicast_adverts_go_on_without_the_address() -> Result<()> {
    let instance = |priority, own, peer| Instance::v3(priority).unicast(own, peer);
    let (first, second) = (instance(200, "10.77.0.1", "10.77.0.2"), instance(100, "10.77.0.2", "10.77.0.1"));
    Pair::settled(roles(DAEMON, first, second))?.check(|pair| {
        let before = standings(pair)?;
        let case = Case { is_v6: false, millis: 100 };
        for node in [0, 1] {
            for gap in [0, 20, 150] {
                case.reconfigure(pair, node, Way::All, gap)?;
                watch(Duration::from_millis(300));
                let now = standings(pair)?;
                ensure!(now == before, "node {node}, {gap} ms: {now:?}");
            }
        }
        Ok(())
    })
}

/// The first address of a subnet is the source of the host's traffic, and takes the others with it when it is removed.
#[test]
#[needs("ours")]
fn the_host_s_address_is_the_first_of_its_subnet_again_and_outlives_a_mastership() -> Result<()> {
    let second = Instance::v3(200).vrid(52).named("VI_2").addresses(&["10.77.0.201/24", "10.77.0.202/24"]);
    let mut roles = roles(DAEMON, Instance::v3(200), Instance::v3(100));
    roles[0].config.instances.push(second);
    Pair::settled(roles)?.check(|pair| {
        let namespace = &pair.node(0)?.namespace;
        for promotes in ["0", "1"] {
            for scope in ["all", "lan0"] {
                namespace.sysctl(&format!("ipv4/conf/{scope}/promote_secondaries"), promotes)?;
            }
            namespace.run("ip", &["-4", "address", "flush", "dev", "lan0"])?;
            let shown = || namespace.run("ip", &["-4", "address", "show", "dev", "lan0"]).unwrap_or_default();
            let virtuals = ["10.77.0.200/24", "10.77.0.201/24", "10.77.0.202/24"];
            until("the virtual addresses", SETTLE, || virtuals.iter().all(|it| shown().contains(it)))?;
            namespace.ip("address add 10.77.0.1/24 dev lan0")?;
            until("the host's address before the others", SETTLE, || {
                let shown = shown();
                let is_second =
                    |it: &str| shown.lines().any(|line| line.contains(it) && line.contains("secondary"));
                shown.contains("10.77.0.1/24")
                    && !is_second("10.77.0.1/24")
                    && virtuals.iter().all(|it| is_second(it))
            })
            .with_context(shown)?;
            let value = namespace.run("cat", &["/proc/sys/net/ipv4/conf/lan0/promote_secondaries"])?;
            ensure!(value.trim() == promotes, "promote_secondaries is {value}");
        }
        for scope in ["all", "lan0"] {
            namespace.sysctl(&format!("ipv4/conf/{scope}/promote_secondaries"), "0")?;
        }
        let log = pair.running(0)?.log();
        ensure!(!log.contains("FAULT"), "{log}");
        pair.stop(0)?;
        ensure!(pair.lab.has_address(0, "10.77.0.1")?, "the host's own address has gone with a virtual one");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn an_address_that_stays_away_moves_the_master() -> Result<()> {
    Pair::settled(roles(DAEMON, Instance::v3(200), Instance::v3(100)))?.check(|pair| {
        pair.node(0)?.namespace.ip("address del 10.77.0.1/24 dev lan0")?;
        pair.wait_for_master(1)?;
        until("its Fault", SETTLE, || standing(pair, 0).is_ok_and(|(state, _)| state == "FAULT"))?;
        pair.node(0)?.namespace.ip("address add 10.77.0.1/24 dev lan0")?;
        pair.wait_for_master(0)
    })
}
