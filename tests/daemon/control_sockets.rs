//! The sockets of `vrrpx status` and of control as files: their groups, and a folder in their place.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{Gid, Uid};
use vrrp_user::daemon::control::{Control, SocketGroups};
use vrrp_user::daemon::process::runtime_dir::RuntimeDir;

use crate::setup::Folder;

#[tokio::test]
async fn groups_may_open_the_sockets() {
    if !Uid::effective().is_root() {
        return;
    }
    let folder = Folder::new();
    let claimed = RuntimeDir::claim(folder.path()).unwrap();
    let groups = SocketGroups { control: Some(Gid::from_raw(4711)), status: Some(Gid::from_raw(4712)) };
    let _control = Control::bind(&claimed, groups).unwrap();
    for (name, group) in [("control.sock", 4711), ("status.sock", 4712)] {
        let metadata = fs::metadata(folder.file(name)).unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.gid()), (0o660, group), "{name}");
    }
}

/// A container engine makes an empty folder of a socket that is not there; the daemon leaves one that has files alone.
#[tokio::test]
async fn an_empty_folder_in_the_place_of_a_socket_gives_way() {
    let folder = Folder::new();
    let claimed = RuntimeDir::claim(folder.path()).unwrap();
    fs::create_dir(folder.file("control.sock")).unwrap();
    fs::create_dir_all(folder.file("status.sock").join("x")).unwrap();
    let error = Control::bind(&claimed, SocketGroups::default()).unwrap_err().to_string();
    assert!(error.contains("status.sock: a folder is in the place of the socket"), "{error}");
    assert!(error.ends_with("; remove it, or name another --runtime-dir"), "{error}");
    fs::remove_dir(folder.file("status.sock").join("x")).unwrap();
    drop(Control::bind(&claimed, SocketGroups::default()).unwrap());
}
