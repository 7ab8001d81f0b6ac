//! Arrays in memory that the BPF program may write at the same time.

use std::io;
use std::mem::size_of;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// # Safety
/// `at` must point to a live, aligned u64 to which all other accesses are volatile or atomic.
pub(super) unsafe fn word<'a>(at: *mut u64) -> &'a AtomicU64 {
    // SAFETY: the caller's promise.
    unsafe { AtomicU64::from_ptr(at) }
}

/// An array in memory that the kernel may write.
pub(super) struct Mapped<T> {
    base: NonNull<T>,
    len: usize,
    bytes: NonZeroUsize,
}

// SAFETY: the memory is shared with the kernel already; all accesses are volatile or atomic.
unsafe impl<T: Copy + Send> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Copy + Send> Sync for Mapped<T> {}

impl<T> std::fmt::Debug for Mapped<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapped").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<T: Copy> Mapped<T> {
    pub(super) fn anonymous(len: u32) -> io::Result<Self> {
        let (len, bytes) = extent::<T>(len)?;
        // SAFETY: a fresh anonymous mapping aliases nothing.
        let base = unsafe {
            mmap_anonymous(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE)?
        };
        Ok(Self { base: base.cast(), len, bytes })
    }

    pub(super) fn of_map(map: BorrowedFd<'_>, len: u32) -> io::Result<Self> {
        let (len, bytes) = extent::<T>(len)?;
        // SAFETY: a fresh mapping; the kernel keeps the array alive as long as it is mapped.
        let base = unsafe {
            mmap(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, map, 0)?
        };
        Ok(Self { base: base.cast(), len, bytes })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn entry(&self, index: u32) -> Option<*mut T> {
        // SAFETY: the index lies within the mapping.
        ((index as usize) < self.len).then(|| unsafe { self.base.as_ptr().add(index as usize) })
    }

    pub(super) fn read(&self, index: u32) -> Option<T> {
        // SAFETY: inside the mapping; every bit pattern is a valid T, as the layouts promise.
        self.entry(index).map(|entry| unsafe { entry.read_volatile() })
    }

    pub(super) fn write(&self, index: u32, value: T) {
        if let Some(entry) = self.entry(index) {
            // SAFETY: inside the mapping.
            unsafe { entry.write_volatile(value) };
            compiler_fence(Ordering::SeqCst);
        }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by us with exactly this extent, and no pointer into it outlives self.
        let _ = unsafe { munmap(self.base.cast(), self.bytes.get()) };
    }
}

/// The kernel aligns array elements to 8 bytes; all our layouts are multiples of that.
fn extent<T>(len: u32) -> io::Result<(usize, NonZeroUsize)> {
    const { assert!(size_of::<T>().is_multiple_of(8)) };
    let bytes = (len as usize).checked_mul(size_of::<T>()).and_then(NonZeroUsize::new);
    bytes.map(|bytes| (len as usize, bytes)).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}
