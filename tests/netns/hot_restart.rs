//! Hot restart by `vrrpx run --hot-restart`, noticed by neither the peer nor a client.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use serde_json::Value;
use vrrp_tests::clock::{elapse, outage, pace, poll, until, watch};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::observe::Advert;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::probe::Prober;
use vrrp_tests::process::{Directory, Process};
use vrrp_tests::service::Systemd;
use vrrp_tests::starvation::{Starvation, but_for_starvation};
use vrrp_tests::{cases, needs};

use crate::fence::name;
use crate::{ensure_unmoved, pair, standing, standings};

/// Long enough for adverts of the peer to show.
const AFTERWARDS: Duration = Duration::from_millis(800);

/// Node 0 is restarted; the peer receives its adverts without interruption.
fn survives(mode: Mode, instances: [Instance; 2]) -> Result<()> {
    let daemon = Daemon::Vrrpx(mode);
    let address = *instances[0].virtual_addresses().last().context("no address")?;
    let roles = instances.map(|instance| Role::new(daemon, Config::of(instance)));
    Pair::settled(roles)?.check(|pair| {
        pair.wait_for_address(0, address, true)?;
        let before = standings(pair)?;
        let prober = Prober::new(&pair.lab, address, Duration::from_millis(1))?;
        until("answers", SETTLE, || prober.served_by() == Some(0))?;
        pair.observer.wait_for_quiet(SETTLE)?;
        pair.observer.clear();
        let (machine, threads) = (Starvation::of_machine()?, Starvation::of_ordinary_threads()?);
        let start = pair.mark();
        ensure!(pair.hot_restart(0, &[])?.success(), "the old process ended with an error");
        watch(AFTERWARDS);
        if mode == Mode::Native {
            let status = pair.running(0)?.status()?;
            ensure!(status["interfaces"][0]["receive_path"] == "native", "{:#}", status["interfaces"]);
        }
        ensure_unmoved(pair, &before)?;
        let adverts = pair.observer.adverts();
        pair.observer.ensure_only(0)?;
        ensure!(adverts.iter().all(|(.., advert)| advert.priority != 0), "an advert of priority 0 was sent");
        let gap = pair.observer.longest_silence(0).context("no adverts")?;
        ensure!(gap < Duration::from_millis(150) + machine.longest(), "no advert for {gap:?}");
        ensure!(pair.observer.announcers(address).is_empty(), "addresses were announced again");
        let outage = prober.longest_outage(start);
        let stood = threads.longest();
        ensure!(outage < Duration::from_millis(10) + stood, "no node answered for {outage:?}, {stood:?}");
        // It is locked like any other daemon: no second one can start beside it.
        ensure_locked(pair.running(0)?.directory())?;
        ensure!(pair.stop(0)?.success(), "the newer process ended with an error");
        pair.wait_for_master(1)?;
        pair.wait_for_address(0, address, false)
    })
}

fn ensure_locked(runtime_dir: &Path) -> Result<()> {
    let lock = File::open(runtime_dir.join("vrrpx.lock"))?;
    ensure!(
        Flock::lock(lock, FlockArg::LockExclusiveNonblock).is_err(),
        "the runtime directory is not locked"
    );
    Ok(())
}

cases! {
    #[needs("ours")]
    fn a_master_stays_master = survives(Mode::Auto, [200, 100].map(Instance::v3));
    fn a_master_stays_master_over_ipv6 = survives(Mode::Auto, [200, 100].map(Instance::v6));
    fn a_master_stays_master_on_the_native_hook = survives(Mode::Native, [200, 100].map(Instance::v3));
    fn a_master_stays_master_with_a_tc_filter = survives(Mode::Tc, [200, 100].map(Instance::v3));
    fn a_master_stays_master_on_sockets = survives(Mode::Socket, [200, 100].map(Instance::v3));
}

#[test]
#[needs("ours")]
fn a_master_stays_master_with_a_virtual_mac_address_and_signed_adverts() -> Result<()> {
    let instance =
        |priority| Instance::v3(priority).line("use_vmac").hmac(&["key 1 00112233445566778899aabbccddeeff"]);
    survives(Mode::Auto, [instance(200), instance(100)])
}

#[test]
#[needs("ours")]
fn a_backup_stays_backup_and_still_notices_a_death() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Auto))?.check(|pair| {
        let before = standing(pair, 1)?;
        pair.observer.clear();
        for _ in 0..3 {
            ensure!(pair.hot_restart(1, &[])?.success(), "the old process ended with an error");
        }
        watch(AFTERWARDS);
        ensure!(standing(pair, 1)? == before, "the state or epoch has changed: {before:?}");
        pair.observer.ensure_only(0)?;
        pair.die(0)?;
        pair.wait_for_master(1)?;
        pair.wait_for_address(1, VIRTUAL_V4.parse()?, true)
    })
}

#[test]
#[needs("ours")]
fn a_broken_file_leaves_the_old_process() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Auto))?.check(|pair| {
        let before = standing(pair, 0)?;
        let file = pair.running(0)?.directory().join("keepalived.conf");
        let text = fs::read_to_string(&file)?;
        pair.observer.clear();
        fs::write(&file, text.replace("priority", "priorty"))?;
        let mut broken = pair.successor(0)?;
        ensure!(broken.wait(SETTLE)?.code() == Some(4), "{}", broken.log());
        // A newer process with other addresses would leave those of the old one behind.
        fs::write(&file, text.replace(VIRTUAL_V4, "10.77.0.201"))?;
        let mut other = pair.successor(0)?;
        ensure!(other.wait(SETTLE)?.code() == Some(1), "{}", other.log());
        ensure!(other.log().contains("reload it first"), "{}", other.log());
        fs::write(&file, text)?;
        watch(AFTERWARDS);
        pair.ensure_alive()?;
        ensure!(standing(pair, 0)? == before, "the old process has changed its state");
        pair.observer.ensure_only(0)?;
        let address: IpAddr = VIRTUAL_V4.parse()?;
        pair.wait_for_address(0, address, true)
    })
}

/// Several hot restarts at once end with one daemon, which answers on the control socket.
#[test]
#[needs("ours")]
fn simultaneous_hot_restarts_leave_one_daemon() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Auto))?.check(|pair| {
        let before = standings(pair)?;
        let mut all = vec![];
        for _ in 0..4 {
            all.push(pair.successor(0)?);
            pace(Duration::from_millis(30));
        }
        until("one remaining process", SETTLE, || {
            !pair.running(0).is_ok_and(|it| it.process().is_alive())
                && all.iter_mut().filter(|next| next.is_alive()).count() == 1
        })?;
        let last = all.iter().find(|next| next.is_alive()).context("all have ended")?;
        let pid = u64::try_from(last.pid().as_raw())?;
        let running = pair.running(0)?;
        let answers = |status: Value| status["node"]["pid"] == pid && status["fence"]["guard"].is_u64();
        until("its answer, and its guard", SETTLE, || running.status().is_ok_and(answers))?;
        ensure_locked(running.directory())?;
        ensure_unmoved(pair, &before)?;
        let log = pair.running(0)?.process().log();
        ensure!(!log.contains("did not replace this one"), "{log}");
        Ok(())
    })
}

/// It is killed before the old process receives "adopted".
#[test]
#[needs("ours")]
fn a_killed_newer_process_leaves_the_old_one() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Auto))?.check(|pair| {
        let before = standing(pair, 0)?;
        let mut killed = 0;
        for millis in [5, 20, 40] {
            let mut next = pair.successor(0)?;
            elapse(Duration::from_millis(millis));
            next.signal(Signal::SIGSTOP)?;
            until("its halt", SETTLE, || is_stopped(&next))?;
            if next.log().contains(" started ") {
                // This test has slept for too long: it takes over.
                next.signal(Signal::SIGCONT)?;
                std::mem::swap(pair.running(0)?.process(), &mut next);
                next.wait(SETTLE)?;
            } else {
                next.kill();
                killed += 1;
            }
        }
        ensure!(killed > 0, "none was killed");
        pair.wait_for_master(0)?;
        ensure!(standing(pair, 0)? == before, "the old process has changed its state");
        Ok(())
    })
}

/// A newer process that waits for processors or a disk is an exchange that takes long. This one gives up at its end.
/// Meanwhile the old one writes no marks: the newer one would take them for those of a crash, and refuse the adverts
/// that it hears.
#[test]
#[needs("ours")]
fn adverts_go_on_however_long_the_newer_process_takes() -> Result<()> {
    const TAKES: Duration = Duration::from_millis(800);
    let signed = |priority| Instance::v3(priority).hmac(&["key 1 00112233445566778899aabbccddeeff"]);
    let role = |instance| Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(instance));
    Pair::settled([role(signed(200)), role(signed(100))])?.check(|pair| {
        let before = standings(pair)?;
        let mut client = UnixStream::connect(pair.running(0)?.directory().join("control.sock"))?;
        client.set_read_timeout(Some(SETTLE))?;
        let mut lines = BufReader::new(client.try_clone()?).lines();
        let mut answer = || lines.next().context("the connection is closed")?.context("no answer");
        client.write_all(b"{\"command\":\"hot_restart\"}\n")?;
        ensure!(answer()?.contains("offer"), "no offer");
        pair.observer.clear();
        let machine = Starvation::of_machine()?;
        client.write_all(b"\"go\"\n")?;
        ensure!(answer()?.contains("snapshot"), "no snapshot");
        outage(TAKES);
        let marks = fs::read_to_string(pair.running(0)?.directory().join("marks"))?;
        ensure!(marks.starts_with("closed\n"), "the old process has written marks: {marks}");
        drop((lines, client));
        watch(AFTERWARDS);
        let gap = pair.observer.longest_silence(0).context("no adverts")?;
        ensure!(gap < Duration::from_millis(150) + machine.longest(), "no advert for {gap:?}");
        ensure_unmoved(pair, &before)?;
        Ok(())
    })
}

fn is_stopped(process: &Process) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

/// The host's first address is no longer that of the adverts: to the peer, another source is another router.
#[test]
#[needs("ours")]
fn adverts_keep_their_source() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Auto))?.check(|pair| {
        let before = standings(pair)?;
        let namespace = &pair.node(0)?.namespace;
        namespace.ip("address add 10.66.0.1/24 dev lan0 scope link")?;
        let shown = namespace.run("ip", &["-4", "address", "show", "dev", "lan0"])?;
        let place = |address| shown.find(address).context("no address");
        ensure!(place("10.66.0.1/24")? < place("10.77.0.1/24")?, "the new address is not the first: {shown}");
        pair.observer.clear();
        for _ in 0..2 {
            ensure!(pair.hot_restart(0, &[])?.success(), "the old process ended with an error");
            watch(AFTERWARDS);
        }
        ensure_unmoved(pair, &before)?;
        let own: IpAddr = "10.77.0.1".parse()?;
        let adverts = pair.observer.adverts();
        ensure!(adverts.iter().all(|(.., advert)| advert.source == own), "adverts have another source");
        // It counts as one that the new process has found: when it is gone, another one takes its place.
        pair.node(0)?.namespace.ip("address del 10.77.0.1/24 dev lan0")?;
        let other: IpAddr = "10.66.0.1".parse()?;
        until("adverts from the other address", SETTLE, || {
            pair.observer.adverts().iter().any(|(.., advert)| advert.source == other)
        })
    })
}

/// The old process may end late: here it runs a hook, and then it is stopped.
#[test]
#[needs("ours")]
fn the_newer_process_has_a_guard_before_the_old_one_ends() -> Result<()> {
    let master = Instance::v3(200).line("notify_master \"/bin/sleep 30\"");
    let role = |instance| Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(instance));
    Pair::settled([role(master), role(Instance::v3(100))])?.check(|pair| {
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        let next = pair.successor(0)?;
        until("the switch", SETTLE, || next.log().contains("continues in place of the previous daemon"))?;
        let old = pair.running(0)?.process();
        // It may have ended already.
        let _ended = old.signal(Signal::SIGSTOP);
        next.signal(Signal::SIGKILL)?;
        let removed =
            until("the guard", SETTLE, || pair.lab.has_address(0, VIRTUAL_V4).is_ok_and(|held| !held));
        removed.with_context(|| next.log())?;
        pair.kill(0);
        pair.wait_for_master(1)
    })
}

#[test]
#[needs("ours")]
fn takeover_without_a_daemon_is_an_ordinary_start() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Auto))?.check(|pair| {
        pair.running(0)?.kill();
        pair.running(0)?.process().wait(SETTLE)?;
        pair.observer.clear();
        let _killed = pair.hot_restart(0, &[])?;
        pair.wait_for_master(0)?;
        ensure!(standing(pair, 0)?.0 == "MASTER", "node 0 is not master");
        Ok(())
    })
}

/// A daemon of another version, whose offer has another format: it receives SIGTERM, and the start is an ordinary one.
#[test]
#[needs("ours")]
fn another_format_is_an_ordinary_restart() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Auto))?.check(|pair| {
        pair.running(0)?.kill();
        pair.running(0)?.process().wait(SETTLE)?;
        let folder = pair.running(0)?.directory().to_owned();
        let mut shell = Command::new("/bin/sleep");
        shell.arg("60");
        let mut other = Process::start(shell, folder.join("log.other"))?;
        fs::write(folder.join("vrrpx.pid"), format!("{}\n", other.pid()))?;
        let lock = File::options().write(true).open(folder.join("vrrpx.lock"))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
        fs::remove_file(folder.join("control.sock"))?;
        let socket = UnixListener::bind(folder.join("control.sock"))?;
        pair.observer.clear();
        let next = pair.successor(0)?;
        let (mut client, _) = socket.accept()?;
        client.write_all(b"{\"offer\":{\"format\":999,\"instances\":[]}}\n")?;
        other.wait(SETTLE).context("the other daemon receives no SIGTERM")?;
        let free = pair.mark();
        drop(lock);
        pair.observer.wait_for_advert(0, free, SETTLE)?;
        ensure!(next.log().contains("its format is 999"), "{}", next.log());
        ensure!(next.is_alive(), "{}", next.log());
        Ok(())
    })
}

/// A master whose systemd is a socket in `folder`, and its backup.
fn supervised(folder: &Directory, bus: Option<String>) -> Result<(Pair, UnixDatagram)> {
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(SETTLE))?;
    let mut environment = vec![("NOTIFY_SOCKET", path.display().to_string())];
    environment.extend(bus.map(|address| ("DBUS_SYSTEM_BUS_ADDRESS", address)));
    let role = |priority| Role::new(Daemon::Vrrpx(Mode::Auto), Config::of(Instance::v3(priority)));
    Ok((Pair::settled([Role { environment, ..role(200) }, role(100)])?, socket))
}

#[test]
#[needs("ours")]
fn systemd_is_notified_of_the_main_process() -> Result<()> {
    let folder = Directory::new()?;
    let (pair, socket) = supervised(&folder, None)?;
    pair.check(|pair| {
        ensure!(pair.hot_restart(0, &[])?.success(), "the old process ended with an error");
        let expected = format!("MAINPID={}", pair.running(0)?.process().pid());
        let mut text = [0; 4096];
        loop {
            let length = socket.recv(&mut text).with_context(|| format!("waited for {expected}"))?;
            if String::from_utf8_lossy(&text[..length]).lines().any(|line| line == expected) {
                return Ok(());
            }
        }
    })
}

/// systemd stops the daemon and starts it again; meanwhile only a process runs that systemd does not know as the main
/// one.
#[test]
#[needs("ours", "systemd stand-in")]
fn a_restart_by_systemd_causes_no_takeover() -> Result<()> {
    let folder = Directory::new()?;
    let systemd = Systemd::start()?;
    let (pair, _socket) = supervised(&folder, Some(systemd.address()))?;
    pair.check(|pair| {
        let before = standings(pair)?;
        pair.observer.clear();
        let process = pair.running(0)?.process();
        process.signal(Signal::SIGTERM)?;
        ensure!(process.wait(SETTLE)?.success(), "the stop has failed");
        let running = pair.running(0)?;
        let pid = poll("an answer", SETTLE, || {
            Ok(running.status().ok().and_then(|status| status["node"]["pid"].as_i64()))
        })?;
        let between = name(i32::try_from(pid)?)?;
        ensure!(between == "vrrpx", "the process in between is called {between}");
        watch(AFTERWARDS);
        pair.hot_restart(0, &[])?;
        let pid = u64::try_from(pair.running(0)?.process().pid().as_raw())?;
        let running = pair.running(0)?;
        until("the new daemon", SETTLE, || {
            running.status().is_ok_and(|status| status["node"]["pid"] == pid)
        })?;
        watch(AFTERWARDS);
        ensure_unmoved(pair, &before)?;
        let adverts = pair.observer.adverts();
        pair.observer.ensure_only(0)?;
        ensure!(adverts.iter().all(|(.., advert)| advert.priority != 0), "an advert of priority 0 was sent");
        Ok(())
    })
}

/// The file has other addresses, which a hot restart cannot change, so that the bridge process ends at once.
#[test]
#[needs("ours", "systemd stand-in")]
fn a_restart_does_not_wait_for_a_bridge_process_that_has_failed() -> Result<()> {
    let folder = Directory::new()?;
    let systemd = Systemd::start()?;
    let (pair, _socket) = supervised(&folder, Some(systemd.address()))?;
    pair.check(|pair| {
        pair.observer.clear();
        let running = pair.running(0)?;
        let other = Config::of(Instance::v3(200).addresses(&["10.77.0.201/24"]));
        fs::write(running.directory().join("keepalived.conf"), other.to_string())?;
        running.process().signal(Signal::SIGTERM)?;
        ensure!(running.process().wait(SETTLE)?.success(), "the stop has failed");
        let log = running.log();
        ensure!(log.contains("the bridge process has ended before it replaced this one"), "not in the log");
        ensure!(!log.contains("no new daemon has come"), "the old process has waited");
        pair.kill(0);
        pair.wait_for_master(1)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)
    })
}

#[test]
#[needs("ours")]
fn a_bridge_process_hands_over_if_no_daemon_comes() -> Result<()> {
    pair(Daemon::Vrrpx(Mode::Auto))?.check(|pair| {
        ensure!(pair.hot_restart(0, &["--bridge", "1"])?.success(), "the old process ended with an error");
        ensure!(pair.running(0)?.process().wait(SETTLE)?.success(), "the bridge process ended with an error");
        pair.kill(0);
        pair.wait_for_master(1)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)
    })
}

/// The peer's Master_Down_Interval is 30 ms and its skew.
#[test]
#[needs("ours")]
fn at_adverts_each_10_ms_the_peer_stays_backup() -> Result<()> {
    let daemon = Daemon::Vrrpx(Mode::Auto);
    let role = |priority| Role::new(daemon, Config::of(Instance::v3(priority).interval(10)));
    let restart = |pair: &mut Pair| {
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, true)?;
        let before = standings(pair)?;
        pair.observer.clear();
        ensure!(pair.hot_restart(0, &[])?.success(), "the old process ended with an error");
        watch(AFTERWARDS);
        ensure_unmoved(pair, &before)?;
        let adverts = pair.observer.adverts();
        let is_well = |advert: &(u64, usize, Advert)| advert.1 == 0 && advert.2.priority != 0;
        ensure!(adverts.iter().all(is_well), "adverts of the peer, or a release");
        Ok(())
    };
    but_for_starvation(Duration::from_millis(8), || Pair::settled([role(200), role(100)])?.check(restart))
}
