//! Files of a guest.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use super::archive::Archive;
use super::kernel::{self, Kernel};
use crate::daemon::{built, vrrpx};
use crate::require::find;

/// Names that busybox is linked by. Its shell prefers its own `ip` to any other, so `ip` is not among them.
const APPLETS: [&str; 45] = [
    "[", "awk", "cat", "chmod", "cp", "cut", "date", "dmesg", "echo", "env", "false", "find", "grep", "head",
    "id", "insmod", "kill", "ln", "ls", "lsmod", "mkdir", "mount", "mv", "poweroff", "printf", "ps", "pwd",
    "readlink", "rm", "rmdir", "sed", "sh", "sleep", "sort", "sysctl", "tail", "tee", "test", "touch",
    "true", "umount", "uname", "wc", "which", "yes",
];

/// Modules for the agent's port, a card of each kind, and the networks of the tests.
const MODULES: [&str; 25] = [
    "virtio_pci",
    "virtio_console",
    "virtio_net",
    "vmxnet3",
    "virtio_rng",
    "8021q",
    "bonding max_bonds=0",
    "bridge",
    "dummy numdummies=0",
    "macvlan",
    "veth",
    "tun",
    "sch_netem",
    "sch_ingress",
    "cls_bpf",
    "act_bpf",
    "sch_fq_codel",
    "nf_tables",
    "nft_ct",
    "nft_reject_inet",
    "overlay",
    "vrf",
    "ipvlan",
    "ip_vs",
    "ip_vs_rr",
];

/// Programs that tests call; each is included if this host has it.
const TOOLS: [&str; 8] = ["bridge", "ethtool", "keepalived", "nft", "ping", "setpriv", "tc", "bpftool"];

/// Size in bytes above which a program's debugging symbols are stripped.
const LARGE: u64 = 8 << 20;

const INIT: &str = include_str!("init.sh");
const PLACE: &str = "/usr/bin";

/// Files of a guest, to be unpacked as its root.
#[derive(Clone, Debug)]
pub struct Image {
    kernel: Kernel,
    modules: Vec<String>,
    programs: Vec<PathBuf>,
    files: Vec<(PathBuf, String)>,
}

impl Image {
    /// A shell, iproute2, the built daemon, and those of the programs called by tests that this host has.
    pub fn new(kernel: &Kernel) -> Result<Self> {
        let image = Self {
            kernel: kernel.clone(),
            modules: MODULES.map(str::to_owned).to_vec(),
            programs: Vec::new(),
            files: vec![
                ("/etc/passwd".into(), "root:x:0:0:root:/root:/bin/sh\n".to_owned()),
                ("/etc/group".into(), "root:x:0:\n".to_owned()),
                ("/etc/hosts".into(), "127.0.0.1 localhost\n::1 localhost\n".to_owned()),
            ],
        };
        let mut image = image.program("busybox")?.program("ip")?;
        image = image.program(built("guest"))?.program(vrrpx())?;
        for tool in TOOLS {
            image.programs.extend(find(tool));
        }
        Ok(image)
    }

    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Adds a program of this host with its libraries, found as a shell does. It is installed in `/usr/bin`, a test
    /// program without cargo's number.
    pub fn program(mut self, program: impl AsRef<Path>) -> Result<Self> {
        let program = program.as_ref();
        let name = program.to_string_lossy();
        let found =
            if name.contains('/') { program.is_file().then(|| program.to_owned()) } else { find(&name) };
        let found = found.with_context(|| format!("{name}, which a guest needs, is not on this host"))?;
        if !self.programs.contains(&found) {
            self.programs.push(found);
        }
        Ok(self)
    }

    /// Adds a module of the kernel, loaded at boot, with its parameters if there are any: `bonding max_bonds=0`.
    #[must_use]
    pub fn module(mut self, name: &str) -> Self {
        self.modules.push(name.to_owned());
        self
    }

    #[must_use]
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.into(), text.to_owned()));
        self
    }

    /// Path of a program in the guest.
    pub fn place(program: &Path) -> PathBuf {
        Path::new(PLACE).join(called(program))
    }

    /// Writes the archive that the kernel unpacks.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let mut archive = Archive::create(path)?;
        for directory in [PLACE, "/root", "/proc", "/sys", "/dev", "/tmp", "/run", "/var/lib", "/etc"] {
            archive.directory(Path::new(directory))?;
        }
        for (link, target) in
            [("/bin", "usr/bin"), ("/sbin", "usr/bin"), ("/usr/sbin", "bin"), ("/var/run", "/run")]
        {
            archive.link(Path::new(link), Path::new(target))?;
        }
        for applet in APPLETS {
            archive.link(&Path::new(PLACE).join(applet), Path::new("busybox"))?;
        }
        archive.file(Path::new("/init"), 0o755, INIT.as_bytes())?;
        self.write_modules(&mut archive)?;
        let mut libraries = Vec::new();
        for program in &self.programs {
            archive.file(&Self::place(program), 0o755, &stripped(program)?)?;
            libraries.extend(libraries_of(program)?);
        }
        libraries.sort();
        libraries.dedup();
        for library in libraries {
            archive.file(&library, 0o755, &fs::read(&library)?)?;
        }
        for (path, text) in &self.files {
            archive.file(path, 0o644, text.as_bytes())?;
        }
        archive.end()?;
        Ok(())
    }

    fn write_modules<W: std::io::Write>(&self, archive: &mut Archive<W>) -> Result<()> {
        let lines = self.modules.iter().map(|line| line.split_once(' ').unwrap_or((line, "")));
        let parameters: BTreeMap<&str, &str> = lines.collect();
        let names: Vec<&str> = parameters.keys().copied().collect();
        let mut order = String::new();
        for file in self.kernel.modules(&names)? {
            let name = kernel::module(&file.to_string_lossy());
            archive.file(&Path::new("/modules").join(&name), 0o644, &kernel::content(&file)?)?;
            let parameters = parameters.get(name.as_str()).copied().unwrap_or_default();
            order.push_str(&format!("{name} {parameters}\n"));
        }
        archive.file(Path::new("/modules/order"), 0o644, order.as_bytes())
    }
}

/// Name of a program, without the number that cargo gives test programs.
fn called(program: &Path) -> String {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_number = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match name.rsplit_once('-') {
        Some((stem, number)) if is_number(number) => stem.to_owned(),
        _ => name,
    }
}

/// Content of a program, without debugging symbols if it is large. The stripped copy is kept beside the program.
fn stripped(program: &Path) -> Result<Vec<u8>> {
    let whole = fs::metadata(program).with_context(|| program.display().to_string())?;
    if whole.size() < LARGE {
        return Ok(fs::read(program)?);
    }
    let kept = program.with_file_name(format!("{}.guest", called(program)));
    let changed = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    if changed(&kept) != changed(program) {
        let new = kept.with_extension(format!("guest.{}", std::process::id()));
        let mut strip = Command::new("strip");
        strip.args(["--strip-debug", "--preserve-dates", "-o"]).arg(&new).arg(program);
        let output = strip.output().context("cannot run strip (binutils)")?;
        ensure!(output.status.success(), "strip: {}", String::from_utf8_lossy(&output.stderr).trim());
        fs::rename(&new, &kept)?;
    }
    Ok(fs::read(&kept)?)
}

/// Paths of the libraries that a program needs, and of its dynamic loader.
fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    // ldd fails for a static program.
    let output = Command::new("ldd").arg(program).output().context("cannot run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_program_is_called_by_its_name() {
        for (file, name) in [
            ("/x/deps/netns-0123456789abcdef", "netns"),
            ("/x/vrrpx", "vrrpx"),
            ("/x/bench-xdp", "bench-xdp"),
        ] {
            assert_eq!(called(Path::new(file)), name);
        }
    }
}
