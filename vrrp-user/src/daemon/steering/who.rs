//! The user behind a client of the control socket, as the kernel knows it.
//!
//! The uid is that of the socket (SO_PEERCRED). The login uid is set when a user logs in and survives sudo and su
//! (pam_loginuid(8)); a process without privileges cannot change it. The environment is not asked: any process can
//! write it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::unistd::Uid;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::driver::accounts;

/// Time limit for the name of a user, which may come from a directory service.
const PATIENCE: Duration = Duration::from_secs(1);

/// The login uid of a process without a login.
const UNSET: u32 = u32::MAX;

/// Such as `root (uid 0), logged in as alice (uid 1000)`.
pub(in crate::daemon) async fn name(uid: Option<u32>, pid: Option<i32>) -> String {
    let Some(uid) = uid else { return "an unknown user".to_owned() };
    let login = pid.and_then(|pid| login(pid, uid)).filter(|login| *login != uid);
    let mut text = user(uid).await;
    if let Some(login) = login {
        text.push_str(", logged in as ");
        text.push_str(&user(login).await);
    }
    text
}

fn login(pid: i32, uid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/loginuid")).ok()?;
    // Otherwise the process has ended, and its number is another's.
    fs::metadata(format!("/proc/{pid}")).ok().filter(|process| process.uid() == uid)?;
    text.trim().parse().ok().filter(|uid| *uid != UNSET)
}

async fn user(uid: u32) -> String {
    let named = spawn_blocking(move || accounts::user(Uid::from_raw(uid)).ok().flatten());
    match timeout(PATIENCE, named).await {
        Ok(Ok(Some(user))) => format!("{} (uid {uid})", user.name),
        _ => format!("uid {uid}"),
    }
}
