//! Log lines on stderr, which never wait for their reader.
//!
//! Enters: lines. Leaves: the same on stderr, in pieces that a pipe takes whole, each once there is room for it. A
//! reader that has stopped (`vrrpx run 2>&1 | less`) is waited for once and for [`PATIENCE`]; then lines are dropped
//! and counted until it reads again. Absent: threads, so that the last line before an end is out.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;
use tracing_subscriber::fmt::MakeWriter;

/// How long to wait for a reader that has fallen behind, before it counts as stopped.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// `PIPE_BUF`: a pipe with room, as poll(2) reports it, takes as many bytes at once (pipe(7)).
const PIECE: usize = 4096;

/// Stderr, for all threads.
#[derive(Debug)]
pub(super) struct Stderr {
    lines: Mutex<Lines>,
}

impl Stderr {
    pub(super) const fn new() -> Self {
        Self { lines: Mutex::new(Lines { dropped: 0, is_stuck: false, is_torn: false }) }
    }

    pub(super) fn put(&self, line: &[u8]) {
        let stderr = io::stderr().lock();
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).put(stderr.as_fd(), line);
    }
}

impl<'a> MakeWriter<'a> for &'static Stderr {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self)
    }
}

/// Takes a line in one piece.
#[derive(Debug)]
pub(super) struct Line(&'static Stderr);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Lines {
    dropped: u64,
    is_stuck: bool,
    /// The latest line ends in its middle.
    is_torn: bool,
}

impl Lines {
    fn put(&mut self, to: BorrowedFd<'_>, line: &[u8]) {
        if self.dropped > 0 && self.has_room(to) {
            let end = if self.is_torn { "\n" } else { "" };
            let report = format!("{end}lines dropped here, as nothing has read stderr: {}\n", self.dropped);
            if self.write(to, report.as_bytes()) {
                (self.dropped, self.is_torn) = (0, false);
            }
        }
        // A line that is out in part counts as dropped.
        if self.dropped > 0 && self.is_torn || !self.write(to, line) {
            self.dropped += 1;
        }
    }

    /// False if it is not written to its end.
    fn write(&mut self, to: BorrowedFd<'_>, mut rest: &[u8]) -> bool {
        let whole = rest.len();
        while !rest.is_empty() {
            let piece = rest.get(..PIECE).unwrap_or(rest);
            let is_due = self.has_room(to);
            match if is_due { write(to, piece) } else { Err(Errno::EAGAIN) } {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(_) => {
                    self.is_torn |= rest.len() < whole;
                    return false;
                }
            }
        }
        true
    }

    /// Whether a piece is taken at once; waits for that if the reader has not stopped before.
    fn has_room(&mut self, to: BorrowedFd<'_>) -> bool {
        let limit = if self.is_stuck { Duration::ZERO } else { PATIENCE };
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO);
        let mut polled = [PollFd::new(to, PollFlags::POLLOUT)];
        loop {
            match poll(&mut polled, limit) {
                Err(Errno::EINTR) => {}
                // What cannot be polled is no pipe, and the write finds its error.
                outcome => {
                    self.is_stuck = outcome == Ok(0);
                    return !self.is_stuck;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use nix::fcntl::OFlag;
    use nix::unistd::pipe2;

    use super::*;
    use crate::driver::clock;

    #[test]
    fn a_reader_that_stops_delays_once_and_misses_a_counted_number_of_lines() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
        let mut lines = Lines { dropped: 0, is_stuck: false, is_torn: false };
        let line = "x".repeat(999) + "\n";
        let began = clock::now();
        let mut given = 0;
        while lines.dropped < 1000 {
            lines.put(writer.as_fd(), line.as_bytes());
            given += 1;
        }
        let took = clock::now().since(began);
        assert!(took < 10 * PATIENCE, "{given} lines have taken {took:?}");
        let mut reader = File::from(reader);
        let mut text = String::new();
        // The writer is still open: it ends in an error.
        let _ = reader.read_to_string(&mut text);
        assert_eq!(text.lines().count(), given - 1000);
        lines.put(writer.as_fd(), line.as_bytes());
        text.clear();
        let _ = reader.read_to_string(&mut text);
        assert_eq!(text, format!("lines dropped here, as nothing has read stderr: 1000\n{line}"));
    }

    #[test]
    fn a_long_line_that_is_cut_ends_before_the_next_one() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
        let mut lines = Lines { dropped: 0, is_stuck: false, is_torn: false };
        let long = "y".repeat(1 << 20);
        lines.put(writer.as_fd(), long.as_bytes());
        lines.put(writer.as_fd(), b"lost\n");
        let mut reader = File::from(reader);
        let mut text = String::new();
        let _ = reader.read_to_string(&mut text);
        assert!(text.len() > PIECE && text.bytes().all(|byte| byte == b'y'), "{}", text.len());
        lines.put(writer.as_fd(), b"next\n");
        text.clear();
        let _ = reader.read_to_string(&mut text);
        assert_eq!(text, "\nlines dropped here, as nothing has read stderr: 2\nnext\n");
    }
}
