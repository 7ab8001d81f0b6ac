//! Residence of this process in memory: what of it is locked, and what is given back.

mod sections;

use std::ffi::{c_int, c_void};
use std::{fs, io};

use nix::unistd::{SysconfVar, sysconf};

/// How much [`release_stack`] leaves below itself, in bytes.
const STACK_LEFT: usize = 16 << 10;

/// mlock2(2): pages are locked when they are touched.
const MLOCK_ONFAULT: libc::c_uint = 1;

/// Allocations of this many bytes are mappings of their own: they go back to the kernel when they are freed, and only
/// their touched pages are memory.
#[cfg(target_env = "gnu")]
const OWN_MAPPING: c_int = 32 << 10;

/// Has the allocator give large pieces back. Call it first of all. By default glibc's limit grows with what is freed,
/// up to 32 MiB: what a start needs for a moment would stay.
pub fn settle_allocator() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING);
    }
}

/// Locks every page that the process has in memory, or will touch. Pages are locked when touched (`MCL_ONFAULT`,
/// Linux 4.4), so that untouched ones are not loaded.
///
/// # Errors
/// The kernel's: not permitted, or beyond RLIMIT_MEMLOCK.
pub fn lock() -> io::Result<()> {
    // SAFETY: changes no memory, only its residence.
    let refused = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) } != 0;
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives the allocator's free pages back to the kernel.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: free pages have no owner.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// [`trim`] for locked memory, which the kernel does not take back: nothing is locked meanwhile, for about a
/// millisecond.
///
/// # Errors
/// As [`lock`]: memory is not locked any more.
pub fn trim_locked() -> io::Result<()> {
    // SAFETY: changes no memory, only its residence.
    unsafe { libc::munlockall() };
    trim();
    lock()
}

/// A range of addresses: the first one, and the one after the last.
type Range = (usize, usize);

/// What [`release_object`] is asked to do, and how it went.
struct Release {
    /// The code of real-time threads stays, and so do constants and libraries.
    is_locked: bool,
    outcome: io::Result<()>,
}

/// Unmaps the pages of the program and of its libraries that are code or constants; those that are used again come back
/// from the page cache, one by one. Memory must not be locked yet.
pub fn release_program() {
    // Only to lock again can be refused.
    let _ = release(false);
}

/// Unmaps the code of the program, except that of real-time threads. Memory is locked; code that is used again comes
/// back from the page cache and is locked then. Constants and libraries stay: any thread may need them at any time.
///
/// # Errors
/// The kernel's: code is unmapped, but is not locked again.
pub fn release_code() -> io::Result<()> {
    release(true)
}

/// Unmaps the stack of the process's first thread, which calls it, below what is in use: the start goes deeper than the
/// work. Memory is locked.
///
/// # Errors
/// The kernel's, or its list of mappings cannot be read.
pub fn release_stack() -> io::Result<()> {
    let here = 0_u8;
    let here = (&raw const here).addr();
    let maps = fs::read_to_string("/proc/self/maps")?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let mut ranges = maps.lines().filter_map(|line| {
        let (from, to) = line.split_once(' ')?.0.split_once('-')?;
        Some((number(from)?, number(to)?))
    });
    let (from, _) = ranges.find(|range| (range.0..range.1).contains(&here)).unwrap_or((here, here));
    let to = here.saturating_sub(STACK_LEFT) / page_size() * page_size();
    // SAFETY: nothing below a thread's stack pointer is in use, and this call itself does not reach so deep.
    unsafe { release_pages(from, to, true) }
}

fn release(is_locked: bool) -> io::Result<()> {
    let mut order = Release { is_locked, outcome: Ok(()) };
    // SAFETY: the callback reads the headers of what is loaded, and `order`, which lives across the call.
    unsafe { libc::dl_iterate_phdr(Some(release_object), (&raw mut order).cast()) };
    order.outcome
}

/// Brings in the code of real-time threads: their work must not wait for the disk, and needs its rarest code in memory.
/// The constants of the program come in as well, such as tables of jumps, except whole pages of `cold`, and tables for
/// dynamic linking and for panics.
pub fn bring_in(cold: &'static [u8]) {
    let places = cold.as_ptr_range();
    let mut left_out = (places.start.addr(), places.end.addr());
    // SAFETY: the callback reads the headers of what is loaded, and the range, which lives across the call.
    unsafe { libc::dl_iterate_phdr(Some(touch_program), (&raw mut left_out).cast()) };
}

/// The rest of a range without others, which are in order.
fn without((start, end): Range, others: &[Range]) -> Vec<Range> {
    let mut left = Vec::new();
    let mut from = start;
    for &(begin, stop) in others.iter().filter(|(begin, stop)| *begin < end && *stop > start) {
        if begin > from {
            left.push((from, begin));
        }
        from = from.max(stop);
    }
    if from < end {
        left.push((from, end));
    }
    left
}

/// Touches the code of real-time threads, and constants. The program itself is the first object; its libraries are left
/// out.
///
/// # Safety
/// `info` must describe a loaded object, and `left_out` point to a [`Range`].
unsafe extern "C" fn touch_program(info: *mut libc::dl_phdr_info, _: usize, left_out: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    let (base, headers, left_out) = unsafe {
        let info = &*info;
        let headers = std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into());
        (info.dlpi_addr, headers, *left_out.cast::<Range>())
    };
    let page = page_size();
    let found = sections::find(usize::try_from(base).unwrap_or_default());
    let code = found.real_time();
    // Pages that hold something else as well are touched.
    let whole = |(start, end): Range| (start.next_multiple_of(page), end / page * page);
    let mut cold: Vec<Range> = found.cold.into_iter().chain([left_out]).map(whole).collect();
    cold.sort_unstable();
    for segment in headers.iter().filter(|it| it.p_type == libc::PT_LOAD && it.p_flags & libc::PF_W == 0) {
        let (start, end) = extent(base.wrapping_add(segment.p_vaddr), segment.p_memsz);
        let is_code = segment.p_flags & libc::PF_X != 0;
        let wanted = match is_code {
            true => vec![(code.0.max(start), code.1.min(end))],
            false => without((start, end), &cold),
        };
        for place in wanted.into_iter().flat_map(|(from, to)| (from..to).step_by(page)) {
            // SAFETY: within a loaded segment, which is readable.
            unsafe { std::ptr::with_exposed_provenance::<u8>(place).read_volatile() };
        }
    }
    1
}

/// The first page of a segment, and its end.
fn extent(start: u64, length: u64) -> Range {
    let page = page_size();
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    let end = start.saturating_add(usize::try_from(length).unwrap_or(0));
    (start / page * page, end)
}

/// Bytes of a page.
pub fn page_size() -> usize {
    sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| usize::try_from(size).ok()).unwrap_or(4096)
}

/// # Safety
/// `info` must describe a loaded object, and `order` point to a [`Release`].
unsafe extern "C" fn release_object(info: *mut libc::dl_phdr_info, _: usize, order: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    let (base, headers, order) = unsafe {
        let info = &*info;
        let headers = std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into());
        (info.dlpi_addr, headers, &mut *order.cast::<Release>())
    };
    let is_locked = order.is_locked;
    let kept = is_locked.then(|| sections::find(usize::try_from(base).unwrap_or_default()).real_time());
    // The kernel's own object, the vdso, is none of a file.
    let is_file =
        headers.iter().any(|header| header.p_flags & libc::PF_W != 0 && header.p_type == libc::PT_LOAD);
    // A segment that is writable at first has relocations, which the file lacks.
    let clean =
        headers.iter().filter(|header| header.p_flags & libc::PF_W == 0 && header.p_type == libc::PT_LOAD);
    for segment in clean.filter(|header| is_file && (!is_locked || header.p_flags & libc::PF_X != 0)) {
        let segment = extent(base.wrapping_add(segment.p_vaddr), segment.p_memsz);
        for (from, to) in without(segment, kept.as_slice()) {
            // SAFETY: within a private mapping of a file that was never written to, and from the start of a page.
            let released = unsafe { release_pages(from, to, is_locked) };
            if released.is_err() {
                order.outcome = released;
            }
        }
    }
    // The program itself is the first object: with 1, libraries stay.
    c_int::from(is_locked)
}

/// Unmaps pages; locked ones are locked again when they are touched. Nothing is done if `to` is not beyond `from`.
///
/// # Safety
/// The pages must belong to a private mapping of a file that was never written to, or hold nothing that is in use.
/// `from` must begin one.
unsafe fn release_pages(from: usize, to: usize, is_locked: bool) -> io::Result<()> {
    let length = to.saturating_sub(from);
    if length == 0 {
        return Ok(());
    }
    let start = from as *mut c_void;
    // The kernel rounds the length up to pages. It releases no locked memory; what it refuses stays as it was.
    // SAFETY: by the caller's promise, the pages have the same content afterwards.
    let is_refused = unsafe {
        if is_locked {
            libc::munlock(start, length);
        }
        libc::madvise(start, length, libc::MADV_DONTNEED);
        is_locked && libc::syscall(libc::SYS_mlock2, start, length, MLOCK_ONFAULT) != 0
    };
    if is_refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The pages that real-time threads keep.
#[cfg(test)]
pub(crate) fn real_time_code() -> Range {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let base = maps.split('-').next().and_then(|base| usize::from_str_radix(base, 16).ok());
    sections::find(base.unwrap_or_default()).real_time()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::sync::Mutex;

    use nix::sys::mman::munlockall;

    use super::*;

    /// Each test looks at pages of the whole process.
    static ALONE: Mutex<()> = Mutex::new(());

    /// Pages of this program in memory, in kB.
    fn resident() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
        line.trim_end_matches("kB").trim().parse().unwrap()
    }

    /// Which pages of a range this process has mapped. mincore(2) reports the page cache instead.
    fn mapped((from, to): Range) -> Vec<bool> {
        let page = page_size();
        let mut entries = vec![0_u8; (to - from) / page * 8];
        let pagemap = File::open("/proc/self/pagemap").unwrap();
        pagemap.read_exact_at(&mut entries, (from / page * 8) as u64).unwrap();
        entries.as_chunks::<8>().0.iter().map(|entry| u64::from_ne_bytes(*entry) >> 63 == 1).collect()
    }

    #[test]
    fn a_program_whose_pages_are_released_runs_on_with_fewer() {
        let _alone = ALONE.lock();
        let text: String = std::iter::repeat_n("relocated, ", 3).collect();
        let before = resident();
        release_program();
        let after = resident();
        assert_eq!(text, "relocated, relocated, relocated, ");
        assert!(after < before, "{before} kB, then {after} kB");
    }

    #[test]
    fn code_of_real_time_threads_stays_where_it_was() {
        let _alone = ALONE.lock();
        let range = real_time_code();
        bring_in(&[]);
        assert!(!mapped(range).contains(&false));
        let before = resident();
        // Fails if so much must not be locked.
        let _ = release_code();
        let (after, pages) = (resident(), mapped(range));
        let _ = munlockall();
        assert!(after < before, "{before} kB, then {after} kB");
        assert!(!pages.contains(&false));
    }

    #[test]
    fn a_stack_is_given_back_below_its_use() {
        #[inline(never)]
        fn deep() -> Range {
            let used = std::hint::black_box([1_u8; 512 << 10]);
            let page = page_size();
            let start = used.as_ptr().addr().next_multiple_of(page);
            (start, start + (256 << 10))
        }
        let _alone = ALONE.lock();
        let range = deep();
        assert!(!mapped(range).contains(&false));
        // Fails if so much must not be locked.
        let _ = release_stack();
        let left = mapped(range);
        let _ = munlockall();
        assert!(!left.contains(&true));
    }

    /// Of many pages, as the kernel maps some around each that is touched.
    static COLD: [u8; 4 << 20] = [1; 4 << 20];

    #[test]
    fn cold_constants_are_left_out() {
        let _alone = ALONE.lock();
        release_program();
        bring_in(&COLD);
        let page = page_size();
        let start = COLD.as_ptr().addr().next_multiple_of(page);
        let middle = mapped((start + (1 << 20), start + (3 << 20)));
        assert!(!middle.contains(&true), "{} pages", middle.iter().filter(|page| **page).count());
        bring_in(&[]);
        assert!(!mapped((start, start + (3 << 20))).contains(&false));
    }

    #[test]
    fn ranges_are_cut_out() {
        assert_eq!(without((10, 90), &[(0, 20), (30, 40), (80, 99)]), [(20, 30), (40, 80)]);
        assert_eq!(without((10, 90), &[(0, 5), (95, 99)]), [(10, 90)]);
        assert_eq!(without((10, 90), &[(20, 50), (30, 40)]), [(10, 20), (50, 90)]);
        assert_eq!(without((10, 90), &[(0, 99)]), []);
    }
}
