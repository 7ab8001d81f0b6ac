//! Packages of `cargo xtask dist` with the debug build, on machines with a systemd of their own: installed, upgraded
//! and purged while a client uses the address.

mod changes;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vrrp_tests::clock::{realtime, until};
use vrrp_tests::daemon::{Config, Daemon, Instance, Mode, vrrpx};
use vrrp_tests::lab::VIRTUAL_V4;
use vrrp_tests::needs;
use vrrp_tests::pair::{Pair, Role, SETTLE};
use vrrp_tests::probe::Prober;
use vrrp_tests::process::Directory;
use vrrp_tests::service::{Engine, Machine};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const PERIOD: Duration = Duration::from_millis(5);
/// Time for a container to start on a busy machine and become master.
const START: Duration = Duration::from_secs(30);
const KEEPALIVED_CONF: &str = "/etc/keepalived/keepalived.conf";

/// A unit in place of keepalived's.
const STAND_IN: &str = "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep 300\n\
                        [Install]\nWantedBy=multi-user.target\n";

/// Makes packages of a kind and revision, once for all tests, and returns their directory.
fn packages(kind: &str, revision: u32) -> Result<PathBuf> {
    static MAKING: Mutex<Vec<(String, u32)>> = Mutex::new(Vec::new());
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("packages-{kind}-{revision}"));
    let mut made = MAKING.lock().map_err(|_| anyhow::anyhow!("packages could not be made"))?;
    if !made.contains(&(kind.to_owned(), revision)) {
        dist(&[kind, "--revision", &revision.to_string()], &out, None)?;
        made.push((kind.to_owned(), revision));
    }
    Ok(out)
}

fn dist(words: &[&str], out: &Path, engine: Option<&Engine>) -> Result<()> {
    let mut command = idle(vrrpx().with_file_name("xtask"));
    command.args(["dist", "--debug", "--out"]).arg(out).args(words);
    // That of the tarball is linked in another way.
    if !words.contains(&"tarball") {
        command.arg("--binary").arg(vrrpx());
    }
    if let Some(engine) = engine {
        command.env("DOCKER_HOST", format!("unix://{}", engine.socket().display()));
    }
    output(command).map(drop)
}

/// A program that leaves the processors to tests that run at the same time.
fn idle(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(program);
    command
}

/// What a program prints, on both streams.
fn output(mut command: Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "{command:?}: {text}");
    Ok(text)
}

fn deb(name: &str, revision: u32) -> Result<String> {
    let architecture = output({
        let mut dpkg = Command::new("dpkg");
        dpkg.arg("--print-architecture");
        dpkg
    })?;
    let architecture = if name == "vrrpx" { architecture.trim() } else { "all" };
    let file = packages("deb", revision)?.join(format!("{name}_{VERSION}-{revision}_{architecture}.deb"));
    ensure!(file.is_file(), "{} is missing", file.display());
    Ok(file.display().to_string())
}

fn rpm(revision: u32) -> Result<String> {
    let name = format!("vrrpx-{VERSION}-{revision}.{}.rpm", std::env::consts::ARCH);
    Ok(packages("rpm", revision)?.join(name).display().to_string())
}

/// Runs a package manager on the machine, where it may start services.
fn manage(machine: &Machine, words: &[&str]) -> Result<String> {
    let (program, arguments) = words.split_first().context("no program")?;
    let mut command = machine.command(program);
    command.args(arguments).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    output(command).with_context(|| machine.log())
}

fn dpkg(machine: &Machine, words: &[&str]) -> Result<String> {
    // The triggers are those of this machine's other packages.
    manage(machine, &[&["dpkg", "--no-triggers"], words].concat())
}

fn config(priority: u8) -> Config {
    Config::of(Instance::v3(priority))
}

/// Node 0 is a machine without a daemon, node 1 has one with priority 100, which does not run yet.
fn bare(scenario: impl Fn(&mut Pair, &Machine) -> Result<()>) -> Result<()> {
    let role = |priority| Role::new(Daemon::Vrrpx(Mode::Auto), config(priority));
    Pair::idle([role(200), role(100)])?.check(|pair| {
        let machine = Machine::bare(&pair.node(0)?.namespace)?;
        machine.run("rm", &["-f", "/usr/sbin/policy-rc.d", KEEPALIVED_CONF])?;
        machine.run("rm", &["-rf", "/etc/vrrpx"])?;
        machine.run("mkdir", &["-p", "/etc/keepalived"])?;
        machine
            .run("systemctl", &["disable", "--quiet", "keepalived"])
            .or_else(|_| Ok::<_, anyhow::Error>(String::new()))?;
        scenario(pair, &machine).with_context(|| machine.log())
    })
}

/// Another program replaces the daemon; state, epoch and addresses stay, and no request of a client is lost.
fn upgrade(pair: &Pair, machine: &Machine, words: &[&str]) -> Result<()> {
    let (before, pid) = (machine.standing()?, machine.unit("MainPID")?);
    pair.observer.clear();
    let prober = Prober::new(&pair.lab, VIRTUAL_V4.parse()?, PERIOD)?;
    let since = realtime();
    until("answers", SETTLE, || prober.answered_since(since))?;
    let since = realtime();
    manage(machine, words)?;
    until("answers after the upgrade", SETTLE, || prober.answered_since(realtime() - 100_000_000))?;
    ensure!(machine.unit("MainPID")? != pid, "the daemon was not replaced");
    ensure!(machine.unit("ActiveState")? == "active", "{}", machine.unit("ActiveState")?);
    let now = machine.standing()?;
    ensure!(now == before, "{now:?} was {before:?}");
    let lost = prober.longest_outage(since);
    ensure!(lost == Duration::ZERO, "no answers for {lost:?}");
    pair.observer.ensure_only(0)
}

/// Files with the name of the product that a purge has left; those that the test itself made do not count.
fn traces(machine: &Machine) -> Result<Vec<String>> {
    let words =
        ["/etc", "/usr", "/var", "/run", "/sys/fs/bpf", "-name", "*vrrpx*", "-not", "-path", "/usr/src/*"];
    let found = machine.run("find", &words)?;
    let made =
        ["/etc/vrrpx", "/etc/vrrpx/vrrpx.conf", "/run/vrrpx.log", "/run/systemd/system/vrrpx.service.d"];
    let is_left = |path: &&str| !made.contains(path) && !path.starts_with("/run/vrrpx-");
    Ok(found.lines().filter(is_left).map(str::to_owned).collect())
}

#[test]
#[needs("ours", "xtask", "objcopy", "systemctl", "nsenter", "dpkg-deb", "dpkg-shlibdeps")]
fn a_debian_package_is_installed_upgraded_and_purged() -> Result<()> {
    bare(|pair, machine| {
        let (first, second) = (deb("vrrpx", 1)?, deb("vrrpx", 2)?);
        let (is_enabled, is_active) = (|| machine.unit("UnitFileState"), || machine.unit("ActiveState"));
        let before = traces(machine)?;

        std::fs::write(machine.path("/etc/systemd/system/keepalived.service"), STAND_IN)?;
        machine.run("systemctl", &["daemon-reload"])?;
        for words in [["start", "keepalived"], ["enable", "keepalived"]] {
            machine.run("systemctl", &words)?;
            std::fs::write(machine.path("/etc/keepalived/keepalived.conf"), config(200).to_string())?;
            let reported = dpkg(machine, &["--install", &first])?;
            ensure!(reported.contains("not started, as keepalived is in use here"), "{words:?}: {reported}");
            ensure!(is_enabled()? == "disabled" && is_active()? == "inactive", "{words:?}: started");
            // Configured once more, it is an upgrade.
            dpkg(machine, &["--install", &second])?;
            ensure!(is_enabled()? == "disabled" && is_active()? == "inactive", "{words:?}: started later");
            dpkg(machine, &["--purge", "vrrpx"])?;
            machine.run("systemctl", &["stop", "keepalived"])?;
        }
        machine.run("systemctl", &["disable", "--quiet", "keepalived"])?;
        machine.run("rm", &["/etc/systemd/system/keepalived.service", KEEPALIVED_CONF])?;

        let reported = dpkg(machine, &["--install", &first])?;
        ensure!(reported.contains("not started, as there is no configuration yet"), "{reported}");
        ensure!(is_enabled()? == "enabled" && is_active()? == "inactive", "without a configuration");
        dpkg(machine, &["--purge", "vrrpx"])?;
        machine.run("mkdir", &["/etc/vrrpx"])?;
        machine.configure(&config(200))?;
        dpkg(machine, &["--install", &first])?;
        pair.wait_for_master(0)?;
        ensure!(is_enabled()? == "enabled", "not enabled");

        pair.start(1)?;
        upgrade(pair, machine, &["dpkg", "--no-triggers", "--install", &second])?;
        let exe = machine.run("readlink", &[&format!("/proc/{}/exe", machine.unit("MainPID")?)])?;
        ensure!(exe.trim().ends_with("/usr/sbin/vrrpx"), "it runs {exe}");

        let (now, pid) = (machine.standing()?, machine.unit("MainPID")?);
        machine.configure(&Config::of(Instance::v3(200).line("nonsense")))?;
        let reported = dpkg(machine, &["--install", &first])?;
        ensure!(
            reported.contains("unknown keyword `nonsense`") && reported.contains("goes on"),
            "{reported}"
        );
        ensure!(machine.unit("MainPID")? == pid && machine.standing()? == now, "it was replaced");

        dpkg(machine, &["--remove", "vrrpx"])?;
        // One of a container, by its name: it may use the folders.
        machine.run("cp", &["/bin/sleep", "/run/vrrpx-guard"])?;
        machine.run("sh", &["-c", "/run/vrrpx-guard 60 > /dev/null 2>&1 & echo $! > /run/guard.pid"])?;
        dpkg(machine, &["--purge", "vrrpx"])?;
        ensure!(machine.path("/var/lib/vrrpx").exists(), "removed beside another daemon");
        machine.run("sh", &["-c", "kill $(cat /run/guard.pid); rm /run/guard.pid /run/vrrpx-guard"])?;
        dpkg(machine, &["--install", &first])?;
        dpkg(machine, &["--purge", "vrrpx"])?;
        pair.wait_for_master(1)?;
        pair.wait_for_address(0, VIRTUAL_V4.parse()?, false)?;
        let left = traces(machine)?;
        ensure!(left == before, "left: {left:?}; before: {before:?}");
        Ok(())
    })
}

#[test]
#[needs("ours", "xtask", "objcopy", "systemctl", "nsenter", "dpkg-deb", "dpkg-shlibdeps")]
fn vrrpx_keepalived_takes_the_place_of_keepalived() -> Result<()> {
    bare(|pair, machine| {
        std::fs::write(machine.path(KEEPALIVED_CONF), config(200).to_string())?;
        dpkg(machine, &["--install", &deb("vrrpx", 1)?, &deb("vrrpx-keepalived", 1)?])?;
        pair.wait_for_master(0)?;
        let before = machine.standing()?;
        let version = output({
            let mut keepalived = machine.command("/usr/sbin/keepalived");
            keepalived.arg("--version");
            keepalived
        })?;
        ensure!(version.contains("vrrpx"), "{version}");
        let alias = machine.run("systemctl", &["show", "keepalived", "--value", "--property=Id"])?;
        ensure!(alias.trim() == "vrrpx.service", "keepalived is {alias}");
        machine.run("systemctl", &["restart", "keepalived"])?;
        ensure!(machine.standing()? == before, "a restart by its name is not hot");
        dpkg(machine, &["--purge", "vrrpx-keepalived"])?;
        ensure!(machine.unit("ActiveState")? == "active", "the daemon ended with its alias");
        let alias = machine.path("/etc/systemd/system/keepalived.service");
        ensure!(!alias.is_symlink(), "{} is left", alias.display());
        dpkg(machine, &["--purge", "vrrpx"]).map(drop)
    })
}

#[test]
#[needs("ours", "xtask", "objcopy", "systemctl", "nsenter", "rpmbuild", "rpm")]
fn an_rpm_is_installed_upgraded_and_erased() -> Result<()> {
    bare(|pair, machine| {
        let (first, second) = (rpm(1)?, rpm(2)?);
        let before = traces(machine)?;
        // The libraries of this machine are Debian's.
        manage(machine, &["rpm", "--install", "--nodeps", &first])?;
        machine.configure(&config(200))?;
        machine.run("systemctl", &["enable", "--quiet", "--now", "vrrpx"])?;
        pair.wait_for_master(0)?;
        pair.start(1)?;
        upgrade(pair, machine, &["rpm", "--upgrade", "--nodeps", &second])?;
        manage(machine, &["rpm", "--erase", "vrrpx"])?;
        pair.wait_for_master(1)?;
        let left = traces(machine)?;
        ensure!(left == before, "left: {left:?}; before: {before:?}");
        Ok(())
    })
}

#[test]
#[needs("ours", "xtask", "objcopy", "dpkg-deb", "dpkg-shlibdeps", "lintian", "man")]
fn lintian_and_man_find_no_fault_in_the_debian_packages() -> Result<()> {
    let packages = [deb("vrrpx", 1)?, deb("vrrpx-keepalived", 1)?];
    let mut lintian = idle("lintian");
    lintian.args(["--no-cfg", "--allow-root", "--fail-on", "error,warning"]).args(&packages);
    let found = output(lintian)?;
    ensure!(found.is_empty(), "{found}");
    let folder = Directory::new()?;
    for package in &packages {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").arg(package).arg(folder.path());
        output(unpack)?;
    }
    let pages =
        ["8/vrrpx", "8/vrrpx-run", "8/vrrpx-status", "5/vrrpx.conf", "8/keepalived", "5/keepalived.conf"];
    for page in pages {
        let (section, _) = page.split_once('/').context("no section")?;
        let file = folder.path().join(format!("usr/share/man/man{page}.{section}.gz"));
        let mut man = Command::new("man");
        man.args(["--warnings", "--local-file", "--encoding=UTF-8", "--troff-device=utf8", "--ditroff"]);
        let shown = man.arg(&file).env("MANROFFSEQ", "").stdin(Stdio::null()).output()?;
        let warnings = String::from_utf8_lossy(&shown.stderr).into_owned();
        ensure!(shown.status.success() && warnings.is_empty(), "{page}: {warnings}");
    }
    Ok(())
}

/// A package that contains glibc says so, with the version and the licence.
fn names_glibc(third_party: &Path) -> Result<()> {
    let mut unpack = Command::new("gzip");
    unpack.args(["--decompress", "--stdout"]).arg(third_party);
    let text = output(unpack)?;
    let (head, licences) = text.split_once("------").context("no licences")?;
    ensure!(head.starts_with("GNU C Library (") && !head.contains('@'), "{head}");
    ensure!(licences.contains("LESSER GENERAL PUBLIC LICENSE"), "{head}");
    Ok(())
}

#[test]
#[needs("ours", "xtask", "objcopy", "readelf", "chroot")]
fn the_tarball_is_installed_and_removed_by_its_script() -> Result<()> {
    let name = format!("vrrpx-{VERSION}-linux-{}", std::env::consts::ARCH);
    let archive = packages("tarball", 1)?.join(format!("{name}.tar.gz"));
    let folder = Directory::new()?;
    let mut unpack = Command::new("tar");
    unpack.arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(folder.path());
    output(unpack)?;
    let (script, root) = (folder.path().join(&name).join("install.sh"), folder.path().join("root"));
    let install = |words: &[&str]| {
        let mut install = Command::new(&script);
        install.args(words).env("DESTDIR", &root).env("PREFIX", "/opt/vrrpx");
        output(install)
    };
    install(&[])?;
    let mut program = Command::new(root.join("opt/vrrpx/sbin/vrrpx"));
    program.arg("--version");
    ensure!(output(program)?.contains(VERSION), "another version");
    let unit = std::fs::read_to_string(root.join("etc/systemd/system/vrrpx.service"))?;
    ensure!(unit.contains("ExecStart=/opt/vrrpx/sbin/vrrpx run") && !unit.contains("/usr/sbin"), "{unit}");
    let readme = std::fs::read_to_string(folder.path().join(&name).join("README"))?;
    ensure!(readme.contains("linked statically") && !readme.contains('@'), "{readme}");
    names_glibc(&folder.path().join(&name).join("share/doc/vrrpx/third-party.gz"))?;
    runs_alone(&root.join("opt/vrrpx/sbin/vrrpx"))?;
    install(&["--uninstall"])?;
    let mut find = Command::new("find");
    find.arg(&root).args(["-type", "f"]);
    let left = output(find)?;
    ensure!(left.is_empty(), "left: {left}");
    Ok(())
}

/// Below a root without any library, where it knows the users of the files there.
fn runs_alone(program: &Path) -> Result<()> {
    const CONFIG: &str = "global_defs {\nscript_user alice\nenable_script_security\n}\n\
        vrrp_script up {\nscript /vrrpx\n}\n\
        vrrp_instance A {\ninterface lo\nvirtual_router_id 1\ntrack_script {\nup\n}\n\
          virtual_ipaddress {\n192.0.2.1/24\n}\n}\n";
    let root = Directory::new()?;
    std::fs::copy(program, root.path().join("vrrpx"))?;
    std::fs::create_dir(root.path().join("etc"))?;
    std::fs::write(root.path().join("vrrpx.conf"), CONFIG)?;
    let check = || {
        let mut check = Command::new("chroot");
        check.arg(root.path()).args(["/vrrpx", "check", "/vrrpx.conf"]);
        output(check)
    };
    let unknown = check()?;
    ensure!(unknown.contains("ok, 1 instance") && unknown.contains("alice"), "{unknown}");
    std::fs::write(root.path().join("etc/passwd"), "alice:x:1000:1000::/:/\n")?;
    let known = check()?;
    ensure!(known.contains("ok, 1 instance") && !known.contains("alice"), "{known}");
    Ok(())
}

/// With the options of docs/packages.md, on an engine whose containers have the host's network: that of node 0.
#[test]
#[needs("ours", "xtask", "objcopy", "dockerd", "docker", "busybox")]
fn the_image_runs_read_only_with_the_documented_capabilities() -> Result<()> {
    let role = |priority| Role::new(Daemon::Vrrpx(Mode::Auto), config(priority));
    Pair::idle([role(200), role(100)])?.check(|pair| {
        let engine = Engine::start_in(&pair.node(0)?.namespace)?;
        let folder = Directory::new()?;
        let out = folder.path().join("out");
        dist(&["image"], &out, Some(&engine))?;
        names_glibc(&out.join("stage/image/root/usr/share/doc/vrrpx/third-party.gz"))?;
        std::fs::write(folder.path().join("vrrpx.conf"), config(200).to_string())?;
        let (volume, tag) =
            (format!("{}:/etc/vrrpx:ro", folder.path().display()), format!("vrrpx:{VERSION}"));
        let mut words = vec!["run", "--detach", "--name", "vrrpx", "--network", "host", "--read-only"];
        words.extend(["--cap-drop", "ALL", "--tmpfs", "/run/vrrpx:mode=0755"]);
        // Without --oom-score-adj, which takes CAP_SYS_RESOURCE on the test's own machine.
        words.extend(["--security-opt", "label=disable"]);
        let capabilities = capabilities(&engine)?;
        capabilities.iter().for_each(|capability| words.extend(["--cap-add", capability]));
        words.extend(["--volume", &volume, "--volume", "/sys/fs/bpf:/sys/fs/bpf", &tag]);
        engine.docker(&words)?;
        let log = || engine.docker(&["logs", "vrrpx"]).unwrap_or_default();
        pair.wait_for_master(0).with_context(log)?;
        pair.start(1)?;
        let health = || engine.docker(&["inspect", "--format", "{{.State.Health.Status}}", "vrrpx"]);
        until("a healthy container", START, || health().is_ok_and(|it| it == "healthy")).with_context(log)?;
        let status = engine.docker(&["exec", "vrrpx", "/usr/sbin/vrrpx", "status", "--json"])?;
        let status: serde_json::Value = serde_json::from_str(&status)?;
        ensure!(status["fence"]["pinned"] == true, "{:#}", status["fence"]);
        engine.docker(&["stop", "--time", "20", "vrrpx"])?;
        pair.wait_for_master(1)
    })
}

/// Those of docs/packages.md; SYS_ADMIN stands for BPF and PERFMON, which engines before 23 do not know.
fn capabilities(engine: &Engine) -> Result<Vec<&'static str>> {
    let version = engine.docker(&["version", "--format", "{{.Server.Version}}"])?;
    let major: u32 = version.split('.').next().unwrap_or_default().parse().context(version.clone())?;
    let program = if major < 23 { &["SYS_ADMIN"][..] } else { &["BPF", "PERFMON"] };
    Ok([&["NET_ADMIN", "NET_RAW", "SYS_NICE", "IPC_LOCK"], program].concat())
}

#[test]
#[needs("docker-compose")]
fn the_page_on_packages_has_the_shipped_container_files() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/packages.md"))?;
    for file in ["compose.yaml", "vrrpx.container"] {
        let text = std::fs::read_to_string(root.join("vrrp-user/dist/image").join(file))?;
        ensure!(page.contains(&text), "docs/packages.md has another {file}");
    }
    let mut check = Command::new("docker-compose");
    check.arg("--file").arg(root.join("vrrp-user/dist/image/compose.yaml")).args(["config", "--quiet"]);
    output(check)?;
    Ok(())
}
