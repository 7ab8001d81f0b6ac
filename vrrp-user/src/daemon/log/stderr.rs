//! Log lines on stderr, which never wait for their reader.
//!
//! Enters: lines. Leaves: the same on stderr, in pieces that a pipe takes whole, each once there is room for it. A
//! reader that has stopped (`vrrpx run 2>&1 | less`) is waited for once and for [`PATIENCE`]; then lines are dropped
//! and counted until it reads again. A slow one is waited for as long, once in [`CALM`] at most. So is the disk of a
//! file: there a thread writes, and keeps some lines for a disk that does not answer; the end waits for the last ones.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::SFlag;
use nix::unistd::write;
use tracing_subscriber::fmt::MakeWriter;
use vrrp_ebpf::time::Timestamp;

use super::writer::Writer;
use crate::driver::clock;

/// How long to wait for a reader that has fallen behind, before it counts as stopped.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// `PIPE_BUF`: a pipe with room, as poll(2) reports it, takes as many bytes at once (pipe(7)).
const PIECE: usize = 4096;

/// From a full pipe to the next wait for its reader. One that is slow all the time does not delay the daemon all the
/// time.
const CALM: Duration = Duration::from_secs(10);

/// Longest time for which an end waits for a disk.
const END: Duration = Duration::from_secs(2);

/// Stderr, for all threads.
#[derive(Debug)]
pub(super) struct Stderr(Mutex<(Way, Lines)>);

impl Stderr {
    pub(super) const fn new() -> Self {
        Self(Mutex::new((Way { own: None, place: None, may_thread: false }, Lines::new())))
    }

    /// From now on a file is written by a thread. Call it when the process no longer forks.
    pub(super) fn spare_threads(&self) {
        let (way, _) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (way.may_thread, way.place) = (true, None);
    }

    pub(super) fn put(&self, line: &[u8]) {
        let stderr = io::stderr().lock();
        let (way, lines) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.put(way.to(stderr.as_fd()), line);
    }

    /// Waits for the lines of a thread, as the process ends.
    pub(super) fn finish(&self) {
        let (way, _) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Own::Writer(writer)) = &way.own {
            writer.wait(END);
        }
    }

    /// Lets go of what was stderr before, whose reader may wait for its end.
    pub(super) fn renew(&self) {
        let stderr = io::stderr().lock();
        let (way, _) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        way.to(stderr.as_fd());
    }
}

/// Where lines go.
#[derive(Debug)]
struct Way {
    own: Option<Own>,
    /// Device and inode of stderr.
    place: Option<Place>,
    may_thread: bool,
}

/// A way beside stderr itself.
#[derive(Debug)]
enum Own {
    /// For writes that do not wait: a terminal that has room may lack it for a whole line. The open file is another
    /// one, as other processes use that of stderr.
    Reopened(File),
    Writer(Writer),
}

#[derive(Clone, Copy, Debug)]
enum To<'a> {
    Descriptor(BorrowedFd<'a>),
    Writer(&'a Writer),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Place {
    device: (u32, u32),
    inode: u64,
    kind: SFlag,
}

impl Place {
    /// Does not wait for a server of files.
    fn of(stderr: BorrowedFd<'_>) -> Option<Self> {
        // SAFETY: the structure is plain numbers.
        let mut stat: libc::statx = unsafe { std::mem::zeroed() };
        let (flags, mask) =
            (libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC, libc::STATX_TYPE | libc::STATX_INO);
        // SAFETY: the descriptor is open, the path ends with a zero byte, and the structure is there for the call.
        let outcome = unsafe { libc::statx(stderr.as_raw_fd(), c"".as_ptr(), flags, mask, &raw mut stat) };
        (outcome == 0).then(|| Self {
            device: (stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            kind: SFlag::from_bits_truncate(stat.stx_mode.into()) & SFlag::S_IFMT,
        })
    }
}

impl Way {
    fn to<'a>(&'a mut self, stderr: BorrowedFd<'a>) -> To<'a> {
        let place = Place::of(stderr);
        if self.place != place {
            (self.own, self.place) = (place.and_then(|place| self.own(stderr, place)), place);
        }
        match &self.own {
            None => To::Descriptor(stderr),
            Some(Own::Reopened(file)) => To::Descriptor(file.as_fd()),
            Some(Own::Writer(writer)) => To::Writer(writer),
        }
    }

    /// `None`: writes go to stderr itself.
    fn own(&self, stderr: BorrowedFd<'_>, place: Place) -> Option<Own> {
        if place.kind == SFlag::S_IFREG {
            let file = self.may_thread.then(|| stderr.try_clone_to_owned()).transpose().ok()??;
            return Writer::start(file.into()).ok().map(Own::Writer);
        }
        if place.kind != SFlag::S_IFIFO && !stderr.is_terminal() {
            return None;
        }
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let path = format!("/proc/self/fd/{}", stderr.as_raw_fd());
        OpenOptions::new().write(true).custom_flags(flags).open(path).ok().map(Own::Reopened)
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
    /// Why the latest of them was, if not for want of a reader.
    failed: Option<Errno>,
    /// What is left of [`PATIENCE`].
    patience: Duration,
    /// When the pipe was full last.
    full: Option<Timestamp>,
    /// The latest line ends in its middle.
    is_torn: bool,
}

impl Lines {
    const fn new() -> Self {
        Self { dropped: 0, failed: None, patience: PATIENCE, full: None, is_torn: false }
    }

    fn put(&mut self, to: To<'_>, line: &[u8]) {
        self.count_failed(to);
        if self.dropped > 0 && self.has_room(to) {
            let end = if self.is_torn { "\n" } else { "" };
            let why = match (self.failed, to) {
                (None, To::Descriptor(_)) => "as nothing has read stderr".to_owned(),
                (None, To::Writer(_)) => "as the disk of stderr has not answered".to_owned(),
                (Some(errno), _) => format!("as stderr has failed ({})", errno.desc()),
            };
            let report = format!("{end}lines dropped here, {why}: {}\n", self.dropped);
            if self.write(to, report.as_bytes()) {
                (self.dropped, self.failed, self.is_torn) = (0, None, false);
            }
        }
        // A line that is out in part counts as dropped.
        if self.dropped > 0 && self.is_torn || !self.write(to, line) {
            self.dropped += 1;
        }
        if let To::Writer(_) = to {
            self.has_room(to);
            self.count_failed(to);
        }
    }

    /// Counts lines that a thread could not write.
    fn count_failed(&mut self, to: To<'_>) {
        if let To::Writer(writer) = to {
            let (count, error) = writer.take_failed();
            self.dropped += count;
            self.failed = error.or(self.failed);
        }
    }

    /// False if it is not written to its end.
    fn write(&mut self, to: To<'_>, mut rest: &[u8]) -> bool {
        let to = match to {
            // A line that has no room after all this patience is dropped.
            To::Writer(writer) => return writer.put(rest) || self.has_room(to) && writer.put(rest),
            To::Descriptor(descriptor) => descriptor,
        };
        let whole = rest.len();
        while !rest.is_empty() {
            let piece = rest.get(..PIECE).unwrap_or(rest);
            let is_due = self.has_room(To::Descriptor(to));
            match if is_due { write(to, piece) } else { Err(Errno::EAGAIN) } {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.failed = Some(errno).filter(|errno| *errno != Errno::EAGAIN).or(self.failed);
                    self.is_torn |= rest.len() < whole;
                    return false;
                }
            }
        }
        true
    }

    /// Whether a piece is taken at once, or every line of a thread is written; waits for that while there is patience
    /// left.
    fn has_room(&mut self, to: To<'_>) -> bool {
        if to.is_ready(Duration::ZERO) {
            return true;
        }
        let began = clock::now();
        if self.full.replace(began).is_some_and(|full| began.since(full) >= CALM) {
            self.patience = PATIENCE;
        }
        let is_ready = to.is_ready(self.patience);
        self.patience = self.patience.saturating_sub(clock::now().since(began));
        is_ready
    }
}

impl To<'_> {
    fn is_ready(self, limit: Duration) -> bool {
        match self {
            // A descriptor that cannot be polled is no pipe, and the write finds its error.
            Self::Descriptor(descriptor) => polled(descriptor, limit) != Ok(0),
            Self::Writer(writer) => writer.wait(limit),
        }
    }
}

/// poll(2) for room, again after a signal.
fn polled(to: BorrowedFd<'_>, limit: Duration) -> Result<i32, Errno> {
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO);
    loop {
        match poll(&mut [PollFd::new(to, PollFlags::POLLOUT)], limit) {
            Err(Errno::EINTR) => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::io::Read;
    use std::thread::{sleep, spawn};

    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::unistd::{pipe, pipe2};

    use super::*;

    #[test]
    fn a_reader_that_stops_delays_once_and_misses_a_counted_number_of_lines() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
        let mut lines = Lines::new();
        let line = "x".repeat(999) + "\n";
        let began = clock::now();
        let mut given = 0;
        while lines.dropped < 1000 {
            lines.put(To::Descriptor(writer.as_fd()), line.as_bytes());
            given += 1;
        }
        let took = clock::now().since(began);
        assert!(took < 10 * PATIENCE, "{given} lines have taken {took:?}");
        let mut reader = File::from(reader);
        let mut text = String::new();
        // The writer is still open: it ends in an error.
        let _ = reader.read_to_string(&mut text);
        assert_eq!(text.lines().count(), given - 1000);
        lines.put(To::Descriptor(writer.as_fd()), line.as_bytes());
        text.clear();
        let _ = reader.read_to_string(&mut text);
        assert_eq!(text, format!("lines dropped here, as nothing has read stderr: 1000\n{line}"));
    }

    #[test]
    fn a_long_line_that_is_cut_ends_before_the_next_one() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
        let mut lines = Lines::new();
        let long = "y".repeat(1 << 20);
        lines.put(To::Descriptor(writer.as_fd()), long.as_bytes());
        lines.put(To::Descriptor(writer.as_fd()), b"lost\n");
        let mut reader = File::from(reader);
        let mut text = String::new();
        let _ = reader.read_to_string(&mut text);
        assert!(text.len() > PIECE && text.bytes().all(|byte| byte == b'y'), "{}", text.len());
        lines.put(To::Descriptor(writer.as_fd()), b"next\n");
        text.clear();
        let _ = reader.read_to_string(&mut text);
        assert_eq!(text, "\nlines dropped here, as nothing has read stderr: 2\nnext\n");
    }

    #[test]
    fn a_slow_reader_delays_a_few_lines_only() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let draining = spawn(move || {
            let mut reader = File::from(reader);
            while reader.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                sleep(PATIENCE / 2);
            }
        });
        let mut lines = Lines::new();
        let line = "z".repeat(999) + "\n";
        let (began, mut waited) = (clock::now(), Duration::ZERO);
        while clock::now().since(began) < 20 * PATIENCE {
            let put = clock::now();
            lines.put(To::Descriptor(writer.as_fd()), line.as_bytes());
            waited += clock::now().since(put);
            sleep(Duration::from_millis(1));
        }
        assert!(waited < 6 * PATIENCE, "{waited:?}");
        lines.full = lines.full.map(|full| Timestamp::from_nanos(full.as_nanos().saturating_sub(1 << 40)));
        while lines.patience < PATIENCE / 4 {
            lines.put(To::Descriptor(writer.as_fd()), line.as_bytes());
        }
        drop(writer);
        draining.join().unwrap();
    }

    #[test]
    fn a_report_names_another_reason_than_the_reader() {
        let mut lines = Lines::new();
        let full = File::options().write(true).open("/dev/full").unwrap();
        lines.put(To::Descriptor(full.as_fd()), b"lost\n");
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
        lines.put(To::Descriptor(writer.as_fd()), b"next\n");
        let mut text = String::new();
        let _ = File::from(reader).read_to_string(&mut text);
        let expected = "lines dropped here, as stderr has failed (No space left on device): 1\nnext\n";
        assert_eq!(text, expected);
    }

    /// The ends of a new terminal.
    fn terminal() -> (File, File) {
        let mut both = File::options();
        both.read(true).write(true).custom_flags(libc::O_NOCTTY);
        let master = both.open("/dev/ptmx").unwrap();
        let mut name = [0; 64];
        // SAFETY: the descriptor is open.
        assert_eq!(unsafe { libc::unlockpt(master.as_raw_fd()) }, 0);
        // SAFETY: the buffer has this length.
        let named = unsafe { libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr(), name.len()) };
        assert_eq!(named, 0);
        // SAFETY: the call has ended it with a zero.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        let end = both.open(name.to_str().unwrap()).unwrap();
        (master, end)
    }

    #[test]
    fn writes_to_a_terminal_or_a_blocking_pipe_do_not_wait() {
        let (master, end) = terminal();
        let (reader, writer) = pipe().unwrap();
        for stderr in [end, File::from(writer)] {
            let mut way = Way { own: None, place: None, may_thread: true };
            let mut lines = Lines::new();
            let began = clock::now();
            let line = "w".repeat(999) + "\n";
            while lines.dropped < 100 {
                lines.put(way.to(stderr.as_fd()), line.as_bytes());
            }
            assert!(clock::now().since(began) < 20 * PATIENCE);
            let flags = OFlag::from_bits_retain(fcntl(&stderr, FcntlArg::F_GETFL).unwrap());
            assert!(!flags.contains(OFlag::O_NONBLOCK), "other processes write to the same open file");
            // Another file in its place is used.
            let null = File::options().write(true).open("/dev/null").unwrap();
            way.to(null.as_fd());
            assert!(way.own.is_none());
        }
        drop((master, reader));
    }

    #[test]
    fn a_disk_that_hangs_delays_once_and_gets_the_lines_that_have_room() {
        // To the thread, a pipe that is full is such a disk.
        let (reader, writer) = pipe().unwrap();
        let disk = Writer::start(File::from(writer)).unwrap();
        let mut lines = Lines::new();
        let line = "v".repeat(999) + "\n";
        let (began, mut given) = (clock::now(), 0);
        while lines.dropped < 1000 {
            lines.put(To::Writer(&disk), line.as_bytes());
            given += 1;
        }
        let took = clock::now().since(began);
        assert!(took < 10 * PATIENCE, "{given} lines have taken {took:?}");
        let reading = spawn(move || {
            let mut text = String::new();
            File::from(reader).read_to_string(&mut text).unwrap();
            text
        });
        while !disk.wait(PATIENCE) {}
        lines.put(To::Writer(&disk), b"next\n");
        drop(disk);
        let text = reading.join().unwrap();
        let (kept, rest) = text.split_at((given - 1000) * line.len());
        assert!(kept.lines().count() > 100 && kept.lines().all(|kept| kept == line.trim_end()));
        assert_eq!(rest, "lines dropped here, as the disk of stderr has not answered: 1000\nnext\n");
    }

    #[test]
    fn lines_are_in_a_file_in_order_and_failed_ones_are_counted() {
        const LIMIT: Duration = Duration::from_secs(20);
        let path = std::env::temp_dir().join(format!("vrrpx-stderr-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        let mut way = Way { own: None, place: None, may_thread: true };
        let mut lines = Lines::new();
        for count in 0..100 {
            lines.put(way.to(file.as_fd()), format!("{count}\n").as_bytes());
        }
        assert!(matches!(&way.own, Some(Own::Writer(writer)) if writer.wait(LIMIT)));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().eq((0..100).map(|count| count.to_string())), "{text}");
        let full = Writer::start(File::options().write(true).open("/dev/full").unwrap()).unwrap();
        lines.put(To::Writer(&full), b"lost\n");
        assert!(full.wait(LIMIT));
        lines.count_failed(To::Writer(&full));
        assert_eq!((lines.dropped, lines.failed), (1, Some(Errno::ENOSPC)));
        std::fs::remove_file(path).unwrap();
    }
}
