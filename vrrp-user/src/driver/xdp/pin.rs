//! Pins in bpffs: links and maps that outlive the daemon. If the daemon is killed, the program keeps running, and with
//! it the fence.
//!
//! Enters: the runtime directory, one per daemon. Leaves: a folder of pins, `/sys/fs/bpf/vrrpx/OWNER/vLAYOUT`, shared
//! with no other daemon and no other network namespace. Absent: whether the daemon that made earlier pins is alive; the
//! lock of the runtime directory decides that.

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aya::maps::MapData;
use aya::pin::PinError as AyaPinError;
use aya::programs::links::{FdLink, LinkError};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use thiserror::Error;
use vrrp_ebpf::map::LAYOUT_VERSION;

use super::syscall::{bpf, bpf_open};

pub(super) const BPFFS: &str = "/sys/fs/bpf";
pub(super) const FOLDER: &str = "vrrpx";
const LINK: &str = "link-";

/// Commands of bpf(2), `linux/bpf.h`.
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_LINK_DETACH: libc::c_int = 34;

/// Why nothing is pinned: then the fence ends with the daemon.
#[derive(Debug, Error)]
pub enum PinError {
    #[error("{BPFFS} is not a bpffs, and mounting one there failed: {0}")]
    Mount(#[source] Errno),
    #[error(
        "{BPFFS} is not a bpffs of the host: one mounted in this mount namespace ends with its processes (in a \
         container, mount the host's: docker run --volume {BPFFS}:{BPFFS})"
    )]
    Private,
    #[error("{}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{}: the kernel refuses to pin it: {reason}", .path.display())]
    Refused { path: PathBuf, reason: String },
}

/// The pin folder of one daemon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pins {
    /// Contains the folders of all layouts.
    owner: PathBuf,
}

impl Pins {
    /// Mounts bpffs if missing; changes nothing else.
    ///
    /// # Errors
    /// bpffs is not available, for example in an unprivileged container.
    pub fn open(runtime_dir: &Path) -> Result<Self, PinError> {
        provide_bpffs()?;
        let namespace = Path::new("/proc/thread-self/ns/net");
        let inode = fs::metadata(namespace).map_err(failed(namespace))?.ino();
        let absolute = fs::canonicalize(runtime_dir).map_err(failed(runtime_dir))?;
        Ok(Self { owner: Path::new(BPFFS).join(FOLDER).join(format!("{inode}{}", name(&absolute))) })
    }

    /// The folder of another daemon.
    pub(super) fn of(owner: PathBuf) -> Self {
        Self { owner }
    }

    pub(super) fn owner(&self) -> &Path {
        &self.owner
    }

    /// The folder for pins of this build's layout.
    pub fn folder(&self) -> PathBuf {
        self.owner.join(format!("v{LAYOUT_VERSION}"))
    }

    /// Detaches and removes all pins, of any layout. Returns the number of links among them.
    ///
    /// # Errors
    /// Something could not be removed.
    pub fn clear(&self) -> Result<usize, PinError> {
        let mut links = 0;
        for layout in entries(&self.owner)? {
            for pin in entries(&layout)? {
                if pin.file_name().is_some_and(|name| name.as_bytes().starts_with(LINK.as_bytes())) {
                    release(&pin)?;
                    links += 1;
                } else {
                    fs::remove_file(&pin).map_err(failed(&pin))?;
                }
            }
            fs::remove_dir(&layout).map_err(failed(&layout))?;
        }
        match fs::remove_dir(&self.owner) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&self.owner)(error)),
            _ => Ok(links),
        }
    }

    /// Pinned links of any layout, by interface index.
    pub(super) fn links(&self) -> Result<Vec<(u32, PathBuf)>, PinError> {
        let mut links = Vec::new();
        for layout in entries(&self.owner)? {
            for pin in entries(&layout)? {
                let name =
                    pin.file_name().and_then(|name| name.to_str()).and_then(|it| it.strip_prefix(LINK));
                if let Some(ifindex) = name.and_then(|number| number.parse().ok()) {
                    links.push((ifindex, pin));
                }
            }
        }
        Ok(links)
    }

    pub(super) fn pin_map(&self, name: &str, map: &MapData) -> Result<(), PinError> {
        let path = self.place(name)?;
        map.pin(&path).map_err(refused(path))
    }

    /// Pins the link of an interface, whose descriptor is no longer needed.
    pub(super) fn pin_link(
        &self,
        ifindex: u32,
        link: Result<FdLink, LinkError>,
    ) -> Result<PathBuf, PinError> {
        let path = self.place(&format!("{LINK}{ifindex}"))?;
        let link =
            link.map_err(|error| PinError::Refused { path: path.clone(), reason: error.to_string() })?;
        link.pin(&path).map_err(refused(path.clone()))?;
        Ok(path)
    }

    fn place(&self, name: &str) -> Result<PathBuf, PinError> {
        let folder = self.folder();
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
        Ok(folder.join(name))
    }
}

/// Detaches a pinned link at once and removes the pin. Otherwise the kernel detaches an unreferenced link only after a
/// while, and the XDP hook stays busy until then.
pub(super) fn release(path: &Path) -> Result<(), PinError> {
    let link = open(path).map_err(failed(path))?;
    // ENOLINK: its interface is gone, and the attachment with it.
    match detach(&link) {
        Err(error) if error.raw_os_error() != Some(libc::ENOLINK) => return Err(failed(path)(error)),
        _ => {}
    }
    fs::remove_file(path).map_err(failed(path))
}

/// Provides a bpffs that outlives this process: one mounted in the mount namespace of the host.
///
/// # Errors
/// There is none and none can be mounted.
pub(super) fn provide_bpffs() -> Result<(), PinError> {
    if is_mounted() {
        return if is_private() { Err(PinError::Private) } else { Ok(()) };
    }
    if !shares_mounts_with_the_host() {
        return Err(PinError::Private);
    }
    // If two daemons mounted it, the second mount would hide the first one's pins.
    let directory = File::open(BPFFS).map_err(failed(Path::new(BPFFS)))?;
    let _lock =
        Flock::lock(directory, FlockArg::LockExclusive).map_err(|(_, errno)| PinError::Mount(errno))?;
    if is_mounted() {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpf"), BPFFS, Some("bpf"), flags, Some("mode=0700")).map_err(PinError::Mount)
}

/// Whether a daemon would have a bpffs that outlives its process. Mounts nothing.
///
/// # Errors
/// As [`Pins::open`].
pub fn bpffs() -> Result<(), PinError> {
    let is_mounted = is_mounted();
    if is_mounted && is_private() || !is_mounted && !shares_mounts_with_the_host() {
        return Err(PinError::Private);
    }
    Ok(())
}

fn is_mounted() -> bool {
    statfs(BPFFS).is_ok_and(|it| it.filesystem_type() == BPF_FS_MAGIC)
}

/// Whether the bpffs here is not the host's, as after `ip netns exec` and a mount by hand. A container cannot see the
/// host's: a bpffs mounted there counts as the host's, as the daemon itself does not mount one there.
fn is_private() -> bool {
    let Ok(here) = fs::metadata(BPFFS).map(|it| it.dev()) else { return false };
    of_the_host(|process| fs::read_to_string(process.join("mountinfo")).ok())
        .is_some_and(|mounts| !has_bpffs(&mounts, here))
}

/// Whether a mountinfo (proc(5)) contains a bpffs with this device number.
fn has_bpffs(mounts: &str, device: u64) -> bool {
    let device = format!("{}:{}", libc::major(device), libc::minor(device));
    mounts.lines().any(|line| {
        let kind = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next());
        kind == Some("bpf") && line.split(' ').nth(2) == Some(&*device)
    })
}

/// True if no process of the host can be read; then a mount is tried.
fn shares_mounts_with_the_host() -> bool {
    let inode = |process: &Path| fs::metadata(process.join("ns/mnt")).map(|it| it.ino()).ok();
    let host = of_the_host(inode);
    sees_the_host() && (host.is_none() || host == inode(Path::new("/proc/thread-self")))
}

/// Reads a property from the host's first process, or else from the kernel's first thread, which requires fewer
/// capabilities and is in the same mount namespace. `None` in a container.
fn of_the_host<T>(ask: impl Fn(&Path) -> Option<T>) -> Option<T> {
    ["/proc/1", "/proc/2"].iter().filter(|_| sees_the_host()).find_map(|process| ask(Path::new(process)))
}

/// Whether process 1 is the host's.
fn sees_the_host() -> bool {
    /// Inode of the initial PID namespace (`PROC_PID_INIT_INO`, Linux 3.8).
    const HOST: u64 = 0xefff_fffc;
    fs::metadata("/proc/thread-self/ns/pid").is_ok_and(|it| it.ino() == HOST)
}

/// Encodes a path as one name: bpffs allows no dots, and `/` separates folders.
fn name(path: &Path) -> String {
    let mut name = String::new();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' => name.push('+'),
            b'-' | b'_' => name.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
            _ => name.push_str(&format!("={byte:02x}")),
        }
    }
    name
}

/// The path of a name.
pub(super) fn unname(name: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        let digits = |rest: &mut std::str::Bytes<'_>| Some([rest.next()?, rest.next()?]);
        let coded = (byte == b'=').then(|| digits(&mut rest)).flatten();
        let coded = coded.and_then(|two| u8::from_str_radix(std::str::from_utf8(&two).ok()?, 16).ok());
        bytes.push(coded.unwrap_or(if byte == b'+' { b'/' } else { byte }));
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, PinError> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => {
            listed.and_then(|list| list.map(|entry| Ok(entry?.path())).collect()).map_err(failed(folder))
        }
    }
}

/// Opens the pinned object.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    object(&CString::new(path.as_os_str().as_bytes())?)
}

fn object(path: &CString) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        path: u64,
        fd: u32,
        flags: u32,
    }
    let mut attributes = Attributes { path: path.as_ptr().expose_provenance() as u64, fd: 0, flags: 0 };
    bpf_open(BPF_OBJ_GET, &mut attributes)
}

/// Needs Linux 5.9; the link remains without an interface.
fn detach(link: &OwnedFd) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        link: i32,
    }
    bpf(BPF_LINK_DETACH, &mut Attributes { link: link.as_raw_fd() }).map(drop)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> PinError {
    let path = path.to_owned();
    move |error| PinError::Io { path: path.clone(), error }
}

fn refused(path: PathBuf) -> impl FnOnce(AyaPinError) -> PinError {
    move |error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        PinError::Refused { path, reason: cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_apart_and_without_dots() {
        assert_eq!(name(Path::new("/run/vrrpx")), "+run+vrrpx");
        assert_eq!(name(Path::new("/tmp/a.b=c")), "+tmp+a=2eb=3dc");
        assert_ne!(name(Path::new("/run/a/b")), name(Path::new("/run/a+b")));
        for path in ["/run/vrrpx", "/tmp/a.b=c", "/run/a+b"].map(Path::new) {
            assert_eq!(unname(&name(path)), path);
        }
    }

    #[test]
    fn a_bpffs_is_known_by_its_device() {
        let mounts =
            "23 1 0:21 / /sys rw - sysfs sysfs rw\n47 23 0:39 / /sys/fs/bpf rw - bpf bpf rw,mode=700\n";
        assert!(has_bpffs(mounts, libc::makedev(0, 39)));
        assert!(!has_bpffs(mounts, libc::makedev(0, 21)), "another file system");
        assert!(!has_bpffs(mounts, libc::makedev(0, 40)), "another bpffs");
    }

    #[test]
    fn a_folder_that_is_not_there_is_clear() {
        let pins = Pins { owner: PathBuf::from("/no/such/folder") };
        assert_eq!(pins.clear().unwrap(), 0);
    }
}
