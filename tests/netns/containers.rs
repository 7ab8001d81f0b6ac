//! Our daemon in containers of a real Docker engine. Its mount namespace, and a bpffs in it, end with the container,
//! while the network namespace continues, as that of the host or of a pod.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::arp::ArpProber;
use vrrp_tests::clock::{poll, realtime, until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, Running, vrrpx};
use vrrp_tests::lab::{Lab, VIRTUAL_V4};
use vrrp_tests::needs;
use vrrp_tests::observe::Observer;
use vrrp_tests::process::Directory;
use vrrp_tests::service::Engine;
use vrrp_tests::starvation::Starvation;

const NAME: &str = "vrrpx";
const PERIOD: Duration = Duration::from_millis(2);
/// Longer than a peer's Master_Down_Interval at 100 ms adverts.
const AWHILE: Duration = Duration::from_millis(700);
/// Time for a container to start on a busy machine and become master.
const START: Duration = Duration::from_secs(30);
/// SYS_ADMIN stands for BPF and PERFMON, which engines before 23 do not know.
const CAPABILITIES: [&str; 5] = ["NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_NICE", "IPC_LOCK"];

/// A daemon in a container on node 0, and one of the same kind on node 1.
struct Scene {
    // Dropped before the lab.
    engine: Engine,
    _heir: Running,
    observer: Observer,
    prober: ArpProber,
    directory: Directory,
    _lab: Lab,
}

impl Scene {
    fn new() -> Result<Self> {
        let lab = Lab::new(2)?;
        let observer = Observer::new(&lab)?;
        let directory = Directory::new()?;
        let config = Config::of(Instance::v3(200)).to_string();
        std::fs::write(directory.path().join("vrrpx.conf"), config)?;
        let engine = Engine::start_in(&lab.nodes.first().context("no node")?.namespace)?;
        let heir = lab.nodes.get(1).context("no node")?;
        let heir = Daemon::Vrrpx(Mode::Auto).start(heir, &Config::of(Instance::v3(100)))?;
        let prober = ArpProber::new(&lab, VIRTUAL_V4.parse::<Ipv4Addr>()?, PERIOD)?;
        Ok(Self { engine, _heir: heir, observer, prober, directory, _lab: lab })
    }

    /// Starts a container without the host's bpffs.
    fn run(&self) -> Result<()> {
        let mut words = vec!["run", "--detach", "--network", "host", "--name", NAME, "--cap-drop", "ALL"];
        CAPABILITIES.iter().for_each(|capability| words.extend(["--cap-add", capability]));
        let program = format!("{}:/bin/vrrpx:ro", vrrpx().canonicalize()?.display());
        let config = format!("{}:/etc/vrrpx:ro", self.directory.path().display());
        let libraries = ["/lib", "/lib64", "/usr/lib"].iter().filter(|path| Path::new(path).exists());
        let libraries: Vec<String> = libraries.map(|path| format!("{path}:{path}:ro")).collect();
        for volume in libraries.iter().chain([&program, &config]) {
            words.extend(["--volume", volume]);
        }
        words.extend(["busybox", "/bin/vrrpx", "run", "--config", "/etc/vrrpx/vrrpx.conf"]);
        self.engine.docker(&words).map(drop)
    }

    /// Waits until the container is the only master and answers, whatever an earlier one has left.
    fn wait_for_master(&self) -> Result<()> {
        self.observer.clear();
        let is_master = until("the container to be the master", START, || {
            self.observer.latest(5) == [0; 5] && self.observer.master() == Some(0)
        });
        is_master
            .and_then(|()| {
                let since = realtime();
                until("its answers", START, || self.prober.answers(0, since) > 50)
            })
            .with_context(|| self.engine.docker(&["logs", NAME]).unwrap_or_default())
    }

    /// Node 0 does not answer after node 1 has become master.
    fn ends_by(&self, words: &[&str]) -> Result<()> {
        let (machine, since) = (Starvation::of_machine()?, realtime());
        self.engine.docker(words)?;
        let heir = self.observer.wait_for_advert(1, since, Duration::from_secs(5))?;
        watch(AWHILE);
        machine
            .until("answers of the heir", Duration::ZERO, || self.prober.answers(1, heir) > 50)
            .with_context(|| format!("{words:?}"))?;
        let answers = self.prober.answers(0, heir);
        ensure!(answers == 0, "{words:?}: node 0 has answered {answers} times after its heir's first advert");
        Ok(())
    }
}

#[test]
#[needs("ours", "dockerd", "docker", "busybox")]
fn a_container_that_ends_in_any_way_leaves_no_second_owner() -> Result<()> {
    let scene = Scene::new()?;
    scene.run()?;
    scene.wait_for_master()?;
    let status = poll("a status", START, || {
        let words = ["exec", NAME, "/bin/vrrpx", "status", "--json"];
        let reported = scene.engine.docker(&words).ok();
        Ok(reported.and_then(|reported| serde_json::from_str::<serde_json::Value>(&reported).ok()))
    })?;
    ensure!(status["interfaces"][0]["receive_path"] == "tc", "{:#}", status["interfaces"]);
    ensure!(status["fence"]["pinned"] == true, "{:#}", status["fence"]);
    scene.ends_by(&["kill", NAME])?;
    scene.engine.docker(&["start", NAME])?;
    scene.wait_for_master()?;
    let since = realtime();
    scene.engine.docker(&["restart", NAME])?;
    scene.wait_for_master()?;
    let twice = scene.prober.answered_twice(since);
    ensure!(twice <= PERIOD * 2, "restart: two nodes have answered for {twice:?}");
    // A container without knowledge of the last one finds what it left.
    scene.ends_by(&["rm", "--force", NAME])?;
    scene.run()?;
    scene.wait_for_master()
}
