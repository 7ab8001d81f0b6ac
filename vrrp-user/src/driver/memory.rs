//! Residence of this process in memory: what of it is locked, and what is given back.

use std::ffi::{c_int, c_void};
use std::io;

use nix::unistd::{SysconfVar, sysconf};

/// How far [`bring_in`] goes beyond the functions that it is given, in bytes.
const AROUND: usize = 256 << 10;

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

/// Unmaps the pages of the program and of its libraries that are code or constants; those that are used again come back
/// from the page cache, one by one. Memory must not be locked yet.
pub fn release_program() {
    // SAFETY: the callback reads the headers of what is loaded, and keeps none.
    unsafe { libc::dl_iterate_phdr(Some(release_object), std::ptr::null_mut()) };
}

/// Brings in the code between functions, and around them: most of what they call lies there, as the linker keeps the code
/// of a package together. Work that must not wait for the disk needs its rarest code in memory as well.
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
/// `info` must describe a loaded object.
unsafe extern "C" fn release_object(info: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr, std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()))
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
        // The kernel rounds the length up to pages. Fails for locked memory, which then stays.
        // SAFETY: a private mapping of a file that was never written to has the same content afterwards.
        unsafe { libc::madvise((start - within) as *mut c_void, length, libc::MADV_DONTNEED) };
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
        release_program();
        let after = resident();
        assert_eq!(text, "relocated, relocated, relocated, ");
        assert!(after < before, "{before} kB, then {after} kB");
    }
}
