//! Programs that the tests use, and their installation.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use nix::unistd::geteuid;

use crate::cargo::{run, show};

/// Program, or the path of another file, and its Debian package.
const NEEDED: [(&str, &str); 32] = [
    ("/usr/lib/python3/dist-packages/prometheus_client/parser.py", "python3-prometheus-client"),
    ("/usr/lib/python3/dist-packages/yaml/__init__.py", "python3-yaml"),
    ("busybox", "busybox-static"),
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("dbus-daemon", "dbus-daemon"),
    ("depmod", "kmod"),
    ("docker-compose", "docker-compose"),
    ("dockerd", "docker.io"),
    ("dpkg-shlibdeps", "dpkg-dev"),
    ("ethtool", "ethtool"),
    ("haproxy", "haproxy"),
    ("ip", "iproute2"),
    ("keepalived", "keepalived"),
    ("lintian", "lintian"),
    ("man", "man-db"),
    ("nft", "nftables"),
    ("nginx", "nginx-light"),
    ("openssl", "openssl"),
    ("pg_ctlcluster", "postgresql"),
    ("ping", "iputils-ping"),
    ("promtool", "prometheus"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("rpmbuild", "rpm"),
    ("setpriv", "util-linux"),
    ("strace", "strace"),
    ("strip", "binutils"),
    ("systemctl", "systemd"),
    ("tcpdump", "tcpdump"),
    ("tshark", "tshark"),
    ("vrrpd", "frr"),
    ("xz", "xz-utils"),
];

/// Of these, the programs in guests with other kernels and for making them; see `guests`.
pub(crate) const GUESTS: [&str; 10] =
    ["busybox", "depmod", "ethtool", "ip", "nft", "ping", "qemu-system-x86_64", "setpriv", "strip", "xz"];

/// Called by package scripts before they start a service; exit code 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs missing programs, as root on Debian and its derivatives. Otherwise prints the command to install them;
/// tests that need them are then skipped.
pub(crate) fn install() -> Result<()> {
    install_of(|_| true)
}

/// The same for the wanted programs only.
pub(crate) fn install_of(is_wanted: impl Fn(&str) -> bool) -> Result<()> {
    let missing = NEEDED.iter().filter(|(program, _)| is_wanted(program) && !is_there(program));
    let missing: Vec<_> = missing.map(|&(_, name)| name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut apt = apt_get("install");
    apt.arg("--no-install-recommends").args(&missing);
    if !geteuid().is_root() || !is_there("apt-get") {
        eprintln!(
            "test: some tests need programs that are not installed. Install them on Debian, as root:\n    {}",
            show(&apt)
        );
        return Ok(());
    }
    eprintln!("test: installing {}", missing.join(", "));
    let _quiet = Quiet::new()?;
    let again = show(&apt);
    if run(apt).is_ok() {
        return Ok(());
    }
    let mut retry = apt_get("install");
    retry.arg("--no-install-recommends").args(&missing);
    if let Err(error) = run(apt_get("update")).and_then(|()| run(retry)) {
        eprintln!("test: {error:#}\nTo install by hand:\n    apt-get update && {again}");
    }
    Ok(())
}

fn apt_get(verb: &str) -> Command {
    let mut command = Command::new("apt-get");
    command.args([verb, "--yes", "--quiet"]).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/lib/frr"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).any(|directory| directory.join(program).is_file())
}

/// Keeps packages from starting their services, until it is dropped. An existing policy stays in force instead.
struct Quiet(Option<&'static Path>);

impl Quiet {
    fn new() -> Result<Self> {
        let path = Path::new(POLICY);
        if path.exists() {
            return Ok(Self(None));
        }
        fs::write(path, "#!/bin/sh\nexit 101\n")?;
        let quiet = Self(Some(path));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(quiet)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(path) = self.0
            && let Err(error) = fs::remove_file(path)
        {
            eprintln!("cannot remove {}: {error}", path.display());
        }
    }
}
