//! The file that daemon and guard map, on full file systems.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use vrrp_tests::needs;
use vrrp_tests::process::Directory;
use vrrp_user::driver::cleanup_plan::{CleanupPlan, Stage};

/// Runs on a separate file system of this many bytes, which ends with the thread.
fn on_a_file_system_of(bytes: u32, test: impl FnOnce(&Path) + Send + 'static) {
    thread::spawn(move || {
        let directory = Directory::new().unwrap();
        let path = directory.path();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let size = format!("size={bytes}");
        mount(Some("none"), path, Some("tmpfs"), MsFlags::empty(), Some(&*size)).unwrap();
        test(path);
        // A process that another test is starting may still have a descriptor of it.
        umount2(path, MntFlags::MNT_DETACH).unwrap();
    })
    .join()
    .unwrap();
}

/// Uses up the free space.
fn fill(path: &Path) {
    let mut file = File::create(path.join("filler")).unwrap();
    let error = loop {
        if let Err(error) = file.write_all(&[1; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull);
}

#[test]
#[needs("root")]
fn a_full_file_system_is_an_error_at_the_start() {
    on_a_file_system_of(256 << 10, |path| {
        let error = CleanupPlan::open(&path.join("guard")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        let text = error.to_string();
        assert!(text.starts_with(&*path.join("guard").to_string_lossy()), "{text}");
        assert!(text.ends_with("No space left on device"), "{text}");
    });
}

#[test]
#[needs("root")]
fn a_file_system_that_fills_up_later_does_no_harm() {
    on_a_file_system_of(10 << 20, |path| {
        // As an earlier release has left it: of full length, without an allocated block.
        File::create(path.join("guard")).unwrap().set_len(4096 + (8 << 20)).unwrap();
        let plan = CleanupPlan::open(&path.join("guard")).unwrap();
        fill(path);
        let stage = |length| [Stage { after: Duration::ZERO, requests: vec![7; length] }];
        for _ in 0..2 {
            plan.write(&stage((256 << 10) - 4096), [c"/gone"].into_iter()).unwrap();
        }
        let error = plan.write(&stage(1 << 20), std::iter::empty()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        // SAFETY: nothing writes to the plan while its names are in use.
        let (_, pin_paths) = unsafe { plan.read() }.unwrap();
        assert_eq!(pin_paths.collect::<Vec<_>>(), [c"/gone"], "the plan before");
        drop(plan);
        fs::remove_file(path.join("filler")).unwrap();
    });
    on_a_file_system_of(10 << 20, |path| {
        let plan = CleanupPlan::open(&path.join("guard")).unwrap();
        let stage = Stage { after: Duration::ZERO, requests: vec![7; (4 << 20) - 4096] };
        for _ in 0..2 {
            plan.write(std::slice::from_ref(&stage), std::iter::empty()).unwrap();
        }
    });
}
