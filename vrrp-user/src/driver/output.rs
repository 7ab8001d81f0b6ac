//! The tail of a command's output.
//!
//! Enters: stdout and stderr of all runs of one command, through one pipe. Leaves: the last [`TAIL`] bytes of the
//! latest run. Absent: everything before them. A flood costs almost nothing: the pipe is drained at a bounded pace, and
//! a faster writer blocks.
//!
//! The pipe stays open between runs and is drained then too, so that background processes of a run may go on printing,
//! as they could to `/dev/null`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{pipe2, read};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

/// Bytes kept.
pub const TAIL: usize = 512;

/// Bytes read before each pause, the capacity of a pipe; and the pause.
const PIPEFUL: usize = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(1);

/// The output of one command, run after run.
#[derive(Debug)]
pub struct Output {
    reader: AsyncFd<OwnedFd>,
    writer: OwnedFd,
    tail: VecDeque<u8>,
}

impl Output {
    /// Must be called within a runtime.
    ///
    /// # Errors
    /// The pipe cannot be created.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        // A run of another user opens /dev/stderr by its name, as it could /dev/null.
        fchmod(&writer, Mode::from_bits_truncate(0o622))?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // SAFETY: an owned descriptor stays open and the same for as long as it lives.
        let reader = unsafe { AsyncFd::register_with_interest(reader, Interest::READABLE)? };
        Ok(Self { reader, writer, tail: VecDeque::with_capacity(TAIL) })
    }

    /// An output whose writers outlive the daemon: each is a reader too, so that none gets SIGPIPE after its end.
    ///
    /// # Errors
    /// The pipe cannot be created.
    pub fn surviving() -> io::Result<Self> {
        let mut output = Self::new()?;
        let path = format!("/proc/self/fd/{}", output.writer.as_raw_fd());
        // Without /proc a writer gets SIGPIPE.
        if let Ok(both) = File::options().read(true).write(true).open(path) {
            output.writer = both.into();
        }
        Ok(output)
    }

    /// Discards earlier output.
    pub(super) fn begin(&mut self) {
        take(self.reader.get_ref(), &mut self.tail);
        self.tail.clear();
    }

    /// The end of the pipe that a run writes to.
    pub(super) fn to_writer(&self) -> nix::Result<OwnedFd> {
        self.writer.try_clone().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EMFILE)))
    }

    /// Drains the pipe, for ever.
    pub async fn follow(&mut self) -> Infallible {
        loop {
            // The writer held here keeps the pipe from reporting end of file.
            let Ok(mut ready) = self.reader.readable().await else {
                sleep(PAUSE).await;
                continue;
            };
            if take(ready.get_inner(), &mut self.tail) < PIPEFUL {
                ready.clear_ready();
            } else {
                drop(ready);
                sleep(PAUSE).await;
            }
        }
    }

    /// The last output since the latest run began, printable; empty if there was none.
    pub fn tail(&mut self) -> String {
        take(self.reader.get_ref(), &mut self.tail);
        printable(self.tail.make_contiguous())
    }
}

impl Drop for Output {
    /// Background processes that go on printing lose what does not fit, instead of waiting for a reader for ever.
    fn drop(&mut self) {
        let _ = fcntl(&self.writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
    }
}

/// Reads what is available, at most [`PIPEFUL`]; returns the number of bytes.
fn take(reader: &OwnedFd, tail: &mut VecDeque<u8>) -> usize {
    let mut buffer = [0; 4096];
    let mut taken = 0;
    while taken < PIPEFUL
        && let Ok(read) = read(reader, &mut buffer)
    {
        taken = taken.saturating_add(read);
        let chunk = buffer.get(..read).unwrap_or_default();
        let kept = chunk.get(read.saturating_sub(TAIL)..).unwrap_or_default();
        let surplus = tail.len().saturating_add(kept.len()).saturating_sub(TAIL);
        tail.drain(..surplus);
        tail.extend(kept);
    }
    taken
}

/// One line without control characters: what others have chosen, such as the answer of a service or the name of a
/// process, must not control the terminal that shows it.
pub fn escaped(text: &str) -> String {
    let mut line = String::new();
    for letter in text.chars() {
        if letter.is_control() { line.extend(letter.escape_default()) } else { line.push(letter) }
    }
    line
}

/// Text safe for a terminal: keeps line feeds, escapes other control characters and invalid UTF-8.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\n' => text.push('\n'),
                letter if letter.is_control() => {
                    let mut bytes = [0; 4];
                    let bytes = letter.encode_utf8(&mut bytes).bytes();
                    text.extend(bytes.flat_map(std::ascii::escape_default).map(char::from));
                }
                letter => text.push(letter),
            }
        }
        text.extend(chunk.invalid().iter().flat_map(|byte| byte.escape_ascii()).map(char::from));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tokio::time::timeout;

    use super::*;

    #[test]
    fn nothing_printed_steers_the_terminal() {
        assert_eq!(printable(b"a\nb\x1b[2J\xff\xc3\xa4\t\n\n"), "a\nb\\x1b[2J\\xff\u{e4}\\t");
        assert_eq!(printable(b""), "");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_end_is_kept_and_a_new_run_begins_empty() {
        let mut output = Output::new().unwrap();
        let mut writer = File::from(output.to_writer().unwrap());
        writer.write_all(&[b'x'; 1000]).unwrap();
        writer.write_all(b"end\n").unwrap();
        assert_eq!(output.tail(), format!("{}end", "x".repeat(TAIL - 4)));
        writer.write_all(b"late").unwrap();
        output.begin();
        assert_eq!(output.tail(), "");
        writer.write_all(b"new").unwrap();
        assert_eq!(output.tail(), "new");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_writer_may_outlive_the_reader() {
        let output = Output::surviving().unwrap();
        let mut writer = File::from(output.to_writer().unwrap());
        drop(output);
        writer.write_all(b"no SIGPIPE").unwrap();
        let full = writer.write_all(&[b'x'; 2 * PIPEFUL]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn other_users_may_open_the_pipe_by_its_name() {
        use std::os::unix::fs::MetadataExt;

        let writer = File::from(Output::new().unwrap().to_writer().unwrap());
        assert_eq!(writer.metadata().unwrap().mode() & 0o777, 0o622);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_flood_is_taken_at_a_bounded_pace() {
        let mut output = Output::new().unwrap();
        let mut writer = File::from(output.to_writer().unwrap());
        let flood = std::thread::spawn(move || {
            let mut written = 0_u64;
            while writer.write_all(&[b'y'; 4096]).is_ok() {
                written += 4096;
            }
            written
        });
        let _ = timeout(Duration::from_millis(200), output.follow()).await;
        assert_eq!(output.tail.len(), TAIL);
        drop(output);
        let written = flood.join().unwrap();
        // More than a pipe holds, also on a machine that does not run for a moment.
        assert!((2 * PIPEFUL as u64..32 << 20).contains(&written), "{written} bytes");
    }
}
