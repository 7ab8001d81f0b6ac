//! Residence of this process in memory: what of it is locked, and what is given back.

mod sections;

use std::ffi::{c_int, c_void};
use std::io;

use nix::unistd::{SysconfVar, sysconf};

/// How far [`bring_in`] goes beyond each function that it is given, in bytes.
const AROUND: usize = 256 << 10;

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

/// A range of addresses: the first one, and the one after the last.
type Range = (usize, usize);

/// What [`release_object`] is asked to do, and how it went.
struct Release {
    /// Code that stays, in order. `None`: memory is not locked yet, and all code and all constants go.
    kept: Option<Vec<Range>>,
    outcome: io::Result<()>,
}

/// Unmaps the pages of the program and of its libraries that are code or constants; those that are used again come back
/// from the page cache, one by one. Memory must not be locked yet.
pub fn release_program() {
    // Only to lock again can be refused.
    let _ = release(None);
}

/// Unmaps the code of the program, except that which [`bring_in`] brings in for these functions. Memory is locked; code
/// that is used again comes back from the page cache and is locked then. Constants and libraries stay: any thread may
/// need them at any time.
///
/// # Errors
/// The kernel's: code is unmapped, but is not locked again.
pub fn release_code(kept: &[*const ()]) -> io::Result<()> {
    release(Some(around(kept)))
}

fn release(kept: Option<Vec<Range>>) -> io::Result<()> {
    let mut order = Release { kept, outcome: Ok(()) };
    // SAFETY: the callback reads the headers of what is loaded, and `order`, which lives across the call.
    unsafe { libc::dl_iterate_phdr(Some(release_object), (&raw mut order).cast()) };
    order.outcome
}

/// What [`touch_program`] is asked to do.
struct Touch {
    code: Vec<Range>,
    left_out: Vec<Range>,
}

/// Brings in the code around functions: most of what they call lies there, as the linker keeps the code of a package
/// together. The constants of the program come in as well, such as tables of jumps, except whole pages of `cold`, and
/// tables for dynamic linking and for panics. Work that must not wait for the disk needs its rarest code in memory.
pub fn bring_in(functions: &[*const ()], cold: &'static [u8]) {
    let places = cold.as_ptr_range();
    let left_out = vec![(places.start.addr(), places.end.addr())];
    let mut order = Touch { code: around(functions), left_out };
    // SAFETY: the callback reads the headers of what is loaded, and the order, which lives across the call.
    unsafe { libc::dl_iterate_phdr(Some(touch_program), (&raw mut order).cast()) };
}

/// The pages of functions, with [`AROUND`] on both sides of each, in order and apart.
fn around(functions: &[*const ()]) -> Vec<Range> {
    let page = page_size();
    let mut places: Vec<usize> = functions.iter().map(|function| function.addr()).collect();
    places.sort_unstable();
    let mut ranges: Vec<Range> = Vec::new();
    for place in places {
        let [from, to] =
            [place.saturating_sub(AROUND), place.saturating_add(AROUND)].map(|it| it / page * page);
        match ranges.last_mut() {
            Some((_, end)) if from <= *end => *end = to,
            _ => ranges.push((from, to)),
        }
    }
    ranges
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

/// Touches the code in ranges, and the constants. The program itself is the first object; its libraries are left out.
///
/// # Safety
/// `info` must describe a loaded object, and `order` point to a [`Touch`].
unsafe extern "C" fn touch_program(info: *mut libc::dl_phdr_info, _: usize, order: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    let (base, headers, order) = unsafe {
        let info = &*info;
        let headers = std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into());
        (info.dlpi_addr, headers, &*order.cast::<Touch>())
    };
    let page = page_size();
    // Pages that hold something else as well are touched.
    let whole = |&(start, end): &Range| (start.next_multiple_of(page), end / page * page);
    let mut cold: Vec<Range> = order.left_out.iter().map(whole).collect();
    cold.extend(sections::cold(usize::try_from(base).unwrap_or_default()).iter().map(whole));
    cold.sort_unstable();
    for segment in headers.iter().filter(|it| it.p_type == libc::PT_LOAD && it.p_flags & libc::PF_W == 0) {
        let (start, end) = extent(base.wrapping_add(segment.p_vaddr), segment.p_memsz);
        let is_code = segment.p_flags & libc::PF_X != 0;
        let within = |&(from, to): &Range| (from.max(start), to.min(end));
        let wanted: Vec<Range> =
            if is_code { order.code.iter().map(within).collect() } else { without((start, end), &cold) };
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
    let is_locked = order.kept.is_some();
    // The kernel's own object, the vdso, is none of a file.
    let is_file =
        headers.iter().any(|header| header.p_flags & libc::PF_W != 0 && header.p_type == libc::PT_LOAD);
    // A segment that is writable at first has relocations, which the file lacks.
    let clean =
        headers.iter().filter(|header| header.p_flags & libc::PF_W == 0 && header.p_type == libc::PT_LOAD);
    for segment in clean.filter(|header| is_file && (!is_locked || header.p_flags & libc::PF_X != 0)) {
        let segment = extent(base.wrapping_add(segment.p_vaddr), segment.p_memsz);
        for (from, to) in without(segment, order.kept.as_deref().unwrap_or_default()) {
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
/// The pages must belong to a private mapping of a file that was never written to, and `from` must begin one.
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

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
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
    fn code_that_is_kept_stays_where_it_was() {
        let _alone = ALONE.lock();
        let kept = [release_code as *const ()];
        let range = around(&kept)[0];
        // The whole program.
        let all = (0..4096_usize).map(|step| range.0.saturating_sub(512 * AROUND) + step * AROUND / 4);
        let all: Vec<*const ()> = all.map(std::ptr::without_provenance).collect();
        bring_in(&all, &[]);
        let (before, pages) = (resident(), mapped(range));
        assert!(pages.iter().filter(|page| **page).count() >= AROUND / page_size(), "{pages:?}");
        // Fails if so much must not be locked.
        let _ = release_code(&kept);
        let (after, left) = (resident(), mapped(range));
        let _ = munlockall();
        assert!(after < before, "{before} kB, then {after} kB");
        for (index, (was, is)) in pages.into_iter().zip(left).enumerate() {
            assert!(is || !was, "page {index} is gone");
        }
    }

    /// Of many pages, as the kernel maps some around each that is touched.
    static COLD: [u8; 4 << 20] = [1; 4 << 20];

    #[test]
    fn cold_constants_are_left_out() {
        let _alone = ALONE.lock();
        release_program();
        bring_in(&[], &COLD);
        let page = page_size();
        let start = COLD.as_ptr().addr().next_multiple_of(page);
        let middle = mapped((start + (1 << 20), start + (3 << 20)));
        assert!(!middle.contains(&true), "{} pages", middle.iter().filter(|page| **page).count());
        bring_in(&[], &[]);
        assert!(!mapped((start, start + (3 << 20))).contains(&false));
    }

    #[test]
    fn without_functions_nothing_is_kept() {
        assert_eq!(around(&[]), []);
        assert_eq!(without((1, 9), &[]), [(1, 9)]);
    }

    #[test]
    fn functions_that_are_far_apart_have_ranges_of_their_own() {
        const FIRST: usize = 64 << 20;
        let at = [FIRST + 9 * AROUND, FIRST, FIRST + AROUND].map(std::ptr::without_provenance);
        let expected = [(FIRST - AROUND, FIRST + 2 * AROUND), (FIRST + 8 * AROUND, FIRST + 10 * AROUND)];
        assert_eq!(around(&at), expected);
    }

    #[test]
    fn ranges_are_cut_out() {
        assert_eq!(without((10, 90), &[(0, 20), (30, 40), (80, 99)]), [(20, 30), (40, 80)]);
        assert_eq!(without((10, 90), &[(0, 5), (95, 99)]), [(10, 90)]);
        assert_eq!(without((10, 90), &[(20, 50), (30, 40)]), [(10, 20), (50, 90)]);
        assert_eq!(without((10, 90), &[(0, 99)]), []);
    }
}
