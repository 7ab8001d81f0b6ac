//! Background mode: forks, and lets the foreground process end once the daemon works.
//!
//! Enters: nothing. Leaves: a second process that goes on, and a first one that ends when the second is ready, or with
//! its exit code. Absent: threads; there must be none yet.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe, setsid};

use crate::daemon::log;

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Side {
    /// The first one: it must end with this code.
    Foreground(u8),
    /// The second one, in a session of its own.
    Background(Waiting),
}

/// The foreground process, which waits for the daemon to be ready, or to end.
#[derive(Debug)]
pub struct Waiting(OwnedFd);

/// Forks the process. The first one waits until the second is ready or has ended.
///
/// # Errors
/// No process can be made.
///
/// # Safety
/// The process has one thread.
pub unsafe fn divide() -> io::Result<Side> {
    let (heard, reported) = pipe()?;
    // SAFETY: with one thread, as the caller promises, no lock can be held by a thread that the copy lacks.
    match unsafe { fork()? } {
        ForkResult::Parent { child } => {
            drop(reported);
            Ok(Side::Foreground(wait(child, heard)))
        }
        ForkResult::Child => {
            drop(heard);
            setsid()?;
            chdir("/")?;
            Ok(Side::Background(Waiting(reported)))
        }
    }
}

/// A pipe that ends without a byte means that the process has ended; it has logged why.
fn wait(child: Pid, heard: OwnedFd) -> u8 {
    let ready = File::from(heard).read(&mut [0]).is_ok_and(|read| read == 1);
    if ready {
        return 0;
    }
    match waitpid(child, None) {
        Ok(WaitStatus::Exited(_, code)) => u8::try_from(code).unwrap_or(1),
        _ => 1,
    }
}

impl Waiting {
    /// Lets the foreground end, and releases the terminal.
    ///
    /// # Errors
    /// `/dev/null` cannot replace the standard streams.
    pub fn ready(self, keep_stderr: bool) -> io::Result<()> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        if !keep_stderr {
            dup2_stderr(&null)?;
            log::stderr_replaced();
        }
        // Fails if the foreground process is gone.
        let _ = File::from(self.0).write_all(b"r");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_ready_and_silence_the_end() {
        let (heard, reported) = pipe().unwrap();
        File::from(reported).write_all(b"r").unwrap();
        assert_eq!(wait(Pid::from_raw(0), heard), 0);
    }
}
