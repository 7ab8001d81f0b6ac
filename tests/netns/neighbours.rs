//! Two daemons in one network namespace, each with its own runtime directory.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use vrrp_tests::clock::{pace, until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, Running, vrrpx};
use vrrp_tests::lab::{INTERFACE, VIRTUAL_V4};
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::process::{Directory, Process};
use vrrp_user::driver::abstract_socket;

const DAEMON: Daemon = Daemon::Vrrpx(Mode::Auto);

const WITHOUT: &str = "cannot look for other daemons in order; going on without it";

const OTHER: &str = "10.77.0.201";

const ROUTES: &str = "virtual_routes {\n        198.51.100.0/24 via 10.77.0.254 dev lan0\n    }";

fn first() -> Instance {
    Instance::v3(200).line(ROUTES)
}

fn second() -> Instance {
    Instance::v3(200).vrid(61).addresses(&[&format!("{OTHER}/24")]).line(ROUTES)
}

/// Node 0 with the first daemon, as master.
fn alone() -> Result<Pair> {
    let mut pair = Pair::idle([Role::new(DAEMON, Config::of(first()))])?;
    pair.start(0)?;
    pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
    Ok(pair)
}

/// A second daemon there, as master.
fn beside(pair: &Pair, instance: Instance) -> Result<Running> {
    let running = DAEMON.start_with(pair.node(0)?, &Config::of(instance).to_string())?;
    until("the second daemon as master", SETTLE, || state(&running).is_ok_and(|state| state == "MASTER"))?;
    Ok(running)
}

fn state(running: &Running) -> Result<String> {
    Ok(running.standing()?.0)
}

fn has_route(pair: &Pair) -> bool {
    let shown = pair.node(0).and_then(|node| node.namespace.run("ip", &["route"]));
    shown.is_ok_and(|text| text.contains("198.51.100.0/24"))
}

#[test]
#[needs("ours")]
fn the_same_virtual_router_or_address_is_refused() -> Result<()> {
    alone()?.check(|pair| {
        for (instance, words) in [
            (
                Instance::v3(100).addresses(&["10.77.0.209/24"]),
                "VRID 51 (ipv4) is that of vrrp_instance VI_1",
            ),
            (second().addresses(&[&format!("{VIRTUAL_V4}/32")]), "is an address of vrrp_instance VI_1"),
        ] {
            let mut refused = DAEMON.start_with(pair.node(0)?, &Config::of(instance.clone()).to_string())?;
            let status = refused.process().wait(SETTLE)?;
            ensure!(!status.success(), "it has ended with {status}");
            let log = refused.log();
            let pid = pair.running(0)?.status()?["node"]["pid"].to_string();
            for part in [words, &format!("(pid {pid}, runtime directory "), "on lan0; give it to one of them"]
            {
                ensure!(log.contains(part), "no {part:?} in {log}");
            }
            // So does a reload.
            let mut other = beside(pair, second())?;
            let output = other.reload(&Config::of(instance).to_string())?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(!output.status.success() && said.contains(words), "{said}");
            ensure!(state(&other)? == "MASTER", "it has left its state");
            other.stop()?;
        }
        ensure!(pair.lab.has_address(0, VIRTUAL_V4)?, "the address is gone");
        let log = pair.running(0)?.log();
        ensure!(!log.contains("address 10.77.0.200"), "the address was removed: {log}");
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_route_of_both_is_set_again_without_end() -> Result<()> {
    alone()?.check(|pair| {
        let directory = Directory::new()?;
        let flag = directory.path().join("flag");
        std::fs::write(&flag, "0")?;
        let blocks = format!("track_file flag {{\n    file {}\n    weight 0\n}}\n", flag.display());
        let instances = vec![second().line("track_file {\n        flag\n    }")];
        let file = Config { blocks, instances, ..Config::default() };
        let other = DAEMON.start_with(pair.node(0)?, &file.to_string())?;
        for round in 0..8 {
            until("the second daemon as master", SETTLE, || {
                state(&other).is_ok_and(|state| state == "MASTER")
            })?;
            std::fs::write(&flag, "1")?;
            until("its Fault", SETTLE, || state(&other).is_ok_and(|state| state == "FAULT"))?;
            until(&format!("the route in round {round}"), SETTLE, || has_route(pair))?;
            pace(Duration::from_millis(150));
            std::fs::write(&flag, "0")?;
        }
        let status = pair.running(0)?.status()?;
        ensure!(status["instances"][0]["paths_left_alone"] == false, "the route is left alone");
        // The last removal may still be on its way.
        until("the route at the end", SETTLE, || has_route(pair))
    })
}

/// The second one has a place at tcx long before it has its program there.
#[test]
#[needs("ours")]
fn one_that_starts_slowly_is_no_other_program() -> Result<()> {
    alone()?.check(|pair| {
        let globals = vec!["script_user root".to_owned(), "startup_script \"/bin/sleep 3\"".to_owned()];
        let file = Config { globals, instances: vec![second()], ..Config::default() };
        let other = DAEMON.start_with(pair.node(0)?, &file.to_string())?;
        until("the second daemon as master", SETTLE, || state(&other).is_ok_and(|state| state == "MASTER"))?;
        let log = pair.running(0)?.log();
        ensure!(!log.contains("came before ours"), "{log}");
        Ok(())
    })
}

/// A daemon on node 0 whose files no process outside its mount namespace can reach.
struct Apart {
    process: Process,
    directory: Directory,
}

impl Apart {
    /// With its runtime directory at `runtime_dir`, whose content it alone sees; the directory as well, if it is new.
    fn start(pair: &Pair, instance: Instance, runtime_dir: &Path, mode: Mode) -> Result<Self> {
        let directory = Directory::new()?;
        let file = directory.path().join("vrrpx.conf");
        std::fs::write(&file, Config::of(instance).to_string())?;
        let mut command = pair.node(0)?.namespace.command("unshare")?;
        let mounts = "at=$1; [ -d \"$at\" ] || at=${1%/*}; \
                      mount --make-rprivate / && mount -t tmpfs -o mode=755 none \"$at\"";
        let run = "exec \"$2\" run --config \"$3\" --runtime-dir \"$1\" --xdp-mode \"$4\"";
        let script = format!("{mounts} && {run}");
        command.args(["--mount", "sh", "-c", &script, "sh"]).arg(runtime_dir).arg(vrrpx()).arg(&file);
        command.arg(mode.as_str());
        command.env_remove("NOTIFY_SOCKET");
        let process = Process::start(command, directory.path().join("log"))?;
        Ok(Self { process, directory })
    }

    fn is_refused(&mut self, words: &[&str]) -> Result<()> {
        let status = self.process.wait(SETTLE)?;
        let log = self.process.log();
        ensure!(!status.success(), "it has ended with {status}: {log}");
        words.iter().try_for_each(|word| {
            ensure!(log.contains(word), "no {word:?} in {log}");
            Ok(())
        })
    }
}

#[test]
#[needs("ours")]
fn one_in_another_mount_namespace_is_seen() -> Result<()> {
    alone()?.check(|pair| {
        let place = Directory::new()?;
        let same_place = pair.running(0)?.directory().to_owned();
        let pid = pair.running(0)?.status()?["node"]["pid"].to_string();
        let named = format!("(pid {pid}, runtime directory {})", same_place.display());
        for (instance, place, words) in [
            (
                Instance::v3(100).addresses(&["10.77.0.209/24"]),
                place.path(),
                ["VRID 51 (ipv4) is that of vrrp_instance VI_1", &*named],
            ),
            (
                second().addresses(&[&format!("{VIRTUAL_V4}/32")]),
                place.path(),
                ["is an address of vrrp_instance VI_1", &*named],
            ),
            (second(), &*same_place, ["in another mount namespace", "give each its own --runtime-dir"]),
        ] {
            Apart::start(pair, instance, place, Mode::Auto)?.is_refused(&words)?;
        }
        let mut other = Apart::start(pair, second(), place.path(), Mode::Auto)?;
        pair.wait_for_address(0, OTHER.parse()?, true)?;
        // Each sees the other.
        let output = pair.running(0)?.reload(&Config::of(second()).to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let words = format!(
            "VRID 61 (ipv4) is that of vrrp_instance VI_61 of another vrrpx (pid {}",
            other.process.pid()
        );
        ensure!(!output.status.success() && said.contains(&words), "{said}");
        other.process.signal(Signal::SIGTERM)?;
        other.process.wait(SETTLE)?;
        ensure!(
            pair.lab.has_address(0, VIRTUAL_V4)?,
            "the address is gone: {}",
            other.directory.path().display()
        );
        Ok(())
    })
}

/// Its files and its lock are out of reach, and nothing can connect to it.
#[test]
#[needs("ours", "tc")]
fn one_that_hangs_in_another_mount_namespace_keeps_its_filter() -> Result<()> {
    alone()?.check(|pair| {
        let place = Directory::new()?;
        let runtime_dir = place.path().join("run");
        let mut other = Apart::start(pair, second(), &runtime_dir, Mode::Tc)?;
        pair.wait_for_address(0, OTHER.parse()?, true)?;
        other.process.signal(Signal::SIGSTOP)?;
        let name = |number: u8| format!("vrrpx.daemon:{number}:{}", runtime_dir.display()).into_bytes();
        let namespace = &pair.node(0)?.namespace;
        let refused = namespace.enter(|| {
            let name = (0..64).map(name).find(|name| abstract_socket::join(name).is_ok());
            let name = name.context("it has not announced itself")?;
            Ok((0..100_000).find_map(|_| abstract_socket::join(&name).err()))
        })?;
        ensure!(refused.is_some_and(|error| error.kind() == ErrorKind::WouldBlock), "it accepts more");
        let output = namespace.command(vrrpx())?.arg("cleanup").output()?;
        let filters = namespace.run("tc", &["filter", "show", "dev", INTERFACE, "ingress"])?;
        ensure!(filters.contains(&*runtime_dir.to_string_lossy()), "its filter is gone: {output:?}");
        ensure!(pair.lab.has_address(0, OTHER)?, "its address is gone");
        other.process.signal(Signal::SIGCONT)?;
        other.process.signal(Signal::SIGTERM)?;
        other.process.wait(SETTLE).map(drop)
    })
}

#[test]
#[needs("ours")]
fn of_two_that_start_at_once_one_is_refused() -> Result<()> {
    Pair::idle([Role::new(DAEMON, Config::of(first()))])?.check(|pair| {
        for round in 0..6 {
            let text = Config::of(first()).to_string();
            let node = pair.node(0)?;
            let mut both = [DAEMON.start_with(node, &text)?, DAEMON.start_with(node, &text)?];
            until(&format!("the end of one in round {round}"), SETTLE, || {
                both.iter().any(|it| !it.is_alive())
            })?;
            watch(Duration::from_millis(500));
            let (lives, ended): (Vec<_>, Vec<_>) = both.iter().partition(|it| it.is_alive());
            ensure!(lives.len() == 1, "{} of two live in round {round}", lives.len());
            let log = ended.first().context("none has ended")?.log();
            ensure!(log.contains("VRID 51 (ipv4) is that of vrrp_instance VI_1 of another vrrpx"), "{log}");
            until("the other one as master", SETTLE, || {
                both.iter().any(|it| state(it).is_ok_and(|state| state == "MASTER"))
            })?;
            both.iter_mut().filter(|it| it.is_alive()).try_for_each(|it| it.stop().map(drop))?;
        }
        Ok(())
    })
}

/// A third process has the baton, and keeps it: both wait in vain, and start at the same moment.
#[test]
#[needs("ours")]
fn one_of_two_that_start_without_the_baton_ends() -> Result<()> {
    Pair::idle([Role::new(DAEMON, Config::of(first()))])?.check(|pair| {
        let node = pair.node(0)?;
        let _baton = node.namespace.enter(|| Ok(abstract_socket::listen(b"vrrpx.baton:0")?))?;
        let start = || DAEMON.start_with(node, &Config::of(first()).to_string());
        let mut both = [start()?, start()?];
        let has_ended = |it: &Running| !it.is_alive();
        until("the end of one", 4 * SETTLE, || both.iter().any(has_ended))
            .with_context(|| format!("{}\n---\n{}", both[0].log(), both[1].log()))?;
        watch(Duration::from_millis(500));
        let (ended, lives): (Vec<_>, Vec<_>) = both.iter().partition(|it| has_ended(it));
        ensure!(lives.len() == 1, "{} of two live", lives.len());
        let log = ended.first().context("none has ended")?.log();
        ensure!(log.contains(WITHOUT), "it had the baton: {log}");
        ensure!(log.contains("VRID 51 (ipv4) is that of vrrp_instance VI_1 of another vrrpx"), "{log}");
        until("the other one as master", SETTLE, || {
            both.iter().any(|it| state(it).is_ok_and(|state| state == "MASTER"))
        })?;
        both.iter_mut().filter(|it| it.is_alive()).try_for_each(|it| it.stop().map(drop))
    })
}

/// The slow one has the baton until its script has ended, and answers no earlier. The other one waits for the baton in
/// vain, asks the slow one in vain, and starts; the slow one has looked by then. Either may have the lower process id.
#[test]
#[needs("ours")]
fn one_that_starts_without_the_baton_finds_a_slow_one() -> Result<()> {
    let configs = [first(), second()].map(Config::of);
    Pair::idle(configs.clone().map(|config| Role::new(DAEMON, config)))?.check(|pair| {
        let directory = Directory::new()?;
        let place = |name: &str, node: usize| directory.path().join(format!("{name}{node}"));
        let go = directory.path().join("go");
        let quick = |node: usize| {
            let file = place("conf", node);
            std::fs::write(&file, configs[node].to_string())?;
            let waits = "while [ ! -e \"$1\" ]; do sleep 0.1; done";
            let script = format!("{waits}; exec \"$2\" run --config \"$3\" --runtime-dir \"$4\"");
            let mut command = pair.node(node)?.namespace.command("sh")?;
            command.args(["-c", &script, "sh"]).arg(&go).arg(vrrpx()).arg(&file).arg(place("run", node));
            command.env_remove("NOTIFY_SOCKET");
            Process::start(command, place("log", node))
        };
        let slow = |node: usize| {
            let globals =
                ["script_user root", "startup_script \"/bin/sleep 20\"", "startup_script_timeout 30"];
            let config = Config { globals: globals.map(str::to_owned).into(), ..configs[node].clone() };
            DAEMON.start_with(pair.node(node)?, &config.to_string())
        };
        let before = quick(0)?;
        let mut slow = [slow(0)?, slow(1)?];
        let mut quick = [before, quick(1)?];
        for node in 0..2 {
            let namespace = &pair.node(node)?.namespace;
            until("the slow one with the baton", SETTLE, || {
                namespace.enter(|| Ok(abstract_socket::join(b"vrrpx.baton:0")?)).is_ok()
            })?;
        }
        std::fs::write(&go, "")?;
        for (slow, quick) in slow.iter_mut().zip(&mut quick) {
            let status = quick.wait(4 * SETTLE).with_context(|| quick.log())?;
            let (log, other) = (quick.log(), format!(" of another vrrpx (pid {},", slow.process().pid()));
            ensure!(!status.success() && log.contains(WITHOUT), "it has ended with {status}: {log}");
            ensure!(log.contains("started") && log.contains(&other), "{log}");
            until("the slow one as master", SETTLE, || state(slow).is_ok_and(|it| it == "MASTER"))?;
        }
        Ok(())
    })
}

/// The slow one has the baton until its script has ended, and answers no earlier. The other one is reloaded meanwhile,
/// with what the slow one has.
#[test]
#[needs("ours")]
fn a_reload_without_the_baton_is_undone_when_a_slow_daemon_has_the_same() -> Result<()> {
    alone()?.check(|pair| {
        let globals = ["script_user root", "startup_script \"/bin/sleep 20\"", "startup_script_timeout 30"];
        let config = Config { globals: globals.map(str::to_owned).into(), ..Config::of(second()) };
        let mut slow = DAEMON.start_with(pair.node(0)?, &config.to_string())?;
        let pid = slow.process().pid();
        until("the slow one with the baton", SETTLE, || {
            let namespace = pair.node(0).map(|node| &node.namespace);
            namespace.and_then(|it| it.enter(|| Ok(abstract_socket::join(b"vrrpx.baton:0")?))).is_ok()
        })?;
        let both = Config { instances: vec![first(), second().named("VI_2")], ..Config::default() };
        let output = pair.running(0)?.reload(&both.to_string())?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ensure!(pair.running(0)?.log().contains(WITHOUT), "it had the baton: {}", pair.running(0)?.log());
        let count = |pair: &mut Pair| -> Result<Option<usize>> {
            Ok(pair.running(0)?.status()?["instances"].as_array().map(Vec::len))
        };
        ensure!(count(pair)? == Some(2), "it was not reloaded");
        until("the configuration before", 4 * SETTLE, || count(pair).is_ok_and(|it| it == Some(1)))?;
        let status = pair.running(0)?.status()?["configuration"].to_string();
        let named = format!("VRID 61 (ipv4) is that of vrrp_instance VI_61 of another vrrpx (pid {pid},");
        ensure!(status.contains(&named), "no {named:?} in {status}");
        until("the slow one as master", SETTLE, || state(&slow).is_ok_and(|it| it == "MASTER"))?;
        ensure!(state(pair.running(0)?)? == "MASTER", "the first one has moved");
        Ok(())
    })
}

/// Takes the names of the baton and of daemons, and listens on some of them.
const STRANGER: &str = r"
use Socket;
my @held;
for my $name ((map { qq(vrrpx.baton:$_) } 0..70), (map { qq(vrrpx.daemon:$_:/run/vrrpx) } 0..70)) {
    socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die;
    bind($socket, pack('S a*', AF_UNIX, qq(\0$name))) or die qq($name: $!);
    listen($socket, 0) if $name =~ /[02468]$|daemon/;
    push @held, $socket;
}
print qq(ready\n);
sleep 60;
";

#[test]
#[needs("ours", "perl", "setpriv")]
fn another_user_that_takes_the_names_keeps_no_daemon_out() -> Result<()> {
    Pair::idle([Role::new(DAEMON, Config::of(first()))])?.check(|pair| {
        let directory = Directory::new()?;
        let mut command = pair.node(0)?.namespace.command("setpriv")?;
        command.args(["--reuid", "65534", "--clear-groups", "perl", "-e", &format!("$| = 1;{STRANGER}")]);
        let stranger = Process::start(command, directory.path().join("log"))?;
        until("the stranger", SETTLE, || stranger.log().contains("ready")).with_context(|| stranger.log())?;
        pair.start(0)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        let mut refused = DAEMON.start_with(pair.node(0)?, &Config::of(first()).to_string())?;
        let status = refused.process().wait(SETTLE)?;
        ensure!(!status.success(), "the same virtual router twice: {}", refused.log());
        ensure!(refused.log().contains("is that of vrrp_instance VI_1"), "{}", refused.log());
        Ok(())
    })
}

#[test]
#[needs("ours")]
fn a_daemon_that_ends_is_named_for_what_it_removes() -> Result<()> {
    alone()?.check(|pair| {
        for round in 0..7 {
            let mut other = beside(pair, second())?;
            let pid = other.process().pid();
            let reported = format!("(pid {pid})");
            if round % 2 == 0 {
                other.stop()?;
            } else {
                // Its guard removes what it had.
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                other.process().wait(SETTLE)?;
            }
            until("the route of both", SETTLE, || has_route(pair))?;
            let log = pair.running(0)?.log();
            ensure!(!log.contains("a process that has ended"), "{log}");
            if round % 2 == 0 {
                let is_named = |line: &str| {
                    line.contains("another vrrpx has removed what both have") && line.contains(&reported)
                };
                until("its name", SETTLE, || pair.running(0).is_ok_and(|it| it.log().lines().any(is_named)))
                    .with_context(|| log.clone())?;
            }
        }
        let status = pair.running(0)?.status()?;
        ensure!(status["instances"][0]["paths_left_alone"] == false, "the route is left alone");
        ensure!(status["instances"][0]["removed_by"].is_null(), "{}", status["instances"][0]["removed_by"]);
        Ok(())
    })
}
