//! Other daemons of this program in the same network namespace, each with a runtime directory of its own.
//!
//! Enters: the listening sockets of the namespace, as the kernel lists them. Leaves: runtime directories, and what a
//! configuration must not share with the daemons there. Absent: daemons in another mount namespace, whose sockets
//! cannot be reached by their paths.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread;

use super::control::client;
use super::process::runtime_dir;
use super::status::Status;
use crate::config::{Config, InstanceSettings};

/// `__SO_ACCEPTCON`: the socket listens.
const LISTENS: &str = "00010000";

/// Runtime directories of the others.
pub fn find(own: &Path) -> Vec<PathBuf> {
    let sockets = fs::read_to_string("/proc/thread-self/net/unix").unwrap_or_default();
    let own = fs::canonicalize(own).ok();
    let is_other = |folder: &Path| fs::canonicalize(folder).is_ok_and(|it| Some(it) != own);
    let name = runtime_dir::socket(Path::new(""));
    let folders = listening(&sockets).filter(|path| path.file_name() == name.file_name());
    let folders = folders.filter_map(|path| Some(path.parent()?.to_owned()));
    // Any user may listen under this name, but no daemon starts in a folder that another user may change.
    folders.filter(|folder| is_other(folder) && runtime_dir::trust(folder).is_ok()).collect()
}

/// Paths of sockets that listen, of a table as in `/proc/net/unix`.
fn listening(table: &str) -> impl Iterator<Item = PathBuf> {
    table.lines().filter_map(|line| {
        let (columns, path) = line.split_once(" /")?;
        (columns.split_whitespace().nth(3) == Some(LISTENS)).then(|| Path::new("/").join(path))
    })
}

/// For each virtual router and each address of `config` that another daemon has on the same interface, a line for
/// people. Asks the others, which answer within seconds, or not at all if they hang.
pub fn clashes(config: &Config, own: &Path) -> Vec<String> {
    let ask = |folder: PathBuf| {
        let status = client::status(&folder).ok().filter(|status| !status.node.is_bridge)?;
        Some((folder, status))
    };
    // All at once: one that hangs takes five seconds, and a reload has ten.
    let answers: Vec<_> = thread::scope(|scope| {
        let asked: Vec<_> = find(own).into_iter().map(|folder| scope.spawn(move || ask(folder))).collect();
        asked.into_iter().filter_map(|it| it.join().ok().flatten()).collect()
    });
    answers.iter().flat_map(|(folder, status)| shared(config, status, folder)).collect()
}

fn shared(config: &Config, theirs: &Status, folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let (pid, folder) = (theirs.node.pid, folder.display());
    for settings in config.instances.iter().map(|instance| &instance.settings) {
        let on_link = theirs.instances.iter().filter(|it| *it.interface == *settings.interface);
        for other in on_link {
            let InstanceSettings { name, interface, vrid, .. } = settings;
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
            assert_eq!(find(Path::new("/nowhere")).contains(&folder), is_found, "{mode:o}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
