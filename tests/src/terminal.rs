//! Terminals of a given width, for what commands print on them.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Command, ExitStatus, Stdio};
use std::ptr;

use anyhow::{Context, Result};
use nix::errno::Errno;

/// Runs a command whose stdout and stderr are a terminal of so many columns, and returns what it has printed there.
///
/// # Errors
/// There is no terminal left, or the command cannot be run.
pub fn on_terminal(mut command: Command, columns: u16) -> Result<(String, ExitStatus)> {
    let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: the function writes two descriptors, which live across the call, and reads the size.
    let failed = unsafe { libc::openpty(&mut master, &mut slave, ptr::null_mut(), ptr::null(), &size) } != 0;
    if failed {
        return Err(std::io::Error::last_os_error()).context("openpty");
    }
    // SAFETY: both were just opened, and have no other owner.
    let (mut master, slave) = unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    command.stdin(Stdio::null()).stdout(slave.try_clone()?).stderr(slave);
    let mut child = command.spawn().context("cannot run the command")?;
    // It has the terminal open itself.
    drop(command);
    let mut printed = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match master.read(&mut piece) {
            Ok(0) => break,
            // The last process has closed it.
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(count) => printed.extend(piece.get(..count).unwrap_or_default()),
            Err(error) => return Err(error).context("the terminal"),
        }
    }
    let text = String::from_utf8_lossy(&printed).replace('\r', "");
    Ok((text, child.wait()?))
}
