//! The cleanup plan for the death of the daemon, in a file that the daemon and its guard have mapped.
//!
//! Enters: netlink requests, each with its delay after the death, and file names. Leaves: the same, to a reader that
//! needs no memory of its own for it. Absent: the reader; see `daemon::guard`.
//!
//! Double-buffered: the writer fills the inactive half and then switches to it, so that a crash while writing leaves
//! the previous plan intact.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use nix::fcntl::posix_fallocate;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::Pid;

/// Bytes of a half; room for about 40000 addresses.
const HALF: usize = 4 << 20;
const HEADER: usize = 4096;
const EXTENT: NonZeroUsize = NonZeroUsize::new(HEADER + 2 * HALF).unwrap();

/// Bytes of each half that have blocks from the start; room for about 2500 addresses.
const RESERVED: usize = 256 << 10;

/// Header of each stage of the requests: its delay and its length in bytes.
const PART: usize = 16;

/// Bytes of the smallest page.
const PAGE: usize = 4096;

#[derive(Debug)]
pub struct CleanupPlan {
    file: File,
    base: NonNull<u8>,
}

/// Header of the file.
#[repr(C)]
struct Header {
    /// The active half, 1 or 2; 0: no plan.
    current: AtomicU32,
    /// The daemon has ended properly.
    ended: AtomicU32,
    /// Process id of the guard.
    guard: AtomicU32,
    /// An [`End`].
    end: AtomicU32,
    /// Bytes of requests and of names, for each half.
    lengths: [[AtomicU64; 2]; 2],
    /// Device and inode of the network namespace.
    namespace: [AtomicU64; 2],
}

const _: () = assert!(size_of::<Header>() <= HEADER);

/// How the daemon has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum End {
    /// Without a word.
    Death = 0,
    /// In order; it could not remove all of its addresses.
    Stop = 1,
    /// It has logged why it cannot go on.
    Failure = 2,
}

impl End {
    pub const ALL: [Self; 3] = [Self::Death, Self::Stop, Self::Failure];
}

// SAFETY: the header is atomic. Only one process writes to a half, and its reader waits until that process has died.
unsafe impl Send for CleanupPlan {}

/// Requests that are due together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stage {
    /// Delay after the death.
    pub after: Duration,
    /// Netlink messages.
    pub requests: Vec<u8>,
}

impl CleanupPlan {
    /// Opens the file, and creates it if missing. Existing content stays. Blocks are allocated before they are written
    /// to: a store into a mapped block for which the file system has no room kills the process (SIGBUS).
    ///
    /// # Errors
    /// The file cannot be written or mapped, or the file system is full.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if file.metadata()?.len() != EXTENT.get() as u64 {
            file.set_len(EXTENT.get() as u64)?;
        }
        let plan = Self::map(file)?;
        plan.allocate(0, HEADER)
            .and_then(|()| (0..2).try_for_each(|half| plan.reserve(half, 0)))
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        Ok(plan)
    }

    /// Allocates the blocks of a half for a plan of this length; if there is room, for one of twice the length.
    fn reserve(&self, half: usize, length: usize) -> io::Result<()> {
        let at = HEADER + half * HALF;
        let ample = length.saturating_mul(2).clamp(RESERVED, HALF);
        self.allocate(at, ample).or_else(|_| self.allocate(at, length.max(RESERVED)))
    }

    fn allocate(&self, at: usize, length: usize) -> io::Result<()> {
        let [at, extent] = [at, length].map(|it| libc::off_t::try_from(it).map_err(io::Error::other));
        posix_fallocate(&self.file, at?, extent?).map_err(|errno| {
            let why = format!("cannot allocate {length} bytes: {}", errno.desc());
            io::Error::new(io::Error::from(errno).kind(), why)
        })
    }

    /// From a descriptor of the file.
    ///
    /// # Errors
    /// The file does not have the length of a plan.
    pub fn inherit(file: File) -> io::Result<Self> {
        if file.metadata()?.len() != EXTENT.get() as u64 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Self::map(file)
    }

    fn map(file: File) -> io::Result<Self> {
        // SAFETY: a fresh mapping of a file that has this length.
        let base = unsafe {
            let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
            mmap(None, EXTENT, protection, MapFlags::MAP_SHARED, &file, 0)?
        };
        Ok(Self { file, base: base.cast() })
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Discards the plan.
    pub fn clear(&self) {
        self.header().current.store(0, Ordering::Release);
        self.header().ended.store(0, Ordering::Release);
        self.note_end(End::Death);
    }

    /// Deactivates the plan, and the guard may exit: the daemon cleans up itself.
    pub fn deactivate(&self) {
        self.header().ended.store(1, Ordering::Release);
    }

    /// Reactivates the plan after [`Self::deactivate`].
    pub fn activate(&self) {
        self.header().ended.store(0, Ordering::Release);
    }

    pub fn is_deactivated(&self) -> bool {
        self.header().ended.load(Ordering::Acquire) != 0
    }

    /// The daemon ends, and leaves the plan to the guard.
    pub fn note_end(&self, end: End) {
        self.header().end.store(end as u32, Ordering::Release);
    }

    /// How the daemon has ended.
    pub fn end(&self) -> End {
        let end = self.header().end.load(Ordering::Acquire);
        End::ALL.into_iter().find(|it| *it as u32 == end).unwrap_or(End::Death)
    }

    pub fn set_guard(&self, pid: u32) {
        self.header().guard.store(pid, Ordering::Release);
    }

    /// The guard set last.
    pub fn guard(&self) -> Option<Pid> {
        let pid = self.header().guard.load(Ordering::Acquire);
        i32::try_from(pid).ok().filter(|pid| *pid > 0).map(Pid::from_raw)
    }

    /// Whether the plan was written in this network namespace.
    pub fn is_of_this_namespace(&self) -> bool {
        let [device, inode] = &self.header().namespace;
        let written = [device, inode].map(|it| it.load(Ordering::Acquire));
        namespace().is_some_and(|here| here == written)
    }

    /// Replaces the plan. The stages run in order; then the names are removed, files and folders.
    ///
    /// # Errors
    /// The plan is too long, or the file system is full; the previous one stays in force.
    pub fn write<'a>(&self, stages: &[Stage], pin_paths: impl Iterator<Item = &'a CStr>) -> io::Result<()> {
        let mut requests = Vec::new();
        for Stage { after, requests: messages } in stages {
            let after = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
            requests.extend(after.to_ne_bytes());
            requests.extend((messages.len() as u64).to_ne_bytes());
            requests.extend(messages);
        }
        let pin_paths = pin_paths.flat_map(CStr::to_bytes_with_nul).copied().collect::<Vec<u8>>();
        let length = requests.len().saturating_add(pin_paths.len());
        if length > HALF {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let next = usize::from(self.header().current.load(Ordering::Acquire) == 1);
        self.reserve(next, length)?;
        // SAFETY: the half lies within the mapping, has room, and is inactive: it has no reader.
        unsafe {
            let half = self.base.as_ptr().add(HEADER + next * HALF);
            half.copy_from_nonoverlapping(requests.as_ptr(), requests.len());
            half.add(requests.len()).copy_from_nonoverlapping(pin_paths.as_ptr(), pin_paths.len());
        }
        if let Some([first, second]) = self.header().lengths.get(next) {
            first.store(requests.len() as u64, Ordering::Relaxed);
            second.store(pin_paths.len() as u64, Ordering::Relaxed);
        }
        for (word, number) in self.header().namespace.iter().zip(namespace().unwrap_or_default()) {
            word.store(number, Ordering::Relaxed);
        }
        self.header().current.store(if next == 0 { 1 } else { 2 }, Ordering::Release);
        Ok(())
    }

    /// The active plan's stages and names, if any.
    ///
    /// # Safety
    /// No process or thread may write a plan to the file while the result is in use: the writer has died, or it is the
    /// caller.
    pub unsafe fn read(&self) -> Option<(Stages<'_>, PinPaths<'_>)> {
        let half = (self.header().current.load(Ordering::Acquire) as usize).checked_sub(1)?;
        let [first, second] = self.header().lengths.get(half)?;
        let (first, second) = (first.load(Ordering::Relaxed), second.load(Ordering::Relaxed));
        // SAFETY: the half lies within the mapping, and nothing writes to it, as the caller promises.
        let bytes = unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(HEADER + half * HALF), HALF) };
        parse(bytes, usize::try_from(first).ok()?, usize::try_from(second).ok()?)
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping is aligned to pages, longer than a header, and every bit pattern is one.
        unsafe { self.base.cast().as_ref() }
    }
}

/// Device and inode of the network namespace of this thread.
fn namespace() -> Option<[u64; 2]> {
    fs::metadata("/proc/thread-self/ns/net").ok().map(|it| [it.dev(), it.ino()])
}

/// Stages and names of a half.
fn parse(half: &[u8], requests: usize, pin_paths: usize) -> Option<(Stages<'_>, PinPaths<'_>)> {
    let (requests, rest) = half.split_at_checked(requests)?;
    Some((Stages(requests), PinPaths(rest.get(..pin_paths)?)))
}

/// Reads a byte of each page of the stages and names, so that none has to be brought into memory when it is due.
pub fn bring_in(Stages(requests): &Stages<'_>, PinPaths(names): &PinPaths<'_>) {
    for bytes in [*requests, *names] {
        for byte in bytes.iter().step_by(PAGE).chain(bytes.last()) {
            black_box(*byte);
        }
    }
}

/// A plan that changes nothing: a stage that is due after a millisecond, with a message that the kernel skips
/// (NLMSG_NOOP), and a file without a name.
pub fn rehearsal() -> Option<(Stages<'static>, PinPaths<'static>)> {
    /// Bytes of a message without content.
    const NOOP: u32 = 16;
    const NLMSG_NOOP: u16 = 1;
    /// Its length and type.
    const fn noop() -> [u8; 8] {
        let ([a, b, c, d], [e, f]) = (NOOP.to_ne_bytes(), NLMSG_NOOP.to_ne_bytes());
        [a, b, c, d, e, f, 0, 0]
    }
    /// Delay and length of the stage, the message, and the end of the name.
    static PLAN: [[u8; 8]; 5] =
        [1_000_000_u64.to_ne_bytes(), (NOOP as u64).to_ne_bytes(), noop(), [0; 8], [0; 8]];
    parse(PLAN.as_flattened(), PART + NOOP as usize, 1)
}

impl AsFd for CleanupPlan {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for CleanupPlan {
    fn drop(&mut self) {
        // SAFETY: mapped by us with exactly this extent, and no pointer into it outlives self.
        let _ = unsafe { munmap(self.base.cast(), EXTENT.get()) };
    }
}

/// The delay of each stage, with its netlink messages.
#[derive(Debug)]
pub struct Stages<'a>(&'a [u8]);

impl<'a> Iterator for Stages<'a> {
    type Item = (Duration, Messages<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let after = u64::from_ne_bytes(*self.0.first_chunk()?);
        let length = u64::from_ne_bytes(*self.0.get(8..)?.first_chunk()?);
        let (stage, rest) = self.0.get(PART..)?.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some((Duration::from_nanos(after), Messages(stage)))
    }
}

/// Netlink messages, one by one.
#[derive(Debug)]
pub struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let length = u32::from_ne_bytes(*self.0.first_chunk()?) as usize;
        let (message, rest) = self.0.split_at_checked(length.next_multiple_of(4))?;
        self.0 = rest;
        Some(message).filter(|message| !message.is_empty())
    }
}

#[derive(Debug)]
pub struct PinPaths<'a>(&'a [u8]);

impl<'a> Iterator for PinPaths<'a> {
    type Item = &'a CStr;

    fn next(&mut self) -> Option<Self::Item> {
        let name = CStr::from_bytes_until_nul(self.0).ok()?;
        self.0 = self.0.get(name.count_bytes() + 1..)?;
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(byte: u8, length: u32) -> Vec<u8> {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.resize(length as usize, byte);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn plan() -> (CleanupPlan, std::path::PathBuf) {
        let path = std::env::temp_dir().join(format!(
            "vrrpx-will-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        (CleanupPlan::open(&path).unwrap(), path)
    }

    type Found = (Vec<(Duration, Vec<Vec<u8>>)>, Vec<String>);

    fn found(plan: &CleanupPlan) -> Option<Found> {
        // SAFETY: nothing writes to the plan while they are in use.
        let (stages, pin_paths) = unsafe { plan.read() }?;
        bring_in(&stages, &pin_paths);
        let stages = stages.map(|(after, messages)| (after, messages.map(<[u8]>::to_vec).collect()));
        Some((stages.collect(), pin_paths.map(|name| name.to_str().unwrap().to_owned()).collect()))
    }

    #[test]
    fn the_latest_counts_and_the_process_that_inherits_it_reads_it() {
        let (plan, path) = plan();
        plan.clear();
        assert_eq!(found(&plan), None);
        for round in 0..3_u8 {
            let stages = [
                Stage {
                    after: Duration::from_millis(5),
                    requests: [message(round, 17), message(9, 20)].concat(),
                },
                Stage { after: Duration::from_secs(1), requests: message(round, 16) },
            ];
            plan.write(&stages, [c"/a/b", c"/a"].into_iter()).unwrap();
        }
        let heir = CleanupPlan::inherit(File::options().read(true).write(true).open(&path).unwrap()).unwrap();
        let (stages, pin_paths) = found(&heir).unwrap();
        assert_eq!(pin_paths, ["/a/b", "/a"]);
        assert_eq!(stages[0], (Duration::from_millis(5), vec![message(2, 17), message(9, 20)]));
        assert_eq!(stages[1], (Duration::from_secs(1), vec![message(2, 16)]));
        plan.set_guard(77);
        plan.deactivate();
        assert_eq!((heir.guard(), heir.is_deactivated()), (Some(Pid::from_raw(77)), true));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_too_long_leaves_what_was_there() {
        let (plan, path) = plan();
        plan.clear();
        plan.write(&[], [c"/kept"].into_iter()).unwrap();
        let long = Stage { after: Duration::ZERO, requests: vec![0; HALF] };
        assert!(plan.write(&[long], std::iter::empty()).is_err());
        assert_eq!(found(&plan).unwrap().1, ["/kept"]);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_rehearsal_has_a_step_of_each_kind() {
        let (mut stages, pin_paths) = rehearsal().unwrap();
        let (after, messages) = stages.next().unwrap();
        assert_eq!(after, Duration::from_millis(1));
        let messages: Vec<_> = messages.collect();
        assert_eq!((messages.len(), messages[0].len(), stages.next().is_none()), (1, 16, true));
        assert_eq!(u32::from_ne_bytes(*messages[0].first_chunk().unwrap()), 16);
        assert_eq!(i32::from(u16::from_ne_bytes([messages[0][4], messages[0][5]])), libc::NLMSG_NOOP);
        assert_eq!(pin_paths.collect::<Vec<_>>(), [c""]);
    }

    #[test]
    fn any_other_file_is_none() {
        let (_will, path) = plan();
        std::fs::write(&path, "short").unwrap();
        let short = File::options().read(true).write(true).open(&path).unwrap();
        assert!(CleanupPlan::inherit(short).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
