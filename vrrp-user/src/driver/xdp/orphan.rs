//! Removal of orphaned pins of other daemons.
//!
//! The pins of a deleted network namespace stay in bpffs, and no later daemon has their name.
//!
//! Enters: the daemon's own folder of pins, among its siblings. Leaves: bpffs without orphans. Absent: pins of a living
//! daemon, which keeps its folder locked, and those with a program on any interface, which may fence.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aya::maps::{HashMap, Map, MapData, MapError, MapInfo};
use aya::programs::loaded_programs;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use vrrp_ebpf::map::LeaseKey;
use vrrp_ebpf::wire::Family;

use super::hook::Hook;
use super::pin::{BPFFS, FOLDER, PinError, Pins, unname};
use super::pod::Layout;

/// The map of fenced addresses.
const LEASES: &str = "LEASES";

/// `PROC_PID_INIT_INO` of the kernel: this namespace shows every process.
const ALL_PROCESSES: u64 = 0xefff_fffc;

/// Lock held during the life of a daemon.
#[derive(Debug)]
pub(super) struct Claim(#[expect(dead_code, reason = "held, never looked at")] Flock<File>);

impl Claim {
    /// # Errors
    /// The folder is gone.
    pub(super) fn on(owner: &Path) -> io::Result<Self> {
        // Another daemon that examines the folder locks it briefly.
        lock(owner, FlockArg::LockShared).map(Self)
    }
}

impl Pins {
    /// Removes the pins of dead daemons from bpffs, of any network namespace. Returns the number of those daemons.
    pub fn remove_orphans(&self) -> usize {
        let Some(all) = self.owner().parent() else { return 0 };
        let folders = fs::read_dir(all).into_iter().flatten().flatten().map(|entry| entry.path());
        // Read only if needed, and once.
        let mut namespaces = None;
        let mut is_gone = |inode| {
            let alive = namespaces.get_or_insert_with(|| namespaces_alive(Path::new("/proc")).ok());
            alive.as_ref().is_some_and(|alive| !alive.contains(&inode))
        };
        folders.filter(|it| it != self.owner() && remove(it, &mut is_gone).unwrap_or(false)).count()
    }

    /// The pins of every daemon of this network namespace, each with the runtime directory.
    pub fn of_every_daemon() -> Vec<(PathBuf, Self)> {
        let Ok(here) = fs::metadata("/proc/thread-self/ns/net").map(|it| it.ino()) else { return Vec::new() };
        let folders = fs::read_dir(Path::new(BPFFS).join(FOLDER)).into_iter().flatten().flatten();
        let folders = folders.map(|entry| entry.path()).filter(|it| namespace(it) == Some(here));
        folders.filter_map(|owner| Some((runtime_dir(&owner)?, Self::of(owner)))).collect()
    }

    /// Whether their daemon is alive.
    pub fn is_claimed(&self) -> bool {
        lock(self.owner(), FlockArg::LockExclusiveNonblock)
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The addresses that programs with these links fence, each with the interface of its requests.
    ///
    /// # Errors
    /// A map cannot be read, such as one of another version.
    pub fn fenced(&self) -> io::Result<Vec<(u32, IpAddr)>> {
        let mut all = Vec::new();
        for (_, link) in self.links().map_err(io::Error::other)? {
            all.extend(fenced(MapData::from_pin(link.with_file_name(LEASES)))?);
        }
        Ok(all)
    }

    /// Removes the pins, unless their daemon is alive. Returns whether there were any to remove.
    ///
    /// # Errors
    /// Something could not be removed.
    pub fn clear_dead(&self) -> Result<bool, PinError> {
        match lock(self.owner(), FlockArg::LockExclusiveNonblock) {
            Ok(_lock) => self.clear().map(|_| true),
            Err(_) => Ok(false),
        }
    }
}

/// The same for a program without pins. Needs CAP_SYS_ADMIN.
///
/// # Errors
/// The program or its map cannot be read.
pub fn fenced_by(program: u32) -> io::Result<Vec<(u32, IpAddr)>> {
    let program = loaded_programs().filter_map(Result::ok).find(|it| it.id() == program);
    let maps = program.and_then(|it| it.map_ids().ok().flatten()).unwrap_or_default();
    let is_it = |id: &u32| MapInfo::from_id(*id).is_ok_and(|map| map.name_as_str() == Some(LEASES));
    let map = maps.into_iter().find(is_it).ok_or(io::ErrorKind::PermissionDenied)?;
    fenced(MapData::from_id(map))
}

fn fenced(map: Result<MapData, MapError>) -> io::Result<Vec<(u32, IpAddr)>> {
    let map = map.map(Map::HashMap).and_then(HashMap::<_, Layout<LeaseKey>, u32>::try_from);
    let keys = map.and_then(|map| map.keys().collect::<Result<Vec<_>, _>>()).map_err(io::Error::other)?;
    let address = |Layout(key): Layout<LeaseKey>| {
        let [a, b, c, d, ..] = key.address;
        let is_v4 = key.family == Family::V4 as u32;
        (key.ifindex, if is_v4 { [a, b, c, d].into() } else { key.address.into() })
    };
    Ok(keys.into_iter().map(address).collect())
}

/// Pins that cannot be examined or removed stay.
fn remove(owner: &Path, is_gone: &mut impl FnMut(u64) -> bool) -> io::Result<bool> {
    let _lock = lock(owner, FlockArg::LockExclusiveNonblock)?;
    let pins = Pins::of(owner.to_owned());
    let links = pins.links().map_err(io::Error::other)?;
    let is_needless = match links.as_slice() {
        // Without links, only the namespace decides.
        [] => namespace(owner).is_some_and(is_gone),
        links => links.iter().all(|(_, pin)| Hook::open(pin).is_ok_and(|hook| !hook.is_attached())),
    };
    if is_needless {
        pins.clear().map_err(io::Error::other)?;
    }
    Ok(is_needless)
}

fn lock(folder: &Path, how: FlockArg) -> io::Result<Flock<File>> {
    Flock::lock(File::open(folder)?, how).map_err(|(_, errno)| errno.into())
}

/// The network namespace at the start of a folder's name.
fn namespace(owner: &Path) -> Option<u64> {
    let name = owner.file_name()?.to_str()?;
    name.split_once('+')?.0.parse().ok()
}

/// The runtime directory in a folder's name.
fn runtime_dir(owner: &Path) -> Option<PathBuf> {
    let (_, rest) = owner.file_name()?.to_str()?.split_once('+')?;
    Some(unname(&format!("+{rest}")))
}

/// Namespaces used by a process, or mounted under a name in the mount namespace of a process.
///
/// # Errors
/// Not all processes are visible here: the others may be in any namespace.
fn namespaces_alive(proc: &Path) -> io::Result<BTreeSet<u64>> {
    if fs::metadata(proc.join("self/ns/pid"))?.ino() != ALL_PROCESSES {
        return Err(Errno::EPERM.into());
    }
    let (mut alive, mut mounts) = (BTreeSet::new(), BTreeSet::new());
    for process in fs::read_dir(proc)?.flatten().map(|entry| entry.path()) {
        let name = process.file_name().unwrap_or_default().as_encoded_bytes();
        if !name.first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let inode = |name: &str| fs::metadata(process.join("ns").join(name)).map(|it| it.ino());
        alive.extend(unless_ended(inode("net"))?);
        if unless_ended(inode("mnt"))?.is_some_and(|inode| mounts.insert(inode)) {
            let lines = unless_ended(fs::read_to_string(process.join("mountinfo")))?;
            alive.extend(mounted(&lines.unwrap_or_default()));
        }
    }
    Ok(alive)
}

/// `None` for a process that has ended.
fn unless_ended<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH | libc::EINVAL)) => {
            Ok(None)
        }
        outcome => outcome.map(Some),
    }
}

/// The fourth word of a line is the root of the mount: `net:[4026532177]` for a namespace.
fn mounted(mountinfo: &str) -> impl Iterator<Item = u64> {
    mountinfo.lines().filter_map(|line| {
        let root = line.split(' ').nth(3)?;
        root.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_is_read_from_the_name() {
        let namespace_of = |name: &str| namespace(&PathBuf::from("/sys/fs/bpf/vrrpx").join(name));
        assert_eq!(namespace_of("4026532389+run+vrrpx"), Some(4_026_532_389));
        assert_eq!(namespace_of("v4"), None);
        assert_eq!(namespace_of("+run+vrrpx"), None);
    }

    #[test]
    fn the_runtime_directory_is_read_from_the_name() {
        let read = |name: &str| runtime_dir(&PathBuf::from("/sys/fs/bpf/vrrpx").join(name));
        assert_eq!(read("4026532389+run+vrrpx"), Some(PathBuf::from("/run/vrrpx")));
        assert_eq!(read("4026532389"), None);
    }

    #[test]
    fn namespaces_with_a_name_are_found_among_mounts() {
        let lines = "24 1 0:22 / /proc rw shared:12 - proc proc rw\n\
                     310 25 0:4 net:[4026532389] /run/netns/a rw shared:5 - nsfs nsfs rw\n\
                     311 25 0:4 mnt:[4026532390] /run/x rw - nsfs nsfs rw\n";
        assert_eq!(mounted(lines).collect::<Vec<_>>(), [4_026_532_389]);
    }

    #[test]
    fn the_namespace_of_this_process_is_alive() {
        let own = fs::metadata("/proc/self/ns/net").unwrap().ino();
        match namespaces_alive(Path::new("/proc")) {
            Ok(alive) => assert!(alive.contains(&own)),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
    }
}
