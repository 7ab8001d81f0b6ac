//! Other daemons of this program in the same network namespace, each with a runtime directory of its own.
//!
//! Enters: the listening sockets of the namespace, as the kernel lists them. Leaves: the daemons there, and what a
//! configuration must not share with them. [`presence`] finds those in another mount namespace, whose files cannot be
//! reached, and has daemons look one after the other.

pub mod presence;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tracing::info;

pub use self::presence::Baton;
use super::control::client;
use super::process::runtime_dir;
use super::status::{SharedContext, Status};
use crate::config::{Config, InstanceSettings};
use crate::driver::abstract_socket::{self, Peer};

/// Longest wait for another daemon that starts or reloads.
pub const BATON_WAIT: Duration = Duration::from_secs(10);

/// From a start or a reload without the baton to the second look at the others, and from each look without it to the
/// next.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// `__SO_ACCEPTCON`: the socket listens.
const LISTENS: &str = "00010000";

/// Another daemon.
#[derive(Debug)]
pub struct Neighbour {
    /// As that daemon sees it.
    pub runtime_dir: PathBuf,
    /// The connection for its status, if its files cannot be reached.
    apart: Option<UnixStream>,
}

impl Neighbour {
    /// Whether its runtime directory is in another mount namespace.
    pub fn is_apart(&self) -> bool {
        self.apart.is_some()
    }

    fn status(self) -> Option<Status> {
        let status = match self.apart {
            Some(stream) => client::status_over(stream),
            None => client::status(&self.runtime_dir),
        };
        status.ok().filter(|status| !status.node.is_bridge)
    }
}

/// The others; `own` is the runtime directory of this one.
pub fn find(own: &Path) -> Vec<Neighbour> {
    let sockets = sockets().unwrap_or_default();
    let canonical = fs::canonicalize(own).ok();
    let is_other = |folder: &Path| fs::canonicalize(folder).is_ok_and(|it| Some(it) != canonical);
    let folders = listening(&sockets).filter(|path| runtime_dir::is_socket(path));
    // One for several sockets.
    let folders: BTreeSet<PathBuf> = folders.filter_map(|path| Some(path.parent()?.to_owned())).collect();
    // Any user may listen under this name, but no daemon starts in a folder that another user may change.
    let folders = folders.into_iter().filter(|folder| is_other(folder) && runtime_dir::trust(folder).is_ok());
    let holder = |folder: &Path| {
        let stream = abstract_socket::join_path(&runtime_dir::socket(folder)).ok()?;
        Some(Peer::of(&stream).ok()?.pid)
    };
    // In a hot restart, the daemon of this runtime directory is the one that is replaced.
    let mut known: Vec<u32> = holder(own).into_iter().chain([std::process::id()]).collect();
    let mut others = Vec::new();
    for runtime_dir in folders {
        known.extend(holder(&runtime_dir));
        others.push(Neighbour { runtime_dir, apart: None });
    }
    // A process of another pid namespace has no pid here.
    let apart =
        presence::list(&sockets).into_iter().filter(|it| it.peer.pid == 0 || !known.contains(&it.peer.pid));
    others.extend(apart.map(|it| Neighbour { runtime_dir: it.runtime_dir, apart: Some(it.stream) }));
    others
}

/// Runtime directories of daemons that may be alive, this one among them: also of those that hang, and of those in
/// other mount namespaces, as they see them.
///
/// # Errors
/// The sockets of this network namespace cannot be read.
pub fn directories() -> io::Result<Vec<PathBuf>> {
    let sockets = sockets()?;
    let paths = listening(&sockets).filter(|path| runtime_dir::is_socket(path));
    let folders = paths.filter_map(|path| Some(path.parent()?.to_owned()));
    Ok(folders.chain(presence::directories(&sockets)).collect())
}

/// Any user may have bound a name that is no text.
fn sockets() -> io::Result<String> {
    fs::read("/proc/thread-self/net/unix").map(|table| String::from_utf8_lossy(&table).into_owned())
}

/// Paths of sockets that listen, of a table as in `/proc/net/unix`.
fn listening(table: &str) -> impl Iterator<Item = PathBuf> {
    table.lines().filter_map(|line| {
        let (columns, path) = line.split_once(" /")?;
        (columns.split_whitespace().nth(3) == Some(LISTENS)).then(|| Path::new("/").join(path))
    })
}

/// For each virtual router and each address of `config` that another daemon has on the same interface, a line for
/// people; and one for another daemon with the same runtime directory. Asks the others, which answer within seconds, or
/// not at all if they hang.
pub fn clashes(config: &Config, own: &Path) -> Vec<String> {
    clashes_by(config, own, |_, _| true)
}

/// Looks again for a daemon that has started or reloaded without the baton. Returns when the answer is certain: what
/// another daemon has as well, or nothing after a look with the baton. A daemon that looks later finds this one, or
/// that it has given way.
pub async fn look_again(shared: SharedContext, runtime_dir: PathBuf) -> (Vec<String>, Option<Baton>) {
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let (shared, runtime_dir) = (shared.clone(), runtime_dir.clone());
        let look = move || {
            let baton = Baton::take(BATON_WAIT, |_| ()).ok();
            let by = if baton.is_some() { clashes } else { clashes_out_of_order };
            (by(&shared.now().config, &runtime_dir), baton)
        };
        // Fails with a panic, and the process with it.
        let Ok((clashes, baton)) = spawn_blocking(look).await else { continue };
        if clashes.is_empty() && baton.is_none() {
            continue;
        }
        if clashes.is_empty() {
            info!("no other vrrpx of this network namespace has a virtual router or address of this one");
        }
        return (clashes, baton);
    }
}

/// The same for a daemon that has started without the baton and looks again without it. Others may do so at the same
/// time, and one of them is to stay: the one with the lowest process id.
pub fn clashes_out_of_order(config: &Config, own: &Path) -> Vec<String> {
    let this = (std::process::id(), own);
    clashes_by(config, own, |pid, folder| this >= (pid, folder))
}

/// `counts`: whether to look at the daemon with this process id and runtime directory.
fn clashes_by(config: &Config, own: &Path, counts: impl Fn(u32, &Path) -> bool) -> Vec<String> {
    let ask = |neighbour: Neighbour| {
        let (runtime_dir, is_apart) = (neighbour.runtime_dir.clone(), neighbour.is_apart());
        Some((runtime_dir, is_apart, neighbour.status()?))
    };
    // All at once: one that hangs takes five seconds, and a reload has ten.
    let answers: Vec<_> = thread::scope(|scope| {
        let asked: Vec<_> = find(own).into_iter().map(|other| scope.spawn(move || ask(other))).collect();
        asked.into_iter().filter_map(|it| it.join().ok().flatten()).collect()
    });
    let counted = answers.iter().filter(|(folder, _, status)| counts(status.node.pid, folder));
    let lines = counted.flat_map(|(folder, is_apart, status)| {
        // The names of its program, pins and tables follow from it.
        let is_same = *is_apart && presence::is_named(own, folder);
        let named = is_same.then(|| {
            format!(
                "another vrrpx (pid {}) of this network namespace has the runtime directory {} in another mount \
                 namespace; give each its own --runtime-dir",
                status.node.pid,
                folder.display()
            )
        });
        named.into_iter().chain(shared(config, status, folder))
    });
    lines.collect()
}

fn shared(config: &Config, theirs: &Status, folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let (pid, folder) = (theirs.node.pid, folder.display());
    for settings in config.instances.iter().map(|instance| &instance.settings) {
        let on_link = theirs.instances.iter().filter(|it| *it.interface == *settings.interface);
        for other in on_link {
            let InstanceSettings { name, interface, vrid, .. } = &**settings;
            let of = format!(
                "of another vrrpx (pid {pid}, runtime directory {folder}) on {interface}; give it to one of them"
            );
            let is_same =
                other.vrid == vrid.number() && other.family == super::status::family(settings.family);
            if is_same {
                lines.push(format!(
                    "vrrp_instance {name}: VRID {} ({}) is that of vrrp_instance {} {of}",
                    other.vrid, other.family, other.name
                ));
                continue;
            }
            let has = |address: IpAddr| {
                let text = address.to_string();
                other.addresses.iter().any(|it| it.address.split('/').next() == Some(&*text))
            };
            let own = settings.addresses.all().filter(|it| settings.device_of(it) == &settings.interface);
            for address in own.map(|it| it.address).filter(|it| has(*it)) {
                lines.push(format!(
                    "vrrp_instance {name}: {address} is an address of vrrp_instance {} {of}",
                    other.name
                ));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_that_listen_are_found() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 37104 /run/a b/control.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 37105 /run/vrrpx/control.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 37106 @/run/abstract/control.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 37107\n";
        let found: Vec<PathBuf> = listening(table).collect();
        assert_eq!(found, [PathBuf::from("/run/a b/control.sock")]);
    }

    #[test]
    fn a_folder_that_others_may_change_is_no_neighbour() {
        use std::os::unix::fs::PermissionsExt;

        let folder = std::env::temp_dir().join(format!("vrrpx-neighbour-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(folder.join("control.sock")).unwrap();
        for (mode, is_found) in [(0o755, true), (0o777, false)] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
            let others = find(Path::new("/nowhere"));
            assert_eq!(others.iter().any(|it| it.runtime_dir == folder), is_found, "{mode:o}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
