//! The guard process. Once it waits, it allocates nothing. It knows nothing of addresses: it sends requests that are
//! encoded already, and removes files by name.
//!
//! Its memory is locked, so it keeps no more than it needs: the pages of the program that its start has used are
//! released, and a rehearsal brings back those of its work.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::{process, thread};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_name;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, send, socket,
};
use nix::unistd::setsid;
use tracing::Level;

use crate::daemon::log;
use crate::driver::cleanup_plan::{self, CleanupPlan, End, PinPaths, Stages};
use crate::driver::clock;
use crate::driver::memory;
use crate::driver::netlink::filter;
use crate::driver::netlink::kin::{self, GUARD};

/// Waits for the end of the daemon that has started this process, with the plan at the standard input and a pidfd of
/// the daemon at the standard output; carries out the plan unless the daemon has ended in order.
///
/// # Errors
/// It was not started by a daemon.
pub fn run() -> io::Result<()> {
    let plan = CleanupPlan::inherit(File::from(io::stdin().as_fd().try_clone_to_owned()?))?;
    let daemon = io::stdout().as_fd().try_clone_to_owned()?;
    // Without it, ps shows the name by which the kernel started this process.
    let _ = set_name(GUARD);
    let last_words = last_words();
    stand_apart()?;
    let netlink =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    // Other daemons name what has removed something of theirs. Without this port, the kernel gives another one.
    let _ = bind(netlink.as_raw_fd(), &NetlinkAddr::new(kin::guard_port(process::id()), 0));
    memory::release_program();
    rehearse(daemon.as_fd(), &netlink);
    // If locking is not permitted, a page may have to be read before the addresses can go.
    let _ = memory::lock();
    wait_for_end(daemon.as_fd(), PollTimeout::NONE)?;
    if !plan.is_deactivated()
        // SAFETY: the daemon, the only writer, has died, and the next one writes after it has relieved this process.
        && let Some(steps) = unsafe { plan.read() }
    {
        let [death, stop, failure] = &last_words;
        let last_words = match plan.end() {
            End::Death => death,
            End::Stop => stop,
            End::Failure => failure,
        };
        carry_out(steps, Some(&plan), &netlink, last_words);
        // Another daemon may set the same addresses now: `vrrpx cleanup` must not remove those.
        plan.deactivate();
    }
    Ok(())
}

/// One for each [`End`].
fn last_words() -> [String; 3] {
    End::ALL.map(|end| {
        let (level, text) = match end {
            End::Death => (Level::ERROR, "the daemon has died; its addresses are removed"),
            End::Stop => {
                (Level::WARN, "the daemon has stopped; addresses that it could not remove are removed now")
            }
            End::Failure => (Level::ERROR, "the daemon has failed; its addresses are removed"),
        };
        log::plain(level, &format!("vrrpx guard: {text}"))
    })
}

/// Ignores the SIGTERM by which systemd ends the rest of a service, and the signals of a terminal to what it has
/// started.
fn stand_apart() -> io::Result<()> {
    // It may lead its session already.
    let _ = setsid();
    for ignored in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
        // SAFETY: to ignore a signal runs no code.
        unsafe { signal(ignored, SigHandler::SigIgn)? };
    }
    Ok(())
}

/// Uses everything that the work needs, so that it is in memory.
fn rehearse(daemon: BorrowedFd<'_>, netlink: &OwnedFd) {
    // Fails only if the daemon has ended, or left, which the guard notices next.
    let _ = wait_for_end(daemon, PollTimeout::ZERO);
    if let Some(steps) = cleanup_plan::rehearsal() {
        carry_out(steps, None, netlink, "");
    }
}

fn wait_for_end(daemon: BorrowedFd<'_>, limit: PollTimeout) -> io::Result<()> {
    loop {
        match poll(&mut [PollFd::new(daemon, PollFlags::POLLIN)], limit) {
            Err(Errno::EINTR) => {}
            outcome => return outcome.map(drop).map_err(Into::into),
        }
    }
}

/// Requests that fail concern what is gone already, or what the next daemon will find. Ends early once `plan` is
/// deactivated: the daemon may have died after another one had replaced it, which deactivates the plan a moment later.
///
/// Never inlined: the rehearsal and the work must share one copy of the code.
#[inline(never)]
fn carry_out(
    (stages, pin_paths): (Stages<'_>, PinPaths<'_>),
    plan: Option<&CleanupPlan>,
    netlink: &OwnedFd,
    last_words: &str,
) {
    let died = clock::now();
    // The plan has not been touched before: it may be swapped out, or on the disk. No stage is due at once.
    cleanup_plan::bring_in(&stages, &pin_paths);
    for (after, messages) in stages {
        thread::sleep((died + after).since(clock::now()));
        if plan.is_some_and(CleanupPlan::is_deactivated) {
            return;
        }
        for message in messages {
            let _ = send(netlink.as_raw_fd(), message, MsgFlags::empty());
        }
    }
    pin_paths.for_each(remove);
    let _ = nix::unistd::write(io::stderr(), last_words.as_bytes());
}

/// The same without the delays, for a guard that has died. Filters and pins are left to the caller: a living daemon may
/// have them by now, under the same names.
///
/// # Errors
/// There is no netlink.
pub(super) fn carry_out_now(stages: Stages<'_>) -> io::Result<()> {
    let netlink =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    for message in stages.flat_map(|(_, messages)| messages).filter(|message| !filter::is_removal(message)) {
        let _ = send(netlink.as_raw_fd(), message, MsgFlags::empty());
    }
    Ok(())
}

fn remove(name: &CStr) {
    // SAFETY: the name ends with a zero byte.
    if unsafe { libc::unlink(name.as_ptr()) } != 0 {
        // SAFETY: as above.
        unsafe { libc::rmdir(name.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::driver::cleanup_plan::Stage;

    #[test]
    fn a_plan_that_is_deactivated_after_the_death_is_not_carried_out() {
        let folder = std::env::temp_dir().join(format!("vrrpx-guard-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let pin = folder.join("pin");
        let plan = CleanupPlan::open(&folder.join("guard")).unwrap();
        let stage = Stage { after: Duration::from_secs(1), requests: Vec::new() };
        let name = CString::new(pin.to_str().unwrap()).unwrap();
        plan.write(&[stage], [&*name].into_iter()).unwrap();
        let kind = (AddressFamily::Netlink, SockType::Raw, SockProtocol::NetlinkRoute);
        let netlink = socket(kind.0, kind.1, SockFlag::SOCK_CLOEXEC, kind.2).unwrap();
        for is_followed in [true, false] {
            fs::write(&pin, "").unwrap();
            plan.activate();
            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(Duration::from_millis(50));
                    let other = CleanupPlan::open(&folder.join("guard")).unwrap();
                    is_followed.then(|| other.deactivate());
                });
                // SAFETY: nothing writes a plan meanwhile.
                let steps = unsafe { plan.read() }.unwrap();
                carry_out(steps, Some(&plan), &netlink, "");
            });
            assert_eq!(pin.exists(), is_followed);
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
