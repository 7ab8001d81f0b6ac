//! Residence of this process in memory: what of it is locked, and what is given back.

use std::ffi::{c_int, c_void};
use std::io;

use nix::unistd::{SysconfVar, sysconf};

/// How far [`bring_in`] goes beyond the functions that it is given, in bytes.
const AROUND: usize = 256 << 10;

/// mlock2(2): pages are locked when they are touched.
const MLOCK_ONFAULT: libc::c_uint = 1;

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

/// Whether memory that is released is locked, and is to be locked again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Locked {
    No,
    Yes,
}

/// Unmaps the pages of the program and of its libraries that are code or constants; those that are used again come back
/// from the page cache, one by one.
pub fn release_program(mut locked: Locked) {
    // SAFETY: the callback reads the headers of what is loaded, and `locked`, which lives across the call.
    unsafe { libc::dl_iterate_phdr(Some(release_object), (&raw mut locked).cast()) };
}

/// Brings in the code between functions, and around them: most of what they call lies there, as the linker keeps the
/// code of a package together. Work that must not wait for the disk needs its rarest code in memory as well.
pub fn bring_in(functions: &[*const ()]) {
    let places = functions.iter().map(|function| function.addr());
    let (Some(first), Some(last)) = (places.clone().min(), places.max()) else { return };
    let mut range = (first.saturating_sub(AROUND), last.saturating_add(AROUND));
    // SAFETY: the callback reads the headers of what is loaded, and the range, which lives across the call.
    unsafe { libc::dl_iterate_phdr(Some(touch_code), (&raw mut range).cast()) };
}

/// # Safety
/// `info` must describe a loaded object, and `range` point to two addresses.
unsafe extern "C" fn touch_code(info: *mut libc::dl_phdr_info, _: usize, range: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    let (base, headers, (first, last)) = unsafe {
        let info = &*info;
        let headers = std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into());
        (info.dlpi_addr, headers, *range.cast::<(usize, usize)>())
    };
    for segment in headers.iter().filter(|it| it.p_type == libc::PT_LOAD && it.p_flags & libc::PF_X != 0) {
        let start = usize::try_from(base.wrapping_add(segment.p_vaddr)).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(segment.p_memsz).unwrap_or(0));
        for place in (first.max(start)..last.min(end)).step_by(page_size()) {
            // SAFETY: within a loaded segment, which is readable.
            unsafe { std::ptr::with_exposed_provenance::<u8>(place).read_volatile() };
        }
    }
    0
}

fn page_size() -> usize {
    sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| usize::try_from(size).ok()).unwrap_or(4096)
}

/// # Safety
/// `info` must describe a loaded object, and `locked` point to a [`Locked`].
unsafe extern "C" fn release_object(info: *mut libc::dl_phdr_info, _: usize, locked: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    let (base, headers, locked) = unsafe {
        let info = &*info;
        let headers = std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into());
        (info.dlpi_addr, headers, *locked.cast::<Locked>())
    };
    let page = page_size() as u64;
    // The kernel's own object, the vdso, is none of a file.
    let is_file =
        headers.iter().any(|header| header.p_flags & libc::PF_W != 0 && header.p_type == libc::PT_LOAD);
    // A segment that is writable at first has relocations, which the file lacks.
    let clean =
        headers.iter().filter(|header| header.p_flags & libc::PF_W == 0 && header.p_type == libc::PT_LOAD);
    for segment in clean.filter(|_| is_file) {
        let start = base.wrapping_add(segment.p_vaddr);
        let within = start % page;
        let length = segment.p_memsz.saturating_add(within);
        let Ok(length) = usize::try_from(length) else { continue };
        let start = (start - within) as *mut c_void;
        // The kernel rounds the length up to pages. It releases no locked memory; what it refuses stays as it was.
        // SAFETY: a private mapping of a file that was never written to has the same content afterwards.
        unsafe {
            if locked == Locked::Yes {
                libc::munlock(start, length);
            }
            libc::madvise(start, length, libc::MADV_DONTNEED);
            if locked == Locked::Yes {
                libc::syscall(libc::SYS_mlock2, start, length, MLOCK_ONFAULT);
            }
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of this program in memory, in kB.
    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
        line.trim_end_matches("kB").trim().parse().unwrap()
    }

    #[test]
    fn a_program_whose_pages_are_released_runs_on_with_fewer() {
        let text: String = std::iter::repeat_n("relocated, ", 3).collect();
        let before = resident();
        release_program(Locked::No);
        let after = resident();
        assert_eq!(text, "relocated, relocated, relocated, ");
        assert!(after < before, "{before} kB, then {after} kB");
    }
}
