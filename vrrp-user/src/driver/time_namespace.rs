//! Offset of this time namespace's clock from the host's.
//!
//! Enters: `/proc`, or the clock of the BPF program if `/proc` does not show the offset. Leaves: the offset, in
//! [`super::clock`]. Absent: a later change of namespace: a process stays in the one in which it was executed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use thiserror::Error;

use super::clock;
use super::xdp::ktime;

/// `PROC_TIME_INIT_INO` of the kernel: the namespace in which the host starts, which has no offset.
const INITIAL: u64 = 0xefff_fffa;

/// The program's timestamps cannot be compared with the clock of this process.
#[derive(Debug, Error)]
#[error(
    "the clock of this time namespace cannot be compared with the kernel's: /proc does not show the offset \
     ({reported}), and the program's clock cannot be read ({measured}); mount /proc"
)]
pub struct UnknownOffset {
    reported: io::Error,
    measured: io::Error,
}

/// Determines the offset and applies it from now on. Must be called once, before the clock is read. Returns ns.
///
/// # Errors
/// The offset is unknown: times of this process can only be compared with one another.
pub fn settle() -> Result<i64, UnknownOffset> {
    let offset = match reported(Path::new("/proc/self")) {
        Ok(offset) => offset,
        Err(reported) => ktime::offset().map_err(|measured| UnknownOffset { reported, measured })?,
    };
    clock::set_offset(offset);
    Ok(offset)
}

/// Reads the offset of a process from its folder in `/proc`.
fn reported(process: &Path) -> io::Result<i64> {
    let namespace = |name: &str| fs::metadata(process.join("ns").join(name)).map(|it| it.ino());
    // Every kernel has it: without it, /proc is not mounted.
    namespace("net")?;
    let own = match namespace("time") {
        Ok(INITIAL) => return Ok(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        own => own?,
    };
    // The file shows the offsets for children, whose namespace differs between unshare(2) and the next fork; on older
    // kernels, until the next exec too.
    if namespace("time_for_children")? != own {
        return Err(io::Error::other("timens_offsets is for child processes, in another namespace"));
    }
    let text = fs::read_to_string(process.join("timens_offsets"))?;
    parse(&text).ok_or_else(|| io::Error::other("cannot parse timens_offsets"))
}

/// Parses lines of the form `monotonic 1000 0`, with seconds and nanoseconds. Linux 5.6 wrote the number of the clock
/// instead of its name.
fn parse(offsets: &str) -> Option<i64> {
    offsets.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|clock| matches!(*clock, "monotonic" | "1"))?;
        let (seconds, nanos): (i64, i64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_with_their_nanoseconds() {
        let file = "monotonic        1000         0\nboottime            7         0\n";
        assert_eq!(parse(file), Some(1_000_000_000_000));
        assert_eq!(parse("1 -100 250000000\n7 0 0\n"), Some(-99_750_000_000));
        assert_eq!(parse("monotonic -1 500000000"), Some(-500_000_000));
        for wrong in ["", "boottime 1 0", "monotonic 1", "monotonic x 0", "monotonic 9223372036854775807 0"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn without_proc_nothing_is_reported() {
        assert_eq!(reported(Path::new("/no/such")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
