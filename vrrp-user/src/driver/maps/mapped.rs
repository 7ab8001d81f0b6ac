//! Arrays in memory that the BPF program, and other threads of the daemon, may write at the same time.
//!
//! Every access is a relaxed atomic one of a whole, aligned word: a word is never torn. A record of several words can
//! mix two values, unless its layout has a word that shows it.

use std::io;
use std::mem::{MaybeUninit, align_of, size_of};
use std::num::NonZeroUsize;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use vrrp_ebpf::map::{Budget, Gaps, Lease, Peer, Rejected, RulesPair, Watch, WatchedMessage};

use crate::driver::memory::page_size;

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// A record of words.
///
/// # Safety
/// No byte of it is padding, and every bit pattern is valid.
pub(super) unsafe trait Record: Copy {}

// SAFETY: the tests of `vrrp_ebpf::map::layout` find no padding, and all fields are numbers.
unsafe impl Record for RulesPair {}
// SAFETY: as above.
unsafe impl Record for Watch {}
// SAFETY: as above.
unsafe impl Record for WatchedMessage {}
// SAFETY: as above.
unsafe impl Record for Peer {}
// SAFETY: as above.
unsafe impl Record for Gaps {}
// SAFETY: as above.
unsafe impl Record for Rejected {}
// SAFETY: as above.
unsafe impl Record for Lease {}
// SAFETY: as above.
unsafe impl Record for Budget {}

/// An array in memory that the kernel may write. The kernel maps every page at once, whether it is used or not, so only
/// the first entries are mapped; the addresses of all are reserved.
pub(super) struct Mapped<T> {
    base: NonNull<T>,
    len: usize,
    bytes: NonZeroUsize,
    /// Entries that are mapped; there is no other.
    ready: AtomicUsize,
    /// A refused mapping may have given reserved pages away (Linux before 6.12): what is beyond `ready` is not ours.
    is_torn: AtomicBool,
    /// The map; `None` for private memory, which is all mapped.
    map: Option<OwnedFd>,
}

// SAFETY: all accesses are atomic.
unsafe impl<T: Record> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Record> Sync for Mapped<T> {}

impl<T> std::fmt::Debug for Mapped<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapped").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<T: Record> Mapped<T> {
    pub(super) fn anonymous(len: u32) -> io::Result<Self> {
        let (len, bytes) = extent::<T>(len)?;
        let base = reserve(bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
        Ok(Self {
            base: base.cast(),
            len,
            bytes,
            ready: AtomicUsize::new(len),
            is_torn: AtomicBool::new(false),
            map: None,
        })
    }

    /// The array of a map, of which no entry is mapped yet.
    pub(super) fn of_map(map: BorrowedFd<'_>, len: u32) -> io::Result<Self> {
        let (len, bytes) = extent::<T>(len)?;
        let map = Some(map.try_clone_to_owned()?);
        let base = reserve(bytes, ProtFlags::PROT_NONE)?;
        Ok(Self {
            base: base.cast(),
            len,
            bytes,
            ready: AtomicUsize::new(0),
            is_torn: AtomicBool::new(false),
            map,
        })
    }

    /// Maps the first `entries` of an array, and no more later. If that fails, nothing is left of it.
    pub(super) fn of_first(map: BorrowedFd<'_>, entries: u32) -> io::Result<Self> {
        let (len, bytes) = extent::<T>(entries)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh mapping aliases nothing of ours. The kernel keeps the array alive as long as it is mapped.
        let base = unsafe { mmap(None, bytes, access, MapFlags::MAP_SHARED, map, 0)? };
        let (ready, is_torn) = (AtomicUsize::new(len), AtomicBool::new(false));
        Ok(Self { base: base.cast(), len, bytes, ready, is_torn, map: None })
    }

    /// Maps the first `entries` entries, or all if there are fewer. Only one thread may call it.
    pub(super) fn reach(&self, entries: usize) -> io::Result<()> {
        let entries = entries.min(self.len);
        let ready = self.ready.load(Ordering::Relaxed);
        let (Some(map), true) = (&self.map, entries > ready) else { return Ok(()) };
        if self.is_torn.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let page = page_size();
        let [from, to] = [ready, entries].map(|it| (it * size_of::<T>()).next_multiple_of(page));
        if let Some(length) = NonZeroUsize::new(to - from) {
            let offset = i64::try_from(from).map_err(io::Error::other)?;
            let at = NonZeroUsize::new(self.base.as_ptr().addr() + from);
            // SAFETY: it replaces reserved pages, to which nothing points: no entry in them is ready. The kernel keeps
            // the array alive as long as it is mapped.
            let mapped = unsafe {
                mmap(
                    at,
                    length,
                    ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                    MapFlags::MAP_SHARED | MapFlags::MAP_FIXED,
                    map,
                    offset,
                )
            };
            mapped.inspect_err(|_| self.is_torn.store(true, Ordering::Relaxed))?;
        }
        self.ready.store(entries, Ordering::Release);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The words of a record.
    pub(super) fn words(&self, index: usize) -> Option<&[AtomicU64]> {
        let ready = self.ready.load(Ordering::Acquire);
        // SAFETY: the index lies within what is mapped, which is aligned for words, as records are, and lives as long
        // as self; all accesses are atomic.
        (index < ready).then(|| unsafe {
            std::slice::from_raw_parts(
                self.base.as_ptr().add(index).cast::<AtomicU64>(),
                size_of::<T>() / WORD,
            )
        })
    }

    /// The word at an offset in bytes, as by `offset_of!`.
    pub(super) fn word(&self, index: usize, offset: usize) -> Option<&AtomicU64> {
        self.words(index)?.get(offset / WORD)
    }

    /// A copy of a record, word by word.
    pub(super) fn read(&self, index: usize) -> Option<T> {
        let words = self.words(index)?;
        let mut copy = MaybeUninit::<T>::uninit();
        let to = copy.as_mut_ptr().cast::<u64>();
        for (at, word) in words.iter().enumerate() {
            // SAFETY: a T has as many words, and is aligned for them.
            unsafe { to.add(at).write(word.load(Ordering::Relaxed)) };
        }
        // SAFETY: all words are written, and every bit pattern is valid.
        Some(unsafe { copy.assume_init() })
    }

    /// Writes a record, word by word.
    pub(super) fn write(&self, index: usize, value: &T) {
        if let Some(words) = self.words(index) {
            store(words, of(value));
        }
    }
}

/// The words of a value.
pub(super) fn of<T: Record>(value: &T) -> &[u64] {
    const { assert!(is_of_words::<T>()) };
    // SAFETY: a T is aligned for words, and none of its bytes is padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>() / WORD) }
}

/// Writes words one by one.
pub(super) fn store(to: &[AtomicU64], words: &[u64]) {
    for (to, word) in to.iter().zip(words) {
        to.store(*word, Ordering::Relaxed);
    }
}

/// Writes bytes word by word.
pub(super) fn store_bytes(to: &[AtomicU64], bytes: &[u8]) {
    to.iter().zip(words(bytes)).for_each(|(to, word)| to.store(word, Ordering::Relaxed));
}

/// Bytes as words; those that fill the last one are 0.
pub(super) fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks(WORD).map(|bytes| {
        let mut word = [0; WORD];
        word.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte);
        u64::from_ne_bytes(word)
    })
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // Its addresses stay taken: some may belong to others.
        if *self.is_torn.get_mut() {
            return;
        }
        // SAFETY: mapped by us with exactly this extent, and no pointer into it outlives self.
        let _ = unsafe { munmap(self.base.cast(), self.bytes.get()) };
    }
}

const fn is_of_words<T>() -> bool {
    size_of::<T>().is_multiple_of(WORD) && align_of::<T>() == align_of::<u64>()
}

/// Fresh private memory, in whole pages.
fn reserve(bytes: NonZeroUsize, access: ProtFlags) -> io::Result<NonNull<std::ffi::c_void>> {
    // SAFETY: a fresh anonymous mapping aliases nothing.
    Ok(unsafe { mmap_anonymous(None, bytes, access, MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE)? })
}

/// The kernel aligns array elements to 8 bytes; all our layouts are multiples of that.
fn extent<T>(len: u32) -> io::Result<(usize, NonZeroUsize)> {
    const { assert!(is_of_words::<T>()) };
    let bytes = (len as usize).checked_mul(size_of::<T>()).and_then(NonZeroUsize::new);
    bytes.map(|bytes| (len as usize, bytes)).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}
