//! The size of a terminal.

use std::os::fd::{AsFd, AsRawFd};

/// Columns of the terminal that a stream is; `None` if it is none, or one without a size, such as a serial line.
pub fn columns(stream: &impl AsFd) -> Option<usize> {
    // SAFETY: a plain structure of numbers.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one `winsize`, which lives across the call.
    let result = unsafe { libc::ioctl(stream.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_file_has_no_columns_and_a_terminal_those_that_it_was_given() {
        assert_eq!(columns(&File::open("/dev/null").unwrap()), None);
        let Ok(terminal) = File::options().read(true).write(true).open("/dev/ptmx") else { return };
        assert_eq!(columns(&terminal), None, "it has no size yet");
        let size = libc::winsize { ws_row: 24, ws_col: 40, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the kernel reads one `winsize`.
        assert_eq!(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }, 0);
        assert_eq!(columns(&terminal), Some(40));
    }
}
